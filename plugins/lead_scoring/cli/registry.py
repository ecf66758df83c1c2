"""``lead-scoring registry``: what is, was and should be in production. ``lead-scoring verify``: is a package whole."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lead_scoring.cli.common import actor, add, add_models, emit, group, lab, pairs, pipeline, table, whole
from lead_scoring.cli.reports import show_entry
from lead_scoring.errors import NotFound
from lead_scoring.storage import ObjectStore
from lead_scoring.storage.local import LocalStore

if TYPE_CHECKING:
    from lead_scoring.pipeline import Pipeline


PRODUCTION = "production"  # in place of a version


def add_commands(commands: Any) -> None:
    actions = group(commands, "registry", "what is, was and should be in production")
    for name, run, text in (
        ("list", run_list, "all versions, newest first"),
        ("show", run_show, "everything the registry knows of one version"),
        ("history", run_history, "every event, or what was in production at a time"),
        ("promote", run_promote, "make a version the champion"),
        ("rollback", run_rollback, "restore the previous champion"),
        ("reject", run_reject, "bar a version from production for good"),
        ("archive", run_archive, "take a staged version off the list of candidates; it can still be promoted"),
        ("sign", run_sign, "sign a version with an offline key"),
    ):
        command = add(actions, name, run, text)
        add_models(command)
        if name == "sign":
            command.add_argument("--key", required=True, type=Path, metavar="PEM", help="private key")
        if name in ("show", "promote", "reject", "archive", "sign"):
            _add_version(command)
        if name in ("promote", "rollback", "reject", "archive"):
            command.add_argument("--reason", required=True, help="why; recorded in the history")
        if name == "rollback":
            command.add_argument(
                "--from",
                dest="replaced",
                default="",
                metavar="V",
                help="the version to take out; with it the command can be repeated (default: the present champion)",
            )
        if name == "history":
            command.add_argument("--at", metavar="T", help="a date or time (UTC), like 2024-12-21T06:00")

    verify = add(commands, "verify", run_verify, "check every byte of a package against its manifest and the registry")
    _add_version(verify)
    verify.add_argument(
        "--fuzz", type=whole("fuzz"), default=0, metavar="N", help="also try N damaged copies: none may load"
    )
    verify.add_argument("--seed", type=whole("seed"), default=0, help="of the damage (default: %(default)s)")
    add_models(verify)


def _add_version(command: argparse.ArgumentParser) -> None:
    command.add_argument("version", metavar="V", help=f"a version, or {PRODUCTION}: the one in production")


def _version(lines: Pipeline, options: argparse.Namespace) -> str:
    return lines.champion() if options.version == PRODUCTION else str(options.version)


def run_list(options: argparse.Namespace) -> None:
    lines = pipeline(options)
    if not isinstance(lines.models, LocalStore) or lines.models.root.is_dir():
        entries = lines.registry.entries()[::-1]
    else:  # the first release makes it, so elsewhere it may be absent
        raise NotFound(f"models folder {lines.models.uri} does not exist; check --models, or run the first release")

    def human() -> None:
        if not entries:
            print("the registry is empty; run lead_scoring_release or `lead-scoring release`")
            return
        rows = [
            (
                item["version_id"], item["status"], item["performance"].get("test_auc_roc"),
                item["performance"].get("top_decile_lift"), item["calibration"].get("method"),
            )
            for item in entries
        ]  # fmt: skip
        table(rows, ("version", "status", "auc_roc", "top_decile_lift", "calibration"))

    emit(options, entries, human)


def run_show(options: argparse.Namespace) -> None:
    lines = pipeline(options)
    entry = lines.registry.show(_version(lines, options))
    emit(options, entry, lambda: show_entry(entry))


def run_history(options: argparse.Namespace) -> None:
    events = pipeline(options).registry.history(at=options.at)

    def human() -> None:
        rows = []
        for item in events:
            forced = " (forced)" if (item["details"].get("gate") or {}).get("forced") else ""
            kind, champion = item["kind"] + forced, item["champion"]
            rows.append((item["at"], kind, item["version_id"], champion, item["actor"], item["reason"]))
        table(rows, ("when (UTC)", "event", "version", "champion", "who", "why"))
        if options.at:
            print(f"in production at {options.at}: {events[-1]['champion'] or 'none' if events else 'none'}")

    emit(options, events, human)


def run_promote(options: argparse.Namespace) -> None:
    lines = pipeline(options)
    before = lines.registry.champion()
    version = _version(lines, options)
    lines.registry.promote(version, reason=options.reason, actor=actor())
    data = {"champion": version, "before": before}
    emit(options, data, lambda: print(f"{version} is in production (before: {before or 'none'})"))


def run_rollback(options: argparse.Namespace) -> None:
    registry = pipeline(options).registry
    before = options.replaced or registry.champion()
    done = registry.taken_out(before) if before else None
    now = registry.rollback(reason=options.reason, actor=actor(), expected=before).version_id

    def human() -> None:
        if done:
            print(f"{before} was taken out already by event {done.number}; {now} is in production")
        else:
            print(f"{now} is in production again (before: {before})")

    emit(options, {"champion": now, "before": before}, human)


def run_reject(options: argparse.Namespace) -> None:
    entry = pipeline(options).registry.reject(options.version, reason=options.reason, actor=actor())
    emit(options, entry.to_dict(), lambda: print(f"{options.version} is rejected; it can never be promoted"))


def run_archive(options: argparse.Namespace) -> None:
    entry = pipeline(options).registry.archive(options.version, reason=options.reason, actor=actor())
    emit(options, entry.to_dict(), lambda: print(f"{options.version} is archived; it can still be promoted"))


def run_verify(options: argparse.Namespace) -> None:
    from lead_scoring.registry import verify
    from lead_scoring.scoring import LeadScorer

    def scorer(store: ObjectStore, version: str | None) -> str:
        return LeadScorer(version, store=store).package.manifest_digest

    lines = pipeline(options)
    version = _version(lines, options)
    report = verify(
        lines.models,
        version,
        keys=Path(lines.settings.location(lines.settings.storage.trusted_keys)),
        scorer=scorer,
    )
    if options.fuzz:
        fuzz = lab("fuzz", "lead-scoring verify --fuzz").fuzz
        report["fuzz"] = fuzz(lines.models, version, options.fuzz, options.seed, scorer)
    emit(options, report, lambda: pairs(report))


def run_sign(options: argparse.Namespace) -> None:
    from lead_scoring.registry import open_package, sign_package

    lines = pipeline(options)
    version = _version(lines, options)
    sign_package(open_package(lines.models, version), options.key)
    emit(options, {"signed": version}, lambda: print(f"{version} is signed; `verify` says by whom"))
