"""From margins to probabilities: compare the calibrators honestly, choose the simplest that holds, write its files."""

from __future__ import annotations

from lead_scoring.calibration.bucket_check import bucket_findings, bucket_table, empty_buckets
from lead_scoring.calibration.compare import (
    DOCUMENT,
    ONE_STANDARD_ERROR,
    RULES,
    Calibration,
    NothingBeatsTheConstant,
    calibrate,
)
from lead_scoring.calibration.refresh import refresh_intercept
from lead_scoring.calibration.release import calibrate_stage
from lead_scoring.calibration.scores_file import calibrate_scores_file

__all__ = [
    "DOCUMENT",
    "ONE_STANDARD_ERROR",
    "RULES",
    "Calibration",
    "NothingBeatsTheConstant",
    "bucket_findings",
    "bucket_table",
    "calibrate",
    "calibrate_scores_file",
    "calibrate_stage",
    "empty_buckets",
    "refresh_intercept",
]
