"""Intervals cover, pairs are narrow, equal seeds give equal bytes."""

from __future__ import annotations

import numpy as np
import pytest

from lab.interval_worlds import interval_selftest
from lead_scoring import evaluation
from lead_scoring.evaluation.bootstrap import replicates


def _leads(leads: int, seed: int, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    margin = generator.normal(-3, 1, leads)
    probability = 1 / (1 + np.exp(-margin))
    target = (generator.random(leads) < 1 / (1 + np.exp(-slope * margin))).astype(int)
    return margin, probability, target


def test_a_wilson_interval_is_never_empty() -> None:
    assert evaluation.wilson(0, 50)[0] == 0.0
    assert evaluation.wilson(0, 50)[1] == pytest.approx(0.0714, abs=1e-3)
    assert evaluation.wilson(50, 50)[1] == 1.0
    assert evaluation.wilson(0, 0) == (0.0, 1.0)


def test_the_bootstrap_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(1).normal(size=2000)
    found = evaluation.paired_bootstrap(values, resamples=2000, seed=3)
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 / np.sqrt(2000), rel=0.08)
    assert found["standard_error"] == pytest.approx(1 / np.sqrt(2000), rel=0.05)
    assert found["low"] < found["value"] < found["high"]


def test_equal_seeds_give_equal_figures_and_another_seed_gives_others() -> None:
    margin, probability, target = _leads(500, 2)
    one, two, other = (
        evaluation.evaluate(margin, target, how="holdout", resamples=200, seed=seed, probability=probability)
        for seed in (1, 1, 2)
    )
    assert one == two
    assert one["auc_roc"]["low"] != other["auc_roc"]["low"]


def test_blocks_do_not_change_the_draws() -> None:
    values = np.arange(50.0)
    whole = replicates(50, lambda block: block @ values, 30, 9)
    assert len(whole) == 30
    assert len(set(whole)) > 20


def test_calibrated_scores_have_slope_one_and_an_error_within_the_noise_floor() -> None:
    margin, probability, target = _leads(20_000, 4)
    slope, intercept = evaluation.slope_intercept(probability, target)
    assert slope["low"] < 1 < slope["high"]
    assert intercept["low"] < 0 < intercept["high"]
    assert evaluation.ece(probability, target) <= evaluation.ece_noise_floor(probability, seed=1)["p95"] * 1.5


def test_overconfident_scores_have_a_slope_below_one_and_an_error_above_the_noise_floor() -> None:
    margin, probability, target = _leads(20_000, 4, slope=0.5)
    assert evaluation.slope_intercept(probability, target)[0]["value"] == pytest.approx(0.5, abs=0.1)
    assert evaluation.ece(probability, target) > evaluation.ece_noise_floor(probability, seed=1)["p95"]


def test_scores_that_are_moved_by_half_a_log_odds_have_that_intercept_and_a_slope_of_one() -> None:
    margin, _, target = _leads(20_000, 4)
    slope, intercept = evaluation.slope_intercept(1 / (1 + np.exp(-(margin - 0.5))), target)
    assert intercept["value"] == pytest.approx(0.5, abs=0.08)
    assert slope["low"] < 1 < slope["high"]


def test_an_intercept_that_was_just_fitted_is_zero_whatever_the_slope() -> None:
    """The two-parameter fit gives these scores an intercept of about -1.5: the line at a score of 50 %."""
    margin, _, target = _leads(5000, 4, slope=0.5)
    low, high = -5.0, 5.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / (1 + np.exp(-margin - middle))).mean() < target.mean() else (low, middle)
    slope, intercept = evaluation.slope_intercept(1 / (1 + np.exp(-margin - low)), target)
    assert intercept["value"] == pytest.approx(0.0, abs=1e-9)
    assert slope["high"] < 1


def test_the_intervals_of_slope_and_intercept_cover_the_truth() -> None:
    inside = np.zeros(2)
    for seed in range(200):
        _, probability, target = _leads(1500, seed)
        slope, intercept = evaluation.slope_intercept(probability, target)
        inside += [slope["low"] <= 1 <= slope["high"], intercept["low"] <= 0 <= intercept["high"]]
    assert 182 <= inside.min() <= inside.max() <= 198


def test_without_two_classes_or_two_scores_there_is_no_line() -> None:
    assert evaluation.slope_intercept([0.1, 0.2], [0, 0]) == (None, None)
    slope, intercept = evaluation.slope_intercept([0.2, 0.2, 0.2, 0.2], [0, 0, 0, 1])
    assert slope is None
    assert intercept["value"] == pytest.approx(np.log(0.25 / 0.75) - np.log(0.2 / 0.8))


