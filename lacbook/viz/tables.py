"""Dynamic programming tables and similarity matrices with the alignment drawn on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm, to_rgb
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import ArrayLike, NDArray

from .style import (
    ACCENT,
    EMPTY,
    INK,
    PATH,
    POSTERIOR,
    as_array,
    as_matrix,
    as_path,
    as_video,
    phase_colors,
    similarity_colors,
)

LARGEST_WITH_NUMBERS = (12, 16)
SMALLEST_NUMBER = 6.0  # points; numbers that would come out smaller are left away
PICTURE = 0.96  # side of a frame beside a table, in cells


def route(path: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int]]:
    """Every corner of the way through the table, [C, 2], and which corners are matches.

    Between matches (i, j) and (p, r) the way runs over the cells where gaps are charged: columns j+1..r-1 in
    row i, then rows i+1..p-1 in column r-1, then diagonally into (p, r).
    """
    corners: list[tuple[int, int]] = []
    matched = []
    for p, r in path.tolist():
        if corners:
            i, j = corners[-1]
            if r - j > 1:
                corners.append((i, r - 1))
            if p - i > 1:
                corners.append((p - 1, max(r - 1, j)))
        matched.append(len(corners))
        corners.append((p, r))
    return np.array(corners, dtype=np.int64).reshape(-1, 2), matched


def draw_path(ax: Axes, path: ArrayLike, shape: tuple[int, int], line: Line2D | None = None) -> Line2D:
    """Draw the way of a path on a matrix, or move a `line` drawn before, as sliders do."""
    corners, _ = route(as_path(path, *shape))
    if line is None:
        (line,) = ax.plot([], [], color=PATH, lw=2, label="path", solid_joinstyle="round", zorder=4)
        line.set_path_effects([Stroke(linewidth=3.6, foreground=INK), Normal()])
    line.set_data(corners[:, 1], corners[:, 0])
    return line


def _labels(labels: Sequence[object] | None, n: int, name: str) -> list[str]:
    """Labels of one side, the positions where there are none."""
    found = [str(k) for k in range(n)] if labels is None else [str(label) for label in labels]
    if len(found) != n:
        raise ValueError(f"{name} has {len(found)} labels, the table has {n} {name}")
    return found


def _number(value: float, whole: bool) -> str:
    """Text of a cell: nothing for NaN, a dash for -inf, no decimals in a table of whole numbers."""
    if np.isnan(value):
        return ""
    if not np.isfinite(value):
        return "–"
    return f"{value + 0.0:.0f}" if whole else f"{round(value, 1) + 0.0:.1f}"  # + 0.0: no "-0"


def plot_table(
    table: ArrayLike,
    *,
    path: ArrayLike | None = None,
    rows: Sequence[object] | None = None,
    cols: Sequence[object] | None = None,
    frames: tuple[ArrayLike, ArrayLike] | None = None,
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a dynamic programming table as textbooks do: sequences on the sides, numbers inside, path on top.

    Parameters
    ----------
    table : array_like [N, M]
        Scores; ``-inf`` is a dash on grey, NaN a blank cell, not filled yet. Tables beyond 12 x 16, and
        such small ones that numbers could not be read, are coloured only.
    path : array_like of int [L, 2], optional
        Matches (i, j), ringed, and the way between them through the cells where gaps are charged.
    rows, cols : sequence, optional
        N and M labels (a string is a sequence of letters); positions by default.
    frames : tuple of two array_like of uint8, [N, H, W, 3] and [M, H, W, 3], optional
        The two videos, drawn as pictures on the left and on top.
    limits : (float, float), optional
        Smallest and largest number of the colours, the table's own by default; tables side by side want the
        same.
    ax : Axes, optional
        A new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        The table is not a matrix, labels or frames do not fit it, or the path leaves it.
    """
    values = as_matrix(table, "table")
    n, m = values.shape
    videos = () if frames is None else [as_video(video, "frames") for video in frames]
    if videos and tuple(map(len, videos)) != (n, m):
        raise ValueError(
            f"frames has {' and '.join(str(len(v)) for v in videos)} pictures, table is {n} x {m}"
        )
    small = n <= LARGEST_WITH_NUMBERS[0] and m <= LARGEST_WITH_NUMBERS[1]
    if videos and not small:
        raise ValueError(f"frames are drawn beside at most {LARGEST_WITH_NUMBERS} cells, table is {n} x {m}")
    if ax is None:
        cell = 0.52 if small else min(7 / m, 6 / n)
        _, ax = plt.subplots(
            figsize=(max(m * cell, 1.5) + 0.9, max(n * cell, 1.5) + 0.9), layout="constrained"
        )
    cmap, norm = similarity_colors(values, limits)
    opaque = np.where(np.isnan(values), 0.0, 0.75 if small else 1.0)
    ax.imshow(np.ma.masked_invalid(values), cmap=cmap, norm=norm, alpha=opaque)
    if small or rows is not None:
        ax.set_yticks(range(n), _labels(rows, n, "rows"))
    if small or cols is not None:
        ax.set_xticks(range(m), _labels(cols, m, "cols"))
    ax.tick_params(length=0 if small else 3, top=not small, bottom=False, labeltop=True, labelbottom=False)
    ax.xaxis.set_label_position("top")
    ax.spines[:].set_visible(False)
    matches = as_path(() if path is None else path, n, m)
    if not small:
        if path is not None:
            draw_path(ax, matches, (n, m))
        return ax
    grid: dict[str, Any] = {"color": EMPTY if np.isnan(values).any() else "white", "lw": 1.5}
    ax.hlines(np.arange(n + 1) - 0.5, -0.5, m - 0.5, **grid)
    ax.vlines(np.arange(m + 1) - 0.5, -0.5, n - 0.5, **grid)
    for across, video in enumerate(videos):
        for k, picture in enumerate(video):
            x, y = (k, -1.1) if across else (-1.1, k)
            extent = (x - PICTURE / 2, x + PICTURE / 2, y + PICTURE / 2, y - PICTURE / 2)
            ax.imshow(picture, extent=extent, interpolation="antialiased")
    if videos:
        ax.set(xlim=(-1.1 - PICTURE / 2, m - 0.5), ylim=(n - 0.5, -1.1 - PICTURE / 2))
    corner = ax.transData.transform([(0, 0), (1, 1)])
    points = float(np.abs(corner[1] - corner[0]).min()) * 72 / ax.figure.dpi  # one cell
    if path is not None:
        corners, matched = route(matches)
        ring: dict[str, Any] = {"marker": "o", "ms": 0.74 * points, "mfc": "white", "mec": ACCENT, "mew": 2}
        ax.plot(
            corners[:, 1], corners[:, 0], color=(ACCENT, 0.3), lw=6, markevery=matched, label="path", **ring
        )
    if 0.3 * points < SMALLEST_NUMBER:
        return ax
    whole = bool(np.all(values[np.isfinite(values)] % 1 == 0))
    ringed = set(map(tuple, matches.tolist()))
    for (i, j), value in np.ndenumerate(values):
        dark = (i, j) not in ringed and np.isfinite(value) and abs(norm(value) - 0.5) > 0.42
        style: dict[str, Any] = {"color": "white" if dark else INK, "fontsize": min(10.0, 0.3 * points)}
        ax.text(j, i, _number(value, whole), ha="center", va="center", zorder=5, **style)
    return ax


