"""Aligned videos as pictures: strips of matched frames, the overview figure, and side-by-side playback."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from .style import ACCENT, INK, MUTED, as_array, as_path, as_rates, as_video, theme
from .tables import plot_similarity

WIDE = 0.92  # of a column of a strip is picture, the rest keeps neighbours apart
GAP = 0.36  # of a column lies below each row of a strip: room for the time and a tick


def _spread(path: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """At most n matches, evenly spread along the path, first and last included."""
    return path[np.linspace(0, len(path) - 1, min(n, len(path))).round().astype(int)]


def plot_matched_frames(
    frames_a: ArrayLike,
    frames_b: ArrayLike,
    path: ArrayLike,
    *,
    n: int = 8,
    fps: float | tuple[float, float] = 25.0,
    ax: Axes | None = None,
) -> Axes:
    """Strip of matched frames, evenly spread along the path: A above, B below, times in seconds under them.

    Parameters
    ----------
    frames_a, frames_b : array_like of uint8 [T, H, W, 3]
        The two videos; their sizes may differ.
    path : array_like of int [L, 2]
        Matches (i, j). An empty path gives an empty strip that says so.
    n : int
        Number of pairs; fewer when the path is shorter.
    fps : float or (float, float)
        Frames per second of both videos, or of each.
    ax : Axes, optional
        A new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        The frames are no videos, n < 1, or the path leaves them.
    """
    a, b = as_video(frames_a, "frames_a"), as_video(frames_b, "frames_b")
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    pairs = as_path(path, len(a), len(b))
    height_a, height_b = (WIDE * video.shape[1] / video.shape[2] for video in (a, b))
    if ax is None:
        _, ax = plt.subplots(
            figsize=(9, 9 / (n + 0.3) * (height_a + height_b + 2 * GAP)), layout="constrained"
        )
    ax.set_axis_off()
    if not len(pairs):
        ax.text(0.5, 0.5, "no frames matched", ha="center", va="center", transform=ax.transAxes)
        return ax
    top = height_b + GAP
    for low, height in ((top, height_a), (0.0, height_b)):  # filled below, as are the times
        ax.imshow([[[255] * 3]], extent=(0, n, low, low + height), interpolation="antialiased")
    for middle in np.arange(min(n, len(pairs))) + 0.5:
        for low in (top, 0.0):
            ax.text(middle, low - 0.03, "", ha="center", va="top", fontsize="small")
        ax.plot([middle, middle], [height_b + 0.02, height_b + 0.12], color=MUTED, lw=1.5)
    show_matched_frames(ax, a, b, pairs, fps=fps)
    for name, low, high in (("A", top, top + height_a), ("B", 0.0, height_b)):
        ax.text(-0.08, (low + high) / 2, name, ha="right", va="center", fontweight="bold")
    ax.set(xlim=(-0.3, n), ylim=(-0.26, top + height_a), aspect="equal")
    return ax


def _row(frames: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Frames beside each other, one in the middle of each column, as one picture; spare columns are white."""
    _, height, width, _ = frames.shape
    left = round(width * (1 / WIDE - 1) / 2)
    row = np.full((columns, height, left + width + left, 3), 255, dtype=np.uint8)
    row[: len(frames), :, left : left + width] = frames
    return np.concatenate(row, axis=1)


def show_matched_frames(
    ax: Axes,
    frames_a: NDArray[np.uint8],
    frames_b: NDArray[np.uint8],
    path: ArrayLike,
    *,
    fps: float | tuple[float, float],
) -> None:
    """Put other matches into a strip that `plot_matched_frames` drew, in its columns, as sliders do."""
    columns = round(ax.images[0].get_extent()[1])
    shown = _spread(as_path(path, len(frames_a), len(frames_b)), columns)
    for side, (video, rate) in enumerate(zip((frames_a, frames_b), as_rates(fps), strict=True)):
        ax.images[side].set_data(_row(video[shown[:, side]], columns))
        for column, time in enumerate(ax.texts[side : 2 * len(ax.lines) : 2]):
            time.set_text(f"{shown[column, side] / rate:.2f} s" if column < len(shown) else "")
    for column, tick in enumerate(ax.lines):
        tick.set_visible(column < len(shown))


def _badge(ax: Axes, x: float, y: float, number: int) -> None:
    """Number in a white circle."""
    ax.plot(x, y, "o", ms=11, mfc="white", mec=INK, zorder=6)
    ax.text(x, y, str(number), ha="center", va="center", fontsize=7.5, zorder=7)


