"""exp2 and log2 against long double over their whole range, and that loops over them are vectorised."""

import re

import numpy as np
import pytest
from numba import njit

from lacbook.alignment.compiled import OPTIONS
from lacbook.alignment.vector_math import exp2, log2

needs_long_double = pytest.mark.skipif(
    np.finfo(np.longdouble).eps >= np.finfo(float).eps, reason="long double is float64 on this platform"
)
SMALLEST_NORMAL, LARGEST = np.finfo(float).tiny, np.finfo(float).max


@njit(**OPTIONS)
def exp2_of_all(x, out):
    for j in range(len(x)):
        out[j] = exp2(x[j])


@njit(**OPTIONS)
def log2_of_all(x, out):
    for j in range(len(x)):
        out[j] = log2(x[j])


def of_all(function, x):
    """Through the vectorised loop; the numbers behind the last full vector go through its scalar rest."""
    x = np.asarray(x, dtype=float)
    out = np.empty_like(x)
    function(x, out)
    return out


def numbers(smallest, largest, near, count=200_003):
    """Spread over a range, and closely around some of its points, where a case may end and another begin."""
    points = np.array(near)[:, None]
    close = points + np.spacing(points) * np.arange(-50, 51)
    x = np.concatenate([np.random.default_rng(0).uniform(smallest, largest, count), close.ravel()])
    return x[(x >= smallest) & (x <= largest)]


@needs_long_double
def test_exp2_over_its_range():
    x = numbers(-1021.5, np.nextafter(1023.5, 0), [*np.arange(-1021.5, 1023.6, 0.5), 1e-300, 1e-17])
    truth = np.exp2(x.astype(np.longdouble))
    error = abs(of_all(exp2_of_all, x) / truth - 1)
    assert error.max() < 4e-16, x[error.argmax()]


def test_exp2_at_its_ends():
    """Below 2^-1022 results are subnormal, and are rounded like these; half a power further they are 0."""
    x = np.linspace(-1022.499, -1021.5, 1001)
    truth = np.array([2.0 ** (number + 100) * 2.0**-100 for number in x])
    np.testing.assert_allclose(of_all(exp2_of_all, x), truth, rtol=4e-16, atol=1e-323)
    x = np.array([-1022.501, -1023.0, -1024.0, -2048.5, -1e9, -1e300, -LARGEST, -np.inf] * 3)
    np.testing.assert_array_equal(of_all(exp2_of_all, x), 0.0)
    x = np.array([1023.5, 1023.6, 1024.0, 1025.0, 2047.0, 1e9, 1e300, LARGEST, np.inf] * 3)
    np.testing.assert_array_equal(of_all(exp2_of_all, x), np.inf)


def test_exp2_of_whole_numbers_is_exact():
    x = np.arange(-1022, 1024)
    np.testing.assert_array_equal(of_all(exp2_of_all, x), np.ldexp(1.0, x))
    assert exp2(-0.0) == 1


@pytest.mark.parametrize("nan", [np.nan, -np.nan])
def test_exp2_of_nan_is_nan_and_of_nothing_else(nan):
    x = np.zeros(23)
    x[[0, 5, 22]] = nan
    np.testing.assert_array_equal(np.isnan(of_all(exp2_of_all, x)), np.isnan(x))
    assert np.isnan(exp2(nan))


@needs_long_double
def test_log2_over_its_range():
    powers = np.ldexp(1.0, np.arange(-1022, 1024))
    near = np.concatenate([powers, powers[:-1] * np.sqrt(2)])
    spread = np.exp2(np.random.default_rng(0).uniform(-1021.9, 1023.9, 200_003))
    x = np.concatenate([spread, numbers(SMALLEST_NORMAL, LARGEST, near, 0)])
    truth = np.log2(x.astype(np.longdouble))
    error = abs(of_all(log2_of_all, x) - truth) / np.maximum(1, abs(truth))
    assert error.max() < 4e-16, x[error.argmax()]


@needs_long_double
def test_log2_near_1_keeps_its_relative_precision():
    """A sum u of 1 and very little must not be taken for 1."""
    x = 1 + np.ldexp(1.0, -np.arange(2, 53))
    x = np.concatenate([x, 2 - x])
    truth = np.log2(x.astype(np.longdouble))
    np.testing.assert_allclose((of_all(log2_of_all, x) / truth).astype(float), 1, rtol=4e-16)


def test_log2_of_powers_is_exact():
    x = np.arange(-1022, 1024)
    np.testing.assert_array_equal(of_all(log2_of_all, np.ldexp(1.0, x)), x)


@pytest.mark.parametrize("loop", [exp2_of_all, log2_of_all], ids=["exp2", "log2"])
def test_loops_are_vectorised(loop):
    """LLVM multiplies several float64 at a time: what a branch, a call or a signed shift would prevent."""
    of_all(loop, np.ones(9))
    code = "".join(loop.inspect_llvm().values())
    assert "vector.body" in code
    assert re.search(r"fmul contract <(2|4|8) x double>", code)
