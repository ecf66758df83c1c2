"""The gate accepts what is better, refuses what is not, and says when nobody can tell."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lab.gate_worlds import gate_selftest
from lead_scoring.errors import BadInput
from lead_scoring.model.calibrators import calibrator_from_dict, fit_platt, sigmoid
from lead_scoring.packaging import gate, gate_release
from lead_scoring.packaging.churn import churn
from lead_scoring.packaging.common_holdout import not_common, same_recipe_on_newer_leads
from lead_scoring.packaging.policy_change import judge_policy
from lead_scoring.settings import GateSettings, load_settings


@pytest.fixture
def settings() -> GateSettings:
    return dataclasses.replace(load_settings(environment={}).gate, bootstrap=300)


def _leads(n: int, seed: int = 1, base: float = -3.0, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    margin = generator.normal(0, spread, n) + base
    return margin, (generator.random(n) < sigmoid(margin)).astype(np.int8)


@pytest.mark.slow
def test_an_idle_challenger_is_refused_and_a_better_one_accepted(settings) -> None:
    """The full size, 100 seeds, is ``gate_selftest(settings)``."""
    found = gate_selftest(dataclasses.replace(settings, bootstrap=100), sets=10, processes=1)
    assert found["idle"] == {"refused": 10}
    assert found["better"] == {"accepted": 10}
    assert found["mean_positives"] == pytest.approx(400, abs=30)
    assert found["mean_auc_gain"] == pytest.approx(0.02, abs=0.004)


def test_a_small_holdout_cannot_tell_and_says_how_many_conversions_it_takes(settings) -> None:
    margin, target = _leads(1500, base=-3.6)
    generator = np.random.default_rng(2)
    champion = sigmoid(margin + generator.normal(0, 0.7, 1500))
    challenger = sigmoid(margin + generator.normal(0, 0.7, 1500))
    verdict = gate(challenger, champion, target, settings)
    assert verdict.accepted is None
    needed = verdict.figures["needed_positives"]
    assert needed > target.sum()
    assert f"about {needed} conversions" in verdict.reasons[0]


def test_fewer_than_the_minimum_of_conversions_cannot_tell_however_good_it_looks(settings) -> None:
    margin, target = _leads(900, base=-3.8)
    assert 10 < target.sum() < 50
    verdict = gate(sigmoid(margin), np.full(900, 0.5), target, settings)
    assert verdict.accepted is None
    assert "needs at least" in verdict.reasons[0]
    assert verdict.figures["needed_positives"] >= 50


def test_a_clearly_worse_challenger_is_refused_with_figures(settings) -> None:
    margin, target = _leads(4000)
    verdict = gate(sigmoid(-margin - 6), sigmoid(margin), target, settings)
    assert verdict.accepted is False
    assert "worse than the champion" in verdict.reasons[0]
    assert verdict.figures["log_loss_gain"]["high"] < 0


def test_a_better_log_loss_with_a_clearly_lower_lift_is_refused(settings) -> None:
    """A champion that is badly calibrated, and a challenger that is right on average and ranks nothing."""
    margin, target = _leads(6000)
    verdict = gate(
        np.full(6000, target.mean()), sigmoid(margin + 3), target, settings,
        challenger_margin=np.random.default_rng(99).normal(size=6000), champion_margin=margin,
    )  # fmt: skip
    assert verdict.accepted is False
    assert "lift is lower" in verdict.reasons[0]


def test_the_champion_itself_is_not_a_better_challenger(settings) -> None:
    margin, target = _leads(2000)
    verdict = gate(sigmoid(margin), sigmoid(margin), target, settings)
    assert verdict.accepted is False
    assert verdict.figures["log_loss_gain"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_the_first_release_must_beat_the_constant(settings) -> None:
    margin, target = _leads(2000)
    assert gate(sigmoid(margin), None, target, settings).accepted is True
    assert gate(sigmoid(-margin - 6), None, target, settings).accepted is False
    noises = (0.01 * np.random.default_rng(seed).normal(size=2000) for seed in range(20))
    verdicts = [gate(np.clip(target.mean() + noise, 0.001, 0.999), None, target, settings) for noise in noises]
    assert sum(verdict.accepted is True for verdict in verdicts) <= 2  # one-sided 97.5 %: 0.5 of 20 expected


def test_a_first_release_on_few_conversions_is_accepted_only_beyond_noise_and_says_that_they_are_few(settings) -> None:
    for spread, base, accepted in ((1.0, -3.8, None), (2.5, -5.5, True)):
        margin, target = _leads(900, base=base, spread=spread)
        assert 10 < target.sum() < settings.minimum_positives
        verdict = gate(sigmoid(margin), None, target, settings)
        assert verdict.accepted is accepted
        assert "fewer than the 50 that a comparison with a champion needs" in verdict.reasons[0]
    many = gate(*(lambda margin, target: (sigmoid(margin), None, target))(*_leads(2000)), settings)
    assert "fewer than" not in many.reasons[0]


def test_the_conversions_that_are_needed_follow_from_the_noise_and_the_gain_worth_having(settings) -> None:
    """needed = positives * ((z.975 + z.8) * standard error / worthwhile gain)^2, worthwhile = 1 % of the entropy."""
    margin, target = _leads(1500, base=-3.6)
    champion = sigmoid(margin + np.random.default_rng(2).normal(0, 0.7, 1500))
    figures = gate(sigmoid(margin), champion, target, settings).figures
    losses = [-np.where(target == 1, np.log(p), np.log1p(-p)) for p in (champion, sigmoid(margin))]
    error = (losses[0] - losses[1]).std(ddof=1) / np.sqrt(1500)
    rate = target.mean()
    worthwhile = -0.01 * (rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    ratio = (1.959963985 + 0.841621234) * error / worthwhile
    assert figures["worthwhile_gain"] == pytest.approx(worthwhile, rel=1e-12)
    assert figures["needed_positives"] == int(np.ceil(target.sum() * ratio**2))
    assert figures["needed_positives"] > settings.minimum_positives


def test_a_holdout_of_one_class_cannot_tell(settings) -> None:
    verdict = gate(np.full(100, 0.1), None, np.zeros(100, dtype=np.int8), settings)
    assert verdict.accepted is None
    assert "0 of 100 holdout leads converted" in verdict.reasons[0]


def test_equal_seeds_give_equal_verdicts(settings) -> None:
    margin, target = _leads(1000)
    assert gate(sigmoid(margin), None, target, settings) == gate(sigmoid(margin), None, target, settings)


class _Champion:
    """Stands where a LeadScorer stands: scores a table in its order."""

    def __init__(self, shift: float = 0.0, error: str = "") -> None:
        self.shift, self.error = shift, error

    def score_batch(self, leads: pa.Table) -> pa.Table:
        if self.error:
            raise BadInput(self.error)
        margin = -2.4 - self.shift * leads["tenure"].to_numpy()
        buckets = pa.array(["Cold", "Very Hot"]).take(pa.array((margin > -1.4).astype(int)))
        return pa.table({"margin": margin, "lead_score": sigmoid(margin), "score_bucket": buckets})


EARLIER = {"parts": {"train": {"leads": 900, "last": "2023-12-31"}, "holdout": {"leads": 90, "last": "2024-12-31"}}}
UNDATED = {"train": {"leads": 900}, "calibration": {"leads": 300}, "holdout": {"leads": 300}}
RULE = {"method": "lead_hash", "key": "lead_id", "seed": 42, "shares": {"calibration": 0.2, "holdout": 0.2}}


def _release(release, settings, champion, champion_split=EARLIER) -> object:
    return gate_release(
        scores=release["scores.parquet"], calibrator=release["calibrator.json"], holdout=release["holdout.parquet"],
        champion=champion, settings=settings,
        bucket_policy=release["bucket_policy.json"], report=json.loads(release["training_report.json"].read_text()),
        champion_report={"split": champion_split},
    )  # fmt: skip


def test_a_release_is_judged_on_the_same_holdout_as_the_champion(release, settings) -> None:
    verdict = _release(release, settings, _Champion())
    scores = pq.read_table(release["scores.parquet"])
    held = scores.filter(pc.equal(scores["split"], "holdout"))
    assert verdict.figures["leads"] == held.num_rows
    fitted = calibrator_from_dict(json.loads(release["calibrator.json"].read_text()))
    losses = -np.where(
        held["target"].to_numpy() == 1,
        np.log(fitted.apply(held["margin"].to_numpy())),
        np.log1p(-fitted.apply(held["margin"].to_numpy())),
    )
    assert verdict.figures["log_loss"]["challenger"] == pytest.approx(losses.mean())
    assert verdict.accepted is True
    assert json.loads(json.dumps(verdict.to_dict()))["accepted"] is True


def test_the_first_release_is_compared_with_the_rate_of_earlier_leads(release, settings) -> None:
    verdict = _release(release, settings, None)
    assert verdict.accepted is True
    assert verdict.figures["against"] == "the constant base rate"


def test_a_champion_that_cannot_score_the_holdout_cannot_be_compared(release, settings) -> None:
    verdict = _release(release, settings, _Champion(error="feature 'aum' is missing"))
    assert verdict.accepted is None
    assert "feature 'aum' is missing" in verdict.reasons[0]


def test_no_holdout_cannot_tell(release, settings, tmp_path: Path) -> None:
    scores = pq.read_table(release["scores.parquet"])
    pq.write_table(scores.filter(pc.equal(scores["split"], "calibration")), tmp_path / "scores.parquet")
    verdict = _release({**release, "scores.parquet": tmp_path / "scores.parquet"}, settings, None)
    assert verdict.accepted is None
    assert "there is no holdout" in verdict.reasons[0]


def test_a_holdout_of_other_leads_is_refused(release, settings, tmp_path: Path) -> None:
    rows = pq.read_table(release["holdout.parquet"])
    pq.write_table(rows.slice(1), tmp_path / "holdout.parquet")
    with pytest.raises(BadInput, match="do not hold the same leads"):
        _release({**release, "holdout.parquet": tmp_path / "holdout.parquet"}, settings, _Champion())


def test_a_champion_that_was_fitted_on_leads_of_the_holdouts_days_cannot_be_compared(release, settings) -> None:
    verdict = _release(release, settings, _Champion(), {"parts": {"train": {"leads": 900, "last": "2024-12-31"}}})
    assert verdict.accepted is None
    assert "the champion was fitted on leads contacted up to 2024-12-31" in verdict.reasons[0]


@pytest.mark.parametrize(
    "change",
    [{"seed": 7}, {"key": "features and target"}, {"shares": {"calibration": 0.2, "holdout": 0.3}}, {"holdout": "ab"}],
)
def test_without_dates_only_leads_split_by_the_same_rule_have_a_common_holdout(change) -> None:
    own = {"rule": RULE, "parts": UNDATED}
    assert not_common(own, own) is None
    reason = not_common(own, {"rule": {**RULE, **change}, "parts": UNDATED})
    assert reason is not None
    assert "split with the same seed, shares and features as the champion" in reason
    assert "no fixed rule" in not_common(own, {"rule": None, "parts": UNDATED})


def test_the_verdict_says_the_churn_and_a_limit_refuses(release, settings) -> None:
    verdict = _release(release, settings, _Champion(shift=1.0))
    found = verdict.figures["churn"]
    assert 0 < found["moved_share"] < 1
    assert found["moved"] == round(found["moved_share"] * found["leads"])
    assert 0 < found["top_decile_overlap"] <= 1
    assert f"{found['moved_share']:.1%} change bucket" in verdict.reasons[-1]
    limited = dataclasses.replace(settings, max_bucket_churn=found["moved_share"] / 2)
    refused = _release(release, limited, _Champion(shift=1.0))
    assert refused.accepted is False
    assert "more leads change bucket than gate.max_bucket_churn" in refused.reasons[0]


class _Twin:
    """The challenger's own scores, with every lead in the bucket of another policy."""

    def __init__(self, release, bucket: str) -> None:
        scores = pq.read_table(release["scores.parquet"])
        self.margin = scores.filter(pc.equal(scores["split"], "holdout"))["margin"].to_numpy()
        self.score = calibrator_from_dict(json.loads(release["calibrator.json"].read_text())).apply(self.margin)
        self.bucket = bucket

    def score_batch(self, leads: pa.Table) -> pa.Table:
        buckets = [self.bucket] * len(leads)
        return pa.table({"margin": self.margin + 1e-8, "lead_score": self.score, "score_bucket": buckets})


