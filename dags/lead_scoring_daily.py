"""
### Score everyone with the champion, every morning

Computes today's features for every lead that can still convert, scores them with the version that the registry has in
production, publishes the scores and sends what changed to Salesforce. The version is looked up once, by
`materialize_features`, so a release in the middle of a run does not mix two models.

**Switching it on runs the last missed morning at once, and sends.** Airflow starts the run of the most recent 05:00 UTC
as soon as the switch is on. The Trigger form switches it on too, for a single run as for a backfill, unless "Unpause on
trigger" is unticked. What it would send can be seen before: trigger `lead_scoring_release` with "Dry-run the sync", and
read the note of that run.

The run of a morning looks from the end of the day before. Without a champion the first task fails and says so: run
`lead_scoring_release` first.

A day that was missed can be made up with an Airflow backfill: its features read only what was known on their date. The
model is today's champion, which may have learned from what happened since: good to fill the tables, not to judge the
model. The sync of a backfill is a dry run.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, CronTriggerTimetable

from lead_scoring_airflow.defaults import AS_OF, AS_OF_PARAM, DEFAULT_ARGS, OWNER_LINKS, RUN_DAY, dry_run_param
from lead_scoring_airflow.delivery import deliver
from lead_scoring_airflow.operators.materialize_features import MaterializeFeaturesOperator

with DAG(
    dag_id="lead_scoring_daily",
    description="Score every open lead with the production model and sync Salesforce",
    schedule=CronTriggerTimetable("0 5 * * *", timezone="UTC"),  # done before the first sales team in Europe starts
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    owner_links=OWNER_LINKS,
    doc_md=__doc__,
    tags=["lead-scoring", "impact/tier_1", "triage/sales-ops"],
    params={"as_of": AS_OF_PARAM, "dry_run_sync": dry_run_param()},
) as dag:
    features = MaterializeFeaturesOperator(
        task_id="materialize_features",
        as_of=AS_OF,
        run_day=RUN_DAY,
        feature_set="champion",
        scorable_only=True,
        doc_md="Today's features of every lead that can still convert, for the champion's feature set.",
    )
    deliver(features, "{{ ti.xcom_pull('materialize_features')['inputs']['version'] }}", after=features)
