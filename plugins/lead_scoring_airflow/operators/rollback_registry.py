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


class PlanRollbackOperator(StageOperator):
    """Look up which version a rollback would restore, for the person who approves it."""

    operator_extra_links = (ModelCardLink(),)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_card_url = ""

    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:  # noqa: ARG002
        planned = pipeline.plan_rollback()
        self.model_card_url = pipeline.model_card_url(planned.figures["to"])
        return planned

    def told(self, manifest: Manifest) -> Sequence[str]:
        return (f"from {manifest.figures['from']} back to {linked(manifest.figures['to'], self.model_card_url)}",)


class RollbackRegistryOperator(StageOperator):
    """Put the planned version back into production. A retry does not go back a second time.

    :param planned: manifest of ``plan_rollback`` (templated).
    :param reason: why, for the registry's history (templated).
    """

    template_fields: Sequence[str] = ("planned", "reason")
    operator_extra_links = (ModelCardLink(),)

    def __init__(self, *, planned: Mapping[str, Any], reason: str, **kwargs: Any) -> None:
        super().__init__(outlets=[PRODUCTION_MODEL], **kwargs)
        self.planned = planned
        self.reason = reason
        self.model_card_url = ""

    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:
        run = f"{context['dag_run'].dag_id}/{context['dag_run'].run_id}"
        restored = pipeline.rollback(manifest(self.planned), actor=run, reason=self.reason, request=run)
        figures = restored.figures
        self.model_card_url = pipeline.model_card_url(figures["version"])
        emit(context, PRODUCTION_MODEL, as_of=restored.as_of, version=figures["version"], **figures["performance"])
        return restored

    def told(self, manifest: Manifest) -> Sequence[str]:
        return ("done",)