def _film(
    ax: Axes, frames: NDArray[np.uint8], inches: tuple[float, float], span: tuple[float, float]
) -> None:
    """Thumbnails at evenly spaced frames along the long side of `ax`; `span`: the limits of that side."""
    upright = inches[0] < inches[1]
    across, along = min(inches), max(inches)
    aspect = frames.shape[2] / frames.shape[1]
    size = across / aspect if upright else across * aspect  # of one thumbnail, along the strip
    n = max(1, int(along / size))
    half = size / along * abs(span[1] - span[0]) / 2
    for middle in (np.arange(n) + 0.5) / n * len(frames) - 0.5:
        low, high = middle - half, middle + half
        extent = (0, 1, high, low) if upright else (low, high, 0, 1)
        ax.imshow(frames[round(middle)], extent=extent, aspect="auto", interpolation="antialiased")
    ax.set(xlim=(0, 1), ylim=span) if upright else ax.set(xlim=span, ylim=(0, 1))
    ax.tick_params(length=3)
    ax.spines[:].set_visible(False)


def plot_alignment(
    frames_a: ArrayLike,
    frames_b: ArrayLike,
    similarity: ArrayLike,
    path: ArrayLike,
    *,
    posterior: ArrayLike | None = None,
    phases: tuple[ArrayLike, ArrayLike] | None = None,
    fps: float | tuple[float, float] = 25.0,
    title: str | None = None,
) -> Figure:
    """The whole alignment of two videos in one figure, 900 pixels wide.

    The similarity with posterior and path, thumbnails of A on its left and of B on top, and below the matched
    frames at the numbered places of the path.

    Parameters
    ----------
    frames_a, frames_b : array_like of uint8 [N, H, W, 3] and [M, H, W, 3]
        The two videos.
    similarity, path, posterior, phases
        As in `plot_similarity`.
    fps : float or (float, float)
        Frames per second of both videos, or of each.
    title : str, optional
        Printed on top.

    Returns
    -------
    Figure
        Made by pyplot: close it with ``plt.close(figure)`` in scripts that draw many.

    Raises
    ------
    ValueError
        Shapes of videos, similarity and path disagree.
    """
    a, b = as_video(frames_a, "frames_a"), as_video(frames_b, "frames_b")
    values = as_array(similarity)
    if values.shape != (len(a), len(b)):
        raise ValueError(f"similarity has shape {values.shape}, the videos {len(a)} and {len(b)} frames")
    pairs = _spread(as_path(path, *values.shape), 8)
    film, width, main_left = 0.85, 6.35, 1.55
    main = float(np.clip(width * len(a) / len(b), 3.0, width))  # square cells unless the lengths differ a lot
    strip = 8.4 / 8.3 * (WIDE * (a.shape[1] / a.shape[2] + b.shape[1] / b.shape[2]) + 2 * GAP)
    head = 0.9 if title else 0.62  # inches above the film: times, axis label, title
    height = strip + 0.65 + main + film + head
    with theme():
        fig = plt.figure(figsize=(9, height))

        def place(left: float, bottom: float, wide: float, high: float) -> Axes:
            """Axes at a position in inches."""
            return fig.add_axes((left / 9, bottom / height, wide / 9, high / height))

        bottom = strip + 0.6
        ax = place(main_left, bottom, width, main)
        plot_similarity(values, posterior=posterior, path=path, phases=phases, ax=ax)
        ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
        for number, (i, j) in enumerate(pairs, 1):
            _badge(ax, j, i, number)
        side, above = (
            place(main_left - film, bottom, film, main),
            place(main_left, bottom + main, width, film),
        )
        _film(side, a, (film, main), ax.get_ylim())
        _film(above, b, (width, film), ax.get_xlim())
        side.set(xticks=[], ylabel="video A, time (s)")
        above.set(yticks=[], xlabel="video B, time (s)")
        above.xaxis.tick_top()
        above.xaxis.set_label_position("top")
        for axis, frames, rate in zip(
            (side.yaxis, above.xaxis), (len(a), len(b)), as_rates(fps), strict=True
        ):
            seconds = next(
                s for s in (0.5, 1, 2, 5, 10, 30, 60, 300, 3600) if frames / rate / s <= 8 or s == 3600
            )
            axis.set_major_locator(MultipleLocator(seconds * rate))
            axis.set_major_formatter(FuncFormatter(lambda frame, _, rate=rate: f"{frame / rate:g}"))
        handles: list[Line2D | Patch] = [*ax.get_lines()[:1]]
        labels = ["best path (numbers: frames below)"]
        if posterior is not None:
            handles.append(Patch(color=INK, alpha=0.8))
            labels.append("posterior probability of a match")
        legend: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.01), "borderaxespad": 0.3}
        ax.legend(handles, labels, ncols=2, fontsize="small", **legend)
        below = plot_matched_frames(a, b, path, fps=fps, ax=place(0.3, 0.1, 8.4, strip))
        for number in range(1, len(pairs) + 1):
            _badge(below, number - 0.85, below.get_ylim()[1] - 0.12, number)
        if title:
            fig.suptitle(title, x=main_left / 9, y=1 - 0.12 / height, ha="left", va="top", fontweight="bold")
    return fig


