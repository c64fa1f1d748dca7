"""The readable recursion against brute force, on every table up to 4 x 4."""

from itertools import product
from math import comb

import numpy as np
import pytest

from lacbook.alignment import enumeration, recursion

SHAPES = list(product(range(1, 5), repeat=2))
# Low enough that gaps pay: the best alignment then opens and extends them.
PENALTIES = {"scalar": (0.3, 0.1), "free": (0.0, 0.0), "extend dearer": (0.1, 0.6), "rewarded": (-0.2, -0.1)}


def table(shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def per_cell(shape):
    rng = np.random.default_rng([7, *shape])
    return rng.uniform(0, 0.5, shape), rng.uniform(-0.1, 0.3, shape)


CASES = [
    pytest.param(table(shape), *pair, id=f"{shape}-{name}")
    for shape in SHAPES
    for name, pair in {**PENALTIES, "per cell": per_cell(shape)}.items()
]


def test_enumeration_counts_chains_once():
    for n, m in SHAPES:
        paths = [a.path for a in enumeration.enumerate_alignments(np.zeros((n, m)), 1, 1)]
        assert len(paths) == len(set(paths)) == comb(n + m, n) - 1


def test_enumeration_charges_the_cells_named_in_the_equations():
    s, go, ge = np.zeros((4, 4)), np.arange(16.0).reshape(4, 4), 100 * np.arange(16.0).reshape(4, 4)
    (found,) = [a for a in enumeration.enumerate_alignments(s, go, ge) if a.path == ((0, 0), (3, 3))]
    assert found.opened == ((0, 1), (1, 2))
    assert found.extended == ((0, 2), (2, 2))
    assert found.score == -(1 + 6 + 200 + 1000)


@pytest.mark.parametrize("temperature", [0.03, 0.1, 1, 10])
@pytest.mark.parametrize(("s", "go", "ge"), CASES)
def test_soft_equals_enumeration(s, go, ge, temperature):
    truth = enumeration.expect(s, go, ge, temperature)
    tables = recursion.forward(s, go, ge, temperature)
    gradients = recursion.backward(tables, go, ge, temperature)
    np.testing.assert_allclose(tables.score, truth.score, atol=1e-12)
    np.testing.assert_allclose(gradients.posterior, truth.posterior, atol=1e-12)
    np.testing.assert_allclose(gradients.openings, truth.openings, atol=1e-12)
    np.testing.assert_allclose(gradients.extensions, truth.extensions, atol=1e-12)


@pytest.mark.parametrize(("s", "go", "ge"), CASES)
def test_hard_equals_enumeration(s, go, ge):
    truth = enumeration.best(s, go, ge)
    score, path = recursion.traceback(s, go, ge)
    assert score == pytest.approx(max(0.0, truth.score), abs=1e-12)
    assert path == (list(truth.path) if truth.score >= 0 else [])


@pytest.mark.parametrize(("s", "go", "ge"), CASES)
def test_hard_gradient_is_the_best_alignment(s, go, ge):
    truth = enumeration.best(s, go, ge)
    tables = recursion.forward(s, go, ge, 0)
    gradients = recursion.backward(tables, go, ge, 0)
    assert tables.score == pytest.approx(truth.score, abs=1e-12)
    for found, cells in zip(gradients, truth[:3], strict=True):
        expected = np.zeros(s.shape)
        expected[tuple(zip(*cells, strict=True))] = len(cells) > 0
        np.testing.assert_array_equal(found, expected)


def test_hard_gradient_of_ties_is_one_best_alignment():
    for s in np.random.default_rng(0).integers(-1, 2, size=(20, 4, 4)).astype(float):
        s[0, 0] = 1  # or there may be nothing to match
        posterior = recursion.backward(recursion.forward(s, 0, 0, 0), 0, 0, 0).posterior
        expected = np.zeros(s.shape)
        expected[tuple(zip(*recursion.traceback(s, 0, 0)[1], strict=True))] = 1
        np.testing.assert_array_equal(posterior, expected)


def test_a_score_of_zero_still_has_a_path():
    assert recursion.traceback([[0.0]], 1, 1) == (0.0, [(0, 0)])
    assert recursion.traceback([[-1e-9]], 1, 1) == (0.0, [])


def test_some_best_alignment_has_an_opening_an_extension_and_a_turn():
    s = np.full((4, 4), -1.0)
    s[0, 0] = s[3, 3] = 2.0
    truth = enumeration.best(s, 0.3, 0.1)
    assert truth.path == ((0, 0), (3, 3))
    assert (len(truth.opened), len(truth.extended)) == (2, 2)
    assert recursion.traceback(s, 0.3, 0.1) == (pytest.approx(4 - 0.8), [(0, 0), (3, 3)])


def test_forbidden_cells():
    s = table((4, 4))
    s[1] = s[:, 2] = -np.inf
    truth = enumeration.expect(s, 0.3, 0.1, 0.5)
    tables = recursion.forward(s, 0.3, 0.1, 0.5)
    np.testing.assert_allclose(tables.score, truth.score)
    posterior = recursion.backward(tables, 0.3, 0.1, 0.5).posterior
    np.testing.assert_allclose(posterior, truth.posterior, atol=1e-14)
    assert not posterior[1].any()


@pytest.mark.parametrize("temperature", [0, 1])
def test_nothing_can_be_matched(temperature):
    s = np.full((3, 2), -np.inf)
    tables = recursion.forward(s, 1, 1, temperature)
    assert tables.score == -np.inf
    for found in recursion.backward(tables, 1, 1, temperature):
        np.testing.assert_array_equal(found, 0)
    assert recursion.traceback(s, 1, 1) == (0.0, [])
    assert enumeration.expect(s, 1, 1, 1.0).score == -np.inf
