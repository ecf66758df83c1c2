"""Any sequence of commands, against a model of the registry that is a page long."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_scoring.errors import BadInput
from lead_scoring.registry.events import Event
from lead_scoring.registry.state import State, fold, moment

VERSIONS = [f"v1-20241221-{number:08x}" for number in range(3)]
START = dt.datetime(2024, 12, 21, tzinfo=dt.UTC)


def follow(state: State, kind: str, version: str) -> Event:
    number = state.last.number + 1 if state.last else 1
    at = (START + dt.timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    details = {key: {} for key in ("performance", "calibration")} if kind == "register" else {}
    details |= {"manifest_digest": "", "feature_set": "", "run": ""} if kind == "register" else {}
    previous = state.last.digest if state.last else ""
    return Event(number, kind, version, at, "cli:test", "why", "", details, previous)


def carry_out(state: State, kind: str, version: str) -> Event | None:
    """The event of a command, None if it is refused."""
    try:
        if kind == "rollback":
            version = state.previous_champion()
        else:
            state.check(kind, version)
    except BadInput:
        return None
    event = follow(state, kind, version)
    state.apply(event)
    return event


class Model:
    """The same rules, told in another way: a line of champions and two sets."""

    def __init__(self) -> None:
        self.line: list[str] = []
        self.rejected: set[str] = set()
        self.archived: set[str] = set()

    def carry_out(self, kind: str, version: str) -> bool:
        champion = self.line[-1] if self.line else None
        if kind == "promote" and version != champion and version not in self.rejected:
            self.line.append(version)
            self.archived = (self.archived | {champion}) - {version, None} if champion else self.archived - {version}
            return True
        if kind == "reject" and version != champion and version not in self.rejected:
            self.rejected.add(version)
            self.archived.discard(version)
            return True
        if kind == "archive" and version != champion and version not in self.rejected | self.archived:
            self.archived.add(version)
            return True
        if kind == "rollback":
            earlier = [index for index, item in enumerate(self.line) if item != champion and item not in self.rejected]
            if earlier:
                self.line = self.line[: earlier[-1] + 1]
                self.archived = (self.archived | {str(champion)}) - {self.line[-1]}
                return True
        return False

    def status(self, version: str) -> str:
        if self.line and self.line[-1] == version:
            return "production"
        return "rejected" if version in self.rejected else "archived" if version in self.archived else "staged"


COMMANDS = st.tuples(
    st.sampled_from(["promote", "promote", "rollback", "archive", "reject"]), st.sampled_from(VERSIONS)
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(COMMANDS, max_size=25))
def test_any_sequence_of_commands_leaves_exactly_one_champion_and_the_statuses_of_the_model(
    commands: list[tuple[str, str]],
) -> None:
    state, model = State(), Model()
    events = []
    for version in VERSIONS:
        events.append(follow(state, "register", version))
        state.apply(events[-1])
    for kind, version in commands:
        event = carry_out(state, kind, version)
        assert (event is not None) == model.carry_out(kind, version)
        events += [event] if event else []
        statuses = [entry.status for entry in state.entries.values()]
        assert statuses == [model.status(item) for item in VERSIONS]
        assert statuses.count("production") == (1 if model.line else 0)
        assert state.champion == (model.line[-1] if model.line else None)
    assert fold(events).to_json() == state.to_json(), "the state is what the events say, however often they are read"
    for number, event in enumerate(events, 1):
        assert Event.from_bytes(event.to_bytes(), "event") == event
        assert fold(events[:number]).entries.keys() <= state.entries.keys()


@pytest.mark.parametrize("at", ["20241221", "2024-12-21", "2024-W51-6", dt.date(2024, 12, 21)])
def test_a_day_however_it_is_written_means_its_end(at: str | dt.date) -> None:
    assert moment(at) == "2024-12-21T23:59:59.999999Z"
    assert moment("20241221T0600") == moment("2024-12-21T06:00:00Z") == "2024-12-21T06:00:00.000000Z"


@pytest.mark.parametrize("at", ["0900-01-01", "0001-01-01T00:00+05:00", "9999-12-31T23:59-05:00", "yesterday", ""])
def test_a_time_out_of_range_is_refused_by_name(at: str) -> None:
    with pytest.raises(BadInput, match="give"):
        moment(at)
