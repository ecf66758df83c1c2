from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lead_scoring_airflow.operators.stage import StageOperator, manifest

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lead_scoring.pipeline import Pipeline
    from lead_scoring.stage import Manifest


class TrainModelOperator(StageOperator):
    """Look for leaks, then fit the booster and the baselines on the labelled leads.

    :param features: manifest of ``materialize_features`` (templated).
    :param accept_findings: why a leak finding is accepted; empty stops the release on a finding (templated).
    """

    template_fields: Sequence[str] = ("features", "accept_findings")

    def __init__(self, *, features: Mapping[str, Any], accept_findings: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.features = features
        self.accept_findings = accept_findings

    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:
        return pipeline.train_model(manifest(self.features), accept_findings=self.accept_findings)