def _phase_strips(
    ax: Axes, phases: tuple[ArrayLike, ArrayLike] | None, n: int, m: int
) -> tuple[float, float]:
    """Strips of phase colours beside an n x m matrix; returns the left and upper limit of the axes."""
    if phases is None:
        return -0.5, -0.5
    rows, cols = (as_array(phase) for phase in phases)
    if (len(rows), len(cols)) != (n, m):
        raise ValueError(f"phases have lengths {len(rows)} and {len(cols)}, the matrix is {n} x {m}")
    numbers = np.concatenate([rows, cols])
    if not np.all((numbers >= -1) & (numbers == np.round(numbers))):
        raise ValueError(f"phases must be whole numbers from -1, found {numbers.min()} to {numbers.max()}")
    rows, cols = rows.astype(int), cols.astype(int)
    palette = np.vstack([phase_colors(max(1, int(numbers.max()) + 1)), np.ones(3)])  # -1 is white
    left, top = -0.5 - 0.03 * m, -0.5 - 0.03 * n
    ax.imshow(palette[rows][:, None], extent=(left, -0.5 - 0.006 * m, n - 0.5, -0.5), aspect="auto")
    ax.imshow(palette[cols][None], extent=(-0.5, m - 0.5, -0.5 - 0.006 * n, top), aspect="auto")
    return left, top


def _colorbar(ax: Axes, image: AxesImage, **options: Any) -> None:
    """Scale of an image's colours, close to its right."""
    bar = ax.figure.colorbar(image, cax=ax.inset_axes((1.025, 0, 0.025, 1)), **options)
    bar.outline.set_visible(False)


