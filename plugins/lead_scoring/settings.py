"""Settings: every one is defined here once, with its default, its range and its meaning.

Three places may set them, the later one wins: ``include/config/settings.yaml`` (what a team changes), the environment
(``LEAD_SCORING__SECTION__KEY=value``), and an option of a command. ``docs/configuration.md`` is generated from this
module. A name that is unknown or a value that is not allowed is refused with its full name before anything runs.

A section is a frozen dataclass, so a stage is given only the section that it needs.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, InitSettingsSource, SettingsConfigDict
from pydantic_settings import PydanticBaseSettingsSource as _Source

from lead_scoring.errors import BadInput

ENVIRONMENT_PREFIX = "LEAD_SCORING__"
SETTINGS_FILE = "include/config/settings.yaml"


def _no_bool(value: Any) -> Any:
    """YAML reads ``yes`` and ``on`` as true, which pydantic would take for 1."""
    if isinstance(value, bool):
        raise ValueError("not a number")
    return value


def _plain_text(value: Any) -> Any:
    """YAML reads 2024-12-21 as a date, 59.0 as a number and an empty value as none."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int | float | dt.date) and not isinstance(value, bool) else value


def _day_or_empty(value: str) -> str:
    if value:
        dt.date.fromisoformat(value)
    return value


def _folder_or_bucket(value: str) -> str:
    if not value.strip() or ("://" in value and not re.match(r"gs://[^\s/@]+(/\S*)?$", value)):
        raise ValueError("neither a folder nor gs://")
    return value


def _allowed(words: str) -> Any:
    """What a value may be, in words; used by the refusal and by the reference page."""
    return Field(json_schema_extra={"allowed": words})


Count = Annotated[int, BeforeValidator(_no_bool), Field(gt=0), _allowed("a whole number from 1")]
Whole = Annotated[int, BeforeValidator(_no_bool), Field(ge=0), _allowed("a whole number from 0")]
Share = Annotated[
    float, BeforeValidator(_no_bool), Field(ge=0, le=1), _allowed("a share from 0 to 1 (20 % is written 0.2)")
]
PartShare = Annotated[
    float, BeforeValidator(_no_bool), Field(gt=0, lt=1), _allowed("a share between 0 and 1 (20 % is written 0.2)")
]
Seconds = Annotated[
    float, BeforeValidator(_no_bool), Field(gt=0, allow_inf_nan=False), _allowed("seconds, more than 0")
]
Text = Annotated[str, BeforeValidator(_plain_text)]
Name = Annotated[Text, Field(pattern=r"^[\w.-]+$"), _allowed("a name of letters, digits, _ . and -")]
Place = Annotated[Text, AfterValidator(_folder_or_bucket), _allowed("a folder or gs://bucket/path")]
Address = Annotated[
    Text,
    Field(pattern=r"^(https?://[^\s/@]+(/[^\s@]*)?)?$"),
    _allowed("empty, or an http(s) address without user and password"),
]
Cuts = Annotated[
    tuple[
        Annotated[float, Field(gt=0, allow_inf_nan=False)],
        Annotated[float, Field(gt=0, allow_inf_nan=False)],
        Annotated[float, Field(gt=0, allow_inf_nan=False)],
    ],
    _allowed("three numbers above 0: Very Hot, Hot, Warm"),
]

_STRICT = ConfigDict(extra="forbid", hide_input_in_errors=True)


def _is(default: Any, meaning: str) -> Any:
    return Field(default, description=meaning)


@dataclass(frozen=True, config=_STRICT)
class StorageSettings:
    models: Place = _is("models", "packages and the registry")
    models_url: Address = _is("", "where people read the models folder in a browser; empty: the Cloud Storage console")
    runs: Place = _is("state/runs", "what each stage published, by run key")
    keep_runs_days: Count = _is(30, "`lead-scoring tidy` removes what was published longer ago and is not needed")
    trusted_keys: Place = _is("include/config/keys", "folder of <who>.pub: who may sign a package; need not exist")


