"""Dynamic time warping compiled for the CPU: the equations of `dtw`, row by row, in as many threads as pay.

State is float64. Only the first n rows and m columns of a pair are read.
"""

# mypy: allow-untyped-defs

from math import exp, inf, log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lacbook.alignment.compiled import compiled
from lacbook.alignment.dtw import OUTSIDE
from lacbook.alignment.threads import over_pairs

FAR = 1000.0  # temperatures above the minimum: exp(-FAR) is 0, and FAR times that is 0, not NaN


@compiled
def _relaxed_min(a, b, c, t, expectation):
    """Relaxed minimum of three numbers."""
    low = min(a, b, c)
    a, b, c = min((a - low) / t, FAR), min((b - low) / t, FAR), min((c - low) / t, FAR)
    p, q, r = exp(-a), exp(-b), exp(-c)
    if expectation:
        return low + t * (p * a + q * b + r * c) / (p + q + r)
    return low - t * log(p + q + r)


@compiled
def _shares(a, b, c, t, expectation):
    """Derivatives of `_relaxed_min` by a, b and c."""
    low = min(a, b, c)
    a, b, c = min((a - low) / t, FAR), min((b - low) / t, FAR), min((c - low) / t, FAR)
    p, q, r = exp(-a), exp(-b), exp(-c)
    total = p + q + r
    p, q, r = p / total, q / total, r / total
    if expectation:
        mean = p * a + q * b + r * c
        return p * (1 - a + mean), q * (1 - b + mean), r * (1 - c + mean)
    return p, q, r


@compiled
def table_pairs(pairs, cost, t, expectation, lengths, table) -> None:
    """R."""
    for b in pairs:
        n, m = lengths[b, 0], lengths[b, 1]
        c, R = cost[b], table[b]
        R[0, 0] = c[0, 0]
        for j in range(1, m):  # one predecessor, so there is nothing to relax
            R[0, j] = R[0, j - 1] + c[0, j]
        for i in range(1, n):
            R[i, 0] = R[i - 1, 0] + c[i, 0]
            for j in range(1, m):
                before = _relaxed_min(R[i, j - 1], R[i - 1, j - 1], R[i - 1, j], t, expectation)
                R[i, j] = c[i, j] + before


@compiled
def gradient_pairs(pairs, table, t, expectation, lengths, seeds, gradient) -> None:
    """Derivatives of the sum of seeds * R: each cell hands its own to the cells it came from."""
    for b in pairs:
        n, m = lengths[b, 0], lengths[b, 1]
        R, g = table[b], gradient[b]
        g[:n, :m] = seeds[b, :n, :m]
        for i in range(n - 1, 0, -1):
            for j in range(m - 1, 0, -1):
                here = g[i, j]
                left, diagonal, up = _shares(R[i, j - 1], R[i - 1, j - 1], R[i - 1, j], t, expectation)
                g[i, j - 1] += here * left
                g[i - 1, j - 1] += here * diagonal
                g[i - 1, j] += here * up
            g[i - 1, 0] += g[i, 0]
        for j in range(m - 1, 0, -1):
            g[0, j - 1] += g[0, j]


@compiled
def hard_pairs(pairs, cost, lengths, score, paths, counts) -> None:
    """The smallest sum of costs, the path that has it, and how many cells it goes through."""
    _, rows, columns = cost.shape
    directions = np.empty((rows, columns), dtype=np.uint8)  # 0 diagonal, 1 left, 2 up
    row = np.empty(columns)  # R of the row above, overwritten from left to right
    for b in pairs:
        n, m = lengths[b, 0], lengths[b, 1]
        row[:m] = inf
        for i in range(n):
            diagonal, left = (0.0 if i == 0 else inf), inf
            for j in range(m):
                best, code = diagonal, 0
                if left < best:
                    best, code = left, 1
                if row[j] < best:
                    best, code = row[j], 2
                directions[i, j] = code
                diagonal = row[j]
                left = cost[b, i, j] + best
                row[j] = left
        score[b] = row[m - 1]

        i, j, count = n - 1, m - 1, 0
        while i >= 0:  # the diagonal step out of (0, 0) ends the path
            paths[b, count, 0], paths[b, count, 1] = i, j
            count += 1
            code = directions[i, j]
            i -= code != 1
            j -= code != 2
        paths[b, :count] = paths[b, :count][::-1].copy()
        counts[b] = count


def table(cost: Tensor, temperature: float, expectation: bool, lengths: Tensor) -> Tensor:
    """R [B, N, M] in float64, OUTSIDE past the lengths."""
    out = np.full(cost.shape, OUTSIDE)
    problem = (cost.cpu().contiguous().numpy(), temperature, expectation, lengths.cpu().contiguous().numpy())
    over_pairs(table_pairs, np.arange(len(out)), torch.get_num_threads(), *problem, out)
    return torch.from_numpy(out).to(cost.device)


def gradient(table: Tensor, temperature: float, expectation: bool, lengths: Tensor, seeds: Tensor) -> Tensor:
    """Derivatives of the sum of seeds * R by the cost, [B, N, M] in float64, 0 past the lengths."""
    out = np.zeros(table.shape)
    problem = (table.cpu().contiguous().numpy(), temperature, expectation, lengths.cpu().contiguous().numpy())
    upstream = seeds.cpu().contiguous().numpy()
    over_pairs(gradient_pairs, np.arange(len(out)), torch.get_num_threads(), *problem, upstream, out)
    return torch.from_numpy(out).to(table.device)


def hard(cost: Tensor, lengths: Tensor) -> tuple[Tensor, NDArray[np.int64], NDArray[np.int64]]:
    """Score [B], cells [B, N + M - 1, 2] of the best path, and how many of them count [B]."""
    pairs, rows, columns = cost.shape
    score, counts = np.empty(pairs), np.zeros(pairs, dtype=np.int64)
    paths = np.zeros((pairs, rows + columns - 1, 2), dtype=np.int64)
    problem = (cost.cpu().contiguous().numpy(), lengths.cpu().contiguous().numpy())
    over_pairs(hard_pairs, np.arange(pairs), torch.get_num_threads(), *problem, score, paths, counts)
    return torch.from_numpy(score).to(cost.device, cost.dtype), paths, counts
