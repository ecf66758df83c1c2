"""Reads the UBJSON that XGBoost writes (ubjson.org, draft 12), with every length checked before it is used.

A reader of its own, because importing xgboost only to read a file costs the HTTP function 1 to 3 seconds of cold start
(it brings pandas, scipy and scikit-learn along), and the UBJSON package on PyPI (py-ubjson) has stood still since 2020.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from lead_scoring.errors import BadInput

_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_STRUCTS = {kind: struct.Struct(">" + code) for kind, code in zip("iUIlLdD", "bBhiqfd", strict=True)}
_CONSTANTS = {"Z": None, "T": True, "F": False}
_MAX_DEPTH = 50


def read_ubjson(data: bytes) -> Any:
    """The value that ``data`` holds. Typed arrays come back as lists of numbers.

    :raises BadInput: the bytes are not one whole UBJSON value.
    """
    reader = _Reader(data)
    try:
        value = reader.value(reader.marker(), 0)
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        raise BadInput(f"the booster's file is damaged at byte {reader.position} ({error}); restore it") from error
    if reader.position != len(data):
        raise BadInput(f"the booster's file has {len(data) - reader.position} bytes too many; restore it")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise ValueError(f"{count} bytes announced, {len(self.data) - self.position} left")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def marker(self) -> str:
        return self.take(1).decode("ascii")

    def number(self, kind: str) -> Any:
        code = _STRUCTS[kind]
        return code.unpack(self.take(code.size))[0]

    def length(self) -> int:
        kind = self.marker()
        if kind not in "iUIlL":
            raise ValueError(f"length of type {kind!r}")
        return int(self.number(kind))

    def text(self) -> str:
        return self.take(self.length()).decode()

    def value(self, kind: str, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError(f"nested more than {_MAX_DEPTH} deep")
        if kind in _STRUCTS:
            return self.number(kind)
        if kind == "S":
            return self.text()
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind == "[":
            return self.array(depth)
        if kind == "{":
            return self.object(depth)
        raise ValueError(f"unknown type {kind!r}")

    def peek(self, expected: str) -> bool:
        found = self.data[self.position : self.position + 1] == expected.encode()
        self.position += found
        return found

    def array(self, depth: int) -> list[Any]:
        if self.peek("$"):
            kind = self.marker()
            if kind not in _NUMBERS or not self.peek("#"):
                raise ValueError(f"typed array of {kind!r}")
            item = np.dtype(_NUMBERS[kind])
            return np.frombuffer(self.take(self.length() * item.itemsize), item).tolist()
        if self.peek("#"):
            return [self.value(self.marker(), depth + 1) for _ in range(self.length())]
        items = []
        while not self.peek("]"):
            items.append(self.value(self.marker(), depth + 1))
        return items

    def object(self, depth: int) -> dict[str, Any]:
        counted = self.length() if self.peek("#") else None
        items: dict[str, Any] = {}
        while not self.peek("}") if counted is None else len(items) < counted:
            key = self.text()
            if key in items:
                raise ValueError(f"key {key!r} twice")
            items[key] = self.value(self.marker(), depth + 1)
        return items
