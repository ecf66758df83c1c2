from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.errors import BadInput, NotFound, Transient
from lead_scoring.warehouse.embedded import EmbeddedWarehouse
from lead_scoring.warehouse.partitions import PartitionFolder


def write(path: Path, values: list[int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"value": pa.array(values, pa.int64())}), path)
    return path


def total(warehouse: EmbeddedWarehouse) -> int:
    return warehouse.query("SELECT SUM(value) AS total FROM numbers").to_pylist()[0]["total"]


def test_a_partition_is_replaced_and_never_appended_to(tmp_path: Path) -> None:
    warehouse = EmbeddedWarehouse(tmp_path / "w")
    first = warehouse.replace_partition("numbers", "2024-12-20", [write(tmp_path / "a", [1, 2])])
    warehouse.replace_partition("numbers", "2024-12-21", [write(tmp_path / "b", [10])])
    again = warehouse.replace_partition("numbers", "2024-12-20", [write(tmp_path / "c", [1, 2])])
    assert first == again
    assert total(warehouse) == 13
    changed = warehouse.replace_partition("numbers", "2024-12-20", [write(tmp_path / "d", [5])])
    assert changed.digest != first.digest
    assert total(warehouse) == 15
    assert warehouse.partitions("numbers") == ["2024-12-20", "2024-12-21"]
    assert warehouse.partition("numbers", "2024-12-20") == changed
    assert warehouse.partition("numbers", "2024-12-01") is None


def test_the_fingerprint_changes_with_the_content_only(tmp_path: Path) -> None:
    one, two = EmbeddedWarehouse(tmp_path / "1"), EmbeddedWarehouse(tmp_path / "2")
    for warehouse in (one, two):
        warehouse.replace_partition("numbers", "all", [write(tmp_path / "a", [1])])
    assert one.fingerprint(["numbers"]) == two.fingerprint(["numbers"])
    one.replace_partition("numbers", "all", [write(tmp_path / "b", [2])])
    assert one.fingerprint(["numbers"]) != two.fingerprint(["numbers"])


def _replace_for_ever(folder: str, files: list[str]) -> None:
    warehouse = EmbeddedWarehouse(Path(folder))
    number = 0
    while True:
        warehouse.replace_partition("numbers", "all", [Path(files[number % len(files)])])
        number += 1


def test_kill_minus_nine_leaves_the_old_or_the_new_content(tmp_path: Path) -> None:
    files = [write(tmp_path / name, [value] * 5000) for name, value in (("a", 1), ("b", 2))]
    warehouse = EmbeddedWarehouse(tmp_path / "w")
    warehouse.replace_partition("numbers", "all", files[:1])
    for delay in (0.005, 0.02, 0.05):
        process = multiprocessing.get_context("fork").Process(
            target=_replace_for_ever, args=(str(tmp_path / "w"), [str(path) for path in files])
        )
        process.start()
        time.sleep(delay)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert total(warehouse) in {5000, 10000}


def test_a_reader_never_sees_half_a_replacement(tmp_path: Path) -> None:
    files = [
        [write(tmp_path / f"{name}{part}", [value] * 100) for part in (0, 1)] for name, value in (("a", 1), ("b", 2))
    ]
    warehouse = EmbeddedWarehouse(tmp_path / "w")
    warehouse.replace_partition("numbers", "all", files[0])
    done = threading.Event()

    def replace() -> None:
        for number in range(20):
            warehouse.replace_partition("numbers", "all", files[number % 2])
        done.set()

    writer = threading.Thread(target=replace)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(total(warehouse))
    writer.join()
    assert seen <= {200, 400}


def test_a_rival_writer_never_forgets_content_that_is_about_to_be_pointed_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = EmbeddedWarehouse(tmp_path / "w")
    warehouse.replace_partition("numbers", "all", [write(tmp_path / "a", [1])])
    mine, theirs = write(tmp_path / "b", [2]), write(tmp_path / "c", [3])
    rival = threading.Thread(
        target=EmbeddedWarehouse(tmp_path / "w").replace_partition, args=("numbers", "all", [theirs])
    )
    point = PartitionFolder._point

    def point_late(self: PartitionFolder, folder: Path, pointer: dict[str, object]) -> None:
        if threading.current_thread() is not rival:
            rival.start()
            rival.join(0.3)
        point(self, folder, pointer)

    monkeypatch.setattr(PartitionFolder, "_point", point_late)
    warehouse.replace_partition("numbers", "all", [mine])
    rival.join()
    assert total(warehouse) == 3


