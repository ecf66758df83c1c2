"""``lead-scoring train``, ``calibrate`` and ``release``: from a feature table to a version in the registry."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lead_scoring.cli.common import (
    TABLE_FORMS,
    actor,
    add,
    add_as_of,
    add_feature_set,
    add_maps,
    add_models,
    emit,
    lab,
    maps_of,
    pairs,
    pipeline,
    private_pipeline,
    table,
    today,
    whole,
)
from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.storage import open_store
from lead_scoring.storage.written import local_file, replacing


def add_commands(commands: Any) -> None:
    train = add(commands, "train", run_train, "fit the booster and the baselines on a feature table")
    train.add_argument("--features", required=True, metavar="F", help=f"feature table with labels: {TABLE_FORMS}")
    train.add_argument("--label", default="target", metavar="COLUMN", help="1 converted, 0 not (default: %(default)s)")
    train.add_argument(
        "--out", required=True, metavar="DIR", help="model.ubj, scores.parquet, the report: a folder or a gs:// address"
    )
    add_maps(train)
    _add_findings(train)
    add_as_of(train)
    add_feature_set(train)

    calibrate = add(commands, "calibrate", run_calibrate, "compare the calibrators on scores and outcomes, choose one")
    calibrate.add_argument(
        "--scores",
        metavar="S",
        help=f"the scores.parquet of `train`, or a table with raw_score (0 to 1) and target: {TABLE_FORMS}",
    )
    add_maps(calibrate)
    calibrate.add_argument("--out", type=local_file, metavar="DIR", help="calibrator, metadata, lookup table, pictures")
    calibrate.add_argument(
        "--rule", choices=["one_standard_error", "document"], help="document: lower Brier score in sample"
    )
    calibrate.add_argument(
        "--intercept-only", metavar="V", help="refresh only the intercept of this version (or of this calibrator.json)"
    )
    calibrate.add_argument("--features", metavar="F", help="with --intercept-only V: recent labelled leads")
    calibrate.add_argument("--reason", default="", help="with --intercept-only V: why, for the registry's history")
    calibrate.add_argument(
        "--accept-findings", default="", metavar="REASON", help="with --intercept-only V: let bucket findings pass"
    )
    calibrate.add_argument("--selftest", action="store_true", help="simulate worlds whose answer is known")
    add_as_of(calibrate)
    add_models(calibrate)
    calibrate.add_argument(
        "--sets", type=whole("sets", 1), default=100, help="with --selftest: sets in each (default: %(default)s)"
    )

    release = add(commands, "release", run_release, "train, calibrate, version and register a model, like the DAG")
    release.add_argument("--features", required=True, metavar="F", help=f"feature table with labels: {TABLE_FORMS}")
    release.add_argument("--holdout", metavar="H", help="judge on this table; empty: on the latest leads of F")
    release.add_argument("--bucket-policy", default="", choices=["", "lift", "absolute", "capacity"], metavar="P")
    release.add_argument("--promote", action="store_true", help="make it the champion if the gate agrees")
    release.add_argument("--force", action="store_true", help="with --promote: against the gate; needs --reason")
    release.add_argument("--reason", default="", help="why, for the registry's history")
    add_maps(release)
    _add_findings(release)
    add_as_of(release)
    add_feature_set(release)
    add_models(release)


def _add_findings(command: argparse.ArgumentParser) -> None:
    command.add_argument("--accept-findings", default="", metavar="REASON", help="let leak and bucket findings pass")


def run_train(options: argparse.Namespace) -> None:
    maps = maps_of(options)
    if options.label != "target":
        maps = {"target": "", **maps, options.label: "target"}
    if "://" in options.out:
        open_store(options.out).exists("model.ubj")  # an address that cannot be reached is told before the training
    standing = pipeline(options)  # whose warehouse may have the table
    as_of = standing.as_of(options.as_of, today())
    with standing.opened(options.features, as_of) as brought, private_pipeline(options) as lines:
        features = lines.materialize_features(as_of, features=brought, maps=maps, feature_set=options.feature_set)
        trained = lines.train_model(features, accept_findings=options.accept_findings)
        write_files(options.out, {name: trained.fetch(lines.runs, name) for name in trained.files})
    figures = {name: value for name, value in trained.figures.items() if name != "leakage"}
    data = {"out": str(options.out), **figures, **features.counts, "maps": features.figures["maps"]}
    emit(options, data, lambda: pairs(_flat(figures)))


def write_files(out: str, files: Mapping[str, Path]) -> None:
    """Copy files, by their names, into a folder or below a ``gs://`` address."""
    if "://" in out:
        store = open_store(out)
        for name, path in files.items():
            store.upload(path, name)
        return
    with replacing([Path(out) / name for name in files]) as private:
        for path, written in zip(files.values(), private, strict=True):
            shutil.copyfile(path, written)


