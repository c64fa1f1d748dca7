"""Many pictures on one page: rows of video frames with captions and coloured borders, and stick figures."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from lacbook.data.puppet_motion import JOINTS

from .style import INK, as_array, as_video

SPACE = 0.06  # between neighbouring pictures, in widths of a picture
LINE = 0.22  # inches of room for a line of text under a picture
# Of `lacbook.data.puppet_motion.JOINTS`: pairs of joints with a bone between them.
PUPPET_EDGES = tuple(
    (JOINTS.index(a), JOINTS.index(b))
    for a, b in (
        *(("head", "neck"), ("neck", "pelvis")),
        *(
            (f"{side}_{a}", f"{side}_{b}")
            for side in "rl"
            for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))
        ),
        *(
            (f"{side}_{a}", f"{side}_{b}")
            for side in "rl"
            for a, b in (("hip", "knee"), ("knee", "ankle"), ("ankle", "toe"))
        ),
        *(("neck", f"{side}_shoulder") for side in "rl"),
        *(("pelvis", f"{side}_hip") for side in "rl"),
    )
)


def plot_frame_grid(
    rows: Sequence[ArrayLike],
    *,
    names: Sequence[str] | None = None,
    captions: Sequence[Sequence[str]] | None = None,
    colors: Sequence[Sequence[str | None]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Rows of video frames, each with a caption below and a border.

    Parameters
    ----------
    rows : sequence of array_like of uint8 [C, H, W, 3]
        One row of pictures each. Rows may have different lengths; all pictures are drawn equally wide.
    names : sequence of str, optional
        What to write to the left of each row.
    captions : sequence of sequence of str, optional
        For each row, what to write under its pictures.
    colors : sequence of sequence of str or None, optional
        For each row, the colours of the borders; none where None.
    ax : Axes, optional
        A new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        There are no rows, a row holds no frames, or names, captions or colors do not fit the rows.
    """
    videos = [as_video(row, f"rows[{r}]") for r, row in enumerate(rows)]
    if not videos:
        raise ValueError("rows must hold at least one row of frames, got none")
    lengths = [len(video) for video in videos]
    if names is not None and len(names) != len(videos):
        raise ValueError(f"names must be {len(videos)}, one a row, got {len(names)}")
    for name, given in (("captions", captions), ("colors", colors)):
        if given is not None and (found := [len(row) for row in given]) != lengths:
            raise ValueError(f"{name} must fit the rows, of lengths {lengths}, got {found}")
    heights = [video.shape[1] / video.shape[2] for video in videos]
    width = max(lengths) * (1 + SPACE) - SPACE
    inches = min(9 / (width + 0.6), 2.0)  # of a picture, in a new figure
    line = LINE / inches if captions is not None else SPACE
    height = sum(heights) + len(videos) * line
    if ax is None:
        _, ax = plt.subplots(figsize=((width + 0.6) * inches, height * inches), layout="constrained")
    ax.set_axis_off()
    top = 0.0
    for r, (video, high) in enumerate(zip(videos, heights, strict=True)):
        for c, frame in enumerate(video):
            left = c * (1 + SPACE)
            ax.imshow(frame, extent=(left, left + 1, top + high, top), interpolation="antialiased")
            if colors is not None and colors[r][c] is not None:
                border = ax.add_patch(Rectangle((left, top), 1, high, fill=False, ec=colors[r][c], lw=6))
                border.set_clip_path(border)  # its inner half only, so that neighbours stay apart
            if captions is not None:
                ax.text(
                    left + 0.5, top + high + 0.03, captions[r][c], ha="center", va="top", fontsize="small"
                )
        if names is not None:
            ax.text(-0.06, top + high / 2, names[r], ha="right", va="center", fontweight="bold")
        top += high + line
    ax.set(xlim=(-0.02, width + 0.02), ylim=(height, -0.02), aspect="equal")
    return ax


def plot_poses(
    poses: ArrayLike,
    *,
    edges: Sequence[tuple[int, int]] = PUPPET_EDGES,
    captions: Sequence[str] | None = None,
    colors: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Stick figures side by side.

    Parameters
    ----------
    poses : array_like [T, J, 2]
        Joints of T poses, x to the right and y down, in any unit, to one scale. NaN is not drawn.
    edges : sequence of (int, int)
        Pairs of joints with a bone between them; of Puppets by default.
    captions : sequence of str, optional
        What to write under each figure.
    colors : sequence of str, optional
        Colour of each figure.
    ax : Axes, optional
        A new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        The poses have another shape or a joint at infinity, or edges, captions or colors do not fit them.
    """
    joints = as_array(poses).astype(float)
    if joints.ndim != 3 or joints.shape[2] != 2 or not joints.size:
        raise ValueError(f"poses must have shape [T, J, 2] with T, J > 0, got {joints.shape}")
    bones = np.array(edges if len(edges) else np.empty((0, 2), int))
    if bones.ndim != 2 or bones.shape[1] != 2 or not np.issubdtype(bones.dtype, np.integer):
        raise ValueError(f"edges must be pairs of joints, whole numbers, got {edges}")
    if bones.size and not 0 <= bones.min() <= bones.max() < joints.shape[1]:
        raise ValueError(
            f"edges must join some of {joints.shape[1]} joints, got {bones.min()} to {bones.max()}"
        )
    if edges is PUPPET_EDGES and joints.shape[1] != len(JOINTS):
        raise ValueError(f"edges: those of Puppets fit {len(JOINTS)} joints, got {joints.shape[1]}")
    for name, given in (("captions", captions), ("colors", colors)):
        if given is not None and len(given) != len(joints):
            raise ValueError(f"{name} must be {len(joints)}, one a pose, got {len(given)}")
    if np.isinf(joints).any() or np.isnan(joints).any(axis=2).all():
        raise ValueError("poses must hold at least one joint that is not NaN, and none at infinity")
    low, high = np.nanmin(joints, axis=(0, 1)), np.nanmax(joints, axis=(0, 1))
    high = np.maximum(high, low + max(0.1 * (high - low).max(), 1e-6))  # of some size, even if all are level
    width, height = 1.1 * max(high[0] - low[0], (high[1] - low[1]) / 3), high[1] - low[1]
    if ax is None:
        inches = min(9 / (len(joints) * width), 2.2 / height)
        size = (len(joints) * width * inches, height * inches + (0.35 if captions is not None else 0.1))
        _, ax = plt.subplots(figsize=size, layout="constrained")
    ax.set_axis_off()
    for t, pose in enumerate(joints):
        shifted = pose - [low[0], 0] + [t * width, 0]
        color = INK if colors is None else colors[t]
        for a, b in bones:
            ax.plot(*shifted[[a, b]].T, color=color, lw=2, solid_capstyle="round")
        ax.plot(*shifted.T, "o", color=color, ms=2.5)
        if captions is not None:
            middle = t * width + (high[0] - low[0]) / 2
            ax.text(middle, high[1] + 0.04 * height, captions[t], ha="center", va="top", fontsize="small")
    below = 0.16 * height if captions is not None else 0.04 * height
    ax.set(xlim=(-0.04 * width, len(joints) * width), ylim=(high[1] + below, low[1] - 0.04 * height))
    ax.set_aspect("equal")
    return ax
