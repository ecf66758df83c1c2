"""A package is complete, its version follows from its bytes and its day, and its card says where figures come from."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import xgboost as xgb

from lead_scoring.model.calibrators import FITTERS, calibrator_from_dict, sigmoid
from lead_scoring.model.document_pickle import PICKLE_GLOBALS, write_document_pickle
from lead_scoring.model.native import PackageManifest, read_scorer
from lead_scoring.packaging import version_of
from tests.packaging.conftest import packaged

IDENTITY = ("model", "calibrator", "bucket_policy", "calibration_metadata", "feature_set", "as_of")


def _version(arguments: dict) -> str:
    return version_of(**{name: arguments[name] for name in IDENTITY})


def test_every_file_has_the_documents_name_and_its_digest_in_the_manifest(package_arguments) -> None:
    output = packaged(**package_arguments)
    version = output.figures["version_id"]
    assert sorted(output.files) == sorted([
        f"model_{version}.pkl", f"feature_names_{version}.json", f"calibration_lookup_{version}.csv",
        f"model_card_{version}.md", f"calibration_curves_{version}.png", f"lift_chart_{version}.png",
        f"model_{version}.ubj", f"scorer_{version}.json", f"manifest_{version}.json",
        "cloud_function_code.py", "lead_scoring/__init__.py",
    ])  # fmt: skip
    data = output.files[f"manifest_{version}.json"].read_bytes()
    assert hashlib.sha256(data).hexdigest() == output.figures["manifest_digest"]
    manifest = PackageManifest.from_bytes(data, "manifest")
    assert set(manifest.files) == set(output.files) - {f"manifest_{version}.json"}
    for name, facts in manifest.files.items():
        content = output.files[name].read_bytes()
        assert facts == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert set(output.figures["performance"]) == {
        "test_auc_roc", "test_auc_pr", "top_decile_lift", "baseline_rate", "top_decile_rate",
    }  # fmt: skip
    assert set(output.figures["calibration"]) == {"method", "brier_score"}
    names = json.loads(output.files[f"feature_names_{version}.json"].read_text())
    assert names == package_arguments["feature_set"].names


def test_a_retry_makes_the_same_bytes(package_arguments, tmp_path: Path) -> None:
    one = packaged(**package_arguments)
    (tmp_path / "again").mkdir()
    two = packaged(**{**package_arguments, "work": tmp_path / "again"})
    for name, path in one.files.items():
        assert path.read_bytes() == two.files[name].read_bytes(), name


def test_the_version_is_the_same_on_another_day_and_another_worker(package_arguments) -> None:
    here = _version(package_arguments)
    files = {name: str(package_arguments[name]) for name in IDENTITY[:4]}
    program = f"""
import datetime as dt, pathlib, pickle, time
time.time = lambda: 4102444800.0  # the clock of 2100
from lead_scoring.packaging import version_of
files = {{name: pathlib.Path(path) for name, path in {files!r}.items()}}
feature_set = pickle.loads({pickle.dumps(package_arguments["feature_set"])!r})
print(version_of(feature_set=feature_set, as_of=dt.date(2024, 12, 21), **files))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout.strip() == here == packaged(**package_arguments).figures["version_id"]


def test_a_changed_byte_policy_calibrator_or_day_gives_another_version(package_arguments, tmp_path: Path) -> None:
    versions = [_version(package_arguments)]
    versions.append(_version({**package_arguments, "as_of": dt.date(2024, 12, 22)}))
    changed = bytearray(package_arguments["model"].read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / "model.ubj").write_bytes(bytes(changed))
    versions.append(_version({**package_arguments, "model": tmp_path / "model.ubj"}))
    policy = json.loads(package_arguments["bucket_policy"].read_text())
    policy["cuts"][0] += 1e-12
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    versions.append(_version({**package_arguments, "bucket_policy": tmp_path / "policy.json"}))
    calibrator = calibrator_from_dict(json.loads(package_arguments["calibrator"].read_text())).shifted(1e-12)
    (tmp_path / "calibrator.json").write_text(json.dumps(calibrator.to_dict()))
    versions.append(_version({**package_arguments, "calibrator": tmp_path / "calibrator.json"}))
    assert len(set(versions)) == len(versions)
    assert all(version.startswith("v1-2024122") for version in versions)


def test_golden_scores_are_those_of_the_packaged_bytes(package_arguments) -> None:
    output = packaged(**package_arguments)
    version = output.figures["version_id"]
    spec = read_scorer(output.files[f"scorer_{version}.json"].read_bytes(), version, "scorer")
    booster = xgb.Booster(model_file=str(output.files[f"model_{version}.ubj"]))
    calibrator = calibrator_from_dict(spec.calibrator)
    assert len(spec.golden) >= 24
    assert any(value is None for row in spec.golden for value in row["features"].values())
    for row in spec.golden:
        values = [[np.nan if row["features"][name] is None else row["features"][name] for name in spec.feature_names]]
        data = xgb.DMatrix(np.array(values), feature_names=list(spec.feature_names))
        margin = float(booster.predict(data, output_margin=True)[0])
        assert row["margin"] == pytest.approx(margin, abs=1e-9)
        assert row["lead_score"] == pytest.approx(float(calibrator.apply(np.array([margin]))[0]), abs=1e-9)
    reference = pq.read_table(package_arguments["reference"])["margin"].to_numpy()
    assert len(spec.reference_margins) == 1001
    assert spec.reference_margins[0] == reference.min()