def _finish_matrix(
    ax: Axes,
    shape: tuple[int, int],
    phases: tuple[ArrayLike, ArrayLike] | None,
    path: ArrayLike | None,
) -> Axes:
    """What goes around and on top of every matrix of two videos: phases, path, limits and labels."""
    n, m = shape
    left, top = _phase_strips(ax, phases, n, m)
    if path is not None:
        draw_path(ax, path, shape)
    ax.set(xlim=(left, m - 0.5), ylim=(n - 0.5, top), xlabel="frame of B", ylabel="frame of A")
    ax.spines[:].set_visible(False)
    return ax


def plot_similarity(
    similarity: ArrayLike,
    *,
    posterior: ArrayLike | None = None,
    path: ArrayLike | None = None,
    events: tuple[ArrayLike, ArrayLike] | None = None,
    phases: tuple[ArrayLike, ArrayLike] | None = None,
    limits: tuple[float, float] | None = None,
    colorbar: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Similarity matrix of two videos with what the alignment makes of it.

    Parameters
    ----------
    similarity : array_like [N, M]
        Blue below 0 (unrelated), white at 0, red above; each sign has its own scale, at least a third of the
        other's.
    posterior : array_like [N, M], optional
        Probability of a match, drawn as a dark veil, darkest where it is largest.
    path : array_like of int [L, 2], optional
        Matches of the best alignment.
    events : tuple of two array_like of int, optional
        Key events of the rows' and of the columns' video: dotted lines, a circle where the k-th of both meet.
    phases : tuple of array_like of int [N] and [M], optional
        Phase of each frame, thin strips of `phase_colors` on the left and on top; -1 is blank.
    limits : (float, float), optional
        Smallest and largest similarity of the colours, those of the matrix by default.
    colorbar : bool, default True
        Draw the scale of colours on the right; of matrices side by side, one needs it.
    ax : Axes, optional
        A new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        Shapes disagree, or the path leaves the matrix.
    """
    values = as_matrix(similarity, "similarity")
    n, m = values.shape
    if ax is None:
        _, ax = plt.subplots(figsize=(6.2, 5.2), layout="constrained")
    cmap, norm = similarity_colors(values, limits)
    image = ax.imshow(np.ma.masked_invalid(values), cmap=cmap, norm=norm, aspect="auto")
    if colorbar:
        _colorbar(ax, image, label="similarity (0 = unrelated)")
    if posterior is not None:
        mass = as_array(posterior).astype(float)
        if mass.shape != values.shape:
            raise ValueError(f"posterior has shape {mass.shape}, similarity {values.shape}")
        mass = np.nan_to_num(mass)  # where nothing is known, no veil
        veil = np.sqrt(np.clip(mass / max(mass.max(), 1e-12), 0, 1))  # root: small probabilities show, too
        color = np.broadcast_to(to_rgb(INK), (n, m, 3))
        ax.imshow(np.dstack([color, 0.8 * veil]), aspect="auto", zorder=2, label="posterior")
    if events is not None:
        rows, cols = (as_array(event) for event in events)
        dotted: dict[str, Any] = {"color": INK, "lw": 0.8, "ls": (0, (1, 3)), "zorder": 3}
        ax.hlines(rows, -0.5, m - 0.5, **dotted)
        ax.vlines(cols, -0.5, n - 0.5, **dotted)
        both = min(len(rows), len(cols))
        ring: dict[str, Any] = {
            "marker": "o",
            "ms": 8,
            "mfc": "none",
            "mec": INK,
            "mew": 1.4,
            "ls": "none",
            "zorder": 5,
        }
        ax.plot(cols[:both], rows[:both], label="key events", **ring)
    return _finish_matrix(ax, values.shape, phases, path)


def plot_posterior(
    posterior: ArrayLike,
    *,
    path: ArrayLike | None = None,
    phases: tuple[ArrayLike, ArrayLike] | None = None,
    colorbar: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Posterior of two videos by itself; as a veil over the similarity it is in `plot_similarity`.

    Parameters
    ----------
    posterior : array_like [N, M]
        Probability of a match, pale at 0, dark at 1. The colours follow its square root, so that small
        probabilities show, too, and are the same in every figure.
    path, phases, colorbar
        As in `plot_similarity`.
    ax : Axes, optional
        A new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        Shapes disagree, or the path leaves the matrix.
    """
    mass = as_matrix(posterior, "posterior")
    if ax is None:
        _, ax = plt.subplots(figsize=(6.2, 5.2), layout="constrained")
    image = ax.imshow(mass, cmap=POSTERIOR, norm=PowerNorm(0.5, 0.0, 1.0), aspect="auto")
    if colorbar:
        ticks = [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1]
        _colorbar(ax, image, label="posterior probability of a match", ticks=ticks, format="{x:g}")
    return _finish_matrix(ax, mass.shape, phases, path)
