"""Two videos, or two clips, aligned with a trained encoder: what `lacbook align` and the demo write."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lacbook.alignment import smith_waterman, soft_smith_waterman
from lacbook.data.clips import data_dir
from lacbook.data.sampling import SHORTEST_CLIP
from lacbook.data.video import read_video, write_video
from lacbook.errors import InputError
from lacbook.files import whole_file
from lacbook.losses.lac import LACLoss
from lacbook.similarity import cosine
from lacbook.train import Learner, TrainConfig

SHOWN_SIZE = 192  # shorter side, in pixels, of the frames in figures and videos


@dataclass(frozen=True)
class VideoAlignment:
    """The local alignment of two videos.

    Parameters
    ----------
    similarity, posterior : ndarray [N, M]
    path : list of (i, j)
        Matched frames of the best alignment; empty where nothing is alike.
    segments : list of (i0, i1, j0, j1, score)
        Half-open stretches of frames, best first.
    score : float
        Hard Smith-Waterman score, in units of similarity.
    """

    similarity: NDArray[np.floating]
    posterior: NDArray[np.floating]
    path: list[tuple[int, int]]
    segments: list[tuple[int, int, int, int, float]]
    score: float


def committed_checkpoint() -> Path:
    """The small LAC run on Puppets that comes with lacbook."""
    return data_dir() / "checkpoints" / "puppets_lac"


@torch.no_grad()
def align_embeddings(
    z_a: NDArray,
    z_b: NDArray,
    learner: Learner,
    config: TrainConfig,
    *,
    margin: float | None = None,
    gap_open: float | None = None,
    gap_extend: float | None = None,
) -> VideoAlignment:
    """Align two sequences of embeddings.

    Parameters
    ----------
    z_a, z_b : ndarray [N, E] and [M, E]
    learner : Learner
        Supplies margin and gap penalties as LAC learned them. Content penalties are worked out from these
        embeddings. Matrix penalties go by the position in a sampled view, which means nothing in a whole
        video, so the mean of each matrix is used.
    config : TrainConfig
        Supplies the temperature of the posterior, and margin and penalties where the loss learned none.
    margin, gap_open, gap_extend : float, optional
        Used instead.

    Returns
    -------
    VideoAlignment
        Holds N x M numbers twice.

    Raises
    ------
    InputError
        `margin` or a penalty is not finite.
    """
    x, y = torch.from_numpy(z_a), torch.from_numpy(z_b)
    learned: tuple[float | Tensor, ...] = (config.margin, config.gap_open, config.gap_extend)
    if isinstance(learner.loss, LACLoss):
        learned = (learner.loss.margin, *learner.loss.penalties.of_videos(x.float(), y.float()))
    given = (margin, gap_open, gap_extend)
    used = [at if own is None else own for at, own in zip(learned, given, strict=True)]
    for name, value in zip(("margin", "gap_open", "gap_extend"), used, strict=True):
        values = torch.as_tensor(value)
        wrong = values[~torch.isfinite(values)]
        if len(wrong):
            raise InputError(f"{name}: expected a finite number, found {wrong[0].item()}")
    similarity = cosine(x, y, used[0])
    hard = smith_waterman(similarity, used[1], used[2])
    soft = soft_smith_waterman(similarity, used[1], used[2], temperature=config.temperature)
    return VideoAlignment(
        similarity.numpy(), soft.posterior.numpy(), hard.path(), hard.segments(), float(hard.score)
    )


def align_videos(
    a: Path,
    b: Path,
    learner: Learner,
    config: TrainConfig,
    *,
    margin: float | None = None,
    gap_open: float | None = None,
    gap_extend: float | None = None,
) -> tuple[VideoAlignment, list[NDArray[np.uint8]], list[float]]:
    """Decode, embed and align two video files.

    Parameters
    ----------
    a, b : Path
        Videos of at least 2 frames.
    learner, config
        A run that reads frames, from `lacbook.train.load_run`.
    margin, gap_open, gap_extend : float, optional
        See `align_embeddings`.

    Returns
    -------
    alignment : VideoAlignment
    frames : list of two uint8 arrays [T, H, W, 3]
        To show, at most 192 pixels on the shorter side.
    fps : list of two floats

    Raises
    ------
    InputError
        A video is missing, broken or shorter than 2 frames, or the run reads poses.
    """
    from lacbook.evaluate import embed_values

    if config.modality != "frames":
        raise InputError("checkpoint: this run reads poses; expected one that reads frames")
    embedded, shown, rates = [], [], []
    for path in (a, b):
        frames, fps = read_video(path, size=SHOWN_SIZE)
        if len(frames) < SHORTEST_CLIP:
            raise InputError(f"{path}: {len(frames)} frame(s); expected at least {SHORTEST_CLIP} to align")
        embedded.append(embed_values(learner.encoder, read_video(path, size=config.size)[0]))
        shown.append(frames)
        rates.append(fps)
    alignment = align_embeddings(
        embedded[0], embedded[1], learner, config, margin=margin, gap_open=gap_open, gap_extend=gap_extend
    )
    return alignment, shown, rates


def save_alignment(
    alignment: VideoAlignment,
    frames: list[NDArray[np.uint8]],
    fps: list[float],
    names: tuple[str, str],
    out: Path,
    *,
    phases: tuple[NDArray, NDArray] | None = None,
) -> None:
    """Write ``alignment.json``, ``alignment.png`` and ``aligned.mp4`` into a folder.

    Parameters
    ----------
    alignment, frames, fps
        From `align_videos`; the video plays at the first clip's rate.
    names : (str, str)
        What to call the two videos.
    out : Path
        Folder, made where there is none.
    phases : two int arrays, optional
        Phase of each frame, drawn along the matrix.
    """
    import matplotlib.pyplot as plt

    from lacbook.viz.frames import plot_alignment, side_by_side

    report = {
        "videos": list(names),
        "score": alignment.score,
        "segments": [
            {
                "frames": [[i0, i1], [j0, j1]],
                "seconds": [[i0 / fps[0], i1 / fps[0]], [j0 / fps[1], j1 / fps[1]]],
                "score": score,
            }
            for i0, i1, j0, j1, score in alignment.segments
        ],
        "path": alignment.path,
    }
    with whole_file(out / "alignment.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")
    figure = plot_alignment(
        frames[0],
        frames[1],
        alignment.similarity,
        alignment.path,
        posterior=alignment.posterior,
        phases=phases,
        fps=(fps[0], fps[1]),
        title=f"{names[0]} and {names[1]}: score {alignment.score:.1f}",
    )
    with whole_file(out / "alignment.png") as temporary:
        figure.savefig(temporary, format="png")
    plt.close(figure)
    write_video(out / "aligned.mp4", side_by_side(frames[0], frames[1], alignment.path), fps=fps[0])
