from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lead_scoring_airflow.operators.stage import StageOperator, manifest

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lead_scoring.pipeline import Pipeline
    from lead_scoring.stage import Manifest


class CalibrateModelOperator(StageOperator):
    """Choose a calibrator by cross-fitting, freeze the bucket policy, write ``models/calibrated/``.

    :param features: manifest of ``materialize_features`` (templated).
    :param trained: manifest of ``train_model`` (templated).
    :param bucket_policy: ``lift``, ``absolute`` or ``capacity``; empty for the configured one (templated).
    :param accept_findings: why degenerate buckets are accepted; empty stops the release (templated).
    """

    template_fields: Sequence[str] = ("features", "trained", "bucket_policy", "accept_findings")

    def __init__(
        self,
        *,
        features: Mapping[str, Any],
        trained: Mapping[str, Any],
        bucket_policy: str = "",
        accept_findings: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.features = features
        self.trained = trained
        self.bucket_policy = bucket_policy
        self.accept_findings = accept_findings

    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:
        return pipeline.calibrate_model(
            manifest(self.features),
            manifest(self.trained),
            bucket_policy=self.bucket_policy,
            accept_findings=self.accept_findings,
        )
