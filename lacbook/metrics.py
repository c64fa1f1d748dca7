"""What an embedding knows of time: probes, retrieval, alignment, after TCC and CARL; two measures are ours.

Every function takes the clips of one action and their embeddings, a list of arrays [T, E] of unit vectors in
the same order. Kendall's tau, active tau and R^2 are high for an embedding that only counts frames; event
error and alignment F1 on clips with idle heads and tails are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import torch
from numpy.typing import NDArray

from lacbook.alignment import smith_waterman
from lacbook.data.clips import Clip

Embeddings = Sequence[NDArray[np.floating]]
TOLERANCE = 2  # frames within which a match is right
OFF_PATH = 30.0  # error, in frames, of an event that the path does not reach
PAIRS_AT_ONCE = 256


def phase_accuracy(
    train: Sequence[Clip], z_train: Embeddings, test: Sequence[Clip], z_test: Embeddings
) -> float:
    """Share of test frames whose phase a logistic regression finds (CARL, with scaled features)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    x, y = _labelled(train, z_train)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with threadpool_limits(1, user_api="blas"):  # each step is so small that threads wait more than they work
        return float(probe.fit(x, y).score(*_labelled(test, z_test)))


def progression(
    train: Sequence[Clip], z_train: Embeddings, test: Sequence[Clip], z_test: Embeddings
) -> float:
    """Mean R^2 of a linear regression per key event, target (t - t_k) / T, t_k the frame before it (TCC)."""
    from sklearn.linear_model import LinearRegression

    def targets(clips: Sequence[Clip]) -> NDArray:
        return np.concatenate([(np.arange(len(c))[:, None] - (c.events - 1)) / len(c) for c in clips])

    probe = LinearRegression().fit(np.concatenate(z_train), targets(train))
    truth, found = targets(test), probe.predict(np.concatenate(z_test))
    residual, total = ((truth - found) ** 2).sum(0), ((truth - truth.mean(0)) ** 2).sum(0)
    return float((1 - residual / total).mean())


def kendall_tau(
    clips: Sequence[Clip],
    z: Embeddings,
    *,
    active: bool = False,
    stride: int = 2,
    pairs: Sequence[tuple[int, int]] | None = None,
) -> float:
    """Mean Kendall tau-b of frames and their nearest neighbours, over ordered pairs of clips (TCC, CARL).

    With `active` only query frames inside the action count, against all frames of the other clip. Both are 1
    for a clock. `pairs` are all when left out.
    """
    from scipy.stats import kendalltau

    taus = []
    for a, b in permutations(range(len(clips)), 2) if pairs is None else pairs:
        query = np.flatnonzero(clips[a].active)[::stride] if active else np.arange(0, len(clips[a]), stride)
        nearest = np.argmin(_squared_distance(z[a][query], z[b][::stride]), axis=1)
        taus.append(kendalltau(np.arange(len(query)), nearest).statistic)
    return float(np.nanmean(taus)) if np.isfinite(taus).any() else float("nan")


def some_pairs(clips: int, most: int | None, seed: int = 0) -> list[tuple[int, int]]:
    """Ordered pairs (a, b) of so many clips: all, or `most` of them at random, the same for the same seed."""
    pairs = list(permutations(range(clips), 2))
    if most is None or most >= len(pairs):
        return pairs
    chosen = np.random.default_rng(seed).choice(len(pairs), size=most, replace=False)
    return [pairs[k] for k in np.sort(chosen)]


def average_precision(clips: Sequence[Clip], z: Embeddings, k: int, *, stride: int = 2) -> float:
    """Share of the k nearest frames of other clips in the query's phase, mean over frames, clips (CARL)."""
    phases = [clip.phase[::stride] for clip in clips]
    strided = [frames[::stride] for frames in z]
    scores = []
    for a, (phase, query) in enumerate(zip(phases, strided, strict=True)):
        others = [b for b in range(len(clips)) if b != a]
        gallery = np.concatenate([strided[b] for b in others])
        labels = np.concatenate([phases[b] for b in others])
        distance = _squared_distance(query, gallery)
        nearest = (
            np.argpartition(distance, k, axis=1)[:, :k] if k < len(labels) else np.arange(len(labels))[None]
        )
        scores.append((labels[nearest] == phase[:, None])[phase >= 0].mean())
    return float(np.mean(scores))


def event_error(clips: Sequence[Clip], z: Embeddings) -> float:
    """Median error, in frames, of key events carried to another clip by the nearest neighbour (ours)."""
    errors = []
    for a, b in permutations(range(len(clips)), 2):
        carried = np.argmin(_squared_distance(z[a][clips[a].events], z[b]), axis=1)
        errors.append(np.abs(carried - clips[b].events))
    return float(np.median(np.concatenate(errors)))


@dataclass(frozen=True)
class PathOptions:
    """Margin of the cosine and gap penalties of the hard alignment that `path_metrics` measures."""

    margin: float
    gap_open: float
    gap_extend: float


# One grid for every method and control. Margins reach 0.99 because untrained encoders find all frames alike.
PATH_GRID = [
    PathOptions(margin, scale * (1 - margin), share * scale * (1 - margin))
    for margin, scale, share in product((0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99), (0.0, 0.3, 1.0), (0.3,))
]


