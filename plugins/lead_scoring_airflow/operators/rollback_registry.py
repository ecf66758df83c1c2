from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lead_scoring_airflow.assets import PRODUCTION_MODEL
from lead_scoring_airflow.links import ModelCardLink
from lead_scoring_airflow.notes import linked
from lead_scoring_airflow.operators.approval import XCOM_QUESTION
from lead_scoring_airflow.operators.stage import StageOperator, emit, manifest

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lead_scoring.pipeline import Pipeline
    from lead_scoring.stage import Manifest


class PlanRollbackOperator(StageOperator):
    """Look up which version a rollback would restore, for the person who approves it.

    :param reason: why, for that person (templated). Refused here already if it is not one printable line.
    """

    template_fields: Sequence[str] = ("reason",)
    operator_extra_links = (ModelCardLink(),)

    def __init__(self, *, reason: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reason = reason
        self.model_card_url = ""

    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:
        from lead_scoring.text import one_line

        reason = one_line(self.reason, "reason", required=True)
        planned = pipeline.plan_rollback()
        self.model_card_url = pipeline.model_card_url(planned.figures["to"])
        context["ti"].xcom_push(key=XCOM_QUESTION, value=rollback_question(planned, reason))
        return planned

    def told(self, manifest: Manifest) -> Sequence[str]:
        return (f"from {manifest.figures['from']} back to {linked(manifest.figures['to'], self.model_card_url)}",)


class RollbackRegistryOperator(StageOperator):
    """Put the planned version back into production. A retry does not go back a second time.

    :param planned: manifest of ``plan_rollback`` (templated).
    :param reason: why, for the registry's history (templated).
    :param approved_by: who said yes; empty if nobody was asked (templated).
    """

    template_fields: Sequence[str] = ("planned", "reason", "approved_by")
    operator_extra_links = (ModelCardLink(),)

    def __init__(self, *, planned: Mapping[str, Any], reason: str, approved_by: str = "", **kwargs: Any) -> None:
        super().__init__(outlets=[PRODUCTION_MODEL], **kwargs)
        self.planned = planned
        self.reason = reason
        self.approved_by = approved_by
        self.model_card_url = ""

    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:
        run = f"{context['dag_run'].dag_id}/{context['dag_run'].run_id}"
        restored = pipeline.rollback(
            manifest(self.planned), actor=run, reason=self.reason, request=run, approved_by=self.approved_by
        )
        figures = restored.figures
        self.model_card_url = pipeline.model_card_url(figures["version"])
        emit(context, PRODUCTION_MODEL, as_of=restored.as_of, version=figures["version"], **figures["performance"])
        return restored

    def told(self, manifest: Manifest) -> Sequence[str]:
        return ("done",)


def rollback_question(planned: Manifest, reason: str) -> str:
    """Both models beside each other, as Markdown, for the person who approves."""
    from lead_scoring.text import escape_markdown

    models = planned.figures["models"]
    rows = [
        ("as of", [model["as_of"] for model in models]),
        ("judged on", [_judged_on(model) for model in models]),
        ("AUC-ROC", [_figure(model["auc_roc"], ".3f") for model in models]),
        ("log loss", [_figure(model["log_loss"], ".4f") for model in models]),
        ("lift of the best tenth", [_figure(model["top_decile_lift"], ".1f") for model in models]),
    ]
    buckets = [{row["bucket"]: row for row in model["buckets"]} for model in models]
    names = dict.fromkeys(name for found in buckets for name in found)
    rows += [(name, [_bucket(found.get(name)) for found in buckets]) for name in names]
    lines = [
        f"| | in production: {planned.figures['from']} | restored: {planned.figures['to']} |",
        "|---|---|---|",
        *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows),
        "",
        "Each model was judged when it was released, on leads of its own time: a small difference says nothing.",
        "",
        f"Reason: {escape_markdown(reason)}",
    ]
    return "\n".join(lines)


def _judged_on(model: Mapping[str, Any]) -> str:
    if model["n"] is None:
        return "unknown"
    return f"{model['n']:,} leads, {model['positives']:,.0f} conversions ({model['how']})"


def _figure(found: Mapping[str, float] | None, form: str) -> str:
    return f"{found['value']:{form}} ({found['low']:{form}} to {found['high']:{form}})" if found else "unknown"


def _bucket(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "none"
    rate = "unknown" if row["rate"] is None else f"{row['rate']:.1%}"
    return f"{row['share']:.1%} of the leads, {rate} of them convert"
