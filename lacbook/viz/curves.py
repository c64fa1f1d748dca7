"""Learning curves and the comparison of methods and controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .style import ACCENT, INK, MUTED, theme

LOSSES = ("loss", "contrast", "local")
ALIGNMENT = ("gap_open", "gap_extend", "margin")  # what the alignment learns, drawn on an axis of its own
CONTROLS = ("majority", "raw", "time_only", "untrained")


def plot_learning_curves(log: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Loss and its parts over epochs; the learned gap penalties and margin dashed, on the right-hand axis.

    Parameters
    ----------
    log : DataFrame
        One row an epoch, or several (averaged). Columns, drawn where present: epoch (else the row number),
        loss, contrast, local, gap_open, gap_extend, margin.
    ax : Axes, optional
        A new figure by default.

    Returns
    -------
    Axes
        The axis of the losses.

    Raises
    ------
    ValueError
        None of the columns is there.
    """
    epochs = log["epoch"] if "epoch" in log else pd.Series(np.arange(len(log)), index=log.index)
    means = log.groupby(epochs.rename("epoch")).mean(numeric_only=True)
    groups = [
        [name for name in names if name in means and means[name].notna().any()]
        for names in (LOSSES, ALIGNMENT)
    ]
    if not any(groups):
        raise ValueError(f"log has none of the columns {LOSSES + ALIGNMENT}, found {list(log.columns)}")
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
    colors = iter(plt.rcParams["axes.prop_cycle"].by_key()["color"])
    axes = [ax, ax.twinx()] if groups[1] else [ax]
    lines = []
    for axis, names, dashes in zip(axes, groups, ("-", "--"), strict=False):
        for name in names:
            column = means[name].dropna()
            mark = "o" if len(column) == 1 else None
            label = name.replace("_", " ")
            width = 2.4 if name == "loss" else 1.6
            lines += axis.plot(
                column.index, column, dashes, marker=mark, lw=width, color=next(colors), label=label
            )
    ax.set(xlabel="epoch", ylabel="loss")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if groups[1]:
        axes[1].set_ylabel("learned penalty or margin (dashed)")
        axes[1].spines["right"].set_visible(True)
    ax.legend(handles=lines, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(lines), fontsize="small")
    return ax


def live_learning_curves() -> Callable[[pd.DataFrame], None]:
    """Learning curves that grow while a notebook trains: ``fit(..., on_epoch=live_learning_curves())``.

    Returns
    -------
    callable
        Takes the log and draws it as `plot_learning_curves` does, in one output that every later call
        replaces. Outside Jupyter it prints that there is a figure, and no more.

    Raises
    ------
    ModuleNotFoundError
        Jupyter is not installed.
    """
    import matplotlib_inline.backend_inline  # noqa: F401 - shows figures that pyplot knows nothing of
    from IPython.display import display  # not there without Jupyter

    shown = None

    def draw(log: pd.DataFrame) -> None:
        nonlocal shown
        with theme():
            figure = Figure(figsize=(7, 3.6), layout="constrained")
            plot_learning_curves(log, ax=figure.add_subplot())
            if shown is None:  # and it stays None outside Jupyter
                shown = display(figure, display_id=True)
            else:
                shown.update(figure)

    return draw


def _panel(ax: Axes, values: pd.DataFrame, methods: Sequence[str], lower_is_better: bool) -> None:
    """One metric: means as dots, one standard deviation as lines, seeds as faint dots."""
    for y, method in enumerate(methods):
        found = values.loc[values["method"] == method, "value"].dropna()
        if not len(found):
            continue
        control = method in CONTROLS
        color = ACCENT if method.lower().startswith("lac") else MUTED if control else INK
        spread = float(found.std(ddof=1)) if len(found) > 1 else 0.0
        ax.plot(found, np.full(len(found), y), "o", ms=4, color=color, alpha=0.35, mew=0)
        ax.errorbar(
            found.mean(), y, xerr=spread, fmt="D" if control else "o", ms=7, color=color, capsize=0, lw=2
        )
    controls = values[values["method"].isin(CONTROLS)].groupby("method")["value"].mean().dropna()
    ax.margins(x=0.08)
    if len(controls):
        best = controls.min() if lower_is_better else controls.max()
        low, high = ax.get_xlim()
        worse = (best, high) if lower_is_better else (low, best)
        ax.axvspan(*worse, color="0.94", zorder=0, lw=0)
        ax.set_xlim(low, high)


def plot_metrics(
    table: pd.DataFrame, *, metrics: Sequence[str] | None = None, fig: Figure | None = None
) -> Figure:
    """Methods and controls compared, one panel a metric.

    Mean over seeds with one standard deviation; faint dots are the seeds. LAC is blue, controls are grey
    diamonds; on the shaded side of each panel a method does no better than the best control.

    Parameters
    ----------
    table : DataFrame
        Tidy: columns method, metric, value, one row a seed. Methods keep their order, controls come last.
    metrics : sequence of str, optional
        Which metrics, in which order; all by default.
    fig : Figure, optional
        An empty figure to draw in; a new one by default.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        A column is missing or a metric is unknown.
    """
    if missing := {"method", "metric", "value"} - set(table.columns):
        raise ValueError(f"table lacks the columns {sorted(missing)}, found {list(table.columns)}")
    chosen = list(dict.fromkeys(table["metric"])) if metrics is None else list(metrics)
    if unknown := set(chosen) - set(table["metric"]):
        raise ValueError(
            f"metrics {sorted(unknown)} are not in the table, found {sorted(set(table['metric']))}"
        )
    methods = sorted(dict.fromkeys(table["method"]), key=lambda name: name in CONTROLS)
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    with theme():
        if fig is None:
            fig = plt.figure(figsize=(9, rows * (0.27 * len(methods) + 0.9) + 0.3), layout="constrained")
        axes = fig.subplots(rows, columns, squeeze=False, sharey=True)
        for ax, metric in zip(axes.flat, chosen, strict=False):
            lower = "error" in metric or "loss" in metric
            _panel(ax, table[table["metric"] == metric], methods, lower)
            ax.set_title(metric.replace("_", " "))
            ax.set_xlabel(
                "frames, lower is better" if "event" in metric else "lower is better" if lower else ""
            )
            ax.set_yticks(range(len(methods)), [name.replace("_", " ") for name in methods])
            ax.grid(axis="y", color="0.9", lw=0.8)
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
        axes.flat[0].invert_yaxis()
        for name in (label for ax in axes[:, 0] for label in ax.get_yticklabels()):
            name.set_fontweight("bold" if name.get_text().lower().startswith("lac") else "normal")
        for ax in axes.flat[len(chosen) :]:
            ax.set_visible(False)
        fig.supxlabel("shaded: no better than the best control", fontsize="small", color="0.35")
    return fig
