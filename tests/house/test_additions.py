"""The three additions that CONTRIBUTING.md describes, each made the way it says, in the files that it lists."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost as xgb
from numpy.typing import ArrayLike

from lead_scoring.calibration.compare import calibrate
from lead_scoring.catalog import load_catalog
from lead_scoring.features import load_source, materialize
from lead_scoring.lead_ids import complete_id
from lead_scoring.model import native
from lead_scoring.model.buckets import BucketPolicy
from lead_scoring.model.calibrators import CALIBRATORS, FITTERS, Calibrator, PlattCalibrator, calibrator_from_dict
from lead_scoring.model.calibrators.base import Calibrator as Base
from lead_scoring.salesforce import connect
from lead_scoring.salesforce.fields import load_fields
from lead_scoring.salesforce.metadata import write_metadata
from lead_scoring.scoring import LeadScorer
from lead_scoring.settings import load_settings, project_home
from lead_scoring.warehouse.embedded import EmbeddedWarehouse
from tests.features.history_oracle import Lead, Record, Snapshot, World
from tests.salesforce.conftest import Desk
from tests.scoring.small_day import small_day, small_features, small_pipeline, small_shard
from tests.scoring.small_package import write_package, write_registry

HOME = project_home()
AS_OF = dt.date(2024, 12, 21)
PROBLEMS = "  CONCAT(\n    asked.problems,"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A checkout's include/, to be changed."""
    shutil.copytree(HOME / "include", tmp_path / "home" / "include")
    return tmp_path / "home"


def edit(home: Path, name: str, change: Callable[[str], str]) -> None:
    path = home / name
    before = path.read_text()
    path.write_text(change(before))
    assert path.read_text() != before, f"{name} has no such place any more; CONTRIBUTING.md may be out of date"


