"""The four tasks that both scoring DAGs end with: from a feature table and a version to Salesforce."""

from __future__ import annotations

from airflow.sdk import BaseOperator, TaskGroup

from lead_scoring_airflow.assets import PRODUCTION_MODEL
from lead_scoring_airflow.defaults import DRY_RUN
from lead_scoring_airflow.operators.batch_score import BatchScoreOperator
from lead_scoring_airflow.operators.plan_shards import PlanShardsOperator
from lead_scoring_airflow.operators.publish_scores import PublishScoresOperator
from lead_scoring_airflow.operators.sync_salesforce import SyncSalesforceOperator

PUBLISH_FIRST, SYNC_FIRST = 5, 10  # a run that is nearly done ends before another begins


def deliver(features: BaseOperator, version: str, *, after: BaseOperator) -> None:
    """Plan the shards, score each in a task of its own, publish, sync.

    :param features: the task that returns the manifest of ``materialize_features``.
    :param version: the model version (a template).
    :param after: the task that makes ``version`` known: scoring waits for it.
    """
    # What both DAGs end with is one box in the graph; the ids of its tasks are as without it.
    with TaskGroup("delivery", prefix_group_id=False, tooltip="From features and a version to Salesforce"):
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
            inlets=[PRODUCTION_MODEL],
            map_index_template="{{ task.shard }}",
            doc_md="One mapped task a shard of the feature table.",
        ).expand(shard=shards.output)
        published = PublishScoresOperator(
            task_id="publish_scores",
            features=features.output,
            scored=scored.output,
            version=version,
            priority_weight=PUBLISH_FIRST,
            doc_md="Audits all shards together, then replaces the day's partitions of features and scores.",
        )
        synced = SyncSalesforceOperator(
            task_id="sync_salesforce",
            features=features.output,
            published=published.output,
            dry_run=DRY_RUN,
            pool="salesforce",
            priority_weight=SYNC_FIRST,
            doc_md="Sends only what changed. Rejected rows are in `salesforce_sync_log` with Salesforce's message.",
        )
    features >> shards >> scored >> published >> synced
    after >> scored
