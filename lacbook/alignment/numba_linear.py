"""The recursion in the linear domain: the fast way, with power-of-two scales where float64's range is short.

With a, x, y = exp(D/t), exp(Ix/t), exp(Iy/t) and e, eo, ee = exp(S/t), exp(-go/t), exp(-ge/t), every smax of
`recursion` becomes a sum and every minus a product, so a cell costs one exp (three with per-cell penalties)
and a few multiply-adds. Forward::

    u = (1 + a + x + y)[i-1,j-1]      a = e u      D = S + t log u      Z = sum of a      V = t log Z
    x = eo a[i,j-1] + ee x[i,j-1]     y = eo (a + x)[i-1,j] + ee y[i-1,j]

Backward, for the derivatives of V (end = 1/Z, G = 0) or of sum G D (end = 0), the penalties being those of
the cell where they are paid::

    A = end + B[i+1,j+1] + (eo X)[i,j+1] + (eo Y)[i+1,j]           dS = G + a A      with B = e A + G / u
    X =       B[i+1,j+1] + (ee X)[i,j+1] + (eo Y)[i+1,j]     openings = eo (X a[i,j-1] + Y (a + x)[i-1,j])
    Y =       B[i+1,j+1]                 + (ee Y)[i+1,j]   extensions = ee (X x[i,j-1] + Y y[i-1,j])

Scales. Rows are taken in bands and columns in blocks; the states of a band in block c are kept as 2^-k[c] of
what they are, and adjoints as 2^k[c], so that their products need no scale. From band to band k follows the
largest state. Inside a band the equations stay as they are, but for three rows of factors: ``start``, the 1
of u, and ``end`` become 2^-k and 2^(k - K)/Z, and what comes from the left is multiplied by ``cross`` =
2^(k[c-1] - k[c]) at the first column of a block. `plan` says when this is safe, `numba_log` does the rest.

Forward keeps the row above each band; backward finds the rows of a band where forward left them or, if they
take more than the workspace, computes them again. State is float64. Arrays carry a border row and column, so
that cell (i, j) of a band that begins with row f, counted from 0, is [i - f + 1, j + 1].

Loops run over one row and store once, from 0, without branches: that is what LLVM vectorises.
"""

# mypy: allow-untyped-defs

from math import ldexp, log

import numpy as np

from lacbook.alignment.compiled import compiled, inner
from lacbook.alignment.numba_scales import add_totals, next_scales, pass_back, pass_on, plan, set_scales, unit
from lacbook.alignment.vector_math import exp2, log2

LOG2_E = 1.4426950408889634
LN_2 = 0.6931471805599453
WORKSPACE = 2_000_000  # most numbers (16 MB) a thread keeps of a pair; with more, bands are computed twice
# Rows of scratch. REACHED is u, LEAST its minimum, PUSHED what enters a scan, PARTIAL an adjoint but for what
# the right adds; from BELOW on stands what the row below hands up.
START, CROSS, OPEN_RIGHT, EXTEND_RIGHT, LEAST, REACHED, TOTAL, PUSHED, END = range(9)
BELOW, OPEN_BELOW, EXTEND_BELOW, PARTIAL, ADJOINT_A, ADJOINT_X, ADJOINT_Y, OPENED, EXTENDED = range(9, 18)
# Given a direction, also these.
SIGMA, OPEN_DIRECTION, EXTEND_DIRECTION, REACHED_MOVED, TOTAL_MOVED, END_MOVED = range(18, 24)
BELOW_MOVED, OPEN_BELOW_MOVED, EXTEND_BELOW_MOVED, PARTIAL_MOVED = range(24, 28)
ADJOINT_A_MOVED, ADJOINT_X_MOVED, ADJOINT_Y_MOVED, PUSHED_MOVED = range(28, 32)
SMALLEST, LARGEST = 1e-280, 1e280  # between them nothing was lost (see `plan`)


@inner
def _open_band(border, states):
    """Put the border above a band, and one on its left."""
    for q in range(len(border)):
        for j in range(border.shape[1]):
            states[1 + q, 0, j] = border[q, j]
        for r in range(states.shape[1]):
            states[1 + q, r, 0] = 0.0


