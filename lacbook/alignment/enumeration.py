"""Every alignment of a tiny table, one by one: the ground truth the recursion is tested against.

A local alignment is a non-empty chain of matches (i, j), each strictly below and to the right of the one
before. Between two matches (i, j) and (p, r) the skipped frames are charged where the recursion charges them:
first the frames j+1..r-1 of Y along row i, then the frames i+1..p-1 of X down column r-1. The first cell of
each run costs ``gap_open``, every further one ``gap_extend``. The order (Y first, then X) is fixed, so a
chain is counted once.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Cell = tuple[int, int]


class Alignment(NamedTuple):
    """One local alignment: its matches, the cells where gaps are opened and extended, and its score."""

    path: tuple[Cell, ...]
    opened: tuple[Cell, ...]
    extended: tuple[Cell, ...]
    score: float


def enumerate_alignments(
    similarity: ArrayLike, gap_open: ArrayLike, gap_extend: ArrayLike
) -> Iterator[Alignment]:
    """Yield every non-empty local alignment of a table; there are C(N+M, N) - 1 of them.

    Parameters
    ----------
    similarity : array_like, shape (N, M)
        How alike frame i of X and frame j of Y are; keep N and M below about 6.
    gap_open, gap_extend : array_like, shape () or (N, M)
        Cost of the first skipped frame of a run, and of each further one.

    Yields
    ------
    Alignment
        Score = similarities of the matches minus the penalties of the gap cells.
    """
    s = np.asarray(similarity, dtype=float)
    go = np.broadcast_to(np.asarray(gap_open, dtype=float), s.shape)
    ge = np.broadcast_to(np.asarray(gap_extend, dtype=float), s.shape)
    n, m = s.shape

    def grow(found: Alignment) -> Iterator[Alignment]:
        """Yield an alignment and everything that begins with it."""
        yield found
        i, j = found.path[-1]
        for p in range(i + 1, n):
            for r in range(j + 1, m):
                runs = [[(i, c) for c in range(j + 1, r)], [(c, r - 1) for c in range(i + 1, p)]]
                opened = tuple(run[0] for run in runs if run)
                extended = tuple(cell for run in runs for cell in run[1:])
                cost = sum(go[c] for c in opened) + sum(ge[c] for c in extended)
                yield from grow(
                    Alignment(
                        (*found.path, (p, r)),
                        found.opened + opened,
                        found.extended + extended,
                        found.score + float(s[p, r] - cost),
                    )
                )

    for i in range(n):
        for j in range(m):
            yield from grow(Alignment(((i, j),), (), (), float(s[i, j])))


def best(similarity: ArrayLike, gap_open: ArrayLike, gap_extend: ArrayLike) -> Alignment:
    """Return the alignment with the highest score (the first one found, where several tie)."""
    return max(enumerate_alignments(similarity, gap_open, gap_extend), key=lambda a: a.score)


class Expectation(NamedTuple):
    """Soft score and, per cell, the probability of a match, of a gap opening and of a gap extension."""

    score: float
    posterior: NDArray[np.float64]
    openings: NDArray[np.float64]
    extensions: NDArray[np.float64]


def expect(
    similarity: ArrayLike, gap_open: ArrayLike, gap_extend: ArrayLike, temperature: float
) -> Expectation:
    """Sum over all alignments, each weighted by exp(score / temperature).

    Parameters
    ----------
    similarity, gap_open, gap_extend
        As in `enumerate_alignments`.
    temperature : float
        Above 0.

    Returns
    -------
    Expectation
        score = t log sum exp(score / t); the three tables have shape (N, M).
    """
    found = list(enumerate_alignments(similarity, gap_open, gap_extend))
    scores = np.array([a.score for a in found])
    top = scores.max()
    tables = [np.zeros(np.shape(similarity)) for _ in range(3)]
    if top == -np.inf:
        return Expectation(-np.inf, *tables)
    weights = np.exp((scores - top) / temperature)
    for alignment, weight in zip(found, weights / weights.sum(), strict=True):
        for table, cells in zip(tables, alignment[:3], strict=True):
            for cell in cells:
                table[cell] += weight
    return Expectation(float(top + temperature * np.log(weights.sum())), *tables)