@dataclass(frozen=True, config=_STRICT)
class WarehouseSettings:
    engine: Literal["duckdb", "bigquery"] = _is("duckdb", "duckdb is embedded")
    folder: Place = _is("state/warehouse", "duckdb: the folder of Parquet partitions")
    project: Annotated[Text, Field(pattern=r"^[a-z0-9.:-]*$"), _allowed("the id of a Google Cloud project")] = _is(
        "", "bigquery; empty: that of the credentials"
    )
    conn_id: Annotated[Text, Field(pattern=r"^\S*$"), _allowed("empty, or the id of an Airflow connection")] = _is(
        "", "in Airflow: the connection of Google Cloud, for BigQuery and Cloud Storage; empty: the environment's login"
    )
    dataset: Annotated[Text, Field(pattern=r"^\w+$"), _allowed("letters, digits and _")] = _is(
        "lead_scoring", "bigquery"
    )
    location: Annotated[Text, Field(pattern=r"^[A-Za-z0-9-]*$"), _allowed("a region such as US or europe-west3")] = _is(
        "US", "bigquery"
    )
    timeout_seconds: Count = _is(60, "bigquery: give up on a request after this long")
    job_timeout_seconds: Count = _is(3600, "bigquery: cancel a query or a load after this long")
    memory_limit_mb: Annotated[int, BeforeValidator(_no_bool), Field(ge=100), _allowed("megabytes, from 100")] = _is(
        1500, "duckdb: spills to disk past this"
    )
    threads: Count = _is(2, "duckdb")


@dataclass(frozen=True, config=_STRICT)
class FeatureSettings:
    default_as_of: Annotated[
        str,
        BeforeValidator(lambda value: _day_or_empty(_plain_text(value))),
        _allowed("empty, or a date like 2024-12-21"),
    ] = _is("", "what an empty as-of date means, in scheduled runs too; empty: the last complete day")
    feature_set: Name = _is("phase6", "a name in include/config/feature_catalog.yaml")
    max_rejected_share: Share = _is(0.20, "more rows set aside than this fails the task")
    rows_per_shard: Count = _is(131072, "rows of one Parquet shard: the unit of mapped scoring")
    label_window_days: Count = _is(30, "a call scheduled within this many days of contact is a conversion")
    open_leads_of_an_advisor: Literal["all", "newest"] = _is(
        "all", "of several open leads of one advisor: score all, or only the newest and set the others aside"
    )


@dataclass(frozen=True, config=_STRICT)
class TrainingSettings:
    seed: Whole = _is(42, "of the search, and of the split where leads have no dates")
    holdout_share: PartShare = _is(0.2, "the latest labelled leads")
    search_trials: Whole = _is(6, "boosters drawn beside the document's parameters; all of them are averaged")
    bootstrap: Count = _is(1000, "resamples behind each interval")
    threads: Count = _is(1, "two OpenMP threads took seven times as long on two busy cores; more pay on idle ones")


@dataclass(frozen=True, config=_STRICT)
class CalibrationSettings:
    rule: Literal["one_standard_error", "document"] = _is("one_standard_error", "document: lower Brier score in sample")
    folds: Annotated[int, BeforeValidator(_no_bool), Field(ge=2), _allowed("a whole number from 2")] = _is(
        5, "parts of the cross-fit"
    )
    repeats: Count = _is(20, "of the cross-fit, each with other parts")
    seed: Whole = _is(42, "of the cross-fit's parts")
    bootstrap: Count = _is(1000, "resamples behind each interval")
    minimum_positives: Count = _is(10, "fewer conversions cannot be calibrated at all")


