"""The place of a lead in the call list: 1 is called first.

Ties, which are leads with the same margin to the last bit, are broken by a hash of the lead id: the same every day and
on every engine, and no lead is preferred for the day on which it was entered. ``include/sql/lead_scores`` ranks a day's
leads in the warehouse by the same three keys; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lead_scoring.settings import WarehouseSettings
from lead_scoring.warehouse import embedded_engine
from lead_scoring.warehouse.sql import load_sql

KEYS = ["lead_score", "margin", "lead_id"]
_ROWS_PER_FILE = 1_048_576


def ranks(scores: Sequence[Path], work: Path, *, sql_folder: Path, limits: WarehouseSettings) -> npt.NDArray[np.int64]:
    """Ranks 1 to n in the order of the rows of these files, which have :data:`KEYS`; one row a lead, no lead twice.

    Sorted by the embedded engine, which spills to ``work``: eight bytes a row stay in memory.
    """
    files, rows = [], 0
    for number, path in enumerate(scores):
        table = pq.read_table(path, columns=KEYS)
        table = table.append_column("position", pa.array(np.arange(rows, rows + table.num_rows)))
        files.append(work / f"keys-{number:05d}.parquet")
        pq.write_table(table, files[-1])
        rows += table.num_rows
    engine = embedded_engine(work / "keys", limits)
    engine.replace_partition("scored", "all", files)
    found = np.empty(rows, dtype=np.int64)
    rank = 1
    for part in engine.export(load_sql(sql_folder, "call_order"), {}, work / "order", _ROWS_PER_FILE):
        positions = pq.read_table(part)["position"].to_numpy()
        found[positions] = np.arange(rank, rank + len(positions))
        rank += len(positions)
    return found
