"""From source tables to a champion: materialize, train, calibrate, version, register."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lead_scoring.catalog import FeatureSet
from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.pipeline.clients import CHAMPION, Clients
from lead_scoring.stage import Manifest, StageOutput, canonical_json, find_manifest, run_key, run_stage, sha256_bytes
from lead_scoring.text import one_line

if TYPE_CHECKING:
    from lead_scoring.tables import OpenTable


class Modelling(Clients):
    """The stages of a release, in order."""

    def load_source(self, folder: str | Path, maps: Mapping[str, str] | None = None) -> dict[str, int]:
        """Raw tables of a folder into the embedded warehouse. Returns rows by table.

        :param maps: name in a table to the column that it is; ``leads.Id`` means the one of that table only.
        """
        from lead_scoring.features import load_source

        return {
            name: info.rows
            for name, info in load_source(self.warehouse, folder, maps=maps, limits=self.settings.warehouse).items()
        }

    def materialize_features(
        self,
        as_of: dt.date,
        *,
        feature_set: str = "",
        features: str | OpenTable = "",
        maps: Mapping[str, str] | None = None,
        scorable_only: bool = False,
    ) -> Manifest:
        """Features as of a date, from the warehouse or from a ready table.

        They are published with the scores that are made of them (:meth:`Delivery.publish_scores`), so that a release
        that stops in between leaves the day's tables as they were.

        :param feature_set: a name in the catalog; empty: the configured one; ``champion``: the production model's.
        :param features: a ready feature table: a path, an address or the name of a warehouse table (docs/input.md), or
            one that is open; empty: compute from the source.
        :param maps: with ``features``: name in the table to the column that it is; an empty one: not read.
        :param scorable_only: leave out the labelled leads: enough to score, not to train.
        """
        from lead_scoring.features import SOURCE_TABLES, bring, materialize

        version = self.champion() if feature_set == CHAMPION else None
        chosen = self.feature_set(self.registry.show(version)["feature_set"] if version else feature_set)
        options: dict[str, Any] = {"as_of": as_of, "feature_set": chosen, "settings": self.settings.features}
        inputs: dict[str, Any] = {
            "feature_set": chosen.digest,
            "version": version,
            "scorable_only": scorable_only,
            "max_rejected_share": self.settings.features.max_rejected_share,
            "rows_per_shard": self.settings.features.rows_per_shard,
            "label_window_days": self.settings.features.label_window_days,
            "code": self.code(bring) if features else self.code(materialize, type(self.warehouse)),
        }
        if features:

            def brought(table: OpenTable) -> Manifest:
                return run_stage(
                    self.runs, "materialize_features", as_of,
                    {**inputs, "table": table.digest, "maps": dict(maps or {})},
                    lambda work: bring(table, work=work, maps=maps, limits=self.settings.warehouse, **options),
                )  # fmt: skip

            if not isinstance(features, str):
                return brought(features)
            with self.opened(features, as_of) as table:
                return brought(table)
        if maps:
            raise BadInput("a map of columns needs a ready feature table; without one nothing is mapped")
        if chosen.own:
            raise BadInput(
                f"feature set {chosen.name!r} describes a ready table, and no SQL computes it: give the table "
                "(--features, in Airflow the field `features`)"
            )
        inputs["source"] = self.warehouse.fingerprint(list(SOURCE_TABLES))
        return run_stage(
            self.runs, "materialize_features", as_of, inputs,
            lambda work: materialize(
                self.warehouse, sql_folder=self.settings.sql_folder, work=work, scorable_only=scorable_only, **options
            ),
        )  # fmt: skip

    def train_model(
        self, features: Manifest, *, accept_findings: str = "", holdout: Manifest | None = None
    ) -> Manifest:
        """Look for leaks, then fit.

        :param holdout: another feature table to judge on; None holds out the latest labelled leads.
        :raises CheckFailed: a leak finding that nobody accepted.
        """
        from lead_scoring.features import tripwire
        from lead_scoring.training import train

        accept_findings = one_line(accept_findings, "accept_findings")
        as_of, chosen, shared = self._upstream(features)
        training = self.settings.training
        train_files = features.fetch_all(self.runs, "shards/train-")
        score_files = features.fetch_all(self.runs, "shards/score-")
        judged_on = holdout.fetch_all(self.runs, "shards/train-") if holdout else None
        if holdout and not holdout.counts["train_rows"]:
            raise BadInput("the holdout table has no labelled leads; it needs a column target with 0 and 1")
        champion = self.registry.champion()
        last = ((self.details_of(champion).get("leakage") or {}) if champion else {}).get("portrait")
        leak = run_stage(
            self.runs, "leak_tripwire", as_of,
            {**shared, "seed": training.seed, "last": sha256_bytes(canonical_json(last)), "code": self.code(tripwire)},
            lambda work: tripwire(
                train_files, score_files, feature_set=chosen, seed=training.seed, work=work, last=last
            ),
        )  # fmt: skip
        self._stop_on(leak.figures["findings"], accept_findings)
        trained = run_stage(
            self.runs, "train_model", as_of,
            {
                **shared,
                "training": plain(training),
                "window": self.settings.features.label_window_days,
                "holdout": holdout.digest if holdout else None,
                "code": self.code(train),
            },
            lambda work: train(
                train_files, feature_set=chosen, as_of=as_of, settings=training,
                label_window_days=self.settings.features.label_window_days, work=work, holdout_files=judged_on,
            ),
        )  # fmt: skip
        return _with(trained, leakage=leak.figures, leak_key=leak.key)

    def calibrate_model(
        self, features: Manifest, trained: Manifest, *, bucket_policy: str = "", accept_findings: str = ""
    ) -> Manifest:
        """Choose a calibrator, freeze the bucket policy, write the document's four files.

        :raises CheckFailed: degenerate buckets that nobody accepted.
        """
        from lead_scoring.calibration import calibrate_stage

        accept_findings = one_line(accept_findings, "accept_findings")
        as_of, chosen, _ = self._upstream(features)
        buckets = self.settings.buckets
        if bucket_policy:
            buckets = buckets.with_policy(bucket_policy)
        inputs = {
            "trained": trained.digest,
            "calibration": plain(self.settings.calibration),
            "buckets": plain(buckets),
            "code": self.code(calibrate_stage),
        }
        calibrated = run_stage(
            self.runs, "calibrate_model", as_of, inputs,
            lambda work: calibrate_stage(
                trained.fetch(self.runs, "scores.parquet"),
                trained.fetch(self.runs, "model.ubj"),
                trained.fetch(self.runs, "training_report.json"),
                feature_set=chosen, as_of=as_of, calibration=self.settings.calibration, buckets=buckets, work=work,
            ),
        )  # fmt: skip
        self._stop_on(calibrated.figures.get("findings", []), accept_findings)
        # The latest candidate under the document's names, for people to open: also one that the gate refuses later. The
        # metadata is last and names the model it belongs to by its SHA-256.
        for name in ("calibrated_model.pkl", "calibration_lookup_table.csv", "calibration_curves.png"):
            self.models.upload(calibrated.fetch(self.runs, name), f"calibrated/{name}")
        metadata = "calibration_metadata.json"
        self.models.upload(calibrated.fetch(self.runs, metadata), f"calibrated/{metadata}")
        return calibrated

    def hash_version(
        self, features: Manifest, trained: Manifest, calibrated: Manifest, *, accept_findings: str = ""
    ) -> Manifest:
        """Compute the version id, judge it against the champion for its card, and publish the package.

        A version that is published already stays as it is: the same model of the same day is the same version. If it
        is damaged, it is written anew, byte for byte.
        """
        from lead_scoring.model.native import PackageManifest
        from lead_scoring.packaging import version_of
        from lead_scoring.registry import publish_package, restore_package
        from lead_scoring.registry.verified import manifest_object

        accept_findings = one_line(accept_findings, "accept_findings")
        as_of, chosen, _ = self._upstream(features)
        version = version_of(
            model=trained.fetch(self.runs, "model.ubj"),
            calibrator=calibrated.fetch(self.runs, "calibrator.json"),
            bucket_policy=calibrated.fetch(self.runs, "bucket_policy.json"),
            calibration_metadata=calibrated.fetch(self.runs, "calibration_metadata.json"),
            feature_set=chosen,
            as_of=as_of,
        )
        registered = self.registry.state().entries.get(version)
        if registered is not None and not self._is_whole(version, registered.manifest_digest):
            files = self._packaged(version, registered.manifest_digest)
            restore_package(self.models, files, version, registered.manifest_digest)
        elif not self.models.exists(manifest_object(version)):
            publish_package(
                self.models, self._package(features, trained, calibrated, version, accept_findings), version
            )
        data = self.models.read(manifest_object(version))
        found = PackageManifest.from_bytes(data, version)
        shown = ("performance", "calibration", "gate", "findings", "accepted_findings")
        figures = {
            "version_id": version,
            "manifest_digest": sha256_bytes(data),
            "feature_set": found.feature_set,
            "how": found.details["evaluation"]["how"],
            "split": found.details["split"],
            **{name: found.details[name] for name in shown},
        }
        if self.registry.champion() != version:
            figures["gate"] = self.gate(trained, calibrated)  # against today's champion; the card has the first verdict
        inputs = {item.stage: item.digest for item in (features, trained, calibrated)}
        key = run_key(as_of, {"stage": "hash_version", **inputs})
        return Manifest("hash_version", key, features.as_of, inputs, {}, {"files": len(found.files)}, figures)

    def _is_whole(self, version: str, manifest_digest: str) -> bool:
        from lead_scoring.registry import check_files

        try:
            check_files(self.models, version, manifest_digest)
        except CheckFailed:
            return False
        return True

    def _packaged(self, version: str, manifest_digest: str) -> dict[str, Path]:
        """The files of a version as the stage once packaged them. What made them may say something else by now.

        :raises CheckFailed: the runs store does not have them any more.
        """
        manifest = f"manifest_{version}.json"
        for key in sorted({name.split("/")[1] for name in self.runs.list("package/")}):
            built = find_manifest(self.runs, "package", key)
            if built and manifest in built.files and built.files[manifest].sha256 == manifest_digest:
                return {name: built.fetch(self.runs, name) for name in built.files}
        raise CheckFailed(
            f"version {version} is damaged in {self.models.uri}, and {self.runs.uri} has no longer what was packaged; "
            "restore its files from a backup of the store, or release as of another date"
        )

    def _package(
        self, features: Manifest, trained: Manifest, calibrated: Manifest, version: str, accept_findings: str
    ) -> dict[str, Path]:
        """The files of a version. Built once for the same inputs, so that a retry publishes the same bytes."""
        from lead_scoring.calibration import calibrate_stage
        from lead_scoring.features import materialize, tripwire
        from lead_scoring.packaging import PackageSources, ReleaseFacts, gate_release, package
        from lead_scoring.scoring import function_files
        from lead_scoring.training import train

        as_of, chosen, _ = self._upstream(features)
        run = {item.stage: {"key": item.key, "digest": item.digest} for item in (features, trained, calibrated)}
        leakage = trained.figures["leakage"]  # None where only the intercept is new: nothing was trained
        findings = [*(leakage["findings"] if leakage else []), *calibrated.figures.get("findings", [])]
        accepted = accept_findings if findings else None
        function = function_files()
        code = self.code(materialize, tripwire, train, calibrate_stage, gate_release, package)

        def made(name: str) -> Path:
            return calibrated.fetch(self.runs, name)

        def build(work: Path) -> StageOutput:
            return package(
                PackageSources(
                    model=trained.fetch(self.runs, "model.ubj"),
                    training_report=trained.fetch(self.runs, "training_report.json"),
                    calibrator=made("calibrator.json"),
                    bucket_policy=made("bucket_policy.json"),
                    calibration_metadata=made("calibration_metadata.json"),
                    lookup=made("calibration_lookup_table.csv"),
                    curves=made("calibration_curves.png"),
                    lift_chart=made("lift_chart.png"),
                    pickle=made("calibrated_model.pkl"),
                    reference=made("reference.parquet"),
                ),
                ReleaseFacts(
                    run={
                        **run,
                        "counts": dict(features.counts),
                        "features": dict(features.figures),
                        "inputs": dict(features.inputs),
                    },
                    findings=findings,
                    accepted_findings=accepted,
                    gate=self.gate(trained, calibrated),
                    leakage=leakage,
                    history=self.registry.entries(),
                    code_version=code,
                ),
                feature_set=chosen,
                as_of=as_of,
                function_files=function,
                work=work,
            )

        inputs = {
            "run": run,
            "version": version,
            "accepted": accepted,
            "function": {name: sha256_bytes(text.encode()) for name, text in function.items()},
            "code": code,
        }
        built = run_stage(self.runs, "package", as_of, inputs, build)
        return {name: built.fetch(self.runs, name) for name in built.files}

    def gate(self, trained: Manifest, calibrated: Manifest) -> dict[str, Any]:
        """The challenger against today's champion, on the challenger's holdout: leads that neither was fitted on.

        Computed once for each champion, however often a release asks.
        """
        from lead_scoring.packaging import gate_release

        champion = self.registry.champion()

        def build(work: Path) -> StageOutput:  # noqa: ARG001 - a verdict has no files
            verdict = gate_release(
                scores=trained.fetch(self.runs, "scores.parquet"),
                calibrator=calibrated.fetch(self.runs, "calibrator.json"),
                holdout=trained.fetch(self.runs, "holdout.parquet"),
                champion=None if champion is None else self.scorer(champion),
                settings=self.settings.gate,
                bucket_policy=calibrated.fetch(self.runs, "bucket_policy.json"),
                report=json.loads(trained.fetch(self.runs, "training_report.json").read_text()),
                champion_report=None if champion is None else self.details_of(champion),
            )
            return StageOutput({}, figures=verdict.to_dict())

        inputs = {
            "trained": trained.digest,
            "calibrated": calibrated.digest,
            "champion": champion,
            "gate": plain(self.settings.gate),
            "code": self.code(gate_release),
        }
        judged = run_stage(self.runs, "gate", dt.date.fromisoformat(trained.as_of), inputs, build)
        return {"champion": champion, **judged.figures}

    def update_registry(
        self,
        packaged: Manifest,
        trained: Manifest,
        calibrated: Manifest,
        *,
        actor: str,
        reason: str,
        request: str = "",
        force: bool = False,
        approved_by: str = "",
        promote: bool = True,
    ) -> Manifest:
        """Register the package and, if the gate agrees, make it the champion.

        :param request: an id of the run, so that its retry cannot promote a second time.
        :param force: promote against the gate's verdict; ``reason`` and verdict are recorded with the event.
        :param approved_by: who was shown the verdict in ``packaged`` and said yes. That overrules this verdict, and no
            other: not one against a champion of today that was not the champion then.
        :raises CheckFailed: the gate said no or could not tell. The version stays staged.
        """
        figures = packaged.figures
        version = figures["version_id"]
        self.registry.register(
            version,
            manifest_digest=figures["manifest_digest"],
            performance=figures["performance"],
            calibration=figures["calibration"],
            feature_set=figures["feature_set"],
            run=packaged.key,
            actor=actor,
            reason=reason,
        )
        previous = self.registry.champion()
        gate = None
        if promote and previous != version:
            gate = self.gate(trained, calibrated)
            if approved_by:
                reason = f"{reason}, approved by {approved_by}"
                shown = figures["gate"]
                force = force or (not shown["accepted"] and shown["champion"] == previous)
            if not gate["accepted"] and not force:
                raise CheckFailed(
                    f"version {version} was not promoted and stays staged: {'; '.join(gate['reasons'])} "
                    f"(to promote it all the same: lead-scoring registry promote {version} --reason WHY)"
                )
            accepted = gate["accepted"] is True
            self.registry.promote(
                version,
                reason,
                actor,
                expected=previous or "",
                request=request,
                gate={"accepted": accepted, "forced": not accepted, "reasons": gate["reasons"]},
            )
            if (champion := self.registry.champion()) != version:  # a repeated request that was undone since
                raise CheckFailed(
                    f"version {version} was promoted by this run before and taken out since, champion is {champion}; "
                    f"to bring it back: lead-scoring registry promote {version} --reason WHY"
                )
        made = {
            "version": version,
            "previous_champion": previous,
            "status": self.registry.show(version)["status"],
            "gate": gate,
            "performance": figures["performance"],
            "calibration": figures["calibration"],
        }
        return Manifest("update_registry", packaged.key, packaged.as_of, {"packaged": packaged.digest}, {}, {}, made)

    def plan_rollback(self) -> Manifest:
        """Which version a rollback would restore. :raises BadInput: there is no earlier champion."""
        entry = self.registry.show(self.champion())
        before = self.registry.state().previous_champion()
        figures = {
            "from": entry["version_id"],
            "to": before,
            "performance": self.registry.show(before)["performance"],
            "models": [self._judged(version) for version in (entry["version_id"], before)],
        }
        key = run_key(dt.date.fromisoformat(_day(before)), figures)
        return Manifest("plan_rollback", key, _day(before), {}, {}, {}, figures)

    def _judged(self, version: str) -> dict[str, Any]:
        """What a version's package says of how good it was, for people: figures with intervals, and its buckets."""
        details = self.details_of(version)
        evaluation, buckets = details.get("evaluation", {}), details.get("buckets", {})
        names = ("how", "n", "positives", "auc_roc", "log_loss", "top_decile_lift")
        return {
            "version": version,
            "as_of": _day(version),
            **{name: evaluation.get(name) for name in names},
            "buckets": [
                {name: row[name] for name in ("bucket", "leads", "share", "rate")} for row in buckets.get("rows", [])
            ],
        }

    def rollback(
        self, planned: Manifest, *, actor: str, reason: str, request: str = "", approved_by: str = ""
    ) -> Manifest:
        """Put the planned version back into production.

        :param planned: of :meth:`plan_rollback`: what the person who approved has seen.
        :param approved_by: that person; empty if nobody was asked. The history has the name with the reason.
        :raises Conflict: another version became champion since the plan was made.
        """
        reason = f"{reason}, approved by {approved_by}" if approved_by else reason
        entry = self.registry.rollback(reason, actor, expected=planned.figures["from"], request=request)
        figures = {
            "version": entry.version_id,
            "previous_champion": planned.figures["from"],
            "performance": planned.figures["performance"],
        }
        return Manifest("rollback_registry", planned.key, planned.as_of, {}, {}, {}, figures)

    def _stop_on(self, findings: Sequence[Mapping[str, Any]], accepted: str) -> None:
        if findings and not accepted:
            raise CheckFailed(
                "; ".join(str(item["message"]) for item in findings)
                + "; accept with --accept-findings REASON (in Airflow: accept_findings) or change the data"
            )

    def _upstream(self, features: Manifest) -> tuple[dt.date, FeatureSet, dict[str, Any]]:
        chosen = self.feature_set(str(features.figures["feature_set"]))
        shared = {"features": features.digest, "feature_set": chosen.digest}
        return dt.date.fromisoformat(features.as_of), chosen, shared


def _day(version: str) -> str:
    """The as-of date in a version id, in ISO form."""
    return dt.datetime.strptime(version.split("-")[1], "%Y%m%d").replace(tzinfo=dt.UTC).date().isoformat()


def plain(section: Any) -> dict[str, Any]:
    """A settings section as JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(section)))


def _with(manifest: Manifest, **figures: Any) -> Manifest:
    return dataclasses.replace(manifest, figures={**manifest.figures, **figures})
