"""``bench sync``: how fast changed scores reach an org, and what a day without changes costs.

Runs against the sandbox org, in a process of its own, so the figures are of this product and not of a network.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lead_scoring.errors import Transient
from lead_scoring.lead_ids import complete_id
from lead_scoring.salesforce import connect, sync, undo
from lead_scoring.settings import load_settings
from lead_scoring.storage.local import LocalStore
from lead_scoring.warehouse.embedded import EmbeddedWarehouse

AS_OF = dt.date(2024, 12, 21)
START_SECONDS = 20.0


def run(quick: bool = False, rows: int = 50_000, wait_seconds: float = 0.2, seed: int = 7) -> dict[str, Any]:
    """Send ``rows`` new scores, send nothing, send ``rows`` changed scores, undo those.

    :param quick: 1,000 rows at most, to see that it works.
    :param wait_seconds: between two looks at a job (``salesforce.wait_seconds``).
    :returns: seconds of each step and changed rows a second.
    """
    rows = min(rows, 1_000) if quick else rows
    with tempfile.TemporaryDirectory(prefix="bench-sync-") as name:
        folder = Path(name)
        ids = [complete_id(f"00Q5e{number:010d}") for number in range(rows)]
        _write_leads(folder / "leads.parquet", ids)
        home = load_settings().home
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.salesforce_org", "--port", "0", "--state", str(folder / "org")]
            + ["--leads", str(folder / "leads.parquet")],
            cwd=home,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            return _measure(folder, ids, _endpoint(process), wait_seconds, seed)
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def _measure(folder: Path, ids: list[str], endpoint: str, wait_seconds: float, seed: int) -> dict[str, Any]:
    settings = load_settings()
    salesforce = dataclasses.replace(
        settings.salesforce, endpoint=endpoint, wait_seconds=wait_seconds, max_bucket_change_share=1.0
    )
    shared: dict[str, Any] = {
        "warehouse": EmbeddedWarehouse(folder / "warehouse"),
        "state": LocalStore(folder / "state"),
        "settings": salesforce,
        "config_folder": settings.config_folder,
    }
    steps = [("first", seed), ("unchanged", seed), ("changed", seed + 1)]
    figures: dict[str, Any] = {"rows": len(ids), "wait_seconds": wait_seconds}
    for step, variant in steps:
        path = folder / f"{step}.parquet"
        _write_scores(path, ids, variant)
        started = time.perf_counter()
        output = sync(connect(salesforce), scores=[path], as_of=AS_OF, run_key=step, **shared)
        _note(figures, step, time.perf_counter() - started, output.counts)
    started = time.perf_counter()
    output = undo(connect(salesforce), run_key="changed", **shared)
    _note(figures, "undo", time.perf_counter() - started, output.counts)
    return figures


def _note(figures: dict[str, Any], step: str, seconds: float, counts: Any) -> None:
    figures[f"{step}_seconds"] = round(seconds, 2)
    figures[f"{step}_sent"] = counts["sent"]
    if counts["sent"]:
        figures[f"{step}_rows_per_second"] = round(counts["sent"] / seconds)
    print(f"{step}: {counts['sent']} rows in {seconds:.1f} s", file=sys.stderr)


def _endpoint(process: subprocess.Popen[str]) -> str:
    """The address in the org's first line."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if "http://" not in line:
        raise Transient(f"the sandbox org did not start: {json.dumps(line)}; see the lines above")
    return line.split("on ", 1)[1].split(" ", 1)[0]


def _write_leads(path: Path, ids: list[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"lead_id": ids, "company": ["Company"] * len(ids)}), path)


def _write_scores(path: Path, ids: list[str], variant: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    scores = np.random.default_rng(variant).beta(1.0, 20.0, len(ids))
    buckets = np.array(["Cold", "Warm", "Hot", "Very Hot"])[np.searchsorted([0.04, 0.08, 0.12], scores)]
    table = pa.table({
        "lead_id": ids,
        "as_of": pa.array([AS_OF] * len(ids), pa.date32()),
        "lead_score": scores,
        "score_bucket": buckets,
        "action_recommended": ["Include in standard outreach"] * len(ids),
        "model_version": ["v1-20241221-0badcafe"] * len(ids),
        "percentile": 100 * scores,
        "trend": ["up"] * len(ids),
        "expires_on": pa.array([AS_OF + dt.timedelta(days=7)] * len(ids), pa.date32()),
    })
    pq.write_table(table, path)
