"""What the stages published, once it is past ``storage.keep_runs_days``.

An entry of the runs store is one folder ``<stage>/<key>``: a manifest, its files, and the files of attempts that were
killed or came second. The manifest goes first, so a kill in between leaves files that nobody refers to, which the next
run of this removes, and never a manifest without its files.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lead_scoring.stage import RECORDS, canonical_json, find_manifest, manifest_name, record_name
from lead_scoring.storage import ObjectStore, StoredObject

_ENTRY = re.compile(r"(?P<stage>[a-z_]+)/(?P<key>\d{8}-[0-9a-f]+)/.+")
_JOURNAL = re.compile(r"(?P<folder>salesforce/\d+-[^/]+)/.+")
_RECORD = re.compile(re.escape(RECORDS) + r"[a-z_]+/(?P<day>\d{8})-[0-9a-f]+\.json")


@dataclass
class FreedRuns:
    """:param by_stage: entries that went, by stage; ``journals`` and ``records`` are those of syncs and of old runs.

    :param kept: entries that are past their end and stay, each with the reason.
    """

    objects: int = 0
    bytes: int = 0
    by_stage: dict[str, int] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, objects: Collection[StoredObject]) -> None:
        self.by_stage[kind] = self.by_stage.get(kind, 0) + 1
        self.objects += len(objects)
        self.bytes += sum(item.bytes for item in objects)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "by_stage": dict(sorted(self.by_stage.items()))}


def tidy_runs(
    runs: ObjectStore,
    *,
    before: dt.datetime,
    needed: dict[tuple[str, str], str],
    recorded: Collection[str],
    records_before: dt.date | None,
    journal: str | None,
    dry_run: bool = False,
) -> FreedRuns:
    """Remove entries whose last object was written before a time.

    :param needed: (stage, key) of entries that stay, with the reason.
    :param recorded: stages of which a record stays: the manifest without its files, for who asks where a score is from.
    :param records_before: records of earlier days go: no score of theirs is left. None: all stay.
    :param journal: folder of the sync that is under way or was the last; it stays.
    :param dry_run: only count.
    """
    entries: dict[tuple[str, str], list[StoredObject]] = defaultdict(list)
    journals: dict[str, list[StoredObject]] = defaultdict(list)
    freed = FreedRuns()
    for item in runs.entries():
        if found := _RECORD.fullmatch(item.name):
            if records_before and dt.datetime.strptime(found["day"], "%Y%m%d").date() < records_before:  # noqa: DTZ007
                _remove(runs, "records", [item], freed, dry_run)
        elif found := _JOURNAL.fullmatch(item.name):
            journals[found["folder"]].append(item)
        elif found := _ENTRY.fullmatch(item.name):
            entries[found["stage"], found["key"]].append(item)
    for (stage, key), objects in entries.items():
        if max(item.written for item in objects) >= before:
            continue
        if (stage, key) in needed:
            freed.kept[f"{stage}/{key}"] = needed[stage, key]
            continue
        if stage in recorded and not dry_run and (standing := find_manifest(runs, stage, key)) is not None:
            runs.write(record_name(stage, key), canonical_json(replace(standing, files={}).to_dict()))
        objects.sort(key=lambda item: item.name != manifest_name(stage, key))
        _remove(runs, stage, objects, freed, dry_run)
    for folder, objects in journals.items():
        if folder != journal and max(item.written for item in objects) < before:
            _remove(runs, "journals", objects, freed, dry_run)
    return freed


def _remove(runs: ObjectStore, kind: str, objects: list[StoredObject], freed: FreedRuns, dry_run: bool) -> None:
    freed.add(kind, objects)
    if not dry_run:
        for item in objects:
            runs.delete(item.name)