def test_what_a_killed_writer_left_is_removed_after_a_day(tmp_path: Path) -> None:
    warehouse = EmbeddedWarehouse(tmp_path / "w")
    warehouse.replace_partition("numbers", "all", [write(tmp_path / "a", [1])])
    old, young = (tmp_path / "w" / "numbers" / "all" / f".incoming-{name}" for name in ("old", "young"))
    for folder in (old, young):
        write(folder / "part-00000.parquet", [9])
    os.utime(old, (time.time() - 90_000, time.time() - 90_000))
    warehouse.replace_partition("numbers", "all", [write(tmp_path / "b", [2])])
    assert (old.exists(), young.exists()) == (False, True)
    assert total(warehouse) == 2


def test_a_table_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="'leads' is not in the warehouse.*Load it first"):
        EmbeddedWarehouse(tmp_path).columns("leads")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden"])
def test_a_partition_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="name"):
        EmbeddedWarehouse(tmp_path / "w").replace_partition("numbers", name, [write(tmp_path / "a", [1])])


def test_files_with_different_columns_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    pq.write_table(pa.table({"value": ["x"]}), other)
    with pytest.raises(BadInput, match="different columns"):
        EmbeddedWarehouse(tmp_path / "w").replace_partition("numbers", "all", [write(tmp_path / "a", [1]), other])


def test_an_export_is_cut_into_files_with_equal_bytes_each_time(tmp_path: Path) -> None:
    warehouse = EmbeddedWarehouse(tmp_path / "w")
    warehouse.replace_partition("numbers", "all", [write(tmp_path / "a", list(range(1000, 0, -1)))])
    sql = "SELECT value FROM numbers ORDER BY value"
    first = warehouse.export(sql, {}, tmp_path / "one", 400)
    second = warehouse.export(sql, {}, tmp_path / "two", 400)
    assert [pq.read_metadata(path).num_rows for path in first] == [400, 400, 200]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    empty = warehouse.export("SELECT value FROM numbers WHERE value < 0", {}, tmp_path / "none", 400)
    assert [pq.read_metadata(path).num_rows for path in empty] == [0]


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_dropped_partition_leaves_no_file_and_the_others_stand(tmp_path: Path) -> None:
    warehouse = EmbeddedWarehouse(tmp_path / "w")
    for day, value in (("2024-12-20", 1), ("2024-12-21", 10)):
        warehouse.replace_partition("numbers", day, [write(tmp_path / day, [value])])
    held = warehouse.partition("numbers", "2024-12-20")
    assert warehouse.drop_partition("numbers", "2024-12-20") == held
    assert warehouse.drop_partition("numbers", "2024-12-20") is None
    assert total(warehouse) == 10
    assert [path.name for path in (tmp_path / "w" / "numbers").iterdir()] == ["2024-12-21"]
    warehouse.drop_partition("numbers", "2024-12-21")
    assert warehouse.tables() == []
    assert files_below(tmp_path / "w") == ["numbers"]


