"""MLflow pyfunc and ONNX Runtime, timed in an environment of their own: neither belongs to the product.

Run by ``lead-scoring bench score`` with the interpreter that LEAD_SCORING_BENCH_PYTHON names. It needs mlflow-skinny,
onnxmltools, onnxruntime, pandas, scikit-learn and xgboost-cpu, and prints one JSON object. It imports nothing of the
library:

    python -m venv rivals
    rivals/bin/pip install mlflow-skinny onnxmltools onnxruntime pandas scikit-learn xgboost-cpu
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def percentiles(call: Callable[[Any], object], items: list[Any]) -> tuple[float, float]:
    """Median and 99th percentile of one call, in microseconds."""
    for item in items[:50]:
        call(item)
    taken = []
    for item in items:
        start = time.perf_counter_ns()
        call(item)
        taken.append(time.perf_counter_ns() - start)
    taken.sort()
    return taken[len(taken) // 2] / 1e3, taken[int(len(taken) * 0.99)] / 1e3


def mlflow_pyfunc(model: Any, names: list[str], rows: list[list[float]], work: Path) -> dict[str, float]:
    import mlflow
    import mlflow.xgboost
    import pandas as pd

    mlflow.xgboost.save_model(model, str(work / "mlflow"), model_format="ubj")
    loaded = mlflow.pyfunc.load_model(str(work / "mlflow"))
    p50, p99 = percentiles(lambda row: loaded.predict(pd.DataFrame([row], columns=names)), rows[:500])
    return {"mlflow_pyfunc_p50_us": p50, "mlflow_pyfunc_p99_us": p99}


def onnx_runtime(model: Any, rows: list[list[float]]) -> dict[str, float]:
    import numpy as np
    import onnxmltools
    import onnxruntime
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster = model.get_booster()
    expected = booster.inplace_predict(np.array(rows, dtype=np.float32))
    booster.feature_names = None
    graph = onnxmltools.convert_xgboost(model, initial_types=[("x", FloatTensorType([None, len(rows[0])]))])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    output = session.get_outputs()[1].name
    arrays = [np.array([row], dtype=np.float32) for row in rows]
    p50, p99 = percentiles(lambda array: session.run([output], {"x": array}), arrays)
    found = session.run([output], {"x": np.array(rows, dtype=np.float32)})[0][:, 1]
    difference = np.abs(found - expected)
    return {
        "onnxruntime_p50_us": p50,
        "onnxruntime_p99_us": p99,
        "onnxruntime_largest_difference": float(difference.max()),
        "onnxruntime_share_of_equal_bits": float((difference == 0).mean()),
    }


def main(model_file: str, rows_file: str) -> None:
    import xgboost as xgb

    content = json.loads(Path(rows_file).read_text())
    rows = [[float("nan") if value is None else value for value in row] for row in content["rows"]]
    model = xgb.XGBClassifier(n_jobs=1)
    model.load_model(model_file)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as work:
        for name, measure in (
            ("mlflow", lambda: mlflow_pyfunc(model, content["names"], rows, Path(work))),
            ("onnx", lambda: onnx_runtime(model, rows)),
        ):
            try:
                figures |= measure()
            except ImportError as error:
                figures[f"{name}_missing"] = str(error)
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:3])
