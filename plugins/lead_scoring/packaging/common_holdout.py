"""Whether a challenger's holdout judges its champion too: it must hold no lead that the champion was fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def not_common(challenger: Mapping[str, Any], champion: Mapping[str, Any]) -> str | None:
    """Why the champion may have been fitted on leads of the challenger's holdout; None if it was not.

    With dates: the holdout begins after the last lead that the champion was fitted on. Without: both tables were split
    by the same rule, which puts a lead into the same part whatever else its table holds.

    :param challenger: its ``split`` as the training report and the manifest have it. :param champion: likewise.
    """
    fitted = [part for name, part in champion["parts"].items() if name != "holdout" and part["leads"]]
    begins = challenger["parts"]["holdout"].get("first")
    if begins is not None and all("last" in part for part in fitted):
        last = max(part["last"] for part in fitted)
        if begins > last:
            return None
        return (
            f"the challenger's holdout begins on {begins}, and the champion was fitted on leads contacted up to {last}"
        )
    rules = challenger.get("rule"), champion.get("rule")
    if rules[0] is not None and rules[0] == rules[1]:
        return None
    return (
        f"without dates, and split by other rules ({_said(rules[0])}; the champion: {_said(rules[1])}), the champion "
        "may have been fitted on leads of this holdout; split with the same seed, shares and features as the champion, "
        "or bring contact dates"
    )


def same_recipe_on_newer_leads(challenger: Mapping[str, Any], champion: Mapping[str, Any]) -> bool:
    """A plain retrain: equal recipes (features, settings, libraries), learned up to a later day than the champion.

    :param challenger: ``recipe`` and ``split`` of its training report. :param champion: likewise, from its manifest.
    """
    ends = [report["split"]["parts"]["train"].get("last") for report in (challenger, champion)]
    same = challenger.get("recipe") is not None and challenger.get("recipe") == champion.get("recipe")
    return same and None not in ends and ends[0] > ends[1]


def _said(rule: Mapping[str, Any] | None) -> str:
    if rule is None:
        return "no fixed rule"
    shares = ", ".join(f"{name} {share:g}" for name, share in rule["shares"].items())
    own = "; a holdout of its own" if "holdout" in rule else ""
    return f"{rule['method']} of {rule['key']}, seed {rule['seed']}, {shares}{own}"
