"""The document's pickle, read without giving it the machine.

A pickle is a program: loading one may import and call anything. This unpickler imports only what the packaged pickle
needs (``PICKLE_GLOBALS``, a handful of names) and refuses the rest, so a hostile file fails before it has done any
harm. The digest is checked first; this is the second lock, for a file whose digests were rewritten along with it.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any

from lead_scoring.errors import CheckFailed
from lead_scoring.model.document_pickle import PICKLE_GLOBALS
from lead_scoring.registry.package import Package


def load_pickle(package: Package) -> dict[str, Any]:
    """The document's ``{"base_model", "calibrator", "calibration_method", "feature_names"}``.

    :raises CheckFailed: its digest is not the packaged one, it asks for anything else than the model's classes, or it
        is damaged.
    """
    return load_allowed(package.read("pickle"), f"model_{package.version}.pkl")


def load_allowed(data: bytes, source: str) -> dict[str, Any]:
    """Load pickle bytes through the allow-list. :param source: named in the error. :raises CheckFailed: see above."""
    try:
        content = _AllowListUnpickler(data, source).load()
    except (
        pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError, EOFError,
        struct.error, MemoryError, OverflowError, RecursionError, AssertionError, NotImplementedError,
    ) as error:  # fmt: skip
        raise CheckFailed(
            f"{source} is not the packaged pickle ({type(error).__name__}: {error}); restore it"
        ) from error
    if not isinstance(content, dict) or "base_model" not in content:
        raise CheckFailed(f"{source} does not hold a packaged model; restore it from a backup of the store")
    return content


class _AllowListUnpickler(pickle.Unpickler):  # noqa: S301 - the one place that unpickles, and only what is listed
    def __init__(self, data: bytes, source: str) -> None:
        super().__init__(io.BytesIO(data))
        self._source = source

    def find_class(self, module: str, name: str) -> Any:
        """Called for every name that the pickle wants to import."""
        if f"{module}.{name}" not in PICKLE_GLOBALS:
            raise CheckFailed(
                f"{self._source} asks for {module}.{name}, which a model does not need; it was not loaded"
            )
        found: Callable[..., Any] = super().find_class(module, name)
        return _bytearray if found is bytearray else found


def _bytearray(data: bytes) -> bytearray:
    """``bytearray``, but not ``bytearray(10**12)``."""
    if not isinstance(data, bytes):
        raise pickle.UnpicklingError(f"bytearray of {type(data).__name__}")
    return bytearray(data)
