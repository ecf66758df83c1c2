from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from lead_scoring_airflow.assets import SOURCES
from lead_scoring_airflow.operators.stage import StageOperator, as_bool

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lead_scoring.pipeline import Pipeline
    from lead_scoring.stage import Manifest


class MaterializeFeaturesOperator(StageOperator):
    """Compute the feature table as of a date, or check and take in a ready one.

    :param as_of: ISO date (templated); empty takes the configured default, the last day of synthetic source tables, or
        the last complete day.
    :param run_day: ISO date of the day that the run belongs to (templated); nothing later is known yet.
    :param feature_set: a name in the feature catalog, empty for the configured one, or ``champion`` for the set that
        the production model was trained on (templated).
    :param features: a ready feature table: a path, an address or a warehouse table; empty computes from the source
        tables (templated).
    :param maps: with ``features``: ``theirs=ours``, separated by commas: its columns that are ours (templated).
    :param scorable_only: leave out the labelled leads: enough to score with, not to train on.
    """

    template_fields: Sequence[str] = ("as_of", "run_day", "feature_set", "features", "maps", "scorable_only")

    def __init__(
        self,
        *,
        run_day: str,
        as_of: str = "",
        feature_set: str = "",
        features: str = "",
        maps: str = "",
        scorable_only: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(inlets=[*SOURCES], **kwargs)
        self.as_of = as_of
        self.run_day = run_day
        self.feature_set = feature_set
        self.features = features
        self.maps = maps
        self.scorable_only = scorable_only

    def stage(self, pipeline: Pipeline, context: Context) -> Manifest:
        from lead_scoring.tables.columns import parse_maps

        as_of = pipeline.as_of(self.as_of, date.fromisoformat(self.run_day), of_source=not self.features)
        return pipeline.materialize_features(
            as_of,
            feature_set=self.feature_set,
            features=self.features,
            maps=parse_maps([text.strip() for text in self.maps.split(",") if text.strip()], "the map"),
            scorable_only=as_bool(self.scorable_only),
        )

    def told(self, manifest: Manifest) -> Sequence[str]:
        return (f"as of {manifest.as_of}",)
