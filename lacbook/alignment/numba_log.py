"""The equations of `recursion` term by term, compiled: the log domain, which holds for every input.

A table is worked through in bands of rows, and a band by anti-diagonals, whose cells do not depend on each
other: all three recurrences become vector loops over the rows of the band. With two more tables, of what
a skip and a match may follow, every smax has two arguments, or three::

    W = smax(D, Ix)                             D = S + U[i-1,j-1]
    U = smax(0, W, Iy)                          Ix = smax(D[i,j-1] - go, Ix[i,j-1] - ge)
                                                Iy = smax(W[i-1,j] - go, Iy[i-1,j] - ge)

They are kept in units of the similarity, so nothing overflows or underflows. Going forward, the shares
softmax(arguments / t) of every smax are stored; going backward, each cell multiplies its derivatives by
them. Of the rows between two bands W, Iy and U are kept, and from these a band whose shares were overwritten
is computed again, so that a thread needs about `KEPT_BYTES` whatever the number of rows.

State is float64 (the similarity may be float32). Penalties are (1, 1) or (N, M) tables, indexed with k = 0 or
1. The first argument of the batch functions says which pairs to compute. These are Python, which costs tens
of microseconds a pair and saves seconds of compiling; what they call is compiled, and releases the GIL.
"""

# mypy: allow-untyped-defs

from math import inf

import numpy as np

from lacbook.alignment.compiled import compiled
from lacbook.alignment.vector_math import exp2, log2

BAND = 64  # rows
KEPT_BYTES = 12 * 2**20  # for the shares, unless a single band needs more
LOG2_E, LN_2 = 1.4426950408889634, 0.6931471805599453


def _numbers(count):
    """Names of rows, unsigned: an offset that cannot be negative lets LLVM vectorise."""
    return np.arange(count, dtype=np.uint64)


# What is stored of the last three diagonals, forward and backward. The first three pass from band to band:
# W, Iy, U, and the derivative by D with the shares of it that an opened and an extended skip of row i bring.
W, Y, U, D, X = _numbers(5)
MATCH, OPEN_DOWN, EXTEND_DOWN, OPEN_RIGHT, EXTEND_RIGHT, BY_W, BY_X, BY_Y = _numbers(8)
# Penalties of the diagonal and their tangents, and 0 where nothing is skipped.
OPEN, EXTEND, OPEN_TANGENT, EXTEND_TANGENT, FREE = _numbers(5)
# What is stored of all cells of a band. SEED is D, then the derivative by it that comes from outside. W_D is
# the share of D in W; that of the other argument, W_X, lies REST rows further. With a direction, TANGENTS
# rows follow: how the first ones change. The share of the other argument changes by the negative.
SEED, U_W, U_Y, W_D, X_D, Y_W, W_X, X_X, Y_Y, SHARES = _numbers(10)
TANGENTS, REST, ONE = W_X, W_X - W_D, np.uint64(1)


@compiled
def _smax_rows(source, a, b, place, skips, o, e, new, c, cell, share, at, lanes, scale, unit) -> None:
    """new[c] = smax(source[a] - skips[o], source[b] - skips[e]), and the shares of both.

    scale = log2(e) / t, unit = t log(2). Row `at` of the band is `place` in the source.
    """
    for r in range(lanes):
        x, y = source[a, place + r] - skips[o, at + r], source[b, place + r] - skips[e, at + r]
        top = max(x, y)
        below = exp2((min(x, y) - (top if top > -inf else 0.0)) * scale)
        total = 1.0 + below
        large = 1.0 / total
        small = below * large
        new[c, at + ONE + r] = top + unit * log2(total)
        cell[share, at + r], cell[share + REST, at + r] = (large, small) if x >= y else (small, large)


@compiled
def _tangent_rows(source, a, b, place, skips, o, e, new, c, cell, share, at, lanes, t) -> None:
    """How the smax of `_smax_rows`, and its first share, change when its arguments do."""
    for r in range(lanes):
        x, y = source[a, place + r] - skips[o, at + r], source[b, place + r] - skips[e, at + r]
        large, small = cell[share, at + r], cell[share + REST, at + r]
        new[c, at + ONE + r] = large * x + small * y
        cell[SHARES + share, at + r] = large * small * (x - y) / t


