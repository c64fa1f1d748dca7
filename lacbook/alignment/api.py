"""Public face of the alignment: `soft_smith_waterman` to train with, `smith_waterman` to look at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lacbook.alignment import ops
from lacbook.alignment.backends import check_backend, numba_kernels
from lacbook.alignment.checks import check_lengths, check_temperature, check_values

Similarity = Tensor | NDArray[Any]
Penalty = float | Tensor | NDArray[Any]
Lengths = Tensor | NDArray[Any] | Sequence[Any] | None


@dataclass(frozen=True, eq=False)
class SoftAlignment:
    """Result of `soft_smith_waterman`. Unbatched input drops the leading B everywhere.

    All of it can be differentiated by similarity, gap_open and gap_extend: score and table twice, posterior
    and expected gaps, which are first derivatives themselves, once.

    Attributes
    ----------
    score : Tensor, shape (B,)
        V.
    posterior : Tensor, shape (B, N, M)
        dV/dS: the probability that frame i of X is matched with frame j of Y. 0 outside the lengths.
    expected_gaps : (Tensor, Tensor), shapes (B,), (B,)
        Expected numbers of gap openings and extensions: -dV/dgo and -dV/dge, summed over a pair's cells
        when first asked for.
    """

    score: Tensor
    posterior: Tensor
    _gaps: list[Tensor]  # openings and extensions, in the shape of the penalties
    _inputs: tuple[Any, ...]
    _versions: tuple[int, ...]
    _tables: dict[bool, Tensor] = field(default_factory=dict)  # with and without gradient
    _counts: dict[bool, tuple[Tensor, Tensor]] = field(default_factory=dict)  # likewise

    @property
    def expected_gaps(self) -> tuple[Tensor, Tensor]:
        """Openings and extensions, shapes (B,) and (B,); summed when first asked for."""
        with_gradient = torch.is_grad_enabled()
        if with_gradient not in self._counts:
            openings, extensions = (gaps.sum((1, 2)) for gaps in self._gaps)
            batched = self.score.dim() > 0
            self._counts[with_gradient] = (openings, extensions) if batched else (openings[0], extensions[0])
        return self._counts[with_gradient]

    @property
    def table(self) -> Tensor:
        """D, shape (B, N, M), -inf outside the lengths; computed when first asked for.

        Raises
        ------
        RuntimeError
            If an input was changed in place since the alignment, as an optimiser changes penalties.
        """
        if self._versions != _versions(self._inputs):
            raise RuntimeError(
                "table: similarity, a penalty or lengths was changed in place since the alignment; ask for "
                "the table before, or align again"
            )
        with_gradient = torch.is_grad_enabled()
        if with_gradient not in self._tables:
            self._tables[with_gradient] = ops.soft_smith_waterman_table_op(*self._inputs)
        table = self._tables[with_gradient]
        return table if self.score.dim() else table[0]


def _versions(inputs: tuple[Any, ...]) -> tuple[int, ...]:
    """How often each input tensor was changed in place; nothing where that is not counted."""
    if torch.compiler.is_compiling():
        return ()
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    return tuple(x._version for x in tensors if not x.is_inference())


@dataclass(frozen=True, eq=False)
class HardAlignment:
    """Result of `smith_waterman`. Unbatched input drops the leading B everywhere.

    Attributes
    ----------
    scores : Tensor, shape (B, top)
        Scores of the alignments, best first, detached; 0 where there is no such alignment.
    """

    scores: Tensor
    _paths: NDArray[np.int64]  # [B, top, min(N, M), 2]
    _counts: NDArray[np.int64]  # [B, top]

    @property
    def score(self) -> Tensor:
        """max(0, max D), shape (B,): the first of the scores."""
        return self.scores[..., 0]

    def path(self, b: int = 0, k: int = 0) -> list[tuple[int, int]]:
        """Matches (i, j) of an alignment of pair b from first to last; empty if there is no such alignment.

        Parameters
        ----------
        b : int, default 0
            Which pair.
        k : int, default 0
            Which alignment of the pair, from 0 (the best) to top - 1.

        Raises
        ------
        IndexError
            If there is no such pair, or k is out of range.
        """
        top = self.scores.shape[-1]
        if not 0 <= k < top:
            raise IndexError(f"k is {k}; expected 0 to {top - 1}, since top was {top}")
        return [(i, j) for i, j in self._paths[b, k, : self._counts[b, k]].tolist()]

    def segments(self, b: int = 0) -> list[tuple[int, int, int, int, float]]:
        """Stretches (i0, i1, j0, j1, score) of the alignments of pair b, half-open, best first."""
        found = []
        for k, score in enumerate(self.scores.reshape(-1, self.scores.shape[-1])[b].tolist()):
            path = self.path(b, k)
            if path:
                (i0, j0), (i1, j1) = path[0], path[-1]
                found.append((i0, i1 + 1, j0, j1 + 1, score))
        return found


def _as_tensor(name: str, values: object) -> Tensor:
    """Turn a tensor, array or number into float32 or float64; whole numbers to float64, halves to float32."""
    if isinstance(values, Tensor):
        tensor = values
    elif isinstance(values, float | int) and not isinstance(values, bool):
        return torch.tensor(float(values), dtype=torch.float64)
    else:
        try:
            tensor = torch.from_numpy(np.array(values))  # a copy: torch takes no negative strides
        except (TypeError, ValueError) as error:
            found = np.asarray(values).dtype
            raise ValueError(f"{name} has dtype {found}; expected real numbers that torch knows") from error
    if tensor.dtype in (torch.float32, torch.float64):
        return tensor
    if tensor.dtype in (torch.float16, torch.bfloat16):
        return tensor.float()
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise ValueError(f"{name} has dtype {tensor.dtype}; expected real numbers")
    return tensor.double()


def _as_penalties(
    gap_open: Penalty, gap_extend: Penalty, similarity: Tensor, batched: bool
) -> tuple[Tensor, Tensor]:
    """Turn both penalties into tensors like similarity [B,N,M]: [B,1,1], or [B,N,M] if either is per cell."""
    pairs, *cells = similarity.shape
    penalties = []
    largest = torch.finfo(similarity.dtype).max
    for name, value in (("gap_open", gap_open), ("gap_extend", gap_extend)):
        if isinstance(value, float | int) and not isinstance(value, bool):  # a number takes few operations
            finite = min(max(value, -largest), largest) if math.isfinite(value) else value
            penalties.append(similarity.new_full((1, 1, 1), finite))
            continue
        penalty = _as_tensor(name, value)
        allowed = [(), (pairs,), (*cells,), (pairs, *cells)] if batched else [(), (*cells,)]
        if tuple(penalty.shape) not in allowed:
            shapes = ", ".join(map(str, allowed))
            raise ValueError(f"{name} has shape {tuple(penalty.shape)}; expected one of {shapes}")
        if penalty.dim() == 1:
            penalty = penalty[:, None, None]
        if penalty.dtype == torch.float64 and similarity.dtype == torch.float32:  # finite stays finite
            penalty = torch.where(penalty.isfinite(), penalty.clamp(-largest, largest), penalty)
        penalties.append(penalty.to(similarity.device, similarity.dtype))
    per_cell = any(penalty.dim() > 1 and penalty.shape[-2:] != (1, 1) for penalty in penalties)
    shape = similarity.shape if per_cell else torch.Size((pairs, 1, 1))
    first, second = (penalty if penalty.shape == shape else penalty.expand(shape) for penalty in penalties)
    return first, second


def _as_batch(table: Similarity, lengths: Lengths, name: str = "similarity") -> tuple[Tensor, Tensor, bool]:
    """Check shapes; return the table [B,N,M], lengths [B,2] int64, and whether the input was batched."""
    s = _as_tensor(name, table)
    if s.dim() not in (2, 3):
        raise ValueError(f"{name} has shape {tuple(s.shape)}; expected (B, N, M) or (N, M)")
    if s.shape[-2] == 0 or s.shape[-1] == 0:
        raise ValueError(f"{name} has shape {tuple(s.shape)}; expected at least one frame in each video")
    expected = (2,) if s.dim() == 2 else (s.shape[0], 2)
    if lengths is None:
        limits = torch.tensor([s.shape[-2], s.shape[-1]]).expand(expected)
    else:
        limits = lengths if isinstance(lengths, Tensor) else torch.from_numpy(np.array(lengths))
        if limits.is_floating_point() or limits.is_complex() or limits.dtype == torch.bool:
            raise ValueError(f"lengths has dtype {limits.dtype}; expected whole numbers")
        if tuple(limits.shape) != expected:
            raise ValueError(
                f"lengths has shape {tuple(limits.shape)}; expected {expected}, (n, m) of each pair"
            )
        limits = limits.long()
    return (s, limits, True) if s.dim() == 3 else (s[None], limits[None], False)


def soft_smith_waterman(
    similarity: Similarity,
    gap_open: Penalty,
    gap_extend: Penalty,
    *,
    temperature: float = 1.0,
    lengths: Lengths = None,
    backend: str = "auto",
) -> SoftAlignment:
    """Differentiable local alignment: the log-sum-exp over all alignments of each pair.

    Parameters
    ----------
    similarity : Tensor or ndarray, shape (B, N, M) or (N, M)
        Bigger is more alike, 0 is unrelated; -inf means "never match". float64 is computed and returned in
        float64; float32 with float64 inside; half and bfloat16 as float32, with the gradient in their own
        dtype.
    gap_open, gap_extend : float, Tensor or ndarray, shape (), (B,), (N, M) or (B, N, M)
        Cost of the first skipped frame of a run, and of each further one: for all pairs, per pair, or at
        every cell (of all pairs, or of each). Finite, of any sign, meant to be >= 0. Computed in the
        similarity's dtype; each gets a gradient of its own shape.
    temperature : float, default 1.0
        Above 0; towards 0 the posterior becomes the best alignment.
    lengths : int array or tensor, shape (B, 2), or (2,) unbatched; default None
        Real frames (n, m) of each pair, at least 1. The rest is padding: never read (it may be NaN), gradient
        0.
    backend : str, default "auto"
        "recursion" (readable, slow), "numba" (compiled, on the CPU), "wavefront" (torch operations, on any
        device), "cuda" (fused kernel), or "auto": numba on the CPU, cuda on an NVIDIA GPU if its kernels can
        run there, wavefront otherwise.

    Returns
    -------
    SoftAlignment
        Score and posterior, -inf and 0 for a pair in which no cell can be matched. Memory: one number per
        cell for the posterior (three with per-cell penalties, which are copied if they are one number or
        one table for all pairs) and, while computing, for each thread, 32 bytes per cell of one pair, 48 with
        per-cell penalties, 24 more in second derivatives; of pairs for which that exceeds 16 MB, one band of
        at most 64 rows is kept instead, and a row between bands. Pairs that need logarithms take two to three
        times as much, up to 12 MB or one band. The other backends say in their files what they need.

    Raises
    ------
    ValueError
        For wrong shapes or dtypes, NaN or +inf inside the lengths, penalties that are not finite, temperature
        <= 0, lengths out of range, an unknown backend or one that cannot run here; the message names the
        argument and what was found.
    RuntimeError
        In a backward pass that asks for third derivatives of the score or the table.

    Notes
    -----
    The equations are in `lacbook.alignment.recursion`; LAC, arXiv 2409.04607. The backends recursion and
    numba compute on the CPU and return the results to the similarity's device. Derivatives are those of
    reverse mode; forward mode raises an error for the score, and gives zeros for the table.
    """
    check_backend(backend)
    check_temperature(temperature)
    s, limits, batched = _as_batch(similarity, lengths)
    go, ge = _as_penalties(gap_open, gap_extend, s, batched)
    inputs = (s, go, ge, float(temperature), limits, backend)
    score, posterior, *gaps = ops.soft_smith_waterman_fast(*inputs)
    if not batched:
        score, posterior = score[0], posterior[0]
    return SoftAlignment(score, posterior, gaps, inputs, _versions(inputs))


def smith_waterman(
    similarity: Similarity, gap_open: Penalty, gap_extend: Penalty, *, lengths: Lengths = None, top: int = 1
) -> HardAlignment:
    """Find the best local alignments of each pair, with their paths.

    Parameters
    ----------
    similarity, gap_open, gap_extend, lengths
        As in `soft_smith_waterman`; not differentiated.
    top : int, default 1
        How many alignments to find in each pair, at least 1.

    Returns
    -------
    HardAlignment
        Scores and paths. The best alignment has a path, of score 0 or more, unless every D is negative; the
        others exist only with a score above 0. Memory: top * min(N, M) * 16 bytes for the paths of a pair.

    Raises
    ------
    ValueError
        As in `soft_smith_waterman`, and for a top that is not a whole number of at least 1.

    Notes
    -----
    Gotoh (1982) with a local start and end. Where alignments tie, the path ends at the first best cell in
    reading order, and walking back prefers a start, then a diagonal step, then a skip in Y, then a skip in X.

    The further alignments are those of Waterman and Eggert (1987): each is the best among the alignments
    that match none of the pairs of frames (i, j) matched before. They may share frames, and one may skip
    what another matches. Time: every alignment found costs a pass over the table, and so does the first that
    is not. Memory while computing: 1 byte per cell of one pair and thread, with top > 1 also a copy of its
    similarity, and a copy of penalties that are one table for all pairs.
    """
    if not isinstance(top, int | np.integer) or isinstance(top, bool) or top < 1:
        raise ValueError(f"top is {top!r}; expected a whole number, at least 1")
    s, limits, batched = _as_batch(similarity, lengths)
    go, ge = _as_penalties(gap_open, gap_extend, s, batched)
    if lengths is not None:
        check_lengths(limits, *s.shape[1:])
    arrays = (np.ascontiguousarray(tensor.numpy(force=True)) for tensor in (s, go, ge, limits))
    found, paths, counts = numba_kernels().hard(*arrays, top=top, threads=torch.get_num_threads())
    if np.isnan(found).any():  # the kernel marks bad values, which spares a look at the tables beforehand
        check_values(s, go, ge, limits)
    scores = torch.from_numpy(found).to(s.device)
    return HardAlignment(scores if batched else scores[0], paths, counts)
