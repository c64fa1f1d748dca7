"""The equations of `recursion` in torch operations, one anti-diagonal at a time, on any device.

Cells of an anti-diagonal (i + j = d) do not depend on each other, so each step computes one for the whole
batch, in the log domain. Forward, backward and the tangent sweeps are written out (not left to autograd), so
that only the three tables are kept; `ops` makes them differentiable twice. This is what runs where there is
neither a compiled kernel for the device nor a need for one; on a CPU, the compiled kernels are much faster.

Tables are skewed: [state, d + 2, b, i] with two diagonals of border in front, so that the neighbours of cell
(i, j) on diagonal d are row i (left) and row i - 1 (up) of diagonal d - 1 and row i - 1 of diagonal d - 2.
Cells outside a pair have similarity -inf; what their states hold can only flow to other such cells.

State is float64, and float32 on devices without it (Apple's MPS), where small temperatures lose digits.
Memory: three tables and their derivatives, 48 bytes for each of the (N + M) N entries of a pair, and about as
much for skewed copies and temporaries; twice that in the tangent sweeps, half of it in float32.

In all functions, `similarity` is [B, N, M], the penalties [B, 1, 1] or both [B, N, M], `lengths` int64
[B, 2], on one device. Only the first n rows and m columns of a pair are read, and results are 0 (the table
-inf) elsewhere. Results have the similarity's dtype.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from lacbook.padding import valid_cells


def _skew(cells: Tensor) -> Tensor:
    """[B, N, M] to [N + M - 1, B, N], cell (i, j) going to [i + j, :, i]; zeros elsewhere."""
    _, rows, columns = cells.shape
    padded = pad(cells, (0, rows)).flatten(1)[:, : rows * (rows + columns - 1)]
    return padded.unflatten(1, (rows, rows + columns - 1)).permute(2, 0, 1).contiguous()


def _unskew(diagonals: Tensor, columns: int) -> Tensor:
    """Undo `_skew`: [N + M - 1, B, N] to [B, N, M]."""
    rows = diagonals.shape[2]
    flat = pad(diagonals.permute(1, 2, 0).flatten(1), (0, rows))
    return flat.unflatten(1, (rows, rows + columns))[:, :, :columns].contiguous()


def _down(row: Tensor, outside: float) -> Tensor:
    """Entry i - 1 at i, along the last axis."""
    return pad(row[..., :-1], (1, 0), value=outside)


class _Problem:
    """A batch in skewed form, masked, in the dtype of the state."""

    def __init__(
        self, similarity: Tensor, gap_open: Tensor, gap_extend: Tensor, temperature: float, lengths: Tensor
    ) -> None:
        _, rows, self.columns = similarity.shape
        self.t = temperature
        self.dtype = torch.float32 if similarity.device.type == "mps" else torch.float64
        lengths = lengths.to(similarity.device)
        self.inside = valid_cells(lengths, rows, self.columns)
        self.within = _skew(self.inside)
        self.similarity = torch.where(self.within, self.cells(similarity), -torch.inf)
        self.gap_open, self.gap_extend = self.penalty(gap_open), self.penalty(gap_extend)

    def cells(self, values: Tensor) -> Tensor:
        """[B, N, M] skewed; what is in padding becomes 0, even NaN."""
        return _skew(torch.where(self.inside, values, 0).to(self.dtype))

    def penalty(self, values: Tensor) -> Tensor:
        """Per-cell values as `cells`; per-pair values [1, B, 1]."""
        if values.shape == self.inside.shape:
            return self.cells(values)
        return values.to(self.dtype).reshape(1, -1, 1)

    def tables(self, fill: float) -> Tensor:
        """[3, 2 + diagonals, B, N] with D, Ix, Iy of every cell to be filled in."""
        diagonals, pairs, rows = self.similarity.shape
        return self.similarity.new_full((3, 2 + diagonals, pairs, rows), fill)

    def result(self, diagonals: Tensor, dtype: torch.dtype) -> Tensor:
        """[B, N, M] of what `cells` skewed."""
        return _unskew(diagonals, self.columns).to(dtype)

    def per_penalty(self, diagonals: Tensor, like: Tensor) -> Tensor:
        """Numbers of gaps in every cell, summed over a pair's where its penalty is one number."""
        if like.shape == self.inside.shape:
            return self.result(diagonals, like.dtype)
        return diagonals.sum((0, 2)).reshape(like.shape).to(like.dtype)


