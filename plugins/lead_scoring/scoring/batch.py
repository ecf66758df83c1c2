"""Batch scoring of one shard: Parquet in, Parquet out, in memory that does not grow with the shard.

The unit of work that Airflow maps over: one shard, one task, no knowledge of the other shards or of the warehouse. What
a row needs from yesterday (trend) or from SQL (the digest of its feature row) is joined in SQL, not here.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lead_scoring.errors import BadInput, NotFound
from lead_scoring.scoring.scorer import LeadScorer
from lead_scoring.scoring.tables import Matrix, constant, named
from lead_scoring.settings import ScoringSettings
from lead_scoring.stage import StageOutput
from lead_scoring.warehouse.definitions import table_schema

BATCH_ROWS = 131_072

SCORES = table_schema("lead_scores_staging")
REJECTED = table_schema("lead_scores_rejected")
_TEXTS = ("score_bucket", "action_recommended", "model_version", "bucket_policy", "run_key", "calibrator_digest")
_DAYS = ("as_of", "expires_on")


def score_shard(
    scorer: LeadScorer, shard: Path, *, as_of: dt.date, run_key: str, settings: ScoringSettings, work: Path
) -> StageOutput:
    """Score every row of a shard of the feature table, or set it aside with its reasons.

    :param shard: Parquet with ``lead_id``, ``feature_digest`` and the features.
    :returns: ``scores.parquet`` (:data:`SCORES`), ``rejected.parquet`` (:data:`REJECTED`), both in the order of the
        shard; counts ``in`` = ``scored`` + ``rejected``.
    :raises NotFound: there is no such file. :raises BadInput: it is not Parquet, or a feature is missing from it.
    """
    if not shard.is_file():
        raise NotFound(f"shard {shard} does not exist; materialize the features of {as_of} first")
    try:
        source = pq.ParquetFile(shard)
    except pa.ArrowInvalid as error:
        raise BadInput(f"shard {shard} is not Parquet ({error}); materialize the features again") from error
    job = _ShardJob(scorer, source.schema_arrow, as_of, run_key, settings.expires_after_days)
    counts = {"in": 0, "scored": 0, "rejected": 0}
    scores_path, rejected_path = work / "scores.parquet", work / "rejected.parquet"
    with _writer(scores_path, SCORES) as scores, _writer(rejected_path, REJECTED) as rejected:
        for good, bad in _ordered(job, stream(source, job.read), max(settings.threads, 1)):
            scores.write_batch(good)
            if bad.num_rows:
                rejected.write_batch(bad)
            counts["in"] += good.num_rows + bad.num_rows
            counts["scored"] += good.num_rows
            counts["rejected"] += bad.num_rows
    if counts["in"] != source.metadata.num_rows:
        raise BadInput(
            f"shard {shard} announces {source.metadata.num_rows} rows and holds {counts['in']}; make it again"
        )
    return StageOutput(files={"scores.parquet": scores_path, "rejected.parquet": rejected_path}, counts=counts)


def stream(source: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Batches in the order of the file, a row group at a time.

    Not ``iter_batches``: with pyarrow 26.0 its memory grows by 5 MB for every row group that it has passed.
    """
    for group in range(source.num_row_groups):
        yield from source.read_row_group(group, columns=columns).to_batches(max_chunksize=BATCH_ROWS)


class _ShardJob:
    """What every batch of a shard has in common."""

    def __init__(self, scorer: LeadScorer, schema: pa.Schema, as_of: dt.date, run_key: str, expires: int) -> None:
        self.tables = scorer.tables
        self.version = scorer.model_version
        self.as_of, self.run_key, self.expires_on = as_of, run_key, as_of + dt.timedelta(days=expires)
        for name in ("lead_id", "feature_digest"):
            if name not in schema.names:
                raise BadInput(f"the shard has no column {name!r}; materialize the features again")
        places = self.tables.positions(schema)
        features = [schema.field(place).name for place in places]
        self.has_clipped = "clipped" in schema.names
        self.read = ["lead_id", "feature_digest", *features, *(["clipped"] if self.has_clipped else [])]
        self.positions = list(range(2, 2 + len(features)))

    def score(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """The scored rows and the rows set aside."""
        batch = batch.select(self.read)
        matrix, problems, clipped = self.tables.matrix(batch, self.positions)
        # a table that was checked before is clipped already, and says so; its own word counts, then what is found here
        flags = named(clipped, batch.num_rows)
        if self.has_clipped:
            flags = pc.coalesce(batch.column("clipped").cast(pa.string()), flags)
        if batch.column("lead_id").null_count:
            for row in range(batch.num_rows):
                if not batch.column("lead_id")[row].is_valid:
                    problems.setdefault(row, []).insert(0, "lead_id is missing")
        bad = batch.slice(0, 0)
        if problems:
            rows = sorted(problems)
            keep = pa.array([row for row in range(batch.num_rows) if row not in problems], pa.int64())
            bad, batch, matrix = batch.take(pa.array(rows, pa.int64())), batch.take(keep), matrix[keep.to_numpy()]
            flags = flags.take(keep)
        return self._scores(batch, matrix, flags), self._rejected(
            bad, ["; ".join(problems[row]) for row in sorted(problems)]
        )

    def _scores(self, batch: pa.RecordBatch, matrix: Matrix, clipped: pa.Array) -> pa.RecordBatch:
        columns = self.tables.columns(self.tables.margins(matrix))
        columns |= {"expires_on": self._day(self.expires_on, batch.num_rows), "clipped": clipped}
        return self._complete(batch, columns, SCORES)

    def _rejected(self, batch: pa.RecordBatch, reasons: list[str]) -> pa.RecordBatch:
        columns = {
            "reasons": pa.array(reasons, pa.string()),
            "model_version": constant(self.version, batch.num_rows),
        }
        return self._complete(batch, columns, REJECTED)

    def _complete(self, batch: pa.RecordBatch, columns: dict[str, pa.Array], schema: pa.Schema) -> pa.RecordBatch:
        columns["lead_id"] = batch.column("lead_id").cast(pa.string())
        columns["feature_digest"] = batch.column("feature_digest").cast(pa.string())
        columns["run_key"] = constant(self.run_key, batch.num_rows)
        columns["as_of"] = self._day(self.as_of, batch.num_rows)
        fields = [pa.field(name, columns[name].type) for name in schema.names]
        return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=pa.schema(fields))

    @staticmethod
    def _day(day: dt.date, rows: int) -> pa.Array:
        return pa.repeat(pa.scalar(day, pa.date32()), rows)


def _ordered(
    job: _ShardJob, batches: Iterator[pa.RecordBatch], threads: int
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Results in the order of the batches, with at most ``threads + 1`` of them in memory."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[tuple[pa.RecordBatch, pa.RecordBatch]]] = deque()
        for batch in batches:
            waiting.append(pool.submit(job.score, batch))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Text columns with few values go in as dictionaries and come out as plain text, so shards are alike everywhere.

    Numbers are not compressed: their bits are as good as random, and trying costs as much as all other writing.
    """
    kinds = [
        pa.field(field.name, pa.dictionary(pa.int8(), pa.string()) if field.name in _TEXTS else field.type)
        for field in schema
    ]
    return pq.ParquetWriter(
        path,
        pa.schema(kinds),
        compression={field.name: "none" if pa.types.is_float64(field.type) else "zstd" for field in schema},
        use_dictionary=[name for name in (*_TEXTS, *_DAYS) if name in schema.names],
        store_schema=False,
    )
