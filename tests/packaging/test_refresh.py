"""A moved base rate asks for a new intercept: a new version of the same booster, without training."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.calibration import calibrate_stage
from lead_scoring.model.calibrators import calibrator_from_dict, sigmoid
from lead_scoring.packaging import recent_part, training_report_of
from lead_scoring.settings import load_settings
from tests.packaging.conftest import packaged

LATER = dt.date(2025, 3, 1)


@pytest.mark.parametrize("lacking", [(), ("recipe", "family")], ids=["of today", "of before families were chosen"])
def test_an_intercept_refresh_is_a_new_version_of_the_same_booster(package_arguments, tmp_path: Path, lacking) -> None:
    standing = packaged(**package_arguments)
    version = standing.figures["version_id"]
    manifest = json.loads(standing.files[f"manifest_{version}.json"].read_text())
    manifest = {name: value for name, value in manifest.items() if name not in lacking}
    scorer = json.loads(standing.files[f"scorer_{version}.json"].read_text())
    booster = standing.files[f"model_{version}.ubj"]
    report = tmp_path / "training_report.json"
    leads = pa.table({"pit_date": [dt.date(2025, 1, 2), dt.date(2025, 2, 3)], "target": [0, 1]})
    report.write_text(json.dumps(training_report_of(manifest, scorer, recent_part(leads))))
    before = calibrator_from_dict(scorer["calibrator"])

    generator = np.random.default_rng(8)
    margin = pq.read_table(package_arguments["reference"])["margin"].to_numpy()
    target = (generator.random(len(margin)) < sigmoid(margin + 0.5)).astype(np.int8)  # the base rate went up
    recent = tmp_path / "recent.parquet"
    pq.write_table(
        pa.table({
            "lead_id": [f"lead-{number}" for number in range(len(margin))],
            "split": ["calibration"] * len(margin),
            "margin": margin,
            "target": target,
        }),
        recent,
    )
    settings = load_settings(environment={})
    (tmp_path / "refreshed").mkdir()
    refreshed = calibrate_stage(
        recent,
        booster,
        report,
        feature_set=package_arguments["feature_set"],
        as_of=LATER,
        calibration=dataclasses.replace(settings.calibration, bootstrap=50),
        buckets=settings.buckets,
        work=tmp_path / "refreshed",
        standing=before,
    )
    (tmp_path / "new").mkdir()
    made = refreshed.files
    output = packaged(**{
        **package_arguments,
        "calibrator": made["calibrator.json"],
        "bucket_policy": made["bucket_policy.json"],
        "calibration_metadata": made["calibration_metadata.json"],
        "training_report": report,
        "lookup": made["calibration_lookup_table.csv"],
        "curves": made["calibration_curves.png"],
        "lift_chart": made["lift_chart.png"],
        "pickle": made["calibrated_model.pkl"],
        "reference": made["reference.parquet"],
        "as_of": LATER,
        "leakage": None,
        "work": tmp_path / "new",
    })
    new = output.figures["version_id"]
    assert new != version
    assert new.startswith("v1-20250301-")
    assert output.files[f"model_{new}.ubj"].read_bytes() == booster.read_bytes()
    after = calibrator_from_dict(json.loads(made["calibrator.json"].read_text()))
    assert after.apply(margin).mean() == pytest.approx(target.mean(), abs=1e-9)
    assert np.array_equal(np.argsort(after.apply(margin)), np.argsort(before.apply(margin)))
    card = output.files[output.figures["model_card"]].read_text()
    assert "Only the intercept was refreshed" in card
    assert "Intercept only: every score moved by +0." in card
    assert refreshed.figures["evaluation"]["how"] == "in_sample"
    assert refreshed.figures["evaluation"]["intercept"]["value"] == pytest.approx(0.0, abs=1e-6)
    assert "The leak tripwire was not run: nothing was trained for this version." in card
    assert "| recent: intercept only | 2 | 1 | 2025-01-02 to 2025-02-03 |" in card
    assert "Of 3,000 rows of the recent leads 0 were set aside" in card
    assert "the figures are not out of time" in card
