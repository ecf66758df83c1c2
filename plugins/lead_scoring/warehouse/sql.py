"""BigQuery SQL files: load, put together, check, translate to DuckDB.

The text is BigQuery's. It also runs on DuckDB, through sqlglot, so constructs that the two answer differently without
saying so are refused here. Every rule was measured: the comment says what DuckDB does instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlglot
import yaml
from sqlglot import exp

from lead_scoring.errors import BadInput, NotFound

_MAX_DEPTH = 8
_IDENTIFIER = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?( AS [A-Za-z_]\w*)?"
_IDENTIFIERS = re.compile(rf"{_IDENTIFIER}(, {_IDENTIFIER})*")


def load_sql(folder: Path, table: str) -> str:
    """The text of ``<folder>/<table>/query.sql`` with the views that it reads put before it.

    A folder whose ``schema.yaml`` says ``kind: view`` is a named sub-query. A query that reads it gets its text as a
    common table expression, so the whole is one statement on either engine.

    :raises NotFound: there is no such file.
    :raises BadInput: views refer to one another in a circle, or a composed query does not start with WITH.
    """
    return compose(folder, _read(folder, table))


def compose(folder: Path, text: str) -> str:
    """A query with the views of ``folder`` that it reads put before it.

    :raises BadInput: views refer to one another in a circle, or the query reads views and does not start with WITH.
    """
    views: dict[str, str] = {}
    _collect(folder, text, views, ())
    if not views:
        return text
    comment, body = _split_comment(text)
    if not body.upper().startswith("WITH "):
        raise BadInput(f"a query that reads the views {sorted(views)} must start with WITH, so that they can go before")
    parts = [f"{name} AS (\n{view.rstrip()}\n)" for name, view in views.items()]
    return f"{comment}WITH\n" + ",\n\n".join(parts) + ",\n\n" + body[5:].lstrip()


def load_template(folder: Path, name: str, **parts: str) -> str:
    """The text of ``<folder>/<name>.sql`` with its ``{parts}`` filled in.

    :param parts: identifiers, which no engine takes as parameters. Values never go this way.
    :raises BadInput: a part is none.
    """
    for part in parts.values():
        if not _IDENTIFIERS.fullmatch(part):
            raise BadInput(f"{part[:80]!r} is no list of column names; see include/config/feature_catalog.yaml")
    return (folder / f"{name}.sql").read_text(encoding="utf-8").format(**parts)


def schema_of(folder: Path, table: str) -> dict[str, Any]:
    """The parsed ``schema.yaml`` of one table. :raises NotFound: there is none."""
    path = folder / table / "schema.yaml"
    if not path.is_file():
        raise NotFound(f"schema {path} does not exist; every folder of include/sql has query.sql and schema.yaml")
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return data


def _read(folder: Path, table: str) -> str:
    path = folder / table / "query.sql"
    if not path.is_file():
        raise NotFound(f"query {path} does not exist; include/sql has one folder a table")
    return path.read_text(encoding="utf-8")


def _collect(folder: Path, text: str, views: dict[str, str], path: tuple[str, ...]) -> None:
    for name in table_names(text):
        if name in path or len(path) > _MAX_DEPTH:
            raise BadInput(f"view {name!r} reads itself through {' > '.join((*path, name))}; break the circle")
        if name in views or not (folder / name / "query.sql").is_file():
            continue
        if schema_of(folder, name).get("kind") != "view":
            continue
        view = _read(folder, name)
        _collect(folder, view, views, (*path, name))
        views[name] = view


def _split_comment(text: str) -> tuple[str, str]:
    lines = text.splitlines(keepends=True)
    head = 0
    while head < len(lines) and (lines[head].startswith("--") or not lines[head].strip()):
        head += 1
    return "".join(lines[:head]), "".join(lines[head:])


def _parse(sql: str) -> exp.Expr:
    try:
        statements = [item for item in sqlglot.parse(sql, read="bigquery") if item is not None]
    except sqlglot.errors.SqlglotError as error:
        raise BadInput(f"SQL does not parse as BigQuery: {str(error).splitlines()[0]}") from error
    if len(statements) != 1:
        raise BadInput(f"SQL has {len(statements)} statements; one query file is one SELECT")
    return statements[0]


@lru_cache(maxsize=256)
def table_names(sql: str) -> tuple[str, ...]:
    """The tables that a query reads, sorted, without its own common table expressions."""
    tree = _parse(sql)
    local = {cte.alias for cte in tree.find_all(exp.CTE)}
    return tuple(sorted({table.name for table in tree.find_all(exp.Table) if table.name and table.name not in local}))


@lru_cache(maxsize=256)
def parameter_names(sql: str) -> frozenset[str]:
    """The ``@name`` parameters of a query."""
    return frozenset(node.name for node in _parse(sql).find_all(exp.Parameter))


_TIMESTAMPS = (exp.DateTrunc, exp.DateAdd, exp.DateSub)


def _bare_date_arithmetic(node: exp.Expr) -> bool:
    return isinstance(node, _TIMESTAMPS) and not (
        isinstance(node.parent, exp.Cast) and node.parent.to.is_type(exp.DataType.Type.DATE)
    )


def _float_to_integer(node: exp.Expr) -> bool:
    if not isinstance(node, exp.Cast) or isinstance(node, exp.TryCast):
        return False
    integer = node.to.this in {exp.DataType.Type.BIGINT, exp.DataType.Type.INT}
    return integer and not isinstance(node.this, exp.Boolean | exp.Length | exp.Null)


def _unguarded_safe_cast(node: exp.Expr) -> bool:
    integer = isinstance(node, exp.TryCast) and node.to.this in {exp.DataType.Type.BIGINT, exp.DataType.Type.INT}
    return integer and not isinstance(node.this, exp.RegexpExtract)


def _bare_countif(node: exp.Expr) -> bool:
    return isinstance(node, exp.CountIf) and not isinstance(node.find_ancestor(exp.Coalesce), exp.Coalesce)


def _function(*names: str) -> Callable[[exp.Expr], bool]:
    def matches(node: exp.Expr) -> bool:
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name() if isinstance(node, exp.Func) else ""
        return name.upper() in names

    return matches


_EXTRACTS = {"DAYOFWEEK", "WEEK", "ISOWEEK", "DAY_OF_WEEK", "WEEKISO", "DAYOFYEAR"}

# (what matches, what it is, what to write instead)
_RULES: tuple[tuple[Callable[[exp.Expr], bool], str, str], ...] = (
    # counts crossed boundaries, BigQuery counts whole units
    (lambda n: isinstance(n, exp.TimestampDiff | exp.DatetimeDiff), "TIMESTAMP_DIFF", "DATE_DIFF of DATE(...) in days"),
    (_bare_countif, "COUNTIF without COALESCE", "COALESCE(COUNTIF(...), 0): DuckDB gives NULL over no rows"),
    (lambda n: isinstance(n, exp.Div), "/", "SAFE_DIVIDE: DuckDB gives inf for a division by zero"),
    (lambda n: isinstance(n, exp.Mod), "MOD", "nothing: the engines differ for a zero divisor"),
    (_float_to_integer, "CAST(... AS INT64)", "integers from the start: DuckDB rounds halves to even"),
    (_unguarded_safe_cast, "SAFE_CAST(... AS INT64)", "SAFE_CAST(REGEXP_EXTRACT(...) AS INT64): DuckDB takes '1.0'"),
    (
        lambda n: isinstance(n, exp.Extract) and n.this.name.upper() in _EXTRACTS,
        "EXTRACT of a day or week number",
        "DATE_DIFF: the engines count from different days",
    ),
    (
        _bare_date_arithmetic,
        "DATE_TRUNC, DATE_ADD or DATE_SUB",
        "CAST(... AS DATE) around it: else a TIMESTAMP",
    ),
    (lambda n: isinstance(n, exp.Bracket), "array[...]", "UNNEST: DuckDB gives NULL out of range, BigQuery an error"),
    (_function("FORMAT"), "FORMAT", "CONCAT and CAST: the format letters differ"),
    (_function("FARM_FINGERPRINT"), "FARM_FINGERPRINT", "TO_HEX(SHA256(...))"),
    (_function("RAND", "GENERATE_UUID"), "a random function", "nothing: a run must give the same rows again"),
    (
        lambda n: isinstance(n, exp.CurrentDate | exp.CurrentTimestamp | exp.CurrentDatetime | exp.CurrentTime),
        "the current time",
        "@as_of: a run looks at the world from a stated day",
    ),
    (lambda n: isinstance(n, exp.Substring), "SUBSTR", "REGEXP_EXTRACT: position 0 means different things"),
    (lambda n: isinstance(n, exp.Rand), "RAND", "nothing: a run must give the same rows again"),
    (
        lambda n: isinstance(n, exp.Star) and isinstance(n.parent, exp.Select) and n.parent.parent is None,
        "SELECT * at the top",
        "the columns by name: a table may gain one",
    ),
)


def lint(sql: str) -> list[str]:
    """What a query uses that DuckDB and BigQuery answer differently. Empty if nothing.

    :raises BadInput: it is not one BigQuery statement.
    """
    tree = _parse(sql)
    found = []
    if not isinstance(tree, exp.Query):
        found.append(f"{type(tree).__name__.upper()} is not a query; a query file is one SELECT")
    for node in tree.walk():
        for matches, what, instead in _RULES:
            if matches(node):
                found.append(f"{what} in {node.sql(dialect='bigquery')[:80]!r}; use {instead}")
    return found


@lru_cache(maxsize=256)
def to_duckdb(sql: str) -> str:
    """The DuckDB text of a BigQuery query, after the lint.

    :raises BadInput: the lint found something, or sqlglot cannot express a construct on DuckDB.
    """
    if found := lint(sql):
        raise BadInput(f"SQL is not the same on BigQuery and DuckDB: {found[0]}")
    try:
        text: str = sqlglot.transpile(
            sql, read="bigquery", write="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE, pretty=True
        )[0]
    except sqlglot.errors.SqlglotError as error:
        raise BadInput(f"SQL cannot be translated to DuckDB: {str(error).splitlines()[0]}") from error
    return text
