"""What has an end goes when it has come: old runs, old partitions, replaced content."""

from __future__ import annotations

import datetime as dt
from typing import Any

from lead_scoring.errors import BadInput
from lead_scoring.pipeline.delivery import Delivery
from lead_scoring.stage import find_record

RECORDED = ("materialize_features", "publish_scores")  # what `why` looks up


class Maintenance(Delivery):
    """Upkeep, beside the stages."""

    def tidy(self, now: dt.datetime, *, dry_run: bool = False) -> dict[str, Any]:
        """Remove what nobody needs any more, and say what went.

        What a champion and the version that a rollback would restore were made of stays, as does the sync that an undo
        would take back or that was interrupted, and, of every day that still has scores, the record that `why` reads.

        :param now: entries of the runs store older than ``storage.keep_runs_days`` before it are past their end.
        :param dry_run: only say what would go.
        :return: ``runs`` (:class:`lead_scoring.retention.FreedRuns`), ``partitions`` (those that were dropped),
            ``replaced_bytes`` (content of partitions that was replaced more than a day ago), ``dry_run``.
        """
        from lead_scoring.retention import tidy_partitions, tidy_runs
        from lead_scoring.salesforce.journal import active
        from lead_scoring.warehouse.definitions import table_definitions

        tables = table_definitions(self.settings.sql_folder)
        needed, syncs = self._needed()
        partitions = tidy_partitions(self.warehouse, tables.values(), needed=syncs, dry_run=dry_run)
        gone = {item["partition"] for item in partitions if item["table"] == "lead_scores"}
        days = []
        if "lead_scores" in self.warehouse.tables():
            days = [day for day in self.warehouse.partitions("lead_scores", key="as_of") if day not in gone]
        freed = tidy_runs(
            self.runs,
            before=now - dt.timedelta(days=self.settings.storage.keep_runs_days),
            needed=needed,
            recorded=RECORDED,
            records_before=dt.date.fromisoformat(min(days)) if days else None,
            journal=active(self.runs)[0]["folder"],
            dry_run=dry_run,
        )
        return {
            "dry_run": dry_run,
            "runs": freed.to_dict(),
            "partitions": partitions,
            "replaced_bytes": self.warehouse.vacuum(dry_run=dry_run),
        }

    def _needed(self) -> tuple[dict[tuple[str, str], str], set[str]]:
        """Entries of the runs store that stay, with the reason; and the run keys of syncs whose log stays."""
        needed: dict[tuple[str, str], str] = {}
        for version, reason in self._standing_versions().items():
            for stage, run in self.details_of(version).get("run", {}).items():
                if isinstance(run, dict) and "key" in run:
                    needed[stage, run["key"]] = reason
        status = self.sync_status()
        syncs = {
            key: reason
            for key, reason in (
                (status["last_run"], "`sync undo` would take it back"),
                (status["interrupted_run"], "its sync was interrupted"),
            )
            if key
        }
        for key, reason in syncs.items():
            run = key.removeprefix("undo-")
            needed["publish_scores", run] = reason
            if (published := find_record(self.runs, "publish_scores", run)) is not None:
                needed["materialize_features", published.figures["run_key"]] = reason
        return needed, {key.removeprefix("undo-") for key in syncs} | set(syncs)

    def _standing_versions(self) -> dict[str, str]:
        """The champion and what a rollback would restore, with what each is."""
        champion = self.registry.champion()
        if champion is None:
            return {}
        versions = {champion: f"{champion} in production was made of it"}
        try:
            before = self.registry.state().previous_champion()
        except BadInput:  # there never was another champion
            return versions
        return {before: f"{before}, which a rollback restores, was made of it", **versions}
