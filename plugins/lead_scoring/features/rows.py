"""Feature rows on their way to Parquet: the columns of the feature table, the split into accepted and rejected."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from lead_scoring.catalog import FeatureSet, row_digests
from lead_scoring.errors import CheckFailed
from lead_scoring.features.contract import count_by_reason
from lead_scoring.warehouse.shards import ShardWriter

REJECTED_SCHEMA = pa.schema([
    ("as_of", pa.date32()),
    ("source_table", pa.string()),
    ("lead_id", pa.string()),
    ("pit_date", pa.date32()),
    ("target", pa.int64()),
    ("scorable", pa.bool_()),
    ("reasons", pa.string()),
    ("record", pa.string()),
])


def feature_table_schema(feature_set: FeatureSet) -> pa.Schema:
    """The columns of ``lead_features``."""
    return pa.schema([
        ("lead_id", pa.string()),
        ("pit_date", pa.date32()),
        ("target", pa.int64()),
        ("scorable", pa.bool_()),
        *((column, pa.float64()) for column in feature_set.columns),
        ("feature_digest", pa.string()),
        ("as_of", pa.date32()),
    ])


class RowSink:
    """Takes checked batches and writes the train shards, the score shards and the rejected rows.

    :param rows_per_shard: rows of one shard.
    """

    def __init__(self, work: Path, *, as_of: dt.date, feature_set: FeatureSet, rows_per_shard: int) -> None:
        self.as_of, self.feature_set, self.work = as_of, feature_set, work
        schema = feature_table_schema(feature_set)
        self._train = ShardWriter(work / "shards", "train-", schema, rows_per_shard)
        self._score = ShardWriter(work / "shards", "score-", schema, rows_per_shard)
        self._rejected = ShardWriter(work / "rejected", "part-", REJECTED_SCHEMA, 2**62)
        self.rows_in = self.rows_rejected = self.train_positives = 0
        self.by_reason: Counter[str] = Counter()

    @property
    def train_rows(self) -> int:
        return self._train.rows

    @property
    def score_rows(self) -> int:
        return self._score.rows

    def add(self, frame: pd.DataFrame, reasons: npt.NDArray[np.object_]) -> None:
        """:param frame: lead_id, pit_date (date or None), target (nullable Int64), scorable, the feature columns.
        :param reasons: why each row is set aside; an empty text keeps it.
        """
        self.rows_in += len(frame)
        bad = reasons != ""
        if bad.any():
            self._reject(frame[bad], reasons[bad])
        self._accept(frame[~bad])

    def _accept(self, good: pd.DataFrame) -> None:
        if good.empty:
            return
        schema = feature_table_schema(self.feature_set)
        names = ["lead_id", "pit_date", "target", "scorable", *self.feature_set.columns]
        table = pa.Table.from_pandas(
            good[names], schema=pa.schema([schema.field(name) for name in names]), preserve_index=False
        )
        table = table.append_column("feature_digest", pa.array(row_digests(self.feature_set, table)))
        table = table.append_column("as_of", pa.array([self.as_of] * len(good), pa.date32()))
        scorable = good["scorable"].to_numpy(bool)
        self._train.write(table.filter(pa.array(~scorable)))
        self._score.write(table.filter(pa.array(scorable)))
        self.train_positives += int((good["target"][~scorable] == 1).sum())

    def add_brought(self, frame: pd.DataFrame, reasons: npt.NDArray[np.object_]) -> None:
        """Like :meth:`add` for rows that are labelled and to be scored at once: each counts once."""
        bad = reasons != ""
        self.rows_in += len(frame)
        if bad.any():
            self._reject(frame[bad], reasons[bad])
        good = frame[~bad]
        labelled = good[good["target"].notna()].assign(scorable=False)
        self._accept(labelled)
        self._accept(good.assign(target=pd.array([pd.NA] * len(good), dtype="Int64")))

    def _reject(self, frame: pd.DataFrame, reasons: npt.NDArray[np.object_]) -> None:
        self.rows_rejected += len(frame)
        self.by_reason.update(count_by_reason(list(reasons)))
        values = frame[self.feature_set.columns].to_dict("records")
        self._rejected.write(
            pa.table(
                {
                    "as_of": [self.as_of] * len(frame),
                    "source_table": ["leads"] * len(frame),
                    "lead_id": frame["lead_id"].to_list(),
                    "pit_date": frame["pit_date"].to_list(),
                    "target": [None if pd.isna(value) else int(value) for value in frame["target"]],
                    "scorable": frame["scorable"].to_list(),
                    "reasons": list(reasons),
                    "record": [_as_json(row) for row in values],
                },
                schema=REJECTED_SCHEMA,
            )
        )

    def add_source_rejects(self, table: pa.Table) -> dict[str, int]:
        """Write records that were set aside at the source. :return: how many of each table."""
        count = table.num_rows
        full = table.append_column("as_of", pa.array([self.as_of] * count, pa.date32()))
        for field in REJECTED_SCHEMA:
            if field.name not in full.column_names:
                full = full.append_column(field, pa.nulls(count, field.type))
        self._rejected.write(full)
        reasons = [text.strip("; ") for text in table.column("reasons").to_pylist()]
        for name, reason in zip(table.column("source_table").to_pylist(), reasons, strict=True):
            self.by_reason.update({f"{name}: {rule}": 1 for rule in count_by_reason([reason])})
        return dict(Counter(table.column("source_table").to_pylist()))

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
        if self.rows_in and self.rows_rejected > share * self.rows_in:
            top = ", ".join(f"{count} x {reason}" for reason, count in list(self.reasons_by_count().items())[:3])
            raise CheckFailed(
                f"{self.rows_rejected} of {self.rows_in} feature rows were set aside, more than "
                f"features.max_rejected_share = {share:g}: {top}. Mend the source, or raise the setting"
            )


def _as_json(row: dict[str, float]) -> str:
    return json.dumps({name: None if value != value else value for name, value in row.items()})
