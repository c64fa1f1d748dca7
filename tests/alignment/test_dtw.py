"""Soft and hard dynamic time warping against enumerated paths and a literal loop."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from lacbook.alignment import dtw, soft_dtw
from lacbook.alignment.dtw import _implementation

relaxations = pytest.mark.parametrize("relaxation", ["logsumexp", "expectation"])
backends = pytest.mark.parametrize("backend", ["numba", "wavefront"])
temperatures = pytest.mark.parametrize("t", [0.01, 0.1, 1.0, 10.0])
LENGTHS = [(5, 7), (4, 2), (1, 3), (3, 1), (2, 6)]


def draw(*shape, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape)).to(dtype)


def every_path(n, m):
    """All monotone paths from (0, 0) to (n - 1, m - 1)."""
    if n == m == 1:
        return [[(0, 0)]]
    before = [(n, m - 1), (n - 1, m - 1), (n - 1, m)]
    return [[*path, (n - 1, m - 1)] for p, q in before if p and q for path in every_path(p, q)]


def literal(cost, t, relaxation):
    """R, a cell at a time."""
    R = np.empty_like(cost)
    for i, j in np.ndindex(*cost.shape):
        cells = [(i, j - 1), (i - 1, j - 1), (i - 1, j)]
        r = np.array([R[p, q] for p, q in cells if p >= 0 and q >= 0] or [0.0])
        weights = np.exp(-(r - r.min()) / t)
        if relaxation == "logsumexp":
            R[i, j] = cost[i, j] + r.min() - t * math.log(weights.sum())
        else:
            R[i, j] = cost[i, j] + (weights * r).sum() / weights.sum()
    return R


def gradient(cost, functional, **options):
    cost = cost.clone().requires_grad_()
    functional(soft_dtw(cost, **options)).backward()
    return cost.grad


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (4, 1), (3, 4), (4, 4)])
def test_hard_finds_the_cheapest_of_all_paths(n, m):
    cost = draw(n, m)
    found = dtw(cost)
    sums = {tuple(path): sum(cost[cell].item() for cell in path) for path in every_path(n, m)}
    assert found.score.item() == pytest.approx(min(sums.values()), abs=1e-12)
    assert tuple(found.path()) == min(sums, key=sums.get)


def test_ties_prefer_diagonal_then_left_then_up():
    assert dtw(np.zeros((2, 4))).path() == [(0, 0), (0, 1), (0, 2), (1, 3)]
    assert dtw(np.zeros((4, 2))).path() == [(0, 0), (1, 0), (2, 0), (3, 1)]
    assert dtw(np.array([[0.0, -1.0], [-1.0, 0.0]])).path() == [(0, 0), (1, 0), (1, 1)]


@backends
@temperatures
def test_logsumexp_sums_over_all_paths(backend, t):
    cost = draw(4, 4)
    paths = every_path(4, 4)
    energies = torch.stack([sum(cost[cell] for cell in path) for path in paths])
    visits = torch.zeros(4, 4, dtype=torch.float64)
    for path, p in zip(paths, (-energies / t).softmax(0), strict=True):
        for cell in path:
            visits[cell] += p
    options = {"temperature": t, "backend": backend}
    expected = -t * (-energies / t).logsumexp(0)
    torch.testing.assert_close(soft_dtw(cost, **options).score, expected, rtol=1e-12, atol=1e-12)
    probability = gradient(cost, lambda found: found.score, **options)
    torch.testing.assert_close(probability, visits, rtol=1e-11, atol=1e-12)
    assert probability.min() >= 0
    assert probability.max() <= 1 + 1e-12
    assert probability[0, 0].item() == pytest.approx(1)
    assert probability[3, 3].item() == 1


@backends
@relaxations
@temperatures
def test_equals_the_literal_loop_in_a_padded_batch(backend, relaxation, t):
    options = {"temperature": t, "relaxation": relaxation, "backend": backend}
    cost = draw(5, 5, 7)
    seeds = draw(5, 5, 7).flip(0)
    for b, (n, m) in enumerate(LENGTHS):
        cost[b, n:], cost[b, :, m:], seeds[b, n:], seeds[b, :, m:] = [math.nan] * 4
    found = soft_dtw(cost, lengths=LENGTHS, **options)
    grad = gradient(
        cost, lambda soft: (soft.table * seeds).sum() + soft.score.sum(), lengths=LENGTHS, **options
    )
    for b, (n, m) in enumerate(LENGTHS):
        R = literal(cost[b, :n, :m].numpy(), t, relaxation)
        np.testing.assert_allclose(found.table[b, :n, :m], R, rtol=1e-12, atol=1e-12)
        assert found.score[b] == found.table[b, n - 1, m - 1]
        alone = gradient(
            cost[b, :n, :m], lambda s, b=b, n=n, m=m: (s.table * seeds[b, :n, :m]).sum() + s.score, **options
        )
        torch.testing.assert_close(grad[b, :n, :m], alone, rtol=1e-12, atol=1e-12)
        grad[b, :n, :m] = 0
        found.table[b, :n, :m] = 1e30
    assert (grad == 0).all()
    assert (found.table == 1e30).all()


@backends
@relaxations
@temperatures
def test_gradcheck(backend, relaxation, t):
    options = {"temperature": t, "relaxation": relaxation, "backend": backend}
    cost, weights = draw(2, 4, 5), draw(2, 4, 5).sin()
    if t < 0.1:
        cost = cost * t  # finite differences cannot follow the sharpest corners

    def functionals(c):
        found = soft_dtw(c, lengths=[(4, 5), (3, 2)], **options)
        table = found.table.masked_fill(found.table == 1e30, 0)
        return found.score, (table * weights).sum(), (table * weights).sin().sum()

    assert torch.autograd.gradcheck(functionals, cost.requires_grad_(), eps=1e-6 * min(t, 1), atol=1e-5)


@backends
@relaxations
def test_small_temperatures_give_the_hard_path(backend, relaxation):
    cost = draw(2, 9, 12)
    options = {"temperature": 1e-4, "relaxation": relaxation, "backend": backend}
    hard = dtw(cost)
    torch.testing.assert_close(soft_dtw(cost, **options).score, hard.score, rtol=0, atol=1e-3)
    expected = torch.zeros_like(cost)
    for b in range(2):
        for cell in hard.path(b):
            expected[b][cell] = 1
    found = gradient(cost, lambda soft: soft.score.sum(), **options)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_relaxations_bound_the_minimum():
    cost = draw(3, 8, 6)
    below, above = (soft_dtw(cost, temperature=0.5, relaxation=r).score for r in ("logsumexp", "expectation"))
    assert (below < dtw(cost).score).all()
    assert (above > dtw(cost).score).all()


def test_the_expectation_has_negative_derivatives():
    cost = torch.tensor([[0.0, 0.0], [3.0, 0.0]])  # from (1, 1), (1, 0) is 3 t above the mean of its rivals
    found = gradient(cost, lambda soft: soft.score, temperature=1.0, relaxation="expectation")
    p = np.exp(-3.0) / (2 + np.exp(-3.0))
    assert found[1, 0].item() == pytest.approx(p * (1 - (3 - 3 * p)), rel=1e-5)
    assert found[1, 0] < 0


@backends
@relaxations
def test_large_costs_and_sharp_temperatures_stay_finite(backend, relaxation):
    cost = 1e6 * draw(20, 30)
    options = {"temperature": 1e-3, "relaxation": relaxation, "backend": backend}
    assert soft_dtw(cost, **options).score.item() == pytest.approx(dtw(cost).score.item(), abs=0.1)
    assert gradient(cost, lambda soft: soft.table.sum(), **options).isfinite().all()


@backends
@relaxations
def test_float32_and_halves(backend, relaxation):
    options = {"temperature": 0.01, "relaxation": relaxation, "backend": backend}
    cost = draw(2, 60, 50).abs().to(torch.float16)
    exact = soft_dtw(cost.double(), **options).table
    for dtype in (torch.float32, torch.float16):
        found = soft_dtw(cost.to(dtype), **options).table
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, exact.float(), rtol=1e-6, atol=0)
        grad = gradient(cost.to(dtype), lambda soft: soft.score.sum(), **options)
        precise = gradient(cost.double(), lambda soft: soft.score.sum(), **options)
        torch.testing.assert_close(grad, precise.to(dtype))


def test_a_long_pair_and_several_threads():
    cost = draw(3000, 2000, dtype=torch.float32)
    assert gradient(cost, lambda soft: soft.score)[0, 0].item() == pytest.approx(1, abs=1e-5)
    assert dtw(cost).path()[-1] == (2999, 1999)
    batch = draw(5, 150, 160)
    torch.set_num_threads(2)
    found, hard = soft_dtw(batch), dtw(batch)
    grad = gradient(batch, lambda soft: soft.score.sum())
    for b, one in enumerate(batch):
        assert found.score[b] == soft_dtw(one).score
        assert hard.path(b) == dtw(one).path()
        assert (grad[b] == gradient(one, lambda soft: soft.score)).all()
    torch.testing.assert_close(soft_dtw(batch, backend="wavefront").table, found.table)


def test_softmax_of_the_table_ignores_padding():
    R = soft_dtw(draw(2, 4, 5), lengths=[(4, 5), (2, 3)]).table
    shares = (-R / 0.1).softmax(1)
    assert shares.isfinite().all()
    assert (shares[1, 2:, :3] == 0).all()


@backends
def test_no_pairs(backend):
    found = soft_dtw(torch.zeros(0, 3, 4, requires_grad=True), backend=backend)
    found.table.sum().backward()
    assert found.score.shape == dtw(torch.zeros(0, 3, 4)).score.shape == (0,)


@backends
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_second_derivatives_are_refused(backend, dtype):
    cost = draw(3, 4, dtype=dtype).requires_grad_()
    found = soft_dtw(cost, backend=backend)
    for functional in (found.score, found.table.square().sum()):
        (grad,) = torch.autograd.grad(functional, cost, create_graph=True)
        with pytest.raises(RuntimeError, match="soft_dtw_gradient"):
            grad.square().sum().backward()


def with_value(value):
    cost = torch.zeros(2, 3, 4)
    cost[1, 2, 0] = value
    return cost


BOTH = [
    ({"cost": torch.zeros(3)}, r"cost has shape \(3,\); expected \(B, N, M\)"),
    ({"cost": torch.zeros(2, 0, 4)}, "cost has shape"),
    ({"cost": torch.zeros(2, 3, dtype=torch.bool)}, "cost has dtype"),
    ({"cost": with_value(math.nan)}, r"cost of pair 1 at \(2, 0\) is nan"),
    ({"cost": with_value(-math.inf)}, r"cost of pair 1 at \(2, 0\) is -inf"),
    ({"cost": with_value(1e21)}, "expected finite numbers below 1e.20"),
    ({"lengths": [(3, 4), (0, 4)]}, r"lengths of pair 1 are \[0, 4\]"),
    ({"lengths": [(3, 5), (3, 4)]}, r"lengths of pair 0 are \[3, 5\]"),
    ({"lengths": [3, 4]}, r"lengths has shape \(2,\); expected \(2, 2\)"),
    ({"lengths": [(3.0, 4.0)] * 2}, "lengths has dtype"),
]
SOFT = [
    ({"temperature": 0}, "temperature is 0; .*for 0 use dtw"),
    ({"temperature": math.nan}, "temperature is nan"),
    ({"relaxation": "max"}, "relaxation is 'max'; expected 'logsumexp', 'expectation'"),
    ({"backend": "cuda"}, "backend is 'cuda'; expected 'auto', 'numba', 'wavefront'"),
]


@pytest.mark.parametrize(("wrong", "message"), BOTH + SOFT)
def test_errors(wrong, message):
    with pytest.raises(ValueError, match=message):
        soft_dtw(**({"cost": torch.zeros(2, 3, 4)} | wrong))


@pytest.mark.parametrize(("wrong", "message"), BOTH)
def test_errors_of_the_hard_one(wrong, message):
    with pytest.raises(ValueError, match=message):
        dtw(**({"cost": torch.zeros(2, 3, 4)} | wrong))


def test_the_backend_that_is_asked_for_computes():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    for backend, device, expected in (
        ("auto", cpu, "dtw_kernels"),
        ("numba", cpu, "dtw_kernels"),
        ("wavefront", cpu, "dtw_wavefront"),
        ("auto", gpu, "dtw_wavefront"),
    ):
        assert _implementation(backend, device).__name__.endswith(expected)


def test_unbatched_in_unbatched_out():
    cost = torch.rand(3, 4)
    found = soft_dtw(cost)
    assert found.table.shape == (3, 4)
    assert found.score.shape == dtw(cost).score.shape == ()


@pytest.mark.slow
def test_it_runs_under_torch_compile_in_a_new_process():
    """New, since Dynamo traces into numba's compiler only where a kernel has not been compiled yet."""
    code = """
import torch
from lacbook.alignment import soft_dtw
cost = torch.rand(2, 5, 6, requires_grad=True)
for relaxation in ("logsumexp", "expectation"):
    f = lambda c: soft_dtw(c, relaxation=relaxation).score.sum()
    (found,) = torch.autograd.grad(torch.compile(f, backend="aot_eager")(cost), cost)
    (expected,) = torch.autograd.grad(f(cost), cost)
    torch.testing.assert_close(found, expected)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
