"""Powers of two for `numba_linear`: where they hold, and how they follow the states.

States of a band of rows in block c of columns are kept as 2^-k[c] of what they are. ``scales`` holds the k of
a band, w is how many columns a block has.
"""

# mypy: allow-untyped-defs

from math import frexp, inf, ldexp

from lacbook.alignment.compiled import inner

BAND = 64  # most rows between two looks at the scales


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
def plan(s, go, ge, k, c, n, m, row):
    """Rows of a band (0 to refuse), columns of a block, and whether scales may follow the states.

    A state far below another one of its block may flush to zero. That is harmless if whatever it can still
    reach, the larger one reaches with more: for at most two gap openings, 2 w extensions and w lost matches.
    So if these come to less than 900 bits, and what a band gains or loses to 400, the 2,000 bits of float64
    suffice. Blocks are half as wide as that allows where they can be, so that the kernel's own check, that
    no u came near the smallest number, seldom refuses a pair.

    Where no block is that narrow, a scale of 1 holds if in the end 1e-280 < Z < 1e280: an alignment with a
    factor that underflows could be cut there into two, each of weight Z at most, so what was lost is below
    Z * Z * 1e-308. Both need penalties >= 0. Ours.
    """
    rows, columns = n if k else 1, m if k else 1
    if not (_finite(go, rows, columns, row) and _finite(ge, rows, columns, row)):
        return 0, m, False
    if _largest(go, rows, columns, -1.0, row) > 0 or _largest(ge, rows, columns, -1.0, row) > 0:
        return 0, m, False
    o, g = c * _largest(go, rows, columns, 1.0, row), c * _largest(ge, rows, columns, 1.0, row)
    match = c * max(_largest(s, n, m, 1.0, row), 0.0)
    band, wide = (400.0 - o) / max(match + 2.0, g), (900.0 - 2.0 * o) / max(2.0 * g + match, 1.0)
    if band >= 4.0 and wide >= 8.0:
        return min(int(band), BAND, n), min(int(max(wide / 2.0, 8.0)), max(m, 8)), True
    return min(BAND, n), m, False


@inner
def set_scales(scales, w, m, start, cross):
    """Factors of a band whose blocks have these scales."""
    for j in range(m):
        start[j] = ldexp(1.0, -scales[j // w])
        cross[j] = 1.0
    for c in range(1, len(scales)):
        cross[c * w] = ldexp(1.0, scales[c - 1] - scales[c])


@inner
def next_scales(scales, following, w, m, states, r, start, row):
    """Let the scales of the band after this one follow the states of row r."""
    for j in range(m):
        row[j] = start[j] + states[1, r, j + 1] + states[2, r, j + 1] + states[3, r, j + 1]
    for c in range(len(scales)):
        top = 0.0
        for j in range(c * w, min(c * w + w, m)):
            top = max(top, row[j])
        exponent = frexp(top)[1]
        k = scales[c] + exponent if abs(exponent) > 200 else scales[c]
        following[c] = max(k, 0, following[c - 1] - 400 if c > 0 else 0)


@inner
def pass_on(states, r, scales, following, w, m, border):
    """The states of row r, rescaled, as the border above the next band."""
    for c in range(len(scales)):
        factor = ldexp(1.0, scales[c] - following[c])
        for q in range(len(border)):
            for j in range(c * w, min(c * w + w, m)):
                border[q, j + 1] = factor * states[1 + q, r, j + 1]


@inner
def pass_back(rows, first, scales, below, w, m):
    """Bring what the band below hands up, rows from first on by threes, to the scales of this one."""
    for c in range(len(scales)):
        factor = ldexp(1.0, scales[c] - below[c])
        for q in range(3):
            shift = 1 if q == 0 else 0  # what is handed up to the left has the scale of where it goes
            for j in range(c * w + shift, min(c * w + w, m) + shift):
                rows[first + q, j] *= factor


@inner
def add_totals(total, scales, w, m, sums, q, top):
    """Add the columns' totals to sums[q], which is kept as 2^-top of what it is."""
    for c in range(len(scales)):
        factor = ldexp(1.0, scales[c] - top)
        for j in range(c * w, min(c * w + w, m)):
            sums[q] += factor * total[j]
            total[j] = 0.0


@inner
def unit(table, n, m, row):
    """A power of two that brings the largest number of a table to about 1; inf for zeros, which any suits."""
    size = max(_largest(table, n, m, 1.0, row), _largest(table, n, m, -1.0, row))
    return ldexp(1.0, -frexp(size)[1]) if size > 0.0 else inf
