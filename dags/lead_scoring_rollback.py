"""
### Put the previous model back into production

Fill in the reason, trigger, read what `approve_rollback` shows (both models' figures and buckets, who asked, until
when), approve. The version that was in production before the present one is restored, and the registry's history says
which run asked, why, and who approved. Nothing is deleted: the present version can be promoted again.

Scores in Salesforce change with the next `lead_scoring_daily`; trigger it afterwards if they must change now.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from lead_scoring.text import MAX_CHARACTERS, pattern
from lead_scoring_airflow.defaults import DEFAULT_ARGS, OWNER_LINKS, approver_of
from lead_scoring_airflow.operators.approve_release import ApproveReleaseOperator
from lead_scoring_airflow.operators.rollback_registry import PlanRollbackOperator, RollbackRegistryOperator

with DAG(
    dag_id="lead_scoring_rollback",
    description="Restore the previous production model, after a person's approval",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,  # it runs only when somebody asks
    default_args=DEFAULT_ARGS,
    owner_links=OWNER_LINKS,
    doc_md=__doc__,
    tags=["lead-scoring", "impact/tier_1", "triage/data-science"],
    params={
        "reason": Param(
            type="string",
            minLength=5,
            maxLength=MAX_CHARACTERS,
            pattern=pattern(),
            title="Reason",
            description="Why the present model must go. The registry's history carries it.",
        ),
        "require_approval": Param(
            True, type="boolean", title="Ask for approval", description="Wait for a person before anything changes."
        ),
    },
) as dag:
    planned = PlanRollbackOperator(
        task_id="plan_rollback",
        reason="{{ params.reason }}",
        doc_md="Looks up which version would be restored, and how good both were. Changes nothing.",
    )
    approved = ApproveReleaseOperator(
        task_id="approve_rollback",
        require_approval="{{ params.require_approval }}",
        subject="Replace {{ ti.xcom_pull('plan_rollback')['figures']['from'] }} "
        "by {{ ti.xcom_pull('plan_rollback')['figures']['to'] }}?",
        body="{{ ti.xcom_pull('plan_rollback', key='question') }}",
        response_timeout=timedelta(hours=4),
        doc_md="Waits for a person. No answer in four hours is a no.",
    )
    restored = RollbackRegistryOperator(
        task_id="rollback_registry",
        planned=planned.output,
        reason="{{ params.reason }}",
        approved_by=approver_of("approve_rollback"),
        trigger_rule="none_failed",
        doc_md="One event in the registry's log. A retry does not go back a second time.",
    )

    planned >> approved >> restored
