"""What every calibrator is: a frozen mapping from margin to probability that JSON can hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from lead_scoring.model.calibrators.logistic import Floats, raw_to_margin


@dataclass(frozen=True)
class Calibrator(ABC):
    """Strictly increasing in the margin, strictly inside (0, 1).

    Strictly as far as doubles can tell: beyond a margin of about 28 a probability cannot move any more.
    """

    method: ClassVar[str] = ""

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


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
