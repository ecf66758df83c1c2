from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lead_scoring_airflow.assets import PRODUCTION_MODEL
from lead_scoring_airflow.links import ModelCardLink
from lead_scoring_airflow.notes import linked
from lead_scoring_airflow.operators.stage import StageOperator, emit, manifest

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lead_scoring.pipeline import Pipeline
    from lead_scoring.stage import Manifest


class UpdateRegistryOperator(StageOperator):
    """Register the package and make it the champion if the gate agrees.

    :param packaged: manifest of ``hash_version`` (templated).
    :param trained: manifest of ``train_model``: its holdout is what the gate judges on (templated).
    :param calibrated: manifest of ``calibrate_model`` (templated).
    :param reason: why, for the registry's history (templated).
    :param approved_by: who said yes to the release, seeing the gate's verdict; empty if nobody was asked (templated).
    """

    template_fields: Sequence[str] = ("packaged", "trained", "calibrated", "reason", "approved_by")
    operator_extra_links = (ModelCardLink(),)

    def __init__(
        self,
        *,
        packaged: Mapping[str, Any],
        trained: Mapping[str, Any],
        calibrated: Mapping[str, Any],
        reason: str,
        approved_by: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(outlets=[PRODUCTION_MODEL], **kwargs)
        self.packaged = packaged
        self.trained = trained
        self.calibrated = calibrated
        self.reason = reason
        self.approved_by = approved_by
        self.model_card_url = ""

    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:
        run = context["dag_run"]
        registered = pipeline.update_registry(
            manifest(self.packaged),
            manifest(self.trained),
            manifest(self.calibrated),
            actor=f"{run.dag_id}/{run.run_id}",
            reason=self.reason,
            request=f"{run.dag_id}/{run.run_id}",
            approved_by=self.approved_by,
        )
        figures = registered.figures
        self.model_card_url = pipeline.model_card_url(figures["version"])
        emit(context, PRODUCTION_MODEL, as_of=registered.as_of, version=figures["version"], **figures["performance"])
        return registered

    def told(self, manifest: Manifest) -> Sequence[str]:
        return (linked(manifest.figures["version"], self.model_card_url), manifest.figures["status"])
