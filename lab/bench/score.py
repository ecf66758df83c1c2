"""``lead-scoring bench score``: every way to score a lead, in one run, with the ratios between them.

One thread for one lead. MLflow and ONNX Runtime are timed in an interpreter of their own, named by
LEAD_SCORING_BENCH_PYTHON; what is not there is listed under ``not_measured``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lab.bench._http import http_figures
from lab.bench._rivals import percentiles
from lab.bench._scoring_model import BenchModel, build_model, leads
from lead_scoring.scoring import LeadScorer

RIVALS = Path(__file__).with_name("_rivals.py")


def run(quick: bool = False) -> dict[str, Any]:
    """:returns: microseconds, rows a second and ratios by name; ``not_measured`` lists what was not there."""
    single, batch, seconds = (500, 50_000, 1) if quick else (10_000, 1_000_000, 5)
    with tempfile.TemporaryDirectory(prefix="lead-scoring-bench-") as name:
        work = Path(name)
        model = build_model(work / "production")
        figures: dict[str, Any] = {"not_measured": []}
        for title, measure in (
            ("one lead", lambda: one_lead(model, single)),
            ("rivals", lambda: rivals(model, single, work)),
            ("a batch", lambda: one_batch(model, batch)),
            ("start", lambda: start(model)),
            ("http", lambda: http_figures(model, seconds, work)),
        ):
            found = measure()
            figures["not_measured"] += found.pop("not_measured", [])
            figures |= found
            print(f"{title}: {json.dumps(found)}", file=sys.stderr, flush=True)
    return figures | ratios(figures)


def ratios(figures: dict[str, Any]) -> dict[str, float]:
    """How many times slower the other way is (one lead), or how much of the other's speed is reached (a batch)."""
    pairs = {
        "document_over_score_lead": ("document_p50_us", "score_lead_p50_us"),
        "document_one_thread_over_score_lead": ("document_one_thread_p50_us", "score_lead_p50_us"),
        "mlflow_pyfunc_over_score_lead": ("mlflow_pyfunc_p50_us", "score_lead_p50_us"),
        "predict_proba_frame_over_score_lead": ("predict_proba_frame_p50_us", "score_lead_p50_us"),
        "inplace_predict_over_score_lead": ("inplace_predict_p50_us", "score_lead_p50_us"),
        "onnxruntime_over_compiled_trees": ("onnxruntime_p50_us", "compiled_trees_p50_us"),
        "score_batch_over_inplace_predict": ("score_batch_rows_per_s", "inplace_predict_rows_per_s"),
        "score_batch_over_document": ("score_batch_rows_per_s", "document_rows_per_s"),
        "score_batch_over_document_one_thread": ("score_batch_rows_per_s", "document_one_thread_rows_per_s"),
        "http_p99_over_trivial": ("http_p99_ms", "http_trivial_p99_ms"),
    }
    return {
        f"ratio_{name}": round(figures[over] / figures[under], 3)
        for name, (over, under) in pairs.items()
        if over in figures and under in figures
    }


def one_lead(model: BenchModel, count: int) -> dict[str, float]:
    """Median and 99th percentile of one score, validation included."""
    import pandas as pd

    scorer = LeadScorer(model.version, model_dir=str(model.folder))
    matrix = leads(model.feature_set, count, 5)
    names = list(model.feature_set.names)
    payloads = [
        {name: None if value != value else value for name, value in zip(names, row, strict=True)}
        for row in matrix.tolist()
    ]
    document, classifier = document_way(model, threads=1)
    as_written, _ = document_way(model, threads=None)
    model.booster.set_param({"nthread": 1})
    rows = [row.reshape(1, -1) for row in matrix.astype(np.float32)]

    def frame(row: Any) -> Any:
        return classifier.predict_proba(pd.DataFrame(row, columns=names))

    ways: dict[str, tuple[Callable[[Any], object], list[Any]]] = {
        "score_lead": (scorer.score_lead, payloads),
        "score_lead_reasons": (lambda lead: scorer.score_lead(lead, reasons=3), payloads[:500]),
        "compiled_trees": (scorer.package.trees.margin, matrix.tolist()),
        "document": (as_written, payloads[:2000]),
        "document_one_thread": (document, payloads[:2000]),
        "inplace_predict": (lambda row: model.booster.inplace_predict(row, predict_type="margin"), rows[:2000]),
        "predict_proba_frame": (frame, rows[:500]),
    }
    figures: dict[str, float] = {}
    for name, (call, items) in ways.items():
        p50, p99 = percentiles(call, items)
        figures |= {f"{name}_p50_us": round(p50, 2), f"{name}_p99_us": round(p99, 2)}
    bare = np.array([model.booster.inplace_predict(row, predict_type="margin")[0] for row in rows[:500]])
    ours = np.array([scorer.score_lead(payload)["margin"] for payload in payloads[:500]], dtype=np.float32)
    figures["share_of_equal_bits"] = float((bare == ours).mean())
    return figures


