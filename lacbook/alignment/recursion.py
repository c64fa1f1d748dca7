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
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Table = NDArray[np.float64]


def smax(values: ArrayLike, temperature: float) -> float:
    """Smooth maximum t log sum exp(v / t); the plain maximum at t = 0; -inf when every value is -inf."""
    v = np.asarray(values, dtype=float)
    top = v.max()
    if temperature == 0 or top == -np.inf:
        return float(top)
    return float(top + temperature * np.log(np.exp((v - top) / temperature).sum()))


def smax_gradient(values: ArrayLike, temperature: float) -> Table:
    """Gradient of `smax`: softmax(v / t); at t = 0 one at the first maximum; zeros if all are -inf."""
    v = np.asarray(values, dtype=float)
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
    score: float


class Gradients(NamedTuple):
    """dV/dS, -dV/dgo, -dV/dge of shape (N, M): expected matches, gap openings and extensions per cell."""

    posterior: Table
    openings: Table
    extensions: Table


def _penalties(gap_open: ArrayLike, gap_extend: ArrayLike, shape: tuple[int, ...]) -> tuple[Table, Table]:
    """Give both penalties one number per cell."""
    go, ge = (np.broadcast_to(np.asarray(g, dtype=float), shape) for g in (gap_open, gap_extend))
    return go, ge


# The three lists below are the arguments of the three smax. Their order decides ties at temperature 0: a new
# start, then D (diagonal), then Ix, then Iy.


def _into_d(D: Table, Ix: Table, Iy: Table, i: int, j: int) -> list[float]:
    """Ways to arrive at a match (i, j): start here, or come from the diagonal neighbour in any state."""
    if i == 0 or j == 0:
        return [0.0, -np.inf, -np.inf, -np.inf]
    return [0.0, D[i - 1, j - 1], Ix[i - 1, j - 1], Iy[i - 1, j - 1]]


def _into_ix(D: Table, Ix: Table, go: Table, ge: Table, i: int, j: int) -> list[float]:
    """Ways to skip frame j of Y: open after a match, or extend."""
    if j == 0:
        return [-np.inf, -np.inf]
    return [D[i, j - 1] - go[i, j], Ix[i, j - 1] - ge[i, j]]


def _into_iy(D: Table, Ix: Table, Iy: Table, go: Table, ge: Table, i: int, j: int) -> list[float]:
    """Ways to skip frame i of X: open after a match or after a skip in Y, or extend."""
    if i == 0:
        return [-np.inf, -np.inf, -np.inf]
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
        float64, 24 bytes per cell. The score runs over non-empty alignments; -inf if no cell can be matched.
    """
    s = np.asarray(similarity, dtype=float)
    go, ge = _penalties(gap_open, gap_extend, s.shape)
    D, Ix, Iy = (np.empty(s.shape) for _ in range(3))
    for i in range(s.shape[0]):
        for j in range(s.shape[1]):
            D[i, j] = s[i, j] + smax(_into_d(D, Ix, Iy, i, j), temperature)
            Ix[i, j] = smax(_into_ix(D, Ix, go, ge, i, j), temperature)
            Iy[i, j] = smax(_into_iy(D, Ix, Iy, go, ge, i, j), temperature)
    return Tables(D, Ix, Iy, smax(D, temperature))


def backward(tables: Tables, gap_open: ArrayLike, gap_extend: ArrayLike, temperature: float) -> Gradients:
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

    Returns
    -------
    Gradients
        Shape (N, M) each. At temperature 0 the indicators of one best alignment, a subgradient.
    """
    D, Ix, Iy, _ = tables
    go, ge = _penalties(gap_open, gap_extend, D.shape)
    gD = smax_gradient(D, temperature)
    gX, gY, openings, extensions = (np.zeros(D.shape) for _ in range(4))
    for i in reversed(range(D.shape[0])):
        for j in reversed(range(D.shape[1])):
            if i > 0:
                share = gY[i, j] * smax_gradient(_into_iy(D, Ix, Iy, go, ge, i, j), temperature)
                gD[i - 1, j] += share[0]
                gX[i - 1, j] += share[1]
                gY[i - 1, j] += share[2]
                openings[i, j] += share[0] + share[1]
                extensions[i, j] += share[2]
            if j > 0:
                share = gX[i, j] * smax_gradient(_into_ix(D, Ix, go, ge, i, j), temperature)
                gD[i, j - 1] += share[0]
                gX[i, j - 1] += share[1]
                openings[i, j] += share[0]
                extensions[i, j] += share[1]
            if i > 0 and j > 0:
                share = gD[i, j] * smax_gradient(_into_d(D, Ix, Iy, i, j), temperature)
                gD[i - 1, j - 1] += share[1]
                gX[i - 1, j - 1] += share[2]
                gY[i - 1, j - 1] += share[3]
    return Gradients(gD, openings, extensions)


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
    D, Ix, Iy, top = forward(similarity, gap_open, gap_extend, 0.0)
    if top < 0:
        return 0.0, []
    go, ge = _penalties(gap_open, gap_extend, D.shape)
    i, j = divmod(int(D.argmax()), D.shape[1])
    path = []
    state = "D"
    while state != "start":
        if state == "D":
            path.append((i, j))
            state = ("start", "D", "Ix", "Iy")[_first_max(_into_d(D, Ix, Iy, i, j))]
            i, j = i - 1, j - 1
        elif state == "Ix":
            state = ("D", "Ix")[_first_max(_into_ix(D, Ix, go, ge, i, j))]
            j = j - 1
        else:
            state = ("D", "Ix", "Iy")[_first_max(_into_iy(D, Ix, Iy, go, ge, i, j))]
            i = i - 1
    return top, path[::-1]
