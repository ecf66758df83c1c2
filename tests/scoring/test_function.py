"""The folder as it is deployed, under functions-framework, with clients nobody here wrote."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from lead_scoring.registry.placed import champion_bytes
from lead_scoring.scoring import LeadScorer, function_files
from tests.scoring.small_package import build_package

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def folder(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``models/production`` as a second release leaves it, away from its registry, as a deployment has it."""
    production = Path(shutil.copytree(models / "production", tmp_path_factory.mktemp("deployed") / "production"))
    champion = LeadScorer(model_dir=str(models / "production")).package
    build_package(production, seed=2)  # a version that is not in production
    (production / "champion.json").write_bytes(champion_bytes(champion.version, champion.manifest_digest))
    for name, text in function_files().items():
        (production / name).parent.mkdir(parents=True, exist_ok=True)
        (production / name).write_text(text)
    return production


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [BIN / "functions-framework", "--source", "cloud_function_code.py", "--target", "score_lead"]
    with (folder.parent / "log.txt").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, "LEAD_SCORING_BODY_SECONDS": "1", "THREADS": "4"},
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(server, address, folder.parent / "log.txt")
        yield address
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    for _ in range(300):
        try:
            requests.get(f"{address}/healthz", timeout=5)
        except requests.ConnectionError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())


def test_a_lead_is_scored_over_http_with_the_same_bits(
    url: str, scorer: LeadScorer, lead: dict[str, float | None]
) -> None:
    answer = requests.post(url, json=lead, timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json() == scorer.score_lead(lead)
    reasons = requests.post(url, json=lead, params={"reasons": 2}, timeout=60)
    assert reasons.json()["reasons"] == scorer.score_lead(lead, reasons=2)["reasons"]


def test_health_tells_version_and_digest(url: str, scorer: LeadScorer) -> None:
    health = requests.get(f"{url}/healthz", timeout=10).json()
    assert health["model_version"] == scorer.model_version
    assert health["manifest_digest"] == scorer.package.manifest_digest
    assert health["registered"] is True
    assert requests.head(f"{url}/healthz", timeout=10).status_code == 200


def test_wrong_requests_get_their_status(url: str) -> None:
    assert requests.post(url, data=b"{", timeout=10).status_code == 400
    assert requests.post(url, json={}, timeout=10).status_code == 422
    assert requests.post(url, data=b" " * 2_000_000, timeout=10).status_code == 413
    refused = requests.get(url, timeout=10)
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST, OPTIONS")
    assert requests.post(f"{url}/else", json={}, timeout=10).status_code == 404


@pytest.mark.parametrize("body", [b"zz\r\n{}\r\n0\r\n\r\n", b'ff\r\n{"a": 1'])
def test_a_wrongly_chunked_or_broken_off_body_is_answered_in_json(url: str, body: bytes) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        line.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        line.shutdown(socket.SHUT_WR)
        head, _, content = b"".join(iter(lambda: line.recv(65536), b"")).partition(b"\r\n\r\n")
    assert b" 400 " in head.splitlines()[0], head + content
    assert "the body" in json.loads(content)["error"]


def test_unfinished_bodies_do_not_block_the_function(url: str, lead: dict[str, float | None]) -> None:
    """More of them than the server has threads; each is told, and the next request is answered."""
    host, _, port = url.removeprefix("http://").partition(":")
    lines = [socket.create_connection((host, int(port)), timeout=30) for _ in range(6)]
    try:
        for line in lines:
            line.sendall(b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n{"a"')
        assert requests.post(url, json=lead, timeout=60).status_code == 200
        for line in lines:
            assert b" 408 " in line.recv(65536).splitlines()[0]
    finally:
        for line in lines:
            line.close()


def test_a_packed_body_is_taken_over_http(url: str, scorer: LeadScorer, lead: dict[str, float | None]) -> None:
    body = gzip.compress(json.dumps(lead).encode())
    answer = requests.post(url, data=body, headers={"Content-Encoding": "gzip"}, timeout=10)
    assert answer.json() == scorer.score_lead(lead)
    assert requests.options(url, timeout=10).headers["Allow"] == "POST, OPTIONS"
    assert requests.get(f"{url}/health", timeout=10).json()["model_version"] == scorer.model_version


@pytest.mark.slow
def test_schemathesis_finds_nothing_against_the_served_description(url: str, tmp_path: Path) -> None:
    found = subprocess.run(
        [BIN / "schemathesis", "run", f"{url}/openapi.json", "-n", "700", "--checks", "all", "--seed", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert found.returncode == 0, found.stdout[-3000:]
    generated = re.search(r"([\d,]+) generated", found.stdout)
    assert generated and int(generated[1].replace(",", "")) >= 1000, found.stdout[-3000:]


def test_the_folder_carries_every_module_it_needs(folder: Path, lead: dict[str, float | None]) -> None:
    code = (
        "import sys, cloud_function_code as function; import lead_scoring; "
        f"function.SCORER.score_lead({lead!r}, reasons=1); "
        "print(lead_scoring.__file__); "
        "print(sorted({n.split('.')[0] for n in sys.modules} & {'airflow', 'yaml', 'duckdb', 'lead_scoring_airflow'}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.splitlines() == [str(folder / "lead_scoring" / "__init__.py"), "[]"]


def test_a_folder_that_does_not_verify_does_not_start(folder: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(folder, tmp_path / "production"))
    version = json.loads((damaged / "champion.json").read_text())["version"]
    booster = damaged / f"model_{version}.ubj"
    booster.write_bytes(booster.read_bytes()[:-1] + b" ")
    found = subprocess.run(
        [sys.executable, "-c", "import cloud_function_code"], cwd=damaged, capture_output=True, text=True, timeout=60
    )
    assert found.returncode != 0
    assert "CheckFailed" in found.stderr


def test_the_templates_description_is_openapi_and_names_every_answer() -> None:
    description = json.loads(function_files()["openapi.json"])
    assert description["openapi"].startswith("3.1")
    assert set(description["paths"]["/"]["post"]["responses"]) == {"200", "400", "405", "408", "413", "415", "422"}
