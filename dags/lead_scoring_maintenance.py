"""
### Remove what nobody needs any more, once a week

Drops partitions that are past their table's `keep_days` (`include/sql/<table>/schema.yaml`) and removes from the runs
store what the stages published longer than `storage.keep_runs_days` ago. What the production model, a rollback, an
undo, an interrupted sync or `lead-scoring why` still needs stays.

The log of `tidy` lists what went; trigger with `dry_run` to see what would go. On a terminal: `lead-scoring tidy`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, CronTriggerTimetable, Param

from lead_scoring_airflow.defaults import DEFAULT_ARGS, OWNER_LINKS
from lead_scoring_airflow.operators.tidy import TidyOperator

with DAG(
    dag_id="lead_scoring_maintenance",
    description="Drop old runs and partitions that nobody needs any more",
    schedule=CronTriggerTimetable("0 12 * * 0", timezone="UTC"),  # Sundays, hours after the daily run
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    owner_links=OWNER_LINKS,
    doc_md=__doc__,
    tags=["lead-scoring", "impact/tier_3", "triage/data-engineering"],
    params={
        "dry_run": Param(False, type="boolean", title="Only look", description="Say what would go and remove nothing.")
    },
) as dag:
    TidyOperator(
        task_id="tidy",
        dry_run="{{ params.dry_run }}",
        doc_md="Removes old runs and partitions. A retry goes on where the attempt before it stopped.",
    )