def test_a_release_that_changes_only_the_bucket_policy_is_judged_by_its_buckets(release, settings) -> None:
    verdict = _release(release, settings, _Twin(release, "Cold"))
    assert verdict.accepted is True
    assert "accepted as a change of the bucket policy alone" in verdict.reasons[0]
    rate = verdict.figures["positives"] / verdict.figures["leads"]
    assert f"under the champion's policy: Cold {rate:.1%} of" in verdict.reasons[0]
    assert "change bucket" in verdict.reasons[-1]
    limited = dataclasses.replace(settings, max_bucket_churn=0.01)
    assert _release(release, limited, _Twin(release, "Cold")).accepted is False


def test_a_policy_whose_better_bucket_converts_worse_is_refused() -> None:
    codes = np.repeat(np.array([0, 3], dtype=np.int8), 500)
    target = (np.arange(1000) >= 500) & (np.arange(1000) % 5 == 0)
    verdict = judge_policy(codes, np.full(1000, 3, dtype=np.int8), target.astype(np.int8))
    assert verdict.accepted is False
    assert "Very Hot converts worse than Cold, beyond noise" in verdict.reasons[0]


def test_churn_counts_moves_hot_leads_that_stay_and_the_shared_top() -> None:
    champion = pa.table({
        "score_bucket": ["Very Hot", "Hot", "Warm", *["Cold"] * 17],
        "margin": [float(20 - place) for place in range(20)],
    })
    codes = np.array([1, 3, 2, *[3] * 16, 2], dtype=np.int8)
    margin = np.array([9.0, 0.0, 10.0, *[-1.0] * 17])
    found = churn(codes, margin, champion)
    assert found["moved"] == 3
    assert found["hot_before"] == 2
    assert found["hot_kept_share"] == 0.5
    assert found["top_decile_overlap"] == 0.5