def path_metrics(
    clips: Sequence[Clip], z: Embeddings, options: PathOptions, pairs: Sequence[tuple[int, int]] | None = None
) -> dict[str, float]:
    """What the hard Smith-Waterman path between clips gets right (ours).

    Parameters
    ----------
    clips, z : clips of one action and their embeddings
    options : PathOptions
    pairs : sequence of (a, b), optional
        Ordered pairs of clips; all when left out.

    Returns
    -------
    dict
        ``alignment_f1``: harmonic mean of precision and recall, mean over pairs. A match (i, j) is right when
        j lies within 2 frames of the nearest j' that minimises |u_i - u_j'|. Precision is over matches that
        touch the action in either clip, recall over frames i inside the action. A path matches each frame
        once at most, so a slow clip against a fast one cannot reach 1: `oracle_f1` says how far it could.
        ``path_event_error``: median error, in frames, of key events carried along the path; an event between
        two matches is interpolated, one beyond the path counts 30.
    """
    pairs = list(permutations(range(len(clips)), 2)) if pairs is None else pairs
    f1, errors = [], []
    for (a, b), path in zip(pairs, hard_paths(z, pairs, options), strict=True):
        f1.append(_f1(path, right_matches(clips[a], clips[b]), clips[a].active, clips[b].active))
        errors.append(np.abs(carry(clips[a].events, path) - clips[b].events))
    error = np.concatenate(errors)
    error[np.isnan(error)] = OFF_PATH
    return {"alignment_f1": float(np.mean(f1)), "path_event_error": float(np.median(error))}


def choose_path_options(
    clips: Sequence[Clip], z: Embeddings, *, seed: int = 0, pairs: int = 60
) -> PathOptions:
    """The point of `PATH_GRID` with the best F1 on random pairs of (training) clips of the same action."""
    same = [(a, b) for a, b in permutations(range(len(clips)), 2) if clips[a].action == clips[b].action]
    chosen = [same[k] for k in np.random.default_rng(seed).permutation(len(same))[:pairs]]
    return max(PATH_GRID, key=lambda options: path_metrics(clips, z, options, chosen)["alignment_f1"])


def hard_paths(
    z: Embeddings, pairs: Sequence[tuple[int, int]], options: PathOptions
) -> list[NDArray[np.int64]]:
    """The best local alignment of each pair; arrays [K, 2] of (i, j), K = 0 where nothing is alike."""
    paths = []
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        some = pairs[start : start + PAIRS_AT_ONCE]
        lengths = torch.tensor([[len(z[a]), len(z[b])] for a, b in some])
        similarity = torch.zeros(len(some), int(lengths[:, 0].max()), int(lengths[:, 1].max()))
        for row, (a, b) in zip(similarity, some, strict=True):
            row[: len(z[a]), : len(z[b])] = (
                torch.from_numpy(np.asarray(z[a] @ z[b].T, dtype=np.float32)) - options.margin
            )
        aligned = smith_waterman(similarity, options.gap_open, options.gap_extend, lengths=lengths)
        paths += [np.array(aligned.path(k), dtype=np.int64).reshape(-1, 2) for k in range(len(some))]
    return paths


def right_matches(a: Clip, b: Clip) -> NDArray[np.bool_]:
    """Which matches of frames of `a` with frames of `b` are right; [len(a), len(b)]."""
    right = np.zeros((len(a), len(b)), dtype=bool)
    inside = np.flatnonzero(b.active)
    for i in np.flatnonzero(a.active):
        distance = np.abs(a.time[i] - b.time[inside])
        for j in inside[distance <= distance.min() + 1e-9]:
            right[i, max(0, j - TOLERANCE) : j + TOLERANCE + 1] = True
    return right


def oracle_f1(clips: Sequence[Clip]) -> float:
    """The best alignment F1 any path can have: the longest chain of right matches, mean over pairs."""
    scores = []
    for a, b in permutations(range(len(clips)), 2):
        right = right_matches(clips[a], clips[b])
        chain = smith_waterman(torch.where(torch.from_numpy(right), 1.0, -torch.inf), 0.0, 0.0)
        scores.append(
            _f1(
                np.array(chain.path(), dtype=np.int64).reshape(-1, 2), right, clips[a].active, clips[b].active
            )
        )
    return float(np.mean(scores))


def carry(frames: NDArray[np.integer], path: NDArray[np.integer]) -> NDArray[np.float64]:
    """Where a path takes frames of the first clip; interpolated between matches, NaN beyond the ends."""
    if len(path) == 0:
        return np.full(len(frames), np.nan)
    return np.interp(frames, path[:, 0], path[:, 1], left=np.nan, right=np.nan)


def _f1(
    path: NDArray[np.integer],
    right: NDArray[np.bool_],
    active_a: NDArray[np.bool_],
    active_b: NDArray[np.bool_],
) -> float:
    """F1 of one path (see `path_metrics`); 0 where nothing is right."""
    i, j = path[:, 0], path[:, 1]
    hits = int(right[i, j].sum())
    touching = int((active_a[i] | active_b[j]).sum())
    return 2 * hits / (touching + int(active_a.sum())) if hits else 0.0


def _labelled(clips: Sequence[Clip], z: Embeddings) -> tuple[NDArray, NDArray]:
    """Features and phases of all labelled frames."""
    x, y = np.concatenate(z), np.concatenate([clip.phase for clip in clips])
    return x[y >= 0], y[y >= 0]


def _squared_distance(x: NDArray, y: NDArray) -> NDArray:
    """Squared Euclidean distances [N, M]."""
    return (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
