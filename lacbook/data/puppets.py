"""Puppets, the embedded data set: rendered clips of four actions, with the truth known for every frame."""

from __future__ import annotations

import itertools
import os
import shutil
import uuid
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from lacbook.data.clips import Clip, data_dir
from lacbook.data.puppet_drawing import SIZE
from lacbook.data.puppet_motion import ACTIONS, JOINTS
from lacbook.data.puppet_scene import ClipPlan, joints_in_picture, plan_clip, render_clip
from lacbook.data.video import read_video, read_video_cached, write_video
from lacbook.errors import InputError

SUBJECTS, TAKES = 26, 2
FPS, CRF = 25.0, 22.0
ANNOTATIONS = "annotations.npz"


def _annotate(plans: Sequence[ClipPlan], seed: int) -> dict[str, NDArray]:
    """Flat arrays of annotations.npz: one entry a clip, or one a frame of all clips in turn."""
    columns = ("video_id", "action", "subject", "split")
    return {
        **{column: np.array([getattr(plan, column) for plan in plans]) for column in columns},
        "n_frames": np.array([len(plan.time) for plan in plans], np.int32),
        "body_height": np.array([plan.camera.scale for plan in plans], np.float32),
        "phase": np.concatenate([plan.phase for plan in plans]).astype(np.int8),
        "time": np.concatenate([plan.time for plan in plans]).astype(np.float32),
        "joints": np.round(16 * np.concatenate([joints_in_picture(plan) for plan in plans])).astype(np.int16),
        "joint_names": np.array(JOINTS),
        "seed": np.array(seed),
    }