def test_the_pickle_has_the_documents_shape_and_needs_only_the_allowed_globals(package_arguments) -> None:
    path = package_arguments["pickle"]

    class Allowed(pickle.Unpickler):  # noqa: S301  # the allow-list is what is tested
        def find_class(self, module: str, name: str) -> object:
            assert f"{module}.{name}" in PICKLE_GLOBALS
            return super().find_class(module, name)

    with path.open("rb") as stream:
        content = Allowed(stream).load()
    assert set(content) == {"base_model", "calibrator", "calibration_method", "feature_names"}
    rows = np.random.default_rng(1).normal(size=(20, 3))
    raw = content["base_model"].predict_proba(rows)[:, 1]
    booster = xgb.Booster(model_file=str(package_arguments["model"]))
    data = xgb.DMatrix(rows, feature_names=content["feature_names"])
    margin = np.asarray(booster.predict(data, output_margin=True), dtype=np.float64)
    assert raw == pytest.approx(sigmoid(margin), abs=1e-6)
    assert content["calibrator"].predict(raw) == pytest.approx(content["calibrator"].apply(margin), abs=1e-6)


@pytest.mark.parametrize("method", list(FITTERS))
def test_pickles_of_every_calibrator_are_equal_for_equal_models(package_arguments, tmp_path: Path, method: str) -> None:
    margin = np.random.default_rng(2).normal(size=100)
    calibrator = FITTERS[method](margin, (margin > 1).astype(int))
    booster = package_arguments["model"].read_bytes()
    for name in ("one.pkl", "two.pkl"):
        write_document_pickle(tmp_path / name, booster, calibrator, package_arguments["feature_set"].names)
    assert (tmp_path / "one.pkl").read_bytes() == (tmp_path / "two.pkl").read_bytes()


def test_the_card_has_the_documents_sections_and_says_how_each_figure_was_obtained(package_arguments) -> None:
    earlier = {
        "version_id": "v1-20241120-00000000", "status": "production",
        "performance": {"test_auc_roc": 0.61, "top_decile_lift": 1.9}, "calibration": {"method": "platt"},
    }  # fmt: skip
    output = packaged(**{**package_arguments, "history": [earlier]})
    version = output.figures["version_id"]
    card = output.files[f"model_card_{version}.md"].read_text()
    for section in (
        "Model Overview", "Performance", "Calibration", "Key Features", "Training Data", "Model Architecture", "Usage",
        "Leak Audit and Findings", "Release Gate", "Limitations", "Maintenance", "Provenance", "Version History",
    ):  # fmt: skip
        assert f"\n## {section}\n" in card
    assert "Holdout: leads that neither the model nor the calibrator saw" in card
    assert "in sample" in card
    assert "accepted: better than the constant" in card
    assert "v1-20241120-00000000" in card
    assert "20241221-00c0ffee" in card
    assert " to 2024-" in card
    assert (
        "Obtained from: leads before the holdout, by margins of models that did not see them, and holdout leads."
        in card
    )
    assert "nan" not in card.lower().split()
    assert "None" not in card
    assert "the highest reference score is 0." in card
    assert "Tied within the top decile: 0.00 % of its leads" in card or "Tied within the top decile: 0.00%" in card
    assert "Algorithm:** logistic regression on quantile ranks; the XGBoost boosters were fitted too" in card
    assert re.search(r"lift below 2.5x, when the upper end of its interval is below too .here .*: not raised", card)
    assert "{" not in card.replace("{\n", "").replace('{ "', "")


def test_the_card_carries_findings_and_the_reason_they_were_accepted_with(package_arguments) -> None:
    finding = {"code": "leak_single_feature", "subject": "tenure", "message": "too good to be true", "figures": {}}
    output = packaged(**{**package_arguments, "findings": [finding], "accepted_findings": "known and harmless"})
    card = output.files[output.figures["model_card"]].read_text()
    assert "**leak_single_feature** (tenure): too good to be true" in card
    assert "Accepted, because: known and harmless" in card
    manifest = json.loads(output.files[f"manifest_{output.figures['version_id']}.json"].read_text())
    assert manifest["accepted_findings"] == "known and harmless"
    assert manifest["findings"] == [finding]


def test_the_card_lists_what_was_set_aside_and_what_each_feature_says_alone(package_arguments) -> None:
    run = {
        **package_arguments["run"],
        "counts": {"rows_in": 3100, "rows_rejected": 100, "recycled": 7, "open_twins": 12},
        "features": {
            "rejected_by_reason": {"tenure is below 0": 90, "unknown firm": 10},
            "clipped_by_feature": {"tenure": 295},
        },
    }
    leakage = {"findings": [], "features": {"tenure": {"auc": 0.71, "information_value": 0.4, "missing_share": 0.0}}}
    output = packaged(**{**package_arguments, "run": run, "leakage": leakage})
    card = output.files[output.figures["model_card"]].read_text()
    assert "Of 3,100 rows 100 were set aside by the feature contract." in card
    assert "| tenure is below 0 | 90 |" in card
    assert "7 recycled leads, whose call lies before their contact, are among these." in card
    assert "12 of the leads to score share their advisor with another open lead." in card
    assert "Extreme values that count as the end of their range: `tenure` 295." in card
    assert "| `tenure` | 0.710 | 0.400 | 0.000 |" in card


def test_the_card_says_when_a_baseline_wins(package_arguments, tmp_path: Path) -> None:
    report = json.loads(package_arguments["training_report"].read_text())
    report["baselines"]["sentence"] = "The logistic regression beats the booster, beyond noise."
    (tmp_path / "report.json").write_text(json.dumps(report))
    output = packaged(**{**package_arguments, "training_report": tmp_path / "report.json"})
    assert "The logistic regression beats the booster" in output.files[output.figures["model_card"]].read_text()
