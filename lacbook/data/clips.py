"""The one record that every data set yields: a clip with its frames or poses and what is known of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Clip:
    """One annotated clip of T frames.

    Parameters
    ----------
    video_id : str
        Unique within its data set.
    action, subject : str
        What is done, and by whom.
    split : str
        ``"train"`` or ``"test"``; subjects never appear in both.
    values : ndarray
        Frames, uint8 [T, H, W, 3], or poses, float32 [T, P] (metres or body heights, centred).
    phase : ndarray of int64 [T]
        0 before the action, K-1 after it, 1 to K-2 inside it; -1 where there is no label.
    time : ndarray of float64 [T]
        Canonical time u in [0, 1]: frames of two clips of an action with equal u show the same moment of it.
        NaN outside the action.
    events : ndarray of int64 [K-1]
        First frame of each phase after phase 0.
    fps : float
        Frames per second.
    """

    video_id: str
    action: str
    subject: str
    split: str
    values: NDArray
    phase: NDArray[np.int64]
    time: NDArray[np.float64]
    events: NDArray[np.int64]
    fps: float = 25.0

    def __len__(self) -> int:
        return len(self.values)

    @property
    def active(self) -> NDArray[np.bool_]:
        """True for frames inside the action, [T]."""
        return ~np.isnan(self.time)


def data_dir() -> Path:
    """Folder with the embedded data: ``$LACBOOK_DATA``, the checkout's ``data/``, or the installed copy.

    Returns
    -------
    Path
    """
    if chosen := os.environ.get("LACBOOK_DATA"):
        return Path(chosen)
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "data"
    return checkout if (checkout / "puppets").is_dir() else package / "_data"
