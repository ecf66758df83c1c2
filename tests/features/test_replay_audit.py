from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from lead_scoring.catalog import FeatureSet
from lead_scoring.features import audit, load_source
from lead_scoring.settings import Settings
from lead_scoring.warehouse.embedded import EmbeddedWarehouse
from tests.features.conftest import AS_OF, Build


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


def test_a_back_dated_record_is_named_by_what_was_published_on_the_day(
    sample_warehouse: EmbeddedWarehouse,
    sample_folder: Path,
    settings: Settings,
    phase6: FeatureSet,
    build: Build,
    tmp_path: Path,
) -> None:
    """A departure is put in today with a date of half a year ago: both computations believe it, the partition not."""
    made = build(sample_warehouse, scorable_only=True)
    shards = [path for name, path in made.files.items() if name.startswith("shards/")]
    published = EmbeddedWarehouse(tmp_path / "published")
    published.replace_partition("lead_features", AS_OF.isoformat(), shards)
    options = {
        "as_of": AS_OF,
        "later": dt.date(2025, 7, 31),
        "feature_set": phase6,
        "settings": settings.features,
        "sql_folder": settings.sql_folder,
        "published": published,
    }
    assert audit(sample_warehouse, **options).counts["backdated_rows"] == 0
    rows = pq.read_table(shards[0]).to_pylist()
    lead = next(row["lead_id"] for row in rows if row["days_in_gap"] == 0 and row["current_firm_tenure_months"] > 24)
    leads = pd.read_parquet(sample_folder / "leads.parquet").set_index("lead_id")
    advisor = int(leads.loc[[lead], "advisor_crd"].iloc[0])
    changed = tmp_path / "changed"
    shutil.copytree(sample_folder, changed)
    jobs = pd.read_parquet(changed / "employment_history.parquet")
    open_jobs = jobs[(jobs["advisor_crd"] == advisor) & jobs["end_date"].isna()]
    left = open_jobs.assign(end_date=dt.date(2024, 6, 1), recorded_at=pd.Timestamp("2024-06-15", tz="UTC"))
    pd.concat([jobs, left]).to_parquet(changed / "employment_history.parquet")
    warehouse = EmbeddedWarehouse(tmp_path / "warehouse")
    load_source(warehouse, changed)
    output = audit(warehouse, **options)
    assert output.figures["moved"] == {}, "the record says that it was known in time"
    assert output.figures["published"]["backdated"]["days_in_gap"] == 1
    (example,) = output.figures["published"]["examples"]["days_in_gap"]
    assert example == {"lead_id": lead, "published": 0.0, "now": float((AS_OF - dt.date(2024, 6, 1)).days)}


def test_a_day_that_was_not_published_is_said(
    sample_warehouse: EmbeddedWarehouse, settings: Settings, phase6: FeatureSet, tmp_path: Path
) -> None:
    output = audit(
        sample_warehouse,
        as_of=dt.date(2024, 12, 21),
        later=dt.date(2025, 7, 31),
        feature_set=phase6,
        settings=settings.features,
        sql_folder=settings.sql_folder,
        published=EmbeddedWarehouse(tmp_path / "empty"),
    )
    assert "no published partition" in output.figures["published"]["note"]
