from __future__ import annotations

import datetime as dt

from lead_scoring.catalog import FeatureSet
from lead_scoring.features import audit
from lead_scoring.settings import Settings
from lead_scoring.warehouse.embedded import EmbeddedWarehouse


def test_no_past_value_moves_when_the_time_of_recording_is_honoured(
    sample_warehouse: EmbeddedWarehouse, settings: Settings, phase6: FeatureSet
) -> None:
    for as_of in (dt.date(2024, 9, 30), dt.date(2024, 12, 21)):
        output = audit(
            sample_warehouse,
            as_of=as_of,
            later=dt.date(2025, 7, 31),
            feature_set=phase6,
            settings=settings.features,
            sql_folder=settings.sql_folder,
        )
        assert output.counts["leads"] > 100
        assert output.figures["moved"] == {}
        assert output.figures["vanished"] == 0


def test_late_departures_move_past_values_when_the_time_of_recording_is_ignored(
    sample_warehouse: EmbeddedWarehouse, settings: Settings, phase6: FeatureSet
) -> None:
    output = audit(
        sample_warehouse,
        as_of=dt.date(2024, 12, 21),
        later=dt.date(2025, 7, 31),
        feature_set=phase6,
        settings=settings.features,
        sql_folder=settings.sql_folder,
        honour_recorded_at=False,
    )
    moved = output.figures["moved"]
    assert moved["days_in_gap"] > 0
    assert set(moved) <= {feature.name for feature in phase6.features if feature.needs_recorded_at}
