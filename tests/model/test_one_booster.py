"""Every family is one booster: the same margins as its parts, to the bit on the path of one lead and of a table."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost as xgb

from lead_scoring.model.one_booster import Member, one_booster
from lead_scoring.scoring.trees import Trees
from lead_scoring.scoring.ubjson import read_ubjson
from lead_scoring.training.families import load
from lead_scoring.training.rank_logistic import fit_rank_logistic

NAMES = ["first", "second", "constant", "flag"]


@pytest.fixture(scope="module")
def leads() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    features = np.column_stack([generator.normal(size=(2000, 2)), np.ones(2000), generator.integers(0, 2, 2000)])
    features[::7, 1] = np.nan
    target = (generator.random(2000) < 1 / (1 + np.exp(2 - features[:, 0]))).astype(np.int8)
    return features, target


@pytest.fixture(scope="module")
def boosters(leads) -> list[xgb.Booster]:
    features, target = leads
    data = xgb.DMatrix(features, target, feature_names=NAMES)
    return [
        xgb.train({"objective": "binary:logistic", "max_depth": depth, "seed": depth, "nthread": 1}, data, 15)
        for depth in (2, 4)
    ]


@pytest.mark.parametrize("family", ["logistic regression", "boosters", "average"])
def test_a_family_is_one_booster_with_the_margins_of_its_parts(leads, boosters, family: str) -> None:
    features, target = leads
    logistic = fit_rank_logistic(features, target)
    data = xgb.DMatrix(features, feature_names=NAMES)
    members = [] if family == "logistic regression" else [Member(booster, 0.3) for booster in boosters]
    steps = [] if family == "boosters" else logistic.steps
    intercept = 0.0 if family == "boosters" else logistic.intercept
    content = one_booster(members, steps, intercept, boosters[0])
    assert content == one_booster(members, steps, intercept, boosters[0])
    merged = load(content)
    found = merged.predict(data, output_margin=True).astype(np.float64)
    parts = [0.3 * booster.predict(data, output_margin=True).astype(np.float64) for booster in boosters]
    expected = np.sum(parts, axis=0) if members else np.zeros(len(features))
    if steps:
        expected = expected + logistic.margins(features)
    assert np.abs(found - expected).max() < 1e-5  # float32
    # the compiled path of one lead, the table path and the contributions read the same trees
    rows = features.astype(np.float32)
    trees = Trees(read_ubjson(content))
    one_by_one = [trees.margin(row) for row in features.tolist()]
    assert one_by_one == merged.inplace_predict(rows, predict_type="margin").astype(np.float64).tolist()
    contributions = merged.predict(data, pred_contribs=True)
    assert np.abs(contributions.sum(axis=1) - found).max() < 1e-4


def test_a_value_that_was_never_missing_counts_as_the_median_when_it_is(leads, boosters) -> None:
    features, target = leads
    logistic = fit_rank_logistic(features, target)
    lead = features[3:4].copy()
    median = lead.copy()
    lead[0, 0] = np.nan
    median[0, 0] = np.median(features[:, 0])
    assert logistic.margins(lead)[0] == pytest.approx(logistic.margins(median)[0], abs=0.05)
    merged = load(one_booster([], logistic.steps, logistic.intercept, boosters[0]))
    contributions = merged.predict(xgb.DMatrix(lead, feature_names=NAMES), pred_contribs=True)
    assert np.isfinite(contributions).all()


def test_the_logistic_regression_ranks_as_one_on_the_ranks_themselves(leads) -> None:
    from scipy.stats import rankdata
    from sklearn.linear_model import LogisticRegression

    features, target = leads
    design = np.column_stack([rankdata(features[:, 0]) / len(features), features[:, 3]])
    plain = LogisticRegression(max_iter=1000).fit(design, target).decision_function(design)
    only = np.column_stack([features[:, 0], features[:, 3]])
    assert np.corrcoef(fit_rank_logistic(only, target).margins(only), plain)[0, 1] > 0.999
