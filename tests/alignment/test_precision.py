"""Rounding: float64 within 1e-10 and float32 within 1e-5 (score) and 1e-4 (gradients) of long double.

The yardstick is `recursion` in long double, itself checked here against the enumeration in long double.
"""

import functools

import numpy as np
import pytest
import torch

from lacbook.alignment import enumeration, recursion
from lacbook.data.ui_prmd import load_ui_prmd

TEMPERATURES = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
LENGTHS = np.array([[24, 31], [17, 31], [24, 1], [5, 28]])
TOLERANCE = {torch.float64: (1e-10, 1e-10), torch.float32: (1e-5, 1e-4)}

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).eps >= np.finfo(float).eps, reason="long double is float64 on this platform"
)


def batch(penalties):
    """Cosine-like similarities with a diagonal of likeness, exact in float32 and padded with NaN."""
    rng = np.random.default_rng(0)
    s = rng.uniform(-1, 0.2, size=(4, 24, 31)) + 1.2 * (abs(np.arange(24)[:, None] - np.arange(31) * 0.8) < 1)
    shape = (4, 24, 31) if penalties == "per cell" else (4,)
    go, ge = rng.uniform(0.1, 0.6, size=shape), rng.uniform(0.0, 0.2, size=shape)
    arrays = [x.astype(np.float32).astype(np.float64) for x in (s, go, ge)]
    for x in arrays:
        for b, (n, m) in enumerate(LENGTHS):
            if x.ndim == 3:
                x[b, n:] = x[b, :, m:] = np.nan
    return arrays


@functools.cache
def exact(penalties, temperature):
    """In long double, per pair: tables, gradients of the score and of a function of D, second derivatives."""
    results = []
    s, go, ge = (x.astype(np.longdouble) for x in batch(penalties))
    for b, (n, m) in enumerate(LENGTHS):
        o, e = (x[b, :n, :m] if x.ndim == 3 else x[b] for x in (go, ge))
        tables = recursion.forward(s[b, :n, :m], o, e, temperature)
        first = recursion.backward(tables, o, e, temperature)
        seeds = weights()[b, :n, :m]
        of_table = recursion.backward(tables, o, e, temperature, seeds)
        second, _ = recursion.backward_tangent(tables, o, e, temperature, (seeds, 0.0, 0.0))
        results.append((tables, first, of_table, second))
    return results


def weights():
    return np.random.default_rng(1).normal(size=(4, 24, 31))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("penalties", ["per pair", "per cell"])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_against_long_double(fast_align, temperature, penalties, dtype):
    score_error, gradient_error = TOLERANCE[dtype]
    s, go, ge = (torch.tensor(x, dtype=dtype).requires_grad_() for x in batch(penalties))
    found = fast_align(s, go, ge, temperature=temperature, lengths=LENGTHS)
    table = found.table
    first = torch.autograd.grad(found.score.sum(), (s, go, ge), retain_graph=True)
    w = torch.tensor(weights(), dtype=dtype)
    of_table = torch.autograd.grad((w * torch.where(table.isfinite(), table, 0)).sum(), (s, go, ge))
    second = torch.autograd.grad((w * found.posterior).sum(), (s, go, ge))
    for b, (n, m) in enumerate(LENGTHS):
        tables, *expected = exact(penalties, temperature)[b]
        assert abs(found.score[b].item() - tables.score) <= score_error * abs(tables.score)
        np.testing.assert_allclose(table[b, :n, :m].detach(), tables.D, rtol=score_error, atol=score_error)
        for gradients, truths in zip((first, of_table, second), expected, strict=True):
            for gradient, truth, sign in zip(gradients, truths, (1, -1, -1), strict=True):
                mine = gradient[b, :n, :m] if gradient.dim() == 3 else gradient[b]
                truth = sign * (truth if gradient.dim() == 3 else truth.sum())
                largest = max(1, abs(truth).max())  # second derivatives grow like 1 / t
                np.testing.assert_allclose(mine, truth, rtol=0, atol=gradient_error * largest)


@pytest.mark.parametrize("temperature", [0.01, 1.0])
def test_a_longer_pair(fast_align, temperature):
    """Rounding adds up along the path."""
    rng = np.random.default_rng(2)
    s = rng.normal(size=(70, 60)) * 0.4 - 0.3
    s[range(5, 60), range(55)] += 1
    tables = recursion.forward(s.astype(np.longdouble), 0.5, 0.1, temperature)
    truth = recursion.backward(tables, 0.5, 0.1, temperature)
    found = fast_align(s, 0.5, 0.1, temperature=temperature)
    assert found.score.item() == pytest.approx(float(tables.score), rel=1e-10)
    np.testing.assert_allclose(found.posterior, truth.posterior.astype(float), atol=1e-10)


def test_float32_is_rounded_at_the_ends_alone(align):
    """What is computed in between is float64: the results are those of the same numbers, rounded once."""
    s = torch.tensor(batch("per pair")[0], dtype=torch.float32)
    narrow, wide = (align(x, 0.5, 0.125, temperature=0.01, lengths=LENGTHS) for x in (s, s.double()))
    for one, other in ((narrow.score, wide.score), (narrow.posterior, wide.posterior)):
        assert torch.equal(one, other.float())
    assert torch.equal(narrow.table, wide.table.float())
    assert torch.equal(narrow.expected_gaps[0], wide.expected_gaps[0].float())


def test_the_yardstick():
    """Enumeration and recursion in long double agree to more digits than float64 has."""
    s = np.random.default_rng(0).normal(size=(4, 4)).astype(np.longdouble)
    go, ge, t = np.array([0.3, 0.1, 0.1], dtype=np.longdouble)
    scores = np.array(
        [
            sum(s[cell] for cell in a.path) - go * len(a.opened) - ge * len(a.extended)
            for a in enumeration.enumerate_alignments(s, 0.3, 0.1)
        ]
    )
    expected = t * np.log(np.exp(scores / t).sum())
    score = recursion.forward(s, go, ge, t).score
    assert score.dtype == np.longdouble
    assert abs(score - expected) < 10 * np.finfo(np.longdouble).eps * abs(expected)


@pytest.mark.shared_data
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_on_real_motion(fast_align, ui_prmd, temperature):
    """Two people's squats: smooth similarities with long stretches of almost equal cells."""
    clips = load_ui_prmd(ui_prmd, movement="deep_squat", idle=10)
    a, b = (clips[k].values[::3].astype(float) for k in (0, -1))
    s = 0.5 - 2 * np.square(a[:, None] - b[None]).mean(2)
    tables = recursion.forward(s.astype(np.longdouble), 0.2, 0.1, temperature)
    truth = recursion.backward(tables, 0.2, 0.1, temperature)
    found = fast_align(s, 0.2, 0.1, temperature=temperature)
    assert len(s) > 20
    assert found.score.item() == pytest.approx(float(tables.score), rel=1e-10)
    np.testing.assert_allclose(found.posterior, truth.posterior.astype(float), atol=1e-10)
