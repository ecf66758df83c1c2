"""A folder under kills, full disks, lost rights and other processes."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.bench._faults import Outcome, attempt, count_boundaries, with_file_size_limit, without_rights
from lead_scoring.errors import BadInput, Exhausted, Transient
from lead_scoring.storage import open_store
from lead_scoring.storage.local import LEFT_OVER_SECONDS, LOCK_FILE, PRIVATE_FOLDER

OLD, NEW = b"old " * 5_000, b"new " * 9_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with one object that will be replaced and one that must stay as it is."""
    root = tmp_path / "store"
    open_store(root).write("deep/a", OLD)
    open_store(root).write("b", b"bystander")
    return root


def writing(root: Path) -> Callable[[], object]:
    return lambda: open_store(root).write("deep/a", NEW)


def uploading(root: Path) -> Callable[[], object]:
    source = root.parent / "source.bin"
    source.write_bytes(NEW)
    return lambda: open_store(root).upload(source, "deep/a")


def creating(root: Path) -> Callable[[], object]:
    return lambda: open_store(root).write("new/place/c", NEW, if_generation=0)


def contents(root: Path) -> dict[str, bytes]:
    store = open_store(root)
    return {name: store.read(name) for name in store.list()}


BEFORE = {"deep/a": OLD, "b": b"bystander"}
WORKS = [(writing, BEFORE | {"deep/a": NEW}), (uploading, BEFORE | {"deep/a": NEW})]
WORKS.append((creating, BEFORE | {"new/place/c": NEW}))


@pytest.mark.parametrize(("work", "after"), WORKS)
def test_a_kill_at_any_write_boundary_leaves_the_old_or_the_new_state(
    folder: Path, tmp_path: Path, work: Callable[[Path], Callable[[], object]], after: dict[str, bytes]
) -> None:
    boundaries = count_boundaries(work(shutil.copytree(folder, tmp_path / "dry")))
    assert boundaries >= 8
    seen = []
    for at in range(1, boundaries + 1):
        root = shutil.copytree(folder, tmp_path / f"killed-{at}")
        assert attempt(work(root), at=at).status == "killed"
        seen.append(contents(root))
        assert seen[-1] in (BEFORE, after)
        again = attempt(work(root))
        if work is creating and seen[-1] == after:
            assert again.message.startswith("Conflict"), "it was created, so it cannot be created again"
        else:
            assert again.status == "done", "no kill leaves anything that blocks the next writer"
        assert contents(root) == after
    assert BEFORE in seen
    assert after in seen


@pytest.mark.parametrize(("work", "after"), WORKS)
@pytest.mark.parametrize(
    ("error", "kind"), [(errno.ENOSPC, Exhausted), (errno.EROFS, BadInput), (errno.EIO, Transient)]
)
def test_an_error_at_any_write_boundary_changes_nothing(
    folder: Path,
    tmp_path: Path,
    work: Callable[[Path], Callable[[], object]],
    after: dict[str, bytes],
    error: int,
    kind: type[Exception],
) -> None:
    for at in range(1, count_boundaries(work(shutil.copytree(folder, tmp_path / "dry"))) + 1):
        root = shutil.copytree(folder, tmp_path / f"failed-{at}")
        outcome = attempt(work(root), at=at, error=error)
        if outcome.status == "done":  # only the last step may fail unseen: the folder's fsync, after the rename
            assert contents(root) == after
        else:
            assert outcome.status == "refused"
            assert outcome.message.startswith(f"{kind.__name__}: cannot write {root}/")
            assert contents(root) == BEFORE


def test_a_disk_that_takes_only_half_of_the_bytes_changes_nothing(folder: Path) -> None:
    outcome = attempt(writing(folder), prepare=with_file_size_limit(len(NEW) // 2))
    assert outcome == Outcome("refused", outcome.message, outcome.boundaries)
    assert "free space" in outcome.message
    assert contents(folder) == BEFORE
    assert not list((folder / PRIVATE_FOLDER).iterdir()), "the half that was written is removed"


def test_a_folder_without_write_permission_changes_nothing_and_can_be_read(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        outcome = attempt(writing(folder), prepare=without_rights)
        assert outcome.status == "refused"
        assert "BadInput: cannot write" in outcome.message
        assert "check the folder's path, rights and mount" in outcome.message
        assert attempt(lambda: contents(folder), prepare=without_rights).status == "done"
        assert "cannot delete" in attempt(lambda: open_store(folder).delete("b"), prepare=without_rights).message
    finally:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)
    assert contents(folder) == BEFORE


def test_a_file_that_may_not_be_read_is_an_error_and_not_an_absent_object(folder: Path) -> None:
    (folder / "b").chmod(0)
    outcome = attempt(lambda: open_store(folder).read_generation("b"), prepare=without_rights)
    assert "BadInput: cannot read" in outcome.message


def test_a_folder_that_may_not_be_read_is_an_error_and_not_an_empty_one(folder: Path) -> None:
    (folder / "deep").chmod(0)
    try:
        for use in (lambda: open_store(folder).list(), lambda: open_store(folder).exists("deep/a")):
            assert "BadInput: cannot l" in attempt(use, prepare=without_rights).message
    finally:
        (folder / "deep").chmod(0o755)


def test_reading_creates_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "absent")
    assert store.list() == []
    assert not store.exists("a")
    assert store.read_generation("a") == (b"", 0)
    store.delete("a")
    assert not (tmp_path / "absent").exists()


def test_what_killed_writers_left_is_removed_after_a_day(folder: Path) -> None:
    old, fresh = (folder / PRIVATE_FOLDER / name for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"left over")
    os.utime(old, (time.time() - LEFT_OVER_SECONDS - 60,) * 2)
    open_store(folder).write("c", b"")
    assert not old.exists()
    assert fresh.exists(), "it may belong to an upload under way"


def test_an_object_where_a_folder_would_be_is_refused(folder: Path) -> None:
    store = open_store(folder)
    with pytest.raises(BadInput, match="b/inside"):
        store.write("b/inside", b"")
    with pytest.raises(BadInput, match="cannot write"):
        store.write("deep", b"")
    assert store.read_generation("deep") == (b"", 0)
    assert not store.exists("deep")
    assert contents(folder) == BEFORE


def test_an_edit_by_hand_changes_the_generation(folder: Path) -> None:
    store = open_store(folder)
    _, before = store.read_generation("b")
    (folder / "b").chmod(0o644)
    (folder / "b").write_bytes(b"edited")
    assert store.read_generation("b")[0] == b"edited"
    assert store.read_generation("b")[1] != before


def test_a_clock_that_stands_still_or_goes_back_still_gives_new_generations(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(folder)
    _, before = store.read_generation("b")
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
    generations = [store.write("b", b"x") for _ in range(5)]
    assert generations == sorted(set(generations))
    assert generations[0] > before


def test_files_of_others_in_the_folder_are_not_objects(folder: Path) -> None:
    (folder / ".gitkeep").touch()
    (folder / "deep" / ".hidden").touch()
    assert open_store(folder).list() == ["b", "deep/a"]
    assert (folder / LOCK_FILE).exists()
