"""What every object store promises. The same tests run on each backend."""

from __future__ import annotations

import datetime as dt
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lead_scoring.errors import BadInput, Conflict, NotFound
from lead_scoring.storage import ObjectStore, open_store
from lead_scoring.storage.local import LocalStore


def test_what_was_written_is_read(store: ObjectStore) -> None:
    generation = store.write("registry/registry.json", b"one")
    assert store.read("registry/registry.json") == b"one"
    assert store.read_generation("registry/registry.json") == (b"one", generation)
    assert store.exists("registry/registry.json")


def test_an_absent_object_has_generation_zero_and_is_named_in_the_error(store: ObjectStore) -> None:
    assert store.read_generation("a/b") == (b"", 0)
    assert not store.exists("a/b")
    with pytest.raises(NotFound, match="a/b"):
        store.read("a/b")
    with pytest.raises(NotFound, match="a/b"):
        store.fetch("a/b")


def test_create_if_absent_refuses_a_second_creation(store: ObjectStore) -> None:
    store.write("a", b"first", if_generation=0)
    with pytest.raises(Conflict):
        store.write("a", b"second", if_generation=0)
    assert store.read("a") == b"first"


def test_compare_and_swap_refuses_a_generation_that_has_passed(store: ObjectStore) -> None:
    first = store.write("a", b"1")
    second = store.write("a", b"2", if_generation=first)
    assert second != first
    with pytest.raises(Conflict):
        store.write("a", b"3", if_generation=first)
    assert store.read_generation("a") == (b"2", second)


def test_compare_and_swap_on_a_deleted_object_is_refused(store: ObjectStore) -> None:
    generation = store.write("a", b"1")
    store.delete("a")
    with pytest.raises(Conflict):
        store.write("a", b"2", if_generation=generation)
    assert not store.exists("a")


def test_every_write_has_a_generation_of_its_own(store: ObjectStore) -> None:
    generations = [store.write("a", b"same bytes") for _ in range(50)]
    assert len(set(generations)) == 50


def test_of_16_racing_creations_exactly_one_wins(store: ObjectStore) -> None:
    def create(number: int) -> bool:
        try:
            store.write("race", str(number).encode(), if_generation=0)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(create, range(16)))
    assert won.count(True) == 1
    assert store.read("race") == str(won.index(True)).encode()


def test_16_racing_counters_lose_no_step(store: ObjectStore) -> None:
    def step(_: int) -> None:
        while True:
            data, generation = store.read_generation("counter")
            try:
                store.write("counter", str(int(data or b"0") + 1).encode(), if_generation=generation)
            except Conflict:
                continue
            return

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(step, range(64)))
    assert store.read("counter") == b"64"


def test_a_list_is_sorted_and_by_prefix(store: ObjectStore) -> None:
    for name in ("b/2", "b/10", "b/deep/er", "a", "bb"):
        store.write(name, b"")
    assert store.list() == ["a", "b/10", "b/2", "b/deep/er", "bb"]
    assert store.list("b/") == ["b/10", "b/2", "b/deep/er"]
    assert store.list("b/1") == ["b/10"]
    assert store.list("b") == ["b/10", "b/2", "b/deep/er", "bb"]
    assert store.list("none/") == []


def test_deletion_can_be_repeated(store: ObjectStore) -> None:
    store.write("a/b", b"1")
    store.delete("a/b")
    store.delete("a/b")
    assert store.list() == []


def test_an_uploaded_file_is_fetched_with_the_same_bytes(store: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(bytes(range(256)) * 20_000)
    generation = store.upload(source, "shards/0.parquet", if_generation=0)
    assert store.fetch("shards/0.parquet").read_bytes() == source.read_bytes()
    assert store.read_generation("shards/0.parquet")[1] == generation
    with pytest.raises(Conflict):
        store.upload(source, "shards/0.parquet", if_generation=0)
    with pytest.raises(NotFound, match="absent"):
        store.upload(tmp_path / "absent.bin", "x")


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/../b", "a\\b", ".lock", "a/.b", "a\nb"])
def test_a_name_that_one_backend_cannot_hold_is_refused_by_both(store: ObjectStore, name: str) -> None:
    for use in (store.read, store.exists, store.fetch, store.delete, lambda bad: store.write(bad, b"")):
        with pytest.raises(BadInput, match="object name"):
            use(name)


def test_a_file_with_time_zero_exists(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write("registry/a", b"old")
    os.utime(tmp_path / "registry" / "a", (0, 0))
    data, generation = store.read_generation("registry/a")
    assert (data, generation > 0, store.exists("registry/a")) == (b"old", True, True)
    with pytest.raises(Conflict):
        store.write("registry/a", b"new", if_generation=0)
    store.write("registry/a", b"new", if_generation=generation)
    assert store.read("registry/a") == b"new"


@pytest.mark.parametrize("address", ["s3://bucket/models", "gs:/demo", "file:///tmp/models", "GS://bucket/models"])
def test_an_address_of_another_kind_is_no_local_folder(address: str) -> None:
    with pytest.raises(BadInput, match="is no folder and not gs://bucket/prefix"):
        open_store(address)


def test_entries_have_size_and_time(store: ObjectStore) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    store.write("runs/a", b"four")
    store.write("runs/b/c", b"")
    store.write("other", b"1")
    found = store.entries("runs/")
    assert [(item.name, item.bytes) for item in found] == [("runs/a", 4), ("runs/b/c", 0)]
    assert all(before <= item.written <= dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1) for item in found)
    assert [item.name for item in store.entries()] == store.list()


def test_a_deletion_leaves_no_empty_folder_and_trips_no_writer_next_to_it(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    store.write("a/b/c/d", b"1")
    store.write("a/e", b"1")
    store.delete("a/b/c/d")
    assert sorted(path.name for path in (tmp_path / "store" / "a").iterdir()) == ["e"]

    def come_and_go(number: int) -> None:
        mine = LocalStore(tmp_path / "store")
        for _ in range(30):
            mine.write(f"x/y/{number}", b"1")
            mine.delete(f"x/y/{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    assert store.list() == ["a/e"]
