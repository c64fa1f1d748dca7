"""Compiled twins of `recursion`, batched over pairs, with one gap_open and one gap_extend for all of them.

`soft` computes score, posterior and expected gaps in one pass per pair. It first tries the recursion in the
**linear domain**: with a, x, y = exp(D/t), exp(Ix/t), exp(Iy/t), every smax becomes a sum and every minus a
product, so a cell costs one exp and a few multiply-adds (`_linear_pair`). float64 holds exp(-644) to
exp(644); a pair outside that range is done again in the **log domain**, the equations of `recursion` term by
term (`_log_pair`). `hard` is the recursion at t = 0 with one byte of directions per cell for the traceback.

All state is float64, whatever the similarity's dtype, and lives in one workspace per thread (32 bytes per
cell of the largest pair; `hard` 1 byte). Threads are Python's: the kernels release the GIL, so no second
OpenMP pool competes with torch's. Arrays carry a border row and column 0, so cell (i, j) of the equations is
[i + 1, j + 1].
"""

# mypy: allow-untyped-defs

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import exp, inf, log, log1p
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]

# Outside these bounds a linear partition sum may have lost weight to overflow or underflow. Inside them it
# has not: cutting an alignment where a factor underflows gives two valid ones, each at most Z, so what was
# lost is below Z * Z * 1e-308, which is 1e-28 of Z.
SMALLEST_Z = 1e-280
LARGEST_Z = 1e280

PARALLEL_CELLS = 100_000  # about 1 ms of work; below it starting threads costs more than it saves


@njit(cache=True, nogil=True)
def _linear_pair(s, go, ge, t, n, m, work, rows, posterior) -> tuple[bool, float, float, float]:
    """One pair in the linear domain: (accepted, score, openings, extensions); fills posterior if accepted.

    Forward, from u = 1 + a + x + y at the diagonal neighbour::

        a = exp(S/t) u    x = eo a[i,j-1] + ee x[i,j-1]    y = eo (a + x)[i-1,j] + ee y[i-1,j]    Z = sum of a

    Backward, with A, X, Y the derivatives of log Z by a, x, y and mu = exp(S/t) A::

        A = 1/Z + mu[i+1,j+1] + eo X[i,j+1] + eo Y[i+1,j]      posterior = a A
        X =       mu[i+1,j+1] + ee X[i,j+1] + eo Y[i+1,j]
        Y =       mu[i+1,j+1]               + ee Y[i+1,j]
    """
    eo, ee = exp(-go / t), exp(-ge / t)
    e, a, x, y = work[0], work[1], work[2], work[3]
    for state in range(1, 4):
        work[state, 0, : m + 1] = 0.0
        work[state, : n + 1, 0] = 0.0
    z = 0.0
    for i in range(n):
        for j in range(m):
            e[i, j] = exp(s[i, j] / t)
        for j in range(m):
            a[i + 1, j + 1] = e[i, j] * (1.0 + a[i, j] + x[i, j] + y[i, j])
        for j in range(m):
            y[i + 1, j + 1] = eo * (a[i, j + 1] + x[i, j + 1]) + ee * y[i, j + 1]
        carried = 0.0
        for j in range(m):
            carried = eo * a[i + 1, j] + ee * carried
            x[i + 1, j + 1] = carried
            z += a[i + 1, j + 1]
        if not z < LARGEST_Z:
            return False, 0.0, 0.0, 0.0
    if not z > SMALLEST_Z:
        return False, 0.0, 0.0, 0.0

    mu, down = rows[0], rows[1]  # mu and Y of the row below, one column to the right of j at j + 1
    mu[: m + 2] = 0.0
    down[: m + 2] = 0.0
    end = 1.0 / z
    openings, extensions = 0.0, 0.0
    for i in range(n - 1, -1, -1):
        right, mu_diagonal = 0.0, 0.0
        for j in range(m - 1, -1, -1):
            a_ij, x_ij, y_ij = a[i + 1, j + 1], x[i + 1, j + 1], y[i + 1, j + 1]
            below = down[j]
            opened = eo * (right + below)
            A = end + mu_diagonal + opened
            openings += a_ij * opened + x_ij * eo * below
            extensions += ee * (x_ij * right + y_ij * below)
            posterior[i, j] = a_ij * A
            right = mu_diagonal + ee * right + eo * below
            down[j] = mu_diagonal + ee * below
            mu_diagonal = mu[j]
            mu[j] = e[i, j] * A
    return True, t * log(z), openings, extensions


@njit(cache=True, nogil=True)
def _smax2(a, b, t):
    """Smooth maximum of two numbers; a term 40 nats down is below float64's resolution. -inf is fine."""
    top = max(a, b)
    below = (min(a, b) - top) / t
    return top + t * log1p(exp(below)) if below > -40.0 else top


