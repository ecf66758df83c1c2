"""The BigQuery engine against a client that records what it is asked. The server itself is not here."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from lead_scoring.errors import BadInput, NotFound, Transient
from lead_scoring.settings import load_settings
from lead_scoring.warehouse.bigquery import BigQueryWarehouse

SQL = load_settings(environment={}).sql_folder


class Rows(list):
    def to_arrow(self) -> pa.Table:
        return pa.table({"n": [1]})

    def to_arrow_iterable(self) -> Any:
        return iter(self.to_arrow().to_batches())


class Job:
    """:param waits: what ``result`` raises before it answers."""

    def __init__(self, rows: Rows, waits: list[Exception] | None = None) -> None:
        self.rows, self.waits, self.cancelled = rows, waits or [], False

    def result(self, timeout: float) -> Rows:
        assert timeout == 7
        if self.waits:
            raise self.waits.pop(0)
        return self.rows

    def cancel(self, timeout: float) -> None:
        self.cancelled = True


def field(name: str) -> bigquery.SchemaField:
    return bigquery.SchemaField(name, {"as_of": "DATE", "run_key": "STRING"}.get(name, "FLOAT"))


class Client:
    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.queries, self.loads, self.deleted = error, [], [], []  # type: ignore[var-annotated]
        self.expiries_after: list[int] = []  # how many loads were done when the table was given its end

    def query(self, sql: str, job_config: Any, timeout: float) -> Job:
        assert timeout == 7
        assert job_config.job_timeout_ms == "60000"  # the service ends it, also if nobody is left to cancel
        if self.error:
            raise self.error
        self.queries.append((sql, {item.name: (item.type_, item.value) for item in job_config.query_parameters}))
        return Job(Rows([{"row_count": 2, "fingerprint": 5}]))

    def load_table_from_file(self, stream: Any, target: str, job_config: Any, timeout: float) -> Job:
        assert timeout == 7
        assert job_config.job_timeout_ms == "60000"
        self.loads.append((target, job_config.write_disposition))
        return Job(Rows())

    def get_table(self, address: str, timeout: float) -> Any:
        return self.table(address)

    def table(self, address: str) -> Any:
        names = ("as_of", "x", "new") if "__staging_" in address else ("as_of", "x", "old")
        return type("Table", (), {"expires": None, "schema": [field(name) for name in names]})()

    def update_table(self, table: Any, fields: list[str], timeout: float) -> None:
        assert fields == ["expires"]
        assert table.expires > dt.datetime.now(dt.UTC)
        self.expiries_after.append(len(self.loads))

    def delete_table(self, address: str, not_found_ok: bool, timeout: float) -> None:
        self.deleted.append(address)


def engine(client: Any, job_timeout: int = 60) -> BigQueryWarehouse:
    return BigQueryWarehouse(
        project="p", dataset="d", location="US", timeout_seconds=7, job_timeout_seconds=job_timeout,
        sql_folder=SQL, client=client,
    )  # fmt: skip


class OneJob(Client):
    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job

    def query(self, sql: str, job_config: Any, timeout: float) -> Job:
        return self.job


def test_parameters_are_sent_with_their_types() -> None:
    client = Client()
    engine(client).query(
        "SELECT COUNT(a) AS n FROM t WHERE b = @b AND c = @c", {"b": dt.date(2024, 1, 1), "c": True, "z": 1}
    )
    assert client.queries[0][1] == {"b": ("DATE", dt.date(2024, 1, 1)), "c": ("BOOL", True)}


def test_the_lint_holds_here_too() -> None:
    with pytest.raises(BadInput, match="not the same"):
        engine(Client()).query("SELECT a / b AS c FROM t")


def test_a_partition_is_loaded_aside_and_swapped_in_one_transaction(tmp_path: Path) -> None:
    client = Client()
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path in paths:
        pq.write_table(pa.table({"as_of": [dt.date(2024, 12, 21)], "x": [1]}), path)
    info = engine(client).replace_partition("lead_features", "2024-12-21", paths)
    staging = {target for target, _ in client.loads}
    assert len(client.loads) == 2
    assert len(staging) == 1
    swap = next(sql for sql, _ in client.queries if "BEGIN TRANSACTION" in sql)
    assert "DELETE FROM `p.d.lead_features` WHERE as_of = @part" in swap
    assert swap.index("DELETE") < swap.index("INSERT") < swap.index("COMMIT")
    assert client.deleted == list(staging)
    assert client.expiries_after == [1]  # before the second file: a killed load leaves no table for ever
    assert info.rows == 2


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.NotFound("no table"), NotFound),
        (exceptions.ServiceUnavailable("busy"), Transient),
        (exceptions.TooManyRequests("slow down"), Transient),
        (exceptions.Forbidden("no access"), BadInput),
        (exceptions.BadRequest("syntax"), BadInput),
        (TimeoutError("too long"), Transient),
        (exceptions.BadRequest("Transaction is aborted due to concurrent update against table t"), Transient),
        (exceptions.Conflict("in use"), Transient),
        (exceptions.Forbidden("too fast", errors=[{"reason": "rateLimitExceeded"}]), Transient),
        (exceptions.Forbidden("no access", errors=[{"reason": "accessDenied"}]), BadInput),
    ],
)
def test_errors_say_whether_trying_again_helps(error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="BigQuery"):
        engine(Client(error)).query("SELECT a AS a FROM t")


def test_a_dataset_without_a_project_is_refused() -> None:
    with pytest.raises(BadInput, match="warehouse.project"):
        BigQueryWarehouse(
            project="", dataset="d", location="US", timeout_seconds=7, job_timeout_seconds=60, sql_folder=SQL
        )


def test_a_job_may_take_longer_than_a_request() -> None:
    job = Job(Rows([{}]), [TimeoutError(), TimeoutError()])
    assert engine(OneJob(job)).query("SELECT a AS a FROM t").num_rows == 1
    assert not job.cancelled


def test_a_job_past_its_limit_is_cancelled() -> None:
    job = Job(Rows(), [TimeoutError()])
    with pytest.raises(Transient, match="not done in 0 s and was cancelled"):
        engine(OneJob(job), job_timeout=0).query("SELECT a AS a FROM t")
    assert job.cancelled


def test_a_request_that_nobody_answers_ends_the_wait() -> None:
    unanswered = TimeoutError("read")
    unanswered.__cause__ = OSError("no answer")
    job = Job(Rows(), [unanswered])
    with pytest.raises(Transient, match="cannot be reached"):
        engine(OneJob(job)).query("SELECT a AS a FROM t")
    assert not job.cancelled


def test_a_second_feature_set_brings_its_own_columns(tmp_path: Path) -> None:
    client = Client()
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"as_of": [dt.date(2024, 12, 21)], "x": [1.0], "new": [2.0]}), path)
    engine(client).replace_partition("lead_features", "2024-12-21", [path])
    texts = [sql for sql, _ in client.queries]
    alter = next(sql for sql in texts if "ALTER TABLE" in sql)
    swap = next(sql for sql in texts if "BEGIN TRANSACTION" in sql)
    assert alter.endswith("ALTER TABLE `p.d.lead_features` ADD COLUMN IF NOT EXISTS `new` FLOAT64\n")
    assert "(`as_of`, `x`, `new`) SELECT `as_of`, `x`, `new` FROM" in swap
    assert texts.index(alter) < texts.index(swap)


class OneTable(Client):
    def __init__(self, kind: str, rows: list[dict[str, Any]], columns: tuple[str, ...] = ("x",)) -> None:
        super().__init__()
        self.kind, self.rows, self.names = kind, rows, columns

    def table(self, address: str) -> Any:
        facts = {"table_type": self.kind, "num_rows": 0, "modified": None}
        return type("Table", (), facts | {"schema": [field(name) for name in self.names]})()

    def query(self, sql: str, job_config: Any, timeout: float) -> Job:
        super().query(sql, job_config, timeout)
        return Job(Rows(self.rows))


def test_the_fingerprint_of_a_view_is_of_the_rows_behind_it() -> None:
    one, same, other = (OneTable("VIEW", [{"row_count": 2, "fingerprint": value}]) for value in (5, 5, 6))
    assert engine(one).fingerprint(["leads"]) == engine(same).fingerprint(["leads"])
    assert engine(one).fingerprint(["leads"]) != engine(other).fingerprint(["leads"])
    assert "FARM_FINGERPRINT" in one.queries[0][0]
    table = OneTable("TABLE", [])
    engine(table).fingerprint(["leads"])
    assert not table.queries


def test_partitions_of_a_table_with_a_day_and_a_run_are_named_by_the_key_that_is_asked_for() -> None:
    client = OneTable("TABLE", [{"part": "20241221-00000000"}], ("as_of", "run_key"))
    assert engine(client).partitions("lead_scores_staging", key="run_key") == ["20241221-00000000"]
    engine(client).partitions("lead_scores")
    assert "CAST(run_key AS STRING)" in client.queries[0][0]
    assert "CAST(as_of AS STRING)" in client.queries[1][0]
    with pytest.raises(BadInput, match="no column 'day'"):
        engine(client).partitions("lead_scores", key="day")


def test_a_partition_is_dropped_by_its_key_and_a_whole_table_as_a_table() -> None:
    client = Client()
    info = engine(client).drop_partition("lead_scores", "2024-12-21")
    assert (info.rows, info.partition) == (2, "2024-12-21") if info else False
    engine(client).drop_partition("lead_scores_staging", "20241221-0123456789abcdef")
    deletions = [query for query in client.queries if "DELETE" in query[0]]
    assert deletions == [
        ("DELETE FROM `p.d.lead_scores` WHERE as_of = @part\n", {"part": ("DATE", dt.date(2024, 12, 21))}),
        (
            "DELETE FROM `p.d.lead_scores_staging` WHERE run_key = @part\n",
            {"part": ("STRING", "20241221-0123456789abcdef")},
        ),
    ]
    engine(client).drop_partition("leads", "all")
    assert client.deleted == ["p.d.leads"]


def test_a_partition_without_rows_is_not_dropped_a_second_time() -> None:
    client = OneTable("TABLE", [{"row_count": 0, "fingerprint": 0}])
    assert engine(client).drop_partition("lead_scores", "2024-12-21") is None
    assert not [sql for sql, _ in client.queries if "DELETE" in sql]


def test_a_table_is_created_as_its_definition_says(tmp_path: Path) -> None:
    client = Client()
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"as_of": [dt.date(2024, 12, 21)], "x": [1.0]}), path)
    engine(client).replace_partition("lead_scores_rejected", "2024-12-21", [path])
    engine(client).replace_partition("of_nobody", "2024-12-21", [path])
    defined, other = (sql for sql, _ in client.queries if "CREATE TABLE" in sql)
    assert "(`lead_id` STRING, `as_of` DATE, `reasons` STRING, `model_version` STRING," in defined
    assert 'PARTITION BY as_of CLUSTER BY run_key OPTIONS (description = "The leads of a day' in defined
    assert "CREATE TABLE IF NOT EXISTS `p.d.of_nobody` PARTITION BY as_of AS SELECT * FROM" in other
