"""Settings: one YAML file with every default, overridden by environment variables.

Each section is a frozen dataclass, so a stage is given only the section it needs. A key that is unknown, missing or of
the wrong type is refused with its full name.
"""

from __future__ import annotations

import datetime as dt
import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from lead_scoring.errors import BadInput

ENVIRONMENT_PREFIX = "LEAD_SCORING__"


@dataclass(frozen=True)
class StorageSettings:
    models: str
    models_url: str
    runs: str
    trusted_keys: str


@dataclass(frozen=True)
class WarehouseSettings:
    engine: str
    folder: str
    project: str
    dataset: str
    location: str
    timeout_seconds: int
    job_timeout_seconds: int
    memory_limit_mb: int
    threads: int


@dataclass(frozen=True)
class FeatureSettings:
    default_as_of: str
    feature_set: str
    max_rejected_share: float
    rows_per_shard: int
    label_window_days: int


@dataclass(frozen=True)
class TrainingSettings:
    seed: int
    holdout_share: float
    search_trials: int
    bootstrap: int
    threads: int


@dataclass(frozen=True)
class CalibrationSettings:
    rule: str
    folds: int
    repeats: int
    seed: int
    bootstrap: int
    minimum_positives: int


@dataclass(frozen=True)
class BucketSettings:
    policy: str
    absolute: tuple[float, ...]
    lift: tuple[float, ...]
    capacity: tuple[float, ...]
    max_share_in_one: float
    on_degenerate: str
    on_not_better: str

    def __post_init__(self) -> None:
        for name in ("on_degenerate", "on_not_better"):
            if (value := getattr(self, name)) not in {"refuse", "warn"}:
                raise BadInput(f"setting buckets.{name} is {value!r}; it must be refuse or warn")


@dataclass(frozen=True)
class GateSettings:
    minimum_positives: int
    worthwhile_gain: float
    retrain_margin: float
    retrain_confidence: float
    max_bucket_churn: float
    confidence: float
    bootstrap: int
    seed: int


@dataclass(frozen=True)
class ScoringSettings:
    expires_after_days: int
    threads: int


@dataclass(frozen=True)
class SalesforceSettings:
    endpoint: str
    conn_id: str
    api_version: str
    wait_seconds: float
    timeout_seconds: int
    rows_per_job: int
    max_attempts: int
    max_rejected_share: float
    max_rejected_rows: int
    max_bucket_change_share: float
    refresh_before_days: int


@dataclass(frozen=True)
class Settings:
    """All sections. ``home`` is the project's root, which relative folders start at."""

    home: Path
    storage: StorageSettings
    warehouse: WarehouseSettings
    features: FeatureSettings
    training: TrainingSettings
    calibration: CalibrationSettings
    buckets: BucketSettings
    gate: GateSettings
    scoring: ScoringSettings
    salesforce: SalesforceSettings

    def location(self, text: str) -> str:
        """A storage address as it is, a relative folder made absolute."""
        return text if "://" in text else str(self.home / text)

    @property
    def sql_folder(self) -> Path:
        return self.home / "include" / "sql"

    @property
    def config_folder(self) -> Path:
        return self.home / "include" / "config"


def project_home() -> Path:
    """The project's root: ``LEAD_SCORING_HOME``, or the checkout that this file lies in."""
    configured = os.environ.get("LEAD_SCORING_HOME")
    return Path(configured).resolve() if configured else Path(__file__).resolve().parents[2]


def load_settings(
    home: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Read ``include/config/settings.yaml``, then the environment, then ``overrides`` (``{"buckets.policy": "lift"}``).

    :raises BadInput: the file is missing, or a key is unknown, missing or has a value of the wrong type.
    """
    home = home or project_home()
    path = home / "include" / "config" / "settings.yaml"
    if not path.is_file():
        raise BadInput(f"settings file {path} does not exist; set LEAD_SCORING_HOME to the project's root")
    values = yaml.safe_load(path.read_text())
    for name, text in sorted((os.environ if environment is None else environment).items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            _set(values, name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"), yaml.safe_load(text), name)
    for dotted, value in (overrides or {}).items():
        _set(values, dotted.split("."), value, dotted)
    sections = typing.get_type_hints(Settings)
    if unknown := sorted(set(values) - set(sections)):
        raise BadInput(
            f"settings section {unknown[0]!r} is unknown; the sections are {sorted(set(sections) - {'home'})}"
        )
    built = {name: _build(kind, values.get(name) or {}, name) for name, kind in sections.items() if is_dataclass(kind)}
    return Settings(home=home, **built)


def _set(values: dict[str, Any], path: list[str], value: Any, name: str) -> None:
    if len(path) != 2 or path[0] not in values or path[1] not in values[path[0]]:
        raise BadInput(f"setting {name} is unknown; include/config/settings.yaml lists every setting")
    values[path[0]][path[1]] = value


def _build(kind: Any, values: Mapping[str, Any], section: str) -> Any:
    hints = typing.get_type_hints(kind)
    if unknown := sorted(set(values) - set(hints)):
        raise BadInput(f"setting {section}.{unknown[0]} is unknown; {section} has {sorted(hints)}")
    arguments = {}
    for item in fields(kind):
        if item.name not in values:
            raise BadInput(f"setting {section}.{item.name} is missing from include/config/settings.yaml")
        arguments[item.name] = _convert(hints[item.name], values[item.name], f"{section}.{item.name}")
    return kind(**arguments)


def _convert(kind: Any, value: Any, name: str) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str | int | float | dt.date | None):  # YAML reads 2024-12-21 as a date
        return "" if value is None else str(value)
    if kind is bool and isinstance(value, bool):
        return value
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_convert(typing.get_args(kind)[0], item, name) for item in value)
    raise BadInput(f"setting {name} is {value!r}; it must be of type {getattr(kind, '__name__', kind)}")
