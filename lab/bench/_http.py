"""The HTTP function under load, beside the same server with a function that does nothing."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.bench._scoring_model import BenchModel, leads
from lead_scoring.scoring import function_files

CONNECTIONS = 8
TRIVIAL = (
    "import functions_framework\n\n\n@functions_framework.http\ndef score_lead(request):\n    return {'ok': True}\n"
)


def http_figures(model: BenchModel, seconds: int, work: Path) -> dict[str, Any]:
    """Latency over 8 connections, and the seconds from starting the process to the first answer."""
    scored, trivial = work / "function", work / "trivial"
    shutil.copytree(model.folder, scored)
    for name, text in function_files().items():
        (scored / name).parent.mkdir(parents=True, exist_ok=True)
        (scored / name).write_text(text)
    trivial.mkdir()
    (trivial / "cloud_function_code.py").write_text(TRIVIAL)
    row = leads(model.feature_set, 1, 8)[0].tolist()
    values = zip(model.feature_set.names, row, strict=True)
    body = json.dumps({name: None if value != value else value for name, value in values})
    wrk = shutil.which("wrk")
    figures: dict[str, Any] = {}
    with server(scored) as (url, cold), server(trivial) as (other, _):
        figures["http_cold_start_s"] = round(cold, 2)
        if wrk is None:
            return {**figures, "not_measured": ["HTTP latency: wrk is not installed (Debian package wrk)"]}
        script = work / "post.lua"
        script.write_text(
            f'wrk.method = "POST"\nwrk.body = [[{body}]]\nwrk.headers["Content-Type"] = "application/json"\n'
        )
        rounds: dict[str, list[dict[str, float]]] = {"http": [], "http_trivial": []}
        for _ in range(3):  # in turns, because the machine is shared; the middle one by p99 counts
            rounds["http"].append(load(wrk, url, script, seconds))
            rounds["http_trivial"].append(load(wrk, other, script, seconds))
    for name, found in rounds.items():
        middle = sorted(found, key=lambda item: item["p99_ms"])[1]
        figures |= {f"{name}_{key}": value for key, value in middle.items()}
    return figures


def load(wrk: str, url: str, script: Path, seconds: int) -> dict[str, float]:
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    if "Non-2xx" in text:
        raise RuntimeError(f"the function refused requests of the benchmark: {text}")
    units = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    found = dict(re.findall(r"^\s+(50|99)%\s+(\S+)$", text, re.MULTILINE))
    figures = {}
    for level, value in found.items():
        number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", value).groups()  # type: ignore[union-attr]
        figures[f"p{level}_ms"] = round(float(number) * units[unit], 3)
    figures["requests_per_s"] = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]
    return figures


@contextmanager
def server(folder: Path) -> Generator[tuple[str, float], None, None]:
    """functions-framework on loopback, as it runs in production, with the function of ``folder``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    framework = Path(sys.executable).with_name("functions-framework")
    command = [str(framework), "--source", "cloud_function_code.py", "--target", "score_lead"]
    started = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        while not _answers(url):
            if process.poll() is not None or time.perf_counter() - started > 60:
                raise RuntimeError(f"the function in {folder} did not start")
            time.sleep(0.01)
        yield url, time.perf_counter() - started
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as answer:
        answer.close()
        return True
    except (urllib.error.URLError, ConnectionError):
        return False
    return True
