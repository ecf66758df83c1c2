"""
### Take a sync with Salesforce back

For the morning on which the org shows what it should not. Trigger it as the form opens: a **dry run** for the newest
sync, which changes nothing. Its note says how many leads would go back, the log of `plan_undo` by which fields, with
examples. Then trigger it again with the dry run switched off: `approve_undo` shows the same to a person, and after the
yes each lead gets back what it had before that run, field by field.

What somebody has edited since stays as it is, and so does a lead that a later run wrote: take later runs back first.
The next `lead_scoring_daily` sends its scores again: pause it, or roll the model back (`lead_scoring_rollback`) if the
model was the reason.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from lead_scoring_airflow.defaults import DEFAULT_ARGS, OWNER_LINKS, text_param
from lead_scoring_airflow.delivery import SYNC_FIRST
from lead_scoring_airflow.operators.approve_release import ApproveReleaseOperator
from lead_scoring_airflow.operators.undo_sync import PlanUndoOperator, UndoSyncOperator

with DAG(
    dag_id="lead_scoring_undo",
    description="Put back what a sync changed in Salesforce, after a person's approval",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,  # it runs only when somebody asks
    default_args=DEFAULT_ARGS,
    owner_links=OWNER_LINKS,
    doc_md=__doc__,
    tags=["lead-scoring", "impact/tier_1", "triage/sales-ops"],
    params={
        "run": text_param(
            "Sync run",
            "Its key, from the note of the run that sent it or from `lead-scoring sync status`. "
            "Empty: the newest that was not taken back.",
            maximum=100,
        ),
        "dry_run": Param(
            True, type="boolean", title="Dry run", description="Show what would go back and change nothing."
        ),
        "reason": text_param("Reason", "Why, for the person who approves."),
    },
) as dag:
    planned = PlanUndoOperator(
        task_id="plan_undo",
        run="{{ params.run or '' }}",
        reason="{{ params.reason or '' }}",
        doc_md="Which run, how many leads by field, a few examples: in its log. Changes nothing.",
    )
    approved = ApproveReleaseOperator(
        task_id="approve_undo",
        require_approval="{{ not params.dry_run }}",
        subject="Take sync {{ ti.xcom_pull('plan_undo')['key'] }} back?",
        body="{{ ti.xcom_pull('plan_undo', key='question') }}",
        response_timeout=timedelta(hours=4),
        doc_md="Skipped in a dry run. No answer in four hours is a no.",
    )
    undone = UndoSyncOperator(
        task_id="undo_sync",
        planned=planned.output,
        pool="salesforce",
        priority_weight=SYNC_FIRST,
        doc_md="Puts the values back. `salesforce_sync_log` has it as the run `undo-KEY`. Skipped in a dry run.",
    )

    planned >> approved >> undone
