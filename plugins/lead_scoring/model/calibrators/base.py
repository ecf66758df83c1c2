"""What every calibrator is: a frozen mapping from margin to probability that JSON can hold."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike

from lead_scoring.errors import BadInput
from lead_scoring.model.calibrators.logistic import Floats, raw_to_margin


@dataclass(frozen=True)
class Calibrator(ABC):
    """Strictly increasing in the margin, strictly inside (0, 1).

    Strictly as far as doubles can tell: beyond a margin of about 28 a probability cannot move any more.
    """

    method: ClassVar[str] = ""
    minimum_positives: ClassVar[int] = 0  # with fewer conversions it is no candidate, only shown

    def __post_init__(self) -> None:
        """:raises BadInput: a parameter is not a finite number, or would turn the ranking round."""
        for item in fields(self):
            value = getattr(self, item.name)
            numbers = value if isinstance(value, tuple) else (value,)
            if not numbers or not all(_finite(number) for number in numbers):
                raise BadInput(
                    f"{item.name} of calibrator {self.method!r} is {value!r}; it must be finite numbers: fit it again"
                )
        self.check_rising()

    def check_rising(self) -> None:  # noqa: B027
        """:raises BadInput: the curve does not rise. Those with a slope or knots say more."""

    def refuse(self, name: str, remedy: str) -> NoReturn:
        raise BadInput(f"{name} of calibrator {self.method!r} is {getattr(self, name)!r}; {remedy}")

    @abstractmethod
    def apply(self, margin: ArrayLike) -> Floats:
        """:param margin: log-odds, any shape. :returns: calibrated probabilities, same shape, float64."""

    @abstractmethod
    def shifted(self, log_odds: float) -> Calibrator:
        """The same curve with every score moved by ``log_odds``: what a new base rate asks for."""

    def predict(self, raw_score: ArrayLike) -> Floats:
        """Calibrated probabilities of uncalibrated scores in [0, 1]: how the document's pickle is used."""
        return self.apply(raw_to_margin(np.asarray(raw_score, dtype=np.float64)))

    def to_dict(self) -> dict[str, Any]:
        return {"method": self.method, **{name: _plain(value) for name, value in asdict(self).items()}}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        arguments = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
        arguments.pop("method", None)
        return cls(**arguments)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
