"""Files of a command: whole under their own names, or not there; nothing of a killed command stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lead_scoring.cli import main
from lead_scoring.cli.models import write_files
from lead_scoring.cli.process import scratch_folder
from lead_scoring.errors import BadInput
from lead_scoring.storage import open_store
from lead_scoring.storage.written import local_file, replacing
from sandbox.gcs_server.server import running

HOLD = """
import sys, time
from pathlib import Path
from lead_scoring.storage.written import replacing
with replacing([Path(sys.argv[1])]) as (private,):
    private.write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""

COMMAND = """
import sys, tempfile, time
from lead_scoring import cli
def call(options):
    tempfile.mkdtemp(prefix="work-")
    print("ready", flush=True)
    time.sleep(60)
class Parser:
    def parse_args(self, arguments):
        import argparse
        return argparse.Namespace(call=call)
cli.parser = Parser
sys.exit(cli.main([]))
"""


def started(code: str, *arguments: str, place: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(place)},
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: subprocess.Popen[str]) -> str:
    _, error = process.communicate(timeout=60)
    return error


def test_a_file_has_its_name_when_it_is_whole_and_its_private_name_keeps_the_suffix(tmp_path: Path) -> None:
    out = tmp_path / "new" / "chart.png"
    with replacing([out]) as (private,):
        private.write_bytes(b"whole")
        assert (out.exists(), private.suffix, private.name[0]) == (False, ".png", ".")
    assert [(path.name, path.read_bytes()) for path in out.parent.iterdir()] == [("chart.png", b"whole")]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    out.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), replacing([out]) as (private,):
        private.write_bytes(b"half")
        raise ZeroDivisionError
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("t.parquet", b"before")]


def test_many_at_once_to_one_output_leave_the_files_of_one_of_them(tmp_path: Path) -> None:
    paths = [tmp_path / "t.parquet", tmp_path / "t_rejected.parquet"]
    gate = threading.Barrier(8)

    def write(number: int) -> None:
        for _ in range(20):
            gate.wait(30)
            with replacing(paths) as private:
                for path in private:
                    path.write_bytes(bytes([number]) * 1000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = (path.read_bytes() for path in paths)
    assert first == second == bytes([first[0]]) * 1000
    assert sorted(tmp_path.iterdir()) == paths


def test_the_next_command_sweeps_the_private_file_of_a_killed_one_and_of_no_other(tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    living, killed = (started(HOLD, str(out), place=tmp_path) for _ in range(2))
    try:
        killed.kill()
        ended(killed)
        assert len([*tmp_path.glob(".partial-*")]) == 2
        with replacing([out]) as (private,):
            private.write_bytes(b"whole")
        assert len([*tmp_path.glob(".partial-*")]) == 1
    finally:
        living.kill()
        ended(living)


def test_a_folder_an_address_and_a_place_below_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, words in ((tmp_path, "is a folder"), (tmp_path / "file" / "t.csv", "is no folder")):
        with pytest.raises(BadInput, match=words), replacing([path]):
            pass
    with pytest.raises(BadInput, match="'gs://bucket/t.parquet' is an address"):
        local_file("gs://bucket/t.parquet")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_in_one_line_and_leaves_nothing(tmp_path: Path, number: int, status: int) -> None:
    process = started(COMMAND, place=tmp_path)
    process.send_signal(number)
    error = ended(process)
    assert (process.returncode, error.count("\n"), "Traceback" in error) == (status, 1, False)
    assert signal.Signals(number).name in error
    assert not [*tmp_path.iterdir()]


def test_temporary_files_of_a_killed_command_go_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    living, killed = (started(COMMAND, place=tmp_path) for _ in range(2))
    try:
        killed.kill()
        ended(killed)
        assert len([*tmp_path.glob("*/work-*")]) == 2
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with scratch_folder():
            assert len([*tmp_path.glob("*/work-*")]) == 1
    finally:
        living.terminate()
        ended(living)
    assert not [*tmp_path.iterdir()]


def test_training_writes_to_a_folder_or_to_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "made"
    made.write_bytes(b"model")
    write_files(str(tmp_path / "out"), {"model.ubj": made})
    assert (tmp_path / "out" / "model.ubj").read_bytes() == b"model"
    with running("bucket") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.endpoint)
        write_files("gs://bucket/out", {"model.ubj": made})
        assert open_store("gs://bucket/out").read("model.ubj") == b"model"


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", "--batch", "t.csv", "--out", "gs://bucket/o.parquet"],
        ["features", "build", "--source", "s", "--out", "gs://bucket/o.parquet"],
        ["calibrate", "--scores", "t.csv", "--out", "gs://bucket/o"],
        ["train", "--features", "t.csv", "--out", "s3://bucket/o"],
    ],
)
def test_an_address_that_is_not_written_to_is_refused_at_once(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert ("://bucket/o" in error, error.count("\n")) == (True, 1)
    assert not [*tmp_path.iterdir()]
