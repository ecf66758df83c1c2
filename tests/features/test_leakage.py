from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.catalog import Catalog, FeatureSet
from lead_scoring.errors import BadInput
from lead_scoring.features import tripwire
from lead_scoring.features.leak_history import grown_stronger, portrait


@pytest.fixture(scope="module")
def undated(catalog: Catalog) -> FeatureSet:
    return catalog.feature_set("undated")


def shards(folder: Path, columns: dict[str, Any], target: np.ndarray, name: str) -> Path:
    table = pa.table(
        {column: pa.array(values, pa.float64(), from_pandas=True) for column, values in columns.items()}
        | {
            "target": pa.array(target, pa.int64()),
            "lead_id": [f"00Q{name}{place}" for place in range(len(target))],
            "feature_digest": [f"{name}{place}" for place in range(len(target))],
        }
    )
    path = folder / f"{name}.parquet"
    pq.write_table(table, path)
    return path


def make(folder: Path, chosen: FeatureSet, **leak: Any) -> tuple[list[Path], list[Path]]:
    random = np.random.default_rng(3)
    target = (random.random(3000) < 0.05).astype(int)
    train = {column: random.normal(0.3 * target, 1.0) for column in chosen.columns}
    now = {column: random.normal(0, 1.0, 2000) for column in chosen.columns}
    if "train" in leak:
        leak["train"](train, target, random)
    if "now" in leak:
        leak["now"](now)
    return [shards(folder, train, target, "train")], [shards(folder, now, np.zeros(2000, int), "score")]


def codes(output: Any) -> set[tuple[str, str]]:
    return {(item["code"], item["subject"]) for item in output.figures["findings"]}


def test_an_honest_table_raises_no_finding(tmp_path: Path, undated: FeatureSet) -> None:
    output = tripwire(*make(tmp_path, undated), feature_set=undated, seed=1, work=tmp_path)
    assert codes(output) == set()
    feature = output.figures["features"]["num_prior_firms"]
    assert {"auc", "information_value", "auc_lost_without", "auc_lost_interval", "train_versus_now_auc"} <= set(feature)


def test_a_feature_that_knows_the_label_is_named(tmp_path: Path, undated: FeatureSet) -> None:
    def leak(columns: dict[str, Any], target: np.ndarray, random: np.random.Generator) -> None:
        columns["firm_aum_pit"] = random.normal(4.0 * target, 1.0)

    output = tripwire(*make(tmp_path, undated, train=leak), feature_set=undated, seed=1, work=tmp_path)
    assert ("single_feature_too_good", "firm_aum_pit") in codes(output)
    assert ("depends_on_one_feature", "firm_aum_pit") in codes(output)
    assert ("model_too_good", "model") in codes(output)


def test_a_backfilled_value_in_a_few_leads_is_named(tmp_path: Path, undated: FeatureSet) -> None:
    """The shape of a late departure: most leads show nothing, a few show a value that nearly only converts have."""

    def leak(columns: dict[str, Any], target: np.ndarray, random: np.random.Generator) -> None:
        shown = (target == 1) & (random.random(len(target)) < 0.45) | (random.random(len(target)) < 0.01)
        columns["num_prior_firms"] = np.where(shown, 7.0, 0.0)

    output = tripwire(*make(tmp_path, undated, train=leak), feature_set=undated, seed=1, work=tmp_path)
    assert ("single_bin_too_good", "num_prior_firms") in codes(output)


def test_a_feature_that_is_empty_today_is_named(tmp_path: Path, undated: FeatureSet) -> None:
    def empty(columns: dict[str, Any]) -> None:
        columns["firm_aum_pit"] = np.full(2000, np.nan)

    output = tripwire(*make(tmp_path, undated, now=empty), feature_set=undated, seed=1, work=tmp_path)
    assert ("missing_share_differs", "firm_aum_pit") in codes(output)
    assert ("training_is_not_now", "table") in codes(output)


def test_equal_tables_give_equal_reports(tmp_path: Path, undated: FeatureSet) -> None:
    files = make(tmp_path, undated)
    first = tripwire(*files, feature_set=undated, seed=1, work=tmp_path).files["leakage.json"].read_bytes()
    second = tripwire(*files, feature_set=undated, seed=1, work=tmp_path).files["leakage.json"].read_bytes()
    assert first == second


def test_no_training_rows_are_refused_and_few_positives_are_said(tmp_path: Path, undated: FeatureSet) -> None:
    train, now = make(tmp_path, undated)
    with pytest.raises(BadInput, match="needs the column 'target'"):
        tripwire([], now, feature_set=undated, seed=1, work=tmp_path)
    table = pq.read_table(train[0])
    one_class = table.set_column(table.column_names.index("target"), "target", pa.array(np.zeros(3000, int)))
    pq.write_table(one_class, train[0])
    assert "not judged" in tripwire(train, now, feature_set=undated, seed=1, work=tmp_path).figures["note"]