@compiled
def _rows(d, h, m):
    """First row and number of rows of anti-diagonal d in a band of h rows and m columns."""
    low = max(0, d - m + 1)
    return low, min(h - 1, d) - low + 1


@compiled
def _gather(table, first, d, low, count, k, rows, quantity) -> None:
    """Copy an anti-diagonal of a band to rows[quantity]; `first` is the band's first row."""
    for r in range(count):
        rows[quantity, low + r] = table[(first + low + r) * k, (d - low - r) * k]


@compiled
def _scatter(kept, quantity, first, h, m, table) -> None:
    """Copy what is kept of a band to its rows of a table."""
    for d in range(h + m - 1):
        low, count = _rows(d, h, m)
        for r in range(count):
            table[first + low + r, d - low - r] = kept[d, quantity, low + r]


@compiled
def _forward_band(s, go, ge, k, t, direction, first, h, m, above, below, states, penalties, kept) -> None:
    """Fill `kept` and the row `below` the band from the row `above` it; with a direction, tangents as well.

    Row r of the band is [r + 1] of a state, and the row above is [0].
    """
    scale, unit = LOG2_E / t, t * LN_2
    for v in range(len(states)):
        states[v, 1, U, 0] = 0.0
    for d in range(h + m - 1):
        now, past, older = d % 3, (d + 2) % 3, (d + 1) % 3
        for v in range(len(states)):
            if d < m:
                for q in range(3):
                    states[v, past, q, 0] = above[v, q, d]
            if d < h:  # nothing lies left of the table, but a match may start anywhere
                for q in range(5):
                    states[v, past, q, d + 1] = -inf if v == 0 and q != U else 0.0
        low, count = _rows(d, h, m)
        at, own, lanes = np.uint64(low), np.uint64(low + 1), np.uint64(count)
        new, last, before, cell = states[0, now], states[0, past], states[0, older], kept[d]
        _gather(s, first, d, low, count, 1, cell, SEED)
        if k or d < h:
            _gather(go, first, d, low, count, k, penalties, OPEN)
            _gather(ge, first, d, low, count, k, penalties, EXTEND)
        for r in range(lanes):
            cell[SEED, at + r] += before[U, at + r]
        for r in range(lanes):
            new[D, own + r] = cell[SEED, at + r]
        _smax_rows(last, D, X, own, penalties, OPEN, EXTEND, new, X, cell, X_D, at, lanes, scale, unit)
        _smax_rows(last, W, Y, at, penalties, OPEN, EXTEND, new, Y, cell, Y_W, at, lanes, scale, unit)
        _smax_rows(new, D, X, own, penalties, FREE, FREE, new, W, cell, W_D, at, lanes, scale, unit)
        for r in range(lanes):
            a, b = new[W, own + r], new[Y, own + r]
            top = max(max(a, b), 0.0)
            a, b = exp2((a - top) * scale), exp2((b - top) * scale)
            total = exp2(-top * scale) + a + b
            new[U, own + r] = top + unit * log2(total)
            share = 1.0 / total
            cell[U_W, at + r], cell[U_Y, at + r] = a * share, b * share
        if direction is not None:
            vs, vo, ve = direction
            new, last, before, moved = states[1, now], states[1, past], states[1, older], cell[SHARES:]
            _gather(vs, first, d, low, count, 1, moved, SEED)
            if k or d < h:
                _gather(vo, first, d, low, count, k, penalties, OPEN_TANGENT)
                _gather(ve, first, d, low, count, k, penalties, EXTEND_TANGENT)
            for r in range(lanes):
                moved[SEED, at + r] += before[U, at + r]
            for r in range(lanes):
                new[D, own + r] = moved[SEED, at + r]
            _tangent_rows(
                last, D, X, own, penalties, OPEN_TANGENT, EXTEND_TANGENT, new, X, cell, X_D, at, lanes, t
            )
            _tangent_rows(
                last, W, Y, at, penalties, OPEN_TANGENT, EXTEND_TANGENT, new, Y, cell, Y_W, at, lanes, t
            )
            _tangent_rows(new, D, X, own, penalties, FREE, FREE, new, W, cell, W_D, at, lanes, t)
            for r in range(lanes):
                a, b, w, x = new[W, own + r], new[Y, own + r], cell[U_W, at + r], cell[U_Y, at + r]
                mean = w * a + x * b
                new[U, own + r] = mean
                moved[U_W, at + r], moved[U_Y, at + r] = w * (a - mean) / t, x * (b - mean) / t
        if d >= h - 1:
            for v in range(len(states)):
                for q in range(3):
                    below[v, q, d - h + 1] = states[v, now, q, h]


