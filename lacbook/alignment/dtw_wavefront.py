"""Soft dynamic time warping in torch operations, one anti-diagonal at a time, on any device.

The equations of `dtw`, with the tables skewed as in `wavefront`: [d + 2, b, i] for cell (i, d - i), two
diagonals of border in front. State is float64, and float32 on devices without it (Apple's MPS). Memory: about
25 bytes for each of the (N + M) N entries of a pair, forward, and 40 backward.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from lacbook.alignment.dtw import OUTSIDE
from lacbook.alignment.wavefront import _down, _skew, _unskew
from lacbook.padding import valid_cells

FAR = 1000.0  # temperatures above the minimum: exp(-FAR) is 0, and FAR times that is 0, not NaN


def _predecessors(tables: Tensor, d: int) -> Tensor:
    """R to the left, diagonally before and above every cell of diagonal d: [3, B, N]."""
    return torch.stack((tables[d + 1], _down(tables[d], OUTSIDE), _down(tables[d + 1], OUTSIDE)))


def _weights(arguments: Tensor, t: float) -> tuple[Tensor, Tensor, Tensor]:
    """Along the first axis: the minimum, how many t above it, and exp of minus that."""
    low = arguments.amin(0)
    above = ((arguments - low) / t).clamp(max=FAR)
    return low, above, (-above).exp()


def _relaxed_min(arguments: Tensor, t: float, expectation: bool) -> Tensor:
    """Relaxed minimum along the first axis."""
    low, above, weights = _weights(arguments, t)
    if expectation:
        return low + t * (weights * above).sum(0) / weights.sum(0)
    return low - t * weights.sum(0).log()


def _shares(arguments: Tensor, t: float, expectation: bool) -> Tensor:
    """Derivatives of `_relaxed_min`."""
    _, above, weights = _weights(arguments, t)
    p = weights / weights.sum(0)
    return p * (1 - above + (p * above).sum(0)) if expectation else p


def _skewed(cells: Tensor, inside: Tensor, fill: float) -> Tensor:
    """[2 + diagonals, B, N]: the border and everything past the lengths filled, whatever was there."""
    diagonals = torch.where(_skew(inside), _skew(cells), fill)
    return pad(diagonals, (0, 0, 0, 0, 2, 0), value=fill)


def table(cost: Tensor, temperature: float, expectation: bool, lengths: Tensor) -> Tensor:
    """R [B, N, M] in the dtype of the state, OUTSIDE past the lengths."""
    _, rows, columns = cost.shape
    dtype = torch.float32 if cost.device.type == "mps" else torch.float64
    inside = valid_cells(lengths.to(cost.device), rows, columns)
    tables = _skewed(cost.to(dtype), inside, OUTSIDE)
    for d in range(1, rows + columns - 1):  # the cost of (0, 0), on diagonal 0, is its R
        # Outside + outside stays finite; what is outside flows to no cell but those outside.
        tables[d + 2] += _relaxed_min(_predecessors(tables, d), temperature, expectation)
    return _unskew(tables[2:], columns).masked_fill(~inside, OUTSIDE)


def gradient(table: Tensor, temperature: float, expectation: bool, lengths: Tensor, seeds: Tensor) -> Tensor:
    """Derivatives of the sum of seeds * R by the cost, [B, N, M], 0 past the lengths."""
    _, rows, columns = table.shape
    inside = valid_cells(lengths.to(table.device), rows, columns)
    tables = _skewed(table, inside, OUTSIDE)
    g = _skewed(seeds.to(table.dtype), inside, 0.0)
    for d in range(rows + columns - 2, 0, -1):
        left, diagonal, up = _shares(_predecessors(tables, d), temperature, expectation) * g[d + 2]
        g[d + 1] += left
        g[d + 1, :, :-1] += up[:, 1:]
        g[d, :, :-1] += diagonal[:, 1:]
    return _unskew(g[2:], columns)  # nothing flows past the lengths
