"""The registry under many processes, kills, full disks and lost rights. Full sizes: ``lead-scoring bench registry``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.bench._faults import attempt, with_file_size_limit, without_rights
from lab.bench._races import race_counter, race_creations, race_registry, register_small, version_name
from lab.bench.registry import cloud_storage, interfere, snapshot
from lead_scoring.registry import Registry
from lead_scoring.storage import open_store

PROCESSES, WRITES = 4, 8


@pytest.fixture(params=["local", "gcs"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "store") if request.param == "local" else str(request.getfixturevalue("bucket"))


@pytest.fixture(scope="module")
def bucket() -> object:
    with cloud_storage() as address:
        yield address


def test_racing_processes_lose_no_write(uri: str) -> None:
    assert race_counter(uri, PROCESSES, WRITES)["lost"] == 0
    assert race_creations(uri, PROCESSES, WRITES)["creators"] == WRITES


def test_racing_promotions_lose_none_and_leave_exactly_one_in_production(uri: str, tmp_path: Path) -> None:
    figures = race_registry(f"{uri}/models", tmp_path / "packages", PROCESSES, WRITES)
    assert (figures["lost"], figures["twice"]) == (0, 0)
    assert figures["exactly_one_in_production"]
    assert figures["registry_json_is_current"]


@pytest.mark.parametrize("kill", [True, False])
def test_a_command_stopped_at_a_write_boundary_is_finished_by_giving_it_again(tmp_path: Path, kill: bool) -> None:
    for figures in interfere(tmp_path / "work", kill=kill, step=4).values():
        assert figures["old_state"] > 0
        assert figures["new_state"] > 0


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A registry with a champion and a candidate."""
    root = tmp_path / "models"
    for number in (1, 2):
        register_small(str(root), tmp_path / "packages", number)
    Registry(open_store(root)).promote(version_name(1), "first", "cli:test")
    return root


def promote(root: Path) -> Callable[[], object]:
    return lambda: Registry(open_store(root)).promote(version_name(2), "second", "cli:test")


def test_a_full_disk_refuses_a_promotion_and_changes_nothing(released: Path) -> None:
    before = snapshot(released)
    outcome = attempt(promote(released), prepare=with_file_size_limit(100))
    assert outcome.status == "refused"
    assert "free space" in outcome.message
    assert snapshot(released) == before


def test_a_read_only_folder_refuses_a_promotion_and_still_answers(released: Path) -> None:
    before = snapshot(released)
    everything = [released, *released.rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        outcome = attempt(promote(released), prepare=without_rights)
        assert outcome.status == "refused"
        assert "check the folder's path, rights and mount" in outcome.message
        assert attempt(lambda: Registry(open_store(released)).history(), prepare=without_rights).status == "done"
    finally:
        for path in everything:
            path.chmod(0o755)
    assert snapshot(released) == before


def test_a_disk_that_fills_up_after_the_event_says_that_the_event_holds(released: Path) -> None:
    event_size = max(path.stat().st_size for path in (released / "registry" / "events").iterdir())
    assert (released / "registry" / "registry.json").stat().st_size > event_size + 100
    outcome = attempt(promote(released), prepare=with_file_size_limit(event_size + 100))
    assert outcome.status == "refused"
    assert "is recorded and holds" in outcome.message
    assert "then give the same command again" in outcome.message
    assert Registry(open_store(released)).champion() == version_name(2)
    assert attempt(promote(released)).status == "done"
    assert b'"production": "' + version_name(2).encode() in open_store(released).read("registry/registry.json")
