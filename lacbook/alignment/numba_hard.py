"""The recursion at temperature 0, compiled: the best alignments, with one byte of directions per cell.

The equations of `recursion` with max for smax, in the log domain (they are sums); state is float64. A row is
filled in two loops. `_leave` takes the row above and finds, for all of its columns independently (LLVM
vectorises that), the best way down and the best way diagonally on; `_enter` then goes through the row from
left to right, since a skip in Y follows what is on its left. No sum is reordered, so scores and ties are
those of the recursion, to the last bit.

A byte says of a cell of the row above which of its states is best to leave it by, and how its Ix was entered:
the first maximum of each argument list, as `recursion` orders them. Bits 0-1: diagonally to D (start, D, Ix,
Iy); bit 2: Ix here (D, Ix); bits 3-4: down to Iy (D, Ix, Iy).
"""

# mypy: allow-untyped-defs

from math import inf, nan

import numpy as np

from lacbook.alignment.compiled import compiled


@compiled
def _leave(D, X, Y, opened, go, ge, m, codes, onward) -> None:
    """From the row above: Y of the row below it (in place), max(0, D, X, Y) for its D, and the directions.

    Codes are chosen as float64, as wide as what is compared, or the loop is slower by half.
    """
    for j in range(m):
        d, x, y = D[j], X[j], Y[j]
        best = d if d > 0.0 else 0.0
        code = 1.0 if d > 0.0 else 0.0
        code = 2.0 if x > best else code
        best = x if x > best else best
        code = 3.0 if y > best else code
        onward[j] = y if y > best else best
        code += 4.0 if x > opened[j] else 0.0
        d, x, y = d - go[j], x - go[j], y - ge[j]
        best = x if x > d else d
        from_x_or_y = 8.0 if x > d else 0.0
        from_x_or_y = 16.0 if y > best else from_x_or_y
        Y[j] = y if y > best else best
        codes[j] = np.uint8(np.int32(code + from_x_or_y))


@compiled
def _enter(s, onward, go, ge, m, top, D, X, opened) -> tuple[float, int, bool]:
    """D and X of a row; the largest D if it is above top, else top, and its column, else -1; no bad s."""
    d, x, diagonal, column, good = -inf, -inf, 0.0, -1, True
    for j in range(m):
        good &= s[j] < inf
        after_d, after_x = d - go[j], x - ge[j]
        x = after_x if after_x > after_d else after_d
        d = s[j] + diagonal
        diagonal = onward[j]
        D[j], X[j], opened[j] = d, x, after_d
        if d > top:
            top, column = d, j
    return top, column, good


@compiled
def _copy(penalty, m, row) -> bool:
    """Copy a row of penalties as float64; whether they are finite."""
    bad = 0
    for j in range(m):
        row[j] = penalty[j]
        bad += not abs(penalty[j]) < inf
    return bad == 0


@compiled
def _fill(similarity, gap_open, gap_extend, per_cell, n, m, rows, directions) -> tuple[float, int, int]:
    """Fill the directions of one pair; max D and its cell, the first in reading order; NaN for bad values."""
    D, X, Y, opened, onward, go, ge = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6]
    rows[:4] = -inf  # above the table
    go[:], ge[:] = gap_open[0, 0], gap_extend[0, 0]
    top, end_i, end_j, good = -inf, 0, 0, abs(go[0]) < inf and abs(ge[0]) < inf
    for i in range(n):
        if per_cell:
            good &= _copy(gap_open[i], m, go) & _copy(gap_extend[i], m, ge)
        _leave(D, X, Y, opened, go, ge, m, directions[i], onward)
        top, column, good_row = _enter(similarity[i], onward, go, ge, m, top, D, X, opened)
        good &= good_row
        if column >= 0:
            end_i, end_j = i, column
    return (top if good else nan), end_i, end_j


@compiled
def _walk_back(directions, i, j, path) -> int:
    """Fill path with the matches of the alignment that ends at (i, j); how many they are.

    The byte of cell (i, j) is directions[i + 1, j].
    """
    count, state = 0, 1  # 0 is the start, 1, 2 and 3 are D, Ix and Iy
    while state != 0:
        if state == 1:
            path[count, 0], path[count, 1] = i, j
            count += 1
            state = directions[i, j - 1] & 3 if j > 0 else 0
            i, j = i - 1, j - 1
        elif state == 2:
            state = 1 + ((directions[i + 1, j] >> 2) & 1)
            j -= 1
        else:
            state = 1 + (directions[i, j] >> 3)
            i -= 1
    path[:count] = path[:count][::-1].copy()
    return count


@compiled
def hard_pairs(pairs, similarity, gap_open, gap_extend, lengths, scores, paths, counts) -> None:
    """Scores [B, top], matches [B, top, min(N, M), 2] and how many they are [B, top], zeros to begin with.

    Matched cells are forbidden, by a similarity of -inf, in the passes that follow. The best score of a pair
    is NaN if one of its similarities is NaN or +inf or one of its penalties not finite.
    """
    _, rows, columns = similarity.shape
    directions = np.empty((rows, columns), dtype=np.uint8)
    scratch = np.empty((7, columns))
    per_cell = gap_open.shape == similarity.shape
    for b in pairs:
        n, m = lengths[b, 0], lengths[b, 1]
        s = similarity[b] if scores.shape[1] == 1 else similarity[b].copy()
        for k in range(scores.shape[1]):
            best, i, j = _fill(s, gap_open[b], gap_extend[b], per_cell, n, m, scratch, directions)
            if best < 0.0 or (k > 0 and best == 0.0):
                break
            scores[b, k] = best
            if not best >= 0.0:
                break
            counts[b, k] = _walk_back(directions, i, j, paths[b, k])
            if k + 1 < scores.shape[1]:
                for i, j in paths[b, k, : counts[b, k]]:
                    s[i, j] = -inf
