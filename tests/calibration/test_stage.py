"""The stage writes the document's files, freezes a policy that says something, and is the same every time."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost as xgb

from lead_scoring.calibration import calibrate_stage, unreachable
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
    assert "bucket_not_better" in {finding["code"] for finding in output.figures["findings"]}


def test_the_default_policy_has_no_finding_and_says_which_neighbours_overlap(
    trained, calibration_settings, bucket_settings, tmp_path
) -> None:
    output = _run(trained, calibration_settings, bucket_settings, tmp_path / "work")
    assert output.figures["findings"] == []
    assert {warning["code"] for warning in output.figures["warnings"]} <= {"bucket_not_separable"}
    rows = output.figures["buckets"]["rows"]
    assert sum(row["leads"] for row in rows) == 2000
    assert rows[0]["from_score"] == pytest.approx(3 * output.figures["base_rate"])


def test_the_document_s_own_thresholds_are_explained() -> None:
    policy = BucketPolicy("absolute", (0.7, 0.5, 0.3))
    assert unreachable(policy, np.array([0.01, 0.25]))[-1] == "Warm needs 0.30; the highest reachable score is 0.25"
    assert unreachable(policy, np.array([0.01, 0.75])) == []


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
