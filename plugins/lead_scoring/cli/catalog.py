"""``lead-scoring catalog``: a feature set of one's own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lead_scoring.cli.common import add, emit, group, table
from lead_scoring.errors import BadInput


def add_commands(commands: Any) -> None:
    actions = group(commands, "catalog", "the feature catalog")
    infer = add(
        actions,
        "infer",
        run_infer,
        "draft a feature set of one's own from a ready table: names, types, ranges, missing values, categories",
    )
    infer.add_argument("--features", required=True, metavar="T", help="the ready table, with the outcome")
    infer.add_argument("--target", required=True, metavar="C", help="the column of the outcome: 0 and 1, or two texts")
    infer.add_argument("--positive", default="", metavar="TEXT", help="the text of a conversion; empty: the rarer one")
    infer.add_argument("--name", default="", metavar="NAME", help="of the feature set; empty: that of the file")
    infer.add_argument("--out", type=Path, metavar="F", help="the YAML; empty: include/config/feature_sets/NAME.yaml")


def run_infer(options: argparse.Namespace) -> None:
    from lead_scoring.catalog import OWN_SETS, load_catalog
    from lead_scoring.features.infer import infer
    from lead_scoring.settings import load_settings
    from lead_scoring.tables import open_table

    config = load_settings().config_folder
    name = options.name or Path(options.features).name.partition(".")[0].lower().replace("-", "_")
    draft = infer(open_table(options.features), target=options.target, name=name, positive=options.positive)
    out = options.out or config / OWN_SETS / f"{name}.yaml"
    if out.exists():
        raise BadInput(f"file {out} exists, and people may have corrected it; remove it, or give --out or --name")
    if options.out is None and name in load_catalog(config).names:
        raise BadInput(f"feature set {name!r} is in the catalog already; give another --name")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(draft.to_yaml(), encoding="utf-8")
    data = {
        "feature_set": name,
        "out": str(out),
        "rows": draft.rows,
        "conversions": draft.conversions,
        "positive": draft.positive,
        "features": draft.features,
        "skipped": draft.skipped,
    }

    def human() -> None:
        table(
            [
                (
                    feature,
                    f"{entry['minimum']} to {entry['maximum']}",
                    entry["null_rule"],
                    entry["unit"],
                )
                for feature, entry in draft.features.items()
            ],
            ("feature", "range", "missing", "unit"),
        )
        for column, why in draft.skipped.items():
            print(f"not a feature: {column}: {why}")
        print(f"{draft.rows:,} rows, {draft.conversions:,} conversions. Written: {out}")
        print(f"Read and correct it, then: lead-scoring release --features {options.features} --feature-set {name}")

    emit(options, data, human)
