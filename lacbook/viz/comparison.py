"""Several methods on one data set: every seed, mean and spread, controls set apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lacbook.evaluate import CONTROLS
from lacbook.summary import FAMILIES, LOWER_IS_BETTER

from .style import ACCENT, INK, MUTED, theme


def plot_comparison(
    table: pd.DataFrame,
    dataset: str,
    *,
    metrics: Sequence[str] = FAMILIES,
    names: Mapping[str, str] | None = None,
    axes: Sequence[Axes] | None = None,
) -> NDArray[np.object_]:
    """Methods above, controls below a line, one panel a metric.

    A faint dot is a seed, a large one the mean, its bar one standard deviation. What a method had to beat,
    the best control by its mean, is a dashed line. LAC and its variants are blue, controls grey; a control
    so far off that it would squeeze all else is an arrow with its mean.

    Parameters
    ----------
    table : DataFrame
        What `lacbook.compare.compare` returns.
    dataset : str
        One of those in the table.
    metrics : sequence of str, default `lacbook.summary.FAMILIES`
        Which, in which order.
    names : mapping, optional
        What to call a method in the figure, for those that should not be called by their own name.
    axes : sequence of Axes, optional
        One for each metric; a new figure by default.

    Returns
    -------
    array of Axes
        As many as metrics.

    Raises
    ------
    ValueError
        The data set or a metric is not in the table, or there are not as many axes as metrics.
    """
    part = table[table["dataset"] == dataset].dropna(subset="value")
    if part.empty:
        raise ValueError(f"dataset: {dataset!r} is not in the table, found {sorted(set(table['dataset']))}")
    if unknown := [name for name in metrics if name not in set(part["metric"])]:
        raise ValueError(f"metrics: {unknown} are not in the table, found {sorted(set(part['metric']))}")
    if axes is not None and len(axes) != len(metrics):
        raise ValueError(f"axes: found {len(axes)}, expected one for each of {len(metrics)} metrics")
    present = set(part["method"])  # in the order of the whole table, so that data sets have the same
    methods = [name for name in dict.fromkeys(table["method"]) if name in present - set(CONTROLS)]
    methods += [name for name in CONTROLS if name in present]
    colors = {m: MUTED if m in CONTROLS else ACCENT if m.startswith("lac") else INK for m in methods}
    with theme():
        if axes is None:
            columns = min(3, len(metrics))
            rows = -(-len(metrics) // columns)
            size = (9, rows * (0.24 * len(methods) + 0.75))
            _, grid = plt.subplots(
                rows, columns, figsize=size, layout="constrained", squeeze=False, sharey=True
            )
            for ax in grid.flat[len(metrics) :]:
                ax.set_visible(False)
            axes = list(grid.flat[: len(metrics)])
        for ax, metric in zip(axes, metrics, strict=True):
            _panel(ax, part[part["metric"] == metric], methods, colors)
            lower = metric in LOWER_IS_BETTER
            ax.set(title=metric.replace("_", " ") + (" ↓" if lower else ""), xlabel="", ylabel="")
            ax.set_yticks(range(len(methods)), [(names or {}).get(m, m).replace("_", " ") for m in methods])
            ax.set_ylim(len(methods) - 0.5, -0.5)
            ax.tick_params(axis="y", length=0)
    return np.array(axes, dtype=object)


def _panel(ax: Axes, values: pd.DataFrame, methods: Sequence[str], colors: Mapping[str, str]) -> None:
    """One metric; rows are methods."""
    where = {"x": "value", "y": "method", "hue": "method", "order": methods, "hue_order": methods}
    look = {"data": values, "palette": dict(colors), "legend": False, "ax": ax, "orient": "h"}
    sns.stripplot(**where, **look, size=4, alpha=0.4, jitter=False)
    sns.pointplot(**where, **look, errorbar="sd", linestyle="none", markersize=5, err_kws={"linewidth": 1.6})
    controls = [name for name in methods if name in CONTROLS]
    if controls and len(controls) < len(methods):
        ax.axhline(len(methods) - len(controls) - 0.5, color="0.8", lw=0.8)
    of_controls = values["method"].isin(controls)
    means = values[of_controls].groupby("method")["value"].mean()
    if means.empty:
        return
    best = means.min() if values["metric"].iloc[0] in LOWER_IS_BETTER else means.max()
    ax.axvline(best, color=MUTED, ls="--", lw=1, zorder=0)
    near = [best, *values.loc[~of_controls, "value"]]
    low, high = 2 * min(near) - max(near), 2 * max(near) - min(near)
    for name, mean in means.items():
        if low < high and not low <= mean <= high:
            left = mean < low
            text, x = (f"← {mean:.1f}", 0.03) if left else (f"{mean:.1f} →", 0.97)
            at: dict[str, Any] = {
                "transform": ax.get_yaxis_transform(),
                "ha": "left" if left else "right",
                "va": "center",
            }
            ax.text(x, methods.index(str(name)), text, color=MUTED, fontsize="x-small", **at)
    if low < high:
        kept = values.loc[values["value"].between(low, high), "value"]
        room = 0.06 * (kept.max() - kept.min())
        ax.set_xlim(kept.min() - room, kept.max() + room)
