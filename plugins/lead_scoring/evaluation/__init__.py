"""One definition of every figure that the product reports: ranking, calibration, intervals, drift.

Everything takes float64 arrays of shape (n,): a margin (log-odds) or a probability, and a target of 0 and 1.
"""

from __future__ import annotations

from lead_scoring.evaluation.bootstrap import bootstrap_interval, paired_bootstrap, paired_bootstraps, resamples_for
from lead_scoring.evaluation.drift import information_value, single_feature_auc
from lead_scoring.evaluation.metrics import auc_pr, auc_roc, brier, constant_log_loss, log_loss, skill
from lead_scoring.evaluation.ranking import deciles, lift, top_rate
from lead_scoring.evaluation.reliability import ece, ece_noise_floor, reliability, slope_intercept, wilson
from lead_scoring.evaluation.summary import evaluate, segments

__all__ = [
    "auc_pr",
    "auc_roc",
    "bootstrap_interval",
    "brier",
    "constant_log_loss",
    "deciles",
    "ece",
    "ece_noise_floor",
    "evaluate",
    "information_value",
    "lift",
    "log_loss",
    "paired_bootstrap",
    "paired_bootstraps",
    "reliability",
    "resamples_for",
    "segments",
    "single_feature_auc",
    "skill",
    "slope_intercept",
    "top_rate",
    "wilson",
]
