"""What the notebooks of the course share: the running example, and the cell that checks an exercise."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lacbook.data.clips import Clip
from lacbook.data.puppets import load_puppets


def squat_pair(step: int = 6) -> tuple[Clip, Clip, NDArray[np.float64]]:
    """The running example of notebooks 01 to 03: two puppets squat, one late in its clip, one early.

    Parameters
    ----------
    step : int, default 6
        Keep every step-th frame, from the third on; 1 gives the full frame rate.

    Returns
    -------
    a, b : Clip
        The two clips, with frames as values: N and M of them.
    similarity : ndarray [N, M]
        How alike two poses are: 3 minus the mean distance of their joints in fiftieths of a body height, no
        lower than -3. Notebook 01, section 1.

    Raises
    ------
    ValueError
        step is below 1.
    """
    if step < 1:
        raise ValueError(f"step must be at least 1, got {step}")
    kept = {}
    for modality in ("frames", "poses"):
        clips = load_puppets(action="squat", modality=modality, split="test")
        by_name = {clip.video_id: clip for clip in clips}
        kept[modality] = [_every(by_name[name], step) for name in ("squat_s22_1", "squat_s24_1")]
    x, y = (clip.values.reshape(len(clip), -1, 2).astype(float) for clip in kept["poses"])
    distance = np.linalg.norm(x[:, None] - y[None], axis=-1).mean(axis=-1)
    a, b = kept["frames"]
    return a, b, np.maximum(3 - 50 * distance, -3)


def _every(clip: Clip, step: int) -> Clip:
    """Every step-th frame of a clip, from the third on."""
    kept = slice(2, None, step)
    phase = clip.phase[kept]
    return replace(
        clip,
        values=clip.values[kept],
        phase=phase,
        time=clip.time[kept],
        events=np.searchsorted(phase, np.arange(1, phase[-1] + 1)).astype(np.int64),
        fps=clip.fps / step,
    )


def check(answer: Any, right: Callable[[Any], object]) -> None:
    """Print whether an exercise is solved; an unsolved one does not stop the notebook.

    Parameters
    ----------
    answer : object
        What the reader found; None is an exercise that nobody has tried.
    right : callable
        Takes the answer and says whether it is right. An exception means that it is not.

    Raises
    ------
    AssertionError
        The answer is not right and the environment variable ``LACBOOK_STRICT`` is 1, as in the tests.
    """
    reason = ""
    try:
        solved = answer is not None and bool(right(answer))
        if answer is not None:
            reason = ": this answer is not right"
    except Exception as error:  # an answer of the wrong kind is a wrong answer
        solved, reason = False, f": {type(error).__name__}: {error}"
    if not solved and os.environ.get("LACBOOK_STRICT") == "1":
        raise AssertionError(f"not solved yet{reason}")
    print("solved" if solved else f"not solved yet{reason}")
