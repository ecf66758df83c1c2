"""``down`` ends exactly what ``up`` started, children included, and never a stranger."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from lab.sample import write_sample
from lead_scoring.cli import main
from sandbox import demo
from sandbox import stack as laptop
from sandbox.salesforce_org.faults import Faults
from sandbox.salesforce_org.org import Org
from sandbox.salesforce_org.schema import read_lead_fields
from sandbox.salesforce_org.server import OrgServer


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAD_SCORING_STATE", str(tmp_path))
    return tmp_path


def start(code: str) -> laptop.Process:
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    child.stdout.readline()
    child.stdout.close()
    return laptop.Process("part", child.pid, laptop._start_ticks(child.pid))


def alive(pid: int) -> bool:
    return laptop._start_ticks(pid) != 0


def test_down_ends_a_part_and_the_children_it_left_behind(state):
    code = (
        "import os, signal, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', "
        "'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)'])\n"
        "(open(sys.argv[1], 'w') if len(sys.argv) > 1 else sys.stdout).write(f'{child.pid}\\n'); sys.stdout.flush()\n"
        "time.sleep(120)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    grandchild = int(child.stdout.readline())
    child.stdout.close()
    part = laptop.Process("part", child.pid, laptop._start_ticks(child.pid))
    laptop._write(laptop.Stack("a", "o", "c", (part,)))
    assert laptop.down(grace_seconds=0.5) == 1
    deadline = time.monotonic() + 5
    while alive(grandchild) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child.pid)
    assert not alive(grandchild)
    assert laptop.running() is None


def test_down_ends_the_children_of_a_part_that_was_killed(state):
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(120)'], stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True); time.sleep(120)\n"
    )
    part = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    orphan = int(part.stdout.readline())
    part.stdout.close()
    laptop._write(laptop.Stack("a", "o", "c", (laptop.Process("part", part.pid, laptop._start_ticks(part.pid)),)))
    part.kill()
    part.wait()
    assert alive(orphan)
    assert laptop.down(grace_seconds=2) == 1
    assert not alive(orphan)


def test_a_stranger_with_the_pid_of_a_dead_part_is_left_alone(state):
    stranger = start("import time; print(1, flush=True); time.sleep(60)")
    laptop._write(laptop.Stack("a", "o", "c", (laptop.Process("part", stranger.pid, stranger.started - 1),)))
    try:
        assert laptop.running() is None
        assert laptop.down() == 0
        assert alive(stranger.pid)
    finally:
        os.kill(stranger.pid, 9)
        os.waitpid(stranger.pid, 0)


def test_a_taken_port_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found, claim = laptop._claim_port(port)
        claim.close()
        assert found != port


def test_two_stacks_that_start_together_are_given_different_ports():
    """Nobody listens yet, and still the second stack gets another port; once the first is gone, it is free again."""
    first, claim = laptop._claim_port(0)
    second, other = laptop._claim_port(first)
    other.close()
    assert second != first
    claim.close()
    again, claim = laptop._claim_port(first)
    claim.close()
    assert again == first


def test_every_address_and_every_path_of_the_stack_is_local(state):
    variables = laptop.environment("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3")
    assert variables["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert variables["AIRFLOW_HOME"].startswith(str(state))
    assert variables["LEAD_SCORING__WAREHOUSE__FOLDER"].startswith(str(state))


def test_a_secret_is_made_once_and_only_for_its_owner(state):
    first = laptop._secret("jwt")
    assert laptop._secret("jwt") == first
    assert len(first) >= 64
    assert (state / "secrets" / "jwt").stat().st_mode & 0o077 == 0


def test_what_to_do_next_depends_on_whether_leads_are_loaded(state, monkeypatch):
    stack = laptop.Stack("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3")
    monkeypatch.setenv("LEAD_SCORING__WAREHOUSE__FOLDER", str(state / "warehouse"))
    empty = laptop.how_to_start(stack)
    load, own = re.findall(r"\.venv/bin/lead-scoring (sample --out \S+ --load|load --source DIR)", empty)
    assert main([*load.replace("state/sample", str(state / "sample")).split(), "--leads", "100"]) == 0
    assert own == "load --source DIR"
    steps = laptop.how_to_start(stack).splitlines()
    assert len(steps) == 3
    assert "http://127.0.0.1:1/dags/lead_scoring_release, press Trigger" in steps[0]


def test_the_org_is_given_the_leads_that_it_does_not_have(state, monkeypatch):
    folder = state / "sample"
    write_sample(folder, leads=100)
    org = Org(state / "org", read_lead_fields(laptop.HOME / "include" / "salesforce"), Faults())
    server = OrgServer(org).start()
    try:
        stack = laptop.Stack("", server.url, "")
        laptop.give_leads(stack, [])
        assert list(org.leads()) == []
        for _ in range(2):
            laptop.give_leads(stack, [folder / "leads.parquet"])
        leads = list(org.leads())
        assert 90 < len(leads) <= 100
        assert all(lead["Company"] != "unknown" for lead in leads[:5])
        assert leads[0]["Name"].startswith("Advisor ")
    finally:
        server.stop()


def test_the_demo_leaves_own_tables_as_they_are_and_says_what_to_do(state, monkeypatch):
    monkeypatch.setenv("LEAD_SCORING__WAREHOUSE__FOLDER", str(state / "warehouse"))
    write_sample(state / "own", leads=100)
    for path in (state / "own").iterdir():
        pq.write_table(pq.read_table(path).replace_schema_metadata(), path)
    assert main(["load", "--source", str(state / "own")]) == 0
    with pytest.raises(laptop.StackError, match="did not make.*`make clean` forgets them; .* `make up`"):
        demo.prepare("")
    assert [path.is_file() for path in laptop.loaded_leads()] == [True]
