from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lead_scoring.errors import BadInput
from lead_scoring.model.buckets import ACTIONS, BUCKETS, BucketPolicy, freeze_policy
from lead_scoring.settings import BucketSettings

SETTINGS = BucketSettings("lift", (0.7, 0.5, 0.3), (3.0, 2.0, 1.0), (0.05, 0.15, 0.40), 0.95, "refuse", "warn")
PROBABILITIES = st.floats(0.0, 1.0)


def test_the_documents_table_of_buckets_and_actions() -> None:
    policy = freeze_policy("absolute", SETTINGS, np.empty(0), None)
    labels = [policy.label(code) for code in policy.assign(np.array([1.0, 0.7, 0.6999, 0.5, 0.3, 0.1504, 0.0]))]
    assert labels == ["Very Hot", "Very Hot", "Hot", "Hot", "Warm", "Cold", "Cold"]
    assert dict(zip(BUCKETS, ACTIONS, strict=True))["Hot"] == "Prioritize in next outreach cycle"


def test_lift_cuts_are_multiples_of_the_base_rate() -> None:
    assert freeze_policy("lift", SETTINGS, np.empty(0), 0.042).cuts == (3.0 * 0.042, 2.0 * 0.042, 0.042)


@given(st.lists(PROBABILITIES, min_size=100, max_size=300, unique=True))
def test_capacity_gives_each_bucket_its_share_of_distinct_scores(scores: list[float]) -> None:
    reference = np.array(scores)
    codes = freeze_policy("capacity", SETTINGS, reference, None).assign(reference)
    for code, share in enumerate(SETTINGS.capacity):
        assert (codes <= code).sum() == round(share * len(scores))


@given(st.lists(PROBABILITIES, max_size=50), st.lists(PROBABILITIES, min_size=3, max_size=3))
def test_one_score_and_many_scores_fall_into_the_same_bucket_and_better_never_means_colder(
    scores: list[float], cuts: list[float]
) -> None:
    very_hot, hot, warm = sorted(cuts, reverse=True)
    policy = BucketPolicy("capacity", (very_hot, hot, warm))
    codes = policy.assign(np.array(scores, dtype=np.float64))
    assert [policy.assign_one(score) for score in scores] == codes.tolist()
    assert (np.diff(codes[np.argsort(scores, kind="stable")]) <= 0).all()


def test_a_policy_survives_json_bit_by_bit() -> None:
    policy = freeze_policy("lift", SETTINGS, np.empty(0), 73 / 1739)
    assert BucketPolicy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


@pytest.mark.parametrize(
    ("name", "reference", "base_rate", "message"),
    [
        ("percentile", [0.1] * 10, 0.04, "choose one of absolute, lift, capacity"),
        ("lift", [0.1] * 10, None, "needs a base rate"),
        ("lift", [0.1] * 10, 0.0, "needs a base rate"),
        ("capacity", [0.1], None, "at least 4"),
        ("capacity", [0.1, float("nan"), 0.2, 0.3], None, "finite"),
    ],
)
def test_a_policy_that_cannot_be_computed_is_refused(
    name: str, reference: list[float], base_rate: float | None, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        freeze_policy(name, SETTINGS, np.array(reference), base_rate)


def test_cuts_that_do_not_descend_are_refused() -> None:
    with pytest.raises(BadInput, match="must descend"):
        BucketPolicy("absolute", (0.3, 0.5, 0.7))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"name": "lift"}, "has no 'cuts'"),
        ([], "has no 'name'"),
        ({"name": "lift", "cuts": [0.2, 0.1]}, "must be three finite numbers"),
        ({"name": "lift", "cuts": ["a", "b", "c"]}, "must be three finite numbers"),
        ({"name": "lift", "cuts": [0.1, 0.2, 0.3]}, "must descend"),
    ],
)
def test_a_policy_that_is_none_is_refused_where_it_is_read(data, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        BucketPolicy.from_dict(data)
