"""``lead-scoring bench batch``: Parquet to Parquet, beside bare ``inplace_predict`` streaming and the document's loop.

Each way runs in a process of its own, so that the memory it needed can be read off at its end. All in one run, in
turns. On a busy machine the rows per CPU second say more than the rows per second.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lab.bench._scoring_model import AS_OF, build_model, leads, write_shard
from lab.bench.score import document_way
from lead_scoring.settings import load_settings

ROUNDS = 2


def run(quick: bool = False) -> dict[str, Any]:
    """:returns: rows a second, peak memory in MB at two sizes, and the ratios."""
    small, large = (131_072, 524_288) if quick else (1_000_000, 10_000_000)
    figures: dict[str, Any] = {"rows_small": small, "rows_large": large}
    with tempfile.TemporaryDirectory(prefix="lead-scoring-bench-") as folder:
        work = Path(folder)
        model = build_model(work / "production")
        model.booster.save_model(work / "bare.ubj")
        write_shard(model.feature_set, work / "small.parquet", small)
        write_shard(model.feature_set, work / "large.parquet", large)
        found: dict[str, list[dict[str, float]]] = {}
        for turn in range(ROUNDS):
            for way in ("score_shard", "inplace_predict"):
                sizes = ("small", "large") if turn == 0 else ("large",)
                for size in sizes:
                    taken = _measure(way, work / f"{size}.parquet", work, model.version)
                    found.setdefault(f"{way}_{size}", []).append(taken)
                    print(f"{way} {size}: {json.dumps(taken)}", file=sys.stderr, flush=True)
        payloads = _payloads(model.feature_set.names, leads(model.feature_set, 500 if quick else 5_000, 9).tolist())
        for name, threads in (("document", None), ("document_one_thread", 1)):
            score, _ = document_way(model, threads)
            started = time.perf_counter()
            for payload in payloads:
                score(payload)
            figures[f"{name}_rows_per_s"] = round(len(payloads) / (time.perf_counter() - started), 1)
    for way, taken_all in found.items():
        figures[f"{way}_rows_per_s"] = round(max(item["rows_per_s"] for item in taken_all))
        figures[f"{way}_rows_per_cpu_s"] = round(max(item["rows_per_cpu_s"] for item in taken_all))
        figures[f"{way}_peak_mb"] = round(max(item["peak_mb"] for item in taken_all))
    ours = figures["score_shard_large_rows_per_s"]
    return figures | {
        "ratio_score_shard_over_inplace_predict": round(ours / figures["inplace_predict_large_rows_per_s"], 3),
        "ratio_score_shard_over_inplace_predict_cpu": round(
            figures["score_shard_large_rows_per_cpu_s"] / figures["inplace_predict_large_rows_per_cpu_s"], 3
        ),
        "ratio_score_shard_over_document": round(ours / figures["document_rows_per_s"], 1),
        "ratio_score_shard_over_document_one_thread": round(ours / figures["document_one_thread_rows_per_s"], 1),
        "ratio_peak_memory_large_over_small": round(
            figures["score_shard_large_peak_mb"] / figures["score_shard_small_peak_mb"], 3
        ),
    }


def _payloads(names: Sequence[str], rows: list[list[float]]) -> list[dict[str, Any]]:
    return [{name: None if v != v else v for name, v in zip(names, row, strict=True)} for row in rows]


def _measure(way: str, shard: Path, work: Path, version: str) -> dict[str, float]:
    command = [sys.executable, "-m", "lab.bench.batch", way, str(shard), str(work), version]
    found = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    figures: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return figures


def score_shard_way(shard: Path, work: Path, version: str) -> Callable[[], int]:
    """The product's: checks, calibrates, ranks, assigns buckets, and writes 15 columns."""
    from lead_scoring.scoring import LeadScorer, score_shard

    settings = load_settings().scoring
    scorer = LeadScorer(version, model_dir=str(work / "production"))
    scorer.tables  # noqa: B018  the imports are not part of the stream
    out = work / "scores"
    out.mkdir(exist_ok=True)
    return lambda: score_shard(
        scorer, shard, as_of=AS_OF, run_key="20241221-00000000", settings=settings, work=out
    ).counts["scored"]


def inplace_predict_way(shard: Path, work: Path, version: str) -> Callable[[], int]:
    """Nothing but the booster: features in, ids and margins out, with the threads that the setting names."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import xgboost as xgb

    from lead_scoring.scoring.batch import stream as read

    booster = xgb.Booster(model_file=work / "bare.ubj")
    booster.set_param({"nthread": load_settings().scoring.threads})
    names = [name.replace(" ", "_") for name in booster.feature_names or []]
    schema = pa.schema([("lead_id", pa.string()), ("margin", pa.float32())])

    def stream() -> int:
        rows = 0
        with pq.ParquetWriter(work / "bare.parquet", schema, use_dictionary=False) as writer:
            for batch in read(pq.ParquetFile(shard), ["lead_id", *names]):
                matrix = np.empty((batch.num_rows, len(names)), dtype=np.float32)
                for place, name in enumerate(names):
                    matrix[:, place] = batch.column(name).to_numpy(zero_copy_only=False)
                margin = booster.inplace_predict(matrix, predict_type="margin")
                writer.write_batch(pa.record_batch([batch.column("lead_id"), pa.array(margin)], schema=schema))
                rows += batch.num_rows
        return rows

    return stream


def main(way: str, shard: str, work: str, version: str) -> None:
    """One way in this process; prints rows a second and the peak of its memory."""
    prepare = {"score_shard": score_shard_way, "inplace_predict": inplace_predict_way}[way]
    stream = prepare(Path(shard), Path(work), version)
    started, used = time.perf_counter(), time.process_time()
    rows = stream()
    seconds, used = time.perf_counter() - started, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "rows_per_s": rows / seconds, "rows_per_cpu_s": rows / used, "peak_mb": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:5])