def _into(
    tables: Tensor, gap_open: Tensor, gap_extend: Tensor, d: int, outside: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Arguments of the smax of D [4, B, N], Ix [2, B, N], Iy [3, B, N] on diagonal d, as in `recursion`."""
    o, e = gap_open[d if len(gap_open) > 1 else 0], gap_extend[d if len(gap_extend) > 1 else 0]
    (left_d, left_x, _), above = tables[:, d + 1], _down(tables[:, d + 1], outside)
    into_d = pad(_down(tables[:, d], outside), (0, 0, 0, 0, 1, 0))  # the 0 in front starts an alignment
    into_x = torch.stack((left_d - o, left_x - e))
    into_y = torch.stack((above[0] - o, above[1] - o, above[2] - e))
    return into_d, into_x, into_y


def _top(arguments: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Largest argument along some axes, finite: -inf - -inf would be NaN."""
    return arguments.amax(axes, keepdim=True).clamp(min=torch.finfo(arguments.dtype).min)


def _smax(arguments: Tensor, t: float, axes: tuple[int, ...] = (0,)) -> Tensor:
    """Smooth maximum along some axes; -inf if all arguments are."""
    top = _top(arguments, axes)
    return top.squeeze(axes) + t * ((arguments - top) / t).exp().sum(axes).log()


def _shares(arguments: Tensor, t: float, axes: tuple[int, ...] = (0,)) -> Tensor:
    """Derivatives of `_smax`, softmax(arguments / t) along some axes; zeros if all arguments are -inf."""
    weights = ((arguments - _top(arguments, axes)) / t).exp()
    return weights / weights.sum(axes, keepdim=True).clamp(min=1)  # the largest is 1, unless all are 0


def _forward(p: _Problem) -> Tensor:
    """Fill D, Ix, Iy."""
    tables = p.tables(-torch.inf)
    for d, similarity in enumerate(p.similarity):
        into_d, into_x, into_y = _into(tables, p.gap_open, p.gap_extend, d, -torch.inf)
        tables[0, d + 2] = similarity + _smax(into_d, p.t)
        tables[1, d + 2] = _smax(into_x, p.t)
        tables[2, d + 2] = _smax(into_y, p.t)
    return tables


def _hand_over(to: Tensor, d: int, from_d: Tensor, from_x: Tensor, from_y: Tensor) -> None:
    """Add what the three smax of diagonal d pass on to the cells where their arguments come from."""
    to[:, d, :, :-1] += from_d[1:, :, 1:]
    to[:2, d + 1] += from_x
    to[:, d + 1, :, :-1] += from_y[:, :, 1:]


def _gaps(from_x: Tensor, from_y: Tensor) -> tuple[Tensor, Tensor]:
    """Of what goes through a gap penalty, the part through gap_open and the part through gap_extend."""
    return from_x[0] + from_y[0] + from_y[1], from_x[1] + from_y[2]


def _backward(p: _Problem, tables: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of the sum of seeds * D: dS, -dgo, -dge of every cell, skewed."""
    g = p.tables(0.0)  # derivatives by D, Ix, Iy
    g[0, 2:] = seeds
    openings, extensions = torch.empty_like(seeds), torch.empty_like(seeds)
    for d in reversed(range(len(seeds))):
        here = g[:, d + 2]
        into = _into(tables, p.gap_open, p.gap_extend, d, -torch.inf)
        passed = [_shares(arguments, p.t) * own for arguments, own in zip(into, here, strict=True)]
        _hand_over(g, d, *passed)
        openings[d], extensions[d] = _gaps(*passed[1:])
    return g[0, 2:], openings, extensions


def soft(
    similarity: Tensor, gap_open: Tensor, gap_extend: Tensor, temperature: float, lengths: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Score [B], posterior [B, N, M], expected openings and extensions in the shape of the penalties."""
    p = _Problem(similarity, gap_open, gap_extend, temperature, lengths)
    tables = _forward(p)
    D = tables[0, 2:]
    posterior, openings, extensions = _backward(p, tables, _shares(D, p.t, (0, 2)))
    return (
        _smax(D, p.t, (0, 2)).to(similarity.dtype),
        p.result(posterior, similarity.dtype).clamp(max=1),  # rounding may leave 1 + 1e-15
        p.per_penalty(openings, gap_open),
        p.per_penalty(extensions, gap_extend),
    )


def table(
    similarity: Tensor, gap_open: Tensor, gap_extend: Tensor, temperature: float, lengths: Tensor
) -> Tensor:
    """D [B, N, M]."""
    p = _Problem(similarity, gap_open, gap_extend, temperature, lengths)
    return p.result(_forward(p)[0, 2:], similarity.dtype)


def table_gradient(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    seeds: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of the sum of seeds * D: dS, and -dgo and -dge in the shape of the penalties."""
    p = _Problem(similarity, gap_open, gap_extend, temperature, lengths)
    matches, openings, extensions = _backward(p, _forward(p), p.cells(seeds))
    return (
        p.result(matches, similarity.dtype),
        p.per_penalty(openings, gap_open),
        p.per_penalty(extensions, gap_extend),
    )


def tangent(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    similarity_direction: Tensor,
    open_direction: Tensor,
    extend_direction: Tensor,
    seeds: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """How the gradients of `soft` (given seeds, of `table_gradient`) change along a direction, and D'.

    Every share w of a smax whose arguments move by a' moves by w (a' - <w, a'>) / t, as in
    `recursion.backward_tangent`.
    """
    p = _Problem(similarity, gap_open, gap_extend, temperature, lengths)
    along_s = p.cells(similarity_direction)
    along_o, along_e = p.penalty(open_direction), p.penalty(extend_direction)
    tables, moved = _forward(p), p.tables(0.0)
    for d, along in enumerate(along_s):
        into = _into(tables, p.gap_open, p.gap_extend, d, -torch.inf)
        moves = _into(moved, along_o, along_e, d, 0.0)
        for state, (arguments, move) in enumerate(zip(into, moves, strict=True)):
            moved[state, d + 2] = (_shares(arguments, p.t) * move).sum(0)
        moved[0, d + 2] += along

    g, h = p.tables(0.0), p.tables(0.0)  # derivatives by D, Ix, Iy, and how they change
    if seeds is None:
        weights = _shares(tables[0, 2:], p.t, (0, 2))
        change = moved[0, 2:] - (weights * moved[0, 2:]).sum((0, 2), keepdim=True)
        g[0, 2:], h[0, 2:] = weights, weights * change / p.t
    else:
        g[0, 2:] = p.cells(seeds)
    openings, extensions = torch.empty_like(along_s), torch.empty_like(along_s)
    for d in reversed(range(len(along_s))):
        into = _into(tables, p.gap_open, p.gap_extend, d, -torch.inf)
        moves = _into(moved, along_o, along_e, d, 0.0)
        passed, changes = [], []
        for arguments, move, own, change in zip(into, moves, g[:, d + 2], h[:, d + 2], strict=True):
            w = _shares(arguments, p.t)
            passed.append(w * own)
            changes.append(w * change + w * own * (move - (w * move).sum(0)) / p.t)
        _hand_over(g, d, *passed)
        _hand_over(h, d, *changes)
        openings[d], extensions[d] = _gaps(*changes[1:])
    return (
        p.result(h[0, 2:], similarity.dtype),
        p.per_penalty(openings, gap_open),
        p.per_penalty(extensions, gap_extend),
        p.result(torch.where(p.within, moved[0, 2:], 0), similarity.dtype),
    )
