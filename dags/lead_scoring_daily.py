"""
### Score everyone with the champion, every morning

Computes today's features for every lead that can still convert, scores them with the version that the registry has in
production, publishes the scores and sends what changed to Salesforce. The version is looked up once, by
`materialize_features`, so a release in the middle of a run does not mix two models.

The run of a morning looks from the end of the day before. Without a champion the first task fails and says so: run
`lead_scoring_release` first.

A day that was missed can be made up with an Airflow backfill: its features read only what was known on their date. The
model is today's champion, which may have learned from what happened since: good to fill the tables, not to judge the
model. The sync of a backfill is a dry run.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from lead_scoring_airflow.defaults import AS_OF, AS_OF_PARAM, DEFAULT_ARGS, DRY_RUN, dry_run_param
from lead_scoring_airflow.operators.batch_score import BatchScoreOperator
from lead_scoring_airflow.operators.materialize_features import MaterializeFeaturesOperator
from lead_scoring_airflow.operators.plan_shards import PlanShardsOperator
from lead_scoring_airflow.operators.publish_scores import PublishScoresOperator
from lead_scoring_airflow.operators.sync_salesforce import SyncSalesforceOperator

with DAG(
    dag_id="lead_scoring_daily",
    description="Score every open lead with the production model and sync Salesforce",
    schedule="0 5 * * *",  # UTC: done before the first sales team in Europe starts
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["lead-scoring", "impact/tier_1", "triage/sales-ops"],
    params={"as_of": AS_OF_PARAM, "dry_run_sync": dry_run_param()},
) as dag:
    features = MaterializeFeaturesOperator(
        task_id="materialize_features",
        as_of=AS_OF,
        feature_set="champion",
        scorable_only=True,
        doc_md="Today's features of every lead that can still convert, for the champion's feature set.",
    )
    version = "{{ ti.xcom_pull('materialize_features')['inputs']['version'] }}"
    shards = PlanShardsOperator(
        task_id="plan_shards",
        features=features.output,
        doc_md="Lists the shards of the feature table: `batch_score` is mapped over them.",
    )
    scored = BatchScoreOperator.partial(
        task_id="batch_score",
        features=features.output,
        version=version,
        pool="scoring",
        map_index_template="{{ task.shard }}",
        doc_md="One mapped task a shard of the feature table.",
    ).expand(shard=shards.output)
    published = PublishScoresOperator(
        task_id="publish_scores",
        features=features.output,
        scored=scored.output,
        version=version,
        doc_md="Audits all shards together, then replaces the day's partition in one step.",
    )
    synced = SyncSalesforceOperator(
        task_id="sync_salesforce",
        features=features.output,
        published=published.output,
        dry_run=DRY_RUN,
        pool="salesforce",
        doc_md="Sends only what changed. Rejected rows are in `salesforce_sync_log` with Salesforce's message.",
    )

    features >> shards >> scored >> published >> synced
