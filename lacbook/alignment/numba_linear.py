"""The recursion in the linear domain: the fast way, where float64's range allows it.

With a, x, y = exp(D/t), exp(Ix/t), exp(Iy/t) and e, eo, ee = exp(S/t), exp(-go/t), exp(-ge/t), every smax of
`recursion` becomes a sum and every minus a product, so a cell costs one exp (three with per-cell penalties)
and a few multiply-adds. Forward::

    a = e (1 + a + x + y)[i-1,j-1]      x = eo a[i,j-1] + ee x[i,j-1]      y = eo (a + x)[i-1,j] + ee y[i-1,j]

and Z = sum of a, V = t log Z. Backward, with A, X, Y the derivatives of log Z by a, x, y, and eX = ee X,
oX = eo X and so on at the cell where the penalty is paid::

    A = 1/Z + (e A)[i+1,j+1] + oX[i,j+1] + oY[i+1,j]       posterior = a A
    X =       (e A)[i+1,j+1] + eX[i,j+1] + oY[i+1,j]       openings = oX a[i,j-1] + oY (a + x)[i-1,j]
    Y =       (e A)[i+1,j+1]             + eY[i+1,j]       extensions = eX x[i,j-1] + eY y[i-1,j]

State is float64, 32 bytes per cell of one pair and thread (48 with per-cell penalties). Arrays carry a border
row and column 0, so cell (i, j), counted from 0, is [i + 1, j + 1].

There is no rescaling: dividing rows by their maximum flushes to zero an alignment that starts late and wins.
A pair whose Z leaves the range is refused, and `numba_log` does it again.
"""

# mypy: allow-untyped-defs

from math import exp, log

import numpy as np

from lacbook.alignment.compiled import compiled

# Inside these bounds nothing was lost to overflow or underflow, if no penalty is negative: cutting an
# alignment where a factor underflows gives two valid ones, each at most Z, so what was lost is below
# Z * Z * 1e-308, which is 1e-28 of Z. A rewarded gap could overflow x or y without showing in Z.
SMALLEST_Z = 1e-280
LARGEST_Z = 1e280


@compiled
def _soft_pair(s, go, ge, k, t, n, m, work, eo, ee, rows, posterior, openings, extensions):
    """Z (0 if refused), and the sums of openings and extensions if k is 0; else these are filled in."""
    e, a, x, y = work[0], work[1], work[2], work[3]
    for state in range(1, 4):
        work[state, 0, : m + 1] = 0.0
        work[state, : n + 1, 0] = 0.0
    for i in range(n if k else 1):
        for j in range(m):
            o, g = go[i * k, j * k], ge[i * k, j * k]
            if o < 0 or g < 0:
                return 0.0, 0.0, 0.0
            eo[i, j], ee[i, j] = exp(-o / t), exp(-g / t)
    z = 0.0
    for i in range(n):
        for j in range(m):
            e[i, j] = exp(s[i, j] / t)
        for j in range(m):
            a[i + 1, j + 1] = e[i, j] * (1.0 + a[i, j] + x[i, j] + y[i, j])
        for j in range(m):
            y[i + 1, j + 1] = eo[i * k, j] * (a[i, j + 1] + x[i, j + 1]) + ee[i * k, j] * y[i, j + 1]
        carried = 0.0
        for j in range(m):
            carried = eo[i * k, j] * a[i + 1, j] + ee[i * k, j] * carried
            x[i + 1, j + 1] = carried
            z += a[i + 1, j + 1]
        if not z < LARGEST_Z:
            return 0.0, 0.0, 0.0
    if not z > SMALLEST_Z:
        return 0.0, 0.0, 0.0

    below, open_below, extend_below = rows[0], rows[1], rows[2]  # e A, oY and eY of the row below
    rows[:, : m + 1] = 0.0
    end = 1.0 / z
    opened, extended = 0.0, 0.0
    for i in range(n - 1, -1, -1):
        open_right, extend_right, diagonal = 0.0, 0.0, 0.0  # oX and eX of [i, j + 1], e A of [i + 1, j + 1]
        for j in range(m - 1, -1, -1):
            A = end + diagonal + open_right + open_below[j]
            X = diagonal + extend_right + open_below[j]
            Y = diagonal + extend_below[j]
            posterior[i, j] = min(a[i + 1, j + 1] * A, 1.0)  # rounding may leave 1 + 1e-15
            diagonal = below[j]
            below[j] = e[i, j] * A
            open_right, extend_right = eo[i * k, j] * X, ee[i * k, j] * X
            open_down, extend_down = eo[i * k, j] * Y, ee[i * k, j] * Y
            open_below[j], extend_below[j] = open_down, extend_down
            opens = open_right * a[i + 1, j] + open_down * (a[i, j + 1] + x[i, j + 1])
            extends = extend_right * x[i + 1, j] + extend_down * y[i, j + 1]
            if k:
                openings[i, j], extensions[i, j] = opens, extends
            else:
                opened += opens
                extended += extends
    return z, opened, extended


@compiled
def soft_pairs(
    pairs, similarity, go, ge, t, lengths, score, posterior, openings, extensions, refused
) -> None:
    """Score, posterior and expected gaps of some pairs; `refused` becomes True for those out of range."""
    _, rows, columns = similarity.shape
    k = int(go.shape == similarity.shape)
    work = np.empty((4, rows + 1, columns + 1))
    eo, ee = np.empty((2, rows if k else 1, columns))
    scratch = np.empty((3, columns + 1))
    for b in pairs:
        n, m = lengths[b, 0], lengths[b, 1]
        z, opened, extended = _soft_pair(
            similarity[b],
            go[b],
            ge[b],
            k,
            t,
            n,
            m,
            work,
            eo,
            ee,
            scratch,
            posterior[b],
            openings[b],
            extensions[b],
        )
        refused[b] = z == 0.0
        if z > 0.0:
            score[b] = t * log(z)
            if not k:
                openings[b, 0, 0], extensions[b, 0, 0] = opened, extended
