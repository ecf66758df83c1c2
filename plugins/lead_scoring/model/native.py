"""The package's native form: the booster as UBJSON and everything else a scorer needs as JSON. No pickle.

Also the one definition of the file names in ``models/production`` and of the manifest that covers them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.errors import BadInput
from lead_scoring.stage import canonical_json

FORMAT = 1  # of scorer_<v>.json and manifest_<v>.json; a reader refuses a format it does not know
FUNCTION_ENTRY = "cloud_function_code.py"  # the document's name, section "Cloud Function Code"
REFERENCE_QUANTILES = 1001
VERSION = re.compile(r"v1-\d{8}-[0-9a-f]{8}")


@dataclass(frozen=True)
class ScorerFeature:
    """What the scorer must know of one feature.

    :param name: the model's column, as in the document's payload.
    :param column: the warehouse-safe name of the same thing.
    :param nullable: a missing value is allowed and reaches the trees as NaN.
    :param minimum: smallest allowed value, None where there is no bound. ``maximum`` likewise. Both inclusive.
    :param clip_up_to: values above ``maximum`` and up to this count as ``maximum``; ``clip_down_to`` likewise.
    :param categories: texts that stand for 0, 1, ...; empty for numbers.
    :param missing_values: numbers that mean "missing".
    """

    name: str
    column: str
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    clip_up_to: float | None = None
    clip_down_to: float | None = None
    categories: tuple[str, ...] = ()
    missing_values: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Without what is not said of clipping, categories and missing values: so older packages keep their bytes."""
        always = ("name", "column", "nullable", "minimum", "maximum")
        found = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {key: value for key, value in found.items() if key in always or (value is not None and value != [])}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ScorerFeature:
        found: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        return cls(**found)


@dataclass(frozen=True)
class ScorerSpec:
    """Everything beside the booster. JSON numbers are written with ``repr``, so they come back bit by bit.

    :param feature_set: name of the feature set in the catalog.
    :param feature_set_digest: its SHA-256.
    :param features: in the order of the booster's columns.
    :param calibrator: ``Calibrator.to_dict()``.
    :param bucket_policy: ``BucketPolicy.to_dict()``.
    :param base_rate: share of positives in the calibration data, 0 to 1; ``lift`` is the score divided by it.
    :param reference_margins: 1,001 rising quantiles (:func:`reference_quantiles`) of margins the booster did not see.
    :param golden: leads with known answers: ``{"features": {name: number or null}, "margin": ..., "lead_score": ...}``.
    """

    feature_set: str
    feature_set_digest: str
    features: tuple[ScorerFeature, ...]
    calibrator: Mapping[str, Any]
    bucket_policy: Mapping[str, Any]
    base_rate: float | None = None
    reference_margins: tuple[float, ...] = ()
    golden: tuple[Mapping[str, Any], ...] = ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "features": [feature.to_dict() for feature in self.features],
            "reference_margins": list(self.reference_margins),
            "golden": [dict(row) for row in self.golden],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ScorerSpec:
        return cls(
            feature_set=data["feature_set"],
            feature_set_digest=data["feature_set_digest"],
            features=tuple(ScorerFeature.from_dict(feature) for feature in data["features"]),
            calibrator=data["calibrator"],
            bucket_policy=data["bucket_policy"],
            base_rate=data["base_rate"],
            reference_margins=tuple(data["reference_margins"]),
            golden=tuple(data["golden"]),
        )


@dataclass(frozen=True)
class PackageManifest:
    """``manifest_<v>.json``: what belongs to a version. Written last; a version without one does not exist.

    :param files: name to ``{"sha256": hex, "bytes": n}`` for all files but the manifest. A name with the version in it
        lies in ``production/``; any other one (``cloud_function_code.py`` and its neighbours, relative names such as
        ``lead_scoring/errors.py``) in ``production/function_<v>/``, and is copied to ``production/`` by a promotion.
    :param libraries: distribution name to the version the golden scores were computed with.
    :param details: whatever else packaging records (performance, calibration, run, findings), JSON values, kept as
        further keys of the file.
    """

    version_id: str
    as_of: str
    feature_set: str
    feature_set_digest: str
    feature_names: tuple[str, ...]
    libraries: Mapping[str, str]
    files: Mapping[str, Mapping[str, Any]]
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """``details`` stand beside the other keys, as the document's registry entry has them."""
        known = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "details"}
        if taken := sorted({"format", "details", *known} & set(self.details)):
            raise BadInput(f"manifest details may not be called {taken[0]!r}: the manifest has a key of that name")
        return _pretty({"format": FORMAT, **known, **self.details})

    @classmethod
    def from_bytes(cls, data: bytes, source: str) -> PackageManifest:
        """:raises BadInput: not a manifest of this format; ``source`` is named."""
        content = _parse(data, source)
        try:
            known = {item.name: content.pop(item.name) for item in fields(cls) if item.name != "details"}
            return cls(**{**known, "feature_names": tuple(known["feature_names"])}, details=content)
        except (KeyError, TypeError) as error:
            raise BadInput(f"{source} is not a package manifest ({error}); package the version again") from error


