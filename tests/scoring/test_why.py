from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.catalog import row_digest
from lead_scoring.errors import NotFound
from lead_scoring.lead_ids import complete_id
from lead_scoring.model.native import ScorerFeature
from lead_scoring.pipeline import Pipeline
from lead_scoring.salesforce import connect, shown_of
from lead_scoring.scoring import LeadScorer, audit_scores, publish_partition, score_shard, why, why_all
from lead_scoring.settings import Settings, load_settings
from lead_scoring.stage import StageOutput, run_stage
from lead_scoring.warehouse import Warehouse, open_warehouse
from tests.salesforce.conftest import Desk

DAY = dt.date(2024, 12, 21)
SQL = load_settings(environment={}).sql_folder
RUN = "20241221-00000000"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(environment={}, overrides={"warehouse.folder": str(tmp_path / "warehouse")})


def with_digests(shard: Path, features: tuple[ScorerFeature, ...]) -> Path:
    """The shard with the digests that the features room gives its rows."""
    table = pq.read_table(shard)
    rows = zip(*(table.column(feature.column).to_pylist() for feature in features), strict=True)
    digests = [
        row_digest(lead_id, day, row)
        for lead_id, day, row in zip(table["lead_id"].to_pylist(), table["pit_date"].to_pylist(), rows, strict=True)
    ]
    place = table.schema.get_field_index("feature_digest")
    pq.write_table(table.set_column(place, "feature_digest", pa.array(digests)), shard)
    return shard


@pytest.fixture
def warehouse(tmp_path: Path, scorer: LeadScorer, shard: Path, settings: Settings) -> Warehouse:
    """One published day of 100 leads, with the feature rows it was made from."""
    found = open_warehouse(settings)
    shard = with_digests(shard, scorer.package.spec.features)
    found.replace_partition("lead_features", DAY.isoformat(), [shard])
    work = tmp_path / "work"
    work.mkdir()
    scored = score_shard(scorer, shard, as_of=DAY, run_key=RUN, settings=settings.scoring, work=work)
    output = audit_scores(
        found,
        as_of=DAY,
        shards=[scored.files["scores.parquet"]],
        rejected=[scored.files["rejected.parquet"]],
        expected=[shard],
        version=scorer.model_version,
        run_key=RUN,
        settings=settings,
        work=work,
    )
    publish_partition(found, DAY, [output.files["scores/00000.parquet"]], output.files["rejected.parquet"])
    return found


def test_a_score_is_computed_again_to_the_same_bits(
    warehouse: Warehouse, scorer: LeadScorer, settings: Settings
) -> None:
    report = why(
        warehouse, "00Q000000000007AAA", on=None, scorer_for=lambda version: scorer, sql_folder=settings.sql_folder
    )
    assert report["differences"] == []
    assert report["recomputed"]["lead_score"] == report["score"]["lead_score"]
    assert report["model"]["version"] == scorer.model_version
    lead = {
        name: report["features"][feature.column]
        for name, feature in zip(scorer.feature_names, scorer.package.spec.features, strict=True)
    }
    assert scorer.score_lead(lead)["lead_score"] == report["score"]["lead_score"]


def test_a_whole_run_is_computed_again(warehouse: Warehouse, scorer: LeadScorer, tmp_path: Path) -> None:
    report = why_all(warehouse, RUN, scorer_for=lambda version: scorer, sql_folder=SQL, work=tmp_path / "all")
    assert report == {"run_key": RUN, "rows": 100, "different": 0, "by_column": {}, "examples": []}


