"""Dynamic time warping, soft and hard: the global cousins of Smith-Waterman, which the baselines need.

A path goes from cell (0, 0) to (n - 1, m - 1) in steps to the right, down, or both, through every frame of
either video, idle ones included, and pays the cost of each cell it goes through::

    R[i,j] = cost[i,j] + rmin(R[i,j-1], R[i-1,j-1], R[i-1,j])          R[0,0] = cost[0,0]

Predecessors outside the table do not take part. With ``rmin`` the minimum this is DTW, and R[n-1,m-1] the
cost of the cheapest path. Two relaxations make it differentiable, at temperature t > 0:

- ``logsumexp``, ``-t log sum exp(-r / t)``: soft-DTW (Cuturi & Blondel 2017, arXiv 1703.01541), which LAV
  uses. R[n-1,m-1] is -t log sum exp(-(cost of a path) / t) over all paths, so it lies below the cheapest
  path's and may be negative; its gradient by the cost is how probable each cell is.
- ``expectation``, ``sum p r`` with ``p = softmax(-r / t)``: GTA (Hadji et al. 2021, arXiv 2105.05217). It
  lies above the minimum. Its derivative by r_n is ``p_n (1 - (r_n - sum p r) / t)``; the three sum to 1, but
  one may be negative, so that over hundreds of frames gradients can grow along the path.

`dtw_kernels` and `dtw_wavefront` compute them, on the CPU and on any device.
"""

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lacbook.alignment.api import Lengths, _as_batch
from lacbook.alignment.checks import _find, check_lengths

RELAXATIONS = ("logsumexp", "expectation")
BACKENDS = ("auto", "numba", "wavefront")
OUTSIDE = 1e30  # what R holds past the lengths; finite, so that no softmax meets -inf alone
LARGEST_COST = 1e20  # so that sums of costs stay far below OUTSIDE


@dataclass(frozen=True, eq=False)
class SoftDTW:
    """Result of `soft_dtw`. Unbatched input drops the leading B. Differentiable by the cost, once.

    Attributes
    ----------
    score : Tensor, shape (B,)
        R[n-1, m-1].
    table : Tensor, shape (B, N, M)
        R; 1e30 outside the lengths, where softmax(-R) is 0 unless a whole row or column is padding.
    """

    score: Tensor
    table: Tensor


@dataclass(frozen=True, eq=False)
class HardDTW:
    """Result of `dtw`, detached.

    Attributes
    ----------
    score : Tensor, shape (B,), or () for unbatched input
        Cost of the cheapest path.
    """

    score: Tensor
    _paths: NDArray[np.int64]
    _counts: NDArray[np.int64]

    def path(self, b: int = 0) -> list[tuple[int, int]]:
        """Cells (i, j) of pair b's cheapest path, from (0, 0) to (n-1, m-1).

        Where paths tie, walking back from the end prefers the diagonal step, then the one from the left,
        then the one from above.

        Raises
        ------
        IndexError
            If there is no such pair.
        """
        if b < 0:
            raise IndexError(f"b is {b}; expected 0 or above")
        return [(i, j) for i, j in self._paths[b, : self._counts[b]].tolist()]


def _implementation(backend: str, device: torch.device) -> ModuleType:
    """The module that computes; not loaded before, since numba takes its time."""
    if backend == "numba" or (backend == "auto" and device.type == "cpu"):
        from lacbook.alignment import dtw_kernels

        return dtw_kernels
    from lacbook.alignment import dtw_wavefront

    return dtw_wavefront


@torch.library.custom_op("lacbook::soft_dtw_table", mutates_args=())
def soft_dtw_table_op(
    cost: Tensor, temperature: float, expectation: bool, lengths: Tensor, backend: str
) -> Tensor:
    """R [B, N, M] in the dtype of the state, as is the cost."""
    table: Tensor = _implementation(backend, cost.device).table(cost, temperature, expectation, lengths)
    return table


@soft_dtw_table_op.register_fake
def _table_fake(cost: Tensor, temperature: float, expectation: bool, lengths: Tensor, backend: str) -> Tensor:
    """Shapes only, for the tracer."""
    return cost.new_empty(cost.shape)


