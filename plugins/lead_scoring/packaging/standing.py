"""What a standing package knows about its training: enough to package its booster again with a new intercept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEPT = ("split", "parameters", "search", "baselines", "in_sample", "segments", "importance")


def training_report_of(manifest: Mapping[str, Any], scorer: Mapping[str, Any]) -> dict[str, Any]:
    """The training report as ``package`` and ``calibrate_stage`` read it.

    :param manifest: parsed ``manifest_<v>.json``. :param scorer: parsed ``scorer_<v>.json`` of the same version.
    """
    report = {name: manifest[name] for name in KEPT}
    report["golden"] = [lead["features"] for lead in scorer["golden"]]
    report["libraries"] = manifest["libraries"]
    return report
