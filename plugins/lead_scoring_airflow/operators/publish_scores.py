from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lead_scoring_airflow.assets import LEAD_FEATURES, LEAD_SCORES
from lead_scoring_airflow.links import ModelCardLink
from lead_scoring_airflow.notes import linked
from lead_scoring_airflow.operators.stage import StageOperator, emit, manifest, manifests

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lead_scoring.pipeline import Pipeline
    from lead_scoring.stage import Manifest


class PublishScoresOperator(StageOperator):
    """Audit all scored shards together, then replace the day's partitions of ``lead_features`` and ``lead_scores``.

    :param features: manifest of ``materialize_features`` (templated).
    :param scored: manifests of the mapped ``batch_score`` tasks (templated).
    :param version: the model version that every row must carry (templated).
    """

    template_fields: Sequence[str] = ("features", "scored", "version")
    operator_extra_links = (ModelCardLink(),)

    def __init__(
        self, *, features: Mapping[str, Any], scored: Sequence[Mapping[str, Any]], version: str, **kwargs: Any
    ) -> None:
        super().__init__(outlets=[LEAD_FEATURES, LEAD_SCORES], **kwargs)
        self.features = features
        self.scored = scored
        self.version = version
        self.model_card_url = ""

    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:
        features = manifest(self.features)
        self.model_card_url = pipeline.model_card_url(self.version)
        published = pipeline.publish_scores(features, manifests(self.scored), self.version)
        rows = features.counts["rows_out"]
        emit(context, LEAD_FEATURES, as_of=features.as_of, run_key=features.key, rows=rows, **features.counts)
        emit(
            context,
            LEAD_SCORES,
            as_of=published.as_of,
            version=self.version,
            **published.counts,
            buckets=published.figures["buckets"],
        )
        return published

    def told(self, manifest: Manifest) -> Sequence[str]:
        return (linked(manifest.figures["version"], self.model_card_url), f"{manifest.counts['scored']:,} leads scored")
