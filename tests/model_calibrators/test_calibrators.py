"""Every calibrator keeps the ranking, stays inside (0, 1), and comes back from JSON with the same bits."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_scoring.errors import BadInput
from lead_scoring.model.calibrators import (
    CALIBRATORS,
    FITTERS,
    BetaCalibrator,
    calibrator_from_dict,
    fit_beta,
    fit_intercept,
    fit_isotonic,
    fit_platt,
    raw_to_margin,
    sigmoid,
)

METHODS = list(CALIBRATORS)


def _leads(seed: int, leads: int, slope: float, base: float) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    margin = generator.normal(0, 1.5, leads)
    target = (generator.random(leads) < sigmoid(slope * margin + base)).astype(int)
    target[:2] = [0, 1]
    return margin, target


@pytest.mark.parametrize("method", METHODS)
@given(
    seed=st.integers(0, 10_000),
    leads=st.integers(20, 400),
    slope=st.floats(-1, 3),
    base=st.floats(-5, 2),
)
@settings(max_examples=25, deadline=None)
def test_a_fitted_calibrator_is_strictly_increasing_and_inside_zero_and_one(
    method: str, seed: int, leads: int, slope: float, base: float
) -> None:
    margin, target = _leads(seed, leads, slope, base)
    calibrator = FITTERS[method](margin, target)
    near = np.linspace(-6, 6, 2001)
    assert np.all(np.diff(calibrator.apply(near)) > 0)
    far = calibrator.apply([-1e6, -700.0, -40.0, 40.0, 700.0, 1e6])
    assert np.all((far > 0) & (far < 1))
    assert np.all(np.diff(far) >= 0)


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 10_000), shift=st.floats(-3, 3))
@settings(max_examples=15, deadline=None)
def test_json_brings_the_same_bits_back(method: str, seed: int, shift: float) -> None:
    margin, target = _leads(seed, 200, 1, -2)
    for calibrator in (FITTERS[method](margin, target), FITTERS[method](margin, target).shifted(shift)):
        back = calibrator_from_dict(json.loads(json.dumps(calibrator.to_dict())))
        assert back == calibrator
        assert np.array_equal(back.apply(margin), calibrator.apply(margin))


@pytest.mark.parametrize("method", METHODS)
def test_a_shift_moves_every_score_by_the_same_log_odds(method: str) -> None:
    margin, target = _leads(1, 500, 1, -2)
    calibrator = FITTERS[method](margin, target)
    before, after = calibrator.apply(margin), calibrator.shifted(0.4).apply(margin)
    moved = np.log(after / (1 - after)) - np.log(before / (1 - before))
    assert moved == pytest.approx(np.full(500, 0.4), abs=1e-6)


@given(seed=st.integers(0, 10_000), base=st.floats(-6, 3))
@settings(max_examples=25, deadline=None)
def test_the_intercept_makes_the_mean_score_the_rate(seed: int, base: float) -> None:
    margin, target = _leads(seed, 300, 1, base)
    assert fit_intercept(margin, target).apply(margin).mean() == pytest.approx(target.mean(), abs=1e-9)


def test_platt_finds_the_line_that_made_the_data() -> None:
    margin, target = _leads(2, 200_000, 0.6, -2.0)
    fitted = fit_platt(margin, target)
    assert fitted.slope == pytest.approx(0.6, abs=0.03)
    assert fitted.intercept == pytest.approx(-2.0, abs=0.03)


def test_beta_with_equal_weights_is_a_line_on_the_margin() -> None:
    margin = np.linspace(-8, 8, 101)
    assert BetaCalibrator(0.7, 0.7, -1.0).apply(margin) == pytest.approx(sigmoid(0.7 * margin - 1.0), abs=1e-12)


def test_beta_finds_different_weights_for_low_and_high_scores() -> None:
    generator = np.random.default_rng(3)
    margin = generator.normal(0, 2, 200_000)
    truth = BetaCalibrator(0.3, 1.4, -0.5)
    target = (generator.random(200_000) < truth.apply(margin)).astype(int)
    fitted = fit_beta(margin, target)
    assert (fitted.a, fitted.b, fitted.c) == pytest.approx((0.3, 1.4, -0.5), abs=0.08)


def test_isotonic_never_promises_certainty_and_keeps_the_ranking_of_the_margin() -> None:
    margin, target = _leads(4, 300, 1, -3)
    target[np.argmax(margin)] = 1
    scores = fit_isotonic(margin, target).apply(margin)
    assert scores.max() <= 1 - 1 / 600 + 1e-6
    assert scores.min() >= 1 / 600 - 1e-6
    assert np.array_equal(np.argsort(scores), np.argsort(margin))


def test_separable_leads_give_a_finite_curve() -> None:
    margin = np.r_[np.linspace(-3, -1, 50), np.linspace(1, 3, 50)]
    target = (margin > 0).astype(int)
    for method in ("platt", "beta"):
        assert all(np.isfinite(value) for value in list(FITTERS[method](margin, target).to_dict().values())[1:])


def test_a_saturated_float32_score_has_a_finite_margin() -> None:
    assert np.all(np.isfinite(raw_to_margin(np.array([0.0, 1.0, 1.0000001]))))


def test_an_unknown_method_and_wrong_parameters_are_refused_with_what_is_known() -> None:
    with pytest.raises(BadInput, match=r"'venn'.*identity"):
        calibrator_from_dict({"method": "venn"})
    with pytest.raises(BadInput, match="'platt' has wrong parameters"):
        calibrator_from_dict({"method": "platt", "slop": 1.0})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "must be an object with a method"),
        ({"method": "platt", "slope": "a", "intercept": 0.0}, "slope of calibrator 'platt' is 'a'; it must be finite"),
        ({"method": "platt", "slope": float("nan"), "intercept": 0.0}, "slope of calibrator 'platt' is nan"),
        ({"method": "platt", "slope": -2.0, "intercept": 0.0}, "slope of calibrator 'platt' is -2.0; it must be above"),
        ({"method": "beta", "a": 1.0, "b": 0.0, "c": 0.0}, "b of calibrator 'beta' is 0.0; it must be above 0"),
        ({"method": "intercept", "intercept": None}, "intercept of calibrator 'intercept' is None"),
        ({"method": "isotonic", "margins": [0.0, 1.0], "values": [0.2, 0.1]}, "they must not fall"),
        ({"method": "isotonic", "margins": [1.0, 0.0], "values": [0.1, 0.2]}, "they must rise"),
        ({"method": "isotonic", "margins": [0.0, 1.0], "values": [0.1]}, "one value for each of the 2 margins"),
        ({"method": "isotonic", "margins": [], "values": []}, "it must be finite numbers"),
        ({"method": "isotonic", "margins": [0.0], "values": 0.1}, "it must be a list"),
    ],
)
def test_what_is_no_rising_calibrator_is_refused_where_it_is_made(data, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        calibrator_from_dict(data)