def run_calibrate(options: argparse.Namespace) -> None:
    from lead_scoring.calibration import NothingBeatsTheConstant, calibrate_scores_file

    settings = pipeline(options).settings.calibration
    if options.selftest:
        worlds = lab("calibration_worlds", "lead-scoring calibrate --selftest")
        report = worlds.selftest(settings, sets=options.sets, progress=_progress)
        rows = [
            (item["world"], item["leads"], item["mean_positives"], _counts(item["chosen"]), item["passed"])
            for item in report["worlds"]
        ]
        emit(options, report, lambda: table(rows, ("world", "leads", "mean positives", "chosen", "as it should")))
        if not report["passed"]:
            raise CheckFailed("the choice of calibrator is not what simulated worlds demand; see the table")
        return
    if options.intercept_only and options.features:
        _refresh_version(options)
        return
    if not options.scores:
        raise BadInput("calibrate needs --scores FILE (columns raw_score and target), or --selftest")
    standing = Path(options.intercept_only) if options.intercept_only else None
    lines = pipeline(options)
    try:
        with lines.opened(options.scores, lines.as_of(options.as_of, today())) as scores:
            report = calibrate_scores_file(
                scores, settings, options.rule, options.out, intercept_of=standing, maps=maps_of(options)
            )
    except NothingBeatsTheConstant as refused:
        tables = {"in_sample": refused.in_sample, "cross_fit": refused.cross_fit, "selected": None}
        emit(options, tables, lambda: _show_tables(tables))
        raise
    emit(options, report, lambda: _show_calibration(report))


def _refresh_version(options: argparse.Namespace) -> None:
    lines = pipeline(options)
    version = options.intercept_only
    as_of = lines.as_of(options.as_of, today())
    wanted = lines.registry.show(version)["feature_set"]
    maps = maps_of(options)
    features = lines.materialize_features(as_of, features=options.features, maps=maps, feature_set=wanted)
    made = lines.refresh_intercept(
        version,
        features,
        actor=actor(),
        reason=options.reason or f"new intercept for {version}",
        accept_findings=options.accept_findings,
    )
    data = {"refreshed": version, **{name: made.figures[name] for name in ("version", "status", "calibration")}}

    def human() -> None:
        print(f"{made.figures['version']} is {made.figures['status']}: {version} with the intercept of recent leads")
        print(f"To use it: lead-scoring registry promote {made.figures['version']} --reason WHY")

    emit(options, data, human)


def _show_calibration(report: Mapping[str, Any]) -> None:
    if "refresh" in report:
        pairs(_flat(report["refresh"]))
        return
    _show_tables(report)
    print(f"\nselected: {report['selected']} (rule: {report['rule']})\n{report['reason']}")
    for name in report.get("files", []):
        print(f"written: {name}")


