"""Feature rows on their way to Parquet: the columns of the feature table, the split into accepted and rejected."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lead_scoring.catalog import FeatureSet, row_digests
from lead_scoring.errors import CheckFailed
from lead_scoring.features.contract import Reasons, count_by_reason
from lead_scoring.warehouse.definitions import table_schema
from lead_scoring.warehouse.shards import ShardWriter

REJECTED_SCHEMA = table_schema("lead_features_rejected")
GIVEN_LATER = ("feature_digest", "as_of")  # when a row is accepted


def feature_table_schema(feature_set: FeatureSet) -> pa.Schema:
    """The columns of ``lead_features``."""
    return table_schema("lead_features", tuple(feature_set.columns))


def row_schema(feature_set: FeatureSet) -> pa.Schema:
    """What a row has before it is accepted."""
    return pa.schema([field for field in feature_table_schema(feature_set) if field.name not in GIVEN_LATER])


def with_clipped(table: pa.Table, frame: pd.DataFrame, flags: Sequence[str | None]) -> pa.Table:
    """The table with a ``clipped`` column, and with the clipped values of ``frame`` where there are any."""
    if any(flags):
        for name in frame.columns:
            table = _replace(table, name, pa.array(frame[name].to_numpy(), from_pandas=True))
    return table.append_column("clipped", pa.array(flags, pa.string()))


class RowSink:
    """Takes checked batches and writes the train shards, the score shards and the rejected rows.

    :param rows_per_shard: rows of one shard.
    """

    def __init__(self, work: Path, *, as_of: dt.date, feature_set: FeatureSet, rows_per_shard: int) -> None:
        self.as_of, self.feature_set = as_of, feature_set
        schema = feature_table_schema(feature_set)
        self._train = ShardWriter(work / "shards", "train-", schema, rows_per_shard)
        self._score = ShardWriter(work / "shards", "score-", schema, rows_per_shard)
        self._rejected = ShardWriter(work / "rejected", "part-", REJECTED_SCHEMA, 2**62)
        self.rows_in = self.rows_rejected = self.train_positives = 0
        self.by_reason: Counter[str] = Counter()
        self.clipped: Counter[str] = Counter()

    @property
    def train_rows(self) -> int:
        return self._train.rows

    @property
    def score_rows(self) -> int:
        return self._score.rows

    def add(self, table: pa.Table, reasons: Reasons) -> None:
        """:param table: has the columns of :func:`row_schema`.
        :param reasons: the rows to set aside.
        """
        good = self._set_aside(table, reasons)
        self._count_clipped(good)
        self._accept(good.filter(pc.invert(good.column("scorable"))), self._train)
        self._accept(good.filter(good.column("scorable")), self._score)

    def add_brought(self, table: pa.Table, reasons: Reasons) -> None:
        """Like :meth:`add` for rows that may be labelled and scorable at once: in count they are one row.

        The label goes into the training row only, so that a lead keeps one row of each kind.
        """
        good = self._set_aside(table, reasons)
        self._count_clipped(good)
        labelled = good.filter(pc.is_valid(good.column("target")))
        self._accept(_replace(labelled, "scorable", pa.array(np.zeros(labelled.num_rows, bool))), self._train)
        scorable = good.filter(good.column("scorable"))
        self._accept(_replace(scorable, "target", pa.nulls(scorable.num_rows, pa.int64())), self._score)

    def _set_aside(self, table: pa.Table, reasons: Reasons) -> pa.Table:
        self.rows_in += table.num_rows
        if not reasons:
            return table
        places = np.array(sorted(reasons), dtype=np.int64)
        self._reject(table.take(pa.array(places)), [reasons[int(place)] for place in places])
        keep = np.ones(table.num_rows, dtype=bool)
        keep[places] = False
        return table.filter(pa.array(keep))

    def _count_clipped(self, table: pa.Table) -> None:
        for text in table.column("clipped").drop_null().to_pylist():
            self.clipped.update(text.split(", "))

    def _accept(self, table: pa.Table, writer: ShardWriter) -> None:
        table = table.select(row_schema(self.feature_set).names)
        table = table.append_column("feature_digest", pa.array(row_digests(self.feature_set, table), pa.string()))
        table = table.append_column("as_of", pa.array([self.as_of] * table.num_rows, pa.date32()))
        writer.write(table)
        if writer is self._train:
            self.train_positives += int(pc.sum(table.column("target")).as_py() or 0)

    def _reject(self, table: pa.Table, texts: list[str]) -> None:
        count = table.num_rows
        self.rows_rejected += count
        self.by_reason.update(count_by_reason(texts))
        values = table.select(self.feature_set.columns).to_pylist()
        columns = {name: table.column(name) for name in ("lead_id", "pit_date", "target", "scorable")}
        columns |= {
            "as_of": pa.array([self.as_of] * count, pa.date32()),
            "source_table": pa.array(["leads"] * count),
            "reasons": pa.array(texts),
            "record": pa.array([_as_json(row) for row in values]),
        }
        self._rejected.write(pa.table([columns[name] for name in REJECTED_SCHEMA.names], schema=REJECTED_SCHEMA))

    def add_source_rejects(self, table: pa.Table) -> dict[str, int]:
        """Write records that were set aside at the source. :return: how many of each table."""
        count = table.num_rows
        texts = [text.strip("; ") for text in table.column("reasons").to_pylist()]
        columns = {name: table.column(name) for name in ("source_table", "lead_id", "record")}
        columns |= {"as_of": pa.array([self.as_of] * count, pa.date32()), "reasons": pa.array(texts, pa.string())}
        filled = [
            columns[field.name] if field.name in columns else pa.nulls(count, field.type) for field in REJECTED_SCHEMA
        ]
        self._rejected.write(pa.table(filled, schema=REJECTED_SCHEMA))
        tables = table.column("source_table").to_pylist()
        for name, text in zip(tables, texts, strict=True):
            self.by_reason.update(f"{name}: {rule}" for rule in count_by_reason([text]))
        return dict(Counter(tables))

    def close(self, *, with_train: bool) -> dict[str, Path]:
        """Finish all files. :return: logical name to path."""
        files = {f"shards/{path.name}": path for path in self._score.close()}
        train = self._train.close()
        if with_train:
            files |= {f"shards/{path.name}": path for path in train}
        files["rejected.parquet"] = self._rejected.close()[0]
        return dict(sorted(files.items()))

    def reasons_by_count(self) -> dict[str, int]:
        return dict(sorted(self.by_reason.items(), key=lambda item: (-item[1], item[0])))

    def check_share(self, share: float) -> None:
        """:raises CheckFailed: more than ``share`` of the rows were set aside."""
        if self.rows_rejected > share * self.rows_in:
            top = ", ".join(f"{count} x {reason}" for reason, count in list(self.reasons_by_count().items())[:3])
            raise CheckFailed(
                f"{self.rows_rejected} of {self.rows_in} feature rows were set aside, more than "
                f"features.max_rejected_share = {share:g}: {top}. Mend the source, or raise the setting"
            )


def _replace(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def _as_json(row: dict[str, float | None]) -> str:
    return json.dumps({name: None if value is None or value != value else value for name, value in row.items()})
