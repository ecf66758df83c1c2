from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.errors import BadInput, NotFound
from lead_scoring.settings import load_settings
from lead_scoring.warehouse.embedded import EmbeddedWarehouse
from lead_scoring.warehouse.sql import compose, lint, load_sql, to_duckdb

FORBIDDEN = [
    "SELECT TIMESTAMP_DIFF(a, b, DAY) AS d FROM t",
    "SELECT COUNTIF(a > 1) AS n FROM t",
    "SELECT a / b AS ratio FROM t",
    "SELECT CAST(a AS INT64) AS n FROM t",
    "SELECT SAFE_CAST(a AS INT64) AS n FROM t",
    "SELECT EXTRACT(DAYOFWEEK FROM a) AS d FROM t",
    "SELECT EXTRACT(WEEK FROM a) AS d FROM t",
    "SELECT DATE_TRUNC(a, MONTH) AS m FROM t",
    "SELECT DATE_ADD(a, INTERVAL 1 DAY) AS d FROM t",
    "SELECT DATE_SUB(a, INTERVAL 1 DAY) AS d FROM t",
    "SELECT a[OFFSET(0)] AS x FROM t",
    "SELECT FORMAT('%d', a) AS x FROM t",
    "SELECT SUBSTR(a, 0, 3) AS x FROM t",
    "SELECT FARM_FINGERPRINT(a) AS x FROM t",
    "SELECT CURRENT_DATE() AS x FROM t",
    "SELECT CURRENT_TIMESTAMP() AS x FROM t",
    "SELECT RAND() AS x FROM t",
    "SELECT * FROM t",
    "DELETE FROM t WHERE TRUE",
]
ALLOWED = [
    "SELECT COALESCE(COUNTIF(a > 1), 0) AS n FROM t",
    "SELECT SAFE_DIVIDE(a, b) AS ratio FROM t",
    "SELECT CAST(DATE_TRUNC(a, MONTH) AS DATE) AS m FROM t",
    "SELECT CAST(a AS FLOAT64) AS n FROM t",
    "SELECT SAFE_CAST(REGEXP_EXTRACT(a, r'^[0-9]+$') AS INT64) AS n FROM t",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_what_the_engines_answer_differently_is_refused(sql: str) -> None:
    assert lint(sql), sql
    with pytest.raises(BadInput):
        to_duckdb(sql)


@pytest.mark.parametrize("sql", ALLOWED)
def test_the_safe_form_is_accepted(sql: str) -> None:
    assert lint(sql) == []
    to_duckdb(sql)


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT 1 AS a; SELECT 2 AS a", ""])
def test_what_is_not_one_statement_is_refused(sql: str) -> None:
    with pytest.raises(BadInput, match="parse|statements"):
        lint(sql)


def test_every_query_of_the_project_passes_the_lint() -> None:
    folder = load_settings(environment={}).sql_folder
    for path in folder.rglob("query.sql"):
        assert lint(load_sql(path.parent.parent, path.parent.name)) == [], path


def test_views_are_put_before_the_query_that_reads_them(tmp_path: Path) -> None:
    for name, text, kind in (
        ("base", "SELECT a FROM source WHERE a > 0\n", "view"),
        ("middle", "WITH x AS (SELECT a FROM base) SELECT a FROM x\n", "view"),
        ("top", "-- a comment\nWITH y AS (SELECT a FROM middle)\nSELECT a FROM y\n", "query"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "query.sql").write_text(text)
        (tmp_path / name / "schema.yaml").write_text(f"kind: {kind}\n")
    text = load_sql(tmp_path, "top")
    assert text.index("base AS (") < text.index("middle AS (") < text.index("y AS (")
    assert "FROM source" in to_duckdb(text)
    with pytest.raises(BadInput, match="start with WITH"):
        compose(tmp_path, "SELECT a FROM middle")


def test_views_that_read_one_another_are_refused(tmp_path: Path) -> None:
    for name, other in (("one", "two"), ("two", "one")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "query.sql").write_text(f"WITH x AS (SELECT a FROM {other}) SELECT a FROM x\n")
        (tmp_path / name / "schema.yaml").write_text("kind: view\n")
    with pytest.raises(BadInput, match="reads itself"):
        load_sql(tmp_path, "one")


def test_a_missing_query_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing"):
        load_sql(tmp_path, "nothing")


@pytest.fixture
def warehouse(tmp_path: Path) -> EmbeddedWarehouse:
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table({
            "day": pa.array([dt.date(2024, 1, 31), None]),
            "at": pa.array([dt.datetime(2024, 2, 1, 23, 30, tzinfo=dt.UTC), None], pa.timestamp("us", tz="UTC")),
            "text": ["a", None],
            "number": pa.array([1, None], pa.int64()),
            "share": [0.5, None],
            "flag": [True, None],
        }),
        path,
    )
    made = EmbeddedWarehouse(tmp_path / "w")
    made.replace_partition("things", "all", [path])
    return made


def test_columns_have_bigquery_type_names(warehouse: EmbeddedWarehouse) -> None:
    assert warehouse.columns("things") == {
        "day": "DATE", "at": "TIMESTAMP", "text": "STRING", "number": "INT64", "share": "FLOAT64", "flag": "BOOL",
    }  # fmt: skip


def test_parameters_are_bound_by_type_and_unused_ones_ignored(warehouse: EmbeddedWarehouse) -> None:
    sql = "SELECT text FROM things WHERE day <= @day AND DATE(at) = @on AND flag = @flag AND share < @share"
    params = {"day": dt.date(2024, 1, 31), "on": dt.date(2024, 2, 1), "flag": True, "share": 0.6, "unused": 1}
    assert warehouse.query(sql, params).to_pylist() == [{"text": "a"}]


def test_a_sum_of_integers_is_an_integer(warehouse: EmbeddedWarehouse) -> None:
    assert warehouse.query("SELECT SUM(number) AS n FROM things").schema.field("n").type == pa.int64()


def test_a_wrong_column_or_a_missing_parameter_is_one_clear_line(warehouse: EmbeddedWarehouse) -> None:
    with pytest.raises(BadInput, match="colour"):
        warehouse.query("SELECT colour FROM things")
    with pytest.raises(BadInput, match="day"):
        warehouse.query("SELECT text FROM things WHERE day = @day")
