"""All videos against all: the symmetric matrix of their alignment scores, a chunk of pairs at a time."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from lacbook.alignment.api import Lengths, Penalty, _as_tensor, smith_waterman, soft_smith_waterman
from lacbook.alignment.backends import check_backend
from lacbook.alignment.checks import check_temperature
from lacbook.padding import valid_mask
from lacbook.similarity import cosine

Videos = Tensor | NDArray[Any] | Sequence[Tensor | NDArray[Any]]
SimilarityFunction = Callable[[Tensor, Tensor], Tensor]

CELLS = 2**22  # of similarity in a chunk, unless told otherwise


def _as_frames(embeddings: Videos, lengths: Lengths) -> tuple[Tensor, Tensor]:
    """Check embeddings and lengths; return frames [V, T, E] and lengths [V] on the CPU.

    The padding becomes copies of each video's first frame: a similarity may divide by zero at other fillers,
    and zero times that derivative would be NaN in the gradient of real frames.
    """
    if isinstance(embeddings, Tensor | np.ndarray):
        frames = _as_tensor("embeddings", embeddings)
        if frames.dim() != 3 or (len(frames) and frames.shape[1] == 0):
            found = f"shape {tuple(frames.shape)}"
            raise ValueError(f"embeddings has {found}; expected (V, T, E) with at least one frame a video")
        sizes = (
            torch.full(frames.shape[:1], frames.shape[1]) if lengths is None else _as_sizes(lengths, frames)
        )
    else:
        if lengths is not None:
            raise ValueError(
                "lengths is given, but embeddings is a list, whose videos have theirs; expected None"
            )
        videos = [_as_tensor(f"embeddings[{v}]", video) for v, video in enumerate(embeddings)]
        for v, video in enumerate(videos):
            same = video.shape[1:] == videos[0].shape[1:] and video.dtype == videos[0].dtype
            if video.dim() != 2 or len(video) == 0 or not same:
                expected = f"(T, {videos[0].shape[-1]})" if v and videos[0].dim() == 2 else "(T, E)"
                raise ValueError(
                    f"embeddings[{v}] has shape {tuple(video.shape)} and dtype {video.dtype}; expected "
                    f"{expected}, at least one frame and the dtype of the first video, {videos[0].dtype}"
                )
        sizes = torch.tensor([len(video) for video in videos], dtype=torch.int64)
        frames = pad_sequence(videos, batch_first=True) if videos else torch.zeros(0, 1, 1)
    valid = valid_mask(sizes, frames.shape[1]).to(frames.device)
    frames = torch.where(valid[:, :, None], frames, frames[:, :1])
    bad = ~frames.isfinite().all(2)
    if bad.any():
        v, t = bad.nonzero()[0].tolist()
        raise ValueError(f"embeddings of video {v} at frame {t} are not finite; expected finite numbers")
    return frames, sizes


def _as_sizes(lengths: Lengths, frames: Tensor) -> Tensor:
    """Check the lengths of padded frames [V, T, E]; int64 [V] on the CPU."""
    sizes = lengths if isinstance(lengths, Tensor) else torch.from_numpy(np.array(lengths))
    videos, longest = frames.shape[:2]
    if sizes.numel() and (sizes.is_floating_point() or sizes.is_complex() or sizes.dtype == torch.bool):
        raise ValueError(f"lengths has dtype {sizes.dtype}; expected whole numbers")
    if tuple(sizes.shape) != (videos,):
        raise ValueError(f"lengths has shape {tuple(sizes.shape)}; expected ({videos},), one of each video")
    sizes = sizes.long().cpu()
    wrong = ((sizes < 1) | (sizes > longest)).nonzero()
    if len(wrong):
        v = int(wrong[0])
        raise ValueError(f"lengths of video {v} is {int(sizes[v])}; expected 1 to {longest}")
    return sizes


def _table(similarity: SimilarityFunction, x: Tensor, y: Tensor) -> Tensor:
    """Similarity [K, N, M] of the videos x [K, N, E] and one video y [M, E]."""
    table = similarity(x, y)
    shape = (*x.shape[:2], len(y))
    if tuple(table.shape) != shape or not table.is_floating_point():
        raise ValueError(
            f"similarity returned shape {tuple(table.shape)} and dtype {table.dtype} for frames "
            f"{tuple(x.shape)} and {tuple(y.shape)}; expected shape {shape} and real numbers"
        )
    return table


@torch.no_grad()
def _check_symmetry(similarity: SimilarityFunction, x: Tensor, y: Tensor) -> None:
    """Raise ValueError if swapping two videos [N, E] and [M, E] changes their similarity."""
    forth, back = _table(similarity, x[None], y)[0], _table(similarity, y[None], x)[0].T
    rounding = math.sqrt(torch.finfo(forth.dtype).eps)
    largest = forth.abs().nan_to_num(0, 0, 0).max().item()
    equal = torch.isclose(forth, back, rtol=rounding, atol=rounding * largest, equal_nan=True)
    if not equal.all():
        i, j = (~equal).nonzero()[0].tolist()
        raise ValueError(
            f"similarity is not symmetric: frame {i} of the first video and frame {j} of the last have "
            f"{forth[i, j].item():.6g}, the other way round {back[i, j].item():.6g}; expected the same"
        )


def pairwise_alignment(
    embeddings: Videos,
    gap_open: Penalty,
    gap_extend: Penalty,
    *,
    similarity: SimilarityFunction = cosine,
    temperature: float = 1.0,
    lengths: Lengths = None,
    chunk: int | None = None,
    backend: str = "auto",
) -> Tensor:
    """Align all videos with all: the symmetric matrix of their soft Smith-Waterman scores.

    Parameters
    ----------
    embeddings : Tensor or ndarray, shape (V, T, E), or a list of V of shape (T_v, E)
        Frames of each video. Whole numbers are computed in float64, half and bfloat16 in float32.
    gap_open, gap_extend : float, or Tensor or ndarray of shape ()
        As in `soft_smith_waterman`, but one number for all pairs, so that swapping two videos leaves their
        score as it is.
    similarity : callable, default `lacbook.similarity.cosine`
        Given x [K, N, E], frames of K videos, and y [M, E], those of one, returns [K, N, M]. It has to be
        symmetric, s(x, y)[i, j] = s(y, x)[j, i], and to look at no frames but i and j. For a margin, pass
        `functools.partial(cosine, margin=0.5)`; a tensor in it, too, gets its gradient, and must not be
        changed in place before the backward pass.
    temperature : float, default 1.0
        Above 0 as in `soft_smith_waterman`; 0 for the scores of `smith_waterman`, which have no gradient.
    lengths : int array or tensor, shape (V,), default None
        Real frames of each video, at least 1, if the embeddings are padded. Padding is never read (it may be
        NaN), and has gradient 0.
    chunk : int, optional
        Pairs aligned at a time, at least 1; by default as many as have 4 million cells. It changes memory
        and time, not the result.
    backend : str, default "auto"
        As in `soft_smith_waterman`; scores at temperature 0 always come from the compiled CPU kernel.

    Returns
    -------
    Tensor, shape (V, V)
        Scores, exactly symmetric, differentiable by embeddings, penalties and what similarity holds. Memory,
        beside V * V numbers and a copy of the embeddings: for each pair of a chunk, some three tables of
        T * T numbers, twice that in a backward pass, and copies of its frames. If a gradient is wanted and
        there is more than one chunk, the backward pass computes each chunk again instead of keeping it. Time:
        V (V + 1) / 2 alignments, twice that if they are computed again.

    Raises
    ------
    ValueError
        For wrong shapes or dtypes, embeddings that are not finite, lengths or chunk out of range, a
        similarity that returns a wrong shape or is not symmetric (tried with the first and the last video),
        and as in `soft_smith_waterman`; the message names the argument, what was found and what was expected.
        The pair in a message about similarity is counted within its chunk.

    Notes
    -----
    Scores grow with the videos' lengths, and the soft score of a video with itself is above that of its best
    alignment. The diagonal holds what is needed to take that out: with ``d = scores.diagonal()``,
    ``scores / (d[:, None] * d).sqrt()`` is 1 on the diagonal (if d > 0), and
    ``(d[:, None] + d) / 2 - scores`` is 0 there, like a distance. Ours.
    """
    check_backend(backend)
    if temperature != 0:
        check_temperature(temperature)
    if chunk is not None and (not isinstance(chunk, int) or isinstance(chunk, bool) or chunk < 1):
        raise ValueError(f"chunk is {chunk!r}; expected a whole number, at least 1")
    penalties = []
    for name, value in (("gap_open", gap_open), ("gap_extend", gap_extend)):
        penalty = _as_tensor(name, value)
        if penalty.dim():
            raise ValueError(
                f"{name} has shape {tuple(penalty.shape)}; expected one number, the same for all pairs"
            )
        penalties.append(penalty.clone())  # what a backward pass computes again must not have changed since
    frames, sizes = _as_frames(embeddings, lengths)
    if len(frames) == 0:
        return frames.sum(1) @ frames.sum(1).T  # (0, 0), with a history
    videos = frames.unbind()  # the gradient of each slice of one tensor would be as large as all of it
    _check_symmetry(similarity, videos[0][: sizes[0]], videos[-1][: sizes[-1]])

    def tables(first: Tensor, second: Tensor, n: int, m: int) -> Tensor:
        """Similarity [P, n, m] of pairs sorted by `first` [P], so that a call serves many of them."""
        found = []
        alike, counts = first.unique_consecutive(return_counts=True)
        for i, others in zip(alike.tolist(), second.split(counts.tolist()), strict=True):
            x = torch.stack([videos[j] for j in others.tolist()])[:, :n]
            found.append(_table(similarity, x, videos[i][:m]))
        return torch.cat(found)

    def score(first: Tensor, second: Tensor) -> Tensor:
        """Scores [P]."""
        limits = torch.stack([sizes[second], sizes[first]], 1)
        problem = (tables(first, second, *limits.amax(0).tolist()), *penalties)
        if temperature == 0:
            return smith_waterman(*problem, lengths=limits).score
        return soft_smith_waterman(*problem, temperature=temperature, lengths=limits, backend=backend).score

    first, second = torch.triu_indices(len(videos), len(videos))
    pairs = chunk or max(1, CELLS // frames.shape[1] ** 2)
    chunks = list(zip(first.split(pairs), second.split(pairs), strict=True))
    with torch.set_grad_enabled(torch.is_grad_enabled() and temperature != 0):
        if len(chunks) > 1 and torch.is_grad_enabled():
            scores = [checkpoint(score, *each, use_reentrant=False) for each in chunks]
        else:
            scores = [score(*each) for each in chunks]
    place = torch.empty(len(videos), len(videos), dtype=torch.int64)
    place[first, second] = place[second, first] = torch.arange(len(first))
    return torch.cat(scores)[place.to(frames.device)]
