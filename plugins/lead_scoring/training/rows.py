"""The labelled leads of the feature table, as arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lead_scoring.catalog import FeatureSet
from lead_scoring.errors import BadInput

MINIMUM_POSITIVES = 10  # and as many leads that did not convert: with fewer there is nothing to fit


@dataclass(frozen=True)
class LeadRows:
    """:param table: the feature table's own rows. :param features: shape (n, k), float64, NaN = missing.

    :param target: shape (n,), int8, 0 or 1.
    :param dates: shape (n,), datetime64[D], or None if any lead has no contact date.
    :param feature_set_digest: of the set that ``features`` follows.
    """

    table: pa.Table
    features: NDArray[np.float64]
    target: NDArray[np.int8]
    dates: NDArray[np.datetime64] | None
    feature_set_digest: str

    def __len__(self) -> int:
        return len(self.target)

    @property
    def advisors(self) -> NDArray[np.str_] | None:
        """The advisor of each lead, shape (n,); a lead without one is its own. None if no two leads share one."""
        if "advisor_crd" not in self.table.column_names:
            return None
        found = self.table.column("advisor_crd").to_pylist()
        known = [advisor for advisor in found if advisor]
        if len(set(known)) == len(known):
            return None
        leads = self.table.column("lead_id").to_pylist()
        return np.array([advisor or f"lead {lead}" for advisor, lead in zip(found, leads, strict=True)])

    def take(self, index: NDArray[np.int64]) -> LeadRows:
        dates = None if self.dates is None else self.dates[index]
        return dataclasses.replace(
            self,
            table=self.table.take(pa.array(index)),
            features=self.features[index],
            target=self.target[index],
            dates=dates,
        )


def read_rows(files: Sequence[Path], feature_set: FeatureSet) -> LeadRows:
    """Read training shards.

    :param files: Parquet shards of the feature table whose rows all have a target.
    :raises BadInput: no rows, a missing or non-numeric column, a label that is not 0 or 1, or too few of a class.
    """
    if not files:
        raise BadInput("the feature table has no training shard; it needs leads with a target")
    table = pa.concat_tables([pq.read_table(path) for path in files], promote_options="permissive")
    if missing := [name for name in ("lead_id", "target", *feature_set.columns) if name not in table.column_names]:
        raise BadInput(
            f"column {missing[0]!r} is missing from the training rows; feature set {feature_set.name} needs it"
        )
    target = _target(table)
    columns = []
    for spec in feature_set.features:
        values = table.column(spec.column)
        if not (
            pa.types.is_floating(values.type) or pa.types.is_integer(values.type) or pa.types.is_boolean(values.type)
        ):
            raise BadInput(f"column {spec.column!r} is of type {values.type}; it must be numeric")
        columns.append(np.asarray(values.cast(pa.float64()).to_numpy(), dtype=np.float64))
    features = np.stack(columns, axis=1)
    if (endless := ~np.isfinite(features) & ~np.isnan(features)).any():
        column = feature_set.columns[int(np.flatnonzero(endless.any(axis=0))[0])]
        raise BadInput(f"column {column!r} is infinite in {int(endless.sum())} training rows; set them aside")
    dates = table.column("pit_date") if "pit_date" in table.column_names else None
    known = dates is not None and dates.null_count == 0
    days = dates.to_numpy().astype("datetime64[D]") if dates is not None and known else None
    return LeadRows(table, features, target, days, feature_set.digest)


def _target(table: pa.Table) -> NDArray[np.int8]:
    column = table.column("target")
    if table.num_rows == 0:
        raise BadInput("the feature table has 0 training rows; it needs leads with a target")
    if column.null_count:
        raise BadInput(
            f"target is null in {column.null_count} of {table.num_rows} training rows; leave those leads out"
        )
    values = column.to_numpy()
    labels = values.astype(np.float64) if values.dtype.kind in "iufb" else np.full(len(values), np.nan)
    wrong = ~np.isin(labels, (0.0, 1.0))
    if wrong.any():
        example = values[int(np.flatnonzero(wrong)[0])]
        raise BadInput(
            f"target is {example!r} and {int(wrong.sum())} of {len(labels)} rows are neither 0 nor 1; use 0 and 1"
        )
    positives = int(labels.sum())
    for name, count in (("positive (target 1)", positives), ("negative (target 0)", len(labels) - positives)):
        if count < MINIMUM_POSITIVES:
            raise BadInput(
                f"target has {count} {name} rows of {len(labels)}; training needs at least {MINIMUM_POSITIVES} of each"
            )
    return labels.astype(np.int8)