@compiled
def _largest(h, m, kept, tops) -> None:
    """The largest D of each row."""
    for d in range(h + m - 1):
        low, count = _rows(d, h, m)
        at, cell = np.uint64(low), kept[d]
        for r in range(np.uint64(count)):
            tops[at + r] = max(tops[at + r], cell[SEED, at + r])


@compiled
def _weigh(top, t, h, m, kept, sums) -> None:
    """Replace D by exp((D - top) / t); add these and their products with D', if it is there, for each row."""
    scale = LOG2_E / t
    for d in range(h + m - 1):
        low, count = _rows(d, h, m)
        at, cell = np.uint64(low), kept[d]
        for r in range(np.uint64(count)):
            cell[SEED, at + r] = exp2((cell[SEED, at + r] - top) * scale)
        for r in range(np.uint64(count)):
            sums[0, at + r] += cell[SEED, at + r]
        if len(cell) > SHARES:
            for r in range(np.uint64(count)):
                sums[1, at + r] += cell[SEED, at + r] * cell[SHARES, at + r]


@compiled
def _seed(seeds, first, h, m, kept) -> None:
    """Replace D by the given derivative by it, and D' by that derivative's tangent, which is 0."""
    for d in range(h + m - 1):
        low, count = _rows(d, h, m)
        _gather(seeds, first, d, low, count, 1, kept[d], SEED)
        if kept.shape[1] > SHARES:
            for r in range(low, low + count):
                kept[d, SHARES, r] = 0.0