def _retrain_sets(settings, error: float, sets: int = 60) -> float:
    """Share accepted as a retrain: about 90 conversions, margins correlated .95, one in two worlds worse by .01 AUC."""
    inner = (0.95 * np.sqrt(2 * (1 + error**2)) - 1) / error
    accepted = 0
    for seed in range(sets):
        generator = np.random.default_rng([7, seed])
        strength, own, other = generator.normal(size=(3, 12_200))
        target = (generator.random(12_200) < sigmoid(strength - 3.62)).astype(np.int8)
        champion = strength + own
        challenger = strength + error * (inner * own + np.sqrt(1 - inner**2) * other)
        scores = [
            fit_platt(margin[:10_000], target[:10_000]).apply(margin[10_000:]) for margin in (challenger, champion)
        ]
        accepted += gate(*scores, target[10_000:], settings, retrain=True).accepted is True
    return accepted / sets


def test_an_equal_retrain_is_mostly_accepted_and_a_worse_one_mostly_not(settings) -> None:
    quick = dataclasses.replace(settings, bootstrap=100)
    equal, worse = _retrain_sets(quick, 1.0), _retrain_sets(quick, 1.12)
    assert equal >= 0.55
    assert worse <= 0.35
    assert equal > 2 * worse


def test_a_retrain_is_the_same_recipe_on_leads_that_reach_further() -> None:
    def report(last: str, recipe: object = "one") -> dict:
        return {"recipe": recipe, "split": {"parts": {"train": {"last": last}}}}

    assert same_recipe_on_newer_leads(report("2024-06-30"), report("2024-05-31"))
    assert not same_recipe_on_newer_leads(report("2024-05-31"), report("2024-05-31"))
    assert not same_recipe_on_newer_leads(report("2024-06-30"), report("2024-05-31", "another"))
    assert not same_recipe_on_newer_leads(report("2024-06-30", None), report("2024-05-31", None))
    undated = {"recipe": "one", "split": {"parts": {"train": {}}}}
    assert not same_recipe_on_newer_leads(undated, undated)
