"""The equations of `recursion` as CUDA kernels, forward and backward in one launch, in the log domain.

A block of threads works on one pair after another; its threads go through an anti-diagonal in strides, so
videos may have any length, with one barrier per diagonal. The tables lie in global memory, skewed:
[block, state, d, i] for cell (i, d - i), so that neighbouring threads touch neighbouring numbers. Backward,
each cell leaves the shares softmax(arguments / t) times its own derivatives for the cells where its arguments
come from; these fetch them one or two diagonals later, so that no two threads add to the same number and
results do not depend on timing.

State is float64 whatever the similarity's dtype, since float32 loses digits at small temperatures. Scratch
memory: 24 (N + M) N bytes a block, at most `SCRATCH_BYTES` together but always enough for one block.

With NUMBA_ENABLE_CUDASIM=1 in the environment, the same kernels run on CPU tensors in numba's simulator,
slowly.

The functions at the end take and return what those of `wavefront` do. There is no tangent kernel: second
derivatives on the GPU run in `wavefront`.
"""

# mypy: allow-untyped-defs

import contextlib
from collections.abc import Iterator
from math import exp, inf, log, log1p
from typing import Any

import torch
from numba import config, cuda, float64
from torch import Tensor

SIMULATED = bool(getattr(config, "ENABLE_CUDASIM", False))
MOST_THREADS = 256  # a power of two
SCRATCH_BYTES = 2**30
# numba warns of smaller grids, and to silence it would be a matter of the whole process. Blocks too many
# return at once.
FEWEST_BLOCKS = 1 if SIMULATED else 128


@cuda.jit(device=True)
def smooth_max(a, b, t):
    """Smooth maximum of two numbers; a term 40 nats down is below float64's resolution. -inf is fine."""
    top = max(a, b)
    if top == -inf:
        return top
    below = (min(a, b) - top) / t
    return top + t * log1p(exp(below)) if below > -40.0 else top


@cuda.jit(device=True)
def shares2(a, b, t):
    """softmax((a, b) / t), zeros if both are -inf."""
    top = max(a, b)
    if top == -inf:
        return 0.0, 0.0
    a, b = exp((a - top) / t), exp((b - top) / t)
    total = a + b
    return a / total, b / total


@cuda.jit(device=True)
def shares3(a, b, c, t):
    """softmax((a, b, c) / t), zeros if all are -inf."""
    top = max(a, b, c)
    if top == -inf:
        return 0.0, 0.0, 0.0
    a, b, c = exp((a - top) / t), exp((b - top) / t), exp((c - top) / t)
    total = a + b + c
    return a / total, b / total, c / total


@cuda.jit(device=True)
def shares_after_start(a, b, c, t):
    """The last three of softmax((0, a, b, c) / t): how much of a match goes on from another state."""
    top = max(a, b, c, 0.0)
    a, b, c = exp((a - top) / t), exp((b - top) / t), exp((c - top) / t)
    total = exp(-top / t) + a + b + c
    return a / total, b / total, c / total


@cuda.jit(device=True)
def _diagonal_of(table, d, i, j):
    """States D, Ix, Iy of cell (i - 1, j - 1)."""
    if i == 0 or j == 0:
        return -inf, -inf, -inf
    return table[0, d - 2, i - 1], table[1, d - 2, i - 1], table[2, d - 2, i - 1]


@cuda.jit(device=True)
def _left_of(table, d, i, j):
    """States D, Ix of cell (i, j - 1)."""
    if j == 0:
        return -inf, -inf
    return table[0, d - 1, i], table[1, d - 1, i]


@cuda.jit(device=True)
def _above(table, d, i):
    """States D, Ix, Iy of cell (i - 1, j)."""
    if i == 0:
        return -inf, -inf, -inf
    return table[0, d - 1, i - 1], table[1, d - 1, i - 1], table[2, d - 1, i - 1]


