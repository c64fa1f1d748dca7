"""The recursion at temperature 0, compiled: score and path, with one byte of directions per cell.

The equations of `recursion` with max for smax, in the log domain (they are sums); state is float64. A byte
of directions holds the first maximum of each argument list, as `recursion` orders them: bits 0-1 for D
(start, D, Ix, Iy), bit 2 for Ix (D, Ix), bits 3-4 for Iy (D, Ix, Iy).
"""

# mypy: allow-untyped-defs

from math import inf

import numpy as np

from lacbook.alignment.compiled import compiled


@compiled
def _hard_pair(s, go, ge, k, n, m, rows, directions, path) -> tuple[float, int]:
    """(max D, number of matches) of one pair; fills path with its matches if max D >= 0."""
    D, X, Y = rows[0], rows[1], rows[2]  # one row each, overwritten from left to right
    rows[:, : m + 1] = -inf
    top, end_i, end_j = -inf, 0, 0
    for i in range(n):
        d_diagonal, x_diagonal, y_diagonal = -inf, -inf, -inf
        d_left, x_left = -inf, -inf
        for j in range(m):
            d_up, x_up, y_up = D[j], X[j], Y[j]
            best, code = 0.0, 0
            if d_diagonal > best:
                best, code = d_diagonal, 1
            if x_diagonal > best:
                best, code = x_diagonal, 2
            if y_diagonal > best:
                best, code = y_diagonal, 3
            d = s[i, j] + best
            o, e = go[i * k, j * k], ge[i * k, j * k]
            x = d_left - o
            if x_left - e > x:
                x = x_left - e
                code |= 4
            y, from_y = d_up - o, 0
            if x_up - o > y:
                y, from_y = x_up - o, 8
            if y_up - e > y:
                y, from_y = y_up - e, 16
            directions[i, j] = code | from_y
            if d > top:
                top, end_i, end_j = d, i, j
            d_diagonal, x_diagonal, y_diagonal = d_up, x_up, y_up
            d_left, x_left = d, x
            D[j], X[j], Y[j] = d, x, y
    if not top >= 0.0:
        return top, 0

    count, i, j, state = 0, end_i, end_j, 1
    while state != 0:
        code = directions[i, j]
        if state == 1:
            path[count, 0], path[count, 1] = i, j
            count += 1
            state = code & 3
            i, j = i - 1, j - 1
        elif state == 2:
            state = 1 + ((code >> 2) & 1)
            j -= 1
        else:
            state = 1 + (code >> 3)
            i -= 1
    path[:count] = path[:count][::-1].copy()
    return top, count


@compiled
def hard_pairs(pairs, similarity, go, ge, lengths, score, paths, counts) -> None:
    """max(0, max D), the matches of the best path, and how many they are."""
    _, rows, columns = similarity.shape
    directions = np.empty((rows, columns), dtype=np.uint8)
    scratch = np.empty((3, columns + 1))
    k = int(go.shape == similarity.shape)
    for b in pairs:
        n, m = lengths[b, 0], lengths[b, 1]
        top, counts[b] = _hard_pair(similarity[b], go[b], ge[b], k, n, m, scratch, directions, paths[b])
        score[b] = max(0.0, top)
