from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.scoring import LeadScorer, audit_scores, publish_partition, ranks, score_shard
from lead_scoring.scoring.publish import PUBLISHED
from lead_scoring.settings import Settings, WarehouseSettings, load_settings, project_home
from lead_scoring.stage import StageOutput, sha256_file
from lead_scoring.warehouse import Warehouse, open_warehouse

DAY = dt.date(2024, 12, 21)


@dataclass
class Day:
    """Runs a day of scoring into a warehouse below ``folder``."""

    folder: Path
    scorer: LeadScorer
    settings: Settings

    @property
    def warehouse(self) -> Warehouse:
        return open_warehouse(self.settings)

    def work(self, name: str) -> Path:
        path = self.folder / "work" / f"{name}-{len(list((self.folder / 'work').glob('*')))}"
        path.mkdir(parents=True)
        return path

    def score(self, shards: list[Path], as_of: dt.date = DAY) -> list[StageOutput]:
        key = f"{as_of:%Y%m%d}-00000000"
        return [
            score_shard(
                self.scorer, shard, as_of=as_of, run_key=key, settings=self.settings.scoring, work=self.work("score")
            )
            for shard in shards
        ]

    def audit(
        self, shards: list[Path], scored: list[StageOutput], as_of: dt.date = DAY, version: str = ""
    ) -> StageOutput:
        return audit_scores(
            self.warehouse,
            as_of=as_of,
            shards=[item.files["scores.parquet"] for item in scored],
            rejected=[item.files["rejected.parquet"] for item in scored],
            expected=shards,
            version=version or self.scorer.model_version,
            run_key=f"{as_of:%Y%m%d}-00000000",
            settings=self.settings,
            work=self.work("audit"),
        )

    def publish(self, output: StageOutput, as_of: dt.date = DAY) -> None:
        files = [path for name, path in sorted(output.files.items()) if name.startswith("scores/")]
        publish_partition(self.warehouse, as_of, files, output.files["rejected.parquet"])

    def run(self, shards: list[Path], as_of: dt.date = DAY) -> StageOutput:
        output = self.audit(shards, self.score(shards, as_of), as_of)
        self.publish(output, as_of)
        return output

    def rows(self, table: str = "lead_scores") -> list[dict[str, object]]:
        columns = ", ".join(self.warehouse.columns(table))
        return self.warehouse.query(f"SELECT {columns} FROM {table} ORDER BY as_of, lead_id", {}).to_pylist()


@pytest.fixture
def day(tmp_path: Path, scorer: LeadScorer) -> Day:
    overrides = {"warehouse.folder": str(tmp_path / "warehouse"), "features.max_rejected_share": 0.5}
    return Day(tmp_path, scorer, load_settings(environment={}, overrides=overrides))


def damage(output: StageOutput, table: pa.Table, name: str = "scores.parquet") -> list[StageOutput]:
    path = output.files[name].with_name(f"damaged-{name}")
    pq.write_table(table, path)
    return [StageOutput(files={**output.files, name: path})]


def test_leads_in_are_leads_scored_plus_leads_rejected(day: Day, shards: list[Path]) -> None:
    output = day.run(shards)
    assert output.counts["in"] == 300
    assert output.counts["rejected"] == 4
    assert output.counts["scored"] == 296 == output.counts["new"]
    assert sum(output.figures["buckets"].values()) == 296
    assert len(day.rows()) == 296
    assert sorted({str(row["reasons"]) for row in day.rows("lead_scores_rejected")}) == [
        "feature 'days_in_gap' is inf, which is not finite",
        "feature 'days_in_gap' is nan but may not be missing",
        "feature 'pit_moves_3yr' is -2.0, below its minimum 0.0",
        "lead_id is missing",
    ]


def test_publishing_twice_gives_the_same_rows_once_and_the_same_bytes(day: Day, shards: list[Path]) -> None:
    first = day.run(shards)
    rows = day.rows()
    again = day.run(shards)
    assert day.rows() == rows
    assert {name: sha256_file(path) for name, path in first.files.items()} == {
        name: sha256_file(path) for name, path in again.files.items()
    }


def test_the_trend_is_against_the_day_published_before(day: Day, shards: list[Path], shard_factory: object) -> None:
    day.run(shards, DAY - dt.timedelta(days=3))
    changed = shard_factory(rows=120, seed=3, name="changed", tenure_factor=0.2)  # type: ignore[operator]
    output = day.run([changed], DAY)
    assert output.figures["previous"] == "2024-12-18"
    assert sum(output.counts[trend] for trend in ("new", "up", "down", "same")) == output.counts["scored"]
    assert output.counts["up"] and output.counts["same"] + output.counts["down"]
    before = {row["lead_id"]: row["lead_score"] for row in day.rows() if row["as_of"] != DAY}
    for row in (row for row in day.rows() if row["as_of"] == DAY):
        assert row["previous_score"] == before.get(row["lead_id"])


