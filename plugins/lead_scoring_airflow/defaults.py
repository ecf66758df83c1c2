"""What all DAGs share: who is called, what is tried again, and how a run gets its as-of date."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, Param, RetryAction, RetryRule

from lead_scoring.catalog import load_catalog
from lead_scoring.settings import load_settings
from lead_scoring.text import pattern

OWNER = "lead-scoring"

_SETTINGS = load_settings()
FEATURE_SETS = list(load_catalog(_SETTINGS.config_folder).sets)
DEFAULT_FEATURE_SET = _SETTINGS.features.feature_set
DEFAULT_BUCKET_POLICY = _SETTINGS.buckets.policy
OWNER_LINKS = {OWNER: _SETTINGS.oncall.owner_address} if _SETTINGS.oncall.owner_address else {}

# Bad data and a check that said no are the same on the next try: fail at once, so that a person sees it within minutes.
# Everything else (a service that does not answer, a lost race, a killed worker) backs off and is tried again.
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=["lead_scoring.errors.BadInput", "lead_scoring.errors.CheckFailed"],
            action=RetryAction.FAIL,
            reason="The input or a check says no; a retry would say the same.",
        ),
        RetryRule(
            exception=["airflow.sdk.exceptions.AirflowNotFoundException"],
            action=RetryAction.FAIL,
            reason="A connection is missing; a retry would miss it too.",
        ),
    ]
)

DEFAULT_ARGS: dict[str, Any] = {
    "owner": OWNER,
    "retries": 3,
    "retry_delay": timedelta(seconds=15),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": RETRY_POLICY,
    "execution_timeout": timedelta(hours=2),
    "weight_rule": "absolute",  # else the first tasks of a run come before the last ones of another
    "priority_weight": 1,
}

# The day (UTC) that a run belongs to. A run by hand, through REST or by an asset may have no logical date, or any.
RUN_DAY = "{{ (logical_date if dag_run.run_type in ('scheduled', 'backfill') else dag_run.run_after).date() }}"
# What a run looks from. Empty, the library takes the configured default (the laptop's sample has one day) or the last
# complete day; a backfill names its days.
AS_OF = (
    "{{ params.as_of or ((logical_date - macros.timedelta(days=1)).date() if dag_run.run_type == 'backfill' else '') }}"
)
# A backfill fills the tables; what it finds is older than what Salesforce shows.
DRY_RUN = "{{ params.dry_run_sync or dag_run.run_type == 'backfill' }}"

AS_OF_PARAM = Param(
    None,
    type=["null", "string"],
    format="date",
    title="As-of date",
    description="The day the run looks at the world from. Nothing recorded later is read. "
    "Empty: the last complete day (UTC).",
)


def text_param(title: str, description: str, *, maximum: int = 500) -> Param:
    """A line of printable text that may stay empty.

    Empty is None and not "": Airflow's form takes an empty default text for a required field that nobody filled in,
    and keeps its Trigger button grey.
    """
    return Param(
        None,
        type=["null", "string"],
        maxLength=maximum,
        pattern=pattern(maximum),
        title=title,
        description=description,
    )


def dry_run_param() -> Param:
    return Param(
        False,
        type="boolean",
        title="Dry-run the sync",
        description="Show what would change in Salesforce and send nothing.",
    )


def approver_of(task_id: str) -> str:
    """The name of who said yes to an approval, empty if nobody was asked (a template)."""
    return f"{{{{ ((ti.xcom_pull('{task_id}') or {{}}).get('responded_by_user') or {{}}).get('name', '') }}}}"


def figures_of(task_id: str) -> str:
    """The document's figures of the model that a task returned, as a Markdown list (a template) for who approves it."""
    template = """{% set found = ti.xcom_pull('TASK')['figures']['performance'] -%}
- AUC-ROC {{ '%.3f' | format(found.test_auc_roc) if found.test_auc_roc is not none else 'unknown' }}
- AUC-PR {{ '%.3f' | format(found.test_auc_pr) if found.test_auc_pr is not none else 'unknown' }}
{% if found.top_decile_rate is not none -%}
- The best tenth converts at {{ '%.1f' | format(100 * found.top_decile_rate) }} %, \
{{ '%.1f' | format(found.top_decile_lift) }} times the rate of all, {{ '%.1f' | format(100 * found.baseline_rate) }} %
{% endif -%}
"""
    return template.replace("TASK", task_id)
