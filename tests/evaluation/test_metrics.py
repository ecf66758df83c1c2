"""The figures agree with scikit-learn where it has them, and never depend on the order of the input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from lead_scoring import evaluation
from lead_scoring.evaluation.ranking import TieGroups, top_count


def _tied(seed: int, leads: int = 400) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    score = np.round(generator.normal(size=leads), 1)
    target = (generator.random(leads) < 1 / (1 + np.exp(2 - score))).astype(int)
    target[:2] = [0, 1]
    return score, target


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_ranking_figures_are_those_of_scikit_learn_with_ties(seed: int) -> None:
    score, target = _tied(seed)
    assert evaluation.auc_roc(score, target) == pytest.approx(sk.roc_auc_score(target, score), abs=1e-12)
    assert evaluation.auc_pr(score, target) == pytest.approx(sk.average_precision_score(target, score), abs=1e-12)


def test_probability_figures_are_those_of_scikit_learn_even_at_zero_and_one() -> None:
    target = np.array([0, 1, 0, 1])
    probability = np.array([0.0, 1.0, 0.3, 0.2])
    assert evaluation.log_loss(probability, target) == pytest.approx(sk.log_loss(target, probability))
    assert evaluation.brier(probability, target) == pytest.approx(sk.brier_score_loss(target, probability))


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_no_figure_depends_on_the_order_of_tied_leads(seed: int) -> None:
    score, target = _tied(seed)
    order = np.random.default_rng(seed + 1).permutation(len(score))
    assert evaluation.lift(score, target) == pytest.approx(evaluation.lift(score[order], target[order]), abs=1e-12)
    assert [row["positives"] for row in evaluation.deciles(score, target)] == [
        row["positives"] for row in evaluation.deciles(score[order], target[order])
    ]


def test_lift_takes_a_tenth_of_the_leads_rounded_down() -> None:
    assert [top_count(leads) for leads in (5, 10, 1739, 1740)] == [1, 1, 173, 174]
    score = np.arange(19.0)
    target = np.zeros(19)
    target[18] = 1
    assert evaluation.lift(score, target) == pytest.approx(19.0)


def test_deciles_hold_every_lead_and_every_conversion_once() -> None:
    score, target = _tied(3, leads=1234)
    rows = evaluation.deciles(score, target)
    assert sum(row["leads"] for row in rows) == 1234
    assert sum(row["positives"] for row in rows) == pytest.approx(target.sum())
    assert all(row["low"] <= row["rate"] <= row["high"] for row in rows)


def test_bootstrap_weights_give_the_figure_of_the_drawn_leads() -> None:
    score, target = _tied(5, leads=60)
    drawn = np.random.default_rng(0).integers(0, 60, 60)
    weights = np.bincount(drawn, minlength=60)[None, :]
    groups = TieGroups.of(score, target, weights)
    assert groups.auc_roc()[0] == pytest.approx(sk.roc_auc_score(target[drawn], score[drawn]))
    assert groups.auc_pr()[0] == pytest.approx(sk.average_precision_score(target[drawn], score[drawn]))


def test_the_constant_has_no_skill_and_worse_than_it_is_negative() -> None:
    target = np.array([1] * 4 + [0] * 96)
    level = evaluation.log_loss(np.full(100, 0.04), target)
    assert level == pytest.approx(evaluation.constant_log_loss(0.04))
    assert evaluation.skill(level, level) == 0.0
    assert evaluation.skill(evaluation.log_loss(np.full(100, 0.5), target), level) < 0


def test_one_class_gives_no_auc_instead_of_a_crash() -> None:
    assert np.isnan(evaluation.auc_roc([0.1, 0.2], [0, 0]))
    assert np.isnan(evaluation.auc_pr([0.1, 0.2], [0, 0]))
