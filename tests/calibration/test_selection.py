"""The rule prefers few parameters, never rewards a fit on its own leads, and refuses scores that say nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lab.calibration_worlds import selftest
from lead_scoring.calibration import calibrate
from lead_scoring.calibration.cross_fit import CONSTANT, cross_fit, fold_numbers
from lead_scoring.calibration.selection import candidate_methods, select
from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.evaluation import log_loss
from lead_scoring.model.calibrators import FITTERS, BetaCalibrator, sigmoid


def test_the_simplest_method_within_one_standard_error_of_the_best_is_chosen() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 0.1, 1000)
    noise -= noise.mean()
    losses = {
        CONSTANT: np.full(1000, 1.0),
        "intercept": noise + 0.5,  # 0.001 above the best, standard error about 0.003
        "platt": np.full(1000, 0.499),
        "beta": np.full(1000, 0.4995),
    }
    assert select(losses).method == "intercept"
    assert select(losses).best == "platt"
    losses["intercept"] = losses["intercept"] + 0.05
    assert select(losses).method == "platt"


def test_scores_that_say_nothing_are_refused(leads, calibration_settings) -> None:
    margin, _ = leads(seed=3)
    target = np.zeros(len(margin), dtype=np.int8)
    target[np.random.default_rng(4).permutation(len(margin))[:80]] = 1
    with pytest.raises(CheckFailed, match="no calibrator beats the constant base rate"):
        calibrate(margin=margin, target=target, settings=calibration_settings)


def test_a_method_worse_than_the_constant_is_never_chosen() -> None:
    losses = {CONSTANT: np.full(10, 0.5), "identity": np.linspace(0.4, 0.7, 10), "platt": np.full(10, 0.49)}
    assert select(losses).method == "platt"


def test_isotonic_is_a_candidate_only_with_enough_conversions() -> None:
    assert "isotonic" not in candidate_methods(999)
    assert candidate_methods(1000)[-1] == "isotonic"


def test_a_calibrator_says_itself_how_many_conversions_it_needs(monkeypatch) -> None:
    monkeypatch.setattr(BetaCalibrator, "minimum_positives", 500)
    assert "beta" not in candidate_methods(499)
    assert "beta" in candidate_methods(500)


def test_the_default_is_kept_unless_another_is_better_by_more_than_a_standard_error() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 0.1, 1000)
    noise -= noise.mean()
    losses = {
        CONSTANT: np.full(1000, 1.0),
        "intercept": np.full(1000, 0.4999),
        "shrunk_platt": noise + 0.5,
        "beta": np.full(1000, 0.499),
    }
    assert select(losses).method == "shrunk_platt"  # though the intercept is simpler, and both are within noise
    losses["beta"] = losses["beta"] - 0.1
    assert select(losses).method == "beta"


def test_a_simpler_method_does_not_displace_the_default_by_a_hair() -> None:
    """Both give nearly the same scores, so a tiny gain is many standard errors: seen with identity."""
    noise = np.random.default_rng(0).normal(0, 0.1, 1000)
    losses = {CONSTANT: np.full(1000, 1.0), "identity": noise + 0.4999, "shrunk_platt": noise + 0.5}
    assert select(losses).method == "shrunk_platt"


def test_with_few_conversions_a_shrunk_slope_regrets_less_than_platt(leads) -> None:
    """40 sets of 1,000 leads with some 40 conversions: loss on 20,000 other leads, against the truth's."""
    regret = {"platt": [], "shrunk_platt": []}
    margin, target = leads(seed=99, n=20_000, slope=0.9)
    for seed in range(40):
        seen = leads(seed=seed, n=1000, slope=0.9)
        for name, losses in regret.items():
            losses.append(log_loss(FITTERS[name](*seen).apply(margin), target))
    assert np.mean(regret["shrunk_platt"]) < np.mean(regret["platt"])
    assert np.max(regret["shrunk_platt"]) < np.max(regret["platt"])


