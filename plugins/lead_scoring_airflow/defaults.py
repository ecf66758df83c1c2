"""What all DAGs share: who is called, what is tried again, and how a run gets its as-of date."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, Param, RetryAction, RetryRule

from lead_scoring.catalog import load_catalog
from lead_scoring.settings import load_settings

OWNER = "lead-scoring"

_SETTINGS = load_settings()
FEATURE_SETS = list(load_catalog(_SETTINGS.config_folder).sets)
DEFAULT_FEATURE_SET = _SETTINGS.features.feature_set
DEFAULT_BUCKET_POLICY = _SETTINGS.buckets.policy

# Bad data and a check that said no are the same on the next try: fail at once, so that a person sees it within minutes.
# Everything else (a service that does not answer, a lost race, a killed worker) backs off and is tried again.
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=["lead_scoring.errors.BadInput", "lead_scoring.errors.CheckFailed"],
            action=RetryAction.FAIL,
            reason="The input or a check says no; a retry would say the same.",
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
}

# The day that a run belongs to. Of the schedule and of a backfill it is the day before the logical date: that day is
# complete, so a replay reads the same rows. Runs through REST and assets have no logical date, so `ds` is never used.
_DAY_BEFORE = "(logical_date - macros.timedelta(days=1)).date()"
RUN_DAY = "{{ " + _DAY_BEFORE + " if dag_run.run_type in ('scheduled', 'backfill') else dag_run.run_after.date() }}"
# What a run looks from. Empty, the library takes the configured default (the laptop's sample has one day) or the day of
# the run; a backfill names its days.
AS_OF = "{{ params.as_of or (" + _DAY_BEFORE + " if dag_run.run_type == 'backfill' else '') }}"
# A backfill fills the tables; what it finds is older than what Salesforce shows.
DRY_RUN = "{{ params.dry_run_sync or dag_run.run_type == 'backfill' }}"

AS_OF_PARAM = Param(
    None,
    type=["null", "string"],
    format="date",
    title="As-of date",
    description="The day the run looks at the world from. Nothing recorded later is read. Empty: the day of the run.",
)


def dry_run_param() -> Param:
    return Param(
        False,
        type="boolean",
        title="Dry-run the sync",
        description="Show what would change in Salesforce and send nothing.",
    )