@dataclass(frozen=True, config=_STRICT)
class BucketSettings:
    policy: Literal["lift", "absolute", "capacity"] = _is("lift", "how a score becomes a bucket, see docs/model.md")
    absolute: Cuts = _is((0.7, 0.5, 0.3), "the document's cut points")
    lift: Cuts = _is((3.0, 2.0, 1.0), "multiples of the base rate")
    capacity: Cuts = _is((0.05, 0.15, 0.40), "cumulative shares of the leads, best first")
    max_share_in_one: Share = _is(0.95, "more leads than this in one bucket: the buckets tell nobody whom to call")
    on_degenerate: Literal["refuse", "warn"] = _is("refuse", "what that does to a release")
    on_not_better: Literal["refuse", "warn"] = _is(
        "warn", "what a bucket does to a release that converts no better than the next one, within noise"
    )

    @model_validator(mode="after")
    def _cuts_are_in_order(self) -> BucketSettings:
        for name in ("absolute", "lift"):
            first, second, third = getattr(self, name)
            if not first > second > third:
                raise ValueError(f"buckets.{name} is {[first, second, third]}; the three cuts must fall")
        if self.absolute[0] > 1:
            raise ValueError(f"buckets.absolute is {list(self.absolute)}; the cuts are scores from 0 to 1")
        first, second, third = self.capacity
        if not first < second < third <= 1:
            raise ValueError(
                f"buckets.capacity is {list(self.capacity)}; it holds cumulative shares: they must rise, up to 1"
            )
        return self

    def with_policy(self, policy: str) -> BucketSettings:
        """:raises BadInput: no such policy."""
        try:
            return replace(self, policy=policy)  # type: ignore[arg-type]  # pydantic checks it
        except ValidationError as error:
            raise BadInput(f"bucket policy is {policy!r}; it must be {allowed('buckets', 'policy')}") from error


@dataclass(frozen=True, config=_STRICT)
class GateSettings:
    minimum_positives: Count = _is(50, "conversions in the holdout; fewer and the gate cannot tell")
    worthwhile_gain: PartShare = _is(0.01, "of the constant's log loss: a gain that the gate must be able to see")
    retrain_margin: Share = _is(
        0.006, "of the constant's log loss, about .01 AUC: a plain retrain may not be worse by more"
    )
    retrain_confidence: PartShare = _is(0.75, "one-sided, for that margin")
    max_bucket_churn: Share = _is(1.0, "refuse a release that moves a larger share of the leads to another bucket")
    confidence: PartShare = _is(0.975, "one-sided, for a gain")
    bootstrap: Count = _is(2000, "resamples behind each interval")
    seed: Whole = _is(42, "of the resamples")


@dataclass(frozen=True, config=_STRICT)
class ScoringSettings:
    expires_after_days: Count = _is(7, "a score older than this should not be acted on")
    threads: Count = _is(2, "of one scoring task")


@dataclass(frozen=True, config=_STRICT)
class SalesforceSettings:
    endpoint: Address = _is("", "the sandbox org, http://127.0.0.1:PORT; empty: the org of the connection")
    conn_id: Name = _is("salesforce_default", "the Airflow connection")
    api_version: Annotated[Text, Field(pattern=r"^\d{2}\.0$"), _allowed("a version like 59.0")] = _is(
        "59.0", "of the command line; Airflow's connection has its own, in its extra `version`"
    )
    wait_seconds: Seconds = _is(5.0, "between two looks at a bulk job")
    timeout_seconds: Count = _is(900, "give up on a bulk job after this long")
    rows_per_job: Count = _is(50000, "rows of one bulk job")
    max_attempts: Count = _is(5, "of a row that met a transient fault")
    max_rejected_share: Share = _is(0.05, "more rejects than this fail the task")
    max_rejected_rows: Whole = _is(1000, "more rejects than this fail the task")
    max_bucket_change_share: Share = _is(0.30, "blast radius: more leads than this changing bucket waits for a person")
    verify_share: Share = _is(
        1.0,
        "of the unchanged leads: read back in each run and mended where the org shows something else; the days take"
        " turns, 2,000 leads are one API request, 0 turns it off",
    )
    refresh_before_days: Whole = _is(2, "an unchanged lead is written again when its expiry is this near")


