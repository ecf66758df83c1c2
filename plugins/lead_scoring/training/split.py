"""Which leads are learned from, and which only judge.

With contact dates the holdout is the latest leads, and before it lies a gap of the label window: a lead contacted later
than that had no known outcome on the day from which the holdout is seen.

Without dates the part of a lead is a fixed function of the lead: a hash of its key, cut at the share. A permutation
would deal the leads anew whenever the table grows, and the holdout that judges a challenger would hold leads that the
champion was trained on. The price: the parts have the shares and the base rate up to chance only.

The leads of one advisor fall into one part, whatever decides: two of them are nearly the same row, and one in training
would tell the other in the holdout. With dates the earlier leads of an advisor with a lead in the holdout are left out.

Nothing is set apart for the calibrator: it is fitted on margins that cross-fitting gives for every lead that is
learned from. A part of its own left 42 conversions to it on the sample, and a gap more.
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
FOLDS = 5  # of the cross-fit
# Which lead is held out is no matter of chance: the seed of the settings is for the search.
SPLIT_SEED = 42
ADVISOR = "advisor_crd"
FOLD_SEED = 43


@dataclass(frozen=True)
class Split:
    """:param how: ``time_ordered``, ``lead_hash``, or ``cross_fit`` when there is too little to hold out.

    :param parts: part name to row numbers, rising. ``train`` and ``calibration`` are the same leads: those calibrate by
        margins of models that did not see them. With ``cross_fit`` that is every row.
    :param gap: row numbers that fell between train and holdout.
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
    """What is learned from, and the holdout.

    The leads that are learned from calibrate too, each by the margin of models that did not see it (:func:`folds_of`).

    :param window_days: length of the gap before the holdout, in days.
    :param holdout_share: 0 when a holdout table was given: then every lead is learned from.
    """
    everything, none = np.arange(len(rows)), np.empty(0, dtype=np.int64)
    if rows.dates is not None:
        split = _by_time(rows.dates, holdout_share, window_days, rows.advisors)
    else:
        split = _by_hash(rows, holdout_share)
    wanted = [index for name, index in split.parts.items() if name != "holdout" or holdout_share > 0]
    if not any(_poor(rows, index) for index in wanted):
        return split
    counts = {name: int(rows.target[split.parts[name]].sum()) for name in ("train", "holdout")}
    return Split(
        how="cross_fit",
        parts={"train": everything, "calibration": everything, "holdout": none},
        gap=none,
        note=(
            f"too little to hold out: a {split.how} split leaves {counts} conversions, each part needs "
            f"{MINIMUM_POSITIVES}; figures are cross-fitted over all {len(rows)} leads and not out of time"
        ),
    )


def _poor(rows: LeadRows, index: NDArray[np.int64]) -> bool:
    positives = int(rows.target[index].sum())
    return positives < MINIMUM_POSITIVES or len(index) - positives < MINIMUM_POSITIVES


def _by_time(
    dates: NDArray[np.datetime64], holdout_share: float, window_days: int, advisors: NDArray[np.str_] | None
) -> Split:
    note = f"by contact date, with a gap of {window_days} days before the holdout"
    everything, none = np.arange(len(dates)), np.empty(0, dtype=np.int64)
    if not holdout_share:
        return Split("time_ordered", _parts(everything, none), none, "by contact date")
    ordered = np.sort(dates)
    first = ordered[min(len(ordered) - 1, round(len(ordered) * (1 - holdout_share)))]
    learned = np.flatnonzero(dates < first - np.timedelta64(window_days, "D"))
    held = np.flatnonzero(dates >= first)
    if advisors is not None:
        alone = ~np.isin(advisors[learned], advisors[held])
        note += f"; {int((~alone).sum())} earlier leads of advisors with a lead in the holdout are left out"
        learned = learned[alone]
    return Split("time_ordered", _parts(learned, held), np.setdiff1d(everything, np.concatenate([learned, held])), note)


def _by_hash(rows: LeadRows, holdout_share: float) -> Split:
    kind = key_kind(rows)
    advisors = rows.advisors
    if advisors is not None:
        kind = ADVISOR
    place = places(lead_keys(rows, kind) if advisors is None else advisors.tolist(), SPLIT_SEED)
    shares = {"holdout": holdout_share} if holdout_share else {}
    rule: dict[str, Any] = {"method": "lead_hash", "key": kind, "seed": SPLIT_SEED, "shares": shares}
    if kind not in {LEAD_ID, ADVISOR}:
        rule["feature_set"] = rows.feature_set_digest
    note = f"no dates: not out of time; each lead's part is fixed by a hash of its {kind}"
    parts = _parts(np.flatnonzero(place >= holdout_share), np.flatnonzero(place < holdout_share))
    return Split("lead_hash", parts, np.empty(0, dtype=np.int64), note, rule)


def _parts(learned: NDArray[np.int64], held: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    return {"train": learned, "calibration": learned, "holdout": held}


def folds_of(rows: LeadRows, folds: int = FOLDS) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(learn, held out) positions of the cross-fit; both classes spread evenly, every lead held out once.

    The fold of a lead follows from a hash of its key, not from ``training.seed``: another seed is no reason to deal all
    leads anew.
    """
    from sklearn.model_selection import StratifiedKFold

    if (advisors := rows.advisors) is not None:
        return _folds_of_advisors(advisors, rows.target, folds)
    order = np.argsort(places(lead_keys(rows, key_kind(rows)), FOLD_SEED), kind="stable")
    dealt = StratifiedKFold(folds).split(order, rows.target[order])
    return [(np.sort(order[learn]), np.sort(order[held])) for learn, held in dealt]


def _folds_of_advisors(
    advisors: NDArray[np.str_], target: NDArray[np.int8], folds: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """As :func:`folds_of`, with all leads of an advisor in one fold; an advisor counts as converted if one lead did."""
    from sklearn.model_selection import StratifiedKFold

    names, member = np.unique(advisors, return_inverse=True)
    converted = np.zeros(len(names), dtype=np.int8)
    np.maximum.at(converted, member, target)
    order = np.argsort(places(names.tolist(), FOLD_SEED), kind="stable")
    found = []
    for _, held in StratifiedKFold(folds).split(order, converted[order]):
        mine = np.isin(member, order[held])
        found.append((np.flatnonzero(~mine), np.flatnonzero(mine)))
    return found


def stratified_folds(
    target: NDArray[np.int8], folds: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(learn, held out) positions, seeded: for margins whose leads are not known."""
    from sklearn.model_selection import StratifiedKFold

    return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(target, target))
