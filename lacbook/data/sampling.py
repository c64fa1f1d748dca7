"""Pairs of views: which frames of which videos each view shows.

Two views of one video (after CARL, corrected; see `two_views`) are what SCL, LAC and TCN learn from. TCC, LAV
and GTA align different videos of the same action, so their pairs use the action labels: weak supervision.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lacbook.data.clips import Clip
from lacbook.errors import InputError
from lacbook.padding import pad

SHORTEST_CLIP = 2  # an alignment needs a step in time
PAIRS = ("two_views", "same_action")


def two_views(
    length: int, view_length: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frame indices of two views of a clip.

    Each view takes n = min(view_length, floor(length / 1.25)) sorted frames at random out of a random block
    of min(length, ceil(r n)) frames, r ~ U(1, 1.5); the second block shares at least half of the longer block
    with the first. The released loaders of CARL and LAC use ceil(r * length), which always starts at frame 0
    and leaves about a fifth of the frames past the end.

    Parameters
    ----------
    length : int
        Frames in the clip, at least 2.
    view_length : int
        Frames wanted in a view.
    rng : numpy.random.Generator

    Returns
    -------
    tuple of two int64 arrays [n]
        Strictly increasing.

    Raises
    ------
    InputError
        The clip has fewer than 2 frames.
    """
    if length < SHORTEST_CLIP:
        raise InputError(
            f"a clip of {length} frame(s) has no two views; expected at least {SHORTEST_CLIP} frames"
        )
    n = _frames_in_view(length, view_length)
    blocks = [min(length, math.ceil(r * n)) for r in rng.uniform(1, 1.5, size=2)]
    first = rng.integers(0, length - blocks[0] + 1)
    offsets = np.arange(length - blocks[1] + 1)
    shared = np.minimum(first + blocks[0], offsets + blocks[1]) - np.maximum(first, offsets)
    second = rng.choice(offsets[2 * shared >= max(blocks)])
    u, v = (
        np.sort(offset + rng.choice(block, size=n, replace=False))
        for offset, block in zip((first, second), blocks, strict=True)
    )
    return u, v


def whole_view(length: int, view_length: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Frame indices of a view from anywhere in a clip, as many as in `two_views`, strictly increasing.

    For losses that align whole videos with each other, as they are published.
    """
    return np.sort(rng.choice(length, size=_frames_in_view(length, view_length), replace=False))


def _frames_in_view(length: int, view_length: int) -> int:
    """How many frames a view of a clip shows."""
    return max(1, min(view_length, math.floor(length / 1.25)))


class TwoViews(Dataset):
    """Pairs of views of training clips, drawn from (seed, epoch, clip) alone, so that runs resume exactly.

    Each pair is up to `view_length` frames long, at least half of that (ours). Long views alone show both the
    same surroundings, and an encoder that leans on those misplaces the moments of other clips; short views
    alone cannot tell before the action from after it.

    Parameters
    ----------
    clips : list of Clip
    view_length : int
        Most frames in a view.
    seed : int
    pairs : {"two_views", "same_action"}
        Both views from one clip (`two_views`), or the second from another clip of the same action at random
        (`whole_view` of each).

    Raises
    ------
    InputError
        With ``same_action``, an action has only one clip.
    """

    def __init__(self, clips: list[Clip], view_length: int, seed: int, pairs: str = "two_views") -> None:
        if pairs not in PAIRS:
            raise ValueError(f"pairs: {pairs!r} is unknown; choose from {', '.join(PAIRS)}")
        self.clips, self.view_length, self.seed, self.epoch, self.pairs = clips, view_length, seed, 0, pairs
        self.partners = [
            [k for k, other in enumerate(clips) if other.action == clip.action] for clip in clips
        ]
        if pairs == "same_action":
            for clip, same in zip(clips, self.partners, strict=True):
                if len(same) < 2:
                    raise InputError(
                        f"data: {clip.action} has one training clip; pairs of its clips need two or more"
                    )

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> list[tuple[NDArray, NDArray]]:
        clip = self.clips[index]
        rng = np.random.default_rng([self.seed, self.epoch, index])
        view_length = max(1, round(self.view_length * rng.uniform(0.5, 1)))
        if self.pairs == "two_views":
            return [(clip.values[steps], steps) for steps in two_views(len(clip), view_length, rng)]
        partner = self.clips[rng.choice([k for k in self.partners[index] if k != index])]
        views = [(c, whole_view(len(c), view_length, rng)) for c in (clip, partner)]
        return [(c.values[steps], steps) for c, steps in views]


def collate(items: list[list[tuple[NDArray, NDArray]]]) -> tuple[Tensor, Tensor, Tensor]:
    """Pad B pairs of views into views [2B, T, ...] (channels first), steps [2B, T] and lengths [2B]."""
    pairs = [item[k] for k in range(2) for item in items]
    views, lengths = pad([values for values, _ in pairs])
    steps, _ = pad([steps for _, steps in pairs])
    return (views.permute(0, 1, 4, 2, 3) if views.ndim == 5 else views), steps, lengths
