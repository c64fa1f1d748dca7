"""The compiled CPU implementation, batched over pairs, in three files.

`numba_linear` computes score, posterior and expected gaps in the linear domain and refuses pairs that leave
its range; `numba_log` computes everything, for every input, in the log domain; `numba_hard` finds the best
path. Here each pair is given to the kernel that can do it, in as many threads as are worth it. Threads are
Python's: the kernels release the GIL, so no second OpenMP pool competes with torch's.

In all functions, `similarity` is [B, N, M] in float32 or float64, the penalties [B, 1, 1] or both [B, N, M]
in the same dtype, `lengths` int64 [B, 2], all C-contiguous. Only the first n rows and m columns of a pair
are read, and results are 0 (the table -inf) elsewhere. Results have the similarity's dtype.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lacbook.alignment import numba_hard, numba_linear, numba_log
from lacbook.alignment.threads import over_pairs

Array = NDArray[Any]
Check = Callable[[], None] | None  # called when a pair is refused, lest the reason be a wrong number

LINEAR_DOMAIN = True  # False leaves everything to the log domain, for the tests


def _gradients(similarity: Array, gap_open: Array) -> tuple[Array, Array, Array]:
    """Zeros, to be filled with dS, -dgo and -dge."""
    return np.zeros_like(similarity), np.zeros_like(gap_open), np.zeros_like(gap_open)


def _refused(problem: tuple[Any, ...], threads: int, check: Check, *arguments: Any) -> Array:
    """Give all pairs to the linear kernel; check and return those that it leaves to `numba_log`."""
    pairs = np.arange(len(problem[0]))
    refused = np.ones(len(pairs), dtype=bool)
    if LINEAR_DOMAIN:
        over_pairs(numba_linear.linear_pairs, pairs, threads, *problem, *arguments, refused)
    if check is not None and refused.any():
        check()
    return np.flatnonzero(refused)


def soft(
    similarity: Array,
    gap_open: Array,
    gap_extend: Array,
    temperature: float,
    lengths: Array,
    threads: int,
    check: Check = None,
) -> tuple[Array, ...]:
    """Score [B], posterior [B, N, M], expected openings and extensions in the shape of the penalties."""
    score, out = np.empty(len(similarity), similarity.dtype), _gradients(similarity, gap_open)
    problem = (similarity, gap_open, gap_extend, temperature, lengths)
    pairs = _refused(problem, threads, check, None, None, score, None, *out)
    over_pairs(numba_log.soft_pairs, pairs, threads, *problem, score, *out)
    return score, *out


def table(
    similarity: Array,
    gap_open: Array,
    gap_extend: Array,
    temperature: float,
    lengths: Array,
    threads: int,
    check: Check = None,
) -> Array:
    """D [B, N, M]."""
    score, out = np.empty(len(similarity), similarity.dtype), np.full_like(similarity, -np.inf)
    problem = (similarity, gap_open, gap_extend, temperature, lengths)
    pairs = _refused(problem, threads, check, None, None, score, out, None, None, None)
    over_pairs(numba_log.table_pairs, pairs, threads, *problem, out)
    return out


def table_gradient(
    similarity: Array,
    gap_open: Array,
    gap_extend: Array,
    temperature: float,
    lengths: Array,
    seeds: Array,
    threads: int,
    check: Check = None,
) -> tuple[Array, ...]:
    """Derivatives of the sum of seeds * D: dS, and -dgo and -dge in the shape of the penalties."""
    score, out = np.empty(len(similarity), similarity.dtype), _gradients(similarity, gap_open)
    problem = (similarity, gap_open, gap_extend, temperature, lengths)
    pairs = _refused(problem, threads, check, seeds, None, score, None, *out)
    over_pairs(numba_log.table_gradient_pairs, pairs, threads, *problem, seeds, *out)
    return out


def tangent(
    similarity: Array,
    gap_open: Array,
    gap_extend: Array,
    temperature: float,
    lengths: Array,
    similarity_direction: Array,
    open_direction: Array,
    extend_direction: Array,
    seeds: Array | None,
    threads: int,
    check: Check = None,
) -> tuple[Array, ...]:
    """How the gradients of `soft` (given seeds, of `table_gradient`) change along a direction, and D'."""
    score, out = np.empty(len(similarity), similarity.dtype), _gradients(similarity, gap_open)
    moved = np.zeros_like(similarity)
    problem = (similarity, gap_open, gap_extend, temperature, lengths)
    direction = (similarity_direction, open_direction, extend_direction)
    pairs = _refused(problem, threads, check, seeds, (*direction, moved), score, None, *out)
    if seeds is None:
        seeds = np.empty((0, 1, 1), similarity.dtype)
    over_pairs(numba_log.tangent_pairs, pairs, threads, *problem, *direction, seeds, *out, moved)
    return *out, moved


def hard(
    similarity: Array, gap_open: Array, gap_extend: Array, lengths: Array, top: int, threads: int
) -> tuple[Array, Array, Array]:
    """Scores [B, top], matches [B, top, min(N, M), 2] of the best paths, how many of them count [B, top]."""
    pairs, rows, columns = similarity.shape
    scores = np.zeros((pairs, top), dtype=similarity.dtype)
    paths = np.empty((pairs, top, min(rows, columns), 2), dtype=np.int64)
    counts = np.zeros((pairs, top), dtype=np.int64)
    problem = (similarity, gap_open, gap_extend, lengths)
    over_pairs(numba_hard.hard_pairs, np.arange(pairs), threads, *problem, scores, paths, counts)
    return scores, paths, counts