@cuda.jit(device=True)
def _forward(s, go, ge, k, t, n, m, table):
    """Fill the table; return this thread's largest D and its sum of exp((D - largest) / t)."""
    top, z = -inf, 0.0
    for d in range(n + m - 1):
        first, last = max(0, d - m + 1), min(n - 1, d)
        for i in range(first + cuda.threadIdx.x, last + 1, cuda.blockDim.x):
            j = d - i
            o, e = go[i * k, j * k], ge[i * k, j * k]
            a, b, c = _diagonal_of(table, d, i, j)
            D = s[i, j] + smooth_max(smooth_max(smooth_max(a, b, t), c, t), 0.0, t)
            table[0, d, i] = D
            a, b = _left_of(table, d, i, j)
            table[1, d, i] = smooth_max(a - o, b - e, t)
            a, b, c = _above(table, d, i)
            table[2, d, i] = smooth_max(smooth_max(a, b, t) - o, c - e, t)
            if top < D:
                z = z * exp((top - D) / t) + 1.0
                top = D
            elif -inf < D:
                z += exp((D - top) / t)
        cuda.syncthreads()
    return top, z


@cuda.jit(device=True)
def _partition(top, z, t, tops, sums):
    """Combine all threads' (largest D, sum of exp((D - largest) / t)) into one, the same for all threads."""
    thread, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    tops[thread], sums[thread] = top, z
    cuda.syncthreads()
    while half > 0:
        if thread < half and tops[thread + half] > -inf:
            a, b = tops[thread], tops[thread + half]
            top = max(a, b)
            sums[thread] = sums[thread] * exp((a - top) / t) + sums[thread + half] * exp((b - top) / t)
            tops[thread] = top
        cuda.syncthreads()
        half //= 2
    return tops[0], sums[0]


@cuda.jit(device=True)
def _sum(value, sums):
    """Sum over all threads, on all of them."""
    thread, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    cuda.syncthreads()  # nobody still reads what is overwritten here
    sums[thread] = value
    cuda.syncthreads()
    while half > 0:
        if thread < half:
            sums[thread] += sums[thread + half]
        cuda.syncthreads()
        half //= 2
    return sums[0]


@cuda.jit(device=True)
def _backward(seeds, top, z, go, ge, k, t, n, m, table, shares, sums, matches, openings, extensions):
    """Fill the derivatives of V, or where z is 0 of the sum of seeds * D: dS, -dgo, -dge (summed if k is 0).

    shares[:, d % 3, i] is what cell (i, d - i) leaves for others: 0-2 for D, Ix, Iy of (i - 1, j - 1), 3-4
    for D, Ix of (i, j - 1), 5-7 for D, Ix, Iy of (i - 1, j).
    """
    opened, extended = 0.0, 0.0
    for d in range(n + m - 2, -1, -1):
        now, next_, after = d % 3, (d + 1) % 3, (d + 2) % 3
        first, last = max(0, d - m + 1), min(n - 1, d)
        for i in range(first + cuda.threadIdx.x, last + 1, cuda.blockDim.x):
            j = d - i
            o, e = go[i * k, j * k], ge[i * k, j * k]
            if z > 0.0:
                g = exp((table[0, d, i] - top) / t) / z
            else:
                g = float64(seeds[i, j])
            gx, gy = 0.0, 0.0
            if i + 1 < n and j + 1 < m:
                g += shares[0, after, i + 1]
                gx += shares[1, after, i + 1]
                gy += shares[2, after, i + 1]
            if j + 1 < m:
                g += shares[3, next_, i]
                gx += shares[4, next_, i]
            if i + 1 < n:
                g += shares[5, next_, i + 1]
                gx += shares[6, next_, i + 1]
                gy += shares[7, next_, i + 1]
            matches[i, j] = min(g, 1.0) if z > 0.0 else g  # rounding may leave 1 + 1e-15
            a, b, c = _diagonal_of(table, d, i, j)
            wd, wx, wy = shares_after_start(a, b, c, t)
            shares[0, now, i], shares[1, now, i], shares[2, now, i] = g * wd, g * wx, g * wy
            a, b = _left_of(table, d, i, j)
            wd, wx = shares2(a - o, b - e, t)
            shares[3, now, i], shares[4, now, i] = gx * wd, gx * wx
            opens, extends = gx * wd, gx * wx
            a, b, c = _above(table, d, i)
            wd, wx, wy = shares3(a - o, b - o, c - e, t)
            shares[5, now, i], shares[6, now, i], shares[7, now, i] = gy * wd, gy * wx, gy * wy
            opens += gy * (wd + wx)
            extends += gy * wy
            if k > 0:
                openings[i, j], extensions[i, j] = opens, extends
            else:
                opened += opens
                extended += extends
        cuda.syncthreads()
    if k == 0:
        opened, extended = _sum(opened, sums), _sum(extended, sums)
        if cuda.threadIdx.x == 0:
            openings[0, 0], extensions[0, 0] = opened, extended