def render_dataset(
    out: str | Path,
    seed: int = 0,
    *,
    subjects: Iterable[int] = range(SUBJECTS),
    actions: Iterable[str] = tuple(ACTIONS),
    progress: bool = True,
) -> Path:
    """Render the data set: one mp4 a clip and annotations.npz.

    Annotations depend on the arguments alone; frames also on the build of x264.

    Parameters
    ----------
    out : path
        Folder to write. It may be missing, empty, or hold an earlier rendering and nothing else, which is
        replaced once everything is rendered.
    seed : int, default 0
        Seed of the embedded data.
    subjects : iterable of int
        Of 0 to 25.
    actions : iterable of str
        Of `ACTIONS`.
    progress : bool, default True
        Show a progress bar.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        `out` is a file, or holds files that are not a rendering.
    ValueError
        A subject or action is unknown, or none is given.
    """
    out, subjects, actions = Path(out), sorted(set(subjects)), list(actions)
    if not subjects or not set(subjects) <= set(range(SUBJECTS)):
        raise ValueError(f"subjects must be some of 0 to {SUBJECTS - 1}, got {subjects}")
    if not actions or not set(actions) <= set(ACTIONS):
        raise ValueError(f"actions must be some of {list(ACTIONS)}, got {actions}")
    _refuse_foreign(out)
    clips = itertools.product([action for action in ACTIONS if action in actions], subjects, range(TAKES))
    plans = [plan_clip(subject, action, take, seed) for action, subject, take in clips]
    fresh = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
    try:
        fresh.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror})") from error
    try:
        for plan in tqdm(plans, desc="render", unit="clip", disable=not progress):
            write_video(fresh / f"{plan.video_id}.mp4", render_clip(plan), FPS, crf=CRF, preset="veryslow")
        np.savez_compressed(fresh / ANNOTATIONS, **_annotate(plans, seed))  # type: ignore[arg-type]
        if out.exists():
            _refuse_foreign(out)
            shutil.rmtree(out)  # nothing but a rendering
        os.replace(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return out


def _refuse_foreign(out: Path) -> None:
    """Raise unless out is missing, empty or an earlier rendering and nothing else."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, expected a folder to render into")
    present = {path.name for path in out.iterdir()} if out.exists() else set()
    if present:
        own = {ANNOTATIONS}
        if ANNOTATIONS in present:
            own |= {f"{name}.mp4" for name in _read_annotations(out)["video_id"]}
        if foreign := sorted(present - own):
            raise InputError(
                f"{out}: holds {foreign[0]}, expected an empty folder or an earlier rendering of puppets"
            )


def _read_annotations(root: Path) -> dict[str, NDArray]:
    """annotations.npz of a folder."""
    path = root / ANNOTATIONS
    if not root.is_dir():
        raise InputError(f"{root}: no such folder, expected the puppets' mp4 files and {ANNOTATIONS}")
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected the annotations beside the puppets' mp4 files")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        total = int(arrays["n_frames"].sum())
        whole = all(len(arrays[key]) == total for key in ("phase", "time", "joints"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as annotations of puppets ({error})") from error
    if not whole:
        raise InputError(f"{path}: its arrays differ in length, expected {total} frames in each")
    return arrays


def load_puppets(
    root: str | Path | None = None,
    *,
    split: str | None = None,
    action: str | None = None,
    modality: str = "frames",
    size: int = SIZE,
    cache: bool = True,
) -> list[Clip]:
    """Load puppets as clips, in the order of the annotations (action, subject, take).

    Parameters
    ----------
    root : path, optional
        Folder of a rendering; the embedded one by default.
    split : {"train", "test"}, optional
        Only this split. Subjects never appear in both.
    action : {"pour", "squat", "throw", "jumping_jack"}, optional
        Only this action.
    modality : {"frames", "poses"}, default "frames"
        Decoded frames, uint8 [T, size, size, 3], or 17 joints as drawn, float32 [T, 34] (x and y in turn, y
        down, body heights, centred on the pelvis).
    size : int, default 96
        Side in pixels; frames are shrunk with area interpolation when it is below 96. All 208 clips take
        about 450 MB at 96 and 200 MB at 64.
    cache : bool, default True
        Keep decoded frames in `lacbook.data.video.cache_dir`.

    Returns
    -------
    list of Clip

    Raises
    ------
    InputError
        The folder, the annotations or a video is missing or broken, a video's length is not the annotated
        one, or split, action or modality is unknown.
    """
    for name, value, known in (
        ("split", split, ("train", "test", None)),
        ("action", action, (*ACTIONS, None)),
        ("modality", modality, ("frames", "poses")),
    ):
        if value not in known:
            raise InputError(f"{name} must be one of {[k for k in known if k]}, got {value!r}")
    if not 1 <= size <= SIZE:
        raise InputError(f"size must be from 1 to {SIZE} pixels, got {size}")
    root = data_dir() / "puppets" if root is None else Path(root)
    notes = _read_annotations(root)
    ends = np.cumsum(notes["n_frames"])
    chosen = [
        k
        for k in range(len(ends))
        if split in (None, notes["split"][k]) and action in (None, notes["action"][k])
    ]
    clips = []
    # A first decoding of all videos takes some seconds; poses and a few clips are there at once.
    quick = modality == "poses" or len(chosen) < 100
    for k in tqdm(chosen, desc="decode", unit="clip", leave=False, disable=quick):
        end, length = ends[k], notes["n_frames"][k]
        frames = slice(end - length, end)
        phase = notes["phase"][frames].astype(np.int64)
        if modality == "poses":
            joints = notes["joints"][frames].astype(np.float32) / 16 / notes["body_height"][k]
            values = (joints - joints[:, JOINTS.index("pelvis"), None]).reshape(length, -1)
        else:
            path = root / f"{notes['video_id'][k]}.mp4"
            values, _ = (read_video_cached if cache else read_video)(path, size=size)
            if len(values) != length:
                raise InputError(
                    f"{path}: has {len(values)} frames, expected the {length} that are annotated"
                )
        clips.append(
            Clip(
                video_id=str(notes["video_id"][k]),
                action=str(notes["action"][k]),
                subject=str(notes["subject"][k]),
                split=str(notes["split"][k]),
                values=values,
                phase=phase,
                time=notes["time"][frames].astype(np.float64),
                events=np.searchsorted(phase, np.arange(1, phase[-1] + 1)).astype(np.int64),
                fps=FPS,
            )
        )
    return clips
