"""Smith-Waterman with affine gaps in plain NumPy loops: the specification every backend is compared with.

Three tables over pairs of frames (i of X, j of Y), with S the similarity, go and ge the gap penalties::

    D[i,j]  = S[i,j] + smax(0, D[i-1,j-1], Ix[i-1,j-1], Iy[i-1,j-1])           i and j matched
    Ix[i,j] = smax(D[i,j-1] - go[i,j],  Ix[i,j-1] - ge[i,j])                    frame j of Y skipped
    Iy[i,j] = smax(D[i-1,j] - go[i,j],  Ix[i-1,j] - go[i,j],  Iy[i-1,j] - ge[i,j])  frame i of X skipped
    V       = smax over all D[i,j]

Everything outside the table is -inf. ``smax`` is ``t log sum exp(. / t)`` at temperature t, and the maximum
at t = 0. The recursion is Gotoh's (1982) with a local start and end; smoothing it is Petti et al. (2023) and
LAC (arXiv 2409.04607). A skip in X may follow a skip in Y but not the other way round, so no alignment is
counted twice.

Similarities in ``np.longdouble`` are computed in it throughout, which the tests use to measure the rounding
of the faster implementations; everything else is computed in float64.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Table = NDArray[np.floating[Any]]


def _real(values: ArrayLike) -> Table:
    """As float64, or as long double if that is what they are."""
    array = np.asarray(values)
    return array if array.dtype == np.longdouble else array.astype(float)


def smax(values: ArrayLike, temperature: float) -> np.floating[Any]:
    """Smooth maximum t log sum exp(v / t); the plain maximum at t = 0; -inf when every value is -inf."""
    v = _real(values)
    top: np.floating[Any] = v.max()
    if temperature == 0 or top == -np.inf:
        return top
    return top + temperature * np.log(np.exp((v - top) / temperature).sum())


def smax_gradient(values: ArrayLike, temperature: float) -> Table:
    """Gradient of `smax`: softmax(v / t); at t = 0 one at the first maximum; zeros if all are -inf."""
    v = _real(values)
    top = v.max()
    if top == -np.inf:
        return np.zeros_like(v)
    if temperature == 0:
        weights = np.zeros_like(v)
        weights.flat[v.argmax()] = 1.0
        return weights
    weights = np.exp((v - top) / temperature)
    return weights / weights.sum()


class Tables(NamedTuple):
    """What `forward` fills: D, Ix and Iy of shape (N, M), and the score V."""

    D: Table
    Ix: Table
    Iy: Table
    score: np.floating[Any]


class Gradients(NamedTuple):
    """dV/dS, -dV/dgo, -dV/dge of shape (N, M): expected matches, gap openings and extensions per cell.

    Where they are gradients of another function of the table than V, the names are those of this case.
    """

    posterior: Table
    openings: Table
    extensions: Table


def _per_cell(values: ArrayLike, like: Table) -> Table:
    """Give a penalty one number per cell of `like`, in its dtype."""
    return np.broadcast_to(np.asarray(values, dtype=like.dtype), like.shape)


# The three lists below are the arguments of the three smax. Their order decides ties at temperature 0: a new
# start, then D (diagonal), then Ix, then Iy. Outside the table there is nothing to come from: `outside` is
# -inf, or 0 where the tables hold derivatives.


def _into_d(tables: Sequence[Any], i: int, j: int, outside: float = -np.inf) -> list[Any]:
    """Ways to arrive at a match (i, j): start here, or come from the diagonal neighbour in any state."""
    if i == 0 or j == 0:
        return [0.0, outside, outside, outside]
    return [0.0, *(state[i - 1, j - 1] for state in tables[:3])]


def _into_ix(
    tables: Sequence[Any], go: Table, ge: Table, i: int, j: int, outside: float = -np.inf
) -> list[Any]:
    """Ways to skip frame j of Y: open after a match, or extend."""
    if j == 0:
        return [outside, outside]
    D, Ix = tables[:2]
    return [D[i, j - 1] - go[i, j], Ix[i, j - 1] - ge[i, j]]


def _into_iy(
    tables: Sequence[Any], go: Table, ge: Table, i: int, j: int, outside: float = -np.inf
) -> list[Any]:
    """Ways to skip frame i of X: open after a match or after a skip in Y, or extend."""
    if i == 0:
        return [outside, outside, outside]
    D, Ix, Iy = tables[:3]
    return [D[i - 1, j] - go[i, j], Ix[i - 1, j] - go[i, j], Iy[i - 1, j] - ge[i, j]]


def forward(similarity: ArrayLike, gap_open: ArrayLike, gap_extend: ArrayLike, temperature: float) -> Tables:
    """Fill the three tables of one pair, row by row.

    Parameters
    ----------
    similarity : array_like, shape (N, M)
        Bigger is more alike, 0 is unrelated; -inf means "never match".
    gap_open, gap_extend : array_like, shape () or (N, M)
        Cost of the first skipped frame of a run and of each further one, at the cell where it is skipped.
    temperature : float
        0 gives the hard alignment (max), above 0 the soft one.

    Returns
    -------
    Tables
        In float64, 24 bytes per cell. The score runs over non-empty alignments; -inf if no cell can be
        matched.
    """
    s = _real(similarity)
    go, ge = _per_cell(gap_open, s), _per_cell(gap_extend, s)
    tables = D, Ix, Iy = tuple(np.empty_like(s) for _ in range(3))
    for i, j in np.ndindex(*s.shape):
        D[i, j] = s[i, j] + smax(_into_d(tables, i, j), temperature)
        Ix[i, j] = smax(_into_ix(tables, go, ge, i, j), temperature)
        Iy[i, j] = smax(_into_iy(tables, go, ge, i, j), temperature)
    return Tables(D, Ix, Iy, smax(D, temperature))


def backward(
    tables: Tables,
    gap_open: ArrayLike,
    gap_extend: ArrayLike,
    temperature: float,
    table_gradient: ArrayLike | None = None,
) -> Gradients:
    """Differentiate the score: sweep from the end, each cell handing its share to where it came from.

    With gD, gX, gY the derivatives of V by D, Ix, Iy, every smax passes its derivative on in proportion to
    softmax(arguments / t); gD also receives softmax(D / t) from V. Then dV/dS = gD, and the shares that flow
    through a ``- go[i,j]`` or ``- ge[i,j]`` are -dV/dgo and -dV/dge at that very cell.

    Parameters
    ----------
    tables : Tables
        Result of `forward` with the same penalties and temperature.
    gap_open, gap_extend, temperature
        As in `forward`.
    table_gradient : array_like, shape (N, M), optional
        Differentiate the sum of table_gradient * D instead of V.

    Returns
    -------
    Gradients
        Shape (N, M) each, 40 bytes per cell while computing. At temperature 0 the indicators of one best
        alignment, a subgradient.
    """
    D = tables.D
    go, ge = _per_cell(gap_open, D), _per_cell(gap_extend, D)
    seeds = smax_gradient(D, temperature) if table_gradient is None else table_gradient
    gD = np.array(seeds, dtype=D.dtype)
    gX, gY, openings, extensions = (np.zeros_like(D) for _ in range(4))
    for i, j in reversed(list(np.ndindex(*D.shape))):
        if i > 0:
            share = gY[i, j] * smax_gradient(_into_iy(tables, go, ge, i, j), temperature)
            gD[i - 1, j] += share[0]
            gX[i - 1, j] += share[1]
            gY[i - 1, j] += share[2]
            openings[i, j] += share[0] + share[1]
            extensions[i, j] += share[2]
        if j > 0:
            share = gX[i, j] * smax_gradient(_into_ix(tables, go, ge, i, j), temperature)
            gD[i, j - 1] += share[0]
            gX[i, j - 1] += share[1]
            openings[i, j] += share[0]
            extensions[i, j] += share[1]
        if i > 0 and j > 0:
            share = gD[i, j] * smax_gradient(_into_d(tables, i, j), temperature)
            gD[i - 1, j - 1] += share[1]
            gX[i - 1, j - 1] += share[2]
            gY[i - 1, j - 1] += share[3]
    if table_gradient is None:
        gD = np.minimum(gD, 1)  # a probability, which rounding may leave at 1 + 1e-15
    return Gradients(gD, openings, extensions)


def backward_tangent(
    tables: Tables,
    gap_open: ArrayLike,
    gap_extend: ArrayLike,
    temperature: float,
    direction: tuple[ArrayLike, ArrayLike, ArrayLike],
    table_gradient: ArrayLike | None = None,
) -> tuple[Gradients, Table]:
    """Second derivatives: how `backward` changes when the inputs move (a Hessian-vector product).

    Forward over reverse. Moving S, go and ge along `direction` moves the arguments a of every smax by a',
    smax itself by <w, a'> with w = softmax(a / t), and its shares by w' = w (a' - <w, a'>) / t. One sweep
    forward gives D', Ix', Iy', one sweep backward applies the product rule to every share of `backward`.

    Parameters
    ----------
    tables, gap_open, gap_extend, temperature, table_gradient
        As in `backward`; temperature above 0.
    direction : three array_like, shape () or (N, M)
        Along which similarity, gap_open and gap_extend move.

    Returns
    -------
    tangent : Gradients
        Derivatives of the three results of `backward`, shape (N, M) each.
    table : ndarray, shape (N, M)
        D', the derivative of D.
    """
    D = tables.D
    t = temperature
    go, ge = _per_cell(gap_open, D), _per_cell(gap_extend, D)
    vs, vo, ve = (_per_cell(v, D) for v in direction)
    moved = tD, tX, tY = tuple(np.zeros_like(D) for _ in range(3))

    def shares(arguments: list[Any], tangents: list[Any]) -> tuple[Table, Table]:
        """One smax: w and w'."""
        w, a = smax_gradient(arguments, t), np.array(tangents)
        return w, w * (a - w @ a) / t

    def into_d(i: int, j: int) -> tuple[list[Any], list[Any]]:
        return _into_d(tables, i, j), _into_d(moved, i, j, 0.0)

    def into_ix(i: int, j: int) -> tuple[list[Any], list[Any]]:
        return _into_ix(tables, go, ge, i, j), _into_ix(moved, vo, ve, i, j, 0.0)

    def into_iy(i: int, j: int) -> tuple[list[Any], list[Any]]:
        return _into_iy(tables, go, ge, i, j), _into_iy(moved, vo, ve, i, j, 0.0)

    for i, j in np.ndindex(*D.shape):
        for state, into, start in ((tD, into_d, vs[i, j]), (tX, into_ix, 0), (tY, into_iy, 0)):
            arguments, tangents = into(i, j)
            state[i, j] = start + smax_gradient(arguments, t) @ np.array(tangents)

    g, h = np.zeros((2, 3, *D.shape), dtype=D.dtype)  # dV/d(D, Ix, Iy) and how they change
    if table_gradient is None:
        g[0] = smax_gradient(D, t)
        h[0] = g[0] * (tD - (g[0] * tD).sum()) / t
    else:
        g[0] = table_gradient
    openings, extensions = np.zeros_like(D), np.zeros_like(D)
    for i, j in reversed(list(np.ndindex(*D.shape))):
        if i > 0:
            w, wt = shares(*into_iy(i, j))
            g[:, i - 1, j] += g[2, i, j] * w
            share = h[2, i, j] * w + g[2, i, j] * wt
            h[:, i - 1, j] += share
            openings[i, j] += share[0] + share[1]
            extensions[i, j] += share[2]
        if j > 0:
            w, wt = shares(*into_ix(i, j))
            g[:2, i, j - 1] += g[1, i, j] * w
            share = h[1, i, j] * w + g[1, i, j] * wt
            h[:2, i, j - 1] += share
            openings[i, j] += share[0]
            extensions[i, j] += share[1]
        if i > 0 and j > 0:
            w, wt = shares(*into_d(i, j))
            g[:, i - 1, j - 1] += g[0, i, j] * w[1:]
            h[:, i - 1, j - 1] += h[0, i, j] * w[1:] + g[0, i, j] * wt[1:]
    return Gradients(h[0], openings, extensions), tD