@compiled
def _backward_band(k, t, direction, first, h, m, weight, mean, most, border, states, kept, gaps, out) -> None:
    """Fill the derivatives, or with a direction their tangents.

    `weight` multiplies the seeds, and `mean` is the mean of D' over them. `border` is the row below the band,
    and then its first row. Row r is [r] of a state, and the row below is [h]. Where k is 0, `gaps` collects
    openings and extensions.
    """
    matches, openings, extensions = out
    for v in range(len(states)):
        states[v, (h + m) % 3, MATCH, h] = 0.0
    for d in range(h + m - 2, -1, -1):
        now, past, older = d % 3, (d + 1) % 3, (d + 2) % 3
        for v in range(len(states)):
            if d >= h - 1:
                for q in range(3):
                    states[v, past, q, h] = border[v, q, d - h + 1]
            if d >= m - 1:  # nothing lies right of the table
                for q in range(5):
                    states[v, past, q, d - m + 1] = 0.0
        low, count = _rows(d, h, m)
        at, under, lanes = np.uint64(low), np.uint64(low + 1), np.uint64(count)
        new, last, before, cell = states[0, now], states[0, past], states[0, older], kept[d]
        for r in range(lanes):
            new[BY_W, at + r] = cell[U_W, at + r] * before[MATCH, under + r] + last[OPEN_DOWN, under + r]
        for r in range(lanes):
            new[BY_Y, at + r] = cell[U_Y, at + r] * before[MATCH, under + r] + last[EXTEND_DOWN, under + r]
        for r in range(lanes):
            new[BY_X, at + r] = cell[W_X, at + r] * new[BY_W, at + r] + last[EXTEND_RIGHT, at + r]
        for r in range(lanes):
            passed = cell[W_D, at + r] * new[BY_W, at + r] + last[OPEN_RIGHT, at + r]
            new[MATCH, at + r] = weight * cell[SEED, at + r] + passed
        for r in range(lanes):
            new[OPEN_RIGHT, at + r] = new[BY_X, at + r] * cell[X_D, at + r]
            new[EXTEND_RIGHT, at + r] = new[BY_X, at + r] * cell[X_X, at + r]
        for r in range(lanes):
            new[OPEN_DOWN, at + r] = new[BY_Y, at + r] * cell[Y_W, at + r]
            new[EXTEND_DOWN, at + r] = new[BY_Y, at + r] * cell[Y_Y, at + r]
        if direction is not None:  # each product's other half
            by, after, moved = new, before, cell[SHARES:]
            new, last, before = states[1, now], states[1, past], states[1, older]
            for r in range(lanes):
                passed = cell[U_W, at + r] * before[MATCH, under + r] + last[OPEN_DOWN, under + r]
                new[BY_W, at + r] = passed + moved[U_W, at + r] * after[MATCH, under + r]
            for r in range(lanes):
                passed = cell[U_Y, at + r] * before[MATCH, under + r] + last[EXTEND_DOWN, under + r]
                new[BY_Y, at + r] = passed + moved[U_Y, at + r] * after[MATCH, under + r]
            for r in range(lanes):
                passed = cell[W_X, at + r] * new[BY_W, at + r] + last[EXTEND_RIGHT, at + r]
                new[BY_X, at + r] = passed - moved[W_D, at + r] * by[BY_W, at + r]
            for r in range(lanes):
                passed = cell[W_D, at + r] * new[BY_W, at + r] + last[OPEN_RIGHT, at + r]
                new[MATCH, at + r] = passed + moved[W_D, at + r] * by[BY_W, at + r]
            for r in range(lanes):
                new[MATCH, at + r] += weight * cell[SEED, at + r] * (moved[SEED, at + r] - mean) / t
            for r in range(lanes):
                change = moved[X_D, at + r] * by[BY_X, at + r]
                new[OPEN_RIGHT, at + r] = new[BY_X, at + r] * cell[X_D, at + r] + change
                new[EXTEND_RIGHT, at + r] = new[BY_X, at + r] * cell[X_X, at + r] - change
            for r in range(lanes):
                change = moved[Y_W, at + r] * by[BY_Y, at + r]
                new[OPEN_DOWN, at + r] = new[BY_Y, at + r] * cell[Y_W, at + r] + change
                new[EXTEND_DOWN, at + r] = new[BY_Y, at + r] * cell[Y_Y, at + r] - change
        for q in range(count):
            matches[first + low + q, d - low - q] = min(new[MATCH, low + q], most)
        if k:
            for q in range(count):
                i, j = first + low + q, d - low - q
                openings[i, j] = new[OPEN_RIGHT, low + q] + new[OPEN_DOWN, low + q]
                extensions[i, j] = new[EXTEND_RIGHT, low + q] + new[EXTEND_DOWN, low + q]
        else:
            for r in range(lanes):
                gaps[0, at + r] += new[OPEN_RIGHT, at + r] + new[OPEN_DOWN, at + r]
                gaps[1, at + r] += new[EXTEND_RIGHT, at + r] + new[EXTEND_DOWN, at + r]
        if d < m:
            for v in range(len(states)):
                for q in range(3):
                    border[v, q, d] = states[v, now, q, 0]


def _bands(n):
    """First row and number of rows of each band."""
    return [(first, min(BAND, n - first)) for first in range(0, n, BAND)]


def _workspace(similarity, orders, quantities):
    """Rows between the bands, states, penalties, and as many slots for bands as fit `KEPT_BYTES`."""
    _, rows, columns = similarity.shape
    bands, h = len(_bands(rows)), min(BAND, rows)
    slots = KEPT_BYTES // (8 * quantities * h * (h + columns))
    borders = np.zeros((bands + 1, orders, 3, columns))
    borders[0, 0, [W, Y]] = -inf  # from above the table nothing but a start
    states, penalties = np.empty((orders, 3, 8, h + 1)), np.zeros((5, h))
    return borders, states, penalties, np.empty((max(1, min(bands, slots)), h + columns, quantities, h))