def document_way(model: BenchModel, threads: int | None) -> tuple[Callable[[dict[str, Any]], float], Any]:
    """The document's scorer: dict to numpy, zero for missing, predict_proba, isotonic; and its classifier.

    :param threads: None as the document has it, which is one for each processor.
    """
    import xgboost as xgb
    from sklearn.isotonic import IsotonicRegression

    classifier = xgb.XGBClassifier(n_jobs=threads)
    classifier.load_model(bytearray(model.booster.save_raw("ubj")))
    raw = 1 / (1 + np.exp(-model.margins))
    converted = np.random.default_rng(6).random(len(raw)) < raw / 5
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(raw, converted)
    names = list(model.feature_set.names)

    def score(features: dict[str, Any]) -> float:
        values = np.array([[features.get(name) or 0.0 for name in names]])
        return float(isotonic.predict(classifier.predict_proba(values)[:, 1])[0])

    return score, classifier


def rivals(model: BenchModel, count: int, work: Path) -> dict[str, Any]:
    """What :mod:`lab.bench._rivals` measures in the environment that was named for it."""
    python = os.environ.get("LEAD_SCORING_BENCH_PYTHON")
    if not python:
        reason = "set LEAD_SCORING_BENCH_PYTHON to an interpreter that has mlflow-skinny, onnxmltools and onnxruntime"
        return {"not_measured": [f"MLflow pyfunc: {reason}", f"ONNX Runtime: {reason}"]}
    rows = leads(model.feature_set, count, 5).tolist()
    content = {
        "names": list(model.feature_set.names),
        "rows": [[None if value != value else value for value in row] for row in rows],
    }
    (work / "rows.json").write_text(json.dumps(content))
    model.booster.save_model(work / "rival.ubj")
    command = [python, str(RIVALS), str(work / "rival.ubj"), str(work / "rows.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=work, env=environment)
    if found.returncode:
        return {"not_measured": [f"MLflow pyfunc and ONNX Runtime: {found.stderr.strip().splitlines()[-1]}"]}
    figures = json.loads(found.stdout.splitlines()[-1])
    missing = [f"{name}: {figures.pop(name)}" for name in sorted(figures) if name.endswith("_missing")]
    return {**figures, "not_measured": missing}


def one_batch(model: BenchModel, count: int) -> dict[str, float]:
    """Rows a second: ``score_batch`` on an Arrow table, bare ``inplace_predict`` on a finished matrix (both with all
    processors), and the document's loop. Best of three, taken in turns, because the machine is shared.
    """
    import pyarrow as pa

    from lead_scoring.scoring.tables import threads

    scorer = LeadScorer(model.version, model_dir=str(model.folder))
    matrix = leads(model.feature_set, count, 7)
    table = pa.table({
        name: pa.array(matrix[:, place], from_pandas=True) for place, name in enumerate(model.feature_set.columns)
    })
    narrow = matrix.astype(np.float32)
    model.booster.set_param({"nthread": threads()})
    payloads = [dict(zip(model.feature_set.names, row, strict=True)) for row in np.nan_to_num(matrix[:2000]).tolist()]
    as_written, _ = document_way(model, threads=None)
    one_thread, _ = document_way(model, threads=1)
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "score_batch": (count, lambda: scorer.score_batch(table)),
        "inplace_predict": (count, lambda: model.booster.inplace_predict(narrow, predict_type="margin")),
        "document": (len(payloads), lambda: [as_written(payload) for payload in payloads]),
        "document_one_thread": (len(payloads), lambda: [one_thread(payload) for payload in payloads]),
    }
    best = dict.fromkeys(ways, 0.0)
    for _ in range(3):
        for name, (rows, call) in ways.items():
            best[name] = max(best[name], rows / _seconds(call))
    return {"batch_rows": count, **{f"{name}_rows_per_s": round(rate) for name, rate in best.items()}}


def start(model: BenchModel) -> dict[str, float]:
    """Seconds of a new process: the import alone, and up to the first score."""
    code = {
        "empty_process_s": "pass",
        "import_scoring_s": "import lead_scoring.scoring.scorer",
        "first_score_s": (
            "from lead_scoring.scoring import LeadScorer; "
            f"s = LeadScorer({model.version!r}, {str(model.folder)!r}); "
            "s.score_lead({n: 0.0 for n in s.feature_names})"
        ),
    }
    figures = {}
    for name, text in code.items():
        command = [sys.executable, "-c", text]
        figures[name] = round(min(_seconds(partial(subprocess.run, command, check=True)) for _ in range(3)), 3)
    return figures


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
