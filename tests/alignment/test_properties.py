"""Hypothesis looks for shapes, lengths, temperatures, values and penalties at which something gives way."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lacbook.alignment import cuda_kernels, recursion, smith_waterman, soft_smith_waterman

pytestmark = pytest.mark.skipif(cuda_kernels.SIMULATED, reason="too slow for the simulator")

SIZES = st.integers(1, 9)
VALUES = {
    "mild": st.floats(-2, 2),
    "large": st.floats(-1e3, 1e3),
    "ties": st.sampled_from([-1.0, 0.0, 1.0]),
    "holes": st.sampled_from([-np.inf, -1.0, 0.5, 2.0]),
}
PENALTIES = st.one_of(
    st.just(0.0), st.floats(0, 3), st.floats(-1, 0), st.sampled_from([1e3, 1e6, 1e30]), st.floats(0, 1e-3)
)


@st.composite
def problems(draw):
    """Similarity [B, N, M], both penalties (one number or a table), lengths, temperature."""
    pairs, n, m = draw(st.integers(1, 3)), draw(SIZES), draw(SIZES)
    values = VALUES[draw(st.sampled_from(sorted(VALUES)))]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pool = np.array(draw(st.lists(values, min_size=4, max_size=12)))
    s = rng.choice(pool, size=(pairs, n, m))
    penalties = []
    for _ in range(2):
        choice = np.array(draw(st.lists(PENALTIES, min_size=1, max_size=3)))
        shape = draw(st.sampled_from([(), (pairs,), (n, m), (pairs, n, m)]))
        penalties.append(rng.choice(choice, size=shape))
    lengths = np.array([[draw(st.integers(1, n)), draw(st.integers(1, m))] for _ in range(pairs)])
    exponent = draw(st.floats(-2, 2))
    return s, *penalties, lengths, 10.0**exponent


def per_cell(penalty, shape):
    """The same penalty at every cell [B, N, M]."""
    penalty = np.asarray(penalty)
    return np.broadcast_to(penalty[:, None, None] if penalty.ndim == 1 else penalty, shape)


def magnitude(tables, go, ge):
    """How large the numbers are that add up to a score; their rounding is magnified by 1 / t."""
    sizes = [abs(x[np.isfinite(x) & (x < 1e6)]).max(initial=0) for x in (tables.D, go, ge)]
    return float(sum(sizes))


def check(backend, problem):
    s, go, ge, lengths, t = problem
    similarity = torch.tensor(s, requires_grad=True)
    opening, extension = (torch.tensor(np.asarray(p), requires_grad=True) for p in (go, ge))
    found = soft_smith_waterman(
        similarity, opening, extension, temperature=t, lengths=lengths, backend=backend
    )
    grads = torch.autograd.grad(
        torch.where(found.score.isfinite(), found.score, 0).sum(), (similarity, opening, extension)
    )
    assert all(g.isfinite().all() for g in grads)
    expected_gaps = np.zeros((2, len(s)))
    for b, (n, m) in enumerate(lengths):
        o, e = (per_cell(p, s.shape)[b, :n, :m] for p in (go, ge))
        tables = recursion.forward(s[b, :n, :m].astype(np.longdouble), o, e, t)
        truth = recursion.backward(tables, o, e, t)
        # What float64 can know: an alignment of score V is a sum of numbers as large, whose rounding is
        # magnified by 1 / t.
        reachable = tables.D[np.isfinite(tables.D)]
        largest = (
            max(abs(reachable), default=0) + abs(o[o < 1e6]).max(initial=0) + abs(e[e < 1e6]).max(initial=0)
        )
        rounding = 1e-10 + 100 * np.finfo(float).eps * float(largest) / t
        posterior = found.posterior[b].detach().numpy()
        if np.isneginf(tables.score):
            assert found.score[b] == -torch.inf
        else:
            assert abs(found.score[b].item() - tables.score) <= 1e-10 * max(1, largest)
        np.testing.assert_allclose(posterior[:n, :m], truth.posterior, rtol=0, atol=rounding)
        np.testing.assert_allclose(
            found.table[b, :n, :m].detach(), tables.D.astype(float), rtol=1e-10, atol=1e-10 * max(1, largest)
        )
        assert not posterior[n:].any()
        assert not posterior[:, m:].any()
        assert 0 <= posterior.min() <= posterior.max() <= 1
        assert posterior.sum(0).max() <= 1 + rounding
        assert posterior.sum(1).max() <= 1 + rounding
        expected_gaps[:, b] = truth.openings.sum(), truth.extensions.sum()
        for gaps, expected in zip(found.expected_gaps, expected_gaps, strict=True):
            assert abs(gaps[b].item() - expected[b]) <= 10 * rounding


@settings(max_examples=60, deadline=None)
@given(problems())
def test_numba(problem):
    check("numba", problem)


@settings(max_examples=40, deadline=None)
@given(problems())
def test_wavefront(problem):
    check("wavefront", problem)


@settings(max_examples=40, deadline=None)
@given(problems())
def test_hard(problem):
    s, go, ge, lengths, _ = problem
    found = smith_waterman(s, go, ge, lengths=lengths)
    for b, (n, m) in enumerate(lengths):
        o, e = (per_cell(p, s.shape)[b, :n, :m] for p in (go, ge))
        score, path = recursion.traceback(s[b, :n, :m], o, e)
        assert found.score[b].item() == pytest.approx(score, rel=1e-12, abs=1e-12)
        assert found.path(b) == path


@settings(max_examples=30, deadline=None)
@given(problems())
def test_second_derivatives(problem):
    """Along a random direction, numba, wavefront and the recursion in long double."""
    s, go, ge, lengths, t = problem
    direction = torch.from_numpy(np.random.default_rng(0).normal(size=s.shape))
    products = []
    for backend in ("numba", "wavefront"):
        x = torch.tensor(s, requires_grad=True)
        found = soft_smith_waterman(
            x, torch.tensor(go), torch.tensor(ge), temperature=t, lengths=lengths, backend=backend
        )
        products.append(torch.autograd.grad((direction * found.posterior).sum(), x)[0])
    for b, (n, m) in enumerate(lengths):
        o, e = (per_cell(p, s.shape)[b, :n, :m] for p in (go, ge))
        tables = recursion.forward(s[b, :n, :m].astype(np.longdouble), o, e, t)
        truth, _ = recursion.backward_tangent(tables, o, e, t, (direction[b, :n, :m].numpy(), 0.0, 0.0))
        rounding = (1e-10 + 1000 * np.finfo(float).eps * magnitude(tables, o, e) / t) * max(1, 1 / t)
        for product in products:
            assert not product[b, n:].any()
            assert not product[b, :, m:].any()
            np.testing.assert_allclose(
                product[b, :n, :m], truth.posterior, rtol=0, atol=rounding * max(1, 1 / t)
            )
