"""How fast the feature table is made at the real size, and in how much memory.

Every step runs in a process of its own, so that its peak memory is its own. CPU seconds stand beside wall seconds: on a
machine that does other things at the same time only they can be compared.
"""

from __future__ import annotations

import datetime as dt
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lab.bench._feature_world import AS_OF, write_world
from lab.bench._features_correlated import CORRELATED_SQL
from lead_scoring.catalog import load_catalog
from lead_scoring.features import load_source, materialize
from lead_scoring.features.materialization import query_parameters
from lead_scoring.settings import load_settings
from lead_scoring.warehouse.embedded import EmbeddedWarehouse
from lead_scoring.warehouse.sql import compose, load_sql

SEED = 7
_DAY = dt.date.fromisoformat(AS_OF)

Figures = dict[str, float]


def run(quick: bool = False) -> dict[str, float]:
    """Time the feature table for 800 k and 1.6 M leads and the correlated form of its query.

    :param quick: 2 % of the size, in seconds; the ratios are then noise.
    :return: seconds of wall clock and CPU, peak MB, and the ratios.
    """
    share = 0.02 if quick else 1.0
    leads = int(800_000 * share)
    figures: dict[str, float] = {"leads": leads}
    with tempfile.TemporaryDirectory(prefix="bench-features-") as folder:
        for times in (1, 2):
            root = Path(folder) / f"x{times}"
            rows = write_world(root / "source", leads * times, share=share, seed=SEED, say=_say)
            _say(f"loading {rows}")
            load_source(EmbeddedWarehouse(root / "warehouse"), root / "source")
            name = "build" if times == 1 else "build_twice_the_leads"
            figures |= _measure(name, build_table, root)
        root = Path(folder) / "x1"
        figures |= _measure("query", run_query, root)
        figures |= _measure("correlated_query", run_correlated, root)
        figures["forms_agree"] = float(_agree(root))
    figures["twice_the_leads_cpu_ratio"] = figures["build_twice_the_leads_cpu_s"] / figures["build_cpu_s"]
    figures["twice_the_leads_wall_ratio"] = figures["build_twice_the_leads_wall_s"] / figures["build_wall_s"]
    figures["correlated_over_windows_cpu_ratio"] = figures["correlated_query_cpu_s"] / figures["query_cpu_s"]
    figures["correlated_over_windows_wall_ratio"] = figures["correlated_query_wall_s"] / figures["query_wall_s"]
    return {name: round(value, 2) for name, value in figures.items()}


def build_table(root: Path) -> Figures:
    """Everything that the release does: query, contract, digests, shards."""
    settings = load_settings()
    work = root / "work"
    work.mkdir()
    output = materialize(
        EmbeddedWarehouse(root / "warehouse"),
        as_of=_DAY,
        feature_set=load_catalog(settings.config_folder).feature_set("phase6"),
        settings=settings.features,
        sql_folder=settings.sql_folder,
        work=work,
    )
    return {"rows": output.counts["rows_out"]}


def run_query(root: Path) -> Figures:
    """The query of ``include/sql/lead_features`` alone."""
    settings = load_settings()
    return _export(root, load_sql(settings.sql_folder, "lead_features"), "windows")


def run_correlated(root: Path) -> Figures:
    """The correlated form on the same tables."""
    return _export(root, compose(load_settings().sql_folder, CORRELATED_SQL), "correlated")


def _export(root: Path, sql: str, name: str) -> Figures:
    warehouse = EmbeddedWarehouse(root / "warehouse")
    parameters = query_parameters(warehouse, load_settings().sql_folder, as_of=_DAY, settings=load_settings().features)
    warehouse.export(sql, parameters, root / name, 10_000_000)
    return {}


def _agree(root: Path) -> bool:
    """Do both forms give the same values for every row that the correlated one answers?"""
    import pandas as pd

    windows = pd.read_parquet(root / "windows").set_index(["lead_id", "scorable"])
    correlated = pd.read_parquet(root / "correlated").set_index(["lead_id", "scorable"]).drop(columns="base_aum")
    return windows.loc[correlated.index, correlated.columns].equals(correlated)


def _measure(name: str, step: Callable[[Path], Figures], root: Path) -> Figures:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        measured = pool.apply(_timed, (step, root))
    _say(f"{name}: {', '.join(f'{key} {value:,.1f}' for key, value in measured.items())}")
    return {f"{name}_{key}": value for key, value in measured.items()}


def _timed(step: Callable[[Path], Figures], root: Path) -> Figures:
    wall, cpu = time.perf_counter(), time.process_time()
    figures = step(root)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    status = Path("/proc/self/status")  # its high-water mark starts anew with the process, getrusage's does not
    peak = 0.0
    if status.is_file():
        peak = float(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return {"wall_s": wall, "cpu_s": cpu, "peak_mb": peak, **figures}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
