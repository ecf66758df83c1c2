from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lead_scoring_airflow.assets import SALESFORCE_LEADS
from lead_scoring_airflow.links import SalesforceLink
from lead_scoring_airflow.notes import linked
from lead_scoring_airflow.operators.approval import XCOM_QUESTION
from lead_scoring_airflow.operators.stage import StageOperator, emit, manifest
from lead_scoring_airflow.salesforce_org import org

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lead_scoring.pipeline import Pipeline
    from lead_scoring.stage import Manifest

EXAMPLES = 2  # leads, each with all its fields: more than that nobody reads


class UndoOperator(StageOperator):
    """What both steps of an undo share. The manifest has the sync run as its key, counts and figures are those of
    ``Pipeline.sync_undo``."""

    operator_extra_links = (SalesforceLink(),)
    dry_run: bool

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.salesforce_url = ""

    def undo(self, pipeline: Pipeline, run: str) -> Manifest:
        from lead_scoring.stage import Manifest

        salesforce, self.salesforce_url = org(pipeline.settings.salesforce)
        done = pipeline.sync_undo(run, salesforce, dry_run=self.dry_run)
        return Manifest(self.task_id, run, "", {}, {}, done["counts"], done["figures"])

    def told(self, manifest: Manifest) -> Sequence[str]:
        counts = manifest.counts
        if self.dry_run:
            where = linked("Salesforce", self.salesforce_url)
            to_go = f"{counts['changed']:,} leads to go back in {where}"
            return [f"undo of sync {manifest.key}", to_go, f"{counts['left']:,} to stay as they are"]
        return [f"done: {counts['accepted']:,} accepted, {counts['rejected']:,} rejected"]


class PlanUndoOperator(UndoOperator):
    """Show what an undo would put back. Changes nothing.

    :param run: key of the sync run; empty: the newest that changed the org and was not undone (templated).
    :param reason: why, for the person who approves (templated).
    """

    template_fields: Sequence[str] = ("run", "reason")
    dry_run = True

    def __init__(self, *, run: str = "", reason: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run = run
        self.reason = reason

    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:
        from lead_scoring.text import one_line

        reason = one_line(self.reason, "reason")
        planned = self.undo(pipeline, self.run.strip() or pipeline.last_sync_run())
        question = undo_question(planned, reason)
        self.log.info("%s", question)
        context["ti"].xcom_push(key=XCOM_QUESTION, value=question)
        return planned


class UndoSyncOperator(UndoOperator):
    """Put back what the planned run changed. Doing it twice changes nothing more.

    :param planned: manifest of ``plan_undo`` (templated).
    """

    template_fields: Sequence[str] = ("planned",)
    dry_run = False

    def __init__(self, *, planned: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(outlets=[SALESFORCE_LEADS], **kwargs)
        self.planned = planned

    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:
        undone = self.undo(pipeline, manifest(self.planned).key)
        emit(context, SALESFORCE_LEADS, undo_of=undone.key, **undone.counts)
        return undone


def undo_question(planned: Manifest, reason: str) -> str:
    """What goes back, as Markdown, for the person who approves."""
    from lead_scoring.text import escape_markdown

    counts, figures = planned.counts, planned.figures
    shown = list(dict.fromkeys(row["lead_id"] for row in figures["examples"]))[:EXAMPLES]
    lines = [
        f"Sync {planned.key} wrote {counts['leads']:,} leads. {counts['changed']:,} of them get back what they had "
        f"before; {counts['left']:,} stay as they are: a person has edited them since, or a later run wrote them.",
        "",
        f"Reason: {escape_markdown(reason) or 'none given'}",
        "",
        "| field | leads |",
        "|---|---:|",
        *(f"| {field} | {leads:,} |" for field, leads in figures["by_field"].items()),
    ]
    if figures["examples"]:
        lines += ["", "| lead | field | now | goes back to |", "|---|---|---|---|"]
        lines += [
            f"| {row['lead_id']} | {row['field']} | {_value(row['from'])} | {_value(row['to'])} |"
            for row in figures["examples"]
            if row["lead_id"] in shown
        ]
    return "\n".join(lines)


def _value(value: str | None) -> str:
    from lead_scoring.text import escape_markdown, shown

    return "(empty)" if value is None else escape_markdown(shown(value, maximum=60))