def test_every_lead_is_scored_without_itself_and_folds_hold_both_classes() -> None:
    target = np.array([1] * 12 + [0] * 200, dtype=np.int8)
    number = fold_numbers(target, 5, np.random.default_rng(1))
    assert set(number[:12]) == set(number[12:]) == set(range(5))
    lonely = np.zeros(212)
    lonely[0] = 9.0  # the only lead up there: a calibrator that saw it would call it certain
    fitted = cross_fit(lonely, target, ["isotonic"], folds=5, repeats=2, seed=1)
    assert fitted.first["isotonic"][0] < 0.5


def test_equal_seeds_give_equal_tables(leads, calibration_settings) -> None:
    margin, target = leads()
    one, two = (calibrate(margin=margin, target=target, settings=calibration_settings) for _ in range(2))
    assert one.cross_fit == two.cross_fit
    assert one.calibrator == two.calibrator


def test_the_documents_rule_picks_isotonic_and_is_labelled_in_sample(leads, calibration_settings) -> None:
    margin, target = leads()
    found = calibrate(margin=margin, target=target, settings=calibration_settings, rule="document")
    assert found.calibrator.method == "isotonic"
    assert "in sample" in found.reason
    assert found.in_sample["how"] == "in_sample"
    assert found.cross_fit["how"] == "cross_fit"
    assert found.cross_fit["best"] != "isotonic"


def test_out_of_sample_the_documents_isotonic_loses_to_platt(leads, calibration_settings) -> None:
    margin, target = leads(seed=2)
    found = calibrate(margin=margin, target=target, settings=calibration_settings)
    inside = {row["method"]: row["log_loss"] for row in found.in_sample["rows"]}
    outside = {row["method"]: row["log_loss"] for row in found.cross_fit["rows"]}
    assert inside["isotonic"] < inside["platt"]
    assert outside["isotonic (document's)"] > outside["isotonic"] > outside["platt"]


def test_the_cross_fit_table_has_pairs_skill_slope_and_a_noise_floor(leads, calibration_settings) -> None:
    margin, target = leads(n=4000)
    rows = {
        row["method"]: row
        for row in calibrate(margin=margin, target=target, settings=calibration_settings).cross_fit["rows"]
    }
    assert rows["constant"]["log_loss_skill"] == 0.0
    assert rows["platt"]["log_loss_over_constant"]["high"] < 0
    assert rows["identity"]["log_loss_over_best"]["low"] > 0
    assert rows["platt"]["slope"]["low"] < 1 < rows["platt"]["slope"]["high"]
    assert rows["platt"]["intercept"]["low"] < 0 < rows["platt"]["intercept"]["high"]
    assert rows["platt"]["ece_noise_floor"]["mean"] > 0


def test_an_unknown_rule_is_refused_with_the_known_ones(leads, calibration_settings) -> None:
    margin, target = leads()
    with pytest.raises(BadInput, match="'brier'; it must be one of one_standard_error, document"):
        calibrate(margin=margin, target=target, settings=calibration_settings, rule="brier")


def test_many_leads_take_fewer_repeats() -> None:
    generator = np.random.default_rng(5)
    margin = generator.normal(size=250_000)
    target = (generator.random(250_000) < sigmoid(margin - 3)).astype(np.int8)
    assert cross_fit(margin, target, ["intercept"], folds=2, repeats=20, seed=1).repeats == 8


@pytest.mark.slow
def test_the_rule_finds_the_truth_in_every_world(calibration_settings) -> None:
    """The same worlds as ``calibrate --selftest``, six sets each; the full 100 take minutes."""
    found = selftest(dataclasses.replace(calibration_settings, repeats=2), sets=6, processes=2)
    chosen = [world["chosen"] for world in found["worlds"]]
    assert set(chosen[0]) <= {"shrunk_platt", "beta"}
    assert chosen[1] == {"shrunk_platt": 6}
    assert chosen[2] == {"isotonic": 6}
