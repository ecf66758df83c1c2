"""Which column of a table is which: by its exact name, by a map that a person gave, and never by a guess.

A name that is only alike is named with the way to map it. Silence would be worse than a refusal: a column ``Target``
before the true ``target``, or a ``contacted_date`` that nobody reads, gives figures that look right and are not.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lead_scoring.errors import BadInput
from lead_scoring.text import shown

Remedy = Callable[[str, str], str]
Sample = Callable[[str], Sequence[Any]]
"""The first values of a column that are not missing: what tells a look-alike from a chance likeness."""

# Names under which a column travels, without blanks, signs and capitals. From exports of Salesforce, HubSpot, FINTRX
# and from scikit-learn's and Kaggle's habits.
KNOWN_AS: Mapping[str, str] = {
    "lead_id": (
        "id leadid idlead leadsid sfid sfleadid leadsfid salesforceid salesforceleadid "
        "leadsalesforceid sfdcid sfdcleadid recordid leadrecordid lead id18 leadid18 casesafeid "
        "leadkey"
    ),
    "contacted_at": (
        "contacteddate contactedon contacted contactedtime contactedtimestamp contacteddatetime "
        "contactedts contactdate contacttime contactat contacton contacttimestamp datecontacted "
        "datecontact firstcontactedat firstcontacted firstcontactdate firstcontactat contactedatutc "
        "contacteddateutc contactdt contactts stageenteredcontacting pitdate pit"
    ),
    "target": (
        "converted isconverted hasconverted didconvert conversion conversionflag convertedflag label "
        "labels outcome y ytrue targets targetlabel isconversion convertedyn convertedlead "
        "leadconverted istarget success"
    ),
    "raw_score": (
        "score rawscores scores probability proba prob prediction predicted predictedprobability pred "
        "yprob yscore ypred yhat modelscore uncalibratedscore uncalibrated raw leadscore"
    ),
    "call_scheduled_at": (
        "callscheduleddate callscheduledon callscheduled calldate stageenteredcallscheduled "
        "scheduledcallat scheduledat callbookedat callbooked"
    ),
    "recorded_at": (
        "recordeddate recordedon recorded recordedts recordedtime recorddate loadedat insertedat "
        "ingestedat knownfrom validfrom systemmodstamp"
    ),
    "advisor_crd": "crd advisorcrdid crdid crdnumber advisorcrdnumber facrd repcrd contactcrdid",
    "firm_crd": "firmcrdid firmcrdnumber companycrd companycrdid riacrd firmid",
    "start_date": "startdate start started startedon startson datestarted fromdate datefrom",
    "end_date": "enddate end ended endedon endson dateended todate dateto termdate leftdate",
    "month": "yearmonth snapshotmonth monthstart monthdate reportmonth",
    "total_aum": "aum firmaum totalaumusd aumtotal totalassets",
}

_BLANKS = re.compile(r"[\s\u00a0\u200b-\u200d\u2060\ufeff]+")
_SIGNS = re.compile(r"[^0-9a-z]+")
_LEAD_ID = re.compile(r"\s*[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?\s*")
_DATE = re.compile(r"\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")
_FLAGS = {"0", "1", "0.0", "1.0", "true", "false", "yes", "no", "y", "n", "t", "f"}
_CLOSE, _CLOSE_ENOUGH_TO_STOP = 0.75, 0.88


@dataclass(frozen=True)
class Column:
    """A column that a command reads.

    :param kind: what its values are: a name in :mod:`lead_scoring.tables.values`.
    :param also: other names of the same column.
    :param required: without it the table is refused.
    :param matters: False for one that nothing is computed from: no look-alike of it is asked about.
    """

    name: str
    kind: str
    also: tuple[str, ...] = ()
    required: bool = True
    matters: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.name, *self.also)))


def parse_maps(texts: Sequence[str], option: str = "--map") -> dict[str, str]:
    """``["contacted_date=contacted_at"]`` as a mapping; ``["notes="]`` says that a column is not to be read.

    :raises BadInput: no ``=``, an empty name, or one column twice.
    """
    maps: dict[str, str] = {}
    for text in texts:
        theirs, sign, ours = text.partition("=")
        if not sign or not theirs.strip():
            raise BadInput(
                f"{option} {shown(text, maximum=80)!r} is no map; write {option} THEIRS=OURS, for example "
                f"{option} contacted_date=contacted_at, or {option} THEIRS= for a column that is not to be read"
            )
        if theirs in maps:
            raise BadInput(f"{option} names the column {shown(theirs)!r} twice; give it one meaning")
        maps[theirs] = ours.strip()
    return maps


def resolve(
    names: Sequence[str],
    wanted: Sequence[Column],
    *,
    table: str,
    maps: Mapping[str, str] | None = None,
    sample: Sample | None = None,
    needs: str = "",
    library: bool = False,
) -> dict[str, str]:
    """Name of the wanted column to name in the table, for every one that is there.

    :param table: how the table is called in an error: ``feature table leads.csv``.
    :param maps: name in the table to name of a column here; an empty one leaves the column out.
    :param sample: the first values of a column, to tell whether a look-alike can be what it looks like.
    :param needs: ends the error about missing columns: who needs them.
    :param library: the table is an object of the caller, who renames a column instead of mapping it.
    :raises BadInput: two columns differ only in case or blanks or mean the same; a required one is missing; one that
        is missing has a look-alike; a map names no column.
    """
    maps = maps or {}
    remedy = _renamed if library else _mapped
    meanings = {name: column.name for column in wanted for name in column.names}
    for theirs, ours in maps.items():
        if theirs not in names:
            raise BadInput(f"{table} has no column {shown(theirs)!r}, which --map names; it has {_listed(names)}")
        if ours and ours not in meanings:
            raise BadInput(
                f"--map {shown(theirs)}={shown(ours)}: nothing here reads a column {shown(ours)!r}; "
                f"the columns are {_listed([column.name for column in wanted])}"
            )
    kept = [name for name in names if maps.get(name) != ""]
    _refuse_twins(kept, table, remedy)
    found: dict[str, str] = {}
    for name in kept:
        meaning = meanings.get(maps.get(name, name))
        if meaning is None:
            continue
        if meaning in found:
            raise BadInput(
                f"{table} has two columns for {meaning!r}: {shown(found[meaning])!r} and {shown(name)!r}; leave one of "
                f"them out ({remedy(name, '')} leaves that one out)"
            )
        found[meaning] = name
    _refuse_numbered(kept, found, table, remedy)
    missing = [column for column in wanted if column.name not in found and (column.required or column.matters)]
    unread = [name for name in kept if name not in found.values()]
    alike = {column.name: _alike(column, unread, sample) for column in missing}
    lacking = [column for column in missing if column.required]
    if lacking:
        listed = ", ".join(repr(column.name) for column in lacking)
        raise BadInput(
            f"{table} has no column {listed}{_hint(lacking, alike, remedy)}"
            f"{f'; {needs}' if needs else ''}; it has {_listed(names)}"
        )
    for column in missing:
        if alike[column.name]:
            theirs = alike[column.name]
            raise BadInput(
                f"{table} has no column {column.name!r}, but {shown(theirs)!r} looks like it: "
                f"{remedy(theirs, column.name)} if it is, {remedy(theirs, '')} if it is not"
            )
    return found


def _refuse_twins(names: Sequence[str], table: str, remedy: Remedy) -> None:
    first: dict[str, str] = {}
    for name in names:
        folded = _BLANKS.sub("", name).casefold()
        if not folded:
            continue  # an index or a trailing separator: a column without a name is never read
        if folded not in first:
            first[folded] = name
        elif first[folded] == name:
            raise BadInput(f"column {shown(name)!r} stands in the table twice ({table}); leave one of them out")
        else:
            raise BadInput(
                f"{table} has two columns that differ only in case or blanks, {first[folded]!r} and {name!r}; leave "
                f"one of them out of the table ({remedy(first[folded], '')} or {remedy(name, '')} does)"
            )


def _refuse_numbered(names: Sequence[str], found: Mapping[str, str], table: str, remedy: Remedy) -> None:
    """pandas, DuckDB and R call the second column ``target`` of a file ``target.1``, ``target_1`` or ``target.1``."""
    taken = {theirs: ours for ours, theirs in found.items()}
    for name in names:
        stem, sign, number = name.rpartition("." if "." in name else "_")
        if sign and number.isdigit() and len(number) < 3 and stem in taken and name not in taken:
            raise BadInput(
                f"{table} has the columns {stem!r} and {shown(name)!r}: a second column {stem!r} that a program "
                f"renamed; leave one of them out ({remedy(name, '')} leaves that one out)"
            )


def _alike(column: Column, unread: Sequence[str], sample: Sample | None) -> str:
    """The most probable of the unread columns, or nothing. For a required column a weaker likeness is enough."""
    least = _CLOSE if column.required else _CLOSE_ENOUGH_TO_STOP
    best, likeness = "", 0.0
    for name in unread:
        score = max(_likeness(name, ours) for ours in column.names)
        if score >= least and score > likeness and (column.required or _can_be(column.kind, name, sample)):
            best, likeness = name, score
    return best


def _likeness(theirs: str, ours: str) -> float:
    """1 for a name that differs in signs and case only, or is known to be used for it; else how much letters agree."""
    plain = _SIGNS.sub("", re.sub(r"__c$", "", theirs.strip().casefold()))
    wanted = _SIGNS.sub("", ours.casefold())
    if not plain:
        return 0.0
    if plain == wanted or plain in KNOWN_AS.get(ours, "").split():
        return 1.0
    return difflib.SequenceMatcher(None, plain, wanted, autojunk=False).ratio()


def _can_be(kind: str, name: str, sample: Sample | None) -> bool:
    if sample is None:
        return True
    values = list(sample(name))
    if not values:
        return False
    if kind == "lead_id":
        return all(isinstance(value, str) and _LEAD_ID.fullmatch(value) for value in values)
    if kind in {"time", "day"}:
        return all(isinstance(value, dt.date) or (isinstance(value, str) and _DATE.match(value)) for value in values)
    if kind == "flag":
        return all(str(value).strip().lower() in _FLAGS for value in values)
    return True


def _hint(lacking: Sequence[Column], alike: Mapping[str, str], remedy: Remedy) -> str:
    hints = [remedy(alike[column.name], column.name) for column in lacking if alike[column.name]]
    if not hints:
        return ""
    return (
        f", but {'a name that looks like it' if len(hints) == 1 else 'names that look like some'}: {', '.join(hints)}"
    )


def _mapped(theirs: str, ours: str) -> str:
    text = f"{shown(theirs)}={ours}"
    return f"--map '{text}'" if re.search(r"[^\w.=-]", text) else f"--map {text}"


def _renamed(theirs: str, ours: str) -> str:
    return f"rename {shown(theirs)!r} to {ours!r}" if ours else f"drop {shown(theirs)!r}"


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(shown(name, maximum=60) or "''" for name in names[:20])
    return listed + (f" and {len(names) - 20} more" if len(names) > 20 else "")
