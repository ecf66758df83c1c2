"""LeadScorer: the document's interface (section "LeadScorer Class"), with every score checked and repeatable.

One lead goes through the compiled trees (:mod:`lead_scoring.scoring.trees`), a table through XGBoost; both give the
same bits, which the tests hold. Nothing is zero-filled unless the caller asks for the document's way.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lead_scoring.errors import BadInput
from lead_scoring.model.buckets import ACTIONS, BUCKETS, BucketPolicy, freeze_policy
from lead_scoring.model.calibrators.logistic import sigmoid
from lead_scoring.model.native import check_version
from lead_scoring.scoring.lead_checks import MISSING, LeadChecks
from lead_scoring.scoring.loading import LoadedPackage, choose_version, load_package, packages_in, split_model_dir
from lead_scoring.stage import canonical_json, sha256_bytes

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from lead_scoring.scoring.booster import Booster
    from lead_scoring.scoring.tables import TableScorer
    from lead_scoring.storage import ObjectStore

MAX_COMPILED_ROWS = 2000  # below this the compiled trees are faster than loading XGBoost


class LeadScorer:
    """Scores leads with one version of the model.

    :param model_version: ``v1-YYYYMMDD-<8 hex>``; None takes the version in production.
    :param model_dir: folder or ``gs://bucket/prefix`` of the packages. A registry beside it decides: its event log says
        what is in production and which bytes are a version's. Without one, ``champion.json`` in the folder does.
    :param bucket_policy: replaces the packaged policy: ``absolute``, ``lift`` or ``capacity`` (computed from what the
        package holds and ``settings.buckets``, unless it is the packaged one), a :class:`BucketPolicy`, or its dict.
    :param store: an open models store, which holds ``production/`` and ``registry/``; takes the place of ``model_dir``.
    :param manifest_digest: SHA-256 the manifest must have, if the caller knows it; otherwise the registry is asked.
    :raises NotFound: the folder or the version does not exist, or the registry does not know the version.
    :raises CheckFailed: the package is not what was registered, or does not score here as it did when packaged.
    """

    def __init__(
        self,
        model_version: str | None = None,
        model_dir: str = "models/production",
        bucket_policy: BucketPolicy | Mapping[str, Any] | str | None = None,
        *,
        store: ObjectStore | None = None,
        manifest_digest: str | None = None,
    ) -> None:
        if model_version is not None and not isinstance(model_version, str):
            raise BadInput(f"model_version is {model_version!r}; give text like v1-20241221-2c391f0f, or None")
        packages, parent = split_model_dir(str(model_dir)) if store is None else packages_in(store)
        if model_version and manifest_digest:  # the caller has asked the registry
            found: tuple[str, str | None] = model_version, manifest_digest
        else:
            found = choose_version(packages, parent, None if model_version is None else check_version(model_version))
        self._use(load_package(packages, found[0], manifest_digest or found[1]), bucket_policy)

    def _use(self, package: LoadedPackage, bucket_policy: BucketPolicy | Mapping[str, Any] | str | None) -> None:
        self.package = package
        self.model_version = package.version
        self.manifest_digest = package.manifest_digest
        self.feature_names = package.spec.feature_names
        self.calibrator = package.calibrator
        self.calibrator_digest = sha256_bytes(canonical_json(dict(package.spec.calibrator)))[:16]
        self.bucket_policy = _policy(package, bucket_policy)
        self.base_rate = package.spec.base_rate
        self.reference_margins = package.spec.reference_margins
        self.checks = LeadChecks(package.spec, package.version)
        self._booster: Booster | None = None
        self._tables: TableScorer | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For joblib, multiprocessing and copies: what it was made from; the rest is made again there."""
        return {"package": self.package, "bucket_policy": self.bucket_policy}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._use(state["package"], state["bucket_policy"])

    @property
    def booster(self) -> Booster:
        """XGBoost's form of the trees; imports XGBoost on first use."""
        if self._booster is None:
            from lead_scoring.scoring.booster import Booster

            self._booster = Booster(self.package)
        return self._booster

    @property
    def tables(self) -> TableScorer:
        """The scorer of tables; imports pyarrow and XGBoost on first use."""
        if self._tables is None:
            from lead_scoring.scoring.tables import TableScorer

            self._tables = TableScorer(
                self.package, self.checks, self.bucket_policy, self.booster.margins, self.calibrator_digest
            )
        return self._tables

    def score_lead(
        self, lead_features: Mapping[str, Any], *, missing: str = "refuse", reasons: int = 0
    ) -> dict[str, Any]:
        """Score one lead.

        :param lead_features: feature name to number; ``lead_id`` may stand among them.
        :param missing: ``refuse``, or ``document``: missing values count as 0, and ``zero_filled`` names them.
        :param reasons: how many of the largest contributions to the margin to add (needs XGBoost).
        :returns: the document's five keys; ``margin`` (log-odds); ``percentile`` (0 to 100, among leads the model was
            not fitted on); ``lift`` (times the base rate); ``bucket_policy``; ``calibrator_digest``;
            ``manifest_digest``; and, only if there are any, ``clipped``: the features whose value was extreme and
            counted as the end of its range.
        :raises BadInput: a feature is missing, unknown, not a number or out of range.
        """
        if type(reasons) is not int or reasons < 0:
            raise BadInput(f"reasons={reasons!r} must be a whole number, 0 or more")
        if missing == "refuse":
            values, filled = self.checks.values(lead_features), None
        elif missing == "document":
            values, filled = self.checks.zero_filled(lead_features)
        else:
            raise BadInput(f"missing={missing!r} is unknown; choose one of {', '.join(MISSING)}")
        result = self._result(self.package.trees.margin(values))
        if filled is not None:
            result["zero_filled"] = filled
        if named := self.checks.clipped(lead_features, values):
            result["clipped"] = named
        if "lead_id" in lead_features:
            result["lead_id"] = lead_features["lead_id"]
        if reasons:
            result["reasons"] = self.booster.reasons(values, reasons)
        return result

    def _result(self, margin: float) -> dict[str, Any]:
        score = float(self.calibrator.apply(margin))
        code = self.bucket_policy.assign_one(score)
        return {
            "lead_score": score,
            "score_bucket": BUCKETS[code],
            "action_recommended": ACTIONS[code],
            "model_version": self.model_version,
            "uncalibrated_score": float(sigmoid(margin)),
            "margin": margin,
            "percentile": self.percentile(margin),
            "lift": score / self.base_rate if self.base_rate else None,
            "bucket_policy": self.bucket_policy.name,
            "calibrator_digest": self.calibrator_digest,
            "manifest_digest": self.manifest_digest,
        }

    def percentile(self, margin: float) -> float | None:
        """Share of the reference leads at or below this margin, in steps of 0.1 (0 to 100)."""
        if not self.reference_margins:
            return None
        return max(bisect_right(self.reference_margins, margin) - 1, 0) / 10

    def score_batch(
        self, leads: Sequence[Mapping[str, Any]] | pd.DataFrame | pa.Table, *, missing: str = "refuse", reasons: int = 0
    ) -> list[dict[str, Any]] | pd.DataFrame | pa.Table:
        """Score many leads; the result is of the kind that was given, in the same order.

        A table holds the features (either name) and ``lead_id`` (text) if it has one; other columns are not read.
        All leads are scored or none.

        :param missing: as for :meth:`score_lead`, for lists only; ``reasons`` likewise.
        :raises BadInput: a lead cannot be scored; the first such lead is named.
        """
        if isinstance(leads, list | tuple):
            return self._score_list(leads, missing, reasons)
        if missing != "refuse":
            raise BadInput("missing='document' is for single leads and lists; fill a table before it is scored")
        if reasons:
            raise BadInput(f"reasons={reasons!r} is for single leads and lists; give the rows as a list of dicts")
        return self.tables.score(leads)

    def _score_list(self, leads: Sequence[Mapping[str, Any]], missing: str, reasons: int) -> list[dict[str, Any]]:
        place = 0
        try:
            if missing != "refuse" or reasons or len(leads) <= MAX_COMPILED_ROWS:
                results = []
                for place, lead in enumerate(leads):  # noqa: B007 - the error names the place
                    results.append(self.score_lead(lead, missing=missing, reasons=reasons))
                return results
            rows = []
            for place, lead in enumerate(leads):  # noqa: B007 - the error names the place
                rows.append(self.checks.values(lead))
        except BadInput as error:
            raise BadInput(f"lead {place} of the list: {error}") from error
        results = [self._result(margin) for margin in self.booster.margins(np.array(rows, dtype=np.float32)).tolist()]
        for lead, values, result in zip(leads, rows, results, strict=True):
            if named := self.checks.clipped(lead, values):
                result["clipped"] = named
            if "lead_id" in lead:
                result["lead_id"] = lead["lead_id"]
        return results


def _policy(package: LoadedPackage, wanted: BucketPolicy | Mapping[str, Any] | str | None) -> BucketPolicy:
    if isinstance(wanted, BucketPolicy):
        return wanted
    packaged = BucketPolicy.from_dict(package.spec.bucket_policy)
    if not wanted or wanted == packaged.name:
        return packaged
    if not isinstance(wanted, str):
        return BucketPolicy.from_dict(wanted)
    from lead_scoring.settings import load_settings

    reference = package.calibrator.apply(np.asarray(package.spec.reference_margins, dtype=np.float64))
    return freeze_policy(wanted, load_settings().buckets, reference, package.spec.base_rate)
