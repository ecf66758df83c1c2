from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lead_scoring_airflow.answers import given
from lead_scoring_airflow.assets import LEAD_SCORES, SALESFORCE_LEADS
from lead_scoring_airflow.links import SalesforceLink
from lead_scoring_airflow.notes import linked, tell
from lead_scoring_airflow.operators.approval import RequiredApprovalOperator
from lead_scoring_airflow.operators.stage import as_bool, emit, make_pipeline, manifest, reported_errors
from lead_scoring_airflow.salesforce_org import org

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lead_scoring.pipeline import Pipeline
    from lead_scoring.stage import Manifest


STATE_ASKED = "asked"  # how many changes the person who approves was shown; kept with the answer over the tries


class SyncSalesforceOperator(RequiredApprovalOperator):
    """Send the scores that changed to Salesforce, through Bulk API 2.0.

    The login is the Airflow connection named in the settings (``salesforce.conn_id``). When more leads than
    ``salesforce.max_bucket_change_share`` would change their bucket, the task waits for a person's approval in the UI
    before it sends anything: no answer in time is a no, and a yes holds for as many changes as were shown. Fails when
    the org rejects more rows than the settings allow; rejected rows are in the ledger with Salesforce's message.

    :param features: manifest of ``materialize_features`` (templated).
    :param published: manifest of ``publish_scores`` (templated).
    :param dry_run: show what would change and send nothing (templated).
    :param response_timeout: how long a person has to approve.
    """

    template_fields: Sequence[str] = (*RequiredApprovalOperator.template_fields, "features", "published", "dry_run")
    operator_extra_links = (SalesforceLink(),)
    ui_color = "#e8eef7"

    def __init__(
        self,
        *,
        features: Mapping[str, Any],
        published: Mapping[str, Any],
        dry_run: bool | str = False,
        response_timeout: timedelta = timedelta(hours=12),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            subject="Many leads would change their bucket in Salesforce",
            response_timeout=response_timeout,
            inlets=[LEAD_SCORES],
            outlets=[SALESFORCE_LEADS],
            **kwargs,
        )
        self.features = features
        self.published = published
        self.dry_run = dry_run
        self.salesforce_url = ""

    def execute(self, context: Context) -> dict[str, Any]:
        with reported_errors(context):
            pipeline = make_pipeline()
            retry_parked = self.cleared(context)  # after the mend: what the org refused is sent again
            plan = self._sync(context, pipeline, dry_run=True, retry_parked=retry_parked)
            if as_bool(self.dry_run):
                return plan.to_dict()
            if plan.figures["needs_approval"]:
                self.body = _question(plan)
                if given(context) is None:  # else it was asked before, with the changes of then
                    context["task_state_store"].set(STATE_ASKED, _bucket_changes(plan))
                return super().execute(context)
            return self._sync(context, pipeline, retry_parked=retry_parked).to_dict()

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        super().execute_complete(context, event)
        with reported_errors(context):
            agreed = context["task_state_store"].get(STATE_ASKED)
            return self._sync(
                context, make_pipeline(), approved_changes=agreed, retry_parked=self.cleared(context)
            ).to_dict()

    def _sync(
        self,
        context: Context,
        pipeline: Pipeline,
        *,
        dry_run: bool = False,
        approved_changes: int = 0,
        retry_parked: bool = False,
    ) -> Manifest:
        salesforce, self.salesforce_url = org(pipeline.settings.salesforce)
        tell(context["ti"], (linked("Salesforce", self.salesforce_url),))  # stays where the run is refused
        made = pipeline.sync_salesforce(
            manifest(self.features),
            manifest(self.published),
            salesforce,
            dry_run=dry_run,
            approved_changes=approved_changes,
            retry_parked=retry_parked,
        )
        self.log.info("sync%s %s: %s", " (dry run)" if dry_run else "", made.key, dict(made.counts))
        tell(context["ti"], (_told(made, self.salesforce_url),))
        emit(context, SALESFORCE_LEADS, as_of=made.as_of, sync=made.key, dry_run=dry_run, **made.counts)
        return made


def _told(made: Manifest, address: str) -> str:
    """What the run's note says of the sync."""
    counts = made.counts
    if made.figures.get("dry_run_reason"):
        return f"dry run: {counts['changed']:,} leads would change in {linked('Salesforce', address)}"
    outcomes = [f"{counts['accepted']:,} accepted", f"{counts['rejected']:,} rejected"]
    others = ("set_aside", "exhausted", "unprocessed", "parked")
    outcomes += [f"{counts[name]:,} {name.replace('_', ' ')}" for name in others if counts[name]]
    return f"{counts['sent']:,} sent to {linked('Salesforce', address)}: {', '.join(outcomes)} (sync {made.key})"


def _bucket_changes(plan: Manifest) -> int:
    """How many leads would change their bucket."""
    return sum(plan.figures["bucket_changes"].values())


def _question(plan: Manifest) -> str:
    """What the person who approves is shown, as Markdown."""
    moves = "\n".join(f"- {move}: {count:,} leads" for move, count in plan.figures["bucket_changes"].items())
    share = plan.figures["bucket_change_share"]
    return f"{share:.1%} of {plan.counts['leads']:,} leads would change their bucket:\n\n{moves}\n\nSend them?"
