"""A column of one type is taken by every door or by none, with the same score."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.errors import BadInput
from lead_scoring.scoring.http import handle
from tests.scoring.small_day import START, small_pipeline
from tests.scoring.small_package import NAMES

FEATURE = "pit_mobility_tier_Mobile"
TAKEN: dict[str, pa.Array] = {
    "bool": pa.array([True, False]),
    "decimal": pa.array([Decimal("1.00"), Decimal("0.00")]),
    "dictionary": pa.array([1, 0]).dictionary_encode(),
    "uint8": pa.array([1, 0], pa.uint8()),
    "float32": pa.array([1, 0], pa.float32()),
    "float16": pa.array(np.array([1, 0], np.float16)),
    "decimal256": pa.array([Decimal("1.0"), Decimal("0.0")], pa.decimal256(60, 1)),
}
REFUSED: dict[str, pa.Array] = {
    "string": pa.array(["1", "0"]),
    "large_string": pa.array(["1", "0"], pa.large_string()),
    "dictionary": pa.array(["1", "0"]).dictionary_encode(),
    "date": pa.array([1, 0], pa.date32()),
    "duration": pa.array([1, 0], pa.duration("s")),
    "list": pa.array([[1], [0]]),
}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return small_pipeline(tmp_path_factory.mktemp("types"))


def doors(lines: Any, column: pa.Array, folder: Path) -> dict[str, Any]:
    """For each way in a call that gives the margins of two leads."""
    scorer = lines.scorer(lines.champion())
    plain = {name: pa.array([0.0, 1.0]) for name in NAMES if name != FEATURE}
    table = pa.table({"lead_id": ["00QSY0000000001", "00QSY0000000002"], **plain, FEATURE: column})
    leads = table.to_pylist()

    def batch() -> list[float]:
        pq.write_table(table, folder / "t.parquet")
        lines.score_table(str(folder / "t.parquet"), folder / "o.parquet", lines.champion(), START)
        return pq.read_table(folder / "o.parquet")["margin"].to_pylist()

    def http() -> list[float]:
        body = json.dumps({"leads": leads}, default=lambda value: float(value) if isinstance(value, Decimal) else "x")
        status, answer, _ = handle(scorer, "POST", "/", {}, body.encode())
        if status != 200:
            raise BadInput(answer["errors"][0]["error"])
        return [result["margin"] for result in answer["results"]]

    found: dict[str, Any] = {
        "command line": batch,
        "Arrow": lambda: scorer.score_batch(table)["margin"].to_pylist(),
        "DataFrame": lambda: scorer.score_batch(table.to_pandas())["margin"].tolist(),
        "DataFrame of Arrow": lambda: scorer.score_batch(table.to_pandas(types_mapper=pd.ArrowDtype))[
            "margin"
        ].tolist(),
        "list": lambda: [result["margin"] for result in scorer.score_batch(leads)],
        "HTTP": http,
    }
    return found


@pytest.mark.parametrize("name", list(TAKEN))
def test_a_type_that_one_door_takes_every_door_takes_with_the_same_score(lines: Any, tmp_path: Path, name: str) -> None:
    expected = doors(lines, pa.array([1.0, 0.0]), tmp_path)["Arrow"]()
    margins = {door: call() for door, call in doors(lines, TAKEN[name], tmp_path).items()}
    assert margins == dict.fromkeys(margins, expected)


@pytest.mark.parametrize("name", list(REFUSED))
def test_a_type_that_one_door_refuses_every_door_refuses_and_names_the_feature(
    lines: Any, tmp_path: Path, name: str
) -> None:
    for call in doors(lines, REFUSED[name], tmp_path).values():
        with pytest.raises(BadInput, match=f"'{FEATURE}' .*number"):
            call()


@pytest.mark.parametrize(
    "cells",
    [
        pd.array([1, None], dtype="Int64"),
        pd.array([True, None], dtype="boolean"),
        pd.array([1.0, None], dtype="Float32"),
        pd.Series([Decimal(1), None], dtype=object),
        pd.Series([True, None], dtype=object),
        pd.Series([1, pd.NA], dtype=object),
        pd.Categorical([1, None]),
    ],
)
def test_missing_values_of_pandas_are_missing_at_every_door(lines: Any, cells: Any) -> None:
    scorer = lines.scorer(lines.champion())
    frame = pd.DataFrame({name: [0.0, 0.0] for name in NAMES}).assign(firm_aum_pit=cells)
    frame["lead_id"] = pd.array(["a", "b"], dtype="string")
    expected = [
        scorer.score_lead({**dict.fromkeys(NAMES, 0.0), "firm_aum_pit": value})["margin"] for value in (1, None)
    ]
    assert scorer.score_batch(frame)["margin"].tolist() == expected
    assert [result["margin"] for result in scorer.score_batch(frame.to_dict("records"))] == expected
