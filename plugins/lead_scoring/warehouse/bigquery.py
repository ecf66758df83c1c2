"""The BigQuery engine: the same SQL without translation, partitions replaced in one transaction.

Every request has a timeout: without one the client library goes on trying for ten minutes when nobody answers. A job,
which is many requests, has a limit of its own.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import time
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lead_scoring.errors import BadInput, NotFound, Transient
from lead_scoring.stage import canonical_json
from lead_scoring.warehouse import PartitionInfo, SqlValue
from lead_scoring.warehouse.definitions import FEATURES, table_definitions
from lead_scoring.warehouse.shards import ShardWriter
from lead_scoring.warehouse.sql import lint, parameter_names
from lead_scoring.warehouse.types import canonical_schema

if TYPE_CHECKING:
    from google.api_core.exceptions import GoogleAPICallError
    from google.cloud import bigquery

WHOLE_TABLE = "all"
STAGING_HOURS = 24  # a killed load leaves its staging table, which BigQuery then drops by itself
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_BUSY = "concurrent update"  # BigQuery says 400 where a transaction or a statement lost against another one
_RATE_LIMITS = {"rateLimitExceeded", "jobRateLimitExceeded", "userRateLimitExceeded"}  # it says 403 for some of these
_LEGACY_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}


class BigQueryWarehouse:
    """A dataset. Partitions are rows of one ``as_of`` day, of one ``run_key``, or the whole table (``all``).

    :param project: the project that holds the dataset and pays for the queries.
    :param timeout_seconds: of one request. :param job_timeout_seconds: of one query or load, which is then cancelled.
    :param sql_folder: its folder ``bigquery`` has the statements of this class, its other folders define the tables.
    :param client: by default one is made with the credentials of the environment.
    :raises BadInput: there is no project.
    """

    name = "bigquery"

    def __init__(
        self,
        *,
        project: str,
        dataset: str,
        location: str,
        timeout_seconds: int,
        job_timeout_seconds: int,
        sql_folder: Path,
        client: Any | None = None,
    ) -> None:
        if not project:
            raise BadInput("setting warehouse.project is empty; set it to the Google Cloud project of the dataset")
        self.project, self.dataset, self.location, self.timeout = project, dataset, location, timeout_seconds
        self.job_timeout = job_timeout_seconds
        self._sql_folder = sql_folder
        self._client = client

    @property
    def client(self) -> Any:
        if self._client is None:
            from google.cloud import bigquery

            self._client = bigquery.Client(project=self.project, location=self.location)
        return self._client

    def tables(self) -> list[str]:
        with _clear_errors("the list of tables"):
            listed = self.client.list_tables(f"{self.project}.{self.dataset}", timeout=self.timeout)
            return sorted(item.table_id for item in listed if "__staging_" not in item.table_id)

    def columns(self, table: str) -> dict[str, str]:
        return _column_types(self._table(table).schema)

    def fingerprint(self, tables: Sequence[str]) -> str:
        content = {}
        for name in sorted(set(tables)):
            table = self._table(name)
            if table.table_type == "TABLE":
                content[name] = [table.num_rows, table.modified.isoformat() if table.modified else ""]
            else:  # what a view or an external table says of itself stays the same when the data behind it change
                rows, digest = self._content(name, "TRUE", {})
                content[name] = [rows, digest]
        return hashlib.sha256(canonical_json(content)).hexdigest()[:16]

    def query(self, sql: str, params: Mapping[str, SqlValue] | None = None) -> pa.Table:
        with _clear_errors("the query"):
            table = self._rows(sql, params).to_arrow()
        return table.cast(canonical_schema(table.schema))

    def export(self, sql: str, params: Mapping[str, SqlValue] | None, folder: Path, rows_per_file: int) -> list[Path]:
        with _clear_errors("the export"):
            rows = self._rows(sql, params)
            writer: ShardWriter | None = None
            for batch in rows.to_arrow_iterable():
                table = pa.Table.from_batches([batch])
                writer = writer or ShardWriter(folder, "part-", canonical_schema(table.schema), rows_per_file)
                writer.write(table)
            if writer is None:
                writer = ShardWriter(folder, "part-", canonical_schema(rows.to_arrow().schema), rows_per_file)
            return writer.close()

    def replace_partition(self, table: str, partition: str, files: Sequence[Path]) -> PartitionInfo:
        """Load into a staging table that no reader knows, then swap the rows in one transaction."""
        if not files:
            raise BadInput(f"partition {table}/{partition} got no files; pass one with no rows to empty it")
        target = self._address(table)
        staging = self._address(f"{table}__staging_{uuid.uuid4().hex[:12]}")
        with _clear_errors(f"partition {table}/{partition}"):
            try:
                self._load(staging, files)
                if partition == WHOLE_TABLE:
                    self._script(self._text("replace_table", target=target, staging=staging), {})
                else:
                    self._create(table, staging, pa_names(files[0]))
                    names = ", ".join(f"`{name}`" for name in self._add_columns(table, staging))
                    key = _key_column(partition)
                    swap = self._text("replace_partition", target=target, staging=staging, key=key, names=names)
                    self._script(swap, {"part": _key_value(partition)})
            finally:
                self.client.delete_table(staging, not_found_ok=True, timeout=self.timeout)
        info = self.partition(table, partition)
        return info or PartitionInfo(table, partition, 0, hashlib.sha256(b"").hexdigest()[:16])

    def drop_partition(self, table: str, partition: str) -> PartitionInfo | None:
        if (held := self.partition(table, partition)) is None:
            return None
        with _clear_errors(f"partition {table}/{partition}"):
            if partition == WHOLE_TABLE:
                self.client.delete_table(self._address(table), not_found_ok=True, timeout=self.timeout)
            else:
                sql = self._text("drop_partition", target=self._address(table), key=_key_column(partition))
                self._script(sql, {"part": _key_value(partition)})
        return held

    def vacuum(self, *, dry_run: bool = False) -> int:
        """Always 0: BigQuery keeps no content beside the partitions, and staging tables end by themselves."""
        return 0

    def partition(self, table: str, partition: str) -> PartitionInfo | None:
        condition, params = "TRUE", {}
        if partition != WHOLE_TABLE:
            condition, params = f"{_key_column(partition)} = @part", {"part": _key_value(partition)}
        rows, digest = self._content(table, condition, params)
        return PartitionInfo(table, partition, rows, digest) if rows else None

    def partitions(self, table: str, key: str | None = None) -> list[str]:
        columns = self.columns(table)
        if key is None:
            key = next((name for name in ("as_of", "run_key") if name in columns), None)
        elif key not in columns:
            raise BadInput(f"table {table!r} has no column {key!r} to name its partitions by; it has {sorted(columns)}")
        if key is None:
            return [WHOLE_TABLE]
        sql = self._text("partitions", target=self._address(table), key=key)
        with _clear_errors(f"table {table!r}"):
            return [row["part"] for row in self._script(sql, {})]

    def _text(self, name: str, **parts: str) -> str:
        """A statement of ``include/sql/bigquery``. :param parts: identifiers, which cannot be parameters."""
        return (self._sql_folder / "bigquery" / f"{name}.sql").read_text(encoding="utf-8").format(**parts)

    def _create(self, table: str, staging: str, columns: Sequence[str]) -> None:
        """Create the table if it does not exist: as its definition says, or like the first rows of one without."""
        target, by_day = self._address(table), " PARTITION BY as_of" if "as_of" in columns else ""
        defined = table_definitions(self._sql_folder).get(table)
        if defined is None:
            self._script(self._text("create_table_like", target=target, staging=staging, partition=by_day), {})
            return
        listed = ", ".join(f"`{name}` {kind}" for name, kind in defined.columns.items() if name != FEATURES)
        cluster = " CLUSTER BY run_key" if "run_key" in defined.columns else ""
        text = self._text(
            "create_table", target=target, columns=listed, partition=by_day, cluster=cluster,
            description=json.dumps(defined.description),
        )  # fmt: skip
        self._script(text, {})

    def _address(self, table: str) -> str:
        return f"{self.project}.{self.dataset}.{table}"

    def _table(self, table: str) -> bigquery.Table:
        with _clear_errors(f"table {table!r}"):
            return self.client.get_table(self._address(table), timeout=self.timeout)

    def _content(self, table: str, condition: str, params: Mapping[str, SqlValue]) -> tuple[int, str]:
        """How many rows, and 16 hex characters that change with any of them."""
        sql = self._text("content", target=self._address(table), condition=condition)
        with _clear_errors(f"table {table!r}"):
            row = next(iter(self._script(sql, params)))
        digest = hashlib.sha256(f"{row['row_count']}:{row['fingerprint']}".encode()).hexdigest()[:16]
        return row["row_count"], digest

    def _add_columns(self, table: str, staging: str) -> list[str]:
        """Give the table the columns that only the staging table has: partitions may come from other feature sets.

        :return: the names of the staging table's columns. The table's other columns stay NULL in its rows.
        """
        columns = _column_types(self.client.get_table(staging, timeout=self.timeout).schema)
        known = {name.lower() for name in self.columns(table)}  # BigQuery ignores the case of column names
        missing = [f"`{name}` {kind}" for name, kind in columns.items() if name.lower() not in known]
        if missing:
            added = ", ".join(f"ADD COLUMN IF NOT EXISTS {column}" for column in missing)
            self._script(self._text("add_columns", target=self._address(table), columns=added), {})
        return list(columns)

    def _load(self, staging: str, files: Sequence[Path]) -> None:
        from google.cloud import bigquery

        config = bigquery.LoadJobConfig(
            source_format="PARQUET", write_disposition="WRITE_APPEND", job_timeout_ms=self.job_timeout * 1000
        )
        for number, path in enumerate(files):
            with path.open("rb") as stream:
                job = self.client.load_table_from_file(stream, staging, job_config=config, timeout=self.timeout)
            self._finish(job)
            if number == 0:  # from here on BigQuery removes the table if this process cannot
                table = self.client.get_table(staging, timeout=self.timeout)
                table.expires = dt.datetime.now(dt.UTC) + dt.timedelta(hours=STAGING_HOURS)
                self.client.update_table(table, ["expires"], timeout=self.timeout)

    def _rows(self, sql: str, params: Mapping[str, SqlValue] | None) -> Any:
        if found := lint(sql):
            raise BadInput(f"SQL is not the same on BigQuery and DuckDB: {found[0]}")
        used = parameter_names(sql)
        return self._script(sql, {name: value for name, value in (params or {}).items() if name in used})

    def _script(self, sql: str, params: Mapping[str, SqlValue]) -> Any:
        from google.cloud import bigquery

        config = bigquery.QueryJobConfig(
            job_timeout_ms=self.job_timeout * 1000,  # ends the job also if this process is killed
            default_dataset=f"{self.project}.{self.dataset}",
            query_parameters=[
                bigquery.ScalarQueryParameter(name, _parameter_type(value), value) for name, value in params.items()
            ],
        )
        return self._finish(self.client.query(sql, job_config=config, timeout=self.timeout))

    def _finish(self, job: Any) -> Any:
        """The result of a job. The client's ``timeout`` is that of each request too, so the wait is cut into pieces.

        :raises TimeoutError: a request went unanswered, or the job took longer than its limit and was cancelled.
        """
        deadline = time.monotonic() + self.job_timeout
        while True:
            try:
                return job.result(timeout=self.timeout)
            except TimeoutError as error:
                if error.__cause__ is not None:  # the request, not the job
                    raise
                if time.monotonic() >= deadline:
                    job.cancel(timeout=self.timeout)
                    raise TimeoutError(f"a job was not done in {self.job_timeout} s and was cancelled") from error


def pa_names(path: Path) -> list[str]:
    """The columns of a Parquet file."""
    import pyarrow.parquet as pq

    return list(pq.read_schema(path).names)


def _column_types(schema: Sequence[bigquery.SchemaField]) -> dict[str, str]:
    columns = {}
    for field in schema:
        kind = _LEGACY_NAMES.get(field.field_type, field.field_type)
        columns[field.name] = f"ARRAY<{kind}>" if field.mode == "REPEATED" else kind
    return columns


def _key_column(partition: str) -> str:
    return "as_of" if _DATE.fullmatch(partition) else "run_key"


def _key_value(partition: str) -> SqlValue:
    return dt.date.fromisoformat(partition) if _DATE.fullmatch(partition) else partition


def _parameter_type(value: SqlValue) -> str:
    for kind, name in (
        (bool, "BOOL"),
        (int, "INT64"),
        (float, "FLOAT64"),
        (dt.datetime, "TIMESTAMP"),
        (dt.date, "DATE"),
    ):
        if isinstance(value, kind):
            return name
    return "STRING"


@contextmanager
def _clear_errors(what: str) -> Generator[None]:
    """The library's errors in place of the client's."""
    import requests
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except exceptions.NotFound as error:
        raise NotFound(f"BigQuery does not have {what}: {_first_line(error)}; load it first") from error
    except exceptions.RetryError as error:
        raise Transient(f"BigQuery did not answer for {what}: {_first_line(error)}; try again") from error
    except (requests.ConnectionError, requests.Timeout, TimeoutError) as error:
        raise Transient(f"BigQuery cannot be reached for {what}: {_first_line(error)}; try again") from error
    except exceptions.GoogleAPICallError as error:
        if _passes(error):
            raise Transient(f"BigQuery could not do {what} now: {_first_line(error)}; try again") from error
        raise BadInput(f"BigQuery refused {what}: {_first_line(error)}") from error
    except GoogleAuthError as error:
        raise BadInput(f"BigQuery refused {what}: {_first_line(error)}") from error


def _passes(error: GoogleAPICallError) -> bool:
    """Whether the same request may succeed later: the server's failures, limits of rate, and lost races."""
    from google.api_core import exceptions

    if not isinstance(error, exceptions.ClientError):
        return True  # also a job that was stopped
    reasons = {item.get("reason") for item in error.errors if isinstance(item, dict)}
    lasting = not isinstance(error, exceptions.Conflict | exceptions.TooManyRequests)
    return not lasting or bool(reasons & _RATE_LIMITS) or _BUSY in str(error).lower()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
