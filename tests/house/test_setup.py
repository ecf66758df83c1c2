"""`make setup` works with uv, without it, and behind a company's TLS proxy. A script plays Python: no network."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Like the pip of Python 3.11, it refuses the lock until a newer pip is there. $UV: "works", "fails" or "absent".
PYTHON = """#!/bin/sh
echo "$* certificates=$UV_SYSTEM_CERTS" >> "$CALLS"
case "$*" in
  "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  "-m pip install --quiet uv") [ "$UV" != absent ] ;;
  "-m uv "*) [ "$UV" = works ] ;;
  *--upgrade*pip*) touch new-pip ;;
  "-m pip "*--require-hashes*) [ -e new-pip ] ;;
esac
"""


def set_up(folder: Path, **variables: str) -> tuple[int, list[str]]:
    """Exit status of `make setup` in an empty folder, and how it called Python."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    python = folder / "python3.11"
    python.write_text(PYTHON)
    python.chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "MAKE"))}
    told = {**plain, "PYTHON": str(python), "CALLS": str(folder / "calls"), **variables}
    done = subprocess.run(["make", "setup"], cwd=folder, env=told, capture_output=True, check=False)
    return done.returncode, (folder / "calls").read_text().splitlines()


def test_with_uv_nothing_is_left_to_pip(tmp_path):
    status, calls = set_up(tmp_path, UV="works")
    assert status == 0
    assert (tmp_path / ".venv" / "ready").exists()
    assert not any("-m pip" in call and "--require-hashes" in call for call in calls)


@pytest.mark.parametrize("uv", ["fails", "absent"])
def test_where_uv_cannot_be_used_a_newer_pip_comes_before_the_lock(tmp_path, uv):
    status, calls = set_up(tmp_path, UV=uv)
    assert status == 0
    assert (tmp_path / ".venv" / "ready").exists()
    assert any("-m pip" in call and "--require-hashes -r requirements.txt" in call for call in calls)


@pytest.mark.parametrize(("given", "seen"), [({}, "1"), ({"UV_SYSTEM_CERTS": "0"}, "0")])
def test_uv_trusts_the_certificates_of_the_system_unless_told_otherwise(tmp_path, given, seen):
    _, calls = set_up(tmp_path, UV="works", **given)
    of_uv = [call for call in calls if call.startswith("-m uv ")]
    assert of_uv
    assert all(call.endswith(f"certificates={seen}") for call in of_uv)
