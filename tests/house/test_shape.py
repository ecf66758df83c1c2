"""The shape of the code: functions that fit on a screen or two, few arguments, no circle of imports."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lead_scoring import code

ROOT = Path(__file__).parents[2]
LONGEST = 99  # lines
MOST = 10  # arguments, without self
FILES = sorted(path for folder in ("plugins", "lab", "sandbox", "dags") for path in (ROOT / folder).rglob("*.py"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def argument_count(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = function.args
    names = [item.arg for item in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def test_no_function_is_longer_than_a_reader_can_hold() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{item.name} has {item.end_lineno - item.lineno + 1} lines"
        for path in FILES
        for item in functions(path)
        if item.end_lineno is not None and item.end_lineno - item.lineno >= LONGEST
    ]
    assert long == []


def test_no_function_takes_more_arguments_than_a_caller_can_hold() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{item.name}": count
        for path in FILES
        for item in functions(path)
        if (count := argument_count(item)) > MOST
    }
    assert found == {}, "group what travels together into a small frozen dataclass"


@pytest.mark.parametrize("counted", ["what runs", "also what only a type checker reads"])
def test_no_module_of_the_library_imports_itself_through_others(counted: str) -> None:
    graph = {}
    for path in code.LIBRARY.rglob("*.py"):
        parts = path.relative_to(code.LIBRARY.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text()
        if path.name == "__init__.py" and "_HOMES" in text:  # hands names on: they are followed to their home
            continue
        tree = ast.parse(text)
        nodes = code._nodes(tree) if counted == "what runs" else ast.walk(tree)
        graph[name] = set(code.imported(code.LIBRARY, nodes)) - {name}
    assert len(graph) > 100
    known = {name: [other for other in others if other in graph] for name, others in graph.items()}
    graphlib.TopologicalSorter(known).prepare()  # raises CycleError, which names the circle