@njit(cache=True, nogil=True)
def _log_forward(s, go, ge, t, n, m, work, above) -> None:
    """Fill work = D, Ix, Iy and U = smax(0, D, Ix, Iy), in the units of S; `above` is one row of scratch."""
    D, X, Y, U = work[0], work[1], work[2], work[3]
    work[:3, 0, : m + 1] = -inf
    work[:3, : n + 1, 0] = -inf
    U[0, : m + 1] = 0.0
    U[: n + 1, 0] = 0.0
    above[: m + 1] = -inf  # smax(D, Ix) of the row above
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            d = s[i - 1, j - 1] + U[i - 1, j - 1]
            x = _smax2(D[i, j - 1] - go, X[i, j - 1] - ge, t)
            y = _smax2(above[j] - go, Y[i - 1, j] - ge, t)
            above[j] = _smax2(d, x, t)
            D[i, j], X[i, j], Y[i, j] = d, x, y
            U[i, j] = _smax2(_smax2(above[j], y, t), 0.0, t)


@njit(cache=True, nogil=True)
def _log_pair(s, go, ge, t, n, m, work, rows, posterior) -> tuple[float, float, float]:
    """One pair in the log domain: (score, openings, extensions); fills posterior, which must be zeros.

    Every share is exp((argument - smax) / t) as in `recursion.backward`, here pulled by the cell that
    receives it. A state that cannot be reached is -inf and its derivative 0; the tests for 0 keep -inf - -inf
    from being formed.
    """
    _log_forward(s, go, ge, t, n, m, work, rows[0])
    D, X, Y, U = work[0], work[1], work[2], work[3]
    top = -inf
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            top = max(top, D[i, j])
    if top == -inf:
        return -inf, 0.0, 0.0
    z = 0.0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            z += exp((D[i, j] - top) / t)
    score = top + t * log(z)

    g_diagonal, g_down = rows[0], rows[1]  # dV/dD and dV/dIy of the row below
    g_diagonal[: m + 2] = 0.0
    g_down[: m + 2] = 0.0
    openings, extensions = 0.0, 0.0
    for i in range(n, 0, -1):
        g_right, g = 0.0, 0.0
        for j in range(m, 0, -1):
            d, x, y = D[i, j], X[i, j], Y[i, j]
            g_d, g_x, g_y = exp((d - score) / t), 0.0, 0.0
            if g != 0.0:
                g_d += g * exp((d - U[i, j]) / t)
                g_x += g * exp((x - U[i, j]) / t)
                g_y += g * exp((y - U[i, j]) / t)
            if g_right != 0.0:
                opened = g_right * exp((d - go - X[i, j + 1]) / t)
                extended = g_right * exp((x - ge - X[i, j + 1]) / t)
                g_d += opened
                g_x += extended
                openings += opened
                extensions += extended
            below = g_down[j]
            if below != 0.0:
                opened = below * exp((d - go - Y[i + 1, j]) / t)
                turned = below * exp((x - go - Y[i + 1, j]) / t)
                extended = below * exp((y - ge - Y[i + 1, j]) / t)
                g_d += opened
                g_x += turned
                g_y += extended
                openings += opened + turned
                extensions += extended
            posterior[i - 1, j - 1] = g_d
            g = g_diagonal[j]
            g_diagonal[j] = g_d
            g_right = g_x
            g_down[j] = g_y
    return score, openings, extensions


@njit(cache=True, nogil=True)
def _soft_pairs(first, step, similarity, go, ge, t, lengths, score, posterior, openings, extensions) -> None:
    """Pairs first, first + step, ...: linear domain where it holds, log domain where not."""
    pairs, rows, columns = similarity.shape
    work = np.empty((4, rows + 1, columns + 1))
    scratch = np.empty((2, columns + 2))
    for b in range(first, pairs, step):
        n, m = lengths[b, 0], lengths[b, 1]
        accepted, v, o, x = False, 0.0, 0.0, 0.0
        if go >= 0 and ge >= 0:  # rewarded gaps could overflow x or y without showing in Z
            accepted, v, o, x = _linear_pair(similarity[b], go, ge, t, n, m, work, scratch, posterior[b])
        if not accepted:
            v, o, x = _log_pair(similarity[b], go, ge, t, n, m, work, scratch, posterior[b])
        score[b], openings[b], extensions[b] = v, o, x


@njit(cache=True, nogil=True)
def _table_pairs(first, step, similarity, go, ge, t, lengths, table) -> None:
    """D of pairs first, first + step, ..."""
    pairs, rows, columns = similarity.shape
    work = np.empty((4, rows + 1, columns + 1))
    scratch = np.empty(columns + 1)
    for b in range(first, pairs, step):
        n, m = lengths[b, 0], lengths[b, 1]
        _log_forward(similarity[b], go, ge, t, n, m, work, scratch)
        table[b, :n, :m] = work[0, 1 : n + 1, 1 : m + 1]


