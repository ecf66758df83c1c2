"""The release gate: is the challenger better than the champion, worse, or can nobody tell.

Both score the same holdout. A paired bootstrap of log loss and lift decides, because with 73 conversions the AUC of one
model has a 95 % interval of .635 to .759: a gate on point estimates is a coin. And because a small holdout hides real
gains too (with 90 conversions a gain of .02 AUC was seen 35 times in 100), the third answer is "cannot tell".

A retrain by the same recipe on newer leads need not prove a gain: it is accepted when it is not worse by a margin that
the settings state. A release that changes nothing but the bucket policy is judged by its buckets (``policy_change``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lead_scoring.errors import BadInput
from lead_scoring.evaluation import constant_log_loss, lift, resamples_for
from lead_scoring.evaluation.bootstrap import replicates
from lead_scoring.evaluation.metrics import lead_losses
from lead_scoring.evaluation.ranking import TieGroups, top_count
from lead_scoring.model.buckets import BUCKETS, BucketPolicy
from lead_scoring.model.calibrators import calibrator_from_dict, logit
from lead_scoring.packaging.churn import churn, with_churn
from lead_scoring.packaging.common_holdout import not_common, same_recipe_on_newer_leads
from lead_scoring.packaging.policy_change import judge_policy, only_the_policy_differs
from lead_scoring.packaging.verdict import GateVerdict
from lead_scoring.settings import GateSettings

Floats = NDArray[np.float64]

POWER = 0.8  # a gain counts as visible if the gate would have seen it 8 times in 10


class Scorer(Protocol):
    """What the gate needs of a champion: ``LeadScorer`` is one."""

    def score_batch(self, leads: Any) -> Any: ...


def gate_release(
    *,
    scores: Path,
    calibrator: Path,
    holdout: Path,
    champion: Scorer | None,
    settings: GateSettings,
    bucket_policy: Path,
    report: Mapping[str, Any],
    champion_report: Mapping[str, Any] | None,
) -> GateVerdict:
    """Judge a challenger on its own holdout: leads that neither model was fitted on.

    Against a champion the verdict also says the churn: how many of these leads change their bucket.

    :param scores: ``scores.parquet`` of the training stage.
    :param calibrator: ``calibrator.json``.
    :param holdout: ``holdout.parquet``: feature rows of the holdout, in the order of ``scores``.
    :param champion: the production model, or None for the first release, which must beat the constant.
    :param bucket_policy: ``bucket_policy.json``.
    :param report: ``split`` and ``recipe`` of the challenger's training report. :param champion_report: those of the
        champion, from its manifest; without a recipe no retrain is recognised.
    """
    table = pq.read_table(scores)
    held = table.filter(pc.equal(table["split"], "holdout"))
    if not held.num_rows:
        return GateVerdict(
            None,
            (
                f"cannot tell: there is no holdout; the gate needs one with at least {settings.minimum_positives} "
                "conversions, so bring more labelled leads",
            ),
            {"leads": 0, "positives": 0, "needed_positives": settings.minimum_positives},
        )
    fitted = calibrator_from_dict(json.loads(calibrator.read_text()))
    margin, target = held["margin"].to_numpy(), held["target"].to_numpy().astype(np.int8)
    challenger = fitted.apply(margin)
    if champion is None or champion_report is None:
        before = table.filter(pc.equal(table["split"], "calibration"))["target"].to_numpy()
        return gate(challenger, None, target, settings, challenger_margin=margin, base_rate=float(before.mean()))
    counts = {"leads": len(target), "positives": int(target.sum())}
    rows = pq.read_table(holdout)
    if rows.column("lead_id").cast(pa.string()).to_pylist() != held.column("lead_id").to_pylist():
        raise BadInput(f"{holdout.name} and {scores.name} do not hold the same leads; run training again")
    try:
        found = champion.score_batch(rows)
    except BadInput as error:
        why = f"cannot tell: the champion cannot score the challenger's holdout ({error})"
        return GateVerdict(None, (why,), counts)
    policy = BucketPolicy.from_dict(json.loads(bucket_policy.read_text()))
    codes = policy.assign(challenger)
    moved = churn(codes, margin, found)
    if only_the_policy_differs(codes, margin, challenger, found):
        before = np.array([BUCKETS.index(name) for name in found["score_bucket"].to_pylist()], dtype=np.int8)
        return with_churn(judge_policy(codes, before, target), moved, settings)
    if (why_not := not_common(report["split"], champion_report["split"])) is not None:
        return with_churn(GateVerdict(None, (f"cannot tell: {why_not}",), counts), moved, settings)
    verdict = gate(
        challenger,
        np.asarray(found["lead_score"], dtype=np.float64),
        target,
        settings,
        challenger_margin=margin,
        champion_margin=np.asarray(found["margin"], dtype=np.float64),
        retrain=same_recipe_on_newer_leads(report, champion_report),
    )
    return with_churn(verdict, moved, settings)


def gate(
    challenger: Floats,
    champion: Floats | None,
    target: NDArray[np.int8],
    settings: GateSettings,
    *,
    challenger_margin: Floats | None = None,
    champion_margin: Floats | None = None,
    base_rate: float | None = None,
    retrain: bool = False,
) -> GateVerdict:
    """Paired comparison of calibrated scores on one recent holdout.

    A first release needs no minimum of conversions: that its lower bound lies above the constant is proof enough.
    Accepted if the one-sided lower bound of the log-loss gain is above zero and lift is not beyond doubt lower. Refused
    if the gain is beyond doubt negative, or if a gain worth having (``worthwhile_gain`` of the constant's log loss)
    would have been seen. Otherwise nobody can tell, and the verdict says how many conversions it would take.

    :param challenger: calibrated scores, shape (n,). :param champion: likewise; None for a first release.
    :param challenger_margin: ranking for lift; None: the log-odds of the scores. :param champion_margin: likewise.
    :param base_rate: the constant that a first release must beat; None: the rate of these leads.
    :param retrain: the champion's recipe on newer leads: accepted too if the one-sided lower bound of the gain, at
        ``retrain_confidence``, lies above ``-retrain_margin`` of the constant's log loss.
    """
    leads, positives = len(target), int(target.sum())
    if positives in {0, leads}:
        needed = settings.minimum_positives
        return GateVerdict(
            None,
            (f"cannot tell: {positives} of {leads} holdout leads converted; the gate needs at least {needed}",),
            {"leads": leads, "positives": positives, "needed_positives": needed},
        )
    if champion is None:
        rate = float(target.mean()) if base_rate is None else base_rate
        other, other_margin, name = np.full(leads, rate), np.zeros(leads), "the constant base rate"
    else:
        other, name = champion, "the champion"
        other_margin = logit(champion) if champion_margin is None else champion_margin
    own_margin = logit(challenger) if challenger_margin is None else challenger_margin
    gain = lead_losses(other, target) - lead_losses(challenger, target)
    count = top_count(leads)

    def statistic(weights: Floats) -> Floats:
        base = weights @ target.astype(np.float64) / leads
        own, others = (
            TieGroups.of(margin, target, weights).found_in_top(count) / count for margin in (own_margin, other_margin)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.stack([weights @ gain / leads, (own - others) / base], axis=1)

    draws = replicates(leads, statistic, resamples_for(leads, settings.bootstrap), settings.seed)
    draws = draws[np.isfinite(draws).all(axis=1)]
    tail = 1 - settings.confidence
    bounds = np.quantile(draws, [tail, 1 - tail], axis=0)
    error = float(gain.std(ddof=1) / math.sqrt(leads))
    worthwhile = settings.worthwhile_gain * constant_log_loss(float(target.mean()))
    visible = (NormalDist().inv_cdf(settings.confidence) + NormalDist().inv_cdf(POWER)) * error
    needed = max(settings.minimum_positives, math.ceil(positives * (visible / worthwhile) ** 2))
    sure_of = NormalDist().inv_cdf(settings.retrain_confidence)
    figures = {
        "against": name,
        "retrain": {
            "by_the_same_recipe_on_newer_leads": retrain,
            "margin": settings.retrain_margin * constant_log_loss(float(target.mean())),
            "low": float(gain.mean()) - sure_of * error,
            "confidence": settings.retrain_confidence,
        },
        "how": "holdout",
        "leads": leads,
        "positives": positives,
        "confidence": settings.confidence,
        "resamples": len(draws),
        "log_loss": {"challenger": float(lead_losses(challenger, target).mean()),
                     "other": float(lead_losses(other, target).mean())},
        "log_loss_gain": {"value": float(gain.mean()), "low": float(bounds[0, 0]), "high": float(bounds[1, 0])},
        "lift": {"challenger": lift(own_margin, target), "other": lift(other_margin, target)},
        "lift_gain": {
            "value": lift(own_margin, target) - lift(other_margin, target),
            "low": float(bounds[0, 1]),
            "high": float(bounds[1, 1]),
        },
        "worthwhile_gain": worthwhile,
        "visible_gain": visible,
        "needed_positives": needed,
    }  # fmt: skip
    accepted, reason = _judge(figures, settings, first=champion is None)
    return GateVerdict(accepted, (reason,), figures)


def _judge(figures: Mapping[str, Any], settings: GateSettings, *, first: bool) -> tuple[bool | None, str]:
    gain, lifted = figures["log_loss_gain"], figures["lift_gain"]
    positives, name, needed = figures["positives"], figures["against"], figures["needed_positives"]
    said = f"log loss gain over {name} {gain['value']:+.6f} ({gain['low']:+.6f} to {gain['high']:+.6f})"
    on = f"on {figures['leads']} holdout leads with {positives} conversions"
    if first and positives < settings.minimum_positives:
        on += f" (fewer than the {settings.minimum_positives} that a comparison with a champion needs; a first release"
        on += " has to beat the constant beyond noise instead)"
    if not first and positives < settings.minimum_positives:
        return None, f"cannot tell: {said} {on}; the gate needs at least {needed} conversions"
    if gain["low"] > 0:
        if lifted["high"] < 0:
            return False, (
                f"refused: {said}, but top-decile lift is lower by {-lifted['value']:.2f} "
                f"({lifted['low']:+.2f} to {lifted['high']:+.2f}) {on}"
            )
        return (
            True,
            f"accepted: {said} {on}; lift {lifted['value']:+.2f} ({lifted['low']:+.2f} to {lifted['high']:+.2f})",
        )
    if gain["high"] < 0:
        return False, f"refused: worse than {name}: {said} {on}"
    retrain = figures["retrain"]
    if retrain["by_the_same_recipe_on_newer_leads"] and retrain["low"] > -retrain["margin"] and lifted["high"] >= 0:
        return True, (
            f"accepted as a retrain by the same recipe on newer leads: {said} {on}; not worse by more than "
            f"{retrain['margin']:.6f} ({retrain['confidence']:.0%} bound {retrain['low']:+.6f})"
        )
    if figures["visible_gain"] <= figures["worthwhile_gain"]:
        return False, (
            f"refused: no better than {name}: {said} {on}; a gain worth having ({figures['worthwhile_gain']:.6f}) "
            "would have been seen"
        )
    return None, (
        f"cannot tell: {said} {on}; to see a gain worth having ({figures['worthwhile_gain']:.6f}) it needs about "
        f"{needed} conversions"
    )
