"""What only Cloud Storage does: lost replies, outages, missing buckets, uploads in pieces, lists in pages."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from lead_scoring.errors import BadInput, Conflict, NotFound, Transient
from lead_scoring.storage import gcs as module
from lead_scoring.storage import open_store
from sandbox.gcs_server import server as server_module
from sandbox.gcs_server.server import GcsServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY", module.RETRY.with_delay(initial=0.01, maximum=0.05).with_timeout(0.5))


def test_a_creation_whose_reply_was_lost_is_not_taken_for_somebody_elses(gcs: GcsServer) -> None:
    store = open_store("gs://bucket/models")
    gcs.drop_reply_every = 1
    generation = store.write("events/1", b"mine", if_generation=0)
    assert store.read_generation("events/1") == (b"mine", generation)
    second = store.write("events/1", b"mine again", if_generation=generation)
    assert store.read_generation("events/1") == (b"mine again", second)


def test_equal_bytes_of_another_writer_are_still_a_conflict(gcs: GcsServer) -> None:
    store = open_store("gs://bucket/models")
    generation = store.write("counter", b"1")
    open_store("gs://bucket/models").write("counter", b"2", if_generation=generation)
    with pytest.raises(Conflict):
        store.write("counter", b"2", if_generation=generation)


def test_a_counter_survives_lost_replies_and_outages(gcs: GcsServer) -> None:
    store = open_store("gs://bucket")
    gcs.drop_reply_every, gcs.unavailable_every = 3, 4
    for number in range(20):
        data, generation = store.read_generation("counter")
        assert data == (str(number).encode() if number else b"")
        store.write("counter", str(number + 1).encode(), if_generation=generation)
    assert store.read("counter") == b"20"


def test_a_large_file_goes_up_in_pieces_and_comes_back_whole(gcs: GcsServer, tmp_path: Path) -> None:
    source = tmp_path / "shard.parquet"
    source.write_bytes(os.urandom(1 << 20) * 9 + b"\r\n--tail")
    store = open_store("gs://bucket/runs")
    generation = store.upload(source, "shard.parquet", if_generation=0)
    fetched = store.fetch("shard.parquet")
    assert fetched.read_bytes() == source.read_bytes()
    assert store.fetch("shard.parquet") == fetched, "the second fetch is served from the local copy"
    with pytest.raises(Conflict):
        store.upload(source, "shard.parquet", if_generation=0)
    store.write("shard.parquet", b"new", if_generation=generation)
    assert store.fetch("shard.parquet").read_bytes() == b"new"
    assert fetched.stat().st_size == source.stat().st_size, "a path that was handed out keeps its bytes"


def test_bytes_that_look_like_a_multipart_body_come_back_untouched(gcs: GcsServer) -> None:
    store = open_store("gs://bucket")
    for data in (b"", b"\r\n", b"\n--==\r\n\r\n{}", bytes(range(256)), b"\r\n\r\n--"):
        store.write("odd name?&#%25 ü", data)
        assert store.read("odd name?&#%25 ü") == data


def test_a_list_is_read_to_its_last_page(gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LARGEST_PAGE", 7)
    store = open_store("gs://bucket/deep/prefix")
    names = [f"events/{number:03d}" for number in range(30)]
    for name in reversed(names):
        store.write(name, b"")
    open_store("gs://bucket/deep").write("prefix2/x", b"")
    assert store.list("events/") == names
    assert store.list() == names


def test_a_missing_bucket_does_not_look_like_an_empty_one(gcs: GcsServer) -> None:
    store = open_store("gs://typo/models")
    for use in (
        lambda: store.read("a"), lambda: store.read_generation("a"), lambda: store.exists("a"), store.list,
        lambda: store.fetch("a"), lambda: store.delete("a"), lambda: store.write("a", b""),
    ):  # fmt: skip
        with pytest.raises((NotFound, BadInput), match="bucket"):
            use()


@pytest.mark.parametrize("uri", ["gs://", "gs:///models"])
def test_an_address_without_a_bucket_is_refused(uri: str) -> None:
    with pytest.raises(BadInput, match="gs://bucket/prefix"):
        open_store(uri)


def test_a_service_that_does_not_answer_is_a_transient_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    store = open_store("gs://bucket/models")
    for use in (lambda: store.read("a"), store.list, lambda: store.write("a", b"")):
        with pytest.raises(Transient, match="gs://bucket/models"):
            use()


def test_an_outage_is_a_transient_error(gcs: GcsServer) -> None:
    gcs.unavailable_every = 1
    with pytest.raises(Transient, match="gs://bucket/a"):
        open_store("gs://bucket").read("a")


def test_the_server_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "sandbox.gcs_server", "--port", "0", "--bucket", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        try:
            assert process.stdout is not None
            endpoint = process.stdout.readline().strip().removeprefix("STORAGE_EMULATOR_HOST=")
            with urllib.request.urlopen(f"{endpoint}/healthz") as answer:
                assert answer.status == 200
            with urllib.request.urlopen(f"{endpoint}/storage/v1/b/demo") as answer:
                assert b"demo" in answer.read()
        finally:
            process.terminate()
