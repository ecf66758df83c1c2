from __future__ import annotations

import dataclasses
import datetime as dt
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_scoring.errors import BadInput
from lead_scoring.salesforce.diff import Diff, compare
from lead_scoring.salesforce.fields import fields_for, load_fields
from tests.salesforce.conftest import DAY, HOME, lead_id, score_rows

KINDS = {"score": pa.float64(), "expires_on": pa.date32()}


def diff_of(table: pa.Table, state: pa.Table | None) -> Diff:
    fields = fields_for(load_fields(HOME / "include" / "config"), table.column_names)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.parquet"
        pq.write_table(table, path)
        return compare([path], state, fields, as_of=DAY, refresh_before_days=2)


def state_after(diff: Diff) -> pa.Table:
    """The ledger's view once everything in a diff was accepted."""
    changes = diff.changes
    columns = {"lead_id": "lead_id", "accepted_digest": "digest", "score": "score", "bucket": "bucket"}
    table = pa.table({name: changes[source] for name, source in columns.items()})
    table = table.append_column("expires_on", changes["expires_on"])
    for name in ("parked_digest", "parked_code"):
        table = table.append_column(name, pa.nulls(changes.num_rows, pa.string()))
    return table.append_column("parked_as_of", pa.nulls(changes.num_rows, pa.date32()))


scores = st.dictionaries(st.integers(0, 30).map(lead_id), st.floats(0, 1), min_size=1, max_size=20)


@settings(max_examples=40, deadline=None)
@given(scores, scores)
def test_every_lead_is_unchanged_or_changed_and_only_changes_are_found(
    before: dict[str, float], after: dict[str, float]
) -> None:
    first = diff_of(score_rows(dict(before)), None)
    assert first.changes.num_rows == first.leads == len(before)
    state = state_after(first)
    assert diff_of(score_rows(dict(before)), state).changes.num_rows == 0
    second = diff_of(score_rows(dict(after)), state)
    assert second.leads == second.unchanged + second.parked + second.closed + second.changes.num_rows

    def shown(score: float) -> tuple[str, str]:
        return f"{score:.4f}", f"{100 * score:.2f}"

    changed = set(second.changes["lead_id"].to_pylist())
    clear = {one for one in after if one not in before or abs(after[one] - before[one]) > 0.0002}
    same = {one for one in after if before.get(one) == after[one]}
    assert clear <= changed
    assert not same & changed


def ranked(order: list[int]) -> pa.Table:
    """Leads whose scores never change, in the order in which they are called today."""
    table = score_rows({lead_id(number): 0.2 for number in sorted(order)})
    return table.append_column("rank", pa.array([order.index(number) + 1 for number in sorted(order)], pa.int64()))


def test_a_new_lead_at_the_top_moves_every_rank_and_resends_only_the_exact_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = [
        dataclasses.replace(field, exact_to=3) if field.exact_to else field
        for field in load_fields(HOME / "include" / "config")
    ]
    monkeypatch.setattr("tests.salesforce.test_diff.load_fields", lambda folder: tuple(fields))
    state = state_after(diff_of(ranked(list(range(1, 11))), None))
    assert diff_of(ranked(list(range(1, 11))), state).changes.num_rows == 0
    changes = diff_of(ranked([99, *range(1, 11)]), state).changes
    # lead 3 leaves the exact ranks; leads 4 to 10 move from 4-10 to 5-11, which is no reason to write
    sent = dict(zip(changes["lead_id"].to_pylist(), changes["Lead_Score_Rank__c"].to_pylist(), strict=True))
    assert sent == {lead_id(99): "1", lead_id(1): "2", lead_id(2): "3", lead_id(3): "4"}


def test_two_scores_of_one_lead_are_both_set_aside() -> None:
    table = pa.concat_tables([score_rows({lead_id(1): 0.1, lead_id(2): 0.2}), score_rows({lead_id(1)[:15]: 0.9})])
    found = diff_of(table, None).changes.select(["lead_id", "code"]).to_pylist()
    assert [row["code"] for row in found] == ["DUPLICATE_ID", None, "DUPLICATE_ID"]


def test_scores_of_another_day_are_refused() -> None:
    with pytest.raises(BadInput, match="scores are of 2024-12-20, the run's as-of date is 2024-12-21"):
        diff_of(score_rows({lead_id(1): 0.1}, DAY - dt.timedelta(days=1)), None)


def test_no_scores_are_no_changes() -> None:
    diff = diff_of(score_rows({lead_id(1): 0.1}).slice(0, 0), None)
    assert (diff.leads, diff.changes.num_rows, diff.sendable, diff.bucket_change_share) == (0, 0, 0, 0.0)


def test_bucket_changes_count_leads_that_had_a_bucket() -> None:
    state = state_after(diff_of(score_rows({lead_id(1): 0.1, lead_id(2): 0.8}), None))
    diff = diff_of(score_rows({lead_id(1): 0.9, lead_id(2): 0.1, lead_id(3): 0.9}), state)
    assert diff.bucket_changes == {("Cold", "Very Hot"): 1, ("Very Hot", "Cold"): 1}
    assert diff.bucket_change_share == pytest.approx(2 / 3)
