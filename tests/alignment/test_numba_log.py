"""The log-domain kernels where they work in bands of rows: at the borders, and in bounded memory."""

import tracemalloc

import numpy as np
import pytest

from lacbook.alignment import numba_log, recursion

SIZES = [(1, 5), (63, 4), (64, 1), (64, 9), (65, 20), (10, 90), (130, 7)]


def problem(n, m, per_cell, seed=0):
    """Two pairs, the second shorter, with forbidden cells, some negative penalties and NaN padding."""
    rng = np.random.default_rng(seed)
    s = 2 * rng.normal(size=(2, n, m))
    s[:, n // 2, m // 3] = -np.inf
    if n > 5:
        s[0, n // 3 : n // 3 + 2] = -np.inf
    shape = (2, n, m) if per_cell else (2, 1, 1)
    go, ge = rng.uniform(-0.1, 1, size=shape), rng.uniform(-0.1, 0.4, size=shape)
    lengths = np.array([[n, m], [max(1, n - 2), max(1, m - 1)]])
    direction = [rng.normal(size=x.shape) for x in (s, go, ge)]
    seeds = rng.normal(size=s.shape)
    for x in (s, go, ge, seeds, *direction):
        for b, (rows, columns) in enumerate(lengths):
            if x.shape == s.shape:
                x[b, rows:] = x[b, :, columns:] = np.nan
    return s, go, ge, lengths, direction, seeds


def inside(x, b, lengths, like):
    """What of a pair's table lies within its lengths; a penalty as one number."""
    n, m = lengths[b]
    return x[b, :n, :m] if x.shape == like.shape else x[b, 0, 0]


def compute(s, go, ge, t, lengths, direction, seeds):
    """Everything the four kernels fill, in a batch; what they must not touch stays 0."""
    pairs = np.arange(len(s))
    arguments = (pairs, s, go, ge, t, lengths)
    first, of_table, second, second_of_table = ([np.zeros_like(x) for x in (s, go, ge)] for _ in range(4))
    score, table, moved = np.zeros(len(s)), np.zeros_like(s), np.zeros_like(s)
    numba_log.soft_pairs(*arguments, score, *first)
    numba_log.table_pairs(*arguments, table)
    numba_log.table_gradient_pairs(*arguments, seeds, *of_table)
    numba_log.tangent_pairs(*arguments, *direction, np.empty((0, 1, 1)), *second, moved)
    numba_log.tangent_pairs(*arguments, *direction, seeds, *second_of_table, moved)
    return score, table, first, of_table, second, second_of_table, moved


@pytest.mark.parametrize("per_cell", [False, True], ids=["per pair", "per cell"])
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_the_recursion_at_the_borders_of_bands(shape, per_cell):
    t = 0.3
    s, go, ge, lengths, direction, seeds = problem(*shape, per_cell)
    score, table, *gradients, moved = compute(s, go, ge, t, lengths, direction, seeds)
    for b, (n, m) in enumerate(lengths):
        S, o, e = (inside(x, b, lengths, s) for x in (s, go, ge))
        along, w = [inside(x, b, lengths, s) for x in direction], seeds[b, :n, :m]
        tables = recursion.forward(S, o, e, t)
        second, tangent = recursion.backward_tangent(tables, o, e, t, along)
        expected = [recursion.backward(tables, o, e, t), recursion.backward(tables, o, e, t, w)]
        expected += [second, recursion.backward_tangent(tables, o, e, t, along, w)[0]]
        if tables.score == -np.inf:
            assert score[b] == -np.inf
        else:
            assert score[b] == pytest.approx(tables.score, rel=1e-12)
        np.testing.assert_allclose(table[b, :n, :m], tables.D, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(moved[b, :n, :m], tangent, rtol=1e-9, atol=1e-9)
        for mine, truths in zip(gradients, expected, strict=True):
            for x, truth in zip(mine, truths, strict=True):
                truth = truth if x.shape == s.shape else truth.sum()
                np.testing.assert_allclose(inside(x, b, lengths, s), truth, rtol=1e-9, atol=1e-9)
    outside = np.ones(s.shape, dtype=bool)
    for b, (n, m) in enumerate(lengths):
        outside[b, :n, :m] = False
    for x in (table, moved, *(x for each in gradients for x in each if x.shape == s.shape)):
        assert not x[outside].any()


@pytest.mark.parametrize("t", [1e-4, 1e6])
def test_a_wide_range(t):
    """Nothing overflows, and a band that holds a sum 1e5 nats below another's counts for nothing."""
    rng = np.random.default_rng(0)
    s = rng.normal(size=(1, 130, 6)) * 10.0 ** rng.integers(-3, 4, size=(1, 130, 6))
    s[0, 64:100] = -np.inf
    go, ge = np.full((1, 1, 1), 1e30), np.full((1, 1, 1), -0.5)
    lengths = np.array([[130, 6]])
    score, out = np.empty(1), [np.zeros_like(x) for x in (s, go, ge)]
    numba_log.soft_pairs(np.arange(1), s, go, ge, t, lengths, score, *out)
    tables = recursion.forward(s[0].astype(np.longdouble), 1e30, -0.5, t)
    truth = recursion.backward(tables, 1e30, -0.5, t)
    assert score[0] == pytest.approx(float(tables.score), rel=1e-12)
    np.testing.assert_allclose(out[0][0], truth.posterior.astype(float), atol=1e-8)


@pytest.mark.parametrize("of_table", [False, True], ids=["score", "table"])
def test_bands_computed_again_equal_bands_kept(monkeypatch, of_table):
    s, go, ge, lengths, direction, seeds = problem(200, 30, per_cell=True)
    found = []
    for kept in (2**30, 2**20, 0):  # all four bands, two of them, one
        monkeypatch.setattr(numba_log, "KEPT_BYTES", kept)
        score, table, *rest, moved = compute(s, go, ge, 0.3, lengths, direction, seeds)
        chosen = rest[1::2] if of_table else rest[::2]
        found.append([score, table, moved, *(x for each in chosen for x in each)])
    for other in found[1:]:
        for one, again in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, again)


def test_a_pair_of_which_nothing_matches_leaves_its_results():
    s = np.full((1, 70, 3), -np.inf)
    penalty, score = np.full((1, 1, 1), 0.3), np.zeros(1)
    out = [np.zeros_like(x) for x in (s, penalty, penalty)]
    numba_log.soft_pairs(np.arange(1), s, penalty, penalty, 0.1, np.array([[70, 3]]), score, *out)
    assert score[0] == -np.inf
    assert not any(x.any() for x in out)


@pytest.mark.parametrize(("rows", "columns"), [(2048, 2048), (4000, 300)])
def test_memory_of_a_long_pair_is_bounded(rows, columns):
    """Half of the similarity itself at most."""
    s = np.zeros((1, rows, columns))
    penalty, score = np.ones((1, 1, 1)), np.empty(1)
    out = np.zeros_like(s), np.zeros_like(penalty), np.zeros_like(penalty)
    arguments = (s, penalty, penalty, 0.1)
    numba_log.soft_pairs(np.arange(1), *arguments, np.array([[3, 3]]), score, *out)  # compiled by now
    tracemalloc.start()
    numba_log.soft_pairs(np.arange(1), *arguments, np.array([[rows, columns]]), score, *out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 1e6 < peak < 16 * 2**20
