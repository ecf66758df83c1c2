from __future__ import annotations

from lab.bench.sync import run


def test_the_benchmark_sends_everything_then_nothing_then_what_changed_and_takes_it_back() -> None:
    figures = run(rows=300, wait_seconds=0.01)
    assert (figures["first_sent"], figures["unchanged_sent"]) == (300, 0)
    assert figures["changed_sent"] == figures["undo_sent"] > 290
