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
2^(k[c-1] - k[c]) at the first column of a block. `_plan` says when this is safe, `numba_log` does the rest.

Forward keeps the row above each band; backward finds the rows of a band where forward left them or, if they
take more than the workspace, computes them again. State is float64. Arrays carry a border row and column, so
that cell (i, j) of a band that begins with row f, counted from 0, is [i - f + 1, j + 1].

Loops run over one row and store once, from 0, without branches: that is what LLVM vectorises.
"""

# mypy: allow-untyped-defs

from math import frexp, inf, ldexp, log

import numpy as np

from lacbook.alignment.compiled import compiled, inner
from lacbook.alignment.vector_math import exp2, log2

LOG2_E = 1.4426950408889634
LN_2 = 0.6931471805599453
BAND = 64  # most rows between two looks at the scales
WORKSPACE = 2_000_000  # most numbers (16 MB) a thread keeps of a pair; with more, bands are computed twice
SMALLEST, LARGEST = 1e-280, 1e280  # between them nothing was lost (see `_plan`)


@inner
def _largest(table, n, m, sign, row):
    """Largest of sign * table, by columns first, which is vectorised."""
    for j in range(m):
        row[j] = -inf
    for i in range(n):
        for j in range(m):
            value = sign * table[i, j]
            row[j] = value if value > row[j] else row[j]
    largest = -inf
    for j in range(m):
        largest = max(largest, row[j])
    return largest


@inner
def _finite(table, n, m, row):
    """Whether all numbers are."""
    for j in range(m):
        row[j] = 0.0
    for i in range(n):
        for j in range(m):
            row[j] += table[i, j] - table[i, j]  # NaN for NaN and both infinities
    total = 0.0
    for j in range(m):
        total += row[j]
    return total == 0.0


@inner
def _plan(s, go, ge, k, c, n, m, row):
    """Rows of a band (0 to refuse), columns of a block, and whether scales may follow the states.

    A state far below another one of its block may flush to zero. That is harmless if whatever it can still
    reach, the larger one reaches with more: for at most two gap openings, 2 w extensions and w lost matches.
    So if these come to less than 900 bits, and what a band gains or loses to 400, the 2,000 bits of float64
    suffice. Where no block is that narrow, a scale of 1 holds if in the end 1e-280 < Z < 1e280: an alignment
    with a factor that underflows could be cut there into two, each of weight Z at most, so what was lost is
    below Z * Z * 1e-308. Both need penalties >= 0. Ours.
    """
    rows, columns = n if k else 1, m if k else 1
    if not (_finite(go, rows, columns, row) and _finite(ge, rows, columns, row)):
        return 0, m, False
    if _largest(go, rows, columns, -1.0, row) > 0 or _largest(ge, rows, columns, -1.0, row) > 0:
        return 0, m, False
    o, g = c * _largest(go, rows, columns, 1.0, row), c * _largest(ge, rows, columns, 1.0, row)
    match = c * max(_largest(s, n, m, 1.0, row), 0.0)
    band, w = (400.0 - o) / max(match + 2.0, g), max(m, 8)
    while w >= 8 and band >= 4.0:
        if 2.0 * o + w * (2.0 * g + match) < 900.0:
            return min(int(band), BAND, n), w, True
        w //= 2
    return min(BAND, n), m, False


@inner
def _set_scales(scales, w, m, start, cross):
    """Factors of a band whose blocks have these scales."""
    for j in range(m):
        start[j] = ldexp(1.0, -scales[j // w])
        cross[j] = 1.0
    for c in range(1, len(scales)):
        cross[c * w] = ldexp(1.0, scales[c - 1] - scales[c])


@inner
def _next_scales(scales, following, w, m, states, r, start, row):
    """Let the scales of the band after this one follow the states of row r; the smallest of them."""
    for j in range(m):
        row[j] = start[j] + states[1, r, j + 1] + states[2, r, j + 1] + states[3, r, j + 1]
    smallest = inf
    for c in range(len(scales)):
        top = 0.0
        for j in range(c * w, min(c * w + w, m)):
            top, smallest = max(top, row[j]), min(smallest, row[j])
        exponent = frexp(top)[1]
        k = scales[c] + exponent if abs(exponent) > 200 else scales[c]
        following[c] = max(k, 0, following[c - 1] - 400 if c > 0 else 0)
    return smallest


@inner
def _pass_on(states, r, scales, following, w, m, border):
    """The states of row r, rescaled, as the border above the next band."""
    for c in range(len(scales)):
        factor = ldexp(1.0, scales[c] - following[c])
        for q in range(len(border)):
            for j in range(c * w, min(c * w + w, m)):
                border[q, j + 1] = factor * states[1 + q, r, j + 1]


@inner
def _pass_back(rows, first, scales, below, w, m):
    """Bring what the band below hands up, rows from first on by threes, to the scales of this one."""
    for c in range(len(scales)):
        factor = ldexp(1.0, scales[c] - below[c])
        for q in range(3):
            shift = 1 if q == 0 else 0  # what is handed up to the left has the scale of where it goes
            for j in range(c * w + shift, min(c * w + w, m) + shift):
                rows[first + q, j] *= factor


@inner
def _open_band(border, states):
    """Put the border above a band, and one on its left."""
    for q in range(len(border)):
        for j in range(border.shape[1]):
            states[1 + q, 0, j] = border[q, j]
        for r in range(states.shape[1]):
            states[1 + q, r, 0] = 0.0


@inner
def _add_totals(total, scales, w, m, sums, q, top):
    """Add the columns' totals to sums[q], which is kept as 2^-top of what it is."""
    for c in range(len(scales)):
        factor = ldexp(1.0, scales[c] - top)
        for j in range(c * w, min(c * w + w, m)):
            sums[q] += factor * total[j]
            total[j] = 0.0


