"""The equations of `recursion` term by term, compiled: the log domain, which holds for every input.

D, Ix and Iy are kept as they are, in units of the similarity, so nothing overflows or underflows; each smax
costs exponentials and a logarithm. Backward recomputes the shares softmax(arguments / t) of every smax from
the three tables, normalised, so that rounding does not add up along the path.

State is float64 (the similarity may be float32). Arrays carry a border row and column 0 of -inf, so cell
(i, j) of the equations, counted from 0, is [i + 1, j + 1]. Penalties are (1, 1) or (N, M) tables, indexed
with k = 0 or 1. The first argument of the batch kernels says which pairs to compute.

The small functions at the top are plain arithmetic: `cuda_kernels` compiles them again for the GPU.
"""

# mypy: allow-untyped-defs

from math import exp, inf, log, log1p

import numpy as np

from lacbook.alignment.compiled import compiled


@compiled
def smooth_max(a, b, t):
    """Smooth maximum of two numbers; a term 40 nats down is below float64's resolution. -inf is fine."""
    top = max(a, b)
    if top == -inf:
        return top
    below = (min(a, b) - top) / t
    return top + t * log1p(exp(below)) if below > -40.0 else top


@compiled
def shares2(a, b, t):
    """softmax((a, b) / t), zeros if both are -inf."""
    top = max(a, b)
    if top == -inf:
        return 0.0, 0.0
    a, b = exp((a - top) / t), exp((b - top) / t)
    total = a + b
    return a / total, b / total


@compiled
def shares3(a, b, c, t):
    """softmax((a, b, c) / t), zeros if all are -inf."""
    top = max(a, b, c)
    if top == -inf:
        return 0.0, 0.0, 0.0
    a, b, c = exp((a - top) / t), exp((b - top) / t), exp((c - top) / t)
    total = a + b + c
    return a / total, b / total, c / total


@compiled
def shares_after_start(a, b, c, t):
    """The last three of softmax((0, a, b, c) / t): how much of a match goes on from another state."""
    top = max(a, b, c, 0.0)
    a, b, c = exp((a - top) / t), exp((b - top) / t), exp((c - top) / t)
    total = exp(-top / t) + a + b + c
    return a / total, b / total, c / total


@compiled
def _forward(s, go, ge, k, t, n, m, D, X, Y, matched) -> None:
    """Fill the three tables of one pair; `matched` is a row of scratch."""
    for table in (D, X, Y):
        table[0, : m + 1] = -inf
        table[: n + 1, 0] = -inf
    matched[: m + 1] = -inf  # smax(D, Ix) of the row above
    for i in range(1, n + 1):
        diagonal = -inf
        for j in range(1, m + 1):
            o, e = go[(i - 1) * k, (j - 1) * k], ge[(i - 1) * k, (j - 1) * k]
            above = matched[j]
            before = smooth_max(smooth_max(diagonal, Y[i - 1, j - 1], t), 0.0, t)
            D[i, j] = s[i - 1, j - 1] + before
            X[i, j] = smooth_max(D[i, j - 1] - o, X[i, j - 1] - e, t)
            Y[i, j] = smooth_max(above - o, Y[i - 1, j] - e, t)
            matched[j] = smooth_max(D[i, j], X[i, j], t)
            diagonal = above


@compiled
def _partition(D, t, n, m):
    """Largest D and the sum of exp((D - largest) / t), which is 0 if nothing can be matched."""
    top, z = -inf, 0.0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            top = max(top, D[i, j])
    if top > -inf:
        for i in range(1, n + 1):
            for j in range(1, m + 1):
                z += exp((D[i, j] - top) / t)
    return top, z


@compiled
def _backward(seeds, go, ge, k, t, n, m, D, X, Y, rows, matches, openings, extensions) -> None:
    """Fill the derivatives of the sum of seeds * D: dS, -dgo, -dge; the last two summed if k is 0.

    Each cell, once it has received everything from its
    successors, hands its derivatives to the cells where it came from; rows[0] and rows[1] collect them for
    this row and the one above, in the order D, Ix, Iy.
    """
    here, above = rows[0], rows[1]
    here[:, : m + 1] = 0.0
    opened, extended = 0.0, 0.0
    for i in range(n, 0, -1):
        above[:, : m + 1] = 0.0
        for j in range(m, 0, -1):
            o, e = go[(i - 1) * k, (j - 1) * k], ge[(i - 1) * k, (j - 1) * k]
            g, gx, gy = seeds[i - 1, j - 1] + here[0, j], here[1, j], here[2, j]
            matches[i - 1, j - 1] = g
            wd, wx, wy = shares_after_start(D[i - 1, j - 1], X[i - 1, j - 1], Y[i - 1, j - 1], t)
            above[0, j - 1] += g * wd
            above[1, j - 1] += g * wx
            above[2, j - 1] += g * wy
            opens, extends = 0.0, 0.0
            if gx != 0.0:
                wd, wx = shares2(D[i, j - 1] - o, X[i, j - 1] - e, t)
                here[0, j - 1] += gx * wd
                here[1, j - 1] += gx * wx
                opens += gx * wd
                extends += gx * wx
            if gy != 0.0:
                wd, wx, wy = shares3(D[i - 1, j] - o, X[i - 1, j] - o, Y[i - 1, j] - e, t)
                above[0, j] += gy * wd
                above[1, j] += gy * wx
                above[2, j] += gy * wy
                opens += gy * (wd + wx)
                extends += gy * wy
            if k:
                openings[i - 1, j - 1], extensions[i - 1, j - 1] = opens, extends
            else:
                opened += opens
                extended += extends
        here, above = above, here
    if not k:
        openings[0, 0], extensions[0, 0] = opened, extended