@cuda.jit
def _soft_kernel(s, go, ge, k, t, lengths, tables, shares, score, posterior, openings, extensions):
    """Score, posterior and expected gaps; each block that has a table takes every len(tables)-th pair."""
    tops = cuda.shared.array(MOST_THREADS, float64)
    sums = cuda.shared.array(MOST_THREADS, float64)
    block = cuda.blockIdx.x
    if block >= len(tables):
        return
    for b in range(block, len(s), len(tables)):
        n, m = lengths[b, 0], lengths[b, 1]
        top, z = _forward(s[b], go[b], ge[b], k, t, n, m, tables[block])
        top, z = _partition(top, z, t, tops, sums)
        if cuda.threadIdx.x == 0:
            score[b] = top + t * log(z) if z > 0.0 else -inf
        if z > 0.0:
            _backward(
                s[b],
                top,
                z,
                go[b],
                ge[b],
                k,
                t,
                n,
                m,
                tables[block],
                shares[block],
                sums,
                posterior[b],
                openings[b],
                extensions[b],
            )
        cuda.syncthreads()  # before the next pair overwrites what this one may still read


@cuda.jit
def _table_kernel(s, go, ge, k, t, lengths, tables, D):
    """D; each block that has a table takes every len(tables)-th pair."""
    block = cuda.blockIdx.x
    if block >= len(tables):
        return
    for b in range(block, len(s), len(tables)):
        n, m = lengths[b, 0], lengths[b, 1]
        _forward(s[b], go[b], ge[b], k, t, n, m, tables[block])
        for i in range(n):
            for j in range(cuda.threadIdx.x, m, cuda.blockDim.x):
                D[b, i, j] = tables[block, 0, i + j, i]
        cuda.syncthreads()


@cuda.jit
def _table_gradient_kernel(s, go, ge, k, t, lengths, tables, shares, seeds, matches, openings, extensions):
    """Derivatives of the sum of seeds * D; each block that has a table takes every len(tables)-th pair."""
    sums = cuda.shared.array(MOST_THREADS, float64)
    block = cuda.blockIdx.x
    if block >= len(tables):
        return
    for b in range(block, len(s), len(tables)):
        n, m = lengths[b, 0], lengths[b, 1]
        _forward(s[b], go[b], ge[b], k, t, n, m, tables[block])
        _backward(
            seeds[b],
            0.0,
            0.0,
            go[b],
            ge[b],
            k,
            t,
            n,
            m,
            tables[block],
            shares[block],
            sums,
            matches[b],
            openings[b],
            extensions[b],
        )
        cuda.syncthreads()


def _view(tensor: Tensor) -> Any:
    """The tensor's own memory as the kernels take it."""
    return tensor.numpy() if SIMULATED else cuda.as_cuda_array(tensor, sync=False)


@contextlib.contextmanager
def _device(device: torch.device) -> Iterator[Any]:
    """Make a device current for torch and numba; yields torch's stream as numba's."""
    if SIMULATED:
        yield 0
        return
    with torch.cuda.device(device), contextlib.ExitStack() as stack:
        if cuda.get_current_device().id != device.index:
            stack.enter_context(cuda.gpus[device.index])
        yield cuda.external_stream(torch.cuda.current_stream(device).cuda_stream)


