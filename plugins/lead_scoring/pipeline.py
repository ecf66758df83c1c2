"""The one place where settings become clients and the stages are called, in order.

The command line and the Airflow tasks both call these methods, so what a task does can be done by hand, and the other
way round. Each method takes manifests, returns one :class:`~lead_scoring.stage.Manifest`, and can be called again at
any time: finished work is found, not repeated.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lead_scoring.catalog import FeatureSet, load_catalog
from lead_scoring.errors import BadInput, CheckFailed, NotFound
from lead_scoring.settings import Settings
from lead_scoring.stage import Manifest, StageOutput, run_stage, sha256_bytes, sha256_file
from lead_scoring.storage import ObjectStore, open_store

if TYPE_CHECKING:
    from lead_scoring.registry import Registry
    from lead_scoring.scoring import LeadScorer
    from lead_scoring.warehouse import Warehouse

CHAMPION = "champion"  # as a feature set: the one that the production model was trained on


class Pipeline:
    """The stages over one set of settings.

    :param settings: where things are and how they are done.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    # --- clients, made when first needed

    @functools.cached_property
    def runs(self) -> ObjectStore:
        return open_store(self.settings.location(self.settings.storage.runs))

    @functools.cached_property
    def models(self) -> ObjectStore:
        return open_store(self.settings.location(self.settings.storage.models))

    @functools.cached_property
    def warehouse(self) -> Warehouse:
        from lead_scoring.warehouse import open_warehouse

        return open_warehouse(self.settings)

    @functools.cached_property
    def registry(self) -> Registry:
        from lead_scoring.registry import Registry

        return Registry(self.models)

    @functools.cached_property
    def code_digest(self) -> str:
        """Digest of the library, the SQL and the catalog: other code never takes over the results of this code."""
        library = Path(__file__).parent
        files = [*library.rglob("*.py"), *self.settings.sql_folder.rglob("*.sql")]
        files += self.settings.config_folder.glob("feature_catalog.yaml")
        return sha256_bytes("".join(sorted(sha256_file(path) for path in files)).encode())[:16]

    # --- what the stages share

    def model_card_url(self, version: str) -> str:
        """Where people read the card of a version: the configured address, else the Cloud Storage console."""
        path = f"production/model_card_{version}.md"
        if self.settings.storage.models_url:
            return f"{self.settings.storage.models_url}/{path}"
        if self.models.uri.startswith("gs://"):
            bucket_and_prefix = self.models.uri.removeprefix("gs://")
            return f"https://console.cloud.google.com/storage/browser/_details/{bucket_and_prefix}/{path}"
        return Path(self.models.uri, path).as_uri()

    def as_of(self, text: str | dt.date | None, run_day: dt.date) -> dt.date:
        """The as-of date of a run.

        :param text: ISO date, or empty for the configured default, or else the day of the run.
        :param run_day: the day (UTC) on which the run was asked for.
        :raises BadInput: not a date, or after ``run_day``: that world is not known yet.
        """
        text = text or self.settings.features.default_as_of or run_day
        try:
            as_of = text if isinstance(text, dt.date) else dt.date.fromisoformat(text)
        except ValueError:
            raise BadInput(f"as_of is {text!r}; it must be a date like 2024-12-21") from None
        if as_of > run_day:
            raise BadInput(f"as_of is {as_of}, after {run_day}; use the day of the run or an earlier one")
        return as_of

    def feature_set(self, name: str = "") -> FeatureSet:
        return load_catalog(self.settings.config_folder).feature_set(name or self.settings.features.feature_set)

    def champion(self) -> str:
        """:raises NotFound: nothing was promoted yet."""
        version = self.registry.champion()
        if version is None:
            raise NotFound(
                f"the registry in {self.models.uri} has no production version; run lead_scoring_release, "
                "or `lead-scoring registry promote`"
            )
        return version

    def scorer(self, version: str) -> LeadScorer:
        from lead_scoring.scoring import LeadScorer

        return LeadScorer(version, model_dir=f"{self.models.uri}/production")

    def _stop_on(self, findings: Sequence[Mapping[str, Any]], accepted: str) -> None:
        if findings and not accepted:
            raise CheckFailed(
                "; ".join(str(item["message"]) for item in findings)
                + "; accept with --accept-findings REASON (in Airflow: accept_findings) or change the data"
            )

    # --- the stages, in the order of the release

    def load_source(self, folder: Path) -> dict[str, int]:
        """Raw tables of a folder into the embedded warehouse. Returns rows by table."""
        from lead_scoring.features import load_source

        return {name: info.rows for name, info in load_source(self.warehouse, folder).items()}

    def materialize_features(
        self, as_of: dt.date, *, feature_set: str = "", features: str = "", scorable_only: bool = False
    ) -> Manifest:
        """Features as of a date, from the warehouse or from a ready table.

        :param feature_set: a name in the catalog; empty: the configured one; ``champion``: the production model's.
        :param features: path of a ready feature table (Parquet, or a warehouse table); empty: compute from the source.
        :param scorable_only: leave out the labelled leads: enough to score, not to train.
        """
        from lead_scoring.features import SOURCE_TABLES, bring, materialize, publish_features, table_digest

        version = self.champion() if feature_set == CHAMPION else None
        chosen = self.feature_set(self.registry.show(version)["feature_set"] if version else feature_set)
        options = {"as_of": as_of, "feature_set": chosen, "settings": self.settings.features}
        inputs: dict[str, Any] = {
            "feature_set": chosen.digest,
            "version": version,
            "scorable_only": scorable_only,
            "max_rejected_share": self.settings.features.max_rejected_share,
            "rows_per_shard": self.settings.features.rows_per_shard,
            "label_window_days": self.settings.features.label_window_days,
            "code": self.code_digest,
        }
        if features:
            inputs["table"] = table_digest(features)

            def build(work: Path) -> StageOutput:
                return bring(features, work=work, **options)

        else:
            inputs["source"] = self.warehouse.fingerprint(SOURCE_TABLES)

            def build(work: Path) -> StageOutput:
                return materialize(
                    self.warehouse,
                    sql_folder=self.settings.sql_folder,
                    work=work,
                    scorable_only=scorable_only,
                    **options,
                )

        manifest = run_stage(self.runs, "materialize_features", as_of, inputs, build)
        publish_features(
            self.warehouse,
            as_of,
            manifest.fetch_all(self.runs, "shards/"),
            manifest.fetch(self.runs, "rejected.parquet"),
        )
        return manifest

    def train_model(self, features: Manifest, *, accept_findings: str = "") -> Manifest:
        """Look for leaks, then fit. :raises CheckFailed: a leak finding that nobody accepted."""
        from lead_scoring.features import tripwire
        from lead_scoring.training import train

        as_of, chosen, shared = self._upstream(features)
        training = self.settings.training
        train_files = features.fetch_all(self.runs, "shards/train-")
        score_files = features.fetch_all(self.runs, "shards/score-")
        leak = run_stage(
            self.runs, "leak_tripwire", as_of, {**shared, "seed": training.seed},
            lambda work: tripwire(train_files, score_files, feature_set=chosen, seed=training.seed, work=work),
        )  # fmt: skip
        self._stop_on(leak.figures["findings"], accept_findings)
        trained = run_stage(
            self.runs, "train_model", as_of,
            {**shared, "training": _plain(training), "window": self.settings.features.label_window_days},
            lambda work: train(
                train_files, feature_set=chosen, as_of=as_of, settings=training,
                label_window_days=self.settings.features.label_window_days, work=work,
            ),
        )  # fmt: skip
        return _with(trained, leakage=leak.figures, leak_key=leak.key)

    def calibrate_model(
        self, features: Manifest, trained: Manifest, *, bucket_policy: str = "", accept_findings: str = ""
    ) -> Manifest:
        """Choose a calibrator, freeze the bucket policy, write the document's four files.

        :raises CheckFailed: degenerate buckets that nobody accepted.
        """
        import dataclasses

        from lead_scoring.calibration import calibrate_stage

        as_of, chosen, _ = self._upstream(features)
        buckets = self.settings.buckets
        if bucket_policy:
            buckets = dataclasses.replace(buckets, policy=bucket_policy)
        inputs = {
            "trained": trained.digest,
            "calibration": _plain(self.settings.calibration),
            "buckets": _plain(buckets),
            "code": self.code_digest,
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
        # A copy under the document's names for people to open. The metadata is last: it names what it belongs to.
        for name in ("calibrated_model.pkl", "calibration_lookup_table.csv", "calibration_curves.png"):
            self.models.upload(calibrated.fetch(self.runs, name), f"calibrated/{name}")
        metadata = "calibration_metadata.json"
        self.models.upload(calibrated.fetch(self.runs, metadata), f"calibrated/{metadata}")
        return calibrated

    def hash_version(
        self, features: Manifest, trained: Manifest, calibrated: Manifest, *, accept_findings: str = ""
    ) -> Manifest:
        """Compute the version id, judge it against the champion, and publish the package."""
        from lead_scoring.packaging import package
        from lead_scoring.registry import publish_package
        from lead_scoring.scoring import function_files

        as_of, chosen, _ = self._upstream(features)
        gate = self._gate(features, trained, calibrated)
        findings = [*trained.figures["leakage"]["findings"], *calibrated.figures.get("findings", [])]
        run = {item.stage: {"key": item.key, "digest": item.digest} for item in (features, trained, calibrated)}
        inputs = {
            "run": {stage: entry["digest"] for stage, entry in run.items()},
            "champion": gate["champion"],
            "accepted_findings": accept_findings if findings else "",
            "code": self.code_digest,
        }

        def build(work: Path) -> StageOutput:
            def made(name: str) -> Path:
                return calibrated.fetch(self.runs, name)

            return package(
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
                feature_set=chosen,
                as_of=as_of,
                run={**run, "counts": dict(features.counts), "features": dict(features.figures)},
                findings=findings,
                accepted_findings=accept_findings if findings else None,
                gate=gate,
                leakage=trained.figures["leakage"],
                history=self.registry.entries(),
                code_version=self.code_digest,
                function_files=function_files(),
                work=work,
            )

        packaged = run_stage(self.runs, "hash_version", as_of, inputs, build)
        version = packaged.figures["version_id"]
        publish_package(self.models, {name: packaged.fetch(self.runs, name) for name in packaged.files}, version)
        return packaged

    def _gate(self, features: Manifest, trained: Manifest, calibrated: Manifest) -> dict[str, Any]:
        """The challenger against the champion, on the challenger's holdout: leads that neither was fitted on."""
        from lead_scoring.packaging import gate_release

        champion = self.registry.champion()
        verdict = gate_release(
            scores=trained.fetch(self.runs, "scores.parquet"),
            calibrator=calibrated.fetch(self.runs, "calibrator.json"),
            features=features.fetch_all(self.runs, "shards/train-"),
            champion=None if champion is None else self.scorer(champion),
            settings=self.settings.gate,
        )
        return {"champion": champion, **verdict.to_dict()}

    def update_registry(
        self, packaged: Manifest, *, actor: str, reason: str, force: str = "", promote: bool = True
    ) -> Manifest:
        """Register the package and, if the gate agrees, make it the champion.

        :param force: a reason to promote against the gate's verdict; recorded with the event.
        :raises CheckFailed: the gate said no or could not tell. The version stays staged.
        :raises Conflict: another version became champion since the gate compared.
        """
        figures, gate = packaged.figures, packaged.figures["gate"]
        version = figures["version_id"]
        previous = self.registry.champion()
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
        if promote and previous != version:
            if previous != gate["champion"] and not force:
                raise CheckFailed(
                    f"champion is {previous}, the gate compared {version} with {gate['champion']}; "
                    "clear hash_version and what follows, so that it is compared with today's champion"
                )
            if not gate["accepted"] and not force:
                raise CheckFailed(
                    f"version {version} was not promoted and stays staged: {'; '.join(gate['reasons'])}; "
                    "promote it all the same with `lead-scoring registry promote`"
                )
            self.registry.promote(version, reason=force or reason, actor=actor)
        figures = {
            "version": version,
            "previous_champion": previous,
            "status": "production" if promote else "staged",
            "performance": figures["performance"],
            "calibration": figures["calibration"],
        }
        return Manifest("update_registry", packaged.key, packaged.as_of, {"packaged": packaged.digest}, {}, {}, figures)

    def batch_score(self, features: Manifest, version: str, shard: str) -> Manifest:
        """Score one shard of the feature table with one version.

        :param shard: logical name of the shard in the features manifest.
        """
        from lead_scoring.scoring import score_shard

        as_of = dt.date.fromisoformat(features.as_of)
        return run_stage(
            self.runs, "batch_score", as_of,
            {"features": features.digest, "version": version, "shard": shard, "code": self.code_digest},
            lambda work: score_shard(
                self.scorer(version), features.fetch(self.runs, shard),
                as_of=as_of, run_key=features.key, settings=self.settings.scoring, work=work,
            ),
        )  # fmt: skip

    def score_shards(self, features: Manifest) -> list[str]:
        """Logical names of the shards that get a score: one mapped task each."""
        return sorted(name for name in features.files if name.startswith("shards/score-"))

    def publish_scores(self, features: Manifest, scored: Sequence[Manifest], version: str) -> Manifest:
        """Audit all scored shards together, then replace the day's partition of ``lead_scores`` in one step."""
        from lead_scoring.scoring import audit_scores, publish_partition

        as_of = dt.date.fromisoformat(features.as_of)
        inputs = {
            "features": features.digest,
            "scored": [item.digest for item in scored],
            "version": version,
            "code": self.code_digest,
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
        publish_partition(
            self.warehouse, as_of,
            published.fetch_all(self.runs, "scores/"), published.fetch(self.runs, "rejected.parquet"),
        )  # fmt: skip
        return published

    def sync_salesforce(
        self, features: Manifest, published: Manifest, salesforce: Any, *, dry_run: bool = False, approved: bool = False
    ) -> Manifest:
        """Send what changed to Salesforce.

        :param salesforce: a ``simple_salesforce.Salesforce``, or None for a dry run that does not look at the org.
        """
        from lead_scoring.salesforce import sync

        as_of = dt.date.fromisoformat(published.as_of)
        output = sync(
            salesforce,
            warehouse=self.warehouse,
            state=self.runs,
            scores=published.fetch_all(self.runs, "scores/"),
            as_of=as_of,
            run_key=published.key,
            settings=self.settings.salesforce,
            config_folder=self.settings.config_folder,
            dry_run=dry_run or not features.figures.get("has_ids", True),
            approved=approved,
        )
        return Manifest(
            "sync_salesforce", published.key, published.as_of, {"scores": published.digest}, {},
            dict(output.counts), dict(output.figures),
        )  # fmt: skip

    def _upstream(self, features: Manifest) -> tuple[dt.date, FeatureSet, dict[str, Any]]:
        chosen = self.feature_set(str(features.figures["feature_set"]))
        shared = {"features": features.digest, "feature_set": chosen.digest, "code": self.code_digest}
        return dt.date.fromisoformat(features.as_of), chosen, shared


def _plain(section: Any) -> dict[str, Any]:
    """A settings section as JSON values."""
    import dataclasses

    return json.loads(json.dumps(dataclasses.asdict(section)))


def _with(manifest: Manifest, **figures: Any) -> Manifest:
    import dataclasses

    return dataclasses.replace(manifest, figures={**manifest.figures, **figures})