@dataclass(frozen=True, config=_STRICT)
class OncallSettings:
    owner_address: Annotated[
        Text,
        Field(pattern=r"^(|mailto:[^\s@]+@[^\s@]+|https?://[^\s/@]+(/[^\s@]*)?)$"),
        _allowed("empty, mailto:people@example.com, or an http(s) address without user and password"),
    ] = _is("", "where the owner beside each DAG leads to: who answers for it")


class Settings(BaseSettings):
    """All sections. ``home`` is the project's root, which relative folders start at."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__"
    )

    home: Path
    storage: StorageSettings = StorageSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    features: FeatureSettings = FeatureSettings()
    training: TrainingSettings = TrainingSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    buckets: BucketSettings = BucketSettings()
    gate: GateSettings = GateSettings()
    scoring: ScoringSettings = ScoringSettings()
    salesforce: SalesforceSettings = SalesforceSettings()
    oncall: OncallSettings = OncallSettings()

    @model_validator(mode="after")
    def _a_refreshed_score_is_not_expired(self) -> Settings:
        if self.salesforce.refresh_before_days >= self.scoring.expires_after_days:
            raise ValueError(
                f"salesforce.refresh_before_days is {self.salesforce.refresh_before_days}; it must be less than "
                f"scoring.expires_after_days, which is {self.scoring.expires_after_days}"
            )
        return self

    def location(self, text: str) -> str:
        """A storage address as it is, a relative folder made absolute."""
        return text if "://" in text else str(self.home / text)

    @property
    def sql_folder(self) -> Path:
        return self.home / "include" / "sql"

    @property
    def config_folder(self) -> Path:
        return self.home / "include" / "config"


SECTIONS: dict[str, Any] = {
    name: field.annotation for name, field in Settings.model_fields.items() if is_dataclass(field.annotation)
}


def project_home() -> Path:
    """The project's root: ``LEAD_SCORING_HOME``, or the checkout that this file lies in."""
    configured = os.environ.get("LEAD_SCORING_HOME")
    return Path(configured).resolve() if configured else Path(__file__).resolve().parents[2]


def load_settings(
    home: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """The defaults, then ``settings.yaml``, then the environment, then ``overrides`` (``{"buckets.policy": "lift"}``).

    :raises BadInput: the file is missing or no YAML, a name is unknown, or a value is not allowed.
    """
    home = home or project_home()
    in_file = _read(home / SETTINGS_FILE)
    for section, values in in_file.items():
        for key in values:
            _check_name([section, key], f"{section}.{key}")
    in_environment: dict[str, dict[str, Any]] = {}
    for name, text in (os.environ if environment is None else environment).items():
        if name.upper().startswith(ENVIRONMENT_PREFIX):
            section, key = _check_name(name[len(ENVIRONMENT_PREFIX) :].lower().split("__"), name)
            in_environment.setdefault(section, {})[key] = _yaml(text, f"setting {name}")
    given: dict[str, Any] = {"home": home}
    for dotted, value in (overrides or {}).items():
        section, key = _check_name(dotted.split("."), dotted)
        given.setdefault(section, {})[key] = value

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], init_settings: _Source, *_: _Source, **__: _Source
        ) -> tuple[_Source, ...]:
            in_place = InitSettingsSource(settings_cls, init_kwargs=in_environment)
            return init_settings, in_place, InitSettingsSource(settings_cls, init_kwargs=in_file)

    try:
        loaded = Loaded(**given)
    except ValidationError as error:
        raise BadInput(_refusal(error.errors()[0])) from None
    # A plain Settings can be handed to another process, the class made here cannot.
    return Settings.model_construct(**{name: getattr(loaded, name) for name in Settings.model_fields})


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        raise BadInput(f"settings file {path} does not exist; set LEAD_SCORING_HOME to the project's root")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{SETTINGS_FILE} is no UTF-8 ({error.reason} at byte {error.start})") from None
    values = _yaml(text, SETTINGS_FILE) or {}
    if not isinstance(values, dict):
        raise BadInput(f"{SETTINGS_FILE} holds {values!r}; it must hold sections such as `buckets:`")
    for section, content in values.items():
        if not isinstance(content, dict | None):
            raise BadInput(f"settings section {section} is {content!r}; it must hold lines like `key: value`")
    return {str(section): content for section, content in values.items() if content}


