"""The one look of all figures: a theme, and colours that colour-blind readers can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from cycler import cycler
from matplotlib.colors import Colormap, TwoSlopeNorm
from numpy.typing import ArrayLike, NDArray

INK = "#222222"  # text, the posterior, outlines
ACCENT = "#0173b2"  # LAC, and whatever is matched
PATH = "#ffe45c"  # the hard path: light, so that it shows on the similarity and on the dark posterior
MUTED = "#8c8c8c"  # controls, frames that are not matched
EMPTY = "#e4e4e4"  # cells that can never be matched (-inf)
POSTERIOR: Colormap = sns.color_palette("rocket_r", as_cmap=True)  # of a match, where it is drawn by itself


def _settings() -> dict[Any, Any]:
    """Matplotlib settings of the theme."""
    extra = {
        "figure.dpi": 100,
        "savefig.dpi": 100,
        "axes.prop_cycle": cycler(color=sns.color_palette("colorblind").as_hex()),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titleweight": "bold",
        "axes.titlesize": 11,
        "legend.frameon": False,
    }
    return sns.axes_style("ticks") | sns.plotting_context("notebook", font_scale=0.85) | extra


def use_theme(*, photos: bool = False) -> None:
    """Give every later figure the look of the course. Call it once, on top of a notebook.

    Parameters
    ----------
    photos : bool, default False
        Keep the notebook's figures as JPEG: those full of video frames take far fewer bytes.

    Raises
    ------
    ModuleNotFoundError
        `photos` is asked for where Jupyter is not installed.
    """
    mpl.rcParams.update(_settings())
    if photos:
        from matplotlib_inline.backend_inline import set_matplotlib_formats  # not there without Jupyter

        set_matplotlib_formats("jpeg", pil_kwargs={"quality": 50, "optimize": True})


def theme() -> AbstractContextManager[None]:
    """The look of the course inside a with block, for functions that make their own figure."""
    return mpl.rc_context(_settings())


def phase_colors(K: int) -> NDArray[np.float64]:
    """Colours of phases 0 to K-1, RGB in [0, 1], [K, 3].

    Phases 0 and K-1, before and after the action, are grey. An inner phase has the same colour whatever K
    is, up to nine of them; more are spread over a sequential colour map. K < 1 is a ValueError.
    """
    if K < 1:
        raise ValueError(f"K must be at least 1, got {K}")
    colourful = [c for c in sns.color_palette("colorblind") if np.ptp(c) > 0.05]  # without its grey
    inner = colourful[: K - 2] if len(colourful) >= K - 2 else sns.color_palette("viridis", K - 2)
    return np.array([(0.87,) * 3, *inner[: max(K - 2, 0)], (0.66,) * 3][:K])


def similarity_colors(
    similarity: NDArray, limits: tuple[float, float] | None = None
) -> tuple[Colormap, TwoSlopeNorm]:
    """Diverging colours with 0 (unrelated) in the middle: blue below, red above, grey where not finite."""
    finite = similarity[np.isfinite(similarity)] if limits is None else np.array(limits, dtype=float)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if limits is not None and not (finite[0] == low < high == finite[1] < np.inf and -np.inf < low):
        raise ValueError(f"limits must be two numbers, the smaller first, got {limits}")
    low, high = min(low, -high / 3), max(high, -low / 3)  # so that tiny values of one sign stay pale
    cmap = sns.color_palette("vlag", as_cmap=True).with_extremes(bad=EMPTY)
    return cmap, TwoSlopeNorm(0.0, min(low, -1e-9), max(high, 1e-9))


def as_array(values: ArrayLike) -> NDArray:
    """NumPy array of an array-like or of a tensor, with or without gradient, on any device."""
    if not hasattr(values, "detach"):
        return np.asarray(values)
    tensor = values.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()  # NumPy lacks it


def as_matrix(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Floats [N, M] with at least one row and column."""
    matrix = as_array(values).astype(float)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"{name} must have shape [N, M] with N, M > 0, got {matrix.shape}")
    return matrix


def as_video(frames: ArrayLike, name: str) -> NDArray[np.uint8]:
    """Frames of a video, uint8 [T, H, W, 3], none of them 0."""
    video = as_array(frames)
    if video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8 or not video.size:
        raise ValueError(
            f"{name} must be uint8 [T, H, W, 3] with T, H, W > 0, got {video.dtype} {video.shape}"
        )
    return video


def as_rates(fps: float | Sequence[float]) -> tuple[float, float]:
    """Frames per second of A and of B."""
    rates = np.ravel(fps).astype(float).tolist()
    if len(rates) not in (1, 2) or not all(0 < rate < np.inf for rate in rates):
        raise ValueError(f"fps must be one or two numbers above 0, got {fps}")
    return rates[0], rates[-1]


def as_path(path: ArrayLike, rows: int, cols: int) -> NDArray[np.int64]:
    """Matches (i, j) as integers, [L, 2]; refuses what leaves the table or runs backwards."""
    found = as_array(path)
    if found.size and (found.ndim != 2 or found.shape[1] != 2 or not np.all(found == np.round(found))):
        raise ValueError(
            f"path must hold whole numbers (i, j), shape [L, 2], got {found.dtype} {found.shape}"
        )
    matches = found.astype(np.int64).reshape(-1, 2)
    if len(matches) and (matches.min() < 0 or np.any(matches.max(axis=0) >= (rows, cols))):
        raise ValueError(f"path leaves the {rows} x {cols} table: {matches.min(0)} to {matches.max(0)}")
    if np.any(np.diff(matches, axis=0) < 0):
        raise ValueError("path must not run backwards: i and j of its matches have to rise")
    return matches
