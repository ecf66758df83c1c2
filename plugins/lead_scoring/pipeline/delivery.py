"""From a champion to Salesforce: score, publish, sync, and the proof of each afterwards."""

from __future__ import annotations

import contextlib
import datetime as dt
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lead_scoring.errors import CheckFailed, NotFound
from lead_scoring.pipeline.clients import Clients
from lead_scoring.stage import Manifest, find_record, run_key, run_stage


class Delivery(Clients):
    """The stages of a day, in order."""

    def batch_score(self, features: Manifest, version: str, shard: str) -> Manifest:
        """Score one shard of the feature table with one version.

        :param shard: logical name of the shard in the features manifest.
        """
        from lead_scoring.scoring import score_shard

        as_of = dt.date.fromisoformat(features.as_of)
        return run_stage(
            self.runs, "batch_score", as_of,
            {
                "features": features.digest,
                "version": version,
                "shard": shard,
                "expires_after_days": self.settings.scoring.expires_after_days,
                "code": self.code(score_shard),
            },
            lambda work: score_shard(
                self.scorer(version), features.fetch(self.runs, shard),
                as_of=as_of, run_key=features.key, settings=self.settings.scoring, work=work,
            ),
        )  # fmt: skip

    def score_table(
        self, table: str, out: Path, version: str, as_of: dt.date, maps: Mapping[str, str] | None = None
    ) -> dict[str, int]:
        """Score a feature table into one file, without the warehouse, each lead with its rank among them (1 is best).

        Rows set aside lie beside it, with reasons.

        :param maps: name in the table to the column that it is; an empty one: not read.
        :returns: counts ``in`` = ``scored`` + ``rejected``.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        from lead_scoring.features import bring
        from lead_scoring.scoring import ranks, score_shard
        from lead_scoring.storage.written import replacing

        chosen = self.feature_set(str(self.registry.show(version)["feature_set"]))
        scorer = self.scorer(version)
        with tempfile.TemporaryDirectory(prefix="score-") as folder, self.opened(table, as_of) as opened:
            work = Path(folder)
            taken = bring(
                opened,
                as_of=as_of,
                feature_set=chosen,
                settings=self.settings.features,
                work=work,
                maps=maps,
                with_target=False,
                limits=self.settings.warehouse,
            )
            key = run_key(as_of, {"table": opened.digest, "maps": dict(maps or {}), "version": version})
            shards = sorted(name for name in taken.files if name.startswith("shards/score-"))
            aside = [pq.read_table(taken.files["rejected.parquet"], columns=["lead_id", "reasons"])]
            parts = []
            for number, name in enumerate(shards):
                (work / str(number)).mkdir()
                part = score_shard(
                    scorer,
                    taken.files[name],
                    as_of=as_of,
                    run_key=key,
                    settings=self.settings.scoring,
                    work=work / str(number),
                )
                parts.append(part.files["scores.parquet"])
                aside.append(pq.read_table(part.files["rejected.parquet"], columns=["lead_id", "reasons"]))
            places = ranks(
                parts,
                work,
                sql_folder=self.settings.sql_folder,
                limits=self.settings.warehouse,
            )
            rejected = pa.concat_tables(aside, promote_options="permissive")
            scored = 0
            with replacing([out, out.with_name(f"{out.stem}_rejected.parquet")]) as (private, private_rejected):
                pq.write_table(rejected, private_rejected)
                with contextlib.ExitStack() as closing:
                    writer = None
                    for path in parts:
                        found = pq.read_table(path)
                        found = found.append_column("rank", pa.array(places[scored : scored + found.num_rows]))
                        writer = writer or closing.enter_context(pq.ParquetWriter(private, found.schema))
                        writer.write_table(found)
                        scored += found.num_rows
        return {"in": scored + rejected.num_rows, "scored": scored, "rejected": rejected.num_rows}

    def score_shards(self, features: Manifest) -> list[str]:
        """Logical names of the shards that get a score: one mapped task each."""
        return sorted(name for name in features.files if name.startswith("shards/score-"))

    def publish_features(self, features: Manifest) -> None:
        """Replace the day's partitions of ``lead_features`` and ``lead_features_rejected``."""
        from lead_scoring.features import publish_features

        publish_features(
            self.warehouse,
            dt.date.fromisoformat(features.as_of),
            features.fetch_all(self.runs, "shards/"),
            features.fetch(self.runs, "rejected.parquet"),
        )

    def publish_scores(self, features: Manifest, scored: Sequence[Manifest], version: str) -> Manifest:
        """Audit all scored shards together, then replace the day's partitions of features and of scores.

        :raises CheckFailed: the audit said no, or another version is in production by now.
        """
        from lead_scoring.scoring import audit_scores, drop_staging, newest_scores, publish_partition

        if (champion := self.champion()) != version:
            raise CheckFailed(
                f"the scores are of {version}, but {champion} is in production since; clear the run from its first task"
            )
        as_of = dt.date.fromisoformat(features.as_of)
        before = newest_scores(self.warehouse, as_of)
        previous = self.warehouse.partition("lead_scores", before.isoformat()) if before else None
        inputs = {
            "features": features.digest,
            "previous": previous.digest if previous else None,  # trends look back at it
            "scored": [item.digest for item in scored],
            "version": version,
            "max_rejected_share": self.settings.features.max_rejected_share,
            "rows_per_shard": self.settings.features.rows_per_shard,
            "max_share_in_one": self.settings.buckets.max_share_in_one,
            "on_degenerate": self.settings.buckets.on_degenerate,
            "code": self.code(audit_scores, type(self.warehouse)),
        }
        published = run_stage(
            self.runs, "publish_scores", as_of, inputs,
            lambda work: audit_scores(
                self.warehouse,
                as_of=as_of,
                shards=[item.fetch(self.runs, "scores.parquet") for item in scored],
                rejected=[item.fetch(self.runs, "rejected.parquet") for item in scored],
                expected=features.fetch_all(self.runs, "shards/score-"),
                version=version, run_key=features.key, settings=self.settings,
                work=work,
            ),
        )  # fmt: skip
        self.publish_features(features)
        publish_partition(
            self.warehouse, as_of,
            published.fetch_all(self.runs, "scores/"), published.fetch(self.runs, "rejected.parquet"),
        )  # fmt: skip
        drop_staging(self.warehouse, features.key)
        return published

    def sync_salesforce(
        self,
        features: Manifest,
        published: Manifest,
        salesforce: Any,
        *,
        dry_run: bool = False,
        approved_changes: int = 0,
        retry_parked: bool = False,
    ) -> Manifest:
        """Send what changed to Salesforce. Never answered from an earlier run: the org may have changed since.

        :param salesforce: a logged-in ``simple_salesforce.Salesforce``.
        :param retry_parked: send again what the org refused for good: a person has mended the reason.
        :param approved_changes: so many leads may change their bucket: a person saw it and agreed.

        A run of a day that is over, cleared after a later day's was sent, has nothing left to do: it ends as a dry run
        that says so.
        """
        from lead_scoring.salesforce import Superseded

        files = published.fetch_all(self.runs, "scores/")
        numbered = not features.figures["has_ids"]
        options: dict[str, Any] = {
            "as_of": dt.date.fromisoformat(published.as_of),
            "run_key": published.key,
            "approved_changes": approved_changes,
            "retry_parked": retry_parked,
        }
        try:
            report = self.sync_files(files, salesforce, dry_run=dry_run or numbered, **options)
        except Superseded:
            report = self.sync_files(files, salesforce, dry_run=True, **options)
        figures = report["figures"]
        if figures["superseded_by"]:
            figures["dry_run_reason"] = f"the org has the scores of {figures['superseded_by']}, a later day"
        elif numbered:
            figures["dry_run_reason"] = "the feature table has no Salesforce ids, its rows were numbered"
        elif dry_run:
            figures["dry_run_reason"] = "the run asked for it"
        inputs = {"scores": published.digest}
        return Manifest(
            "sync_salesforce", published.key, published.as_of, inputs, {}, report["counts"], report["figures"]
        )

    def sync_files(
        self,
        files: Sequence[Path],
        salesforce: Any,
        *,
        as_of: dt.date,
        run_key: str,
        dry_run: bool = False,
        approved_changes: int = 0,
        retry_parked: bool = False,
        full: bool = False,
    ) -> dict[str, Any]:
        """The sync over score files: ``counts`` and ``figures``."""
        from lead_scoring.salesforce import SyncRequest, sync

        with tempfile.TemporaryDirectory(prefix="sync-") as work:
            output = sync(
                salesforce,
                warehouse=self.warehouse,
                state=self.runs,
                scores=files,
                as_of=as_of,
                run_key=run_key,
                settings=self.settings.salesforce,
                config_folder=self.settings.config_folder,
                work=Path(work),
                asked=SyncRequest(dry_run, approved_changes, retry_parked, full),
            )
        return {"counts": dict(output.counts), "figures": dict(output.figures)}

    def sync_undo(self, run: str, salesforce: Any, *, dry_run: bool = False) -> dict[str, Any]:
        """Restore what a sync run changed, except where somebody edited the field since."""
        from lead_scoring.salesforce import undo

        with tempfile.TemporaryDirectory(prefix="undo-") as work:
            output = undo(
                salesforce,
                warehouse=self.warehouse,
                state=self.runs,
                run_key=run,
                settings=self.settings.salesforce,
                config_folder=self.settings.config_folder,
                work=Path(work),
                dry_run=dry_run,
            )
        return {"counts": dict(output.counts), "figures": dict(output.figures)}

    def last_sync_run(self) -> str:
        """The newest run that changed the org and was not undone. :raises NotFound: there is none."""
        run = self.sync_status()["last_run"]
        if run is None:
            raise NotFound("there is no sync run to undo: none changed a lead, or all were undone already")
        return str(run)

    def sync_status(self) -> dict[str, Any]:
        from lead_scoring.salesforce import status

        return status(warehouse=self.warehouse, state=self.runs, config_folder=self.settings.config_folder)

    def why(self, lead_id: str, on: dt.date | None, salesforce: Any = None) -> dict[str, Any]:
        """From the value in Salesforce back to the data, computed again.

        :param salesforce: a logged-in client; None starts at the published score.
        """
        from lead_scoring.salesforce import shown_of
        from lead_scoring.scoring import why

        settings = self.settings
        return why(
            self.warehouse,
            lead_id,
            on=on,
            scorer_for=self.scorer,
            sql_folder=settings.sql_folder,
            run=self._run,
            shown=(lambda score: shown_of(salesforce, score, settings.salesforce, settings.config_folder))
            if salesforce
            else None,
        )

    def why_all(self, run: str) -> dict[str, Any]:
        """Every published score of a run, computed again.

        :param run: as in ``lead_scores.run_key``; or the key of ``publish_scores``, under which the sync lists the run.
        """
        from lead_scoring.scoring import why_all

        published = find_record(self.runs, "publish_scores", run)
        key = published.figures["run_key"] if published else run
        with tempfile.TemporaryDirectory(prefix="why-") as work:
            return why_all(
                self.warehouse, key, scorer_for=self.scorer, sql_folder=self.settings.sql_folder, work=Path(work)
            )

    def _run(self, key: str) -> Mapping[str, Any] | None:
        found = find_record(self.runs, "materialize_features", key)
        return None if found is None else found.inputs