def _first_max(values: Sequence[float]) -> int:
    """Index of the first maximum."""
    return max(range(len(values)), key=values.__getitem__)


def traceback(
    similarity: ArrayLike, gap_open: ArrayLike, gap_extend: ArrayLike
) -> tuple[float, list[tuple[int, int]]]:
    """Find one best local alignment.

    Where several are equally good, it ends at the first best cell in reading order, and walking back prefers
    a start, then D (diagonal), then Ix, then Iy.

    Parameters
    ----------
    similarity, gap_open, gap_extend
        As in `forward`.

    Returns
    -------
    score : float
        max(0, max D).
    path : list of (int, int)
        The matches from first to last; empty when every D is negative.
    """
    tables = forward(similarity, gap_open, gap_extend, 0.0)
    if tables.score < 0:
        return 0.0, []
    go, ge = _per_cell(gap_open, tables.D), _per_cell(gap_extend, tables.D)
    i, j = divmod(int(tables.D.argmax()), tables.D.shape[1])
    path = []
    state = "D"
    while state != "start":
        if state == "D":
            path.append((i, j))
            state = ("start", "D", "Ix", "Iy")[_first_max(_into_d(tables, i, j))]
            i, j = i - 1, j - 1
        elif state == "Ix":
            state = ("D", "Ix")[_first_max(_into_ix(tables, go, ge, i, j))]
            j = j - 1
        else:
            state = ("D", "Ix", "Iy")[_first_max(_into_iy(tables, go, ge, i, j))]
            i = i - 1
    return float(tables.score), path[::-1]
