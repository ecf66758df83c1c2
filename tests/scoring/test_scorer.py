from __future__ import annotations

import copy
import json
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_pipeline import LeadScorer
from lead_scoring.errors import BadInput
from lead_scoring.model.buckets import BucketPolicy
from lead_scoring.scoring import score_shard
from lead_scoring.scoring.http import handle
from lead_scoring.scoring.scorer import MAX_COMPILED_ROWS
from lead_scoring.settings import ScoringSettings
from tests.scoring.small_package import AS_OF, CLIPPED, NAMES, as_lead, random_matrix

Lead = dict[str, float | None]
DOCUMENT_KEYS = ["lead_score", "score_bucket", "action_recommended", "model_version", "uncalibrated_score"]


def test_the_documents_keys_come_first_and_mean_what_they_say(scorer: LeadScorer, lead: Lead) -> None:
    result = scorer.score_lead(lead)
    assert list(result)[:5] == DOCUMENT_KEYS
    assert result["uncalibrated_score"] == pytest.approx(1 / (1 + math.exp(-result["margin"])))
    assert result["lead_score"] == pytest.approx(1 / (1 + math.exp(-(0.8 * result["margin"] - 2.0))))
    assert result["lift"] == result["lead_score"] / 0.15


def test_every_way_in_gives_the_same_bits(scorer: LeadScorer) -> None:
    matrix = random_matrix(2500, seed=11)
    leads = [as_lead(row) for row in matrix]
    one_by_one = [scorer.score_lead(lead) for lead in leads]
    columns = {name: matrix[:, place] for place, name in enumerate(NAMES)}
    assert scorer.score_batch(leads) == one_by_one  # XGBoost: more leads than the compiled trees are given
    assert scorer.score_batch(leads[:100]) == one_by_one[:100]  # compiled
    assert scorer.score_batch(pa.table(columns)).to_pylist() == one_by_one
    assert scorer.score_batch(pd.DataFrame(columns)).to_dict("records") == one_by_one


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-3.4028e38, 3.4028e38) | st.just(math.nan), min_size=12, max_size=12))
def test_compiled_trees_and_xgboost_agree_to_the_bit_on_any_numbers(scorer: LeadScorer, values: list[float]) -> None:
    margin = scorer.booster.margins(np.array([values], dtype=np.float32))[0]
    assert scorer.package.trees.margin(values) == margin


def test_warehouse_names_are_the_same_features(scorer: LeadScorer, lead: Lead) -> None:
    renamed = {name.replace(" ", "_"): value for name, value in lead.items()}
    assert scorer.score_lead(renamed) == scorer.score_lead(lead)


def test_columns_of_the_feature_table_may_stand_beside_the_features(scorer: LeadScorer, lead: Lead) -> None:
    table = pa.Table.from_pylist([{"lead_id": "00Q1", "scorable": True, "feature_digest": "0", **lead}])
    assert scorer.score_batch(table).to_pylist() == [{"lead_id": "00Q1", **scorer.score_lead(lead)}]


def test_a_dataframe_keeps_its_index(scorer: LeadScorer, lead: Lead) -> None:
    frame = pd.DataFrame([lead, lead], index=["a", "b"])
    assert list(scorer.score_batch(frame).index) == ["a", "b"]