def _show_tables(report: Mapping[str, Any]) -> None:
    inside, crossed = report["in_sample"], report["cross_fit"]
    print(f"in_sample: fitted and scored on the same {inside['n']:,} leads ({inside['positives']} conversions)")
    table(
        [
            (row["method"], f"{row['brier']:.6f}", f"{row['log_loss']:.6f}", row["distinct_scores"])
            for row in inside["rows"]
        ],
        ("method", "brier", "log_loss", "distinct scores"),
    )
    print(
        f"auc_roc {inside['auc_roc']:.4f}  auc_pr {inside['auc_pr']:.4f}  lift {inside['top_decile_lift']:.2f}"
        f"  base rate {inside['baseline_rate']:.2%}  top decile {inside['top_decile_rate']:.2%}"
    )
    print(
        f"\ncross_fit: {crossed['folds']} folds x {crossed['repeats']}; differences to the best, with 95 % intervals "
        f"({crossed['resamples']} resamples)"
    )
    rows = []
    for row in crossed["rows"]:
        gap, noise = row["log_loss_over_best"], row["ece_noise_floor"]
        rows.append((
            row["method"] + _role(row),
            f"{row['brier']:.6f}", f"{row['log_loss']:.6f}", f"{row['log_loss_skill']:+.4f}",
            f"{gap['value']:+.5f} ({gap['low']:+.5f} to {gap['high']:+.5f})",
            _interval(row["slope"]),
            _interval(row["intercept"], "+"),
            f"{row['ece']:.4f} / {noise['mean']:.4f}",
        ))  # fmt: skip
    header = (
        "method, brier, log_loss, skill, log loss over the best, slope, intercept at slope 1, ECE / its noise floor"
    )
    table(rows, header.split(", "))


def _interval(found: Mapping[str, float] | None, sign: str = "") -> str:
    if found is None:
        return "-"
    return f"{found['value']:{sign}.2f} ({found['low']:{sign}.2f} to {found['high']:{sign}.2f})"


def _role(row: Mapping[str, Any]) -> str:
    if row["candidate"]:
        return ""
    return " (floor)" if row["method"] == "constant" else " (shown only)"


def run_release(options: argparse.Namespace) -> None:
    if options.force and not options.promote:
        raise BadInput("--force needs --promote: it overrules the gate, which is asked only for a promotion")
    if options.force and not options.reason.strip():
        raise BadInput("--force needs --reason: the registry's history records why the gate was overruled")
    lines = pipeline(options)
    as_of = lines.as_of(options.as_of, today())
    taken = {"feature_set": options.feature_set, "maps": maps_of(options)}
    features = lines.materialize_features(as_of, features=options.features, **taken)
    holdout = None
    if options.holdout:
        holdout = lines.materialize_features(as_of, features=options.holdout, **taken)
    accepted = options.accept_findings
    trained = lines.train_model(features, accept_findings=accepted, holdout=holdout)
    calibrated = lines.calibrate_model(features, trained, bucket_policy=options.bucket_policy, accept_findings=accepted)
    packaged = lines.hash_version(features, trained, calibrated, accept_findings=accepted)
    registered = lines.update_registry(
        packaged,
        trained,
        calibrated,
        actor=actor(),
        reason=options.reason or "release from the command line",
        force=options.force,
        promote=options.promote,
    )
    figures = registered.figures
    data = {
        **figures,
        "findings": packaged.figures["findings"],
        "warnings": calibrated.figures["warnings"],
        "gate": figures["gate"] or packaged.figures["gate"],
    }

    def human() -> None:
        pairs({name: figures[name] for name in ("version", "status", "previous_champion")})
        print(f"figures: {packaged.figures['how']}, {packaged.figures['split']['note']}")
        pairs({**figures["performance"], **_flat(figures["calibration"])})
        for warning in data["warnings"]:
            print(f"warning: {warning['message']}")
        for reason in data["gate"]["reasons"]:
            print(f"gate: {reason}")
        print(f"model card: {lines.model_card_url(figures['version'])}")

    emit(options, data, human)


def _progress(world: str, done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{world}: {done} of {of} ", end="\n" if done == of else "", file=sys.stderr, flush=True)


def _counts(chosen: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(chosen.items(), key=lambda item: -item[1]))


def _flat(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures with intervals on one line each."""
    flat = {}
    for name, value in figures.items():
        if isinstance(value, Mapping) and {"value", "low", "high"} <= set(value):
            flat[name] = f"{value['value']:.4f} ({value['low']:.4f} to {value['high']:.4f})"
        elif not isinstance(value, Mapping | list):
            flat[name] = value
    return flat