def last_release(tmp_path: Path, undated: FeatureSet) -> tuple[list[Path], list[Path], Any]:
    train, now = make(tmp_path, undated)
    return train, now, tripwire(train, now, feature_set=undated, seed=1, work=tmp_path).figures["portrait"]


def changed(train: list[Path], change: Any) -> list[Path]:
    """The training table with columns that ``change(columns, target, random)`` has altered."""
    table = pq.read_table(train[0])
    columns = {name: table[name].to_numpy(zero_copy_only=False).copy() for name in table.column_names[:-3]}
    change(columns, table["target"].to_numpy(), np.random.default_rng(9))
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, train[0])
    return train


def test_noise_that_ranks_at_70_percent_is_found_beside_the_last_release(tmp_path: Path, undated: FeatureSet) -> None:
    def leak(columns: dict[str, Any], target: np.ndarray, random: np.random.Generator) -> None:
        columns["firm_aum_pit"] = random.normal(0.742 * target, 1.0)

    train, now, last = last_release(tmp_path, undated)
    leaky = changed(train, leak)
    assert codes(tripwire(leaky, now, feature_set=undated, seed=1, work=tmp_path)) == set(), "too small to see alone"
    output = tripwire(leaky, now, feature_set=undated, seed=1, work=tmp_path, last=last)
    assert ("feature_grew_stronger", "firm_aum_pit") in codes(output)


def test_a_third_of_the_conversions_at_one_value_is_found_beside_the_last_release(
    tmp_path: Path, undated: FeatureSet
) -> None:
    def often_zero(columns: dict[str, Any], target: np.ndarray, random: np.random.Generator) -> None:
        columns["num_prior_firms"] = np.where(random.random(len(target)) < 0.6, 0.0, random.gamma(2, 3, len(target)))

    def leak(columns: dict[str, Any], target: np.ndarray, random: np.random.Generator) -> None:
        moved = random.permutation(np.flatnonzero(target == 1))[: int(0.3 * target.sum())]
        columns["num_prior_firms"][moved] = 0.0

    train, now = make(tmp_path, undated, train=often_zero)
    last = tripwire(train, now, feature_set=undated, seed=1, work=tmp_path).figures["portrait"]
    output = tripwire(changed(train, leak), now, feature_set=undated, seed=1, work=tmp_path, last=last)
    assert ("bin_grew_stronger", "num_prior_firms") in codes(output)


def test_an_outcome_that_is_known_for_3_percent_of_the_leads_is_found_at_once(
    tmp_path: Path, undated: FeatureSet
) -> None:
    def leak(columns: dict[str, Any], target: np.ndarray, random: np.random.Generator) -> None:
        known = random.random(len(target)) < 0.06  # some nine conversions, as 3 % of 8,000 real leads have
        columns["num_prior_firms"] = np.round(random.gamma(2, 2, len(target)))
        columns["num_prior_firms"][known] = np.where(target[known] == 1, 50.0, 51.0)

    output = tripwire(*make(tmp_path, undated, train=leak), feature_set=undated, seed=1, work=tmp_path)
    assert ("bin_knows_the_outcome", "num_prior_firms") in codes(output)


def test_a_clean_part_of_the_last_releases_leads_raises_no_alarm(tmp_path: Path, undated: FeatureSet) -> None:
    """The short form: ``portrait`` and ``grown_stronger`` alone, 20 parts of 80 %."""
    train, _, last = last_release(tmp_path, undated)
    table = pq.read_table(train[0])
    values = np.column_stack([table[name].to_numpy() for name in undated.columns])
    target, keys = table["target"].to_numpy(), np.array(table["lead_id"].to_pylist())
    random, alarms = np.random.default_rng(4), 0
    for _ in range(20):
        part = random.permutation(len(target))[: int(0.8 * len(target))]
        now = portrait(values[part], target[part], keys[part].tolist(), undated.names)
        alarms += bool(list(grown_stronger(last, values[part], target[part], now)))
    assert alarms <= 1


def test_a_last_release_of_another_feature_set_is_no_measure(tmp_path: Path, undated: FeatureSet) -> None:
    train, now, last = last_release(tmp_path, undated)
    weaker = {**last, "feature_set": "bank", "model_auc": 0.5}
    output = tripwire(train, now, feature_set=undated, seed=1, work=tmp_path, last=weaker)
    assert codes(output) == set()
    assert "another feature set, bank" in output.figures["since_last"]["note"]
