"""The stage writes the document's files, freezes a policy that says something, and is the same every time."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost as xgb

from lab.bucket_worlds import bucket_selftest
from lead_scoring.calibration import bucket_findings, calibrate_stage, empty_buckets
from lead_scoring.catalog import FeatureSet, FeatureSpec
from lead_scoring.errors import BadInput
from lead_scoring.model.buckets import BucketPolicy
from lead_scoring.model.calibrators import calibrator_from_dict, sigmoid

AS_OF = dt.date(2024, 12, 21)
FEATURE_SET = FeatureSet(
    "small",
    (
        FeatureSpec(
            name="tenure",
            column="tenure",
            dtype="float",
            unit="",
            definition="",
            sources=(),
            null_rule="",
            nullable=True,
            minimum=-100.0,
            maximum=100.0,
            needs_recorded_at=False,
            direction="flat",
        ),  # fmt: skip
    ),
)
FILES = {
    "calibrator.json", "bucket_policy.json", "calibration_metadata.json", "calibration_lookup_table.csv",
    "calibration_curves.png", "lift_chart.png", "calibrated_model.pkl", "reference.parquet",
}  # fmt: skip


@pytest.fixture
def trained(tmp_path: Path, leads) -> dict[str, Path]:
    """What the training stage leaves: scores, a booster of two trees, a report."""
    margin, target = leads(n=3000)
    parts = np.repeat(["train", "calibration", "holdout"], 1000)
    pq.write_table(
        pa.table({
            "lead_id": [f"lead-{number:05d}" for number in range(3000)],
            "split": parts,
            "margin": margin,
            "target": target,
        }),
        tmp_path / "scores.parquet",
    )
    data = xgb.DMatrix(margin.reshape(-1, 1), label=target, feature_names=["tenure"])
    booster = xgb.train({"objective": "binary:logistic", "max_depth": 2}, data, num_boost_round=2)
    (tmp_path / "model.ubj").write_bytes(bytes(booster.save_raw("ubj")))
    (tmp_path / "report.json").write_text(json.dumps({"split": {"how": "time_ordered"}}))
    return {name: tmp_path / name for name in ("scores.parquet", "model.ubj", "report.json")}


def _run(trained, calibration, buckets, work: Path):
    work.mkdir()
    return calibrate_stage(
        trained["scores.parquet"], trained["model.ubj"], trained["report.json"],
        feature_set=FEATURE_SET, as_of=AS_OF, calibration=calibration, buckets=buckets, work=work,
    )  # fmt: skip


def test_equal_inputs_give_equal_bytes_of_every_file(trained, calibration_settings, bucket_settings, tmp_path) -> None:
    one = _run(trained, calibration_settings, bucket_settings, tmp_path / "one")
    two = _run(trained, calibration_settings, bucket_settings, tmp_path / "two")
    assert set(one.files) == FILES
    for name in FILES:
        assert one.files[name].read_bytes() == two.files[name].read_bytes(), name
    assert one.figures == two.figures
    json.dumps(one.figures, allow_nan=False)


def test_the_metadata_has_the_documents_keys_and_how_each_was_obtained(
    trained, calibration_settings, bucket_settings, tmp_path
) -> None:
    output = _run(trained, calibration_settings, bucket_settings, tmp_path / "work")
    metadata = json.loads(output.files["calibration_metadata.json"].read_text())
    assert {
        "calibration_method", "brier_score", "isotonic_brier", "platt_brier", "isotonic_log_loss", "platt_log_loss",
        "n_calibration_samples", "feature_names",
    } <= set(metadata)  # fmt: skip
    assert metadata["how"]["brier_score"] == "holdout"
    model = hashlib.sha256(trained["model.ubj"].read_bytes()).hexdigest()
    assert metadata["belongs_to"]["model_sha256"] == model
    assert metadata["how"]["isotonic_brier"] == "in_sample"
    assert metadata["n_calibration_samples"] == 1000
    assert metadata["evaluation"]["n"] == 1000
    assert metadata["lookup"]["largest_difference_on_leads"] <= 0.005
    assert metadata["evaluation"]["lift_by_margin"] == metadata["evaluation"]["top_decile_lift"]["value"]


def test_the_calibrator_is_fitted_on_the_calibration_part_only(
    trained, calibration_settings, bucket_settings, tmp_path
) -> None:
    output = _run(trained, calibration_settings, bucket_settings, tmp_path / "one")
    table = pq.read_table(trained["scores.parquet"])
    holdout = np.asarray(table["split"].to_pylist()) == "holdout"
    flipped = np.where(holdout, 1 - table["target"].to_numpy(), table["target"].to_numpy())
    pq.write_table(table.set_column(3, "target", pa.array(flipped)), trained["scores.parquet"])
    warned = dataclasses.replace(bucket_settings, on_degenerate="warn")
    other = _run(trained, calibration_settings, warned, tmp_path / "two")
    assert output.files["calibrator.json"].read_text() == other.files["calibrator.json"].read_text()
    assert output.files["bucket_policy.json"].read_text() == other.files["bucket_policy.json"].read_text()


def test_the_reference_holds_leads_that_the_booster_never_saw(
    trained, calibration_settings, bucket_settings, tmp_path
) -> None:
    output = _run(trained, calibration_settings, bucket_settings, tmp_path / "work")
    reference = pq.read_table(output.files["reference.parquet"])
    assert set(reference["split"].to_pylist()) == {"calibration", "holdout"}
    calibrator = calibrator_from_dict(json.loads(output.files["calibrator.json"].read_text()))
    assert np.array_equal(reference["lead_score"].to_numpy(), calibrator.apply(reference["margin"].to_numpy()))


def test_without_a_holdout_the_figures_are_cross_fitted(
    trained, calibration_settings, bucket_settings, tmp_path
) -> None:
    table = pq.read_table(trained["scores.parquet"])
    pq.write_table(table.set_column(1, "split", pa.array(["calibration"] * 3000)), trained["scores.parquet"])
    output = _run(trained, calibration_settings, bucket_settings, tmp_path / "work")
    assert output.figures["evaluation"]["how"] == "cross_fit"
    assert output.figures["evaluation"]["n"] == 3000


def test_thresholds_that_no_lead_reaches_are_a_finding_that_says_which_and_why(
    trained, calibration_settings, bucket_settings, tmp_path
) -> None:
    absolute = dataclasses.replace(bucket_settings, policy="absolute")
    output = _run(trained, calibration_settings, absolute, tmp_path / "work")
    (finding,) = output.figures["findings"]
    assert finding["code"] == "bucket_degenerate"
    assert "Very Hot needs 0.70; the highest reachable score is 0." in finding["message"]
    assert "use --bucket-policy lift or capacity" in finding["message"]
    warned = _run(
        trained, calibration_settings, dataclasses.replace(absolute, on_degenerate="warn"), tmp_path / "warned"
    )
    assert warned.figures["findings"] == []
    assert finding["message"] in [warning["message"] for warning in warned.figures["warnings"]]


def test_a_policy_whose_higher_buckets_convert_no_better_is_a_finding(
    trained, calibration_settings, bucket_settings, tmp_path
) -> None:
    table = pq.read_table(trained["scores.parquet"])
    holdout = np.asarray(table["split"].to_pylist()) == "holdout"
    margin = table["margin"].to_numpy()
    worst = holdout & (margin < np.quantile(margin[holdout], 0.3))  # on the holdout the worst leads convert, only they
    target = np.where(holdout, worst, table["target"].to_numpy()).astype(np.int8)
    pq.write_table(table.set_column(3, "target", pa.array(target)), trained["scores.parquet"])
    output = _run(trained, calibration_settings, bucket_settings, tmp_path / "work")
    codes = {finding["code"] for finding in output.figures["findings"]}
    assert {"bucket_cut_says_nothing", "bucket_worse_than_next"} <= codes


def test_the_default_policy_has_no_finding_and_each_lead_one_bucket(
    trained, calibration_settings, bucket_settings, tmp_path
) -> None:
    output = _run(trained, calibration_settings, bucket_settings, tmp_path / "work")
    assert output.figures["findings"] == []
    rows = output.figures["buckets"]["rows"]
    assert sum(row["leads"] for row in rows) == 2000
    assert rows[0]["from_score"] == pytest.approx(3 * output.figures["base_rate"])
    said = {(warning["code"], warning["subject"]) for warning in output.figures["warnings"]}
    assert said == {("bucket_not_separable", "Very Hot / Hot"), ("bucket_not_separable", "Hot / Warm")}


def _buckets_of(*counts: tuple[int, int]) -> tuple[BucketPolicy, np.ndarray, np.ndarray]:
    """Leads and conversions of Very Hot, Hot, Warm and Cold as a policy, scores and outcomes."""
    scores = np.repeat([0.9, 0.6, 0.4, 0.1], [leads for leads, _ in counts])
    target = np.concatenate([np.arange(leads) < positives for leads, positives in counts]).astype(np.int8)
    return BucketPolicy("absolute", (0.7, 0.5, 0.3)), scores, target


def _said(found: list[dict]) -> list[tuple[str, str]]:
    return [(item["code"], item["subject"]) for item in found]


def test_a_bucket_that_converts_worse_than_the_next_beyond_noise_stops_although_the_pooled_cuts_rise(
    bucket_settings,
) -> None:
    """5 % above 30 %: each cut, pooled, still converts better than what lies below it."""
    leads = _buckets_of((1000, 50), (1000, 300), (3000, 60), (5000, 50))
    findings, warnings = bucket_findings(*leads, bucket_settings)
    assert _said(findings) == [("bucket_worse_than_next", "Very Hot / Hot")]
    assert "Very Hot converts at 5.00% (3.81% to 6.53%) and Hot at 30.00%" in findings[0]["message"]
    assert "converts worse, beyond noise (50 and 300 conversions)" in findings[0]["message"]
    assert warnings == []
    tolerant = dataclasses.replace(bucket_settings, on_degenerate="warn")
    assert bucket_findings(*leads, tolerant) == ([], findings)


def test_a_bucket_that_is_no_better_within_noise_is_said_in_so_many_words_and_refused_if_so_configured(
    bucket_settings,
) -> None:
    leads = _buckets_of((119, 10), (203, 21), (1000, 40), (1808, 20))
    findings, warnings = bucket_findings(*leads, bucket_settings)
    assert findings == []
    assert _said(warnings) == [("bucket_not_better_than_next", "Very Hot / Hot")]
    assert "converts no better; the difference is within noise (10 and 21 conversions)" in warnings[0]["message"]
    assert "overlap" not in warnings[0]["message"]
    strict = dataclasses.replace(bucket_settings, on_not_better="refuse")
    assert bucket_findings(*leads, strict) == (warnings, [])


def test_a_better_bucket_whose_interval_overlaps_is_said_and_one_beyond_noise_is_not(bucket_settings) -> None:
    findings, warnings = bucket_findings(*_buckets_of((200, 22), (400, 36), (1000, 30), (3000, 20)), bucket_settings)
    assert findings == []
    assert _said(warnings) == [("bucket_not_separable", "Very Hot / Hot")]
    assert "converts better, but the intervals overlap (22 and 36 conversions)" in warnings[0]["message"]


def test_each_empty_bucket_is_a_warning_and_two_are_a_finding(bucket_settings) -> None:
    findings, warnings = bucket_findings(*_buckets_of((0, 0), (500, 100), (1000, 60), (9000, 50)), bucket_settings)
    assert (findings, _said(warnings)) == ([], [("bucket_empty", "Very Hot")])
    findings, warnings = bucket_findings(*_buckets_of((0, 0), (0, 0), (1000, 60), (9000, 50)), bucket_settings)
    assert _said(findings) == [("buckets_empty", "Very Hot and Hot")]
    assert _said(warnings) == [("bucket_empty", "Very Hot"), ("bucket_empty", "Hot")]


def test_a_cut_stops_a_release_only_beyond_noise(bucket_settings) -> None:
    """The short form of ``lead-scoring bench buckets``."""
    found = bucket_selftest(bucket_settings, sets=16, processes=1)
    assert found["sets_with_fewer_than_20_above_it"], "handfuls above a cut, as on the sample of three months"
    assert found["false_stops"] == 0
    assert found["found"] >= 14, "as it takes chance to make a truly worse cut look no worse"


def test_an_empty_bucket_does_not_part_its_neighbours(bucket_settings) -> None:
    findings, _ = bucket_findings(*_buckets_of((1000, 50), (0, 0), (1000, 300), (9000, 50)), bucket_settings)
    assert _said(findings) == [("bucket_worse_than_next", "Very Hot / Warm")]


def test_the_document_s_own_thresholds_are_explained() -> None:
    policy = BucketPolicy("absolute", (0.7, 0.5, 0.3))
    found = empty_buckets(policy, np.array([0.01, 0.25]))
    assert found["Warm"] == "Warm needs 0.30; the highest reachable score is 0.25"
    assert list(empty_buckets(policy, np.array([0.01, 0.35, 0.75]))) == ["Hot"], "an empty bucket between two others"


@pytest.mark.parametrize("part", ["calibration", "holdout"])
def test_too_few_conversions_in_a_part_are_refused_with_the_count(
    trained, calibration_settings, bucket_settings, tmp_path, part: str
) -> None:
    table = pq.read_table(trained["scores.parquet"])
    inside = np.asarray(table["split"].to_pylist()) == part
    target = np.where(inside, 0, table["target"].to_numpy())
    target[np.flatnonzero(inside)[:9]] = 1
    pq.write_table(table.set_column(3, "target", pa.array(target)), trained["scores.parquet"])
    with pytest.raises(BadInput, match=f"the {part} part of scores.parquet has 9 conversions"):
        _run(trained, calibration_settings, bucket_settings, tmp_path / "work")


def test_a_booster_that_says_the_same_of_every_lead_is_refused(
    trained, calibration_settings, bucket_settings, tmp_path
) -> None:
    table = pq.read_table(trained["scores.parquet"])
    pq.write_table(table.set_column(2, "margin", pa.array(np.full(3000, -3.0))), trained["scores.parquet"])
    with pytest.raises(BadInput, match="margin in .* is -3 in all 1000 rows; a constant ranks nothing"):
        _run(trained, calibration_settings, bucket_settings, tmp_path / "work")


def test_the_sigmoid_of_the_margin_is_the_documents_raw_score(trained) -> None:
    margin = pq.read_table(trained["scores.parquet"])["margin"].to_numpy()
    assert sigmoid(margin) == pytest.approx(1 / (1 + np.exp(-margin)), abs=1e-15)
