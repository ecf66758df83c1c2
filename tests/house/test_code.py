"""The code digest of a stage covers what the stage runs, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lead_scoring import code
from lead_scoring.settings import load_settings

SQL = load_settings(environment={}).sql_folder
STAGES = {
    "materialize_features": "lead_scoring.features.materialization",
    "leak_tripwire": "lead_scoring.features.leakage",
    "train_model": "lead_scoring.training.fit",
    "calibrate_model": "lead_scoring.calibration.release",
    "package": "lead_scoring.packaging.package",
    "batch_score": "lead_scoring.scoring.batch",
    "publish_scores": "lead_scoring.scoring.publish",
}

# Runs the scoring stage in a process of its own and prints every module of the library in which a function was called.
TRACED = """
import datetime as dt, sys, threading
from pathlib import Path
from lead_scoring.scoring import LeadScorer, score_shard
from lead_scoring.settings import load_settings
seen = set()
def note(frame, event, argument):
    seen.add(frame.f_globals.get("__name__", ""))
threading.setprofile(note)
sys.setprofile(note)
scorer = LeadScorer(model_dir=sys.argv[1])
score_shard(scorer, Path(sys.argv[2]), as_of=dt.date(2024, 12, 21), run_key="20241221-0123456789abcdef",
            settings=load_settings(environment={}).scoring, work=Path(sys.argv[3]))
sys.setprofile(None)
print(*sorted(name for name in seen if name.startswith("lead_scoring.")))
"""


def copied(folder: Path) -> tuple[Path, Path]:
    """The library and its queries, to be changed."""
    library = shutil.copytree(code.LIBRARY, folder / "lead_scoring", ignore=shutil.ignore_patterns("__pycache__"))
    return Path(library), Path(shutil.copytree(SQL, folder / "sql"))


def content(library: Path, sql: Path, stage: str) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in code.source_files([STAGES[stage]], sql, library).items()}


@pytest.mark.parametrize(
    ("changed", "stages"),
    [
        ("training/split.py", {"train_model"}),
        ("calibration/selection.py", {"calibrate_model"}),
        ("model/calibrators/beta.py", {"calibrate_model", "package", "batch_score"}),
        ("packaging/card.py", {"package"}),
        ("cli/models.py", set()),
        ("scoring/why.py", set()),
        ("salesforce/diff.py", set()),
        ("stage.py", set(STAGES)),
        ("sql/lead_scores_audit/query.sql", {"publish_scores"}),
        ("sql/lead_scores/schema.yaml", {"batch_score", "publish_scores"}),  # defines lead_scores_staging too
        ("sql/employment_versions/query.sql", {"materialize_features"}),  # a view of the query that the stage names
    ],
)
def test_a_changed_file_invalidates_the_stages_that_run_it_and_no_other(tmp_path, changed, stages):
    library, sql = copied(tmp_path)
    before = {stage: content(library, sql, stage) for stage in STAGES}
    path = sql.parent / changed if changed.startswith("sql/") else library / changed
    path.write_text(path.read_text() + "\n# a comment\n")
    assert {stage for stage in STAGES if content(library, sql, stage) != before[stage]} == stages


def test_no_stage_runs_benchmarks_commands_or_airflow():
    for stage, module in STAGES.items():
        names = code.source_files([module], SQL)
        assert not [name for name in names if name.startswith(("lab", "lead_scoring.cli", "lead_scoring.pipeline"))], (
            stage
        )


def test_every_module_that_scoring_calls_is_in_its_digest(tmp_path):
    from tests.scoring.small_package import build_package, write_registry, write_shard

    write_registry(tmp_path, build_package(tmp_path / "production"))
    shard = write_shard(tmp_path / "shard.parquet", 50, 3, bad_rows=2)
    (tmp_path / "work").mkdir()
    arguments = [sys.executable, "-c", TRACED, tmp_path / "production", shard, tmp_path / "work"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    called = set(done.stdout.split()) - {"lead_scoring.settings"}  # the caller's
    rooms = {name for name in called if (code.LIBRARY.parent / name.replace(".", "/")).is_dir()}
    assert len(called - rooms) > 8
    assert called - rooms <= set(code.source_files([STAGES["batch_score"]], SQL))


def test_the_digest_is_of_the_functions_that_are_given():
    from lead_scoring.calibration import calibrate_stage
    from lead_scoring.training import train

    one, other = code.code_digest([train], SQL), code.code_digest([calibrate_stage], SQL)
    assert len(one) == 16
    assert one != other
    assert code.code_digest([train, calibrate_stage], SQL) not in {one, other}


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ModuleNotFoundError, match=r"lead_scoring\.nothing"):
        code.source_files(["lead_scoring.nothing"], SQL)
