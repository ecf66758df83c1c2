"""The whole product on one laptop: a Salesforce org, a reader for the model cards, and Airflow, all on loopback.

``python -m sandbox.stack up | down | status``. Every process gets its own session; its pid and start time are kept in
``state/stack.json``, so ``down`` ends exactly what ``up`` started, also after a crash, and never a stranger that was
given the same pid later. ``airflow standalone`` is not used: it leaves children behind on SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

import requests

HOME = Path(os.environ.get("LEAD_SCORING_HOME", Path(__file__).resolve().parents[1]))
PREFERRED_PORTS = {"airflow": 8080, "org": 8090, "cards": 8091}
PORT_OF = {"airflow": "api-server", "org": "org", "cards": "cards"}  # which part serves which port
SAMPLE_AS_OF = "2024-12-21"  # the last day of the sample data
POOLS = {"scoring": 2, "salesforce": 1}  # one sync at a time: two would spend the same API budget twice


@dataclass(frozen=True)
class Process:
    name: str
    pid: int
    started: int  # clock ticks after boot, from /proc: tells a process from a later one with the same pid


@dataclass(frozen=True)
class Stack:
    """What runs: addresses and processes.

    :param keep: a person asked for it to stay (`make up`); False: it belongs to a demo and goes with it.
    """

    airflow: str
    org: str
    cards: str
    processes: tuple[Process, ...] = ()
    keep: bool = False


class StackError(Exception):
    """The stack could not be started; the message names the part and its log."""


def state_folder() -> Path:
    """Where the laptop's data, logs and pids are: ``LEAD_SCORING_STATE``, or ``state/`` in the project."""
    return Path(os.environ.get("LEAD_SCORING_STATE") or HOME / "state").absolute()


def models_folder() -> Path:
    return Path(os.environ.get("LEAD_SCORING__STORAGE__MODELS") or HOME / "models").absolute()


def _stack_file() -> Path:
    return state_folder() / "stack.json"


def _start_ticks(pid: int) -> int:
    """Start time of a live process, 0 if there is none (or it is a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


def _claim_port(preferred: int) -> tuple[int, socket.socket]:
    """A free port, and a claim on it that the part inherits, so that it holds for as long as the part lives.

    Airflow binds its port seconds after it was started; without the claim a second stack could be given the same one.
    The claim is a name in Linux's abstract socket space: it needs no file and goes with its last holder.
    """
    for wanted in (preferred, 0, 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            claim = socket.socket(socket.AF_UNIX)
            try:
                probe.bind(("127.0.0.1", wanted))
                port = int(probe.getsockname()[1])
                claim.bind(f"\0lead-scoring-port-{port}")
            except OSError:
                claim.close()
                continue
            return port, claim
    raise StackError("no free port on 127.0.0.1; stop what holds them, or try again")


def _secret(name: str) -> str:
    """A random secret of this laptop, made once and kept outside the repository's files."""
    path = state_folder() / "secrets" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_text(secrets.token_urlsafe(64))
        partial.replace(path)  # whole or not at all: an empty secret would last for ever
    return path.read_text()


def environment(airflow: str, org: str, cards: str) -> dict[str, str]:
    """What the four Airflow processes are told. In production the same settings come from the deployment."""
    port = airflow.rpartition(":")[2]
    airflow_home = state_folder() / "airflow"
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "LEAD_SCORING_HOME": str(HOME),
        "LEAD_SCORING__STORAGE__MODELS": str(models_folder()),
        "LEAD_SCORING__STORAGE__RUNS": str(state_folder() / "runs"),
        "LEAD_SCORING__WAREHOUSE__FOLDER": str(state_folder() / "warehouse"),
        "LEAD_SCORING__SALESFORCE__ENDPOINT": org,
        "LEAD_SCORING__SALESFORCE__WAIT_SECONDS": "0.2",
        "LEAD_SCORING__STORAGE__MODELS_URL": f"{cards}/models" if cards else "",
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(HOME / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",  # loopback only: whoever is on this laptop is admin
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{airflow}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow_home}/airflow.db",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__BASE_URL": airflow,
        "AIRFLOW__API__SECRET_KEY": _secret("api"),
        "AIRFLOW__API_AUTH__JWT_SECRET": _secret("jwt"),
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_CONN_SALESFORCE_DEFAULT": json.dumps({
            "conn_type": "salesforce",
            "login": "integration@sandbox.example",
            "password": "sandbox",
            "extra": {"security_token": "sandbox", "domain": "login", "version": "59.0"},
        }),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def _commands(ports: dict[str, int]) -> dict[str, list[str]]:
    airflow = [sys.executable, "-m", "airflow"]
    return {
        "org": [
            sys.executable, "-m", "sandbox.salesforce_org", "--port", str(ports["org"]),
            "--state", str(state_folder() / "org"),
        ],
        "cards": [
            sys.executable, "-m", "sandbox.cards", "--port", str(ports["cards"]), "--folder", str(models_folder()),
        ],
        "api-server": [*airflow, "api-server", "--workers", "1"],
        "scheduler": [*airflow, "scheduler", "--skip-serve-logs"],
        "dag-processor": [*airflow, "dag-processor"],
        "triggerer": [*airflow, "triggerer", "--skip-serve-logs"],
    }  # fmt: skip


