"""The registry: register, promote, roll back, archive, reject, and answer what was in production when.

The events are the truth. ``registry/registry.json`` is written from them after each event, in the document's shape, for
people and tools that want one file; nothing here reads it. Each command looks at the state, decides, and appends one
event under the number that follows the state it saw. If somebody else was faster it looks again. One event changes the
champion and archives the one before, so at every point of the log there is exactly one version in production, from the
first promotion on.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from lead_scoring.errors import BadInput, Conflict, LeadScoringError
from lead_scoring.model.native import check_version
from lead_scoring.registry.events import REGISTRY_FILE, Event, EventLog, derived_content
from lead_scoring.registry.package import check_files, place_function, stored_manifest_digest
from lead_scoring.registry.state import Entry, State, fold, moment
from lead_scoring.storage import ObjectStore

PERFORMANCE = ("test_auc_roc", "test_auc_pr", "top_decile_lift", "baseline_rate", "top_decile_rate")
CALIBRATION = ("method", "brier_score")
GATE = ("accepted", "forced", "reasons")
CHANGES = ("promote", "rollback")  # events that change what is in production


def utc_now() -> dt.datetime:
    """When an event is recorded. The one place where the registry reads a clock."""
    return dt.datetime.now(dt.UTC)


class Registry:
    """The registry in one object store. Cheap to make; reads each event once. One for each thread.

    :param store: the store of ``settings.storage.models``: ``production/`` and ``registry/`` lie below its root.
    :param clock: replaced in tests.
    """

    def __init__(self, store: ObjectStore, clock: Callable[[], dt.datetime] = utc_now) -> None:
        self.store = store
        self._clock = clock
        self._log = EventLog(store)
        self._state = State()

    def state(self, at: str | dt.date | dt.datetime | None = None) -> State:
        """The registry now, or as it was at a time. :raises CheckFailed: the log was tampered with, or lost events."""
        events = self._log.read_whole()
        if at is not None:
            end = moment(at)
            return fold(event for event in events if event.at <= end)
        return self._latest()

    def _latest(self) -> State:
        """The registry now, without the look at ``registry.json``: each command has taken it when it began."""
        for event in self._log.read()[self._state.last.number if self._state.last else 0 :]:
            self._state.apply(event)
        return self._state

    def champion(self, at: str | dt.date | dt.datetime | None = None) -> str | None:
        """The version in production, None before the first promotion."""
        return self.state(at).champion

    def entries(self, at: str | dt.date | dt.datetime | None = None) -> list[dict[str, Any]]:
        """All versions in the order of their registration, as in ``registry.json``."""
        return [entry.to_dict() for entry in self.state(at).entries.values()]

    def show(self, version: str) -> dict[str, Any]:
        """One version as in ``registry.json``. :raises NotFound: it is not registered."""
        return self.state().entry(version).to_dict()

    def history(self, at: str | dt.date | dt.datetime | None = None) -> list[dict[str, Any]]:
        """The events, oldest first, up to a time. Each has ``champion``: what was in production after it."""
        end = moment(at) if at is not None else None
        state = State()
        events = []
        for event in self._log.read_whole():
            if end is not None and event.at > end:
                break
            state.apply(event)
            events.append({**event.to_dict(), "champion": state.champion})
        return events

    def register(
        self,
        version: str,
        *,
        manifest_digest: str,
        performance: Mapping[str, Any],
        calibration: Mapping[str, Any],
        feature_set: str,
        run: Any,
        actor: str,
        reason: str,
        request: str = "",
    ) -> Entry:
        """Enter a published version as staged. Again with the same manifest: nothing happens.

        :param manifest_digest: SHA-256 in hex of ``production/manifest_<version>.json``.
        :param performance: the document's five figures; None where the holdout could not give one.
        :param calibration: ``method`` and ``brier_score``, and whatever else belongs to it.
        :param feature_set: name of the feature set it was trained on.
        :param run: what made it: the run key, or any JSON value.
        :raises Conflict: the version is registered with another manifest, or the stored manifest is another one.
        :raises NotFound: the version's manifest is not in the store: publish the package first.
        """
        check_version(version)
        figures = _json_values("performance", performance, PERFORMANCE)
        method = _json_values("calibration", calibration, CALIBRATION)
        origin = _json_values("run", {"run": run}, ())["run"]
        stored = stored_manifest_digest(self.store, version)
        if stored != manifest_digest:
            raise Conflict(
                f"version {version} has manifest {stored[:12]} in {self.store.uri}, not {manifest_digest[:12]}; "
                "a version's files never change: package the model again under a new version"
            )

        def decide(state: State) -> Event | None:
            if (known := state.entries.get(version)) is not None:
                if known.manifest_digest == manifest_digest:
                    return None
                raise Conflict(
                    f"version {version} is registered with manifest {known.manifest_digest[:12]}, not "
                    f"{manifest_digest[:12]}; a version's files never change: package the model under a new version"
                )
            return self._next(
                "register",
                version,
                actor,
                reason,
                request,
                manifest_digest=manifest_digest,
                performance=figures,
                calibration=method,
                feature_set=feature_set,
                run=origin,
            )

        return self._commit(decide, request).entry(version)

    def promote(
        self,
        version: str,
        reason: str,
        actor: str,
        *,
        expected: str | None = None,
        request: str = "",
        gate: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Put a version into production and archive the champion. The champion again: its function code is placed anew.

        :param expected: the champion that is to be replaced, "" for none. If it is another one by now, nothing is done.
        :param request: an id of this request, for example the Airflow run. The same id again changes nothing, even if
            the champion has changed since.
        :param gate: what the release gate said, kept with the event: ``{"accepted", "forced", "reasons"}``, ``forced``
            for a promotion against it. None where no gate was asked: a person promotes by hand.
        :raises CheckFailed: a file of the version is not the one that was packaged.
        :raises Conflict: ``expected`` is not the champion.
        :raises BadInput: the version was rejected. :raises NotFound: it is not registered.
        """

        sound = self._files_checker()

        def decide(state: State) -> Event | None:
            entry = state.entry(version)
            if entry.status == "production":
                sound(entry)
                place_function(self.store, version, entry.manifest_digest)  # mends what was changed since
                return None
            _check_expected(state, expected)
            state.check("promote", version)
            sound(entry)
            details = {} if gate is None else {"gate": _json_values("gate", gate, GATE)}
            return self._next("promote", version, actor, reason, request, replaced=state.champion, **details)

        return self._commit(decide, request).entry(version)

    def rollback(self, reason: str, actor: str, *, expected: str | None = None, request: str = "") -> Entry:
        """Put the champion before this one back into production and archive this one.

        :param expected: the version that is to be taken out. If the last change of production was its rollback, that is
            done already and no event is added, so the call may be repeated. Without it a second call goes back further.
        :param request: as in :meth:`promote`.
        :return: the entry that is in production now.
        :raises Conflict: ``expected`` is not the champion, and not because of its rollback.
        :raises BadInput: there is no earlier champion.
        """

        sound = self._files_checker()

        def decide(state: State) -> Event | None:
            if expected and self.taken_out(expected) is not None:
                return None
            _check_expected(state, expected)
            version = state.previous_champion()
            sound(state.entry(version))
            return self._next("rollback", version, actor, reason, request, replaced=state.champion)

        state = self._commit(decide, request)
        return state.entry(str(state.champion))

    def taken_out(self, version: str) -> Event | None:
        """The rollback that took a version out, if nothing has changed production since."""
        changes = [event for event in self._log.read() if event.kind in CHANGES]
        last = changes[-1] if changes else None
        return last if last and last.kind == "rollback" and last.details.get("replaced") == version else None

    def archive(self, version: str, reason: str, actor: str, *, request: str = "") -> Entry:
        """Take a staged version off the list of candidates. It can still be promoted."""
        return self._retire("archive", "archived", version, reason, actor, request)

    def reject(self, version: str, reason: str, actor: str, *, request: str = "") -> Entry:
        """Bar a version from production for good: the gate or a person said no. Never possible for the champion."""
        return self._retire("reject", "rejected", version, reason, actor, request)

    def refresh(self) -> None:
        """Derive from the events what others read: the champion's function files, then ``registry.json``.

        Every command that changes something does it, also one that finds its event recorded already. So what a killed
        command left undone is done by its retry, or by the next command.
        """
        placed: str | None = None
        while True:
            data, generation = self.store.read_generation(REGISTRY_FILE)
            state = self._latest()  # after the file, so that what the file was derived from has been read
            if state.last is None or (data == state.to_json() and placed in {None, state.champion}):
                return
            if placed is None and not self._champion_moved_since(derived_content(data).get("last_event")):
                placed = state.champion  # whoever wrote that file placed the function code before it
            if state.champion is not None and state.champion != placed:
                place_function(self.store, state.champion, state.entries[state.champion].manifest_digest)
                placed = state.champion
            try:
                self.store.write(REGISTRY_FILE, state.to_json(), if_generation=generation)
            except Conflict:  # somebody else writes it too: look whether there is anything left to do
                _give_way()
                continue
            return

    def _retire(self, action: str, status: str, version: str, reason: str, actor: str, request: str) -> Entry:
        def decide(state: State) -> Event | None:
            if state.entry(version).status == status:
                return None
            state.check(action, version)
            return self._next(action, version, actor, reason, request)

        return self._commit(decide, request).entry(version)

    def _files_checker(self) -> Callable[[Entry], None]:
        """Checks the files of a version, each version once for one command however often that has to look again."""
        checked: set[str] = set()

        def check(entry: Entry) -> None:
            if entry.version_id not in checked:
                check_files(self.store, entry.version_id, entry.manifest_digest)
                checked.add(entry.version_id)

        return check

    def _next(self, kind: str, version: str, actor: str, reason: str, request: str, **details: Any) -> Event:
        return self._log.next(
            kind, version, clock=self._clock(), actor=actor, reason=reason, request=request, **details
        )

    def _commit(self, decide: Callable[[State], Event | None], request: str) -> State:
        """Append what ``decide`` makes of the present state, as often as somebody else is faster."""
        self.state()  # a log that lost events takes no new ones
        recorded: Event | None = None
        while recorded is None:
            state = self._latest()
            if request and any(event.request == request for event in self._log.known):
                break
            event = decide(state)  # gets the number that follows what `state` knows: nothing is read in between
            if event is None:
                break
            try:
                self._log.append(event)
                recorded = event
            except Conflict:
                _give_way()
        try:
            self.refresh()
        except LeadScoringError as error:
            if recorded is None:
                raise
            raise type(error)(
                f"event {recorded.number} ({recorded.kind} {recorded.version_id}) is recorded and holds, but the files "
                f"derived from it are not up to date: {error}; then {_repetition(recorded)}"
            ) from error
        return self._latest()

    def _champion_moved_since(self, number: object) -> bool:
        """Whether an event after this one changed what is in production; yes if the number is none."""
        events = self._log.read()
        return not isinstance(number, int) or any(event.kind in CHANGES for event in events[number:])