@inner
def _unit(table, n, m, row):
    """A power of two that brings the largest number of a table to about 1, so that products stay in range."""
    size = max(_largest(table, n, m, 1.0, row), _largest(table, n, m, -1.0, row))
    return ldexp(1.0, -frexp(size)[1])


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
    sigma, po, pe = rows[17], rows[18], rows[19]
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
    start, cross, h, g, u, total, pushed = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6]
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
        _scan(pushed, g, m, states, 2, r + 1)
        if table is not None:
            D, scale = table[b, i], rows[7]
            for j in range(m):
                D[j] = s[j] + t * LN_2 * (log2(u[j]) + scale[j])
        if direction is not None:
            _direction_rows(direction, b, i, k, m, f / t, rows)
            vs, moved = direction[0][b, i], direction[3][b, i]
            sigma, po, pe, du, total_moved, pushed_moved = (
                rows[17],
                rows[18],
                rows[19],
                rows[20],
                rows[21],
                rows[30],
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
    start, cross, h, g, u, end = rows[0], rows[1], rows[2], rows[3], rows[4], rows[7]
    below, open_below, extend_below, d = rows[8], rows[9], rows[10], rows[11]
    A, X, Y, opened, extended = rows[12], rows[13], rows[14], rows[15], rows[16]
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
                opens[j] = opened[j] / (f * fs)
                extends[j] = extended[j] / (f * fs)
            for j in range(m):
                opened[j] = extended[j] = 0.0


@inner
def _tangent_row(r, p, m, states, gaps, rows, matches, seeds, f, fs):
    """How one row of `_backward_band` changes along a direction: its equations, differentiated."""
    cross, h, g, u, A, X, Y = rows[1], rows[2], rows[3], rows[4], rows[12], rows[13], rows[14]
    opened, extended, sigma, po, pe = rows[15], rows[16], rows[17], rows[18], rows[19]
    moved_end, below, open_below, extend_below, d = rows[22], rows[23], rows[24], rows[25], rows[26]
    dA, dX, dY, pushed = rows[27], rows[28], rows[29], rows[30]
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
        matches[j] = (da[j + 1] * A[j] + a[j + 1] * dA[j]) / (f * fs)
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
        rows = np.zeros((17 if direction is None else 31, m + 2))
        band, w, follow = _plan(similarity[b], go[b], ge[b], k, LOG2_E / t, n, m, rows[0])
        if band == 0:
            continue
        f, fs = 1.0, 1.0
        if seeds is not None:
            fs = _unit(seeds[b], n, m, rows[0])
        if direction is not None:
            rows_of_gaps, columns_of_gaps = n if k else 1, m if k else 1
            f = min(
                _unit(direction[0][b], n, m, rows[0]),
                _unit(direction[1][b], rows_of_gaps, columns_of_gaps, rows[0]),
                _unit(direction[2][b], rows_of_gaps, columns_of_gaps, rows[0]),
            )
        bands, blocks = (n + band - 1) // band, (m + w - 1) // w
        size = (band + 1) * (m + 1) * (states_kept + 2 * k)
        slots = bands if bands * size <= WORKSPACE and posterior is not None else 1
        states = np.empty((slots, states_kept, band + 1, m + 1))
        gaps = np.empty((slots if k else 1, 2, band + 1 if k else 1, m + 1))
        borders = np.zeros((bands, states_kept - 1, m + 1))
        scales = np.zeros((bands + 1, blocks), dtype=np.int64)
        sums, top, smallest = np.zeros(2), 0, 1.0
        for step in range(2 * bands if posterior is not None else bands):
            q = step if step < bands else 2 * bands - 1 - step
            slot, first = q % slots, q * band
            count = min(band, n - first)
            _set_scales(scales[q], w, m, rows[0], rows[1])
            if step < bands or (slots == 1 and step > bands):
                if table is not None:
                    for j in range(m):
                        rows[7, j] = scales[q, j // w]
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
                _add_totals(rows[5], scales[q], w, m, sums, 0, top)
                if direction is not None:
                    _add_totals(rows[21], scales[q], w, m, sums, 1, top)
                if step < bands - 1:
                    if follow:
                        lowest = _next_scales(
                            scales[q], scales[q + 1], w, m, states[slot], count, rows[0], rows[4]
                        )
                        smallest = min(smallest, lowest)
                    _pass_on(states[slot], count, scales[q], scales[q + 1], w, m, borders[q + 1])
                    continue
                z = sums[0]
                if not SMALLEST < z < LARGEST or smallest < SMALLEST:
                    break
                refused[b] = False
                score[b] = t * (log(z) + LN_2 * top)
                rows[5:] = 0.0
                continue
            if seeds is None:
                for j in range(m):
                    rows[7, j] = ldexp(1.0 / z, scales[q, j // w] - top)
                if direction is not None:
                    for j in range(m):
                        rows[22, j] = -rows[7, j] * (sums[1] / z)
            if step > bands:
                _pass_back(rows, 8, scales[q], scales[q + 1], w, m)
                if direction is not None:
                    _pass_back(rows, 23, scales[q], scales[q + 1], w, m)
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
                opened += rows[15, j]
                extended += rows[16, j]
            openings[b, 0, 0], extensions[b, 0, 0] = opened / (f * fs), extended / (f * fs)
