"""What the README, the docs and --help tell people to type works as it stands there.

One laptop for all: the demo's data and model, then the examples of --help, then the pages. Its tables are the sample's,
and own-data.md loads the same rows from files that no longer call themselves synthetic.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lab.sample import write_sample
from lead_scoring.cli import main, parser
from lead_scoring.cli.examples import EXAMPLES, PROGRAM, leaves
from lead_scoring.pipeline import Pipeline
from lead_scoring.salesforce import connect
from lead_scoring.settings import load_settings
from sandbox.salesforce_org.faults import Faults
from sandbox.salesforce_org.leads import read_leads
from sandbox.salesforce_org.org import Org
from sandbox.salesforce_org.schema import read_lead_fields
from sandbox.salesforce_org.server import OrgServer

pytestmark = pytest.mark.timeout(1500)

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
KINDS = {"bash", "python", "text", "mermaid", "sql"}  # text is what a command prints, or how a command is built
VERSION = re.compile(r"v1-\d{8}-[0-9a-f]{8}")
# Lines of bash blocks that are not run here, and why.
NOT_RUN = {
    "make demo": "tests/e2e runs the same release on the same stack",
    "make test": "these are the tests",
    "make up": "tests/e2e starts the same stack; the org stands here already",
    "python -m sandbox.salesforce_org": "a server that runs until it is told to stop; tests/sandbox_org starts it",
}
# Examples of --help that are not run here, and why.
NO_EXAMPLE = {
    "registry rollback": "the demo makes one version, and there must be an earlier one",
    "registry reject": "the demo makes one version, which is in production",
    "registry archive": "the demo makes one version, which is in production",
    "registry sign": "docs/registry.md makes the key and signs",
    "bench": "it measures for minutes; test_cli.py sees that each benchmark has a small size",
}


def blocks(page: Path, kind: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text()) if found == kind]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout's folder after `make demo`, in a place of its own, with an org that has the sample's leads."""
    folder = tmp_path_factory.mktemp("home")
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    write_sample(folder / "state" / "sample")
    (folder / "my-tables").mkdir()
    for path in (folder / "state" / "sample").iterdir():
        pq.write_table(pq.read_table(path).replace_schema_metadata(), folder / "my-tables" / path.name)
    org = Org(folder / "state" / "org", read_lead_fields(ROOT / "include" / "salesforce"), Faults())
    org.seed(read_leads(folder / "state" / "sample" / "leads.parquet"))
    server = OrgServer(org).start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "STORAGE__MODELS": folder / "models", "STORAGE__RUNS": folder / "state" / "runs",
            "STORAGE__TRUSTED_KEYS": folder / "include" / "config" / "keys",
            "WAREHOUSE__FOLDER": folder / "state" / "warehouse", "SALESFORCE__ENDPOINT": server.url,
            "SALESFORCE__WAIT_SECONDS": 0.05, "CALIBRATION__REPEATS": 2, "CALIBRATION__BOOTSTRAP": 100,
            "TRAINING__SEARCH_TRIALS": 1, "TRAINING__BOOTSTRAP": 100,
        }.items():  # fmt: skip
            patch.setenv(f"LEAD_SCORING__{name}", str(value))
        patch.setenv("LEAD_SCORING_HOME", str(ROOT))
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        patch.chdir(folder)
        demo(folder)
        yield folder
    server.stop()


def demo(folder: Path) -> None:
    """What the DAG of `make demo` does, in its order."""
    lines = Pipeline(load_settings())
    lines.load_source(folder / "state" / "sample")
    features = lines.materialize_features(dt.date(2024, 12, 21))
    trained = lines.train_model(features)
    calibrated = lines.calibrate_model(features, trained)
    packaged = lines.hash_version(features, trained, calibrated)
    made = lines.update_registry(packaged, trained, calibrated, actor="test", reason="demo")
    version = made.figures["version"]
    scored = [lines.batch_score(features, version, shard) for shard in lines.score_shards(features)]
    published = lines.publish_scores(features, scored, version)
    lines.sync_salesforce(features, published, connect(lines.settings.salesforce))


def bash(folder: Path, script: str) -> str:
    """What a script prints. It ends at the first command that fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def test_every_fenced_block_says_what_it_is() -> None:
    unknown = [
        (page.name, kind, text.splitlines()[:1])
        for page in PAGES
        for kind, text in FENCE.findall(page.read_text())
        if kind not in KINDS
    ]
    assert unknown == [], f"a block is one of {sorted(KINDS)}: bash and python are run here"


def test_every_command_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for name, _ in leaves(parser()):
        with pytest.raises(SystemExit):
            main([*name.split(), "--help"])
        shown = capsys.readouterr().out.splitlines()
        assert EXAMPLES.get(name), f"{name} has no line in lead_scoring/cli/examples.py"
        assert all(f"  {PROGRAM} {line}" in shown for line in EXAMPLES[name])


@pytest.mark.slow
def test_the_examples_of_help_work_as_typed_after_the_demo(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(NO_EXAMPLE) <= set(EXAMPLES)
    for name, lines in EXAMPLES.items():
        for line in lines if name not in NO_EXAMPLE else ():
            assert main(shlex.split(line)) == 0, f"{line}\n{capsys.readouterr().err}"
    capsys.readouterr()


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "bash")], ids=lambda page: page.name)
def test_the_commands_of_a_page_work_as_typed(home: Path, page: Path) -> None:
    champion = str(Pipeline(load_settings()).registry.champion())
    script = []
    for line in "".join(blocks(page, "bash")).splitlines():
        if any(line.startswith(start) for start in NOT_RUN):
            continue
        line = VERSION.sub(champion, line).replace(
            "http://127.0.0.1:8090", os.environ["LEAD_SCORING__SALESFORCE__ENDPOINT"]
        )
        script.append(line)
    said = bash(home, "\n".join(script))
    if page.name == "own-data.md":
        assert "run_key" in said  # of `sync status`, the last line of the page
    if page.name == "registry.md":
        assert "signed_by" in said


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_the_python_of_a_page_runs_as_it_stands(home: Path, page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), {})
    assert "'lead_score':" in capsys.readouterr().out


@pytest.mark.slow
def test_a_damaged_version_is_whole_again_once_its_release_is_repeated(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = str(Pipeline(load_settings()).registry.champion())
    booster = home / "models" / "production" / f"model_{version}.ubj"
    booster.write_bytes(b"damaged")
    assert main(["verify", version]) == 1
    demo(home)
    assert main(["verify", version]) == 0
    capsys.readouterr()