@inner
def _scan(pushed, g, m, states, q, r):
    """states[q, r, j+1] = pushed[j] + g[j] states[q, r, j]; by fours, so that sums need not wait."""
    last = 0.0
    for f in range(m // 4):
        j = 4 * f
        two, four = pushed[j + 1] + g[j + 1] * pushed[j], pushed[j + 3] + g[j + 3] * pushed[j + 2]
        over_two, over_four = g[j + 1] * g[j], g[j + 3] * g[j + 2]
        second = two + over_two * last
        states[q, r, j + 1] = pushed[j] + g[j] * last
        states[q, r, j + 2] = second
        states[q, r, j + 3] = pushed[j + 2] + g[j + 2] * second
        last = (four + over_four * two) + (over_four * over_two) * last
        states[q, r, j + 4] = last
    for j in range(m - m % 4, m):
        last = pushed[j] + g[j] * last
        states[q, r, j + 1] = last


@inner
def _scan_back(pushed, g, m, X):
    """X[j] = pushed[j] + g[j+1] X[j+1]; by fours."""
    last = 0.0
    for f in range(m // 4):
        j = m - 4 * f - 1
        two, four = pushed[j - 1] + g[j] * pushed[j], pushed[j - 3] + g[j - 2] * pushed[j - 2]
        over_two, over_four = g[j] * g[j + 1], g[j - 2] * g[j - 1]
        second = two + over_two * last
        X[j] = pushed[j] + g[j + 1] * last
        X[j - 1] = second
        X[j - 2] = pushed[j - 2] + g[j - 1] * second
        last = (four + over_four * two) + (over_four * over_two) * last
        X[j - 3] = last
    for f in range(m % 4):
        j = m % 4 - 1 - f
        last = pushed[j] + g[j + 1] * last
        X[j] = last


@inner
def _gap_factors(go, ge, k, c, m, eo, ee):
    """The exponentials of a row of penalties, or of one number each."""
    if k:
        for j in range(m):
            eo[j] = exp2(-c * go[j])
        for j in range(m):
            ee[j] = exp2(-c * ge[j])
    else:
        one, other = exp2(-c * go[0]), exp2(-c * ge[0])
        for j in range(m):
            eo[j] = one
            ee[j] = other


@inner
def _step_factors(eo, ee, cross, h, g, m):
    """Factors of a step to the right, 0 behind the last column."""
    for j in range(m):
        h[j] = eo[j] * cross[j]
        g[j] = ee[j] * cross[j]
    h[m] = g[m] = 0.0


@inner
def _direction_rows(direction, b, i, k, m, f, rows):
    """Row i of the direction of the similarity, and of the penalties with a minus, times f."""
    vs, vo, ve = direction[0][b, i], direction[1][b, i * k], direction[2][b, i * k]
    sigma, po, pe = rows[SIGMA], rows[OPEN_DIRECTION], rows[EXTEND_DIRECTION]
    for j in range(m):
        sigma[j] = f * vs[j]
    if k:
        for j in range(m):
            po[j] = -f * vo[j]
            pe[j] = -f * ve[j]
    else:
        for j in range(m):
            po[j] = -f * vo[0]
            pe[j] = -f * ve[0]


@inner
def _forward_band(b, similarity, go, ge, k, t, first, count, m, states, gaps, rows, table, direction, f):
    """Fill the states of a band below their row 0, and add up a by columns.

    Given a direction, also how they change along it: for u' = (a' + x' + y')[i-1,j-1] and sigma, po, pe the
    direction over t (penalties with a minus), a' = e u' + sigma a, and x', y' by the product rule.
    """
    c = LOG2_E / t
    least, start, cross, h, g, u, total, pushed = (
        rows[LEAST],
        rows[START],
        rows[CROSS],
        rows[OPEN_RIGHT],
        rows[EXTEND_RIGHT],
        rows[REACHED],
        rows[TOTAL],
        rows[PUSHED],
    )
    for r in range(count):
        i, p = first + r, (r + 1) * k
        s, eo, ee = similarity[b, i], gaps[0, p], gaps[1, p]
        if k or r == 0:
            _gap_factors(go[b, i * k], ge[b, i * k], k, c, m, eo, ee)
            _step_factors(eo, ee, cross, h, g, m)
        above_a, above_x, above_y = states[1, r], states[2, r], states[3, r]
        e, a, y = states[0, r + 1], states[1, r + 1], states[3, r + 1]
        for j in range(m):
            e[j] = exp2(c * s[j])
        for j in range(m):
            u[j] = start[j] + cross[j] * (above_a[j] + above_x[j] + above_y[j])
            arrived = e[j] * u[j]
            a[j + 1] = arrived
            total[j] += arrived
            pushed[j + 1] = h[j + 1] * arrived
            y[j + 1] = eo[j] * (above_a[j + 1] + above_x[j + 1]) + ee[j] * above_y[j + 1]
        for j in range(m):
            least[j] = min(least[j], u[j])
        _scan(pushed, g, m, states, 2, r + 1)
        if table is not None:
            D, scale = table[b, i], rows[END]
            for j in range(m):
                D[j] = s[j] + t * LN_2 * (log2(u[j]) + scale[j])
        if direction is not None:
            _direction_rows(direction, b, i, k, m, f / t, rows)
            vs, moved = direction[0][b, i], direction[3][b, i]
            sigma, po, pe, du, total_moved, pushed_moved = (
                rows[SIGMA],
                rows[OPEN_DIRECTION],
                rows[EXTEND_DIRECTION],
                rows[REACHED_MOVED],
                rows[TOTAL_MOVED],
                rows[PUSHED_MOVED],
            )
            above_da, above_dx, above_dy = states[4, r], states[5, r], states[6, r]
            x, da, dy = states[2, r + 1], states[4, r + 1], states[6, r + 1]
            for j in range(m):
                du[j] = cross[j] * (above_da[j] + above_dx[j] + above_dy[j])
                moved[j] = vs[j] + t / f * (du[j] / u[j])
                arrived = e[j] * du[j] + sigma[j] * a[j + 1]
                da[j + 1] = arrived
                total_moved[j] += arrived
                opened = above_da[j + 1] + above_dx[j + 1] + po[j] * (above_a[j + 1] + above_x[j + 1])
                dy[j + 1] = eo[j] * opened + ee[j] * (above_dy[j + 1] + pe[j] * above_y[j + 1])
            for j in range(m):
                pushed_moved[j] = h[j] * (da[j] + po[j] * a[j]) + g[j] * (pe[j] * x[j])
            _scan(pushed_moved, g, m, states, 5, r + 1)


@inner
def _backward_band(
    b, k, t, first, count, m, states, gaps, rows, posterior, openings, extensions, seeds, direction, f, fs
):
    """Write the derivatives of a band's cells, last row first; those of the penalties are added to two rows.

    Given a direction, write how the derivatives change along it instead.
    """
    start, cross, h, g, u, end = (
        rows[START],
        rows[CROSS],
        rows[OPEN_RIGHT],
        rows[EXTEND_RIGHT],
        rows[REACHED],
        rows[END],
    )
    below, open_below, extend_below, d = rows[BELOW], rows[OPEN_BELOW], rows[EXTEND_BELOW], rows[PARTIAL]
    A, X, Y, opened, extended = (
        rows[ADJOINT_A],
        rows[ADJOINT_X],
        rows[ADJOINT_Y],
        rows[OPENED],
        rows[EXTENDED],
    )
    for q in range(count):
        r = count - q
        i, p = first + r - 1, r * k
        if k or q == 0:
            _step_factors(gaps[0, p], gaps[1, p], cross, h, g, m)
        eo, ee = gaps[0, p], gaps[1, p]
        e, a, x = states[0, r], states[1, r], states[2, r]
        above_a, above_x, above_y = states[1, r - 1], states[2, r - 1], states[3, r - 1]
        matches = posterior[b, i]
        for j in range(m):
            d[j] = below[j + 1] + open_below[j]
        _scan_back(d, g, m, X)
        for j in range(m):
            A[j] = end[j] + d[j] + h[j + 1] * X[j + 1]
            Y[j] = below[j + 1] + extend_below[j]
        if seeds is None:
            for j in range(m):
                below[j] = cross[j] * (e[j] * A[j])
        else:
            G = seeds[b, i]
            for j in range(m):
                u[j] = start[j] + cross[j] * (above_a[j] + above_x[j] + above_y[j])
                below[j] = cross[j] * (e[j] * A[j] + fs * G[j] / u[j])
        for j in range(m):
            open_below[j] = eo[j] * Y[j]
            extend_below[j] = ee[j] * Y[j]
        if direction is None:
            if seeds is None:
                for j in range(m):
                    matches[j] = min(a[j + 1] * A[j], 1.0)  # rounding may leave 1 + 1e-15
            else:
                for j in range(m):
                    matches[j] = G[j] + a[j + 1] * A[j] / fs
            for j in range(m):
                opened[j] += h[j] * X[j] * a[j] + open_below[j] * (above_a[j + 1] + above_x[j + 1])
                extended[j] += g[j] * X[j] * x[j] + extend_below[j] * above_y[j + 1]
        else:
            _direction_rows(direction, b, i, k, m, f / t, rows)
            _tangent_row(r, p, m, states, gaps, rows, matches, None if seeds is None else G, f, fs)
        if k:
            opens, extends = openings[b, i], extensions[b, i]
            for j in range(m):
                opens[j] = opened[j] / f / fs
                extends[j] = extended[j] / f / fs
            for j in range(m):
                opened[j] = extended[j] = 0.0


@inner
def _tangent_row(r, p, m, states, gaps, rows, matches, seeds, f, fs):
    """How one row of `_backward_band` changes along a direction: its equations, differentiated."""
    cross, h, g, u, A, X, Y = (
        rows[CROSS],
        rows[OPEN_RIGHT],
        rows[EXTEND_RIGHT],
        rows[REACHED],
        rows[ADJOINT_A],
        rows[ADJOINT_X],
        rows[ADJOINT_Y],
    )
    opened, extended, sigma, po, pe = (
        rows[OPENED],
        rows[EXTENDED],
        rows[SIGMA],
        rows[OPEN_DIRECTION],
        rows[EXTEND_DIRECTION],
    )
    moved_end, below, open_below, extend_below, d = (
        rows[END_MOVED],
        rows[BELOW_MOVED],
        rows[OPEN_BELOW_MOVED],
        rows[EXTEND_BELOW_MOVED],
        rows[PARTIAL_MOVED],
    )
    dA, dX, dY, pushed = (
        rows[ADJOINT_A_MOVED],
        rows[ADJOINT_X_MOVED],
        rows[ADJOINT_Y_MOVED],
        rows[PUSHED_MOVED],
    )
    eo, ee, e, a, x, da, dx = (
        gaps[0, p],
        gaps[1, p],
        states[0, r],
        states[1, r],
        states[2, r],
        states[4, r],
        states[5, r],
    )
    above_a, above_x, above_y = states[1, r - 1], states[2, r - 1], states[3, r - 1]
    above_da, above_dx, above_dy = states[4, r - 1], states[5, r - 1], states[6, r - 1]
    for j in range(m):
        d[j] = below[j + 1] + open_below[j]
        pushed[j] = d[j] + g[j + 1] * (pe[j + 1] * X[j + 1])
    _scan_back(pushed, g, m, dX)
    for j in range(m):
        dA[j] = moved_end[j] + d[j] + h[j + 1] * (dX[j + 1] + po[j + 1] * X[j + 1])
        dY[j] = below[j + 1] + extend_below[j]
    for j in range(m):
        below[j] = cross[j] * (e[j] * (dA[j] + sigma[j] * A[j]))
    if seeds is not None:
        for j in range(m):
            du = cross[j] * (above_da[j] + above_dx[j] + above_dy[j])
            below[j] -= cross[j] * (fs * seeds[j] / u[j] * (du / u[j]))
    for j in range(m):
        open_below[j] = eo[j] * (dY[j] + po[j] * Y[j])
        extend_below[j] = ee[j] * (dY[j] + pe[j] * Y[j])
        matches[j] = (da[j + 1] * A[j] + a[j + 1] * dA[j]) / f / fs
    for j in range(m):
        opened[j] += h[j] * ((dX[j] + po[j] * X[j]) * a[j] + X[j] * da[j])
        extended[j] += g[j] * ((dX[j] + pe[j] * X[j]) * x[j] + X[j] * dx[j])
    for j in range(m):
        opened[j] += open_below[j] * (above_a[j + 1] + above_x[j + 1])
        opened[j] += eo[j] * Y[j] * (above_da[j + 1] + above_dx[j + 1])
        extended[j] += extend_below[j] * above_y[j + 1] + ee[j] * Y[j] * above_dy[j + 1]


@compiled
def linear_pairs(
    pairs,
    similarity,
    go,
    ge,
    t,
    lengths,
    seeds,
    direction,
    score,
    table,
    posterior,
    openings,
    extensions,
    refused,
) -> None:
    """What `numba_kernels` asks for of some pairs; `refused` becomes True for those out of range.

    `table` is None or receives D. `posterior`, `openings` and `extensions` are None or receive the
    derivatives of the score or, given `seeds`, of the sum of seeds * D; given a `direction`, a tuple of those
    of the similarity and the penalties and of an array for D', how they change along it. What is None is
    left out when this is compiled.
    """
    k = int(go.shape == similarity.shape)
    states_kept = 4 if direction is None else 7
    for b in pairs:
        n, m = lengths[b, 0], lengths[b, 1]
        refused[b] = True
        if not (1 <= n <= similarity.shape[1] and 1 <= m <= similarity.shape[2]):
            continue
        rows = np.zeros((EXTENDED + 1 if direction is None else PUSHED_MOVED + 1, m + 2))
        band, w, follow = plan(similarity[b], go[b], ge[b], k, LOG2_E / t, n, m, rows[START])
        if band == 0:
            continue
        f, fs = 1.0, 1.0  # units of direction and seeds, so that products stay in range
        if seeds is not None:
            fs = min(unit(seeds[b], n, m, rows[START]), LARGEST)
        if direction is not None:
            height, width = n if k else 1, m if k else 1
            f = min(
                unit(direction[0][b], n, m, rows[START]),
                unit(direction[1][b], height, width, rows[START]),
                unit(direction[2][b], height, width, rows[START]),
            )
            f = min(f, LARGEST, LARGEST * t)
        bands, blocks = (n + band - 1) // band, (m + w - 1) // w
        size = (band + 1) * (m + 1) * (states_kept + 2 * k)
        slots = bands if bands * size <= WORKSPACE and posterior is not None else 1
        states = np.empty((slots, states_kept, band + 1, m + 1))
        gaps = np.empty((slots if k else 1, 2, band + 1 if k else 1, m + 1))
        borders = np.zeros((bands, states_kept - 1, m + 1))
        scales = np.zeros((bands + 1, blocks), dtype=np.int64)
        sums, top = np.zeros(2), 0
        rows[LEAST] = 1.0
        for step in range(2 * bands if posterior is not None else bands):
            q = step if step < bands else 2 * bands - 1 - step
            slot, first = q % slots, q * band
            count = min(band, n - first)
            set_scales(scales[q], w, m, rows[START], rows[CROSS])
            if step < bands or (slots == 1 and step > bands):
                if table is not None:
                    for j in range(m):
                        rows[END, j] = scales[q, j // w]
                _open_band(borders[q], states[slot])
                _forward_band(
                    b,
                    similarity,
                    go,
                    ge,
                    k,
                    t,
                    first,
                    count,
                    m,
                    states[slot],
                    gaps[slot * k],
                    rows,
                    table,
                    direction,
                    f,
                )
            if step < bands:
                larger = top
                for k_block in scales[q]:
                    larger = max(larger, k_block)
                sums[0], sums[1] = ldexp(sums[0], top - larger), ldexp(sums[1], top - larger)
                top = larger
                add_totals(rows[TOTAL], scales[q], w, m, sums, 0, top)
                if direction is not None:
                    add_totals(rows[TOTAL_MOVED], scales[q], w, m, sums, 1, top)
                if step < bands - 1:
                    if follow:
                        next_scales(
                            scales[q], scales[q + 1], w, m, states[slot], count, rows[START], rows[REACHED]
                        )
                    pass_on(states[slot], count, scales[q], scales[q + 1], w, m, borders[q + 1])
                    continue
                z, smallest = sums[0], 1.0
                for j in range(m):
                    smallest = min(smallest, rows[LEAST, j])
                if not SMALLEST < z < LARGEST or smallest < SMALLEST:
                    break
                refused[b] = False
                score[b] = t * (log(z) + LN_2 * top)
                rows[TOTAL:] = 0.0
                continue
            if seeds is None:
                for j in range(m):
                    rows[END, j] = ldexp(1.0 / z, scales[q, j // w] - top)
                if direction is not None:
                    for j in range(m):
                        rows[END_MOVED, j] = -rows[END, j] * (sums[1] / z)
            if step > bands:
                pass_back(rows, BELOW, scales[q], scales[q + 1], w, m)
                if direction is not None:
                    pass_back(rows, BELOW_MOVED, scales[q], scales[q + 1], w, m)
            if posterior is not None:
                _backward_band(
                    b,
                    k,
                    t,
                    first,
                    count,
                    m,
                    states[slot],
                    gaps[slot * k],
                    rows,
                    posterior,
                    openings,
                    extensions,
                    seeds,
                    direction,
                    f,
                    fs,
                )
        if posterior is not None:
            if k or refused[b]:
                continue
            opened, extended = 0.0, 0.0
            for j in range(m):
                opened += rows[OPENED, j]
                extended += rows[EXTENDED, j]
            openings[b, 0, 0], extensions[b, 0, 0] = opened / f / fs, extended / f / fs
