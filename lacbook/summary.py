"""What a comparison says: mean and spread over seeds, and paired tests, method by method."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lacbook.evaluate import CONTROLS

if TYPE_CHECKING:
    import pandas as pd

# One of each family of metrics, as the main table shows them.
FAMILIES = ("acc@10", "progression", "active_tau", "AP@5", "event_error", "alignment_f1")
LOWER_IS_BETTER = ("event_error", "path_event_error")
REFERENCE = "scl"


def summarise(table: pd.DataFrame, reference: str = REFERENCE) -> pd.DataFrame:
    """Mean and deviation of every method, and how it stands to `reference` and to the best control.

    Parameters
    ----------
    table : DataFrame
        What `lacbook.compare.compare` returns.
    reference : str, default "scl"

    Returns
    -------
    DataFrame
        A row for each ``dataset``, ``metric`` and ``method``: ``mean``, ``std`` (n - 1 in the denominator;
        NaN of one seed), ``seeds``; ``over_reference`` and ``over_control``, the mean difference, positive
        where the method is *better*; ``p_reference`` and ``p_control``, of the paired t-test over the seeds
        that both have (two-sided, not corrected for the number of comparisons; NaN below three seeds and of a
        method with itself); and ``control``, the best one by its mean. Every seed means another start, other
        views and another order, on the same clips: the test is about these clips and no others.
    """
    import pandas as pd

    rows = []
    for (dataset, metric), part in table.dropna(subset="value").groupby(["dataset", "metric"], sort=False):
        sign = -1 if metric in LOWER_IS_BETTER else 1
        by_seed = part.pivot_table(index="seed", columns="method", values="value", sort=False)
        means = by_seed.mean()
        controls = [name for name in CONTROLS if name in by_seed]
        control = max(controls, key=lambda name: sign * means[name]) if controls else None
        for method in map(str, by_seed):
            row: dict[str, object] = {"dataset": dataset, "metric": metric, "method": method}
            row |= {"mean": means[method], "std": by_seed[method].std(), "seeds": by_seed[method].count()}
            row["control"] = control
            for name, other in (("reference", reference), ("control", control)):
                gain, p = _compared(by_seed, method, other, sign)
                row |= {f"over_{name}": gain, f"p_{name}": p}
            rows.append(row)
    return pd.DataFrame(rows)


def _compared(by_seed: pd.DataFrame, method: str, other: str | None, sign: int) -> tuple[float, float]:
    """Mean gain over another method, and the p of the paired t-test."""
    from scipy.stats import ttest_rel

    if other is None or other == method or other not in by_seed:
        return float("nan"), float("nan")
    both = by_seed[[method, other]].dropna()
    gain = sign * (both[method] - both[other])
    if len(gain) < 3:
        return float(gain.mean()), float("nan")
    if np.ptp(gain) < 1e-12:  # the same on every seed: certain, or no difference at all
        return float(gain.mean()), 1.0 if abs(gain.mean()) < 1e-12 else 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # differences that are nearly the same
        return float(gain.mean()), float(ttest_rel(both[method], both[other]).pvalue)


def standings(
    table: pd.DataFrame, dataset: str, metrics: Sequence[str] = FAMILIES, *, level: float = 0.05
) -> str:
    """A data set's table as Markdown: a row a method, a column a metric, mean ± deviation over seeds.

    **Bold**: better than the best control at `level` of the paired test. ▲ or ▼: better or worse than SCL at
    that level. The best control of a metric is in *italics*. Where seeds are missing or gave NaN, how many
    are left is said.
    """
    summary = summarise(table)
    seeds = table.loc[table["dataset"] == dataset, "seed"].nunique()
    summary = summary[summary["dataset"] == dataset].set_index(["method", "metric"])
    methods = list(dict.fromkeys(table.loc[table["dataset"] == dataset, "method"]))
    methods.sort(key=lambda name: (name in CONTROLS, list(table["method"]).index(name)))
    header = [name + (" ↓" if name in LOWER_IS_BETTER else "") for name in metrics]
    rows = [["method", *header]]
    rows += [
        [method, *(_cell(summary, method, metric, level, seeds) for metric in metrics)] for method in methods
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _cell(summary: pd.DataFrame, method: str, metric: str, level: float, seeds: int) -> str:
    """One entry of `standings`."""
    if (method, metric) not in summary.index:
        return "-"
    row = summary.loc[[(method, metric)]].iloc[0]
    text = f"{row['mean']:.3f}" + (f" ± {row['std']:.3f}" if row["seeds"] > 1 else "")
    if method == row["control"]:
        text = f"*{text}*"
    elif method not in CONTROLS and row["over_control"] > 0 and row["p_control"] < level:
        text = f"**{text}**"
    if method not in CONTROLS and row["p_reference"] < level:
        text += " ▲" if row["over_reference"] > 0 else " ▼"
    if row["seeds"] < seeds:
        text += f" ({row['seeds']:.0f} of {seeds})"
    return text
