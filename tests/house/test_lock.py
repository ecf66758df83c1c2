"""`make setup` works with uv and with the pip that comes with Python 3.11, also behind a company's TLS proxy."""

from __future__ import annotations

import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def locked() -> dict[str, set[str]]:
    """Extras by package, as requirements.txt pins them."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [Requirement(found[0]) for line in lines if (found := re.match(r"[\w.-]+(\[[^]]+\])?==[^\s;]+", line))]
    return {canonicalize_name(pin.name): {canonicalize_name(extra) for extra in pin.extras} for pin in pins}


def asked(lock: dict[str, set[str]]) -> list[tuple[str, Requirement]]:
    """Who asks for which package of the lock with an extra: requirements.in, and the metadata of what is installed."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.in").read_text().splitlines()]
    found = [("requirements.in", Requirement(line)) for line in lines if line]
    for package in metadata.distributions():
        name = canonicalize_name(package.metadata["Name"])
        for text in package.requires or [] if name in lock else []:
            wanted = Requirement(text)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in {"", *lock[name]}):
                found.append((name, wanted))
    return [(who, wanted) for who, wanted in found if wanted.extras and canonicalize_name(wanted.name) in lock]


def test_every_package_that_is_asked_for_with_an_extra_is_pinned_with_it():
    """pip 23.2.1 with hashes takes `celery[redis]` for unpinned where the lock says only `celery==...`."""
    lock = locked()
    wishes = asked(lock)
    assert {wanted.name for _, wanted in wishes} >= {"celery", "google-auth"}
    missing = {
        f"{who} asks for {wanted}"
        for who, wanted in wishes
        if not {canonicalize_name(extra) for extra in wanted.extras} <= lock[canonicalize_name(wanted.name)]
    }
    assert missing == set()


@pytest.mark.parametrize(("given", "seen"), [({}, "1"), ({"UV_SYSTEM_CERTS": "0"}, "0")])
def test_uv_trusts_the_certificates_of_the_system_unless_told_otherwise(given, seen, monkeypatch):
    monkeypatch.delenv("UV_SYSTEM_CERTS", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    shown = subprocess.run(
        ["make", "--silent", "-f", "Makefile", "-f", "-", "show-certificates"],
        input='show-certificates:\n\t@echo "$$UV_SYSTEM_CERTS"\n',
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.strip() == seen
