from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from lead_scoring.catalog import Catalog, load_catalog, row_digest, row_digests
from lead_scoring.errors import BadInput
from lead_scoring.lead_ids import complete_id, valid_lead_ids
from lead_scoring.settings import load_settings

CONFIG = load_settings(environment={}).config_folder


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog(CONFIG)


def test_phase6_is_the_document_twelve_in_its_order(catalog: Catalog) -> None:
    chosen = catalog.feature_set("phase6")
    assert len(chosen.names) == 12
    assert chosen.names == sorted(chosen.names)
    assert "pit_mobility_tier_Highly Mobile" in chosen.names
    assert "pit_mobility_tier_Highly_Mobile" in chosen.columns


def test_an_undated_source_can_have_every_feature_of_the_undated_set(catalog: Catalog) -> None:
    assert not any(feature.needs_recorded_at for feature in catalog.feature_set("undated").features)
    needing = {feature.name for feature in catalog.feature_set("phase6").features if feature.needs_recorded_at}
    assert {"days_in_gap", "pit_moves_3yr", "firm_net_change_12mo", "firm_rep_count_at_contact"} <= needing


def test_an_unknown_set_names_the_known_ones(catalog: Catalog) -> None:
    with pytest.raises(BadInput, match="'phase7'.*phase6"):
        catalog.feature_set("phase7")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": None}, "unit"),
        ({"direction": "sideways"}, "direction"),
        ({"minimum": 5000}, "maximum"),
        ({"nullable": "no"}, "nullable"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_badly_written_feature_is_refused_by_name(tmp_path: Path, change: dict[str, object], message: str) -> None:
    data = yaml.safe_load((CONFIG / "feature_catalog.yaml").read_text())
    data["features"]["days_in_gap"] |= change
    data["features"]["days_in_gap"]["maximum"] = 100
    (tmp_path / "feature_catalog.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(BadInput, match=f"days_in_gap.*{message}"):
        load_catalog(tmp_path)


def test_the_digest_follows_the_definition(tmp_path: Path, catalog: Catalog) -> None:
    data = yaml.safe_load((CONFIG / "feature_catalog.yaml").read_text())
    data["features"]["days_in_gap"]["definition"] += " Changed."
    (tmp_path / "feature_catalog.yaml").write_text(yaml.safe_dump(data))
    changed = load_catalog(tmp_path)
    assert changed.feature_set("phase6").digest != catalog.feature_set("phase6").digest
    assert changed.feature_set("undated").digest == catalog.feature_set("undated").digest


def test_one_row_and_a_table_have_the_same_digest_and_missing_is_one_value(catalog: Catalog) -> None:
    chosen = catalog.feature_set("undated")
    day = dt.date(2024, 2, 29)
    table = pa.table(
        {"lead_id": ["a", "b", "c"], "pit_date": pa.array([day, None, None], pa.date32())}
        | {column: pa.array([-0.0, None, float("nan")]) for column in chosen.columns}
    )
    count = len(chosen.columns)
    assert row_digests(chosen, table) == [
        row_digest("a", day, [0.0] * count),
        row_digest("b", None, [None] * count),
        row_digest("c", None, [float("nan")] * count),
    ]
    assert row_digest("a", day, [0.0]) != row_digest("a", day, [np.nextafter(0.0, 1.0)])


def test_the_catalog_loads_without_heavy_packages() -> None:
    heavy = "[m for m in ('pandas', 'duckdb', 'pyarrow') if m in sys.modules]"
    code = f"import sys, lead_scoring.catalog, lead_scoring.features; print({heavy})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_lead_ids_carry_their_capitals_in_the_suffix() -> None:
    good = complete_id("00QVT00000AbCdE")
    # 001A0000006Vm9u and its 18-character form are the pair in Salesforce's own article
    assert complete_id("001A0000006Vm9u") == "001A0000006Vm9uIAC"
    bad = [good[:15] + "AAA", good.lower(), good[:17], "001" + good[3:], "", None, "00QVT00000Ab-dE2AV"]
    assert valid_lead_ids([good, *bad]).tolist() == [True] + [False] * len(bad)
    assert valid_lead_ids([]).tolist() == []