def test_reliability_bins_hold_every_lead_once_and_ties_together() -> None:
    margin, probability, target = _leads(1000, 6)
    rounded = np.round(probability, 2)
    rows = evaluation.reliability(rounded, target)
    assert sum(row["leads"] for row in rows) == 1000
    assert sum(row["positives"] for row in rows) == target.sum()
    assert [row["score"] for row in rows] == sorted(row["score"] for row in rows)


def test_leads_on_one_step_share_a_bin_although_a_millionth_ranks_them_and_close_leads_do_not() -> None:
    generator = np.random.default_rng(3)
    steps = np.repeat([0.01, 0.03, 0.2], [300, 400, 300])
    target = (generator.random(1000) < steps).astype(int)
    rows = evaluation.reliability(steps + 1e-6 * generator.random(1000), target)
    assert [row["leads"] for row in rows] == [300, 400, 300]
    between = np.sort(np.r_[steps, 0.02, 0.1, 0.1])  # too few for bins of their own
    rows = evaluation.reliability(between, np.r_[target, 0, 0, 1])
    assert [row["leads"] for row in rows] == [301, 402, 300]
    dense = evaluation.reliability(0.01 + 1e-4 * np.arange(1000) / 1000, target)
    assert [row["leads"] for row in dense] == [100] * 10


@pytest.mark.parametrize("constant", [None, 0.03])
def test_skills_and_decile_lifts_are_those_of_their_definition_inside_their_intervals(constant) -> None:
    margin, probability, target = _leads(2000, 4)
    found = evaluation.evaluate(
        margin, target, how="holdout", resamples=200, seed=1, probability=probability, constant=constant
    )
    level = np.full(2000, target.mean() if constant is None else constant)
    for name, measure in (("log_loss", evaluation.log_loss), ("brier", evaluation.brier)):
        assert found["constant"][name] == pytest.approx(measure(level, target))
        skill = found[f"{name}_skill"]
        assert skill["value"] == pytest.approx(1 - measure(probability, target) / measure(level, target))
        assert skill["low"] < skill["value"] < skill["high"]
    top = found["deciles"][0]
    assert top["lift"] == pytest.approx(found["top_decile_lift"]["value"])
    assert (top["lift_low"], top["lift_high"]) == (found["top_decile_lift"]["low"], found["top_decile_lift"]["high"])


def test_a_segment_with_too_few_conversions_says_so() -> None:
    margin, _, target = _leads(2000, 7)
    rows = evaluation.segments(
        {"all": np.ones(2000, bool), "few": np.arange(2000) < 50}, margin, target, resamples=100, seed=1
    )
    assert rows[0]["too_few"] is False
    assert rows[0]["rate"]["value"] == pytest.approx(target.mean())
    assert rows[1] == {"segment": "few", "n": 50, "positives": int(target[:50].sum()), "too_few": True}


def test_one_feature_alone_is_measured_in_its_better_direction_and_with_missing_values() -> None:
    margin, _, target = _leads(5000, 9)
    forward = evaluation.single_feature_auc(margin, target)
    assert forward == pytest.approx(evaluation.single_feature_auc(-margin, target))
    hole = np.where(target == 1, np.nan, margin)
    assert evaluation.single_feature_auc(hole, target) == 1.0
    assert evaluation.single_feature_auc(np.full(5000, np.nan), target) == 0.5
    assert evaluation.information_value(margin, target) > 0.3


def test_the_intervals_of_every_decile_hold_the_truth() -> None:
    """The short form of ``lead-scoring bench intervals``: 150 of its sets, with the noise of so few."""
    found = interval_selftest(sets=150)
    assert found["without_conversion"] > 50, "an upper bound is needed, and tested"
    assert min(found["rate"] + found["lift"]) >= 0.91


@pytest.mark.parametrize("slope", [0.3, 1.0, 2.5])
def test_the_slope_is_that_of_maximum_likelihood(slope: float) -> None:
    for seed in range(5):
        margin, probability, target = _leads(1500, seed, slope)
        design = np.column_stack([np.ones_like(margin), margin])
        fitted = np.array([np.log(target.mean() / (1 - target.mean())), 0.0])
        for _ in range(50):  # Newton's method, to the last bit
            chance = 1 / (1 + np.exp(-design @ fitted))
            weight = chance * (1 - chance)
            fitted += np.linalg.solve((design * weight[:, None]).T @ design, design.T @ (target - chance))
        found, _ = evaluation.slope_intercept(probability, target)
        assert found["value"] == pytest.approx(fitted[1], abs=1e-4)