def test_a_run_is_found_by_the_key_that_the_sync_status_lists(
    warehouse: Warehouse, scorer: LeadScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {"warehouse.folder": str(tmp_path / "warehouse"), "storage.runs": str(tmp_path / "runs")}
    pipeline = Pipeline(load_settings(environment={}, overrides=folders))
    monkeypatch.setattr(pipeline, "scorer", lambda version: scorer)
    output = StageOutput({}, figures={"run_key": RUN})
    published = run_stage(pipeline.runs, "publish_scores", DAY, {}, lambda work: output)
    assert published.key != RUN
    assert pipeline.why_all(published.key) == pipeline.why_all(RUN)
    assert pipeline.why_all(published.key)["rows"] == 100


def test_one_changed_feature_is_found_in_one_lead_and_in_the_run(
    warehouse: Warehouse, scorer: LeadScorer, settings: Settings, shard: Path, tmp_path: Path
) -> None:
    table = pq.read_table(shard)
    tenure = table["current_firm_tenure_months"].to_pylist()
    tenure[7] *= 1 + 2**-52
    place = table.schema.get_field_index("current_firm_tenure_months")
    pq.write_table(table.set_column(place, "current_firm_tenure_months", pa.array(tenure)), tmp_path / "edited.parquet")
    warehouse.replace_partition("lead_features", DAY.isoformat(), [tmp_path / "edited.parquet"])
    lead_id = "00Q000000000007AAA"
    report = why(warehouse, lead_id, on=DAY, scorer_for=lambda version: scorer, sql_folder=settings.sql_folder)
    assert [line.split()[0] for line in report["differences"]] == ["feature_digest"]
    run = why_all(warehouse, RUN, scorer_for=lambda version: scorer, sql_folder=SQL, work=tmp_path / "all")
    assert (run["different"], run["by_column"], run["examples"]) == (1, {"feature_digest": 1}, [lead_id])


def test_one_changed_score_is_found(
    warehouse: Warehouse, scorer: LeadScorer, settings: Settings, tmp_path: Path
) -> None:
    columns = ", ".join(warehouse.columns("lead_scores"))
    table = warehouse.query(f"SELECT {columns} FROM lead_scores ORDER BY lead_id", {})
    scores = table["lead_score"].to_pylist()
    scores[3] += 1e-16 * scores[3] + 5e-17
    pq.write_table(table.set_column(2, "lead_score", pa.array(scores)), tmp_path / "edited.parquet")
    warehouse.replace_partition("lead_scores", DAY.isoformat(), [tmp_path / "edited.parquet"])
    run = why_all(warehouse, RUN, scorer_for=lambda version: scorer, sql_folder=SQL, work=tmp_path / "all")
    assert run["by_column"] == {"lead_score": 1}


def test_features_that_are_gone_are_a_difference(
    warehouse: Warehouse, scorer: LeadScorer, settings: Settings, shard: Path, tmp_path: Path
) -> None:
    pq.write_table(pq.read_table(shard).slice(1), tmp_path / "fewer.parquet")
    warehouse.replace_partition("lead_features", DAY.isoformat(), [tmp_path / "fewer.parquet"])
    report = why(
        warehouse, "00Q000000000000AAA", on=DAY, scorer_for=lambda version: scorer, sql_folder=settings.sql_folder
    )
    assert "lead_features has 0 rows" in report["differences"][0]
    run = why_all(warehouse, RUN, scorer_for=lambda version: scorer, sql_folder=SQL, work=tmp_path / "all")
    assert run["different"] == 1


def test_what_salesforce_shows_otherwise_is_a_difference(
    warehouse: Warehouse, scorer: LeadScorer, settings: Settings
) -> None:
    def differences(**shown: tuple[object, bool]) -> list[str]:
        return why(  # type: ignore[no-any-return]
            warehouse,
            "00Q000000000007AAA",
            on=DAY,
            scorer_for=lambda version: scorer,
            sql_folder=settings.sql_folder,
            shown=lambda score: shown,
        )["differences"]

    assert differences(lead_score=(0.1, True)) == []
    assert differences(lead_score=(0.9, False))[0].startswith("lead_score is 0.9 in Salesforce, 0.")
    assert "None in Salesforce" in differences(score_bucket=(None, False))[0]


def test_a_synced_score_agrees_with_what_salesforce_shows(
    warehouse: Warehouse, scorer: LeadScorer, settings: Settings, tmp_path: Path
) -> None:
    desk = Desk(tmp_path / "desk", leads=0)
    scores = warehouse.query(f"SELECT {', '.join(warehouse.columns('lead_scores'))} FROM lead_scores", {})
    ids = scores["lead_id"].to_pylist()
    org_id = {one: complete_id(one[:15]) for one in ids}  # the checksum of the fixture's ids is none
    desk.org.seed({"Id": one} for one in org_id.values())
    desk.sync(scores.set_column(scores.schema.get_field_index("lead_id"), "lead_id", pa.array(org_id.values())))

    def differences(lead_id: str) -> list[str]:
        def shown(score: Mapping[str, Any]) -> dict[str, tuple[Any, bool]]:
            row = {**score, "lead_id": org_id[lead_id]}
            return shown_of(connect(desk.settings), row, desk.settings, settings.config_folder)

        options = {"scorer_for": lambda version: scorer, "sql_folder": settings.sql_folder, "shown": shown}
        return why(warehouse, lead_id, on=DAY, **options)["differences"]

    assert [differences(one) for one in ids[:20]] == [[]] * 20
    desk.org.update(org_id[ids[7]], {"Lead_Score_Bucket__c": "Ask Ann"}, "page")
    assert "score_bucket is 'Ask Ann' in Salesforce" in differences(ids[7])[0]
    desk.server.stop()


def test_a_lead_without_a_score_is_named_with_what_happened_to_it(
    warehouse: Warehouse, scorer: LeadScorer, settings: Settings
) -> None:
    with pytest.raises(NotFound, match="'00Qnobody' has no score on 2024-12-21"):
        why(warehouse, "00Qnobody", on=DAY, scorer_for=lambda version: scorer, sql_folder=settings.sql_folder)
    with pytest.raises(NotFound, match="no score of run"):
        why_all(warehouse, "20240101-ffffffff", scorer_for=lambda version: scorer, sql_folder=SQL, work=Path("unused"))
