"""Synthetic firms: a snapshot of total assets for each month."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lab.sample.careers import FIRST_FIRM, firm_weights


def make_snapshots(random: np.random.Generator, *, firms: int, first_month: str, months: int) -> pd.DataFrame:
    """One row per firm and month, recorded on the fourth of the month after; 8 % of the amounts are blank.

    :return: columns firm_crd, month (days since 1970), total_aum (US dollars, NaN for blank), recorded_at (seconds).
    """
    starts = np.datetime64(first_month, "M") + np.arange(months + 1)
    day_one = starts.astype("datetime64[D]").astype(np.int64)
    size = firm_weights(firms) * 4e13 * random.lognormal(0.0, 1.2, firms)
    drift = random.normal(0.012, 0.006, firms)
    steps = random.normal(0.0, 0.01, (firms, months)) + drift[:, None]
    aum = np.round(size[:, None] * np.exp(np.cumsum(steps, axis=1)), 2)
    aum[random.random((firms, months)) < 0.08] = np.nan
    return pd.DataFrame({
        "firm_crd": np.repeat(np.arange(firms) + FIRST_FIRM, months),
        "month": np.tile(day_one[:-1], firms),
        "total_aum": aum.ravel(),
        "recorded_at": np.tile((day_one[1:] + 3) * 86_400 + 5 * 3600, firms),
    })