@compiled
def soft_pairs(pairs, similarity, go, ge, t, lengths, score, posterior, openings, extensions) -> None:
    """Score, posterior and expected gaps."""
    _, rows, columns = similarity.shape
    D, X, Y, P = np.empty((4, rows + 1, columns + 1))
    scratch = np.empty((2, 3, columns + 1))
    k = int(go.shape == similarity.shape)
    for b in pairs:
        n, m = lengths[b, 0], lengths[b, 1]
        _forward(similarity[b], go[b], ge[b], k, t, n, m, D, X, Y, scratch[0, 0])
        top, z = _partition(D, t, n, m)
        if z == 0.0:
            score[b] = -inf
            continue
        score[b] = top + t * log(z)
        for i in range(n):
            for j in range(m):
                P[i, j] = exp((D[i + 1, j + 1] - top) / t) / z
        _backward(P, go[b], ge[b], k, t, n, m, D, X, Y, scratch, posterior[b], openings[b], extensions[b])
        for i in range(n):
            for j in range(m):
                posterior[b, i, j] = min(posterior[b, i, j], 1.0)  # rounding may leave 1 + 1e-15


@compiled
def table_pairs(pairs, similarity, go, ge, t, lengths, table) -> None:
    """D."""
    _, rows, columns = similarity.shape
    D, X, Y = np.empty((3, rows + 1, columns + 1))
    scratch = np.empty(columns + 1)
    k = int(go.shape == similarity.shape)
    for b in pairs:
        n, m = lengths[b, 0], lengths[b, 1]
        _forward(similarity[b], go[b], ge[b], k, t, n, m, D, X, Y, scratch)
        table[b, :n, :m] = D[1 : n + 1, 1 : m + 1]


@compiled
def table_gradient_pairs(pairs, similarity, go, ge, t, lengths, seeds, matches, openings, extensions) -> None:
    """Derivatives of the sum of seeds * D."""
    _, rows, columns = similarity.shape
    D, X, Y = np.empty((3, rows + 1, columns + 1))
    scratch = np.empty((2, 3, columns + 1))
    k = int(go.shape == similarity.shape)
    for b in pairs:
        n, m = lengths[b, 0], lengths[b, 1]
        _forward(similarity[b], go[b], ge[b], k, t, n, m, D, X, Y, scratch[0, 0])
        _backward(
            seeds[b], go[b], ge[b], k, t, n, m, D, X, Y, scratch, matches[b], openings[b], extensions[b]
        )


@compiled
def _forward_tangent(vs, vo, ve, go, ge, k, t, n, m, D, X, Y, tD, tX, tY) -> None:
    """Fill D', Ix', Iy', how the tables change along (vs, vo, ve)."""
    for table in (tD, tX, tY):
        table[0, : m + 1] = 0.0
        table[: n + 1, 0] = 0.0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            p, q = (i - 1) * k, (j - 1) * k
            o, e, to, te = go[p, q], ge[p, q], vo[p, q], ve[p, q]
            wd, wx, wy = shares_after_start(D[i - 1, j - 1], X[i - 1, j - 1], Y[i - 1, j - 1], t)
            tD[i, j] = (
                vs[i - 1, j - 1] + wd * tD[i - 1, j - 1] + wx * tX[i - 1, j - 1] + wy * tY[i - 1, j - 1]
            )
            wd, wx = shares2(D[i, j - 1] - o, X[i, j - 1] - e, t)
            tX[i, j] = wd * (tD[i, j - 1] - to) + wx * (tX[i, j - 1] - te)
            wd, wx, wy = shares3(D[i - 1, j] - o, X[i - 1, j] - o, Y[i - 1, j] - e, t)
            tY[i, j] = wd * (tD[i - 1, j] - to) + wx * (tX[i - 1, j] - to) + wy * (tY[i - 1, j] - te)


@compiled
def _hand_over(g, w, change, t, values, tangents, j):
    """Pass on a share: values[j] receives g w, tangents[j] its derivative; return that derivative.

    g is (derivative, its tangent) of a smax, w one of its shares, and change how much more than the smax the
    argument of this share moves.
    """
    tangent = g[1] * w + g[0] * w * change / t
    values[j] += g[0] * w
    tangents[j] += tangent
    return tangent