def _recorded() -> Stack | None:
    try:
        data = json.loads(_stack_file().read_text())
    except FileNotFoundError:
        return None
    return Stack(**{**data, "processes": tuple(Process(**item) for item in data["processes"])})


def running() -> Stack | None:
    """The stack that was started and of which at least one part lives, with the parts that do; or None."""
    stack = _recorded()
    alive = tuple(item for item in stack.processes if _start_ticks(item.pid) == item.started) if stack else ()
    return replace(stack, processes=alive) if stack and alive else None


def up(wait_seconds: float = 120.0, *, keep: bool = False) -> Stack:
    """Start everything and wait until each part answers. A stack that stands and is to be kept is taken as it is.

    :param keep: see :class:`Stack`.
    :raises StackError: a part died or did not answer in time. What was started is stopped again.
    """
    standing = running()
    if standing is not None and standing.keep and len(standing.processes) == len(_commands(PREFERRED_PORTS)):
        _wait_until_ready(standing, time.monotonic() + wait_seconds)  # it may be in the middle of its start
        _make_pools(standing)
        give_leads(standing, loaded_leads())
        return standing
    down()  # what a killed demo or a broken start left behind
    logs = state_folder() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    (state_folder() / "airflow").mkdir(parents=True, exist_ok=True)
    claims = {name: _claim_port(port) for name, port in PREFERRED_PORTS.items()}
    ports = {name: port for name, (port, _) in claims.items()}
    addresses = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    variables = environment(**addresses)
    held = {PORT_OF[name]: claim for name, (_, claim) in claims.items()}
    processes: list[Process] = []
    try:
        _migrate(variables, logs / "db-migrate.log")
        for name, command in _commands(ports).items():
            with (logs / f"{name}.log").open("ab") as log:
                child = subprocess.Popen(
                    command, env=variables, cwd=HOME, stdin=subprocess.DEVNULL,
                    stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                    pass_fds=[held[name].fileno()] if name in held else [],
                )  # fmt: skip
            processes.append(Process(name, child.pid, _start_ticks(child.pid)))
            stack = Stack(**addresses, processes=tuple(processes), keep=keep)
            _write(stack)
        _wait_until_ready(stack, time.monotonic() + wait_seconds)
        _make_pools(stack)
        give_leads(stack, loaded_leads())
    except BaseException:
        down()
        raise
    finally:
        for claim in held.values():
            claim.close()
    return stack


def _migrate(variables: dict[str, str], log: Path) -> None:
    """Make Airflow's metadata database; nothing to do if this version of Airflow has done it before."""
    done = state_folder() / "airflow" / f"migrated-{metadata.version('apache-airflow')}"
    if done.exists():
        return
    migrated = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=variables, cwd=HOME, capture_output=True, text=True, check=False,
    )  # fmt: skip
    log.write_text(migrated.stdout + migrated.stderr)
    if migrated.returncode:
        raise StackError(f"airflow db migrate ended with {migrated.returncode}; see {log}")
    done.touch()


def _write(stack: Stack) -> None:
    partial = _stack_file().with_suffix(".partial")
    partial.write_text(json.dumps(asdict(stack), indent=2))
    partial.replace(_stack_file())


def _wait_until_ready(stack: Stack, deadline: float) -> None:
    health = {"org": f"{stack.org}/healthz", "cards": f"{stack.cards}/healthz"}
    while True:
        for process in stack.processes:
            if _start_ticks(process.pid) != process.started:
                raise StackError(f"{process.name} stopped at start; see {state_folder() / 'logs' / process.name}.log")
        waiting = [name for name, url in health.items() if not _answers(url)]
        waiting += _unhealthy_airflow(stack.airflow)
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise StackError(f"no answer from {', '.join(waiting)}; see the logs in {state_folder() / 'logs'}")
        time.sleep(0.3)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def _unhealthy_airflow(airflow: str) -> list[str]:
    parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
    try:
        report = requests.get(f"{airflow}/api/v2/monitor/health", timeout=2).json()
    except (requests.RequestException, ValueError):
        return ["api-server"]
    return [part for part in parts if (report.get(part) or {}).get("status") != "healthy"]


