"""What is configured, reachable, degenerate or stale, each with the fix. ``lead-scoring doctor`` prints it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lead_scoring.errors import LeadScoringError
from lead_scoring.pipeline import Pipeline

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Check:
    name: str
    status: str
    message: str


def examine(pipeline: Pipeline, today: dt.date) -> list[Check]:
    """Run every check. A check that cannot run is a failed check with the reason, so one fault never hides the rest."""
    checks: list[Check] = []
    for name, look in (
        ("models", _models),
        ("runs", _runs),
        ("warehouse", _warehouse),
        ("champion", _champion),
        ("buckets", _buckets),
        ("freshness", lambda lines: _freshness(lines, today)),
        ("salesforce", _salesforce),
    ):
        checks += _guarded(name, look, pipeline)
    return checks


def _guarded(name: str, look: Callable[[Pipeline], Iterator[Check]], pipeline: Pipeline) -> list[Check]:
    found: list[Check] = []
    try:
        found.extend(look(pipeline))
    except (LeadScoringError, OSError) as error:
        found.append(Check(name, FAIL, str(error)))
    return found


def _models(pipeline: Pipeline) -> Iterator[Check]:
    yield Check("models", OK, f"{pipeline.models.uri}: {len(pipeline.models.list())} objects")


def _runs(pipeline: Pipeline) -> Iterator[Check]:
    yield Check("runs", OK, f"{pipeline.runs.uri}: {len(pipeline.runs.list())} objects")


def _warehouse(pipeline: Pipeline) -> Iterator[Check]:
    from lead_scoring.features import SOURCE_TABLES

    present = set(pipeline.warehouse.tables())
    missing = [name for name in SOURCE_TABLES if name not in present]
    if missing:
        yield Check(
            "warehouse",
            FAIL,
            f"source table {missing[0]!r} is missing ({pipeline.warehouse.name}); `lead-scoring load --source DIR`, "
            "or on a laptop `lead-scoring sample --out DIR --load`",
        )
    else:
        yield Check("warehouse", OK, f"{pipeline.warehouse.name}: {len(present)} tables, all source tables present")


def _champion(pipeline: Pipeline) -> Iterator[Check]:
    from lead_scoring.registry import check_placed

    version = pipeline.champion()
    entry = pipeline.registry.show(version)
    pipeline.scorer(version)  # loads only what verifies: digests, feature order, golden scores
    yield Check("champion", OK, f"{version}: every file verifies, golden scores equal; {entry['performance']}")
    check_placed(pipeline.models, version, entry["manifest_digest"])
    yield Check("function", OK, f"the code in {pipeline.models.uri}/production is the champion's")


def _buckets(pipeline: Pipeline) -> Iterator[Check]:
    from lead_scoring.calibration import empty_buckets
    from lead_scoring.model.buckets import POLICIES, freeze_policy

    version = pipeline.registry.champion()
    if version is None:
        return
    scorer, settings = pipeline.scorer(version), pipeline.settings.buckets
    reachable = scorer.calibrator.apply(scorer.reference_margins)
    for name in POLICIES:
        own = name == scorer.bucket_policy.name  # its cuts are frozen: other leads than today's may have made them
        policy = scorer.bucket_policy if own else freeze_policy(name, settings, reachable, scorer.base_rate)
        problems = empty_buckets(policy, reachable)
        used = " (the champion's)" if own else ""
        said = "; ".join(problems.values()) or "every bucket is reached"
        yield Check(f"buckets {name}{used}", WARN if problems else OK, said)


def _freshness(pipeline: Pipeline, today: dt.date) -> Iterator[Check]:
    from lead_scoring.scoring import newest_scores

    newest = newest_scores(pipeline.warehouse)
    if newest is None:
        yield Check("freshness", WARN, "no scores were published yet; run lead_scoring_daily")
        return
    age = (today - newest).days
    limit = pipeline.settings.scoring.expires_after_days
    message = f"newest scores are as of {newest}, {age} days old"
    if age > limit:
        yield Check("freshness", WARN, f"{message}; scores expire after {limit} days: run lead_scoring_daily")
    else:
        yield Check("freshness", OK, message)


def _salesforce(pipeline: Pipeline) -> Iterator[Check]:
    settings = pipeline.settings.salesforce
    if not settings.endpoint:
        yield Check("salesforce", WARN, f"not looked at: the login is Airflow's connection {settings.conn_id!r}")
        return
    import requests

    try:
        requests.get(settings.endpoint, timeout=5).raise_for_status()
    except requests.RequestException as error:
        yield Check(
            "salesforce", FAIL, f"{settings.endpoint} does not answer ({type(error).__name__}); start it with `make up`"
        )
        return
    yield Check("salesforce", OK, f"{settings.endpoint} answers")
