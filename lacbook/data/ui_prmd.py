"""UI-PRMD: ten physical-therapy exercises as motion capture.

Vakanski et al. 2018, doi 10.3390/data3010002, PDDL 1.0.

Reads the packed form, two files whose repetitions come in the same order:

- ``vicon_17markers_25hz.npz``: ``positions_mm`` [frames, 17, 3], whole millimetres x, y, z (z up), 25 Hz, one
  repetition after another, a marker that the cameras lost being (0, 0, 0); ``n_frames``, ``movement``,
  ``subject``, ``repetition`` of each (numbers from 1); ``marker_names``, ``movement_names``.
- ``phases.csv``: ``movement``, ``subject``, ``repetition``, ``valid`` (1 where all five events were found)
  and ``event_1`` to ``event_5``, frames counted from 0 within the repetition: the progress of the movement
  (for a squat how far the pelvis sank) rises through 10 and 50 %, peaks, falls through 50 and 10 %.
"""

from __future__ import annotations

import csv
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lacbook.data.clips import Clip
from lacbook.errors import InputError

POSITIONS_FILE = "vicon_17markers_25hz.npz"
PHASES_FILE = "phases.csv"
TEST_SUBJECTS = (8, 9, 10)
# A marker that the cameras never saw in a repetition is replaced by its nearest neighbour on the body.
SUBSTITUTES = {"LASI": "RASI", "RASI": "LASI", "LTOE": "LANK", "RTOE": "RANK", "CLAV": "C7", "C7": "CLAV"}


def load_ui_prmd(
    root: Path | str,
    *,
    movement: str | None = None,
    idle: int = 60,
    seed: int = 99,
    test_subjects: tuple[int, ...] = TEST_SUBJECTS,
) -> list[Clip]:
    """Read the valid repetitions of one movement, or of all ten.

    Parameters
    ----------
    root : Path
        Folder that holds the two packed files.
    movement : str, optional
        Name such as ``"deep_squat"``; all movements when left out.
    idle : int, default 60
        Each clip gets a head and a tail of 0 to `idle` frames (uniform, seeded) that repeat its first and
        last pose and keep its first and last phase, 0 and 5. Trimmed clips make counting look like
        understanding.
    seed : int, default 99
        Of the idle lengths.
    test_subjects : tuple of int, default (8, 9, 10)
        Everybody else trains.

    Returns
    -------
    list of Clip
        Poses float32 [T, 51]: 17 markers in metres, relative to the pelvis of the clip's first frame.
        Canonical time is piecewise linear between the five events, 0 at the first and 1 at the last (ours).

    Raises
    ------
    InputError
        A file is missing or not in the packed form, or `movement` is unknown.
    """
    root = Path(root)
    packed, names, movement_names = _read_positions(root / POSITIONS_FILE)
    keys, rows = _read_events(root / PHASES_FILE)
    if keys != packed[0]:
        raise InputError(
            f"root: the {len(keys)} rows of {root / PHASES_FILE} are not the {len(packed[0])} repetitions of"
            f" {POSITIONS_FILE}, in the same order"
        )
    if movement is not None and movement not in movement_names:
        raise InputError(f"movement: {movement!r} is not in {root}; choose from {', '.join(movement_names)}")
    rng = np.random.default_rng(seed)
    clips = []
    for (m, s, e), positions, events in zip(*packed, rows, strict=True):
        # Drawn for every row, so that a choice of movement changes none.
        head, tail = rng.integers(0, idle + 1, size=2)
        if events is None or (movement is not None and movement_names[m - 1] != movement):
            continue
        poses = _relative_to_pelvis(_fill_lost(positions, names), names)
        poses = np.concatenate([poses[:1].repeat(head, 0), poses, poses[-1:].repeat(tail, 0)])
        events = events + head
        frame = np.arange(len(poses))
        time = np.interp(frame, events, np.linspace(0, 1, len(events)))
        time[(frame < events[0]) | (frame >= events[-1])] = np.nan
        clips.append(
            Clip(
                video_id=f"m{m:02d}_s{s:02d}_e{e:02d}",
                action=movement_names[m - 1],
                subject=f"s{s:02d}",
                split="test" if s in test_subjects else "train",
                values=poses.reshape(len(poses), -1).astype(np.float32),
                phase=np.searchsorted(events, frame, side="right").astype(np.int64),
                time=time,
                events=events,
            )
        )
    return clips


def _read_positions(
    path: Path,
) -> tuple[tuple[list[tuple[int, int, int]], list[NDArray]], list[str], list[str]]:
    """((keys, positions in millimetres [T, 17, 3]) of every repetition, marker names, movement names)."""
    if not path.is_file():
        raise InputError(
            f"root: {path} is missing; expected the packed UI-PRMD files {POSITIONS_FILE} and {PHASES_FILE}"
        )
    try:
        with np.load(path, allow_pickle=False) as packed:
            positions = np.split(
                packed["positions_mm"].astype(np.float64), np.cumsum(packed["n_frames"])[:-1]
            )
            columns = (packed[name].tolist() for name in ("movement", "subject", "repetition"))
            keys = list(zip(*columns, strict=True))
            return (keys, positions), packed["marker_names"].tolist(), packed["movement_names"].tolist()
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"root: {path} is not in the packed UI-PRMD form ({error})") from error


def _read_events(path: Path) -> tuple[list[tuple[int, int, int]], list[NDArray[np.int64] | None]]:
    """(keys, the five events of every repetition, None where the rule found fewer)."""
    if not path.is_file():
        raise InputError(
            f"root: {path} is missing; expected the packed UI-PRMD files {POSITIONS_FILE} and {PHASES_FILE}"
        )
    with path.open(newline="") as file:
        try:
            rows = list(csv.DictReader(file))
            keys = [(int(row["movement"]), int(row["subject"]), int(row["repetition"])) for row in rows]
            return keys, [
                np.array([int(row[f"event_{k}"]) for k in range(1, 6)]) if row["valid"] == "1" else None
                for row in rows
            ]
        except (KeyError, ValueError, TypeError, csv.Error) as error:
            raise InputError(f"root: {path} is not a table of UI-PRMD phases ({error})") from error


def _fill_lost(positions: NDArray, names: list[str]) -> NDArray:
    """Markers at (0, 0, 0) interpolated over time, or taken from a neighbour when never seen; [T, 17, 3]."""
    filled = positions.copy()
    seen = (positions != 0).any(axis=2)
    frame = np.arange(len(positions))
    for k in np.flatnonzero(~seen.all(axis=0) & seen.any(axis=0)):
        for axis in range(3):
            filled[:, k, axis] = np.interp(frame, frame[seen[:, k]], positions[seen[:, k], k, axis])
    for k in np.flatnonzero(~seen.any(axis=0)):
        substitute = SUBSTITUTES.get(names[k])
        if substitute is None or not seen[:, names.index(substitute)].any():
            raise InputError(f"root: a repetition without marker {names[k]}, and nothing to put in its place")
        filled[:, k] = filled[:, names.index(substitute)]
    return filled


def _relative_to_pelvis(positions: NDArray, names: list[str]) -> NDArray:
    """Metres from the pelvis (the mean of LASI and RASI) of the first frame; [T, 17, 3]."""
    pelvis = positions[0, [names.index("LASI"), names.index("RASI")]].mean(axis=0)
    return (positions - pelvis) / 1000.0
