"""Google's own analyzer and reference engine read every query: the text is BigQuery's, and DuckDB answers the same.

All tests that need zetasql are in this file: loading it takes many seconds, once.
"""

from __future__ import annotations

import datetime as dt
import math
import random
import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from google.cloud import bigquery
from zetasql.api import Analyzer, CatalogBuilder, PreparedQuery, TableBuilder
from zetasql.types import AnalyzerOptions, LanguageOptions, TypeKind, ZetaSQLBuiltinFunctionOptions

from lead_scoring.errors import BadInput
from lead_scoring.features.materialization import end_of_day
from lead_scoring.features.sources import SOURCE_TABLES
from lead_scoring.lead_ids import complete_id
from lead_scoring.settings import load_settings
from lead_scoring.warehouse.definitions import table_definitions
from lead_scoring.warehouse.sql import lint, load_sql, load_template, parameter_names, table_names, to_duckdb
from lead_scoring.warehouse.types import arrow_schema, bigquery_type
from tests.features.history_oracle import Lead, Record, Snapshot, World
from tests.warehouse.test_bigquery import Client, Job, Rows, engine

pytestmark = pytest.mark.slow

FOLDER = load_settings(environment={}).sql_folder
QUERIES = sorted(path.parent.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("query.sql"))
TABLES = table_definitions(FOLDER)
FEATURE_QUERIES = [
    "employment_versions",
    "snapshot_versions",
    "lead_rows",
    "lead_counts",
    "lead_features",
    "lead_features_rejected",
]
AS_OF = dt.date(2024, 12, 21)


