"""What a person's yes does to the gate's no, and what it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.bench._races import register_small
from lead_scoring.errors import CheckFailed
from lead_scoring.pipeline import Pipeline
from lead_scoring.settings import load_settings
from lead_scoring.stage import Manifest

REFUSED = {"accepted": False, "reasons": ["refused: no better than the champion"]}
ACCEPTED = {"accepted": True, "reasons": ["accepted: better"]}


class Desk:
    """A registry with a champion and a challenger whose gate says what the test wants."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines = Pipeline(load_settings(overrides={"storage.models": str(folder / "models")}))
        self.versions = [register_small(str(folder / "models"), folder / "packages", number) for number in (1, 2, 3)]
        self.champion, self.challenger, self.third = self.versions
        self.lines.registry.promote(self.champion, "first", "test")
        self.verdict = REFUSED
        monkeypatch.setattr(Pipeline, "gate", lambda pipeline, *_: self.gate(pipeline.registry.champion()))

    def gate(self, champion: str | None) -> dict[str, Any]:
        return {"champion": champion, **self.verdict}

    def update(self, shown: dict[str, Any], approved_by: str = "") -> None:
        entry = self.lines.registry.show(self.challenger)
        figures = {
            **{name: entry[name] for name in ("performance", "calibration", "manifest_digest", "feature_set")},
            "version_id": self.challenger,
            "gate": shown,
        }
        packaged = Manifest("hash_version", "20241221-00000000", "2024-12-21", {}, {}, {}, figures)
        self.lines.update_registry(
            packaged, packaged, packaged, actor="run", reason="release", request="run", approved_by=approved_by
        )


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_nobody_was_asked_so_the_gate_decides(desk: Desk) -> None:
    with pytest.raises(CheckFailed, match="stays staged: refused: no better than the champion"):
        desk.update(shown=desk.gate(desk.champion))
    assert desk.lines.registry.champion() == desk.champion


def test_who_saw_the_no_and_said_yes_overrules_it_and_is_named(desk: Desk) -> None:
    desk.update(shown=desk.gate(desk.champion), approved_by="Ann")
    event = desk.lines.registry.history()[-1]
    assert (event["champion"], event["reason"]) == (desk.challenger, "release, approved by Ann")
    assert event["details"]["gate"] == {"accepted": False, "forced": True, "reasons": REFUSED["reasons"]}


def test_a_yes_to_an_accepted_release_does_not_overrule_a_later_no(desk: Desk) -> None:
    with pytest.raises(CheckFailed, match="stays staged"):
        desk.update(shown={"champion": desk.champion, **ACCEPTED}, approved_by="Ann")


def test_a_yes_against_one_champion_holds_against_no_other(desk: Desk) -> None:
    shown = desk.gate(desk.champion)
    desk.lines.registry.promote(desk.third, "meanwhile", "test")
    with pytest.raises(CheckFailed, match="stays staged"):
        desk.update(shown=shown, approved_by="Ann")


def test_a_rollback_shows_both_models_and_names_who_approved(desk: Desk) -> None:
    desk.verdict = ACCEPTED
    desk.update(shown=desk.gate(desk.champion))
    planned = desk.lines.plan_rollback()
    assert [model["version"] for model in planned.figures["models"]] == [desk.challenger, desk.champion]
    desk.lines.rollback(planned, actor="run", reason="worse calls", approved_by="Ann")
    event = desk.lines.registry.history()[-1]
    assert (event["champion"], event["reason"]) == (desk.champion, "worse calls, approved by Ann")


def test_a_yes_to_what_the_gate_accepts_is_recorded_without_force(desk: Desk) -> None:
    desk.verdict = ACCEPTED
    desk.update(shown=desk.gate(desk.champion), approved_by="Ann")
    event = desk.lines.registry.history()[-1]
    assert (event["reason"], event["details"]["gate"]["forced"]) == ("release, approved by Ann", False)
