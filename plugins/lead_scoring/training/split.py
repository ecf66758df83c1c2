"""Which leads the booster learns from, which calibrate it, and which only judge it.

With contact dates the parts follow one another in time, and between two parts lies a gap of the label window: a lead
contacted later than that before the next part had no known outcome on the day from which the next part is seen.

Without dates the part of a lead is a fixed function of the lead: a hash of the seed and its key, cut at the shares. A
permutation would deal the leads anew whenever the table grows, and the holdout that judges a challenger would hold
leads that the champion was trained on. The price: the parts have the shares and the base rate up to chance only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.settings import TrainingSettings
from lead_scoring.training.lead_keys import LEAD_ID, key_kind, keys_digest, lead_keys, places
from lead_scoring.training.rows import MINIMUM_POSITIVES, LeadRows

PARTS = ("train", "calibration", "holdout")
FOLDS = 3  # of the search, inside the train part


@dataclass(frozen=True)
class Split:
    """:param how: ``time_ordered``, ``lead_hash``, or ``cross_fit`` when there is too little to hold out.

    :param parts: part name to row numbers, rising. With ``cross_fit`` every row is in ``train`` and in ``calibration``.
    :param gap: row numbers that fell between two parts.
    :param note: why, in one sentence.
    :param rule: what decides the part of a lead: two splits with equal rules put a lead into the same part. None where
        it depends on the whole table.
    """

    how: str
    parts: dict[str, NDArray[np.int64]]
    gap: NDArray[np.int64]
    note: str
    rule: dict[str, Any] | None = None

    def describe(self, rows: LeadRows) -> dict[str, Any]:
        """JSON values: ``how``, ``note``, ``rule``, ``out_of_time`` and leads, positives and dates of each part."""
        return {
            "how": self.how,
            "note": self.note,
            "rule": self.rule,
            "out_of_time": self.how == "time_ordered",
            "parts": {name: _facts(rows, index) for name, index in self.parts.items()},
            "gap_leads": len(self.gap),
        }


def describe_given(split: Split, rows: LeadRows, given: LeadRows, window_days: int) -> dict[str, Any]:
    """:meth:`Split.describe` where the holdout is a table of its own: out of time only if it begins late enough."""
    found = split.describe(rows)
    found["parts"]["holdout"] = _facts(given, np.arange(len(given)))
    note = f"{split.note}; the holdout is a table of its own"
    fitted, judged = found["parts"]["calibration"].get("last"), found["parts"]["holdout"].get("first")
    found["out_of_time"] = False
    if fitted is None or judged is None:
        note += "" if rows.dates is None else ", not out of time: it has no contact dates"
    elif np.datetime64(judged) - np.timedelta64(window_days, "D") > np.datetime64(fitted):
        found["out_of_time"] = True
        note += f", more than {window_days} days later"
    else:
        note += (
            f", not out of time: it begins on {judged}, less than {window_days + 1} days after the last lead that "
            f"calibrated ({fitted})"
        )
    rule = None if split.rule is None else {**split.rule, "holdout": keys_digest(lead_keys(given, key_kind(given)))}
    return {**found, "how": f"{split.how}+given_holdout", "note": note, "rule": rule}


def _facts(rows: LeadRows, index: NDArray[np.int64]) -> dict[str, Any]:
    """Counts of one part, and its first and last contact date where there are dates."""
    found: dict[str, Any] = {"leads": len(index), "positives": int(rows.target[index].sum())}
    if rows.dates is not None and len(index):
        found |= {"first": str(rows.dates[index].min()), "last": str(rows.dates[index].max())}
    return found


def split_rows(rows: LeadRows, settings: TrainingSettings, window_days: int, holdout_share: float) -> Split:
    """Train, calibration and holdout.

    :param window_days: length of the gap, in days.
    :param holdout_share: 0 when a holdout table was given: then there are two parts.
    """
    shares = {"calibration": settings.calibration_share}
    if holdout_share > 0:
        shares["holdout"] = holdout_share
    if rows.dates is not None:
        split = _by_time(rows, rows.dates, shares, window_days)
    else:
        split = _by_hash(rows, shares, settings.seed)
    few = [name for name, index in split.parts.items() if _poor(rows, index)]
    if not few:
        return split
    everything = np.arange(len(rows))
    counts = {name: int(rows.target[index].sum()) for name, index in split.parts.items()}
    return Split(
        how="cross_fit",
        parts={"train": everything, "calibration": everything, "holdout": np.empty(0, dtype=np.int64)},
        gap=np.empty(0, dtype=np.int64),
        note=(
            f"too little to hold out: a {split.how} split leaves {counts} conversions, each part needs "
            f"{MINIMUM_POSITIVES}; figures are cross-fitted over all {len(rows)} leads and not out of time"
        ),
    )


def _poor(rows: LeadRows, index: NDArray[np.int64]) -> bool:
    positives = int(rows.target[index].sum())
    return positives < MINIMUM_POSITIVES or len(index) - positives < MINIMUM_POSITIVES


def _by_time(rows: LeadRows, dates: NDArray[np.datetime64], shares: dict[str, float], window_days: int) -> Split:
    ordered = np.sort(dates)
    window = np.timedelta64(window_days, "D")
    first_of: dict[str, np.datetime64] = {}
    later = 0.0
    for name in reversed(list(shares)):
        later += shares[name]
        first_of[name] = ordered[min(len(ordered) - 1, round(len(ordered) * (1 - later)))]
    starts = [("train", dates.min()), *((name, first_of[name]) for name in shares)]
    parts = {}
    for position, (name, first) in enumerate(starts):
        inside = dates >= first
        if position + 1 < len(starts):
            inside &= dates < starts[position + 1][1] - window
        parts[name] = np.flatnonzero(inside)
    used = np.concatenate(list(parts.values()))
    note = f"by contact date, with a gap of {window_days} days between the parts"
    return Split("time_ordered", parts, np.setdiff1d(np.arange(len(rows)), used), note)


def _by_hash(rows: LeadRows, shares: dict[str, float], seed: int) -> Split:
    kind = key_kind(rows)
    place = places(lead_keys(rows, kind), seed)
    parts = {}
    start = 0.0
    for name in reversed(list(shares)):  # the holdout first
        parts[name] = np.flatnonzero((place >= start) & (place < start + shares[name]))
        start += shares[name]
    parts = {"train": np.flatnonzero(place >= start), **{name: parts[name] for name in shares}}
    rule: dict[str, Any] = {"method": "lead_hash", "key": kind, "seed": seed, "shares": shares}
    if kind != LEAD_ID:
        rule["feature_set"] = rows.feature_set_digest
    note = f"no dates: not out of time; each lead's part is fixed by a hash of the seed and its {kind}"
    return Split("lead_hash", parts, np.empty(0, dtype=np.int64), note, rule)


def search_folds(
    rows: LeadRows, index: NDArray[np.int64], seed: int, window_days: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Folds of the search, as positions inside ``index``.

    With dates: the last three sixths of the part in turn, each learned from what lies before it and its gap. Without
    dates, or if a fold would have fewer than two conversions: seeded and stratified.
    """
    if rows.dates is not None:
        dates = rows.dates[index]
        ordered = np.sort(dates)
        blocks = 2 * FOLDS
        edges = [ordered[len(ordered) * block // blocks] for block in range(FOLDS, blocks)]
        folds = []
        for position, first in enumerate(edges):
            held = dates >= first
            if position + 1 < len(edges):
                held &= dates < edges[position + 1]
            folds.append((np.flatnonzero(dates < first - np.timedelta64(window_days, "D")), np.flatnonzero(held)))
        if all(_both(rows.target[index[part]]) for fold in folds for part in fold):
            return folds
    return stratified_folds(rows.target[index], FOLDS, seed)


def _both(target: NDArray[np.int8]) -> bool:
    return 2 <= int(target.sum()) <= len(target) - 2


def stratified_folds(
    target: NDArray[np.int8], folds: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(learn, held out) positions, seeded."""
    generator = np.random.default_rng(seed)
    number = np.empty(len(target), dtype=np.int64)
    for label in (0, 1):
        members = generator.permutation(np.flatnonzero(target == label))
        number[members] = np.arange(len(members)) % folds
    return [(np.flatnonzero(number != fold), np.flatnonzero(number == fold)) for fold in range(folds)]