def overtaken(warehouse: EmbeddedWarehouse, folder: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """So many times, what a query has found is replaced and cleared away before it is read."""
    connect, left = warehouse._connect, iter(range(times))

    def replace_first(spill: str) -> object:
        if (number := next(left, None)) is not None:
            warehouse.drop_partition("numbers", "run-1")
            warehouse.replace_partition("numbers", "run-1", [write(folder / "new", [10 + number])])
        return connect(spill)

    monkeypatch.setattr(warehouse, "_connect", replace_first)


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_a_reader_that_is_overtaken_looks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    warehouse = EmbeddedWarehouse(tmp_path / "w")
    warehouse.replace_partition("numbers", "run-1", [write(tmp_path / "a", [1])])
    warehouse.replace_partition("numbers", "run-2", [write(tmp_path / "b", [2])])
    overtaken(warehouse, tmp_path, monkeypatch, times)
    assert total(warehouse) == 2 + (9 + times if times else 1)
    overtaken(warehouse, tmp_path, monkeypatch, times)
    (tmp_path / "out").mkdir()
    parts = warehouse.export("SELECT value FROM numbers ORDER BY value", {}, tmp_path / "out", 1)
    assert [pq.read_table(part)["value"].to_pylist() for part in parts] == sorted([[2], [9 + times if times else 1]])


def test_a_reader_that_is_always_overtaken_may_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = EmbeddedWarehouse(tmp_path / "w")
    warehouse.replace_partition("numbers", "run-1", [write(tmp_path / "a", [1])])
    overtaken(warehouse, tmp_path, monkeypatch, 100)
    with pytest.raises(Transient, match="a partition of numbers was removed or replaced while a query read it"):
        total(warehouse)


def _write_and_drop(folder: str, file: str, number: int, rounds: int) -> None:
    warehouse = EmbeddedWarehouse(Path(folder))
    for _ in range(rounds):
        warehouse.replace_partition("numbers", "all", [Path(file)])
        warehouse.drop_partition("numbers", "all")
    warehouse.replace_partition("numbers", f"of-{number}", [Path(file)])


def test_writers_and_droppers_of_one_partition_do_not_trip_over_one_another(tmp_path: Path) -> None:
    file = write(tmp_path / "a", [1])
    fork = multiprocessing.get_context("fork")
    rivals = [
        fork.Process(target=_write_and_drop, args=(str(tmp_path / "w"), str(file), number, 40)) for number in range(3)
    ]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join()
    assert [rival.exitcode for rival in rivals] == [0, 0, 0]
    warehouse = EmbeddedWarehouse(tmp_path / "w")
    assert warehouse.partitions("numbers") == ["of-0", "of-1", "of-2"]
    assert total(warehouse) == 3


def test_a_folder_that_another_drops_while_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir, left = Path.mkdir, [1]

    def overtaken_once(self: Path, *arguments: object, **options: object) -> None:
        if self.name == "all" and left:
            left.pop()
            raise FileExistsError(17, "File exists", str(self))  # what mkdir says if it is gone again
        mkdir(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", overtaken_once)
    warehouse = EmbeddedWarehouse(tmp_path / "w")
    warehouse.replace_partition("numbers", "all", [write(tmp_path / "a", [1])])
    assert (total(warehouse), left) == (1, [])


def test_a_vacuum_removes_what_was_replaced_or_dropped_a_day_ago_and_says_how_much(tmp_path: Path) -> None:
    warehouse = EmbeddedWarehouse(tmp_path / "w")
    for day in ("2024-12-20", "2024-12-21"):
        warehouse.replace_partition("numbers", day, [write(tmp_path / "a", [1])])
        warehouse.replace_partition("numbers", day, [write(tmp_path / "b", [2])])
    killed = tmp_path / "w" / "numbers" / "2024-12-19"  # a drop that was killed after the pointer had gone
    write(killed / "0123456789abcdef" / "part-00000.parquet", [3])
    before = files_below(tmp_path / "w")
    assert warehouse.vacuum() == 0
    assert [name for name in files_below(tmp_path / "w") if not name.endswith(".lock")] == [
        name for name in before if not name.endswith(".lock")
    ]
    long_ago = time.time() - 90_000
    os.utime(tmp_path / "w" / "numbers" / "2024-12-20" / "current.json", (long_ago, long_ago))
    os.utime(killed, (long_ago, long_ago))
    size = (tmp_path / "a").stat().st_size + (killed / "0123456789abcdef" / "part-00000.parquet").stat().st_size
    assert warehouse.vacuum(dry_run=True) == size
    assert warehouse.vacuum() == size
    assert warehouse.vacuum() == 0
    assert not killed.exists()
    contents = {day: len([*(tmp_path / "w" / "numbers" / day).glob("*/")]) for day in ("2024-12-20", "2024-12-21")}
    assert contents == {"2024-12-20": 1, "2024-12-21": 2}
    assert total(warehouse) == 4
