from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lead_scoring_airflow.operators.stage import StageOperator, manifest

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lead_scoring.pipeline import Pipeline
    from lead_scoring.stage import Manifest


class BatchScoreOperator(StageOperator):
    """Score one shard of the feature table. Made to be mapped over the shards.

    :param features: manifest of ``materialize_features`` (templated).
    :param version: the model version, the same for all shards of a run (templated).
    :param shard: logical name of the shard (templated, mapped).
    """

    template_fields: Sequence[str] = ("features", "version", "shard")

    def __init__(self, *, features: Mapping[str, Any], version: str, shard: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.features = features
        self.version = version
        self.shard = shard

    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:
        return pipeline.batch_score(manifest(self.features), self.version, self.shard)
