"""The Python of the README runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from lead_scoring.cli import main

ROOT = Path(__file__).resolve().parents[2]


def test_every_python_block_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for name, value in {
        "STORAGE__MODELS": tmp_path / "models", "STORAGE__RUNS": tmp_path / "runs",
        "WAREHOUSE__FOLDER": tmp_path / "warehouse", "CALIBRATION__REPEATS": 2, "CALIBRATION__BOOTSTRAP": 100,
        "TRAINING__SEARCH_TRIALS": 1,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"LEAD_SCORING__{name}", str(value))
    monkeypatch.chdir(tmp_path)
    assert main(["sample", "--out", "sample"]) == 0
    assert main(["features", "build", "--source", "sample", "--as-of", "2024-12-21", "--out", "f.parquet"]) == 0
    assert main(["release", "--features", "f.parquet", "--as-of", "2024-12-21", "--promote"]) == 0
    capsys.readouterr()
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "'lead_score':" in capsys.readouterr().out