def package_files(version: str) -> dict[str, str]:
    """Logical name to file name inside ``models/production`` (names: the document, section "Production Files")."""
    return {
        "pickle": f"model_{version}.pkl",
        "booster": f"model_{version}.ubj",
        "scorer": f"scorer_{version}.json",
        "feature_names": f"feature_names_{version}.json",
        "lookup": f"calibration_lookup_{version}.csv",
        "model_card": f"model_card_{version}.md",
        "curves": f"calibration_curves_{version}.png",
        "lift_chart": f"lift_chart_{version}.png",
        "manifest": f"manifest_{version}.json",
        "function": FUNCTION_ENTRY,
    }


def canonical_model_bytes(booster_ubj: bytes, spec: ScorerSpec) -> bytes:
    """What decides a score: the booster and the features, calibrator, bucket policy and base rate around it.

    Not the reference margins and golden rows: they describe the model, they are not part of it.
    """
    decisive = {
        "features": [feature.to_dict() for feature in spec.features],
        "calibrator": dict(spec.calibrator),
        "bucket_policy": dict(spec.bucket_policy),
        "base_rate": spec.base_rate,
    }
    return booster_ubj + canonical_json(decisive)


def version_id(canonical: bytes, as_of: dt.date) -> str:
    """``v1-YYYYMMDD-<8 hex>``: MD5 over the canonical bytes and the date, the document's recipe with a fixed date."""
    day = f"{as_of:%Y%m%d}"
    return f"v1-{day}-{hashlib.md5(canonical + day.encode(), usedforsecurity=False).hexdigest()[:8]}"


def check_version(version: str) -> str:
    """:raises BadInput: not a version id. Kept apart from any path before the id becomes part of one."""
    if not VERSION.fullmatch(version):
        raise BadInput(f"model version {version!r} is not of the form v1-YYYYMMDD-<8 hex>; see `registry list`")
    return version


def reference_quantiles(margins: NDArray[np.float64]) -> tuple[float, ...]:
    """1,001 rising quantiles (0.0 %, 0.1 %, ... 100 %), each one an observed margin.

    :param margins: shape (n,), n >= 1.
    """
    levels = np.linspace(0.0, 1.0, REFERENCE_QUANTILES)
    return tuple(np.quantile(np.asarray(margins, dtype=np.float64), levels, method="lower").tolist())


def write_native(folder: Path, version: str, *, booster_ubj: bytes, scorer: ScorerSpec) -> list[Path]:
    """Write ``model_<v>.ubj`` and ``scorer_<v>.json`` and return their paths."""
    names = package_files(check_version(version))
    booster, spec = folder / names["booster"], folder / names["scorer"]
    booster.write_bytes(booster_ubj)
    spec.write_bytes(_pretty({"format": FORMAT, "version": version, **scorer.to_dict()}))
    return [booster, spec]


def read_scorer(data: bytes, version: str, source: str) -> ScorerSpec:
    """:raises BadInput: not a scorer file of this format, or it belongs to another version."""
    content = _parse(data, source)
    if content.pop("version", None) != version:
        raise BadInput(f"{source} does not belong to version {version}; restore the file from the registry's store")
    try:
        return ScorerSpec.from_dict(content)
    except (KeyError, TypeError) as error:
        raise BadInput(f"{source} is not a scorer file ({error}); package the version again") from error


def _parse(data: bytes, source: str) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except ValueError as error:
        raise BadInput(f"{source} is not JSON ({error}); package the version again") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise BadInput(f"{source} is not of format {FORMAT}; use the library version that wrote it")
    return content


def _pretty(value: Mapping[str, Any]) -> bytes:
    """Readable, deterministic JSON. The short lists of numbers stay on lines of their own, which diff well."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()
