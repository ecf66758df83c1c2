from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lead_scoring.errors import BadInput
from lead_scoring.model import native

VERSION = "v1-20241221-0a1b2c3d"
SPEC = native.ScorerSpec(
    feature_set="phase6",
    feature_set_digest="d" * 64,
    features=(
        native.ScorerFeature("tenure", "tenure", False, 0.0, 900.0),
        native.ScorerFeature("tier_Highly Mobile", "tier_Highly_Mobile", True),
    ),
    calibrator={"method": "platt", "slope": 0.1 + 0.2, "intercept": -3.0},
    bucket_policy={"name": "lift", "cuts": [0.126, 0.084, 0.042], "base_rate": 0.042},
    base_rate=0.042,
    reference_margins=(-1.5, 0.25),
    golden=({"features": {"tenure": 1.0, "tier_Highly Mobile": None}, "margin": 0.1, "lead_score": 0.05},),
)


def test_a_scorer_file_comes_back_bit_by_bit(tmp_path: Path) -> None:
    booster, spec = native.write_native(tmp_path, VERSION, booster_ubj=b"trees", scorer=SPEC)
    assert booster.read_bytes() == b"trees"
    assert native.read_scorer(spec.read_bytes(), VERSION, spec.name) == SPEC


def test_the_version_follows_the_documents_recipe() -> None:
    expected = hashlib.md5(b"model20241221", usedforsecurity=False).hexdigest()[:8]
    assert native.version_id(b"model", dt.date(2024, 12, 21)) == f"v1-20241221-{expected}"


def test_the_version_depends_on_what_decides_a_score_and_on_nothing_else() -> None:
    before = native.canonical_model_bytes(b"trees", SPEC)
    described = replace(SPEC, reference_margins=(1.0,), golden=())
    decisive = replace(SPEC, base_rate=0.05)
    assert native.canonical_model_bytes(b"trees", described) == before
    assert native.canonical_model_bytes(b"trees", decisive) != before
    assert native.canonical_model_bytes(b"treez", SPEC) != before


@given(st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=50))
def test_reference_quantiles_rise_and_are_observed(margins: list[float]) -> None:
    quantiles = native.reference_quantiles(np.array(margins))
    assert len(quantiles) == 1001
    assert list(quantiles) == sorted(quantiles)
    assert set(quantiles) <= set(margins)


def test_a_manifest_comes_back_as_it_was_written() -> None:
    manifest = native.PackageManifest(
        VERSION,
        "2024-12-21",
        "phase6",
        "d" * 64,
        ("a", "b"),
        {"xgboost": "3.2.0"},
        {"scorer.json": {"sha256": "0", "bytes": 3}},
        {"performance": {"test_auc_roc": 0.7002}},
    )
    assert json.loads(manifest.to_bytes())["performance"] == {"test_auc_roc": 0.7002}
    assert native.PackageManifest.from_bytes(manifest.to_bytes(), "manifest.json") == manifest


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"format": 2}', b'{"format": 1, "version_id": "other"}', b"\x80\x04pickle"]
)
def test_a_file_that_is_not_of_this_format_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match="here.json"):
        native.read_scorer(data, VERSION, "here.json")
    with pytest.raises(BadInput, match="here.json"):
        native.PackageManifest.from_bytes(data, "here.json")


@pytest.mark.parametrize("version", ["latest", "../etc", "v1-20241221-0a1b2c3d/..", "v1-2024-0a1b2c3d", ""])
def test_a_version_that_is_not_one_never_becomes_a_path(version: str) -> None:
    with pytest.raises(BadInput, match="is not of the form"):
        native.check_version(version)