def test_every_lead_has_its_place_in_the_call_list_and_ties_are_broken_by_a_hash_of_the_id(
    day: Day, shards: list[Path], tmp_path: Path
) -> None:
    twins = pq.read_table(shards[0])
    for name in day.scorer.package.spec.features:
        column = twins[name.column]
        twins = twins.set_column(
            twins.schema.get_field_index(name.column), name.column, pa.array([column[0]] * 100, column.type)
        )
    pq.write_table(twins, shards[0])  # a hundred leads that no model can tell apart
    day.run(shards)
    rows = sorted(day.rows(), key=lambda row: row["rank"])  # type: ignore[arg-type, return-value]
    assert [row["rank"] for row in rows] == list(range(1, 297))
    keys = [
        (-row["margin"], hashlib.sha256(str(row["lead_id"]).encode()).hexdigest())  # type: ignore[operator]
        for row in rows
    ]
    assert keys == sorted(keys)
    assert len({key[0] for key in keys}) <= 197
    # the same order outside the warehouse, from files in another order
    mixed = sorted(rows, key=lambda row: str(row["lead_id"]))
    for number, start in enumerate((0, 100)):
        part = mixed[start : 100 if start == 0 else None]
        table = pa.table({name: [row[name] for row in part] for name in ("lead_score", "margin", "lead_id")})
        pq.write_table(table, tmp_path / f"{number}.parquet")
    files = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    found = ranks(
        files, tmp_path, sql_folder=project_home() / "include" / "sql", limits=WarehouseSettings(memory_limit_mb=500)
    )
    assert found.tolist() == [row["rank"] for row in mixed]


def test_an_older_day_run_again_is_compared_with_what_came_before_it(day: Day, shards: list[Path]) -> None:
    day.run(shards, DAY)
    output = day.run(shards, DAY - dt.timedelta(days=1))
    assert output.figures["previous"] is None
    assert output.counts["new"] == output.counts["scored"]


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda table: table.slice(1), "1 leads are neither scored nor set aside"),
        (lambda table: pa.concat_tables([table, table.slice(0, 2)]), "2 rows repeat a lead_id"),
        (
            lambda table: table.set_column(
                table.schema.get_field_index("lead_score"), "lead_score", pc.add(table["lead_score"], 1.0)
            ),
            "rows have a score, margin or percentile out of range",
        ),
        (
            lambda table: table.set_column(
                table.schema.get_field_index("model_version"), "model_version", pa.array(["v1-x"] * len(table))
            ),
            "rows are of another version",
        ),
        (
            lambda table: table.set_column(0, "lead_id", pc.binary_join_element_wise(table["lead_id"], "x", "")),
            "rows are of leads that were not to be scored",
        ),
        (
            lambda table: table.set_column(
                table.schema.get_field_index("score_bucket"), "score_bucket", pa.array(["Cold"] * len(table))
            ),
            "leads are Cold, more than buckets.max_share_in_one",
        ),
    ],
)
def test_a_run_that_fails_its_audit_leaves_the_published_day_as_it_was(
    day: Day, shard: Path, change: object, finding: str
) -> None:
    day.run([shard])
    before = day.rows()
    (scored,) = day.score([shard])
    broken = damage(scored, change(pq.read_table(scored.files["scores.parquet"])))  # type: ignore[operator]
    with pytest.raises(CheckFailed, match=finding):
        day.audit([shard], broken)
    assert day.rows() == before


def test_too_many_rejects_stop_the_run(day: Day, shard_factory: object) -> None:
    bad = shard_factory(rows=10, seed=5, name="bad", bad_rows=6)  # type: ignore[operator]
    with pytest.raises(CheckFailed, match="6 of 10 leads were set aside, more than features.max_rejected_share"):
        day.run([bad])


def test_a_day_without_leads_is_not_published(day: Day, shard_factory: object) -> None:
    empty = shard_factory(rows=0, seed=5, name="empty")  # type: ignore[operator]
    with pytest.raises(CheckFailed, match="had no lead to score"):
        day.run([empty])


def test_files_that_are_not_scores_are_refused_by_name(day: Day, shard: Path) -> None:
    (scored,) = day.score([shard])
    wrong = [StageOutput(files={**scored.files, "scores.parquet": shard})]
    with pytest.raises(BadInput, match=r"score-00000\.parquet of scores has no column"):
        day.audit([shard], wrong)


def test_the_trend_skips_a_day_that_was_emptied(day: Day, shard: Path, tmp_path: Path) -> None:
    day.run([shard], DAY - dt.timedelta(days=2))
    empty = tmp_path / "none.parquet"
    pq.write_table(PUBLISHED.empty_table(), empty)
    day.warehouse.replace_partition("lead_scores", "2024-12-20", [empty])
    output = day.run([shard], DAY)
    assert output.figures["previous"] == "2024-12-19"
    assert output.counts["new"] == 0
