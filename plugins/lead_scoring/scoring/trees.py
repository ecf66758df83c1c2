"""One lead's margin without XGBoost: the trees as one Python function, with the same bits as ``inplace_predict``.

XGBoost needs about 90 us for one row, nearly all of it call overhead. The same trees written out as nested conditional
expressions and compiled once take 3 us, because a lead visits only some 350 of the 5,000 nodes and each visit is one
comparison of two local variables. ONNX Runtime needs about as long (7 us), adds a conversion and a file, and does not
promise equal sums.

Equal bits come from doing what XGBoost's CPU predictor does: values and thresholds are float32; a missing value (NaN)
goes where ``default_left`` says; the leaves are added one after the other in float32, starting from the intercept.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lead_scoring.errors import BadInput

_MAX_DEPTH = 60  # nested conditionals; Python's own parser stops at 100


class Trees:
    """A compiled ``gbtree`` booster with a ``binary:logistic`` objective.

    :param content: the booster's file, as :func:`lead_scoring.scoring.ubjson.read_ubjson` gives it.
    :raises BadInput: another kind of booster, or one whose numbers are damaged.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        try:
            learner = content["learner"]
            parameters = learner["learner_model_param"]
            booster = learner["gradient_booster"]
            objective = learner["objective"]["name"]
            if booster["name"] != "gbtree" or objective != "binary:logistic" or int(parameters["num_target"]) != 1:
                raise BadInput(
                    f"the booster is {booster['name']} / {objective}; only gbtree / binary:logistic is scored"
                )
            self.feature_names: tuple[str, ...] = tuple(learner["feature_names"])
            self.feature_count = int(parameters["num_feature"])
            self.base = _base_margin(parameters["base_score"])
            trees = booster["model"]["trees"]
            source = _source(trees, self.feature_count)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise BadInput(f"the booster's file is incomplete ({error!r}); restore it from the store") from error
        names: dict[str, Any] = {}
        # The source holds only numbers that _source wrote with repr(): nothing of the file is taken over as text.
        exec(compile(source, "<trees>", "exec"), {"__builtins__": {}}, names)
        self._leaves: Callable[..., tuple[float, ...]] = names["leaves"]
        self._float32 = struct.Struct(f"{self.feature_count}f")

    def margin(self, values: Sequence[float]) -> float:
        """Log-odds of one lead.

        :param values: the features in the booster's order, NaN for missing, each within float32's range.
        """
        rounded = self._float32.unpack(self._float32.pack(*values))
        return float(np.add.accumulate(np.array((self.base, *self._leaves(*rounded)), dtype=np.float32))[-1])


def _base_margin(base_score: str) -> float:
    """The intercept as XGBoost computes it, ``-logf(1 / p - 1)``, step by step in float32."""
    probability = np.float32(base_score.strip("[]"))
    if not 0 < probability < 1:
        raise ValueError(f"base_score {base_score}")
    inverse = np.float32(np.float32(1) / probability) - np.float32(1)
    return float(np.float32(-math.log(float(inverse))))


def _source(trees: Sequence[Mapping[str, Any]], feature_count: int) -> str:
    arguments = ", ".join(f"f{index}" for index in range(feature_count))
    leaves = ",\n".join(_node(tree, 0, feature_count, 0) for tree in trees)
    return f"def leaves({arguments}):\n return (\n{leaves},\n)\n"


def _node(tree: Mapping[str, Any], index: int, feature_count: int, depth: int) -> str:
    if depth > _MAX_DEPTH:
        raise BadInput(f"a tree is deeper than {_MAX_DEPTH} levels; train with a smaller max_depth")
    value = _number(tree["split_conditions"][index])
    left, right = tree["left_children"][index], tree["right_children"][index]
    if left == -1:
        return value
    feature = tree["split_indices"][index]
    if not 0 <= feature < feature_count or not 0 < left < len(tree["left_children"]) or right <= 0:
        raise ValueError(f"node {index} of a tree points outside")
    if tree["split_type"][index] != 0:
        raise BadInput(f"feature {feature} is split by category; only numeric features are scored")
    # A comparison with NaN is false, so "not >=" sends a missing value left and "<" sends it right.
    test = f"not f{feature} >= {value}" if tree["default_left"][index] else f"f{feature} < {value}"
    yes = _node(tree, left, feature_count, depth + 1)
    no = _node(tree, right, feature_count, depth + 1)
    return f"({yes} if {test} else {no})"


def _number(value: float) -> str:
    number = float(np.float32(value))
    if not math.isfinite(number):
        raise ValueError(f"number {value} in a tree")
    return repr(number)
