"""What the registry promises to the people who release, in a local folder and in Cloud Storage."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lead_scoring.errors import BadInput, CheckFailed, Conflict, NotFound
from lead_scoring.registry import REGISTRY_FILE, Event
from lead_scoring.registry.package import check_files, open_package, publish_package, restore_package
from lead_scoring.registry.registry import Registry
from lead_scoring.storage import ObjectStore

pytestmark = pytest.mark.parametrize("store", ["local", "gcs"], indirect=True)
Three = tuple[str, str, str]


def statuses(registry: Registry) -> list[str]:
    return [entry["status"] for entry in registry.entries()]


def again(registry: Registry, version: str) -> dict[str, Any]:
    """The arguments that the version was registered with."""
    entry = registry.show(version)
    keys = ("manifest_digest", "performance", "calibration", "feature_set", "run")
    return {**{key: entry[key] for key in keys}, "actor": "cli:test", "reason": "release"}


def test_an_empty_registry_has_no_champion_and_writes_nothing(registry: Registry, store: ObjectStore) -> None:
    assert registry.champion() is None
    assert registry.entries() == []
    assert registry.history() == []
    registry.refresh()
    assert store.list() == []
    with pytest.raises(NotFound, match="not registered"):
        registry.show("v1-20241221-00000001")


def test_a_registered_version_is_staged_and_has_the_documents_shape(registry: Registry, three: Three) -> None:
    entry = json.loads(registry.store.read(REGISTRY_FILE))["models"][0]
    assert list(entry)[:4] == ["version_id", "status", "performance", "calibration"]
    assert entry["version_id"] == three[0]
    assert entry["status"] == "staged"
    assert entry["performance"] == {
        "test_auc_roc": 0.7002,
        "test_auc_pr": 0.107,
        "top_decile_lift": 3.03,
        "baseline_rate": 0.042,
        "top_decile_rate": 0.1272,
    }
    assert entry["calibration"] == {"method": "isotonic", "brier_score": 0.038369}
    assert registry.champion() is None


def test_a_promotion_archives_the_champion_in_the_same_event(registry: Registry, three: Three) -> None:
    registry.promote(three[0], "first release", "cli:maria")
    registry.promote(three[1], "better lift", "cli:maria")
    assert statuses(registry) == ["archived", "production", "staged"]
    assert registry.champion() == three[1]
    assert json.loads(registry.store.read(REGISTRY_FILE))["production"] == three[1]


def test_a_rollback_restores_the_previous_champion_and_another_one_goes_further_back(
    registry: Registry, three: Three
) -> None:
    for version in three:
        registry.promote(version, "release", "cli:maria")
    assert registry.rollback("bad lift", "cli:maria").version_id == three[1]
    assert registry.rollback("also bad", "cli:maria").version_id == three[0]
    assert statuses(registry) == ["production", "archived", "archived"]
    with pytest.raises(BadInput, match="no earlier champion"):
        registry.rollback("further", "cli:maria")
    registry.promote(three[2], "it was fine after all", "cli:maria")
    assert registry.rollback("no", "cli:maria").version_id == three[0]


def test_a_rollback_leaves_out_a_version_that_was_rejected_since(registry: Registry, three: Three) -> None:
    for version in three:
        registry.promote(version, "release", "cli:maria")
    registry.reject(three[1], "found to leak", "cli:maria")
    assert registry.rollback("bad lift", "cli:maria").version_id == three[0]


@pytest.mark.parametrize("part", ["model", "manifest"])
def test_a_damaged_version_is_written_anew_from_the_same_package_and_from_no_other(
    registry: Registry, store: ObjectStore, three: Three, package: Callable[..., dict[str, Path]], part: str
) -> None:
    version, digest = three[0], registry.show(three[0])["manifest_digest"]
    name = next(item for item in store.list("production/") if item.startswith(f"production/{part}_{version}"))
    store.write(name, b"damaged")
    with pytest.raises(CheckFailed, match="clear the red run from its first task"):
        registry.promote(version, "release", "cli:maria")
    with pytest.raises(CheckFailed, match="was made again has other bytes"):
        restore_package(store, package(version, b"other"), version, digest)
    assert store.read(name) == b"damaged"
    restore_package(store, package(version), version, digest)
    check_files(store, version, digest)
    assert registry.promote(version, "release", "cli:maria").status == "production"


def test_a_rollback_with_nothing_in_production_says_so(registry: Registry, three: Three) -> None:
    with pytest.raises(BadInput, match="champion none has no earlier champion"):
        registry.rollback("bad lift", "cli:maria")


def test_the_champion_cannot_be_archived_or_rejected(registry: Registry, three: Three) -> None:
    registry.promote(three[0], "release", "cli:maria")
    for retire in (registry.archive, registry.reject):
        with pytest.raises(BadInput, match="always is a champion"):
            retire(three[0], "tidy up", "cli:maria")
    assert registry.champion() == three[0]


def test_a_rejected_version_never_goes_into_production(registry: Registry, three: Three) -> None:
    registry.reject(three[0], "the gate said no", "airflow:release")
    with pytest.raises(BadInput, match="is rejected"):
        registry.promote(three[0], "please", "cli:maria")


def test_repeating_a_command_adds_no_event(registry: Registry, register: Callable[..., str]) -> None:
    version = register(1)
    register(1)
    registry.promote(version, "release", "cli:maria")
    registry.promote(version, "release", "cli:maria")
    other = register(2)
    registry.archive(other, "not needed", "cli:maria")
    registry.archive(other, "not needed", "cli:maria")
    assert [event["kind"] for event in registry.history()] == ["register", "promote", "register", "archive"]


def test_a_retried_request_is_recognised(registry: Registry, three: Three) -> None:
    for version in three:
        registry.promote(version, "release", "airflow:release", request=f"release-{version}")
    first = registry.rollback("bad", "airflow:rollback", request="rollback-1")
    again = registry.rollback("bad", "airflow:rollback", request="rollback-1")
    assert first == again
    registry.promote(three[2], "release", "airflow:release", request=f"release-{three[2]}")
    assert registry.champion() == three[1], "the retry of an old promotion must not undo the rollback"


def test_a_rollback_of_another_champion_than_expected_is_refused(registry: Registry, three: Three) -> None:
    registry.promote(three[0], "release", "cli:maria")
    registry.promote(three[1], "release", "cli:maria")
    with pytest.raises(Conflict, match="changed in the meantime"):
        registry.rollback("bad", "cli:maria", expected=three[0])
    assert registry.rollback("bad", "cli:maria", expected=three[1]).version_id == three[0]


def test_what_was_in_production_at_any_time_is_answered(registry: Registry, three: Three) -> None:
    # the clock gives 06:01, 06:02, 06:03 to the registrations
    registry.promote(three[0], "release", "cli:maria")  # 06:04
    registry.promote(three[1], "release", "cli:maria")  # 06:05
    registry.rollback("bad", "cli:maria")  # 06:06
    assert registry.champion("2024-12-20") is None
    assert registry.champion("2024-12-21T06:03:59Z") is None
    assert registry.champion("2024-12-21T06:04:00Z") == three[0]
    assert registry.champion("2024-12-21T07:05:30+01:00") == three[1]
    assert registry.champion("2024-12-21") == three[0]
    assert len(registry.history("2024-12-21T06:04:30")) == 4
    with pytest.raises(BadInput, match="2024-12-21T06:00:00Z"):
        registry.history("yesterday")


def test_every_event_says_who_when_what_and_why(registry: Registry, three: Three) -> None:
    registry.promote(three[0], "first release", "cli:maria")
    registry.promote(three[1], "better lift", "cli:jo")
    event = registry.history()[-1]
    assert [event[key] for key in ("actor", "reason", "kind", "version_id", "at", "champion")] == [
        "cli:jo", "better lift", "promote", three[1], "2024-12-21T06:05:00.000000Z", three[1],
    ]  # fmt: skip
    assert event["details"] == {"replaced": three[0]}
    for actor, reason in (("", "why"), ("cli:jo", "  ")):
        with pytest.raises(BadInput, match="is empty"):
            registry.promote(three[2], reason, actor)


def test_the_same_version_with_other_bytes_is_refused(
    registry: Registry, store: ObjectStore, register: Callable[..., str], package: Callable[..., dict[str, Path]]
) -> None:
    version = register(1)
    before = {name: store.read(name) for name in store.list()}
    with pytest.raises(Conflict, match="never change"):
        publish_package(store, package(version, b"other"), version)
    with pytest.raises(Conflict, match="never change"):
        registry.register(version, **{**again(registry, version), "manifest_digest": "f" * 64})
    assert {name: store.read(name) for name in store.list()} == before


def test_a_version_without_files_cannot_be_registered(registry: Registry, register: Callable[..., str]) -> None:
    with pytest.raises(NotFound, match="publish the package first"):
        registry.register("v1-20241221-ffffffff", **again(registry, register(1)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"performance": {"test_auc_roc": 0.7}}, "performance.test_auc_pr is missing"),
        ({"calibration": {"method": "platt", "brier_score": float("nan")}}, "calibration.brier_score is nan"),
        ({"run": {"at": object()}}, "run cannot be written as JSON"),
        ({"actor": ""}, "actor '' is empty"),
    ],
)
def test_figures_that_json_cannot_hold_are_refused(
    registry: Registry, register: Callable[..., str], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        register(1, **changes)
    assert registry.history() == []


def test_a_version_whose_file_was_changed_cannot_be_promoted(registry: Registry, three: Three) -> None:
    registry.promote(three[0], "release", "cli:maria")
    registry.store.write(f"production/model_{three[1]}.ubj", b"something else")
    with pytest.raises(CheckFailed, match=f"model_{three[1]}.ubj"):
        registry.promote(three[1], "release", "cli:maria")
    assert registry.champion() == three[0]


def test_a_champion_whose_file_was_changed_is_not_said_to_be_in_production_again(
    registry: Registry, three: Three
) -> None:
    registry.promote(three[0], "release", "cli:maria")
    events = registry.history()
    registry.store.write(f"production/model_{three[0]}.ubj", b"something else")
    with pytest.raises(CheckFailed, match=f"model_{three[0]}.ubj"):
        registry.promote(three[0], "again", "cli:maria")
    assert registry.history() == events


def test_a_rollback_to_a_version_whose_file_was_changed_changes_nothing(registry: Registry, three: Three) -> None:
    registry.promote(three[0], "release", "cli:maria")
    registry.promote(three[1], "release", "cli:maria")
    registry.store.write(f"production/model_{three[0]}.ubj", b"something else")
    with pytest.raises(CheckFailed, match=f"model_{three[0]}.ubj"):
        registry.rollback("bad figures", "cli:maria")
    assert registry.champion() == three[1]


def test_registry_json_is_rebuilt_from_the_events(registry: Registry, three: Three) -> None:
    right = registry.store.read(REGISTRY_FILE)
    for wrong in (b"", b"{}", right.replace(b"staged", b"production")):
        registry.store.write(REGISTRY_FILE, wrong)
        assert statuses(registry) == ["staged", "staged", "staged"], "nobody decides by the derived file"
        registry.refresh()
        assert registry.store.read(REGISTRY_FILE) == right
    registry.store.delete(REGISTRY_FILE)
    registry.refresh()
    assert registry.store.read(REGISTRY_FILE) == right


def test_a_changed_or_missing_event_is_noticed(registry: Registry, store: ObjectStore, three: Three) -> None:
    for number in (1, 2, 3):
        name = f"registry/events/{number:08d}.json"
        right = store.read(name)
        store.write(name, right.replace(b"cli:test", b"cli:eve"))
        with pytest.raises(CheckFailed, match=name):
            Registry(store).entries()
        store.write(name, right)
    store.delete("registry/events/00000002.json")
    with pytest.raises(CheckFailed, match="00000002.json is missing"):
        Registry(store).entries()


def test_a_clock_that_goes_backwards_does_not_reorder_history(registry: Registry, three: Three) -> None:
    registry.promote(three[0], "release", "cli:maria")
    late = registry.history()[-1]["at"]
    registry._clock.now = registry._clock.now.replace(hour=1)  # type: ignore[attr-defined]
    registry.promote(three[1], "release", "cli:maria")
    assert registry.history()[-1]["at"] == late
    assert registry.champion(late) == three[1]


def test_a_promotion_and_a_rollback_place_the_champions_function_code(
    registry: Registry, store: ObjectStore, three: Three
) -> None:
    registry.promote(three[0], "release", "cli:maria")
    registry.promote(three[1], "release", "cli:maria")
    assert store.read("production/cloud_function_code.py") == f"# serves {three[1]}\n".encode()
    assert store.exists("production/lead_scoring/__init__.py")
    registry.rollback("bad", "cli:maria")
    assert store.read("production/cloud_function_code.py") == f"# serves {three[0]}\n".encode()
    assert store.read(f"production/function_{three[1]}/cloud_function_code.py") == f"# serves {three[1]}\n".encode()


def test_a_promotion_over_another_champion_than_expected_is_refused(registry: Registry, three: Three) -> None:
    registry.promote(three[0], "release", "cli:maria", expected="")
    with pytest.raises(Conflict, match=f"champion is {three[0]}, not none"):
        registry.promote(three[1], "release", "cli:maria", expected="")
    registry.promote(three[1], "release", "cli:maria", expected=three[0])
    assert registry.champion() == three[1]


def test_a_log_that_lost_its_last_events_takes_no_new_ones(
    registry: Registry, store: ObjectStore, three: Three
) -> None:
    registry.promote(three[0], "release", "cli:maria")
    store.delete("registry/events/00000004.json")
    with pytest.raises(CheckFailed, match="derived from 4 events, the log has 3"):
        Registry(store).promote(three[1], "release", "cli:maria")
    assert not store.exists("registry/events/00000004.json")


def test_of_racing_rollbacks_of_one_champion_exactly_one_is_carried_out(
    registry: Registry, store: ObjectStore, three: Three
) -> None:
    for version in three:
        registry.promote(version, "release", "cli:maria")

    def roll_back(number: int) -> str:
        return Registry(store).rollback("bad lift", f"cli:{number}", expected=three[2]).version_id

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(roll_back, range(8))) == [three[1]] * 8
    assert [event["kind"] for event in Registry(store).history()].count("rollback") == 1


def test_a_rollback_that_could_not_write_registry_json_is_repeated_without_going_further_back(
    registry: Registry, store: ObjectStore, three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in three:
        registry.promote(version, "release", "cli:maria")
    write = store.write

    def without_registry_json(name: str, data: bytes, **condition: Any) -> int:
        if name == REGISTRY_FILE:
            raise BadInput("cannot write registry.json: Permission denied")
        return write(name, data, **condition)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", without_registry_json)
        with pytest.raises(BadInput, match=f"holds.*registry rollback --from {three[2]} --reason"):
            registry.rollback("bad lift", "cli:maria", expected=three[2])
    assert json.loads(store.read(REGISTRY_FILE))["production"] == three[2]
    assert Registry(store).rollback("bad lift", "cli:maria", expected=three[2]).version_id == three[1]
    assert json.loads(store.read(REGISTRY_FILE))["production"] == three[1]
    assert [event["kind"] for event in registry.history()].count("rollback") == 1


def test_a_version_that_came_back_after_its_rollback_can_be_rolled_back_again(registry: Registry, three: Three) -> None:
    for version in (three[0], three[1]):
        registry.promote(version, "release", "cli:maria")
    registry.rollback("bad", "cli:maria", expected=three[1])
    registry.promote(three[2], "release", "cli:maria")
    with pytest.raises(Conflict, match="changed in the meantime"):
        registry.rollback("bad", "cli:maria", expected=three[1])
    registry.promote(three[1], "it was fine", "cli:maria")
    assert registry.rollback("bad after all", "cli:maria", expected=three[1]).version_id == three[2]


@pytest.mark.parametrize(
    "read", [Registry.entries, Registry.history, Registry.champion, lambda it: open_package(it.store)]
)
def test_no_reading_command_accepts_a_log_that_lost_its_last_events(
    store: ObjectStore, registry: Registry, three: Three, read: Callable[[Registry], object]
) -> None:
    registry.promote(three[0], "release", "cli:maria")
    registry.promote(three[1], "release", "cli:maria")
    last = "registry/events/00000005.json"
    promotion = store.read(last)
    store.delete(last)
    with pytest.raises(CheckFailed, match="derived from 5 events, the log has 4"):
        read(Registry(store))
    event = Event.from_bytes(promotion, last)
    store.write(last, dataclasses.replace(event, version_id=three[2]).to_bytes())
    with pytest.raises(CheckFailed, match="derived from another event 5"):
        read(Registry(store))
    for number in range(1, 6):
        store.delete(f"registry/events/{number:08d}.json")
    with pytest.raises(CheckFailed, match="the log has no event"):
        read(Registry(store))


def test_text_that_does_not_print_is_not_recorded(registry: Registry, three: Three) -> None:
    for reason in ("two\nlines", "\x1b[2J", "M\udce4rz"):
        with pytest.raises(BadInput, match="plain text"):
            registry.promote(three[0], reason, "cli:maria")


def test_function_code_half_placed_by_a_killed_promotion_is_put_right_by_the_rollback(
    registry: Registry, store: ObjectStore, three: Three
) -> None:
    registry.promote(three[0], "release", "cli:maria")
    derived = store.read(REGISTRY_FILE)
    registry.promote(three[1], "release", "cli:maria")
    store.write(REGISTRY_FILE, derived)  # as a kill between the function code and registry.json leaves it
    Registry(store).rollback("bad", "cli:maria")
    assert store.read("production/cloud_function_code.py") == f"# serves {three[0]}\n".encode()


def test_a_decision_that_was_overtaken_is_made_anew(registry: Registry, store: ObjectStore, three: Three) -> None:
    registry.promote(three[0], "release", "cli:maria")
    clock = registry._clock

    def overtaking() -> dt.datetime:
        """Somebody else promotes between our look at the state and our event."""
        registry._clock = clock
        Registry(store, clock).promote(three[1], "first", "cli:jo")
        return clock()

    registry._clock = overtaking
    with pytest.raises(Conflict, match=f"champion is {three[1]}, not {three[0]}"):
        registry.promote(three[2], "second", "cli:maria", expected=three[0])
    registry._clock = overtaking
    assert registry.reject(three[2], "not needed", "cli:maria").status == "rejected"
    assert [event["kind"] for event in registry.history()[3:]] == ["promote", "promote", "reject"]


def test_two_attempts_of_one_request_at_once_are_carried_out_once(
    registry: Registry, store: ObjectStore, three: Three
) -> None:
    for version in three:
        registry.promote(version, "release", "cli:maria")
    with ThreadPoolExecutor(8) as pool:
        restored = list(
            pool.map(lambda _: Registry(store).rollback("bad", "airflow:run", request="run-1").version_id, range(8))
        )
    assert restored == [three[1]] * 8
    assert Registry(store).champion() == three[1]
