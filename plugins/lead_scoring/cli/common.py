"""What the commands share: arguments with one spelling, settings from them, output in two forms."""

from __future__ import annotations

import argparse
import datetime as dt
import getpass
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lead_scoring.errors import BadInput

if TYPE_CHECKING:
    from lead_scoring.pipeline import Pipeline

NO_TERMINAL_WIDTH = 10_000
SALESFORCE_LOGIN = "LEAD_SCORING_SALESFORCE_LOGIN"

TABLE_FORMS = "Parquet, CSV or JSON lines, a folder of them, gs://..., or a warehouse table"

Command = Callable[[argparse.Namespace], int | None]


def add(
    commands: Any, name: str, run: Command, help_text: str, *, epilog: str | None = None
) -> argparse.ArgumentParser:
    """A command with ``--json``."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".", epilog=epilog
    )
    command.add_argument("--json", action="store_true", help="print one machine-readable object on stdout")
    command.set_defaults(call=run)
    return command


def group(commands: Any, name: str, help_text: str) -> Any:
    """A command with commands of its own, like ``registry list``."""
    command = commands.add_parser(name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".")
    return command.add_subparsers(dest="action", required=True, metavar="ACTION")


def add_as_of(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--as-of", default="", metavar="DATE", help="the day to look from; empty: the last complete day (UTC)"
    )


def add_models(command: argparse.ArgumentParser) -> None:
    command.add_argument("--models", default="", metavar="DIR", help="folder or gs:// address; empty: the settings'")


def add_feature_set(command: argparse.ArgumentParser) -> None:
    command.add_argument("--feature-set", default="", metavar="NAME", help="a set of the feature catalog")


def add_maps(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--map",
        dest="maps",
        action="append",
        default=[],
        metavar="THEIRS=OURS",
        help="a column of the table is one of ours, as in contacted_date=contacted_at; THEIRS= is not read; repeatable",
    )


def maps_of(options: argparse.Namespace) -> dict[str, str]:
    """What ``--map`` says. :raises BadInput: a text is no map."""
    from lead_scoring.tables.columns import parse_maps

    return parse_maps(options.maps)


def pipeline(options: argparse.Namespace, **overrides: Any) -> Pipeline:
    """The pipeline over the settings, with what the command line overrides (``section__key=value``; empty: not)."""
    from lead_scoring.pipeline import Pipeline
    from lead_scoring.settings import load_settings

    changed = {name.replace("__", "."): value for name, value in overrides.items() if value not in ("", None)}
    if models := getattr(options, "models", ""):
        changed["storage.models"] = models if "://" in models else str(Path(models).absolute())
    return Pipeline(load_settings(overrides=changed))


@contextmanager
def private_pipeline(options: argparse.Namespace) -> Generator[Pipeline, None, None]:
    """A pipeline whose warehouse and runs are a folder of this command only: a try leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="lead-scoring-") as folder:
        yield pipeline(
            options,
            warehouse__engine="duckdb",
            warehouse__folder=f"{folder}/warehouse",
            storage__runs=f"{folder}/runs",
        )


def org(lines: Pipeline) -> Any:
    """A logged-in client of the org, from the login in the environment; the sandbox org needs none."""
    login = os.environ.get(SALESFORCE_LOGIN)
    try:
        return lines.org(json.loads(login) if login else None)
    except json.JSONDecodeError as error:
        raise BadInput(f"${SALESFORCE_LOGIN} is not JSON ({error}); see `lead-scoring sync --help`") from None


def lab(name: str, command: str) -> Any:
    """A module of ``lab/``: benchmarks, sample data, damage, simulated worlds. It is no part of what is deployed.

    :raises BadInput: the installation has no ``lab/``.
    """
    try:
        return importlib.import_module(f"lab.{name}")
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "lab":
            raise
        raise BadInput(
            f"`{command}` needs the folder lab/, which is not installed here; run it in a checkout after `make setup`"
        ) from None


def whole(name: str, minimum: int = 0) -> Callable[[str], int]:
    """An option's type: a whole number from ``minimum``. :raises BadInput: it is none; in one line, unlike argparse."""

    def read(text: str) -> int:
        if not text.removeprefix("-").isdecimal() or int(text) < minimum:
            raise BadInput(f"--{name} is {text!r}; it must be a whole number from {minimum}")
        return int(text)

    return read


def today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def as_date(text: str, name: str) -> dt.date:
    """:raises BadInput: not an ISO date; ``name`` says which argument it was."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{name} is {text!r}; it must be a date like 2024-12-21") from None


def actor() -> str:
    """Who is recorded for what the command line changes."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that no user has
        name = f"uid {os.getuid()}"
    return f"{name} (command line)"


def emit(options: argparse.Namespace, data: Any, human: Callable[[], None]) -> None:
    """Print ``data`` as JSON if asked, else what a person reads."""
    if options.json:
        print(json.dumps(data, indent=2, default=str, allow_nan=False))
    else:
        human()


def table(rows: Iterable[Sequence[Any]], header: Sequence[str]) -> None:
    """Aligned columns; numbers to the right. A terminal folds long cells; the lines of a file or a pipe are whole."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[_text(value) for value in row] for row in rows]
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column, name in enumerate(header):
        numeric = bool(cells) and all(_is_number(line[column]) for line in cells)
        made.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for line in cells:
        made.add_row(*map(Text, line))  # Text: what is in the data is never read as markup
    console = Console(highlight=False, width=None if sys.stdout.isatty() else NO_TERMINAL_WIDTH)
    with console.capture() as drawn:
        console.print(made)
    print("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def pairs(data: Mapping[str, Any]) -> None:
    width = max((len(name) for name in data), default=0)
    for name, value in data.items():
        print(f"{name:<{width}}  {_text(value)}")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(",", "").replace(".", "").replace("-", "").replace("e", "").isdigit()