def declared_schema(name: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((FOLDER / name / "schema.yaml").read_text())
    return data


def declared_columns(table: str) -> dict[str, str] | None:
    """A table's columns: a source table's, or those that some schema.yaml declares."""
    if table in SOURCE_TABLES:
        return {field.name: bigquery_type(field.type) for field in SOURCE_TABLES[table]}
    if table in TABLES:
        return dict(TABLES[table].columns)
    if (FOLDER / table / "schema.yaml").is_file():
        columns: dict[str, str] = declared_schema(table)["columns"]
        return columns
    for name in QUERIES:
        declared = declared_schema(name).get("tables") or {}
        if table in declared:
            return dict(declared[table])
    return None


def options() -> tuple[AnalyzerOptions, LanguageOptions]:
    language = LanguageOptions.maximum_features()
    analyzer = AnalyzerOptions(language_options=language)
    analyzer.default_timezone = "UTC"
    return analyzer, language


def literal(kind: str, value: Any) -> str:
    """A BigQuery literal of a type."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return f"CAST(NULL AS {kind})"
    if kind == "DATE":
        return f"DATE '{value.isoformat()}'"
    if kind == "TIMESTAMP":
        return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
    if kind == "STRING":
        return repr(value)
    if kind == "BOOL":
        return "TRUE" if value else "FALSE"
    return f"CAST({value!r} AS {kind})" if kind == "FLOAT64" else repr(int(value))


def with_literals(sql: str, kinds: dict[str, str], parameters: dict[str, Any]) -> str:
    for name in sorted(parameter_names(sql), key=len, reverse=True):
        sql = re.sub(rf"@{name}\b", literal(kinds[name], parameters.get(name)), sql)
    return sql


def run_zetasql(name: str, parameters: dict[str, Any], tables: dict[str, pa.Table]) -> list[tuple]:
    """Rows of a query over literal tables, as the reference engine answers."""
    sql, schema = load_sql(FOLDER, name), declared_schema(name)
    kinds, outputs = schema.get("parameters") or {}, schema["columns"]
    analyzer, language = options()
    ctes = []
    for source, table in tables.items():
        types = {field.name: bigquery_type(field.type) for field in table.schema}
        fields = ", ".join(f"{column} {kind}" for column, kind in types.items())
        rows = ", ".join(
            "(" + ", ".join(literal(kind, row[column]) for column, kind in types.items()) + ")"
            for row in table.to_pylist()
        )
        ctes.append(f"{source} AS (SELECT * FROM UNNEST(ARRAY<STRUCT<{fields}>>[{rows}]))")
    text = with_literals(sql, kinds, parameters)
    comment_free = re.sub(r"^--.*\n", "", text, flags=re.MULTILINE).lstrip()
    # the Python side of the engine cannot read a TIMESTAMP: both sides compare microseconds
    columns = ", ".join(f"UNIX_MICROS({c}) AS {c}" if kind == "TIMESTAMP" else c for c, kind in outputs.items())
    text = f"SELECT {columns} FROM (WITH {', '.join(ctes)}, {comment_free[5:]})"
    catalog = (
        CatalogBuilder("c").with_builtin_functions(ZetaSQLBuiltinFunctionOptions(language_options=language)).build()
    )
    builder = PreparedQuery.builder().set_sql(text).set_analyzer_options(analyzer).set_catalog(catalog)
    with builder.prepare() as query:
        response = query.execute()
        return [tuple(plain(cell) for cell in row.cell) for row in response.content.table_data.row]


def plain(cell: Any) -> Any:
    """The Python value of a cell."""
    for name in ("bool_value", "int64_value", "double_value", "string_value"):
        value = getattr(cell, name, None)
        if value is not None:
            return value
    if getattr(cell, "date_value", None) is not None:
        return dt.date(1970, 1, 1) + dt.timedelta(days=cell.date_value)
    return None


def run_duckdb(sql: str, parameters: dict[str, Any], tables: dict[str, pa.Table]) -> list[tuple]:
    with duckdb.connect(config={"threads": "1"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, table in tables.items():
            connection.register(name, table)
        used = {name: parameters[name] for name in parameter_names(sql)}
        return [tuple(row.values()) for row in connection.sql(to_duckdb(sql), params=used).to_arrow_table().to_pylist()]


def comparable(rows: list[tuple]) -> list[tuple]:
    def cell(value: Any) -> Any:
        if isinstance(value, dt.datetime):
            value = (value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
        if isinstance(value, float) or type(value).__name__ == "Decimal":
            return float(f"{float(value):.12g}")
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    return sorted((tuple(cell(value) for value in row) for row in rows), key=repr)


def small_world(seed: int) -> World:
    """A few leads with everything that goes wrong: ties, gaps, overlaps, leap days, late and contradicting records."""
    pick = random.Random(seed)
    days = [
        dt.date.fromisoformat(text)
        for text in (
            "2018-05-31",
            "2020-02-29",
            "2021-03-01",
            "2022-12-31",
            "2023-12-31",
            "2024-01-31",
            "2024-02-29",
            "2024-06-30",
            "2024-11-30",
        )
    ]
    moments = [
        dt.datetime.fromisoformat(f"{day}+00:00")
        for day in (
            "2023-07-01 00:00",
            "2023-12-31 23:59:59.999999",
            "2024-02-29 12:00",
            "2024-03-01 00:00",
            "2024-07-15 06:00",
            "2024-12-01 09:00",
            "2024-12-21 23:59:59.999999",
            "2024-12-22 00:00",
        )
    ]
    leads, records = [], []
    for number in range(8):
        contact = pick.choice([None, *moments[2:6]])
        called = contact + dt.timedelta(days=pick.choice([0, 29, 30, 31])) if contact and pick.random() < 0.4 else None
        called = called if called and called.date() <= AS_OF else None
        seen = called or contact or moments[0]
        leads.append(Lead(complete_id(f"00QSY{number:010d}"), 1000 + number, contact, called, seen))
        for _ in range(pick.randint(0, 4)):
            firm, start = pick.choice([1, 2, 3]), pick.choice(days)
            recorded = pick.choice(moments)
            records.append(Record(1000 + number, firm, start, pick.choice([None, None, *days]), recorded))
            if pick.random() < 0.4:
                again = pick.choice([recorded, *moments])
                records.append(Record(1000 + number, firm, start, pick.choice([None, *days]), again))
    records.append(Record(1000, 1, None, None, moments[0]))
    snapshots = [
        Snapshot(
            pick.choice([1, 2]),
            dt.date(2024, pick.choice([1, 1, 2, 5, 6, 10, 11]), 1),
            pick.choice([None, 0.0, 10.0, 12.5, 90.0, -1.0]),
            pick.choice(moments),
        )
        for _ in range(16)
    ]
    return World(leads, records, snapshots)


PARAMETERS = {
    "as_of": AS_OF,
    "known_by": end_of_day(AS_OF),
    "label_window_days": 30,
    "one_open_lead": False,
    "scorable_only": False,
    "honour_recorded_at": True,
    "leads_dated": True,
    "employment_dated": True,
    "snapshots_dated": True,
}


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_is_bigquery_and_gives_the_declared_columns(name: str) -> None:
    sql = load_sql(FOLDER, name)
    schema = declared_schema(name)
    assert lint(sql) == []
    assert set(parameter_names(sql)) == set(schema.get("parameters") or {}), "parameters differ from schema.yaml"
    analyzer, language = options()
    builder = CatalogBuilder("c")
    for table in table_names(sql):
        columns = declared_columns(table)
        assert columns, f"no schema.yaml declares table {table}"
        built = TableBuilder(table)
        for column, kind in columns.items():
            built = built.add_column(column, getattr(TypeKind, f"TYPE_{'DOUBLE' if kind == 'FLOAT64' else kind}"))
        builder = builder.add_table(built.build())
    catalog = builder.with_builtin_functions(ZetaSQLBuiltinFunctionOptions(language_options=language)).build()
    text = with_literals(sql, schema.get("parameters") or {}, {})
    statement = Analyzer(analyzer, catalog).analyze_statement(text)
    found = {
        column.name: str(TypeKind(column.column.type.type_kind).name).removeprefix("TYPE_").replace("DOUBLE", "FLOAT64")
        for column in statement.output_column_list
    }
    assert found == {column: kind.split()[0] for column, kind in schema["columns"].items()}


@pytest.mark.parametrize("name", FEATURE_QUERIES)
@pytest.mark.parametrize("seed", [1, 2])
def test_both_engines_give_the_same_rows(name: str, seed: int) -> None:
    sql = load_sql(FOLDER, name)
    tables = small_world(seed).tables()
    for changes in ({}, {"honour_recorded_at": False}, {"scorable_only": True}):
        parameters = {**PARAMETERS, **changes}
        if changes and not set(changes) & set(parameter_names(sql)):
            continue
        reference = run_zetasql(name, parameters, tables)
        assert comparable(run_duckdb(sql, parameters, tables)) == comparable(reference)
        assert reference, "an empty answer proves nothing"


def test_a_misspelt_column_is_refused_by_the_analyzer(tmp_path: Path) -> None:
    analyzer, language = options()
    table = TableBuilder("leads").add_column("lead_id", TypeKind.TYPE_STRING).build()
    catalog = (
        CatalogBuilder("c")
        .add_table(table)
        .with_builtin_functions(ZetaSQLBuiltinFunctionOptions(language_options=language))
        .build()
    )
    with pytest.raises(Exception, match="leed_id"):
        Analyzer(analyzer, catalog).analyze_statement("SELECT leed_id FROM leads")


class Analysed(Client):
    """A BigQuery that Google's analyzer stands for: it refuses what BigQuery would, and names its columns as it would.

    Tables are those that schema.yaml defines, and the staging table of a load.
    """

    def __init__(self) -> None:
        super().__init__()
        self.statements: list[str] = []
        self.added: dict[str, dict[str, str]] = {}  # columns that a table got later

    def columns_of(self, address: str) -> dict[str, str]:
        name = address.rpartition(".")[2].partition("__staging_")[0]
        if name in TABLES:
            columns = TABLES[name].with_features(["days_in_gap"] if "__staging_" in address else [])
            return columns | self.added.get(address, {})
        return {"as_of": "DATE", "x": "FLOAT64"}

    def table(self, address: str) -> Any:
        kinds = self.columns_of(address)
        schema = [bigquery.SchemaField(column, kind) for column, kind in kinds.items()]
        return type("Table", (), {"expires": None, "schema": schema, "table_type": "VIEW"})()

    def query(self, sql: str, job_config: Any, timeout: float) -> Job:
        super().query(sql, job_config, timeout)
        given = {item.name: item.value for item in job_config.query_parameters}
        kinds = {item.name: item.type_ for item in job_config.query_parameters}
        for name in given:
            sql = re.sub(rf"@{name}\b", literal(kinds[name], given[name]), sql)
        answer: dict[str, Any] = {}
        for statement in filter(None, (part.strip() for part in sql.split(";"))):
            self.statements.append(statement)
            answer = self.analyse(statement)
        return Job(Rows([answer]))

    def analyse(self, statement: str) -> dict[str, Any]:
        """A row with the columns that the statement gives."""
        analyzer, language = options()
        builder = CatalogBuilder("c")
        for address in set(re.findall(r"`(p\.d\.\w+)`", statement)):
            table = TableBuilder(address)
            for column, kind in self.columns_of(address).items():
                table = table.add_column(column, getattr(TypeKind, f"TYPE_{'DOUBLE' if kind == 'FLOAT64' else kind}"))
            builder = builder.add_table(table.build())
        catalog = builder.with_builtin_functions(ZetaSQLBuiltinFunctionOptions(language_options=language)).build()
        found = Analyzer(analyzer, catalog).analyze_statement(statement)
        if "ALTER TABLE" in statement:
            (address,) = re.findall(r"`(p\.d\.\w+)`", statement)
            self.added[address] = dict(re.findall(r"IF NOT EXISTS `(\w+)` (\w+)", statement))
        return {item.name: 1 for item in getattr(found, "output_column_list", None) or []}


def test_every_statement_of_the_warehouse_itself_is_bigquery(tmp_path: Path) -> None:
    client = Analysed()
    warehouse = engine(client)
    row = tmp_path / "row.parquet"
    keys = {"as_of": "2024-12-21", "run_key": "20241221-0123456789abcdef"}
    written = {name: keys[item.partition] for name, item in TABLES.items()}
    for table, partition in {**written, "of_nobody": "2024-12-21", "leads": "all"}.items():
        columns = client.columns_of(f"p.d.{table}__staging_0")
        pq.write_table(arrow_schema(columns).empty_table(), row)
        info = warehouse.replace_partition(table, partition, [row])
        assert (info.table, info.partition, info.rows) == (table, partition, 1)
        assert warehouse.drop_partition(table, partition) == info
        assert warehouse.partition(table, partition) == info
    assert warehouse.partitions("lead_scores") == [1]
    assert len(warehouse.fingerprint(["lead_scores"])) == 16
    kinds = {re.sub(r"--.*\n", "", statement).split()[0] for statement in client.statements}
    assert kinds == {"ALTER", "BEGIN", "COMMIT", "CREATE", "DELETE", "INSERT", "SELECT"}


def test_the_analyzer_would_refuse_a_statement_with_a_slip(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="asof"):
        Analysed().analyse("DELETE FROM `p.d.lead_scores` WHERE asof = DATE '2024-12-21'")


def test_the_templates_are_queries_once_their_columns_are_named() -> None:
    features = ["days_in_gap", "pit_moves_3yr"]
    parts = {
        "scores_with_features": {
            "features": ", ".join(f"features.{name}" for name in features), "scores": "scored.margin AS stored_margin",
        },
        "feature_row": {"features": ", ".join([*features, "clipped"])},
    }  # fmt: skip
    assert {path.stem for path in (FOLDER / "templates").glob("*.sql")} == set(parts)
    kinds = {"run_key": "STRING", "as_of": "DATE", "model_version": "STRING", "lead_id": "STRING"}
    analyzer, language = options()
    for name, given in parts.items():
        sql = load_template(FOLDER / "templates", name, **given)
        assert lint(sql) == []
        builder = CatalogBuilder("c")
        for table in ("lead_scores", "lead_features"):
            built = TableBuilder(table)
            for column, kind in TABLES[table].with_features(features).items():
                built = built.add_column(column, getattr(TypeKind, f"TYPE_{'DOUBLE' if kind == 'FLOAT64' else kind}"))
            builder = builder.add_table(built.build())
        catalog = builder.with_builtin_functions(ZetaSQLBuiltinFunctionOptions(language_options=language)).build()
        Analyzer(analyzer, catalog).analyze_statement(with_literals(sql, kinds, {}))


@pytest.mark.parametrize("part", ["a; DROP TABLE t", "a, (SELECT 1)", "`a`", "a -- b", ""])
def test_a_template_takes_names_and_nothing_else(part: str) -> None:
    with pytest.raises(BadInput, match="no list of column names"):
        load_template(FOLDER / "templates", "feature_row", features=part)
