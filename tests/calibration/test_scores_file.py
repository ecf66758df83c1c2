"""What a file of scores may hold, and what is said when it holds something else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from lead_scoring.calibration import calibrate_scores_file
from lead_scoring.errors import BadInput, NotFound
from lead_scoring.model.calibrators import calibrator_from_dict, raw_to_margin, sigmoid


def _write(path: Path, raw: object, target: object) -> Path:
    lines = ["raw_score,target", *(f"{score},{label}" for score, label in zip(raw, target, strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def scored(leads) -> tuple[np.ndarray, np.ndarray]:
    margin, target = leads()
    return sigmoid(margin), target


def test_the_in_sample_table_is_what_the_documents_code_computes(tmp_path, scored, calibration_settings) -> None:
    raw, target = scored
    found = calibrate_scores_file(_write(tmp_path / "s.csv", raw, target), calibration_settings)
    rows = {row["method"]: row for row in found["in_sample"]["rows"]}
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(raw, target).predict(raw)
    platt = LogisticRegression().fit(raw.reshape(-1, 1), target).predict_proba(raw.reshape(-1, 1))[:, 1]
    for method, probability in (("isotonic", isotonic), ("platt", platt)):
        assert rows[method]["brier"] == pytest.approx(brier_score_loss(target, probability), abs=1e-12)
        assert rows[method]["log_loss"] == pytest.approx(log_loss(target, probability), abs=1e-12)


def test_a_parquet_file_says_the_same_and_the_files_are_written_twice_alike(
    tmp_path, scored, calibration_settings
) -> None:
    raw, target = scored
    pq.write_table(pa.table({"raw_score": raw, "target": target}), tmp_path / "s.parquet")
    one = calibrate_scores_file(tmp_path / "s.parquet", calibration_settings, out=tmp_path / "one")
    two = calibrate_scores_file(_write(tmp_path / "s.csv", raw, target), calibration_settings, out=tmp_path / "two")
    assert one["cross_fit"] == two["cross_fit"]
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [
        "calibration_curves.png", "calibration_lookup_table.csv", "calibration_metadata.json", "calibrator.json",
        "lift_chart.png",
    ]  # fmt: skip
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert (tmp_path / "one" / "calibration_curves.png").read_bytes()[:4] == b"\x89PNG"


def test_only_the_intercept_moves_when_the_base_rate_moved(tmp_path, leads, calibration_settings) -> None:
    margin, target = leads(seed=1)
    calibrate_scores_file(
        _write(tmp_path / "old.csv", sigmoid(margin), target), calibration_settings, out=tmp_path / "old"
    )
    later, outcome = leads(seed=2, n=4000, intercept=-2.6)
    found = calibrate_scores_file(
        _write(tmp_path / "new.csv", sigmoid(later), outcome),
        calibration_settings,
        intercept_of=tmp_path / "old" / "calibrator.json",
    )
    before = calibrator_from_dict(json.loads((tmp_path / "old" / "calibrator.json").read_text()))
    after = calibrator_from_dict(found["calibrator"])
    assert found["refresh"]["shift_log_odds"] == pytest.approx(0.6, abs=0.2)
    assert found["refresh"]["log_loss_after"] < found["refresh"]["log_loss_before"]
    assert after.predict(sigmoid(later)).mean() == pytest.approx(outcome.mean(), abs=1e-6)
    assert np.array_equal(np.argsort(before.apply(later)), np.argsort(after.apply(later)))


BAD = {
    "a score above 1": (lambda raw, target: (np.r_[1.2, raw[1:]], target), r"raw_score in .* is 1.2 in row 1; .*1 of"),
    "a negative score": (lambda raw, target: (np.r_[raw[:-1], -0.1], target), "is -0.1 in row 1200"),
    "NaN": (lambda raw, target: (np.r_[np.nan, raw[1:]], target), r"empty in 1 of|is nan in row 1; it must be finite"),
    "infinity": (lambda raw, target: (np.r_[np.inf, raw[1:]], target), r"is inf in row 1; it must be finite"),
    "one class": (lambda raw, target: (raw, np.zeros_like(target)), "is 0 in all 1200 rows; it needs both classes"),
    "only the other class": (lambda raw, target: (raw, np.ones_like(target)), "is 1 in all 1200 rows"),
    "few conversions": (
        lambda raw, target: (raw, (np.arange(1200) < 9).astype(int)),
        r"has 9 conversions .*at least 10.*calibration.minimum_positives",
    ),
    "few others": (lambda raw, target: (raw, (np.arange(1200) >= 9).astype(int)), "has 9 leads with target 0"),
    "a constant": (
        lambda raw, target: (np.full(1200, 0.3), target),
        "is 0.3 in all 1200 rows; a constant ranks nothing",
    ),
    "a label of 2": (lambda raw, target: (raw, np.r_[2, target[1:]]), "is 2 in row 1; it must be 0 or 1 .1 of 1200"),
    "text as a score": (
        lambda raw, target: (["hot", *raw[1:]], target),
        "'raw_score' of .*'hot'.*must be a number",
    ),
    "text as a label": (
        lambda raw, target: (raw, ["yes", *target[1:]]),
        "'target' of .*'yes'.*must be 0, 1",
    ),
    "an empty score": (lambda raw, target: (["", *raw[1:]], target), "raw_score in .* is empty in 1 of 1200 rows"),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("case", list(BAD))
def test_bad_input_is_refused_in_one_line_with_value_count_and_remedy(
    tmp_path, scored, calibration_settings, case: str, kind: str
) -> None:
    change, message = BAD[case]
    raw, target = change(*scored)
    if kind == "csv":
        path = _write(tmp_path / "s.csv", raw, target)
    else:
        path = tmp_path / "s.parquet"
        columns = [[None if item == "" else item for item in column] for column in (raw, target)]
        if any(isinstance(item, str) for item in columns[0]):
            columns[0] = [str(item) for item in columns[0]]
        if any(isinstance(item, str) for item in columns[1]):
            columns[1] = [str(item) for item in columns[1]]
        pq.write_table(pa.table(dict(zip(("raw_score", "target"), columns, strict=True))), path)
    with pytest.raises(BadInput, match=message) as refused:
        calibrate_scores_file(path, calibration_settings)
    assert "\n" not in str(refused.value)


def test_a_missing_file_a_missing_column_and_a_file_without_rows_are_named(tmp_path, calibration_settings) -> None:
    with pytest.raises(NotFound, match=r"nowhere.csv does not exist"):
        calibrate_scores_file(tmp_path / "nowhere.csv", calibration_settings)
    (tmp_path / "s.csv").write_text("score,target\n0.1,0\n")
    with pytest.raises(BadInput, match="no column 'raw_score'"):
        calibrate_scores_file(tmp_path / "s.csv", calibration_settings)
    (tmp_path / "s.csv").write_text("raw_score,target\n")
    with pytest.raises(BadInput, match="0 rows"):
        calibrate_scores_file(tmp_path / "s.csv", calibration_settings)
    (tmp_path / "s.parquet").write_text("not parquet")
    with pytest.raises(BadInput, match="is not a Parquet file: it holds text"):
        calibrate_scores_file(tmp_path / "s.parquet", calibration_settings)


def test_a_calibrator_file_that_is_not_one_is_named(tmp_path, scored, calibration_settings) -> None:
    path = _write(tmp_path / "s.csv", *scored)
    with pytest.raises(NotFound, match="does not exist"):
        calibrate_scores_file(path, calibration_settings, intercept_of=tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(BadInput, match="not JSON"):
        calibrate_scores_file(path, calibration_settings, intercept_of=tmp_path / "bad.json")


def test_saturated_scores_are_calibrated_and_stay_inside_zero_and_one(tmp_path, scored, calibration_settings) -> None:
    raw, target = scored
    raw = np.r_[0.0, 1.0, raw[2:]]
    found = calibrate_scores_file(_write(tmp_path / "s.csv", raw, target), calibration_settings)
    scores = calibrator_from_dict(found["calibrator"]).apply(raw_to_margin(raw))
    assert np.all((scores > 0) & (scores < 1))


def test_a_column_twice_and_an_outcome_that_is_a_time_are_refused(tmp_path, calibration_settings) -> None:
    (tmp_path / "twice.csv").write_text("raw_score,target,target\n" + "0.1,0,0\n0.2,1,1\n" * 20)
    with pytest.raises(BadInput, match="'target' stands in the table twice"):
        calibrate_scores_file(tmp_path / "twice.csv", calibration_settings)
    times = pa.array([0, 1] * 20, pa.timestamp("us"))
    pq.write_table(pa.table({"raw_score": [0.1, 0.2] * 20, "target": times}), tmp_path / "times.parquet")
    with pytest.raises(BadInput, match="'target' of scores file .* is of type TIMESTAMP.*; it must be 0, 1"):
        calibrate_scores_file(tmp_path / "times.parquet", calibration_settings)