@pytest.mark.parametrize(
    "empty", [[], pd.DataFrame(columns=NAMES, dtype=float), pa.table(dict.fromkeys(NAMES, pa.array([], pa.float64())))]
)
def test_no_leads_give_no_scores(scorer: LeadScorer, empty: object) -> None:
    assert len(scorer.score_batch(empty)) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pit_moves_3yr": "2"}, "'pit_moves_3yr' is '2', which is not a number (lead 00Q1)"),
        ({"pit_moves_3yr": None}, "'pit_moves_3yr' is None but may not be missing (lead 00Q1)"),
        ({"pit_moves_3yr": math.nan}, "'pit_moves_3yr' is nan but may not be missing"),
        ({"pit_moves_3yr": math.inf}, "'pit_moves_3yr' is inf, which is not finite"),
        ({"firm_aum_pit": -math.inf}, "'firm_aum_pit' is -inf, which is not finite"),
        ({"pit_moves_3yr": -1}, "'pit_moves_3yr' is -1, below its minimum 0.0"),
        ({"pit_mobility_tier_Mobile": 2}, "'pit_mobility_tier_Mobile' is 2, above its maximum 1.0"),
        ({"pit_moves_3yr": "true"}, "'pit_moves_3yr' is 'true', which is not a number"),
        ({"pit_moves_3yr": 10**400}, "which is not finite"),
        ({"pit_moves_3yr": [1]}, "is of type list, which is not a number"),
        ({"firm_net_change_12mo": 1e39}, "which is not finite"),
        ({"days_in_gaps": 1.0}, "feature 'days_in_gaps' is unknown (lead 00Q1)"),
        ({1: 1.0}, "is unknown"),
        ({"pit_mobility_tier_Highly_Mobile": 1.0}, "is given twice"),
        ({"lead_id": 7}, "lead_id is 7; it must be text"),
    ],
)
def test_a_lead_that_cannot_be_scored_is_refused_by_feature_value_and_lead(
    scorer: LeadScorer, lead: Lead, change: dict[object, object], message: str
) -> None:
    with pytest.raises(BadInput) as caught:
        scorer.score_lead({"lead_id": "00Q1", **lead, **change})  # type: ignore[dict-item]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_extreme_value_counts_as_the_end_of_its_range_at_every_door(
    scorer: LeadScorer, lead: Lead, shard: Path, tmp_path: Path
) -> None:
    limit, extreme = {**lead, CLIPPED: 1e4}, {**lead, CLIPPED: 73_000.0}
    flagged = {**scorer.score_lead(limit), "clipped": [CLIPPED]}
    assert "clipped" not in scorer.score_lead(limit)
    assert scorer.score_lead(extreme) == flagged
    assert handle(scorer, "POST", "/", {}, json.dumps(extreme).encode())[1] == flagged
    many = [limit, extreme] * (MAX_COMPILED_ROWS // 2 + 1)
    assert scorer.score_batch(many) == [scorer.score_lead(limit), flagged] * (len(many) // 2)
    table = scorer.score_batch(pa.Table.from_pylist([limit, extreme]))
    assert table["clipped"].to_pylist() == [None, CLIPPED]
    assert table["lead_score"].to_pylist() == [flagged["lead_score"]] * 2
    leads = pq.read_table(shard)
    place = leads.schema.get_field_index(CLIPPED)
    values = [73_000.0, 240_820.0, *leads[CLIPPED].to_pylist()[2:]]
    pq.write_table(leads.set_column(place, CLIPPED, pa.array(values)), shard)
    settings = ScoringSettings(expires_after_days=7, threads=1)
    output = score_shard(scorer, shard, as_of=AS_OF, run_key="20241221-00000000", settings=settings, work=tmp_path)
    scored = pq.read_table(output.files["scores.parquet"])
    assert scored["clipped"].to_pylist() == [CLIPPED, *[None] * 98]
    (refused,) = pq.read_table(output.files["rejected.parquet"])["reasons"].to_pylist()
    assert refused == f"feature '{CLIPPED}' is 240820.0, above its maximum 100000.0"
    with pytest.raises(BadInput, match="above its maximum"):
        scorer.score_lead({**lead, CLIPPED: 240_820.0})


@pytest.mark.parametrize("nothing", [{}, {"lead_id": "00Q1"}])
def test_an_empty_payload_is_refused(scorer: LeadScorer, nothing: Lead) -> None:
    with pytest.raises(BadInput, match="is missing .*and 11 more problems.*see feature_names_v1-"):
        scorer.score_lead(nothing)


@pytest.mark.parametrize("wrong", [None, 5, "lead", [1.0], [("a", 1)]])
def test_something_that_is_no_lead_is_refused(scorer: LeadScorer, wrong: object) -> None:
    with pytest.raises(BadInput, match="must be a mapping"):
        scorer.score_lead(wrong)  # type: ignore[arg-type]


def test_numbers_of_numpy_are_numbers(scorer: LeadScorer, lead: Lead) -> None:
    typed = {name: np.float64(value) if value is not None else None for name, value in lead.items()}
    assert scorer.score_lead(typed) == scorer.score_lead(lead)
    assert scorer.score_lead({**lead, "pit_moves_3yr": np.int64(2)}) == scorer.score_lead({**lead, "pit_moves_3yr": 2})


def test_the_documents_zero_fill_is_asked_for_and_says_what_it_filled(scorer: LeadScorer, lead: Lead) -> None:
    del lead["days_in_gap"]
    lead["pit_moves_3yr"] = None
    result = scorer.score_lead(lead, missing="document")
    assert result["zero_filled"] == ["days_in_gap", "pit_moves_3yr"]
    filled = scorer.score_lead({**lead, "days_in_gap": 0.0, "pit_moves_3yr": 0.0})
    assert {**filled, "zero_filled": result["zero_filled"]} == result
    with pytest.raises(BadInput, match="not a number"):
        scorer.score_lead({**lead, "firm_aum_pit": "much"}, missing="document")
    with pytest.raises(BadInput, match="choose one of refuse, document"):
        scorer.score_lead(lead, missing="median")


def test_reasons_are_the_largest_contributions_and_add_up_to_the_margin(scorer: LeadScorer, lead: Lead) -> None:
    result = scorer.score_lead(lead, reasons=12)
    sizes = [abs(reason["contribution"]) for reason in result["reasons"]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(scorer.score_lead(lead, reasons=3)["reasons"]) == 3
    other = scorer.score_lead({**lead, "pit_moves_3yr": 0.0}, reasons=12)
    total = {id(item): sum(reason["contribution"] for reason in item["reasons"]) for item in (result, other)}
    assert result["margin"] - total[id(result)] == pytest.approx(other["margin"] - total[id(other)], abs=1e-4)


def test_a_row_of_a_table_that_cannot_be_scored_is_named(scorer: LeadScorer) -> None:
    matrix = random_matrix(5)
    table = {name: matrix[:, place] for place, name in enumerate(NAMES)}
    table["days_in_gap"][3] = np.nan
    with pytest.raises(BadInput, match=r"'days_in_gap' is nan but may not be missing \(row 3, lead '00Q3'\)"):
        scorer.score_batch(pa.table({"lead_id": [f"00Q{row}" for row in range(5)], **table}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["days_in_gap"]), "the table has no column 'days_in_gap'"),
        (
            lambda table: table.rename_columns([name.replace("days_in_gap", "Days in Gap") for name in NAMES]),
            "no column 'days_in_gap', but a name that looks like it: rename 'Days in Gap' to 'days_in_gap'",
        ),
        (
            lambda table: table.append_column("Days_In_Gap", table["days_in_gap"]),
            "differ only in case or blanks, 'days_in_gap' and 'Days_In_Gap'",
        ),
        (
            lambda table: table.append_column("Id", pa.array(["00QVT00000AbCdE"])),
            "no column 'lead_id', but 'Id' looks like it: rename 'Id' to 'lead_id' if it is, drop 'Id' if it is not",
        ),
        (
            lambda table: table.set_column(1, "days_in_gap", pa.array(["1"])),
            "'days_in_gap' is of type string in the table",
        ),
        (
            lambda table: table.append_column("pit_mobility_tier_Highly_Mobile", table["days_in_gap"]),
            "two columns for 'pit_mobility_tier_Highly_Mobile'",
        ),
    ],
)
def test_a_table_with_other_columns_is_refused(scorer: LeadScorer, change: object, message: str) -> None:
    table = pa.table({name: [1.0] for name in NAMES})
    with pytest.raises(BadInput, match=message):
        scorer.score_batch(change(table))  # type: ignore[operator]


def test_columns_that_nothing_is_read_from_never_stop_a_table(scorer: LeadScorer, lead: Lead) -> None:
    rows = [{**lead, "tenure": {"months": 3}, "notes": b"x", "id": 7}]
    assert scorer.score_batch(pa.Table.from_pylist(rows)).to_pylist() == [scorer.score_lead(lead)]
    frame = pd.DataFrame(rows).assign(mixed=[object()])
    frame[7] = 1
    assert scorer.score_batch(frame).to_dict("records") == [scorer.score_lead(lead)]


def test_leads_of_another_kind_are_refused(scorer: LeadScorer) -> None:
    with pytest.raises(BadInput, match="give a list of dicts, a DataFrame or an Arrow table"):
        scorer.score_batch("leads")  # type: ignore[arg-type]


def test_another_bucket_policy_can_be_used(models: Path, lead: Lead) -> None:
    policy = BucketPolicy("absolute", (0.0, 0.0, 0.0))
    result = LeadScorer(model_dir=str(models / "production"), bucket_policy=policy).score_lead(lead)
    assert (result["score_bucket"], result["bucket_policy"]) == ("Very Hot", "absolute")


def test_a_policy_can_be_named(models: Path, scorer: LeadScorer) -> None:
    def named(name: str) -> BucketPolicy:
        return LeadScorer(model_dir=str(models / "production"), bucket_policy=name).bucket_policy

    assert named("absolute").cuts == (0.7, 0.5, 0.3)
    assert named("lift") == scorer.bucket_policy
    codes = named("capacity").assign(scorer.calibrator.apply(np.array(scorer.reference_margins)))
    assert (codes == 0).mean() == pytest.approx(0.05, abs=0.01)
    with pytest.raises(BadInput, match="choose one of absolute, lift, capacity"):
        named("percentile")


def test_percentiles_rise_with_the_margin_and_reach_both_ends(scorer: LeadScorer) -> None:
    margins = sorted([*scorer.reference_margins[::50], -50.0, 50.0])
    ranks = [scorer.percentile(margin) for margin in margins]
    assert ranks == sorted(ranks)  # type: ignore[type-var]
    assert (ranks[0], ranks[-1]) == (0.0, 100.0)


def test_one_lead_is_scored_without_pandas_sklearn_pyarrow_or_xgboost(models: Path, lead: Lead) -> None:
    code = (
        "import sys; from inference_pipeline import LeadScorer; "
        f"LeadScorer(model_dir={str(models / 'production')!r}).score_lead({lead!r}); "
        "print([name for name in ('pandas', 'sklearn', 'scipy', 'pyarrow', 'xgboost', 'yaml') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "cells", "message"),
    [
        ("days_in_gap", [1.0, "x", 2.0], r"'days_in_gap' is 'x', which is not a number \(row 1\)"),
        ("days_in_gap", [1, 10**400, 2.0], r"'days_in_gap' is a number of more than 38 digits, .* \(row 1\)"),
        ("days_in_gap", [1j, 2j, 3j], r"'days_in_gap' is of type complex.*, which is not a number \(row 0\)"),
        ("lead_id", ["00Q0", 5, "00Q2"], r"lead_id is 5 \(row 1\); it must be text"),
        ("lead_id", [1, 2, 3], "lead_id is of type int64 in the table; it must be text"),
    ],
)
def test_a_frame_with_a_cell_that_cannot_be_scored_names_it(
    scorer: LeadScorer, name: str, cells: list[object], message: str
) -> None:
    frame = pd.DataFrame(random_matrix(3), columns=list(NAMES))
    frame[name] = cells
    with pytest.raises(BadInput, match=message):
        scorer.score_batch(frame)


def test_a_column_that_stands_twice_is_refused(scorer: LeadScorer) -> None:
    frame = pd.DataFrame(random_matrix(3), columns=list(NAMES))
    with pytest.raises(BadInput, match="column 'days_in_gap' stands in the table twice"):
        scorer.score_batch(pd.concat([frame, frame[["days_in_gap"]]], axis=1))
    ids = pa.array(["00Q1"])
    table = pa.Table.from_arrays([ids, ids, *[pa.array([1.0])] * 12], names=["lead_id", "lead_id", *NAMES])
    with pytest.raises(BadInput, match="'lead_id' stands in the table twice"):
        scorer.score_batch(table)


def test_numbers_of_several_kinds_in_one_column_are_numbers(scorer: LeadScorer) -> None:
    frame = pd.DataFrame(random_matrix(3), columns=list(NAMES))
    frame["firm_aum_pit"] = pd.Series([1, 10**12, None], dtype=object)
    expected = [scorer.score_lead(as_lead(row))["margin"] for row in frame.astype(float).to_numpy()]
    assert scorer.score_batch(frame)["margin"].tolist() == expected


def test_a_lead_of_a_list_is_named_by_its_place(scorer: LeadScorer, lead: Lead) -> None:
    for rows in (2, 3_000):
        with pytest.raises(BadInput, match=f"lead {rows} of the list: feature 'current_firm_tenure_months' is missing"):
            scorer.score_batch([lead] * rows + [{}])


@pytest.mark.parametrize("reasons", ["2", 2.0, -1, True])
def test_a_number_of_reasons_that_is_none_is_refused(scorer: LeadScorer, lead: Lead, reasons: Any) -> None:
    with pytest.raises(BadInput, match="must be a whole number"):
        scorer.score_lead(lead, reasons=reasons)


def test_a_version_that_is_not_text_is_refused(models: Path) -> None:
    with pytest.raises(BadInput, match="model_version is 5"):
        LeadScorer(5, model_dir=str(models / "production"))  # type: ignore[arg-type]


def test_reasons_come_with_lists_and_not_with_tables(scorer: LeadScorer, lead: Lead) -> None:
    assert scorer.score_batch([lead], reasons=2) == [scorer.score_lead(lead, reasons=2)]
    with pytest.raises(BadInput, match="give the rows as a list"):
        scorer.score_batch(pa.table({name: [1.0] for name in NAMES}), reasons=2)


def test_a_scorer_can_be_pickled_and_copied_and_scores_the_same(scorer: LeadScorer, lead: Lead) -> None:
    expected = scorer.score_lead(lead, reasons=2)  # XGBoost is loaded now, and must not go along
    for other in (pickle.loads(pickle.dumps(scorer)), copy.copy(scorer), copy.deepcopy(scorer)):  # noqa: S301 - our own
        assert other.score_lead(lead, reasons=2) == expected