def playback(path: ArrayLike, n: int, m: int, *, hold: bool = True) -> NDArray[np.int64]:
    """Frames shown together, in order: rows (i, j, 1 if matched else 0), [T', 3]; n and m are the lengths."""
    pairs = as_path(path, n, m).tolist()
    if not hold:
        return np.array([(i, j, 1) for i, j in pairs], dtype=np.int64).reshape(-1, 3)
    i, j = pairs[0] if pairs else (n, m)
    lead = max(i, j)  # the shorter lead waits on its first frame, so that both reach the path together
    start = [(max(0, i - k), max(0, j - k), 0) for k in range(lead, 0, -1)] if pairs else []
    shown: list[tuple[int, int, int]] = start
    i, j = -1, -1
    for p, r in pairs:
        if i >= 0:
            shown += [(i, skipped, 0) for skipped in range(j + 1, r)]
            shown += [(skipped, max(j, r - 1), 0) for skipped in range(i + 1, p)]
        shown.append((p, r, 1))
        i, j = p, r
    tail = max(n - 1 - i, m - 1 - j)
    shown += [(min(i + k, n - 1), min(j + k, m - 1), 0) for k in range(1, tail + 1)]
    return np.array(shown, dtype=np.int64)


def _scaled(frames: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """Frames of another height and the same aspect: area average downwards, nearest neighbour upwards."""
    if frames.shape[1] == height:
        return frames
    size = (max(1, round(frames.shape[2] * height / frames.shape[1])), height)
    method = Image.Resampling.BOX if height < frames.shape[1] else Image.Resampling.NEAREST
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, method)) for frame in frames])


def side_by_side(
    frames_a: ArrayLike, frames_b: ArrayLike, path: ArrayLike, *, hold: bool = True, height: int | None = None
) -> NDArray[np.uint8]:
    """Video in which matched frames of A (left) and B (right) play together.

    Before and after the path both play; the shorter lead or tail waits. Along the path matched pairs play
    together and the seam between them lights up; a skipped frame plays while the other side stands still. The
    bar under each picture shows which of its frames are matched (blue) and which one is on.

    Parameters
    ----------
    frames_a, frames_b : array_like of uint8 [T, H, W, 3]
        The two videos; their sizes may differ.
    path : array_like of int [L, 2]
        Matches (i, j); when empty, both videos simply play.
    hold : bool
        False plays the matched pairs only; then an empty path is an error.
    height : int, optional
        Height of the pictures in pixels, the larger of the two by default.

    Returns
    -------
    ndarray of uint8 [T', H', W', 3]
        H' and W' are even, as video encoders want them. All of it is held in memory, 3 T' H' W' bytes.

    Raises
    ------
    ValueError
        The frames are no videos, the path leaves them, or nothing is left to show.
    """
    a, b = as_video(frames_a, "frames_a"), as_video(frames_b, "frames_b")
    if height is not None and (height < 1 or height != int(height)):
        raise ValueError(f"height must be a whole number of pixels above 0, got {height}")
    order = playback(path, len(a), len(b), hold=hold)
    if not len(order):
        raise ValueError("path is empty: with hold=False there is nothing to show")
    pictures = height or max(a.shape[1], b.shape[1])
    bar, gap = max(4, pictures // 20), max(4, pictures // 24)
    lit, unlit, head = (np.array([round(255 * c) for c in to_rgb(name)]) for name in (ACCENT, "0.8", INK))
    halves = []
    for side, frames in enumerate((a, b)):
        moving = _scaled(frames, pictures)[order[:, side]]
        wide = moving.shape[2]
        matched = np.zeros(len(frames), dtype=bool)
        matched[order[order[:, 2] == 1, side]] = True
        line = np.where(matched[np.arange(wide) * len(frames) // wide, None], lit, unlit)  # [W, 3]
        bars = np.tile(line, (len(order), bar, 1, 1)).astype(np.uint8)
        now = (order[:, side] * (wide - 2)) // max(1, len(frames) - 1)  # left pixel of the play head, 2 wide
        for pixel in (now, np.minimum(now + 1, wide - 1)):
            bars[np.arange(len(order)), :, pixel] = head
        space = np.full((len(order), 2, wide, 3), 255, dtype=np.uint8)
        halves.append(np.concatenate([moving, space, bars], axis=1))
    seam = np.full((len(order), halves[0].shape[1], gap, 3), 255, dtype=np.uint8)
    seam[order[:, 2] == 1, :pictures] = lit
    video = np.concatenate([halves[0], seam, halves[1]], axis=2)
    odd_rows, odd_cols = video.shape[1] % 2, video.shape[2] % 2
    return np.pad(video, ((0, 0), (0, odd_rows), (0, odd_cols), (0, 0)), mode="edge")