def _gradients(problem, direction, seeds, size, work, out, table=None):
    """Differentiate the score, which is returned, or the sum of seeds * D; with a direction, the tangents.

    `problem` is similarity, go, ge, k and t of a pair, `size` its lengths; `out` are the three derivatives.
    """
    *_, k, t = problem
    n, m = size
    borders, states, penalties, kept = work
    bands = _bands(n)

    def fill(band):
        """Compute a slot; return the largest D, the sum of exp((D - largest) / t), and that times D'."""
        (first, h), here = bands[band], kept[band % len(kept)]
        rows = borders[band], borders[band + 1]
        _forward_band(*problem, direction, first, h, m, *rows, states, penalties, here)
        if direction:
            _scatter(here, SHARES, first, h, m, table)
        if seeds is not None:
            _seed(seeds, first, h, m, here)
            return 0.0, 1.0, 0.0
        tops, sums = np.full(h, -inf), np.zeros((2, h))
        _largest(h, m, here, tops)
        top = tops.max()
        _weigh(top if top > -inf else 0.0, t, h, m, here, sums)
        return top, *sums.sum(1)

    tops, parts, moments = np.array([fill(band) for band in range(len(bands))]).T
    top = tops.max()
    if top == -inf:
        return top
    with np.errstate(over="ignore"):  # a band 1e308 below the best counts for nothing
        weights = np.exp((tops - top) / t)
    z = weights @ parts
    mean = weights @ moments / z
    if seeds is None:
        weights /= z
    most = inf if direction or seeds is not None else 1.0  # rounding may leave 1 + 1e-15
    gaps, border = np.zeros((2, BAND)), np.zeros_like(borders[0])
    for band in reversed(range(len(bands))):
        if band < len(bands) - len(kept):
            fill(band)
        scalars, here = (*bands[band], m, weights[band], mean, most), kept[band % len(kept)]
        _backward_band(k, t, direction, *scalars, border, states, here, gaps, out)
    if not k:
        out[1][0, 0], out[2][0, 0] = gaps.sum(1)
    return top + t * np.log(z)


def soft_pairs(pairs, similarity, go, ge, t, lengths, score, posterior, openings, extensions) -> None:
    """Score, posterior and expected gaps."""
    work, k = _workspace(similarity, 1, SHARES), int(go.shape == similarity.shape)
    for b in pairs:
        problem, out = (similarity[b], go[b], ge[b], k, t), (posterior[b], openings[b], extensions[b])
        score[b] = _gradients(problem, None, None, lengths[b], work, out)


def table_pairs(pairs, similarity, go, ge, t, lengths, table) -> None:
    """D."""
    borders, states, penalties, (kept, *_) = _workspace(similarity, 1, SHARES)
    k = int(go.shape == similarity.shape)
    for b in pairs:
        n, m = lengths[b]
        for band, (first, h) in enumerate(_bands(n)):
            work = borders[band], borders[band + 1], states, penalties, kept
            _forward_band(similarity[b], go[b], ge[b], k, t, None, first, h, m, *work)
            _scatter(kept, SEED, first, h, m, table[b])


def table_gradient_pairs(pairs, similarity, go, ge, t, lengths, seeds, matches, openings, extensions) -> None:
    """Derivatives of the sum of seeds * D."""
    work, k = _workspace(similarity, 1, SHARES), int(go.shape == similarity.shape)
    for b in pairs:
        problem, out = (similarity[b], go[b], ge[b], k, t), (matches[b], openings[b], extensions[b])
        _gradients(problem, None, seeds[b], lengths[b], work, out)


def tangent_pairs(
    pairs, similarity, go, ge, t, lengths, vs, vo, ve, table_seeds, matches, openings, extensions, table
) -> None:
    """How posterior, openings and extensions, or the derivatives of the sum of table_seeds * D, change.

    `table_seeds` has no pairs when the score is meant. `table` receives D'.
    """
    work, k = _workspace(similarity, 2, SHARES + TANGENTS), int(go.shape == similarity.shape)
    for b in pairs:
        problem, out = (similarity[b], go[b], ge[b], k, t), (matches[b], openings[b], extensions[b])
        seeds = table_seeds[b] if len(table_seeds) else None
        _gradients(problem, (vs[b], vo[b], ve[b]), seeds, lengths[b], work, out, table[b])
