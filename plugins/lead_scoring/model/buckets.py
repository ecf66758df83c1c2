"""How a score becomes Very Hot, Hot, Warm or Cold: a policy frozen into the package, never computed while scoring.

``absolute`` is the document's 0.7 / 0.5 / 0.3 (section "Score Buckets"). At a 4 % base rate no lead reaches them, so
``lift`` (multiples of the base rate) is the default and ``capacity`` (cumulative shares of a reference set, best first)
serves a team that can call a fixed share of its leads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.errors import BadInput

if TYPE_CHECKING:  # the HTTP function carries this file, not the settings
    from lead_scoring.settings import BucketSettings

BUCKETS = ("Very Hot", "Hot", "Warm", "Cold")
ACTIONS = (
    "Call immediately",
    "Prioritize in next outreach cycle",
    "Include in standard outreach",
    "Low priority",
)
POLICIES = ("absolute", "lift", "capacity")


@dataclass(frozen=True)
class BucketPolicy:
    """Three cut points on the ``lead_score``. A score equal to a cut is in the better bucket.

    :param name: ``absolute``, ``lift`` or ``capacity``: how the cuts were found.
    :param cuts: (very_hot, hot, warm), descending, on the scale of the ``lead_score``. A cut above 1 is never reached.
    :param base_rate: share of positives the cuts were computed from (0 to 1), None where none was needed.
    """

    name: str
    cuts: tuple[float, float, float]
    base_rate: float | None = None

    def __post_init__(self) -> None:
        if self.name not in POLICIES:
            raise BadInput(f"bucket policy {self.name!r} is unknown; choose one of {', '.join(POLICIES)}")
        if len(self.cuts) != 3 or not all(np.isfinite(cut) for cut in self.cuts):
            raise BadInput(f"bucket cuts {self.cuts} of policy {self.name!r} must be three finite numbers")
        if not self.cuts[0] >= self.cuts[1] >= self.cuts[2]:
            raise BadInput(f"bucket cuts {self.cuts} of policy {self.name!r} must descend: very hot, hot, warm")

    def assign(self, scores: NDArray[np.float64]) -> NDArray[np.int8]:
        """Codes 0 (Very Hot) to 3 (Cold), one for each score.

        :param scores: shape (n,), probabilities. NaN is never given by a scorer and would be Cold.
        """
        very_hot, hot, warm = self.cuts
        codes = np.full(np.shape(scores), 3, dtype=np.int8)
        codes -= scores >= warm
        codes -= scores >= hot
        codes -= scores >= very_hot
        return codes

    def assign_one(self, score: float) -> int:
        """The code of one score; the same comparisons as :meth:`assign`, without an array."""
        very_hot, hot, warm = self.cuts
        return 3 - (score >= warm) - (score >= hot) - (score >= very_hot)

    def label(self, code: int) -> str:
        return BUCKETS[code]

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "cuts": list(self.cuts), "base_rate": self.base_rate}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BucketPolicy:
        """:raises BadInput: a key is missing, or the cuts are not three falling numbers."""
        for key in ("name", "cuts"):
            if not isinstance(data, Mapping) or key not in data:
                raise BadInput(f"bucket policy {data!r} has no {key!r}; it needs a name and three cuts")
        cuts, name = data["cuts"], data["name"]
        if (
            not isinstance(cuts, list | tuple)
            or len(cuts) != 3
            or not all(isinstance(cut, int | float) and not isinstance(cut, bool) for cut in cuts)
        ):
            raise BadInput(f"bucket cuts {cuts!r} of policy {name!r} must be three finite numbers")
        very_hot, hot, warm = (float(cut) for cut in cuts)
        return cls(name, (very_hot, hot, warm), data.get("base_rate"))


def freeze_policy(
    name: str, settings: BucketSettings, reference_scores: NDArray[np.float64], base_rate: float | None
) -> BucketPolicy:
    """Turn a named policy into cut points.

    :param reference_scores: shape (n,), scores of leads the model was not fitted on; used by ``capacity`` only.
    :param base_rate: share of positives, 0 to 1; used by ``lift`` only.
    :raises BadInput: the policy is unknown, or what it is computed from is absent.
    """
    if name == "absolute":
        return BucketPolicy(name, _three(settings.absolute, "buckets.absolute"), base_rate)
    if name == "lift":
        if base_rate is None or not 0 < base_rate < 1:
            raise BadInput(f"bucket policy 'lift' needs a base rate between 0 and 1, not {base_rate}; use capacity")
        very_hot, hot, warm = _three(settings.lift, "buckets.lift")
        return BucketPolicy(name, (very_hot * base_rate, hot * base_rate, warm * base_rate), base_rate)
    if name == "capacity":
        return BucketPolicy(name, _capacity_cuts(settings, reference_scores), base_rate)
    raise BadInput(f"bucket policy {name!r} is unknown; choose one of {', '.join(POLICIES)}")


def _capacity_cuts(settings: BucketSettings, reference_scores: NDArray[np.float64]) -> tuple[float, float, float]:
    """The score of the last lead within each share. Ties at a cut all fall into the better bucket."""
    shares = _three(settings.capacity, "buckets.capacity")
    if not 0 < shares[0] <= shares[1] <= shares[2] < 1:
        raise BadInput(f"setting buckets.capacity is {list(shares)}; it must be rising shares between 0 and 1")
    descending = np.sort(np.asarray(reference_scores, dtype=np.float64))[::-1]
    if descending.size < 4 or not np.isfinite(descending).all():
        raise BadInput(f"bucket policy 'capacity' needs at least 4 finite reference scores, not {descending.size}")
    very_hot, hot, warm = (float(descending[max(round(share * descending.size), 1) - 1]) for share in shares)
    return very_hot, hot, warm


def _three(values: Sequence[float], setting: str) -> tuple[float, float, float]:
    if len(values) != 3:
        raise BadInput(f"setting {setting} has {len(values)} values; it needs three: very hot, hot, warm")
    return float(values[0]), float(values[1]), float(values[2])