@compiled
def _backward_tangent(
    seeds, moved, vo, ve, go, ge, k, t, n, m, work, rows, matches, openings, extensions
) -> None:
    """Fill how the results of `_backward` change; `moved` is how its seeds do. work = D, X, Y, D', X', Y'."""
    D, X, Y, tD, tX, tY = work
    here, above = rows[0], rows[1]  # derivatives of D, Ix, Iy, then their tangents
    here[:, : m + 1] = 0.0
    opened, extended = 0.0, 0.0
    for i in range(n, 0, -1):
        above[:, : m + 1] = 0.0
        for j in range(m, 0, -1):
            p, q = (i - 1) * k, (j - 1) * k
            o, e, to, te = go[p, q], ge[p, q], vo[p, q], ve[p, q]
            g = (seeds[i - 1, j - 1] + here[0, j], moved[i - 1, j - 1] + here[3, j])
            gx, gy = (here[1, j], here[4, j]), (here[2, j], here[5, j])
            matches[i - 1, j - 1] = g[1]
            wd, wx, wy = shares_after_start(D[i - 1, j - 1], X[i - 1, j - 1], Y[i - 1, j - 1], t)
            ad, ax, ay = tD[i - 1, j - 1], tX[i - 1, j - 1], tY[i - 1, j - 1]
            mean = wd * ad + wx * ax + wy * ay
            _hand_over(g, wd, ad - mean, t, above[0], above[3], j - 1)
            _hand_over(g, wx, ax - mean, t, above[1], above[4], j - 1)
            _hand_over(g, wy, ay - mean, t, above[2], above[5], j - 1)
            wd, wx = shares2(D[i, j - 1] - o, X[i, j - 1] - e, t)
            ad, ax = tD[i, j - 1] - to, tX[i, j - 1] - te
            mean = wd * ad + wx * ax
            opens = _hand_over(gx, wd, ad - mean, t, here[0], here[3], j - 1)
            extends = _hand_over(gx, wx, ax - mean, t, here[1], here[4], j - 1)
            wd, wx, wy = shares3(D[i - 1, j] - o, X[i - 1, j] - o, Y[i - 1, j] - e, t)
            ad, ax, ay = tD[i - 1, j] - to, tX[i - 1, j] - to, tY[i - 1, j] - te
            mean = wd * ad + wx * ax + wy * ay
            opens += _hand_over(gy, wd, ad - mean, t, above[0], above[3], j)
            opens += _hand_over(gy, wx, ax - mean, t, above[1], above[4], j)
            extends += _hand_over(gy, wy, ay - mean, t, above[2], above[5], j)
            if k:
                openings[i - 1, j - 1], extensions[i - 1, j - 1] = opens, extends
            else:
                opened += opens
                extended += extends
        here, above = above, here
    if not k:
        openings[0, 0], extensions[0, 0] = opened, extended


@compiled
def tangent_pairs(
    pairs, similarity, go, ge, t, lengths, vs, vo, ve, table_seeds, matches, openings, extensions, table
) -> None:
    """How posterior, openings and extensions, or the derivatives of the sum of table_seeds * D, change.

    `table_seeds` has no pairs when the score is meant. `table` receives D'.
    """
    _, rows, columns = similarity.shape
    work = np.empty((6, rows + 1, columns + 1))
    D, X, Y, tD, tX, tY = work
    seeds, moved = np.empty((2, rows, columns))
    scratch = np.empty((2, 6, columns + 1))
    k = int(go.shape == similarity.shape)
    for b in pairs:
        n, m = lengths[b, 0], lengths[b, 1]
        _forward(similarity[b], go[b], ge[b], k, t, n, m, D, X, Y, scratch[0, 0])
        _forward_tangent(vs[b], vo[b], ve[b], go[b], ge[b], k, t, n, m, D, X, Y, tD, tX, tY)
        table[b, :n, :m] = tD[1 : n + 1, 1 : m + 1]
        if len(table_seeds) > 0:
            seeds[:n, :m] = table_seeds[b, :n, :m]
            moved[:n, :m] = 0.0
        else:
            top, z = _partition(D, t, n, m)
            if z == 0.0:
                continue
            mean = 0.0
            for i in range(n):
                for j in range(m):
                    seeds[i, j] = exp((D[i + 1, j + 1] - top) / t) / z
                    mean += seeds[i, j] * tD[i + 1, j + 1]
            for i in range(n):
                for j in range(m):
                    moved[i, j] = seeds[i, j] * (tD[i + 1, j + 1] - mean) / t
        _backward_tangent(
            seeds,
            moved,
            vo[b],
            ve[b],
            go[b],
            ge[b],
            k,
            t,
            n,
            m,
            work,
            scratch,
            matches[b],
            openings[b],
            extensions[b],
        )
