"""The part of SOQL that clients use on one object: SELECT .. FROM .. WHERE .. ORDER BY .. LIMIT .. OFFSET."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]
Test = Callable[[Record], bool]
TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*')|(?P<moment>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d))?)"
    r"|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][\w.]*)|(?P<sign><=|>=|!=|<>|[=<>(),*]))"
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class SoqlError(Exception):
    """The query is refused. ``code`` is Salesforce's errorCode."""

    def __init__(self, message: str, code: str = "MALFORMED_QUERY") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Query:
    """A parsed query. ``fields`` is None for ``SELECT COUNT()``."""

    object: str
    fields: tuple[str, ...] | None
    matches: Test
    order: tuple[tuple[str, bool, bool], ...]
    limit: int | None
    offset: int

    def run(self, records: Iterable[Record]) -> list[Record]:
        found = [record for record in records if self.matches(record)]
        for name, descending, nulls_last in reversed(self.order):
            found.sort(key=lambda record: record[name] if record[name] is not None else "", reverse=descending)  # noqa: B023
            found.sort(key=lambda record: (record[name] is None) == nulls_last)  # noqa: B023
        return found[self.offset :][: self.limit]


def parse(text: str, known: Callable[[str, str], str | None]) -> Query:
    """Read a query.

    :param known: object and field name to the field's proper name, or None.
    :raises SoqlError: a word is out of place, or a field is unknown.
    """
    return _Parser(text, known).query()


class _Parser:
    def __init__(self, text: str, known: Callable[[str, str], str | None]) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._known = known
        self._at = 0
        place = 0
        text = text.strip()
        while place < len(text):
            match = TOKEN.match(text, place)
            if match is None:
                raise SoqlError(f"unexpected token: '{text[place : place + 20]}'")
            self._tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            place = match.end()
        self._object = next(
            (self._tokens[i + 1][1] for i, (_, word) in enumerate(self._tokens[:-1]) if word.upper() == "FROM"), ""
        )

    def query(self) -> Query:
        self._need("SELECT")
        fields = self._fields()
        self._need("FROM")
        self._next()
        matches = self._either() if self._take("WHERE") else lambda record: True
        order = self._order() if self._take("ORDER") else ()
        limit = int(self._next()[1]) if self._take("LIMIT") else None
        offset = int(self._next()[1]) if self._take("OFFSET") else 0
        if self._at < len(self._tokens):
            raise SoqlError(f"unexpected token: '{self._tokens[self._at][1]}'")
        return Query(self._object, fields, matches, order, limit, offset)

    def _fields(self) -> tuple[str, ...] | None:
        if self._take("COUNT"):
            self._need("(")
            self._need(")")
            return None
        fields = [self._field()]
        while self._take(","):
            fields.append(self._field())
        return tuple(dict.fromkeys(fields))

    def _order(self) -> tuple[tuple[str, bool, bool], ...]:
        self._need("BY")
        terms = []
        while True:
            name = self._field()
            descending = bool(self._take("DESC")) or bool(self._take("ASC") and False)
            nulls_last = False
            if self._take("NULLS"):
                nulls_last = self._next()[1].upper() == "LAST"
            terms.append((name, descending, nulls_last))
            if not self._take(","):
                return tuple(terms)

    def _either(self) -> Test:
        tests = [self._both()]
        while self._take("OR"):
            tests.append(self._both())
        return lambda record: any(test(record) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._take("AND"):
            tests.append(self._one())
        return lambda record: all(test(record) for test in tests)

    def _one(self) -> Test:
        if self._take("("):
            inner = self._either()
            self._need(")")
            return inner
        if self._take("NOT"):
            inner = self._one()
            return lambda record: not inner(record)
        name = self._field()
        sign = self._next()[1].upper()
        if sign in {"IN", "NOT"}:
            if sign == "NOT":
                self._need("IN")
            self._need("(")
            values = {self._value()}
            while self._take(","):
                values.add(self._value())
            self._need(")")
            if name == "Id":
                values = {str(value)[:15] for value in values}
                return lambda record: (record[name][:15] in values) == (sign == "IN")
            return lambda record: (record[name] in values) == (sign == "IN")
        return _comparison(name, sign, self._value())

    def _value(self) -> Any:
        kind, text = self._next()
        if kind == "string":
            return re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), text[1:-1])
        if kind == "number":
            return float(text)
        if kind == "moment":
            return text.replace("Z", "")
        if text.lower() in {"null", "true", "false"}:
            return {"null": None, "true": True, "false": False}[text.lower()]
        raise SoqlError(f"unexpected token: '{text}'")

    def _field(self) -> str:
        _, name = self._next()
        if (proper := self._known(self._object, name)) is None:
            raise SoqlError(f"No such column '{name}' on entity '{self._object}'.", "INVALID_FIELD")
        return proper

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise SoqlError("unexpected token: '<EOF>'")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, word: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at][1].upper() == word:
            self._at += 1
            return True
        return False

    def _need(self, word: str) -> None:
        if not self._take(word):
            found = self._tokens[self._at][1] if self._at < len(self._tokens) else "<EOF>"
            raise SoqlError(f"unexpected token: '{found}' (expected {word})")


def _comparison(name: str, sign: str, wanted: Any) -> Test:
    if sign == "LIKE":
        pattern = re.compile(
            "".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in str(wanted)), re.I | re.S
        )
        return lambda record: record[name] is not None and pattern.fullmatch(str(record[name])) is not None
    if name == "Id" and isinstance(wanted, str):
        return lambda record: (record[name][:15] == wanted[:15]) == (sign == "=")
    if sign in {"=", "!=", "<>"}:
        return lambda record: (_plain(record[name]) == _plain(wanted)) == (sign == "=")
    order: dict[str, Callable[[Any, Any], bool]] = {
        "<": lambda a, b: a < b,
        ">": lambda a, b: a > b,
        "<=": lambda a, b: a <= b,
        ">=": lambda a, b: a >= b,
    }
    if sign not in order:
        raise SoqlError(f"unexpected token: '{sign}'")
    compare = order[sign]
    return lambda record: record[name] is not None and compare(_plain(record[name]), _plain(wanted))


def _plain(value: Any) -> Any:
    """Texts compare without regard to capitals; a date-time without its zone, which here is always UTC."""
    return value.lower().removesuffix("+0000").removesuffix(".000") if isinstance(value, str) else value
