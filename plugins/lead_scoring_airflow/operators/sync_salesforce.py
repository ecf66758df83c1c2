from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lead_scoring_airflow.links import SalesforceLink
from lead_scoring_airflow.operators.stage import StageOperator, as_bool, manifest

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lead_scoring.pipeline import Pipeline
    from lead_scoring.stage import Manifest


class SyncSalesforceOperator(StageOperator):
    """Send the scores that changed to Salesforce, through Bulk API 2.0.

    The login is the Airflow connection named in the settings (``salesforce.conn_id``). Fails when the org rejects more
    rows than the settings allow; rejected rows are in the ledger with Salesforce's message.

    :param features: manifest of ``materialize_features`` (templated).
    :param published: manifest of ``publish_scores`` (templated).
    :param dry_run: show what would change and send nothing (templated).
    """

    template_fields: Sequence[str] = ("features", "published", "dry_run")
    operator_extra_links = (SalesforceLink(),)

    def __init__(
        self,
        *,
        features: Mapping[str, Any],
        published: Mapping[str, Any],
        dry_run: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.features = features
        self.published = published
        self.dry_run = dry_run
        self.salesforce_url = ""

    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:
        from airflow.providers.salesforce.hooks.salesforce import SalesforceHook

        from lead_scoring.salesforce import lead_list_url, logging_in, session

        settings = pipeline.settings.salesforce
        hook = SalesforceHook(salesforce_conn_id=settings.conn_id, session=session(settings))
        with logging_in(settings):
            salesforce = hook.get_conn()
        self.salesforce_url = lead_list_url(salesforce, settings)
        return pipeline.sync_salesforce(
            manifest(self.features), manifest(self.published), salesforce, dry_run=as_bool(self.dry_run)
        )
