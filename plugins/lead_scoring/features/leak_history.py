"""Does a feature suddenly say more of the outcome than at the last release? What a new leak looks like.

A release keeps a portrait of its features: how well each ranks, how its values split the conversions, how often it is
missing, and hashes of the leads that converted. The next release is compared with it in the same bins. Most leads are
the same ones, so that the difference of two figures scatters far less than either of them; how far follows from the
share of conversions that both releases have, for which the hashes are there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lead_scoring.evaluation import single_feature_auc

Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
GrownBin = tuple[float | None, float | None, float, float, float]  # from, up to, share now, share before, z

BINS = 20
HASHES = 1_000  # of conversions: all of them, for a table of lead scoring's size
# In standard errors, one-sided. A release compares some 250 bins and 30 other figures: at 4.5 chance alone raises one
# alarm in 1,000 releases, and the standard errors may be a fifth too small (they are approximate) and it is one in 40.
BEYOND_NOISE = 4.5
STRONGER_AUC = 0.03  # less is nobody's leak
MORE_OFTEN = 1.25  # odds of a conversion in a bin, over those of the last release
MISSING_MOVED = 0.05
LEAST_VARIANCE = 0.1  # of that of independent samples: leads are not quite the same ones, also where all hashes agree


def portrait(values: Matrix, target: Labels, keys: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """What the next release is compared with, as JSON values.

    :param values: shape (n, features). :param keys: what a lead is known by in both releases, shape (n,).
    """
    return {
        "rows": len(target),
        "positives": int(target.sum()),
        "conversions": _hashes(keys, target),
        "features": {
            name: {
                "auc": single_feature_auc(values[:, place], target),
                "missing": int(np.isnan(values[:, place]).sum()),
                "bins": [
                    [low, high, int(inside.sum()), int(target[inside].sum())]  # missing values: null, null
                    for low, high, inside in _new_bins(values[:, place])
                ],
            }
            for place, name in enumerate(names)
        },
    }


def grown_stronger(
    before: Mapping[str, Any], values: Matrix, target: Labels, now: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """What says more of the outcome than it did, beyond noise.

    :param before: the :func:`portrait` of the last release. :param now: of this one, of ``values`` and ``target``.
    :returns: (code, feature, message, figures) of each.
    """
    ratio = _independent_share(before, now)
    for place, (name, found) in enumerate(now["features"].items()):
        if name not in before["features"]:
            continue
        was, column = before["features"][name], values[:, place]
        error = math.sqrt(ratio * (_auc_variance(before) + _auc_variance(now)))
        if found["auc"] - was["auc"] > max(STRONGER_AUC, BEYOND_NOISE * error):
            yield (
                "feature_grew_stronger",
                name,
                f"feature {name!r} alone has AUC {found['auc']:.3f}, at the last release {was['auc']:.3f} (standard "
                f"error of the difference {error:.3f}): check what changed in its source",
                {"auc": found["auc"], "before": was["auc"], "standard_error": error},
            )
        if (
            worst := _bin_that_grew(was["bins"], column, target, before["positives"], before["rows"], ratio)
        ) is not None:
            yield ("bin_grew_stronger", name, *_said_of_bin(name, worst))
        share, was_share = found["missing"] / now["rows"], was["missing"] / before["rows"]
        error = math.sqrt(sum(p * (1 - p) / n for p, n in ((share, now["rows"]), (was_share, before["rows"]))))
        if abs(share - was_share) > max(MISSING_MOVED, BEYOND_NOISE * error):
            yield (
                "missing_share_moved",
                name,
                f"feature {name!r} is missing in {share:.1%} of the labelled leads, at the last release in "
                f"{was_share:.1%}: check its source",
                {"missing_share": share, "before": was_share},
            )


def model_grew_stronger(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The same of the small model's cross-fitted AUC (key ``model_auc`` of both portraits): a message and figures."""
    if before.get("model_auc") is None or now.get("model_auc") is None:
        return None
    error = math.sqrt(_independent_share(before, now) * (_auc_variance(before) + _auc_variance(now)))
    if now["model_auc"] - before["model_auc"] <= max(STRONGER_AUC, BEYOND_NOISE * error):
        return None
    return (
        f"a small model reaches a cross-fitted AUC of {now['model_auc']:.3f}, at the last release "
        f"{before['model_auc']:.3f} (standard error of the difference {error:.3f}): look for what the features know",
        {"auc": now["model_auc"], "before": before["model_auc"], "standard_error": error},
    )