def _repetition(event: Event) -> str:
    """What to do to bring the derived files up to date, and nothing else."""
    if event.kind != "rollback":
        return "give the same command again"
    replaced = event.details["replaced"]
    return f'give `lead-scoring registry rollback --from {replaced} --reason "..."`, which goes back no further'


def _give_way() -> None:
    """Wait a moment of random length, so that writers who met do not meet again in step. No result depends on it."""
    time.sleep(random.uniform(0.0, 0.02))


def _check_expected(state: State, expected: str | None) -> None:
    if expected is not None and (state.champion or "") != expected:
        raise Conflict(
            f"champion is {state.champion or 'none'}, not {expected or 'none'}: it changed in the meantime; "
            "look at `registry history` and decide anew"
        )


def _json_values(name: str, values: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """A copy that JSON can hold. :raises BadInput: a key is missing, or a value is not for JSON."""
    for key in keys:
        if key not in values:
            raise BadInput(f"{name}.{key} is missing; {name} needs {', '.join(keys)} (None where there is no figure)")
        if isinstance(values[key], float) and not math.isfinite(values[key]):
            raise BadInput(f"{name}.{key} is {values[key]}; give a finite number, or None where there is no figure")
    try:
        return dict(json.loads(json.dumps(dict(values), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} cannot be written as JSON: {error}; give numbers, text, lists and objects") from error
