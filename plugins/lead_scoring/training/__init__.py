"""Fit the families of models on past leads, and say how well each ranks leads it never saw."""

from __future__ import annotations

from lead_scoring.training.fit import train

__all__ = ["train"]