def _table_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep the table, which alone decides the shares."""
    _, ctx.temperature, ctx.expectation, lengths, ctx.backend = inputs
    ctx.save_for_backward(output, lengths)


def _table_backward(ctx: Any, seeds: Tensor) -> tuple[Tensor | None, ...]:
    """Chain rule."""
    table, lengths = ctx.saved_tensors
    gradient = soft_dtw_gradient_op(table, ctx.temperature, ctx.expectation, lengths, ctx.backend, seeds)
    return gradient, None, None, None, None


soft_dtw_table_op.register_autograd(_table_backward, setup_context=_table_setup)


@torch.library.custom_op("lacbook::soft_dtw_gradient", mutates_args=())
def soft_dtw_gradient_op(
    table: Tensor, temperature: float, expectation: bool, lengths: Tensor, backend: str, seeds: Tensor
) -> Tensor:
    """Derivatives of the sum of seeds * R by the cost, [B, N, M]; 0 past the lengths.

    No derivative is registered: a backward pass that reaches it raises RuntimeError.
    """
    implementation = _implementation(backend, table.device)
    gradient: Tensor = implementation.gradient(table, temperature, expectation, lengths, seeds)
    return gradient


@soft_dtw_gradient_op.register_fake
def _gradient_fake(
    table: Tensor, temperature: float, expectation: bool, lengths: Tensor, backend: str, seeds: Tensor
) -> Tensor:
    """Shapes only, for the tracer."""
    return table.new_empty(table.shape)


def _checked(cost: Tensor | NDArray[Any], lengths: Lengths) -> tuple[Tensor, Tensor, bool]:
    """Check shapes and values; return cost [B,N,M], lengths [B,2] int64, and whether it was batched."""
    c, limits, batched = _as_batch(cost, lengths, "cost")
    check_lengths(limits, *c.shape[1:])
    large = ~(c.detach().abs() < LARGEST_COST)  # true for NaN
    if large.any():
        _find("cost", c, large, limits, f"numbers below {LARGEST_COST:g} in size")
    return c, limits, batched


def soft_dtw(
    cost: Tensor | NDArray[Any],
    *,
    temperature: float = 0.1,
    lengths: Lengths = None,
    relaxation: str = "logsumexp",
    backend: str = "auto",
) -> SoftDTW:
    """Differentiable global alignment: the relaxed cost of warping one video onto the other.

    Parameters
    ----------
    cost : Tensor or ndarray, shape (B, N, M) or (N, M)
        Smaller is more alike; any sign, below 1e20 in size. float64 is computed and returned in float64;
        float32 with float64 inside (float32 on Apple's MPS); half and bfloat16 as float32, with the gradient
        in their own dtype.
    temperature : float, default 0.1
        Above 0; towards 0 both relaxations become the minimum.
    lengths : int array or tensor, shape (B, 2), or (2,) unbatched; default None
        Real frames (n, m) of each pair, at least 1. The rest is padding: never read (it may be NaN), gradient
        0.
    relaxation : str, default "logsumexp"
        "logsumexp" (soft-DTW, LAV) or "expectation" (GTA).
    backend : str, default "auto"
        "numba" (compiled, on the CPU), "wavefront" (torch operations, on any device), or "auto": numba on the
        CPU, wavefront elsewhere.

    Returns
    -------
    SoftDTW
        Score and table, by one pass of O(N M) steps, and a second for the gradient. Until that is done a
        table of 8 bytes a cell is kept; the passes take 8 to 16 bytes a cell more, and what the backend
        wavefront needs its file says.

    Raises
    ------
    ValueError
        For wrong shapes or dtypes, costs inside the lengths that are NaN or not below 1e20 in size,
        temperature <= 0, lengths out of range, an unknown relaxation or backend; the message names the
        argument and what was found.
    RuntimeError
        In a backward pass that asks for second derivatives.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; expected a finite number above 0 (for 0 use dtw)")
    for name, value, known in (("relaxation", relaxation, RELAXATIONS), ("backend", backend, BACKENDS)):
        if value not in known:
            raise ValueError(f"{name} is {value!r}; expected {', '.join(map(repr, known))}")
    c, limits, batched = _checked(cost, lengths)
    state = torch.float32 if c.device.type == "mps" else torch.float64
    expectation = relaxation == "expectation"
    table = soft_dtw_table_op(c.to(state), float(temperature), expectation, limits, backend).to(c.dtype)
    ends = (limits - 1).to(table.device)
    score = table[torch.arange(len(table), device=table.device), ends[:, 0], ends[:, 1]]
    return SoftDTW(score, table) if batched else SoftDTW(score[0], table[0])


def dtw(cost: Tensor | NDArray[Any], *, lengths: Lengths = None) -> HardDTW:
    """Find the cheapest global alignment of each pair, with its path.

    Parameters
    ----------
    cost, lengths
        As in `soft_dtw`; not differentiated.

    Returns
    -------
    HardDTW
        Score and path.

    Raises
    ------
    ValueError
        As in `soft_dtw`.

    Notes
    -----
    Sakoe & Chiba (1978), without slope constraint or weights for diagonal steps. O(N M) steps on the CPU;
    memory while computing: 1 byte per cell of one pair and thread.
    """
    from lacbook.alignment import dtw_kernels

    c, limits, batched = _checked(cost, lengths)
    score, paths, counts = dtw_kernels.hard(c.detach(), limits)
    return HardDTW(score if batched else score[0], paths, counts)