def _said_of_bin(
    name: str, found: tuple[float | None, float | None, float, float, float]
) -> tuple[str, dict[str, Any]]:
    low, high, share, before, z = found
    where = "missing" if low is None else f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return (
        f"{share:.1%} of the conversions have {name!r} at {where}, at the last release {before:.1%} had, and the other "
        f"leads did not follow ({z:.1f} standard errors): check when its values become known",
        {"bin": where, "share_of_conversions": share, "before": before, "standard_errors": z},
    )


def _new_bins(column: Matrix) -> Iterator[tuple[float | None, float | None, npt.NDArray[np.bool_]]]:
    """Missing values, each frequent value, and quantile ranges of the others: (from, up to, which rows)."""
    present = ~np.isnan(column)
    yield None, None, ~present
    common, counts = np.unique(column[present], return_counts=True)
    common = common[counts > present.sum() / BINS]
    for value in common.tolist():
        yield value, value, column == value
    rest = column[present & ~np.isin(column, common)]
    edges = np.unique(np.quantile(rest, np.linspace(0, 1, BINS + 1))) if len(rest) else np.empty(0)
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        yield low, high, _between(column, low, high, common, last=high == edges[-1])


def _between(column: Matrix, low: float, high: float, common: Matrix, *, last: bool) -> npt.NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        inside = (column >= low) & ((column <= high) if last else (column < high))
    return np.asarray(inside & ~np.isin(column, common))


def _bin_that_grew(
    bins: Sequence[Sequence[Any]], column: Matrix, target: Labels, positives: int, rows: int, ratio: float
) -> GrownBin | None:
    """The bin whose odds of a conversion grew most beyond noise: from, up to, share now, share before, z."""
    common = np.array([low for low, high, *_ in bins if low is not None and low == high])
    last = max((high for low, high, *_ in bins if low is not None and low < high), default=None)
    worst = None
    for low, high, size, found in bins:
        if low is None:
            inside = np.isnan(column)
        elif low == high:
            inside = column == low
        else:
            inside = _between(column, low, high, common, last=high == last)
        here = int(target[inside].sum())
        now = _log_odds_ratio(here, int(inside.sum()), int(target.sum()), len(target))
        was = _log_odds_ratio(found, size, positives, rows)
        error = math.sqrt(ratio * (now[1] + was[1]))
        z = (now[0] - was[0]) / error
        if now[0] - was[0] > math.log(MORE_OFTEN) and z > BEYOND_NOISE and (worst is None or z > worst[4]):
            worst = low, high, here / int(target.sum()), found / positives, z
    return worst


def _log_odds_ratio(found: float, size: float, positives: int, rows: int) -> tuple[float, float]:
    """Of being in the bin, converted against not, with its variance (Woolf 1955; half a lead is added to each cell)."""
    cells = [found + 0.5, positives - found + 0.5, size - found + 0.5, (rows - size) - (positives - found) + 0.5]
    return math.log(cells[0] / cells[1]) - math.log(cells[2] / cells[3]), sum(1 / cell for cell in cells)


def _auc_variance(known: Mapping[str, Any]) -> float:
    """Of an AUC near one half (Mann and Whitney 1947); smaller for a better one, so this errs towards no alarm."""
    return (1 / known["positives"] + 1 / (known["rows"] - known["positives"])) / 12


def _independent_share(before: Mapping[str, Any], now: Mapping[str, Any]) -> float:
    """Variance of the difference of two figures, over that of two independent samples.

    With n and m conversions, s of them in both, the two figures correlate by s / sqrt(n m).
    """
    first, second = set(before["conversions"]), set(now["conversions"])
    if not first or not second:
        return 1.0
    correlation = len(first & second) / math.sqrt(len(first) * len(second))
    one, other = 1 / len(first), 1 / len(second)
    return max(LEAST_VARIANCE, (one + other - 2 * correlation * math.sqrt(one * other)) / (one + other))


def _hashes(keys: Sequence[str], target: Labels) -> list[str]:
    """The smallest hashes of the leads that converted: of two releases, the same leads are kept."""
    chosen = (keys[int(place)] for place in np.flatnonzero(target == 1))
    return sorted({hashlib.sha256(key.encode()).hexdigest()[:12] for key in chosen})[:HASHES]
