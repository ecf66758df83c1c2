"""An example of each command that works as typed after ``make demo``: ``--help`` shows it, a test runs it."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator

PROGRAM = ".venv/bin/lead-scoring"
AS_OF = "--as-of 2024-12-21"
_LEAD = (
    '{"aum_growth_since_jan2024_pct": 12, "current_firm_tenure_months": 12, "days_in_gap": 0, "firm_aum_pit": 4.2e10, '
    '"firm_net_change_12mo": -5, "firm_rep_count_at_contact": 40, "industry_tenure_months": 96, "num_prior_firms": 2, '
    '"pit_mobility_tier_Highly Mobile": 0, "pit_mobility_tier_Mobile": 0, "pit_mobility_tier_Stable": 0, '
    '"pit_moves_3yr": 1}'
)
# In this order they work one after the other. A line with WHY or V needs a decision, or a second version.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "sample": ("sample --out state/sample --load",),
    "load": ("load --source state/sample",),
    "features build": (f"features build --source state/sample {AS_OF} --out state/features.parquet",),
    "features audit": (f"features audit --source state/sample {AS_OF}",),
    "features backfill": ("features backfill --from 2024-12-20 --to 2024-12-21",),
    "catalog infer": (
        "catalog infer --features state/features.parquet --target target --name mine --out state/mine.yaml",
    ),
    "train": (f"train --features state/features.parquet {AS_OF} --out state/trained",),
    "calibrate": ("calibrate --scores state/trained/scores.parquet",),
    "release": (f"release --features state/features.parquet {AS_OF}",),
    "registry list": ("registry list",),
    "registry show": ("registry show production",),
    "registry history": ("registry history", "registry history --at 2026-12-31"),
    "registry promote": ('registry promote production --reason "place its function code anew"',),
    "registry rollback": ("registry rollback --reason WHY",),
    "registry reject": ("registry reject V --reason WHY",),
    "registry archive": ("registry archive V --reason WHY",),
    "registry sign": ("registry sign V --key maria.key",),
    "verify": ("verify production",),
    "score": (f"score --batch state/features.parquet --out state/scores.parquet {AS_OF}", f"score '{_LEAD}'"),
    "why": ("why 00QSY00000006hC2AQ",),
    "sync": (f"sync --scores state/scores.parquet {AS_OF} --dry-run", "sync status"),
    "salesforce metadata": ("salesforce metadata --out state/salesforce",),
    "doctor": ("doctor",),
    "tidy": ("tidy --dry-run",),
    "bench": ("bench score --quick",),
}


def leaves(
    parser: argparse.ArgumentParser, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The commands that do something, by name: ``features build``."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield " ".join(path), parser
    for group in groups:
        for name, child in group.choices.items():
            yield from leaves(child, (*path, name))


def show_examples(parser: argparse.ArgumentParser) -> None:
    """Put the examples under the help of each command, in lines that can be copied."""
    for name, command in leaves(parser):
        lines = [f"  {PROGRAM} {line}" for line in EXAMPLES.get(name, ())]
        notes = [textwrap.fill(command.epilog, 100)] if command.epilog else []
        command.epilog = "\n".join(["example:" if len(lines) == 1 else "examples:", *lines, *notes] if lines else notes)
        command.description = textwrap.fill(command.description or "", 100)
        command.formatter_class = argparse.RawDescriptionHelpFormatter
