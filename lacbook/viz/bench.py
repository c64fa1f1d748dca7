"""Time against size: what `lacbook bench` measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from lacbook.alignment.bench_contestants import BACKENDS, YARDSTICK

from .style import ACCENT, INK, MUTED, theme


def plot_bench(
    report: Mapping[str, Any], *, modes: Sequence[str] | None = None, axes: Sequence[Axes] | None = None
) -> NDArray[np.object_]:
    """Best times over the number of cells B x N x M: one panel a mode, one line a contestant, log-log.

    lacbook's compiled kernels are blue, its other backends dark, other packages coloured; dashed and grey is
    one float64 exp a cell.

    Parameters
    ----------
    report : mapping
        What `lacbook bench --json` writes.
    modes : sequence of str, optional
        Which, in which order; all by default.
    axes : sequence of Axes, optional
        One for each mode; a new figure by default.

    Returns
    -------
    array of Axes
        As many as modes.

    Raises
    ------
    ValueError
        A mode has no times in the report, or there are not as many axes as modes.
    """
    timed = [row for row in report["rows"] if row["seconds"]]
    there = [mode for mode in dict.fromkeys(row["mode"] for row in timed) if mode != YARDSTICK]
    chosen = there if modes is None else list(modes)
    if unknown := [mode for mode in chosen if mode not in there]:
        raise ValueError(f"modes: {unknown} have no times in the report, found {there}")
    if axes is not None and len(axes) != len(chosen):
        raise ValueError(f"axes: found {len(axes)}, expected one for each of {len(chosen)} modes")
    others = [name for name in dict.fromkeys(row["contestant"] for row in timed) if name not in BACKENDS]
    palette = [color for color in sns.color_palette("colorblind").as_hex()[1:] if color != MUTED]
    colors = dict(zip(others, palette, strict=False)) | dict.fromkeys(BACKENDS, INK)
    colors |= {"numba": ACCENT, "cuda": ACCENT, "auto": ACCENT, YARDSTICK: MUTED}
    with theme():
        figure = None
        if axes is None:
            columns = min(3, len(chosen))
            rows = -(-len(chosen) // columns)
            figure, grid = plt.subplots(
                rows,
                columns,
                figsize=(3.1 * columns, 2.6 * rows + 0.4),
                layout="constrained",
                squeeze=False,
                sharex=True,
                sharey=True,
            )
            for ax in grid.flat[len(chosen) :]:
                ax.set_visible(False)
            axes = list(grid.flat[: len(chosen)])
        for ax, mode in zip(axes, chosen, strict=True):
            lines: dict[str, list[tuple[int, float]]] = {}
            for row in timed:
                if row["mode"] in (mode, YARDSTICK):
                    point = (row["pairs"] * row["frames"] ** 2, 1e3 * min(row["seconds"]))
                    lines.setdefault(row["contestant"], []).append(point)
            for name, points in lines.items():
                look: dict[str, Any] = (
                    {"ls": "--", "lw": 1.2} if name == YARDSTICK else {"marker": "o", "ms": 4, "lw": 1.6}
                )
                ax.plot(*zip(*sorted(points), strict=True), color=colors[name], label=name, **look)
            ax.set(title=mode, xscale="log", yscale="log")
            ax.set(xlabel="cells", ylabel="ms")
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.label_outer()
        shown = {line.get_label(): line for ax in axes for line in ax.lines}
        if figure is None:
            axes[0].legend(handles=list(shown.values()), fontsize="small")
        else:
            figure.legend(handles=list(shown.values()), loc="outside upper center", ncols=len(shown))
    return np.array(axes, dtype=object)