def _launch(
    kernel: Any,
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    *arrays: Tensor,
    shares: bool,
) -> None:
    """Run a kernel on torch's current stream, with scratch memory from torch's allocator."""
    device = similarity.device
    pairs, rows, columns = similarity.shape
    if pairs == 0:
        return
    per_block = 8 * (3 * (rows + columns - 1) + 24) * rows
    processors = 1 if SIMULATED else torch.cuda.get_device_properties(device).multi_processor_count
    blocks = max(1, min(pairs, 4 * processors, SCRATCH_BYTES // per_block))
    threads = 4 if SIMULATED else 32
    while threads < min(rows, columns, MOST_THREADS) and not SIMULATED:
        threads *= 2
    scratch = [torch.empty((blocks, 3, rows + columns - 1, rows), dtype=torch.float64, device=device)]
    if shares:
        scratch.append(torch.empty((blocks, 8, 3, rows), dtype=torch.float64, device=device))
    k = int(gap_open.shape == similarity.shape)
    problem = [a.contiguous() for a in (similarity, gap_open, gap_extend)]
    others = [lengths.to(device).contiguous(), *scratch, *arrays]
    with _device(device) as stream:  # before the views, or numba would open a context on its first device
        problem, others = [_view(a) for a in problem], [_view(a) for a in others]
        kernel[max(blocks, FEWEST_BLOCKS), threads, stream](*problem, k, float(temperature), *others)


def obstacle() -> str:
    """Say why the kernels cannot run here, or nothing; tries them on a pair of two frames each."""
    from lacbook.alignment import wavefront

    if SIMULATED:
        return ""
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    try:
        if not cuda.is_available():
            return "numba finds no CUDA driver, or numba-cuda is not installed"
        s = torch.tensor([[[1.0, -1.0], [0.5, 2.0]]], device="cuda")
        penalty, lengths = s.new_full((1, 1, 1), 0.5), torch.tensor([[2, 2]], device="cuda")
        found = soft(s, penalty, penalty, 1.0, lengths)
        expected = wavefront.soft(s, penalty, penalty, 1.0, lengths)
        torch.cuda.synchronize()
    except Exception as error:  # driver, compiler and numba each raise their own; all mean the same here
        return f"{type(error).__name__}: {error}".splitlines()[0]
    if not all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True)):
        return "they fail their self-test"
    return ""


def soft(
    similarity: Tensor, gap_open: Tensor, gap_extend: Tensor, temperature: float, lengths: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Score [B], posterior [B, N, M], expected openings and extensions in the shape of the penalties."""
    out = (
        similarity.new_empty(len(similarity)),
        similarity.new_zeros(similarity.shape),
        similarity.new_zeros(gap_open.shape),
        similarity.new_zeros(gap_extend.shape),
    )
    problem = (similarity, gap_open, gap_extend, temperature, lengths)
    _launch(_soft_kernel, *problem, *out, shares=True)
    return out


def table(
    similarity: Tensor, gap_open: Tensor, gap_extend: Tensor, temperature: float, lengths: Tensor
) -> Tensor:
    """D [B, N, M]."""
    D = similarity.new_full(similarity.shape, -torch.inf)
    _launch(_table_kernel, similarity, gap_open, gap_extend, temperature, lengths, D, shares=False)
    return D


def table_gradient(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    seeds: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of the sum of seeds * D: dS, and -dgo and -dge in the shape of the penalties."""
    out = (
        similarity.new_zeros(similarity.shape),
        similarity.new_zeros(gap_open.shape),
        similarity.new_zeros(gap_extend.shape),
    )
    problem = (similarity, gap_open, gap_extend, temperature, lengths)
    _launch(_table_gradient_kernel, *problem, seeds.contiguous(), *out, shares=True)
    return out
