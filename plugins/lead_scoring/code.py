"""The code that a stage runs, and its digest: a part of the stage's inputs, so other code never takes over its results.

A stage runs the modules that its function's module imports inside this library, what those import, and the queries
that these modules name. Imports are read from the source, so one inside a function counts and one for type checkers
does not. A name that a room's ``__init__`` only hands on is followed to the module that defines it: the rest of the
room is not run.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lead_scoring.stage import canonical_json, sha256_bytes, sha256_file

LIBRARY = Path(__file__).parent


def code_digest(functions: Sequence[Callable[..., Any]], sql_folder: Path) -> str:
    """16 hex characters over the sources of what ``functions`` run.

    :param functions: functions or classes of this library.
    :param sql_folder: one folder a query.
    """
    files = source_files([function.__module__ for function in functions], sql_folder)
    return sha256_bytes(canonical_json({name: sha256_file(path) for name, path in files.items()}))[:16]


def source_files(modules: Sequence[str], sql_folder: Path, library: Path = LIBRARY) -> dict[str, Path]:
    """Module or query name to file, of these modules and of everything that they run.

    :param library: the folder of the package ``lead_scoring``.
    """
    found: dict[str, Path] = {}
    texts: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            source = _source(library, name)
            found[name] = source.path
            texts |= source.texts
            waiting += source.modules
    return found | dict(_queries(texts, sql_folder))


@dataclass(frozen=True)
class _Source:
    """One module: its file, the modules of the library that it imports, and the words that it holds as text."""

    path: Path
    modules: tuple[str, ...]
    texts: frozenset[str]


@lru_cache(maxsize=1024)
def _source(library: Path, name: str) -> _Source:
    path = _path(library, name)
    if path is None:
        raise ModuleNotFoundError(f"module {name} is not in {library}")
    nodes = [*_nodes(ast.parse(path.read_text(encoding="utf-8")))]
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return _Source(path, tuple(imported(library, nodes)), frozenset(text for text in texts if text.isidentifier()))


def imported(library: Path, nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The modules of the library that these nodes import, each by the module that defines the name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names if _path(library, item.name))
        elif isinstance(node, ast.ImportFrom) and node.module and _path(library, node.module):
            yield from (_home(library, node.module, item.name) for item in node.names)


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _nodes(node)


def _home(library: Path, module: str, name: str) -> str:
    """The module that defines ``name``, which ``module`` offers."""
    if _path(library, f"{module}.{name}"):
        return f"{module}.{name}"
    path = _path(library, module)
    if path is not None and path.name == "__init__.py":
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and _path(library, node.module):
                for item in node.names:
                    if name == (item.asname or item.name):
                        return _home(library, node.module, item.name)
    return module


@lru_cache(maxsize=4096)
def _path(library: Path, module: str) -> Path | None:
    """The file of a module of the library, None for any other module."""
    top, *parts = module.split(".")
    if top != library.name:
        return None
    folder = library.joinpath(*parts)
    for path in (folder / "__init__.py", folder.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _queries(texts: set[str], sql_folder: Path) -> Iterator[tuple[str, Path]]:
    """The folders of ``include/sql`` that are named in ``texts``: queries with their views, tables and their likes."""
    folders = {path.name: path for path in sql_folder.glob("*/")}
    waiting = [path for name in sorted(texts & set(folders)) for path in folders[name].glob("*.*")]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        yield f"sql/{path.parent.name}/{path.name}", path
        text = path.read_text(encoding="utf-8")
        for name in folders:
            if name in text:  # a view, or a word in a comment: one too many is harmless
                waiting += folders[name].glob("*.*" if path.suffix == ".sql" else "*.yaml")
