"""Clients are made once, in one place, and handed on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lead_scoring import packaging
from lead_scoring.pipeline import Pipeline
from lead_scoring.scoring import LeadScorer, loading
from lead_scoring.settings import load_settings
from lead_scoring.stage import Manifest, StageOutput, run_stage
from lead_scoring.storage import open_store
from tests.scoring.small_day import START, small_pipeline


def test_clients_that_a_caller_has_are_used() -> None:
    places = {"storage.models": "gs://bucket/models", "storage.runs": "gs://bucket/runs"}
    settings = load_settings(
        environment={}, overrides={**places, "warehouse.engine": "bigquery", "warehouse.project": "p"}
    )
    storage = SimpleNamespace(bucket=lambda name: SimpleNamespace(name=name))
    bigquery = SimpleNamespace(list_tables=lambda *address, timeout: [SimpleNamespace(table_id="leads")])
    lines = Pipeline(settings, storage_client=storage, bigquery_client=bigquery)
    assert lines.models._client is lines.runs._client is storage  # type: ignore[attr-defined]
    assert lines.warehouse.tables() == ["leads"]


def test_a_scorer_reads_from_the_store_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = small_pipeline(tmp_path)
    expected = LeadScorer(model_dir=str(tmp_path / "models" / "production"))
    store = open_store(tmp_path / "models")

    def never(uri: Any) -> None:
        raise AssertionError(f"{uri} was opened again")

    monkeypatch.setattr(loading, "open_store", never)
    given = LeadScorer(store=store)
    assert (given.model_version, given.manifest_digest) == (expected.model_version, expected.manifest_digest)
    assert lines.scorer(lines.champion()).manifest_digest == expected.manifest_digest


def test_the_gate_is_computed_once_for_each_champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Pipeline(load_settings(environment={}, overrides={"storage.runs": str(tmp_path / "runs")}))
    asked: list[object] = []

    def judge(**options: Any) -> Any:
        asked.append(options["champion"])
        return SimpleNamespace(to_dict=lambda: {"accepted": True, "reasons": ["better"]})

    judge.__module__ = packaging.gate_release.__module__  # whose code is what the verdict depends on
    monkeypatch.setattr(packaging, "gate_release", judge)
    champions = iter([None, None, "v1", "v1", None])
    monkeypatch.setattr(lines, "registry", SimpleNamespace(champion=lambda: next(champions)))
    monkeypatch.setattr(lines, "scorer", lambda version: version)
    monkeypatch.setattr(lines, "details_of", lambda version: {})

    def made(stage: str, *names: str) -> Manifest:
        def build(work: Path) -> StageOutput:
            for name in names:
                (work / name).write_text("{}")
            return StageOutput({name: work / name for name in names})

        return run_stage(lines.runs, stage, START, {}, build)

    trained = made("train_model", "scores.parquet", "holdout.parquet", "training_report.json")
    calibrated = made("calibrate_model", "calibrator.json", "bucket_policy.json")
    verdicts = [lines.gate(trained, calibrated) for _ in range(5)]
    assert asked == [None, "v1"]
    assert [verdict["champion"] for verdict in verdicts] == [None, None, "v1", "v1", None]
    assert verdicts[0] == verdicts[1] == verdicts[4]