@njit(cache=True, nogil=True)
def _hard_pair(s, go, ge, n, m, rows, directions, path) -> tuple[float, int]:
    """One pair at t = 0: (max D, number of matches); fills path with its matches if max D >= 0.

    A byte of directions holds the first maximum of each argument list, as `recursion` orders them: bits 0-1
    for D (start, D, Ix, Iy), bit 2 for Ix (D, Ix), bits 3-4 for Iy (D, Ix, Iy).
    """
    D, X, Y = rows[0], rows[1], rows[2]  # one row each, overwritten from left to right
    rows[:, : m + 1] = -inf
    top, end_i, end_j = -inf, 0, 0
    for i in range(n):
        d_diagonal, x_diagonal, y_diagonal = -inf, -inf, -inf
        d_left, x_left = -inf, -inf
        for j in range(m):
            d_up, x_up, y_up = D[j], X[j], Y[j]
            best, code = 0.0, 0
            if d_diagonal > best:
                best, code = d_diagonal, 1
            if x_diagonal > best:
                best, code = x_diagonal, 2
            if y_diagonal > best:
                best, code = y_diagonal, 3
            d = s[i, j] + best
            x = d_left - go
            if x_left - ge > x:
                x = x_left - ge
                code |= 4
            y, from_y = d_up - go, 0
            if x_up - go > y:
                y, from_y = x_up - go, 8
            if y_up - ge > y:
                y, from_y = y_up - ge, 16
            directions[i, j] = code | from_y
            if d > top:
                top, end_i, end_j = d, i, j
            d_diagonal, x_diagonal, y_diagonal = d_up, x_up, y_up
            d_left, x_left = d, x
            D[j], X[j], Y[j] = d, x, y
    if not top >= 0.0:
        return top, 0

    count, i, j, state = 0, end_i, end_j, 1
    while state != 0:
        code = directions[i, j]
        if state == 1:
            path[count, 0], path[count, 1] = i, j
            count += 1
            state = code & 3
            i, j = i - 1, j - 1
        elif state == 2:
            state = 1 + ((code >> 2) & 1)
            j -= 1
        else:
            state = 1 + (code >> 3)
            i -= 1
    path[:count] = path[:count][::-1].copy()
    return top, count


@njit(cache=True, nogil=True)
def _hard_pairs(first, step, similarity, go, ge, lengths, score, paths, counts) -> None:
    """Pairs first, first + step, ... at t = 0."""
    pairs, rows, columns = similarity.shape
    directions = np.empty((rows, columns), dtype=np.uint8)
    scratch = np.empty((3, columns + 1))
    for b in range(first, pairs, step):
        n, m = lengths[b, 0], lengths[b, 1]
        top, counts[b] = _hard_pair(similarity[b], go, ge, n, m, scratch, directions, paths[b])
        score[b] = max(0.0, top)


def _over_pairs(kernel: Callable[..., None], similarity: Array, threads: int, *arguments: object) -> None:
    """Call a kernel on all pairs, every threads-th pair in each thread when there is enough work."""
    threads = min(threads, len(similarity)) if similarity.size > PARALLEL_CELLS else 1
    if threads == 1:
        kernel(0, 1, similarity, *arguments)
        return
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(kernel, k, threads, similarity, *arguments) for k in range(threads)]
    for each in running:
        each.result()


class Soft(NamedTuple):
    """Score [B], posterior [B, N, M], expected openings [B] and extensions [B] of a batch."""

    score: Array
    posterior: Array
    openings: Array
    extensions: Array


def soft(
    similarity: Array,
    gap_open: float,
    gap_extend: float,
    temperature: float,
    lengths: Array,
    threads: int = 1,
) -> Soft:
    """Soft alignment of a batch, forward and backward.

    Parameters
    ----------
    similarity : ndarray, shape (B, N, M), float32 or float64, C-contiguous
    gap_open, gap_extend, temperature : float
    lengths : ndarray, shape (B, 2), int64
        Only the first n rows and m columns of a pair are read; the posterior is 0 elsewhere.
    threads : int, default 1
        At most this many threads, and only when the batch is worth it.

    Returns
    -------
    Soft
        Arrays of the similarity's dtype.
    """
    score, openings, extensions = (np.empty(len(similarity), dtype=similarity.dtype) for _ in range(3))
    out = Soft(score, np.zeros_like(similarity), openings, extensions)
    _over_pairs(_soft_pairs, similarity, threads, gap_open, gap_extend, temperature, lengths, *out)
    return out


def table(
    similarity: Array,
    gap_open: float,
    gap_extend: float,
    temperature: float,
    lengths: Array,
    threads: int = 1,
) -> Array:
    """D of a batch, shape (B, N, M), -inf outside the lengths; arguments as in `soft`."""
    out = np.full_like(similarity, -inf)
    _over_pairs(_table_pairs, similarity, threads, gap_open, gap_extend, temperature, lengths, out)
    return out


class Hard(NamedTuple):
    """Score [B], matches [B, min(N, M), 2] and how many of them count [B]."""

    score: Array
    paths: Array
    counts: Array


def hard(similarity: Array, gap_open: float, gap_extend: float, lengths: Array, threads: int = 1) -> Hard:
    """Hard alignment of a batch with its traceback; arguments as in `soft`."""
    pairs, rows, columns = similarity.shape
    score = np.empty(pairs, dtype=similarity.dtype)
    paths = np.zeros((pairs, min(rows, columns), 2), dtype=np.int64)
    out = Hard(score, paths, np.zeros(pairs, dtype=np.int64))
    _over_pairs(_hard_pairs, similarity, threads, gap_open, gap_extend, lengths, *out)
    return out
