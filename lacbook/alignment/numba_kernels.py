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
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lacbook.alignment import numba_hard, numba_linear, numba_log

Array = NDArray[Any]

PARALLEL_CELLS = 100_000  # about 1 ms of work; below it starting threads costs more than it saves
LINEAR_DOMAIN = True  # False leaves everything to the log domain, for the tests


def _over_pairs(kernel: Callable[..., None], pairs: Array, threads: int, *arguments: Any) -> None:
    """Call a kernel on some pairs, every threads-th in each thread when there is enough work."""
    if len(pairs) == 0:
        return  # and compile nothing
    similarity = arguments[0]
    threads = min(threads, len(pairs)) if len(pairs) * similarity[0].size > PARALLEL_CELLS else 1
    if threads == 1:
        kernel(pairs, *arguments)
        return
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(kernel, pairs[first::threads].copy(), *arguments) for first in range(threads)]
    for each in running:
        each.result()


def _gradients(similarity: Array, gap_open: Array) -> tuple[Array, Array, Array]:
    """Zeros, to be filled with dS, -dgo and -dge."""
    return np.zeros_like(similarity), np.zeros_like(gap_open), np.zeros_like(gap_open)


def soft(
    similarity: Array, gap_open: Array, gap_extend: Array, temperature: float, lengths: Array, threads: int
) -> tuple[Array, ...]:
    """Score [B], posterior [B, N, M], expected openings and extensions in the shape of the penalties."""
    score, out = np.empty(len(similarity), similarity.dtype), _gradients(similarity, gap_open)
    problem = (similarity, gap_open, gap_extend, temperature, lengths)
    refused = np.ones(len(similarity), dtype=bool)
    if LINEAR_DOMAIN:
        pairs = np.arange(len(similarity))
        _over_pairs(numba_linear.soft_pairs, pairs, threads, *problem, score, *out, refused)
    _over_pairs(numba_log.soft_pairs, np.flatnonzero(refused), threads, *problem, score, *out)
    return score, *out


def table(
    similarity: Array, gap_open: Array, gap_extend: Array, temperature: float, lengths: Array, threads: int
) -> Array:
    """D [B, N, M]."""
    out = np.full_like(similarity, -np.inf)
    problem = (similarity, gap_open, gap_extend, temperature, lengths)
    _over_pairs(numba_log.table_pairs, np.arange(len(similarity)), threads, *problem, out)
    return out


def table_gradient(
    similarity: Array,
    gap_open: Array,
    gap_extend: Array,
    temperature: float,
    lengths: Array,
    seeds: Array,
    threads: int,
) -> tuple[Array, ...]:
    """Derivatives of the sum of seeds * D: dS, and -dgo and -dge in the shape of the penalties."""
    out = _gradients(similarity, gap_open)
    problem = (similarity, gap_open, gap_extend, temperature, lengths)
    _over_pairs(numba_log.table_gradient_pairs, np.arange(len(similarity)), threads, *problem, seeds, *out)
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
) -> tuple[Array, ...]:
    """How the gradients of `soft` (given seeds, of `table_gradient`) change along a direction, and D'."""
    out = (*_gradients(similarity, gap_open), np.zeros_like(similarity))
    problem = (similarity, gap_open, gap_extend, temperature, lengths)
    direction = (similarity_direction, open_direction, extend_direction)
    if seeds is None:
        seeds = np.empty((0, 1, 1), similarity.dtype)
    pairs = np.arange(len(similarity))
    _over_pairs(numba_log.tangent_pairs, pairs, threads, *problem, *direction, seeds, *out)
    return out


def hard(
    similarity: Array, gap_open: Array, gap_extend: Array, lengths: Array, threads: int
) -> tuple[Array, Array, Array]:
    """Score [B], matches [B, min(N, M), 2] of the best path, and how many of them count [B]."""
    pairs, rows, columns = similarity.shape
    score = np.empty(pairs, dtype=similarity.dtype)
    paths = np.zeros((pairs, min(rows, columns), 2), dtype=np.int64)
    counts = np.zeros(pairs, dtype=np.int64)
    problem = (similarity, gap_open, gap_extend, lengths)
    _over_pairs(numba_hard.hard_pairs, np.arange(pairs), threads, *problem, score, paths, counts)
    return score, paths, counts