def api(stack: Stack) -> requests.Session:
    """A logged-in session for Airflow's REST API; ask for paths below ``/api/v2``."""
    session = requests.Session()
    token = session.get(f"{stack.airflow}/auth/token", timeout=30).json()["access_token"]
    session.headers["Authorization"] = f"Bearer {token}"
    return session


def loaded_leads() -> list[Path]:
    """The files of the table ``leads`` in the laptop's warehouse; none if nothing is loaded."""
    from lead_scoring.warehouse.partitions import PartitionFolder

    warehouse = PartitionFolder(state_folder() / "warehouse")
    return warehouse.files("leads") if "leads" in warehouse.tables() else []


def give_leads(stack: Stack, tables: Sequence[Path]) -> None:
    """Add the leads of these tables that the org does not have: a score needs a lead to be written to."""
    from sandbox.salesforce_org.leads import read_leads

    for path in tables:
        answer = requests.post(f"{stack.org}/sandbox/leads", json=read_leads(path), timeout=120)
        if not answer.ok:
            raise StackError(f"the org did not take the leads of {path}: {answer.status_code} {answer.text[:200]}")


def how_to_start(stack: Stack) -> str:
    """What to do next in the browser, or first in the shell if nothing is loaded."""
    if loaded_leads():
        return (
            f"1. Open {stack.airflow}/dags/lead_scoring_release, press Trigger, leave the form as it is, Trigger.\n"
            "2. Click the run: a red task says why in one line; all green means that the org has the scores.\n"
            f"3. See the leads, best first, at {stack.org} and the model card at {stack.cards}/models/production/"
        )
    return (
        "No leads are loaded yet. Load some, then `make up` again, which gives the org the leads:\n"
        "  synthetic ones   .venv/bin/lead-scoring sample --out state/sample --load   (`make demo` also releases)\n"
        "  your own tables  .venv/bin/lead-scoring load --source DIR   (docs/own-data.md says which)"
    )


def _make_pools(stack: Stack) -> None:
    session = api(stack)
    for name, slots in POOLS.items():
        answer = session.post(
            f"{stack.airflow}/api/v2/pools", json={"name": name, "slots": slots, "include_deferred": False}, timeout=30
        )
        if not answer.ok and answer.status_code != 409:  # 409: it is there from the last time
            raise StackError(f"pool {name} could not be made: {answer.status_code} {answer.text[:200]}")


def down(grace_seconds: float = 15.0) -> int:
    """Stop what :func:`up` started, children included. Returns how many parts still had a live process."""
    stack = _recorded()
    # A part that died may have left children in its session; a live pid with another start time is a stranger's.
    ours = [item.pid for item in stack.processes if _start_ticks(item.pid) in (0, item.started)] if stack else []
    parts = [pid for pid in ours if _session_members(pid)]
    for pid in reversed(parts):
        _signal_session(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline and any(_session_members(pid) for pid in parts):
        for pid in parts:
            _reap(pid)
        time.sleep(0.1)
    for pid in parts:
        _signal_session(pid, signal.SIGKILL)
        _reap(pid)
    _stack_file().unlink(missing_ok=True)
    return len(parts)


def _session_members(session: int) -> list[int]:
    """Live processes of the session that a part leads: Airflow's workers leave its process group, never its session."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                members.append(int(entry.name))
    return members


def _signal_session(session: int, number: signal.Signals) -> None:
    members = _session_members(session)
    # A living leader ends its own children in order; SIGKILL, and what an orphan gets, is for all.
    for pid in [session] if session in members and number != signal.SIGKILL else members:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # started by an earlier command: not ours to wait for


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.stack", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["up", "down", "status"])
    command = parser.parse_args().command
    if command == "down":
        count = down()
        print(f"stopped {count} processes" if count else "nothing was running")
        return 0
    try:
        stack = up(keep=True) if command == "up" else running()
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if stack is None:
        print("nothing is running; start it with `make up`")
        return 1
    print(f"Airflow          {stack.airflow}   (no login: everybody on this machine is admin)")
    print(f"Salesforce org   {stack.org}")
    print(f"Model cards      {stack.cards}")
    print(f"For `lead-scoring sync` in a shell: export LEAD_SCORING__SALESFORCE__ENDPOINT={stack.org}")
    print("Stop it with `make down`.\n")
    print(how_to_start(stack))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
