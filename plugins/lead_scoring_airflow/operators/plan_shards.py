from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from lead_scoring_airflow.operators.stage import make_pipeline, manifest, reported_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class PlanShardsOperator(BaseOperator):
    """List the shards of a feature table that get a score, for ``batch_score`` to be mapped over.

    A task of its own because Airflow maps only over a task's return value, and ``materialize_features`` returns its
    manifest.

    :param features: manifest of ``materialize_features`` (templated).
    """

    template_fields: Sequence[str] = ("features",)

    def __init__(self, *, features: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.features = features

    def execute(self, context: Context) -> list[str]:
        with reported_errors(context):
            return make_pipeline().score_shards(manifest(self.features))
