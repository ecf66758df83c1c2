from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lead_scoring_airflow.links import ModelCardLink
from lead_scoring_airflow.notes import linked
from lead_scoring_airflow.operators.stage import StageOperator, manifest

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lead_scoring.pipeline import Pipeline
    from lead_scoring.stage import Manifest


class HashVersionOperator(StageOperator):
    """Compute the version id, judge the challenger against the champion, publish the package.

    :param features: manifest of ``materialize_features`` (templated).
    :param trained: manifest of ``train_model`` (templated).
    :param calibrated: manifest of ``calibrate_model`` (templated).
    :param accept_findings: why findings were accepted; the model card carries it (templated).
    """

    template_fields: Sequence[str] = ("features", "trained", "calibrated", "accept_findings")
    operator_extra_links = (ModelCardLink(),)

    def __init__(
        self,
        *,
        features: Mapping[str, Any],
        trained: Mapping[str, Any],
        calibrated: Mapping[str, Any],
        accept_findings: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.features = features
        self.trained = trained
        self.calibrated = calibrated
        self.accept_findings = accept_findings
        self.model_card_url = ""

    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:
        packaged = pipeline.hash_version(
            manifest(self.features),
            manifest(self.trained),
            manifest(self.calibrated),
            accept_findings=self.accept_findings,
        )
        self.model_card_url = pipeline.model_card_url(packaged.figures["version_id"])
        return packaged

    def told(self, manifest: Manifest) -> Sequence[str]:
        return (linked(manifest.figures["version_id"], self.model_card_url),)
