"""Every family as one booster file: what is packaged, scored, explained and hashed is always a single UBJSON booster.

An average of boosters in log-odds is a booster: all trees of all members, each leaf times the weight of its member. A
logistic regression on quantile ranks is one too: its term of a feature is a step function of that feature alone, which
a balanced tree of single-feature splits holds exactly. So the compiled path of one lead, the table path, TreeSHAP
contributions, the document's pickle and the version's hash need no case for a family.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.errors import BadInput
from lead_scoring.model.calibrators import logit, sigmoid

if TYPE_CHECKING:
    import xgboost as xgb

LOGISTIC, AVERAGE, BOOSTER = "logistic regression", "average", "booster"
# The order in which they are preferred. The logistic regression is the simplest; of the other two the average is the
# stable one: another seed moves 2 % of the leads to another bucket, with a single booster 8 %.
FAMILIES = (LOGISTIC, AVERAGE, BOOSTER)

LOWEST = float(np.finfo(np.float32).min)  # no value lies below it: only a missing one goes left there


@dataclass(frozen=True)
class Steps:
    """A step function of one feature, in log-odds.

    :param feature: its place in the model.
    :param edges: rising, float32: a value belongs to the step after the last edge that it reaches. Shape (s,).
    :param values: log-odds of each step, shape (s + 1,). :param leads: how many leads the step was fitted on.
    :param missing: log-odds of a missing value. :param missing_leads: how many leads had none.
    """

    feature: int
    edges: NDArray[np.float32]
    values: NDArray[np.float64]
    leads: NDArray[np.float64]
    missing: float
    missing_leads: float

    def apply(self, column: NDArray[np.float64]) -> NDArray[np.float64]:
        found = self.values[np.searchsorted(self.edges, column.astype(np.float32), side="right")]
        return np.where(np.isnan(column), self.missing, found)

    def times(self, weight: float) -> Steps:
        return dataclasses.replace(self, values=self.values * weight, missing=self.missing * weight)


@dataclass(frozen=True)
class Member:
    """:param weight: its share, times the slope that puts its margins on the scale of the others."""

    booster: xgb.Booster
    weight: float


def one_booster(members: Sequence[Member], steps: Sequence[Steps], intercept: float, template: xgb.Booster) -> bytes:
    """The booster whose margin is ``intercept`` + the members' trees + the steps.

    The members' own intercepts count too, each times its weight.

    :param template: any booster of these features: names, objective and format are taken from it.
    :returns: UBJSON; equal inputs give equal bytes.
    """
    import xgboost as xgb

    content = _content(template)
    trees: list[dict[str, Any]] = []
    for member in members:
        own = _content(member.booster)
        intercept += member.weight * base_margin(own)
        for tree in own["learner"]["gradient_booster"]["model"]["trees"]:
            trees.append(_scaled(tree, member.weight))
    features = int(content["learner"]["learner_model_param"]["num_feature"])
    trees += [_tree_of(step, features) for step in steps]
    if not trees:
        raise BadInput("a model without a tree says nothing; give it a member or a step function")
    for number, tree in enumerate(trees):
        tree["id"] = number
    booster = content["learner"]["gradient_booster"]["model"]
    booster["trees"] = trees
    booster["tree_info"] = [0] * len(trees)
    booster["iteration_indptr"] = list(range(len(trees) + 1))
    booster["gbtree_model_param"] = {**booster["gbtree_model_param"], "num_trees": str(len(trees))}
    content["learner"]["learner_model_param"]["base_score"] = f"[{float(sigmoid(intercept)):.9E}]"
    content["learner"]["attributes"] = {}
    merged = xgb.Booster({"nthread": 1})
    merged.load_model(bytearray(json.dumps(content).encode()))
    return bytes(merged.save_raw("ubj"))


def base_margin(content: dict[str, Any]) -> float:
    """The intercept of a booster, in log-odds."""
    return float(logit(float(content["learner"]["learner_model_param"]["base_score"].strip("[]"))))


def _content(booster: xgb.Booster) -> dict[str, Any]:
    return json.loads(bytes(booster.save_raw("json")))


def _scaled(tree: dict[str, Any], weight: float) -> dict[str, Any]:
    scaled = copy.copy(tree)
    scaled["base_weights"] = [value * weight for value in tree["base_weights"]]
    scaled["split_conditions"] = [
        value * weight if left == -1 else value
        for value, left in zip(tree["split_conditions"], tree["left_children"], strict=True)
    ]
    return scaled


class _Nodes:
    """A tree in XGBoost's arrays. Its predictor takes the node after the left child for the right one."""

    def __init__(self, leads: float) -> None:
        self.left: list[int] = []
        self.right: list[int] = []
        self.parent: list[int] = []
        self.number: list[float] = []  # the threshold of a split, the log-odds of a leaf
        self.weight: list[float] = []  # the mean log-odds of the leads below
        self.cover: list[float] = []
        self._add(2147483647, leads)  # XGBoost's mark of the root

    def _add(self, parent: int, leads: float) -> int:
        for column, value in ((self.left, -1), (self.right, -1), (self.parent, parent)):
            column.append(value)
        for numbers, number in ((self.number, 0.0), (self.weight, 0.0), (self.cover, leads)):
            numbers.append(number)
        return len(self.left) - 1

    def split(self, node: int, threshold: float, leads: tuple[float, float]) -> tuple[int, int]:
        self.number[node] = threshold
        self.left[node], self.right[node] = self._add(node, leads[0]), self._add(node, leads[1])
        return self.left[node], self.right[node]

    def leaf(self, node: int, value: float) -> None:
        self.number[node] = self.weight[node] = value

    def average(self, node: int) -> None:
        children = (self.left[node], self.right[node])
        total = sum(self.cover[child] for child in children)
        shares = [self.cover[child] / total if total else 0.5 for child in children]
        self.weight[node] = sum(share * self.weight[child] for share, child in zip(shares, children, strict=True))


def _tree_of(step: Steps, features: int) -> dict[str, Any]:
    nodes = _Nodes(float(step.leads.sum()) + step.missing_leads)
    # A missing value goes left at the root, every other value right.
    missing, present = nodes.split(0, LOWEST, (step.missing_leads, float(step.leads.sum())))
    nodes.leaf(missing, step.missing)
    _balanced(nodes, present, step, 0, len(step.edges))
    nodes.average(0)
    count = len(nodes.left)
    return {
        "base_weights": nodes.weight,
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": [1 if node == 0 else 0 for node in range(count)],
        "left_children": nodes.left,
        "right_children": nodes.right,
        "loss_changes": [0.0] * count,
        "parents": nodes.parent,
        "split_conditions": nodes.number,
        "split_indices": [step.feature if left != -1 else 0 for left in nodes.left],
        "split_type": [0] * count,
        "sum_hessian": nodes.cover,
        "tree_param": {
            "num_deleted": "0", "num_feature": str(features), "num_nodes": str(count), "size_leaf_vector": "1",
        },
    }  # fmt: skip


def _balanced(nodes: _Nodes, node: int, step: Steps, first: int, last: int) -> None:
    """Steps ``first`` to ``last`` (both included) under ``node``, split at the middle edge."""
    if first == last:
        nodes.leaf(node, float(step.values[first]))
        return
    middle = (first + last) // 2
    leads = (float(step.leads[first : middle + 1].sum()), float(step.leads[middle + 1 : last + 1].sum()))
    left, right = nodes.split(node, float(step.edges[middle]), leads)
    _balanced(nodes, left, step, first, middle)
    _balanced(nodes, right, step, middle + 1, last)
    nodes.average(node)
