"""A new intercept for a standing version, when the base rate has moved: a new version of the same booster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lead_scoring.errors import BadInput
from lead_scoring.pipeline.modelling import Modelling, plain
from lead_scoring.stage import Manifest, StageOutput, run_stage


class Refresh(Modelling):
    """Calibration again, without training again."""

    def refresh_intercept(
        self, version: str, features: Manifest, *, actor: str, reason: str, accept_findings: str = ""
    ) -> Manifest:
        """Move the intercept of ``version`` to the conversion rate of recent leads, and register what comes out.

        The new version is staged: its leads were used to fit it, so the gate has nothing to judge on and a person
        decides (``registry promote``). The ranking of leads does not change.

        :param features: a labelled feature table of recent leads, for the version's feature set.
        :raises BadInput: the table has another feature set, no labelled leads, or is the one the version was made of.
        :raises CheckFailed: bucket findings on the recent leads that nobody accepted.
        """
        if (wanted := self.registry.show(version)["feature_set"]) != features.figures["feature_set"]:
            raise BadInput(
                f"the features are of set {features.figures['feature_set']!r}, version {version} needs {wanted!r}"
            )
        made_of = self.details_of(version)["run"]
        table = features.inputs.get("table")
        if made_of.get(features.stage, {}).get("digest") == features.digest or (
            table and made_of.get("inputs", {}).get("table") == table
        ):
            raise BadInput(
                f"version {version} was made of this very table; its booster knows these leads, so their scores say "
                "nothing of the base rate: bring leads that were contacted since"
            )
        standing = self._standing(version, features)
        refreshed = self._refreshed(version, features, standing)
        self._stop_on(refreshed.figures["findings"], accept_findings)
        packaged = self.hash_version(features, standing, refreshed, accept_findings=accept_findings)
        return self.update_registry(packaged, standing, refreshed, actor=actor, reason=reason, promote=False)

    def _standing(self, version: str, features: Manifest) -> Manifest:
        """The package of ``version`` in the shape that training publishes, with recent leads in place of its own."""
        from lead_scoring.model.native import package_files
        from lead_scoring.packaging import recent_part, training_report_of
        from lead_scoring.registry import open_package
        from lead_scoring.registry.verified import manifest_object

        as_of, _, shared = self._upstream(features)
        package = open_package(self.models, version)
        names = package_files(version)
        shards = features.fetch_all(self.runs, "shards/train-")
        if not features.counts["train_rows"]:
            raise BadInput(f"feature table {features.key} has no labelled leads; bring one with a column target")

        def build(work: Path) -> StageOutput:
            import pyarrow as pa
            import pyarrow.parquet as pq

            rows = pa.concat_tables([pq.read_table(shard) for shard in shards])
            found: Any = self.scorer(version).score_batch(rows)
            scores = pa.table({
                "lead_id": rows["lead_id"],
                "pit_date": rows["pit_date"],
                "split": ["calibration"] * rows.num_rows,
                "margin": pa.array(found["margin"], pa.float64()),
                "target": rows["target"],
            })
            pq.write_table(scores, work / "scores.parquet")
            pq.write_table(rows.slice(0, 0), work / "holdout.parquet")
            (work / "model.ubj").write_bytes(package.read(names["booster"]))
            manifest = json.loads(self.models.read(manifest_object(version)))
            report = training_report_of(manifest, json.loads(package.read(names["scorer"])), recent_part(rows))
            (work / "training_report.json").write_text(json.dumps(report))
            files = ("scores.parquet", "holdout.parquet", "model.ubj", "training_report.json")
            return StageOutput({name: work / name for name in files}, figures={"leakage": None})

        inputs = {**shared, "version": version, "code": self.code(Refresh)}
        return run_stage(self.runs, "standing_model", as_of, inputs, build)

    def _refreshed(self, version: str, features: Manifest, standing: Manifest) -> Manifest:
        from lead_scoring.calibration import calibrate_stage

        as_of, chosen, _ = self._upstream(features)
        # the version's own policy: a new intercept is no reason to sort the leads by another rule
        policy = self.details_of(version)["bucket_policy"]["name"]
        buckets = self.settings.buckets.with_policy(policy)
        inputs = {
            "standing": standing.digest,
            "calibration": plain(self.settings.calibration),
            "buckets": plain(buckets),
            "code": self.code(calibrate_stage),
        }
        return run_stage(
            self.runs,
            "refresh_intercept",
            as_of,
            inputs,
            lambda work: calibrate_stage(
                standing.fetch(self.runs, "scores.parquet"),
                standing.fetch(self.runs, "model.ubj"),
                standing.fetch(self.runs, "training_report.json"),
                feature_set=chosen,
                as_of=as_of,
                calibration=self.settings.calibration,
                buckets=buckets,
                work=work,
                standing=self.scorer(version).calibrator,
            ),
        )