def listed(title: str) -> list[str]:
    """The files that CONTRIBUTING.md lists for an addition, tests aside."""
    text = (HOME / "CONTRIBUTING.md").read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^\d\. `([^`]+)`", text, flags=re.M)


# --- a feature from existing sources ----------------------------------------------------------------------------------


def test_a_feature_from_existing_sources(home: Path, tmp_path: Path) -> None:
    files = listed("A feature from existing sources")
    assert files == [
        "include/config/feature_catalog.yaml",
        "include/sql/lead_features/query.sql",
        "include/sql/lead_features/schema.yaml",
    ]
    catalog, query, schema = files
    definition = (
        "features:\n  recent_mover:\n    unit: 0 or 1\n    definition: Less than 24 months at the firm that counts.\n"
        "    sources: [employment_history.start_date]\n    null_rule: never missing\n    nullable: false\n"
        "    minimum: 0\n    maximum: 1\n    needs_recorded_at: false\n    direction: up\n"
    )
    edit(home, catalog, lambda text: text.replace("features:\n", definition, 1) + "  small:\n"
         "    - current_firm_tenure_months\n    - recent_mover\n")  # fmt: skip
    column = "  CAST(IF(described.tenure_months < 24, 1, 0) AS FLOAT64) AS recent_mover,\n" + PROBLEMS
    edit(home, query, lambda text: text.replace(PROBLEMS, column, 1))
    edit(
        home,
        schema,
        lambda text: text.replace("  problems: STRING\n", "  recent_mover: FLOAT64\n  problems: STRING\n", 1),
    )

    settings = load_settings(home, environment={})
    small = load_catalog(settings.config_folder).feature_set("small")
    seen, contact = dt.datetime(2024, 1, 5, tzinfo=dt.UTC), dt.datetime(2024, 10, 1, 12, tzinfo=dt.UTC)
    starts = [dt.date(2024 - number % 5, 1, 1) for number in range(60)]
    world = World(
        [Lead(complete_id(f"00QSY{n:010d}"), n, contact, None, contact) for n in range(1, 61)],
        [Record(n, 1, starts[n - 1], None, seen) for n in range(1, 61)],
        [Snapshot(1, dt.date(2023, 12, 1), 100.0, seen)],
    )
    (tmp_path / "source").mkdir()
    for name, table in world.tables().items():
        pq.write_table(table, tmp_path / "source" / f"{name}.parquet")
    warehouse = EmbeddedWarehouse(tmp_path / "warehouse")
    load_source(warehouse, tmp_path / "source")
    (tmp_path / "work").mkdir()
    made = materialize(
        warehouse, as_of=AS_OF, feature_set=small, settings=settings.features, sql_folder=settings.sql_folder,
        work=tmp_path / "work",
    )  # fmt: skip
    rows = pa.concat_tables(pq.read_table(path) for name, path in sorted(made.files.items()) if "score-" in name)
    tenure, mover = (rows[name].to_numpy() for name in small.columns)
    assert set(mover) == {0.0, 1.0}
    assert ((tenure < 24) == (mover == 1)).all()

    matrix = np.column_stack([tenure, mover])
    booster = xgb.train(
        {"objective": "binary:logistic", "nthread": 1, "max_depth": 2},
        xgb.DMatrix(matrix.astype(np.float32), mover, feature_names=small.names),
        5,
    )
    margins = booster.inplace_predict(matrix.astype(np.float32), predict_type="margin").astype(np.float64)
    features = tuple(native.ScorerFeature(f.name, f.column, f.nullable, f.minimum, f.maximum) for f in small.features)
    calibrator = PlattCalibrator(1.0, 0.0)
    golden = tuple(
        {"features": dict(zip(small.names, row, strict=True)), "margin": float(margin), "lead_score": float(score)}
        for row, margin, score in zip(matrix.tolist(), margins, calibrator.apply(margins), strict=True)
    )
    policy = BucketPolicy("lift", (0.45, 0.30, 0.15), 0.15).to_dict()
    spec = native.ScorerSpec(
        "small", small.digest, features, calibrator.to_dict(), policy, 0.15,
        native.reference_quantiles(margins),
        golden[:5],
    )  # fmt: skip
    version = write_package(tmp_path / "models" / "production", bytes(booster.save_raw("ubj")), spec)
    write_registry(tmp_path / "models", version)
    scorer = LeadScorer(model_dir=str(tmp_path / "models" / "production"))
    stays = {"current_firm_tenure_months": 100.0, "recent_mover": 0}
    moves = {"current_firm_tenure_months": 3.0, "recent_mover": 1}
    assert scorer.score_lead(moves)["lead_score"] > scorer.score_lead(stays)["lead_score"]


# --- a calibrator -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HalfwayCalibrator(Base):
    """Platt's line, its slope moved half of the way to 1."""

    slope: float
    intercept: float
    method: ClassVar[str] = "halfway"
    minimum_positives: ClassVar[int] = 30

    def apply(self, margin: ArrayLike) -> Any:
        return PlattCalibrator(self.slope, self.intercept).apply(margin)

    def shifted(self, log_odds: float) -> Calibrator:
        return HalfwayCalibrator(self.slope, self.intercept + log_odds)


def fit_halfway(margin: ArrayLike, target: ArrayLike) -> HalfwayCalibrator:
    line = FITTERS["platt"](margin, target)
    assert isinstance(line, PlattCalibrator)
    return HalfwayCalibrator((1 + line.slope) / 2, line.intercept)


@pytest.mark.parametrize(("rows", "candidate"), [(1_000, True), (120, False)])
def test_a_calibrator_with_its_minimum_of_conversions(
    monkeypatch: pytest.MonkeyPatch, rows: int, candidate: bool
) -> None:
    files = listed("A calibrator")
    assert files == [
        "plugins/lead_scoring/model/calibrators/<name>.py",
        "plugins/lead_scoring/model/calibrators/__init__.py",
    ]
    monkeypatch.setitem(CALIBRATORS, "halfway", HalfwayCalibrator)  # type: ignore[arg-type]  # the two lines of __init__
    monkeypatch.setitem(FITTERS, "halfway", fit_halfway)  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    margin = rng.normal(-2.0, 1.0, rows)
    target = (rng.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.int8)
    assert (int(target.sum()) >= 30) is candidate
    settings = load_settings(environment={}, overrides={"calibration.repeats": 2, "calibration.bootstrap": 50})
    found = calibrate(margin=margin, target=target, settings=settings.calibration)
    assert "halfway" in found.alternatives  # fitted and shown in any case
    shown = next(row for row in found.cross_fit["rows"] if row["method"] == "halfway")
    assert shown["candidate"] is candidate
    standing = found.alternatives["halfway"]
    assert calibrator_from_dict(standing.to_dict()) == standing
    assert np.allclose(calibrator_from_dict(standing.to_dict()).apply(margin), standing.apply(margin), rtol=0, atol=0)


# --- a Salesforce field from a new column of the scores ---------------------------------------------------------------


def test_a_salesforce_field_from_a_new_score_column(home: Path, tmp_path: Path) -> None:
    files = listed("A Salesforce field from a new score column")
    assert files == [
        "include/sql/lead_scores/query.sql",
        "include/sql/lead_scores/schema.yaml",
        "include/config/salesforce_fields.yaml",
    ]
    query, schema, fields = files
    edit(home, query, lambda text: text.replace("  CASE\n", "  scored.lift >= 1 AS above_average,\n  CASE\n", 1))
    edit(home, schema, lambda text: text.replace("parameters:", "  above_average: BOOL\nparameters:", 1))
    field = "  - {field: Above_Average__c, column: above_average, type: Checkbox, compare: true, help: More.}\n"
    edit(home, fields, lambda text: text.rstrip() + "\n" + field)
    write_metadata(load_fields(home / "include" / "config"), home / "include" / "salesforce")  # make settings

    desk = Desk(tmp_path / "desk", leads=0, home=home)
    pipeline = small_pipeline(
        tmp_path, home, **{"salesforce.endpoint": desk.server.url, "salesforce.wait_seconds": 0.01}
    )
    shard = small_shard(tmp_path)
    table = pq.read_table(shard)
    ids = pa.array([complete_id(one[:15]) for one in table["lead_id"].to_pylist()])
    pq.write_table(table.set_column(table.column_names.index("lead_id"), "lead_id", ids), shard)
    published = small_day(pipeline, AS_OF, shard)
    rows = pipeline.warehouse.query("SELECT lead_id, lift, above_average FROM lead_scores", {}).to_pylist()
    assert {row["above_average"] for row in rows} == {True, False}
    desk.org.seed({"Id": row["lead_id"]} for row in rows)
    features = small_features(pipeline, AS_OF, shard)
    report = pipeline.sync_salesforce(features, published, connect(pipeline.settings.salesforce))
    assert report.counts["accepted"] == len(rows)
    shown = {lead["Id"]: lead["Above_Average__c"] for lead in desk.org.leads()}
    assert shown == {row["lead_id"]: row["above_average"] for row in rows}
    desk.server.stop()