def _yaml(text: str, name: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise BadInput(f"{name}{where} is no YAML: {getattr(error, 'problem', None) or error}") from None


def _check_name(path: list[Any], name: str) -> tuple[str, str]:
    """Section and key. A misspelt variable would else be ignored, a misspelt key be refused in pydantic's words."""
    if path[0] not in SECTIONS:
        raise BadInput(f"setting {name} is unknown; the sections are {sorted(SECTIONS)}, see docs/configuration.md")
    known = [item.name for item in fields(SECTIONS[path[0]])]
    if len(path) != 2 or path[1] not in known:
        raise BadInput(f"setting {name} is unknown; {path[0]} has {sorted(known)}, see docs/configuration.md")
    return path[0], path[1]


def _refusal(error: ErrorDetails) -> str:
    """One line: which setting, its value, what is allowed."""
    section, *rest = [str(part) for part in error["loc"] if not isinstance(part, int)] or [""]
    if not rest:  # a rule over several settings says it all itself
        return "setting " + error["msg"].removeprefix("Value error, ")
    value = error["input"] if len(error["loc"]) == 2 else f"{error['input']!r} at place {int(error['loc'][2]) + 1}"
    shown = re.sub(r"//[^/@]*@", "//...@", repr(value) if len(error["loc"]) == 2 else str(value))
    return f"setting {section}.{rest[0]} is {shown}; it must be {allowed(section, rest[0])}"


def allowed(section: str, key: str) -> str:
    """What the setting may be, in words."""
    field = SECTIONS[section].__pydantic_fields__[key]
    if options := [option for option in get_args(field.annotation) if isinstance(option, str)]:
        return " or ".join(options)
    extra = field.json_schema_extra
    return str(extra["allowed"]) if isinstance(extra, dict) else "text"


_INTRODUCTION = f"""# Configuration

Every setting, its default, and what it may be. `make settings` writes this page from
`plugins/lead_scoring/settings.py`, where a setting is defined; a test holds the two equal.

A team's own values stand in `{SETTINGS_FILE}` (`buckets:` on one line, `  policy: capacity`
on the next), or in the environment as `{ENVIRONMENT_PREFIX}SECTION__KEY`, which wins
(`{ENVIRONMENT_PREFIX}BUCKETS__POLICY=capacity`). Under `docker-compose.yaml` the environment is
`include/config/compose.env`. Relative folders start at the project's root (`LEAD_SCORING_HOME`).

A name that is unknown or a value that is not allowed stops every command and every task at its
start, with the name, the value and what is allowed.
"""


def reference_page() -> str:
    """``docs/configuration.md``: every setting with its default, what is allowed, and what it does."""
    lines = [_INTRODUCTION]
    for section, kind in SECTIONS.items():
        lines += [f"## {section}", "", "| setting | default | allowed | meaning |", "|---|---|---|---|"]
        for key, field in kind.__pydantic_fields__.items():
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            shown = f"`{default}`" if default != "" else "empty"
            lines.append(f"| `{section}.{key}` | {shown} | {allowed(section, key)} | {field.description} |")
        lines.append("")
    lines += [
        "## Rules over several settings",
        "",
        "- The cuts of `buckets.absolute` and `buckets.lift` fall; those of `buckets.capacity` rise, up to 1.",
        "- `salesforce.refresh_before_days` is less than `scoring.expires_after_days`.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference_page(), end="")
