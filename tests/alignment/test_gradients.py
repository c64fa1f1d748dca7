"""Every derivative, of every output, by every input, against finite differences and by name."""

from itertools import product

import numpy as np
import pytest
import torch

from lacbook.alignment import enumeration, recursion, soft_smith_waterman

B, N, M = 3, 4, 5
LENGTHS = torch.tensor([[4, 5], [3, 2], [1, 5]])
INSIDE = (torch.arange(N)[:, None] < LENGTHS[:, :1, None]) & (torch.arange(M) < LENGTHS[:, 1:, None])
SHAPES = {"scalar": (), "per pair": (B,), "per cell": (N, M), "per cell and pair": (B, N, M)}
MIXED = [(shape, shape) for shape in SHAPES] + [("per cell", "per pair"), ("scalar", "per cell and pair")]


def random_table(*shape, seed=0, low=None):
    generator = torch.Generator().manual_seed(seed)
    if low is None:
        return torch.randn(shape, generator=generator, dtype=torch.float64)
    return low + torch.rand(shape, generator=generator, dtype=torch.float64)


def inputs(shapes=("scalar", "scalar")):
    """Similarity with a forbidden cell and row, and penalties of which some are negative."""
    s = random_table(B, N, M)
    s[0, 1, 2] = s[1, 0] = -torch.inf
    go, ge = (random_table(*SHAPES[name], seed=k, low=-0.1 * k) for k, name in enumerate(shapes, 1))
    return [x.requires_grad_() for x in (s, go, ge)]


def outputs(align, temperature=0.3):
    """Each output as a function of the three inputs, with factors that differ from 1 and among cells."""
    factors = random_table(B, seed=5)

    def run(s, go, ge):
        return align(s, go, ge, temperature=temperature, lengths=LENGTHS)

    def table(*x):
        D = run(*x).table
        return torch.where(INSIDE & D.isfinite(), D, 0)

    return {
        "score": lambda *x: factors * run(*x).score,
        "posterior": lambda *x: run(*x).posterior,
        "openings": lambda *x: run(*x).expected_gaps[0],
        "extensions": lambda *x: run(*x).expected_gaps[1],
        "table": table,
    }


def finite(function, forbidden):
    """The function of finite similarities; finite differences cannot be taken at -inf."""
    return lambda s, go, ge: function(torch.where(forbidden, -torch.inf, s), go, ge)


@pytest.fixture
def case(request):
    s, go, ge = inputs(request.param)
    forbidden = s.isinf()
    return forbidden, (torch.where(forbidden, 0, s).detach().requires_grad_(), go, ge)


@pytest.mark.parametrize("case", MIXED, indirect=True, ids=" and ".join)
@pytest.mark.parametrize("output", ["score", "posterior", "openings", "extensions", "table"])
def test_gradcheck(align, case, output):
    forbidden, arguments = case
    function = finite(outputs(align)[output], forbidden)
    assert torch.autograd.gradcheck(function, arguments, fast_mode=align.backend != "numba")


@pytest.mark.parametrize("case", MIXED, indirect=True, ids=" and ".join)
@pytest.mark.parametrize("output", ["score", "table"])
def test_gradgradcheck(align, case, output):
    forbidden, arguments = case
    function = finite(outputs(align)[output], forbidden)
    assert torch.autograd.gradgradcheck(function, arguments, fast_mode=align.backend != "numba")


@pytest.mark.parametrize("temperature", [0.03, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (5, 7), (7, 5)])
def test_by_name(align, shape, temperature):
    """Posterior, openings and extensions per cell are the recursion's; an upstream factor multiplies them."""
    s, go, ge = (
        random_table(*shape),
        random_table(*shape, seed=1, low=0),
        random_table(*shape, seed=2, low=-0.2),
    )
    tables = recursion.forward(s, go, ge, temperature)
    expected = recursion.backward(tables, go, ge, temperature)
    arguments = [x.requires_grad_() for x in (s, go, ge)]
    found = align(*arguments, temperature=temperature)
    (-2.5 * found.score).backward()
    for x, gradient, sign in zip(arguments, expected, (-2.5, 2.5, 2.5), strict=True):
        np.testing.assert_allclose(x.grad, sign * gradient, atol=1e-11)
    assert found.expected_gaps[0].item() == pytest.approx(expected.openings.sum(), abs=1e-11)
    assert found.expected_gaps[1].item() == pytest.approx(expected.extensions.sum(), abs=1e-11)


def test_per_cell_gaps_are_charged_where_the_enumeration_charges_them(align):
    s = random_table(4, 4)
    go, ge = random_table(4, 4, seed=1, low=0), random_table(4, 4, seed=2, low=0)
    truth = enumeration.expect(s.numpy(), go.numpy(), ge.numpy(), 0.5)
    go.requires_grad_()
    ge.requires_grad_()
    align(s, go, ge, temperature=0.5).score.backward()
    np.testing.assert_allclose(-go.grad, truth.openings, atol=1e-12)
    np.testing.assert_allclose(-ge.grad, truth.extensions, atol=1e-12)


def test_gradients_of_several_outputs_add_up(align):
    arguments = inputs(("per pair", "per cell"))
    found = align(*arguments, temperature=0.3, lengths=LENGTHS)
    weighted = random_table(B, N, M, seed=6) * found.posterior
    parts = [found.score.sum(), weighted.sum(), found.expected_gaps[0].sum()]
    together = torch.autograd.grad(sum(parts), arguments, retain_graph=True)
    alone = [torch.autograd.grad(part, arguments, retain_graph=True) for part in parts]
    for total, *each in zip(together, *alone, strict=True):
        torch.testing.assert_close(total, sum(each))


@pytest.mark.parametrize("shapes", list(product(SHAPES, repeat=2)), ids=" and ".join)
def test_a_penalty_gets_a_gradient_of_its_own_shape(align, shapes):
    """The gradient per cell and pair, summed over what one number stood for."""
    s, go, ge = inputs(shapes)
    wide = [x.detach().clone() for x in (go, ge)]
    wide = [(x[:, None, None] if x.dim() == 1 else x).expand(B, N, M).clone().requires_grad_() for x in wide]
    factors = random_table(B, seed=5)
    for penalties in ((go, ge), wide):
        (factors * align(s, *penalties, temperature=0.3, lengths=LENGTHS).score).sum().backward()
    for narrow, per_cell in zip((go, ge), wide, strict=True):
        summed = {0: per_cell.grad.sum(), 1: per_cell.grad.sum((1, 2)), 2: per_cell.grad.sum(0)}
        torch.testing.assert_close(
            narrow.grad, summed.get(narrow.dim(), per_cell.grad), rtol=1e-10, atol=1e-12
        )


def test_every_cell_of_the_table_passes_its_gradient(align):
    """One at a time: how D[i, j] depends on each similarity."""
    s = random_table(4, 5)
    for cell in np.ndindex(4, 5):
        x = s.clone().requires_grad_()
        align(x, 0.3, 0.1, temperature=0.5).table[cell].backward()
        seeds = np.zeros((4, 5))
        seeds[cell] = 1
        tables = recursion.forward(s, 0.3, 0.1, 0.5)
        np.testing.assert_allclose(
            x.grad, recursion.backward(tables, 0.3, 0.1, 0.5, seeds).posterior, atol=1e-12
        )
        assert x.grad[cell] == pytest.approx(1)


@pytest.mark.parametrize("output", ["score", "posterior", "table"])
def test_gradients_in_padding_are_exactly_zero(align, output):
    """Also the second ones, and with NaN there."""
    arguments = inputs(("per cell and pair", "per cell and pair"))
    with torch.no_grad():
        for x in arguments:
            x[~INSIDE] = torch.nan
    value = outputs(align)[output](*arguments)
    first = torch.autograd.grad(
        (random_table(*value.shape, seed=6) * value).sum(), arguments, create_graph=True
    )
    assert all(g[INSIDE].abs().sum() > 0 for g in first)
    results = list(first)
    if output != "posterior":  # a first derivative already
        results += torch.autograd.grad(sum((g[INSIDE] ** 2).sum() for g in first), arguments)
    for g in results:
        assert g[INSIDE].isfinite().all()
        assert (g[~INSIDE] == 0).all()


@pytest.mark.parametrize("output", ["posterior", "table"])
def test_gradient_seeds_in_padding_are_not_read(align, output):
    s = random_table(B, N, M).requires_grad_()
    found = getattr(align(s, 0.3, 0.1, lengths=LENGTHS), output)
    found.backward(torch.where(INSIDE, 1.0, torch.nan).double())
    assert s.grad.isfinite().all()
    assert (s.grad[~INSIDE] == 0).all()


def test_gradients_by_the_seeds_of_the_table_are_zero_in_padding(align):
    s = random_table(B, N, M).requires_grad_()
    seeds = INSIDE.double().requires_grad_()
    table = align(s, 0.3, 0.1, temperature=0.3, lengths=LENGTHS).table
    (g,) = torch.autograd.grad(table, s, seeds, create_graph=True)
    (moved,) = torch.autograd.grad((random_table(B, N, M, seed=6) * g).sum(), seeds)
    assert (moved[INSIDE] != 0).all()
    assert (moved[~INSIDE] == 0).all()


def test_a_pair_in_which_nothing_can_match_has_no_gradient(align):
    s = random_table(2, 3, 4)
    s[1] = -torch.inf
    s.requires_grad_()
    go = torch.full((2,), 0.3, dtype=torch.float64, requires_grad=True)
    found = align(s, go, 0.1, temperature=0.5)
    (g,) = torch.autograd.grad(found.score[0] + found.posterior.square().sum(), s, create_graph=True)
    assert g[0].abs().sum() > 0
    assert (g[1] == 0).all()
    found.expected_gaps[0].sum().backward()
    assert go.grad[0].abs() > 0
    assert go.grad[1] == 0


def test_hessian_is_symmetric_and_its_rows_are_the_posterior_derivatives(align):
    s = random_table(3, 4)
    hessian = torch.autograd.functional.hessian(lambda x: align(x, 0.3, 0.1, temperature=0.4).score, s)
    jacobian = torch.autograd.functional.jacobian(lambda x: align(x, 0.3, 0.1, temperature=0.4).posterior, s)
    square = hessian.reshape(12, 12)
    torch.testing.assert_close(square, square.T, rtol=0, atol=1e-12)
    torch.testing.assert_close(hessian, jacobian, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(square).min() > -1e-12  # a log-sum-exp is convex


def test_scores_of_copies_of_one_similarity_share_its_gradient():
    """An expanded input: one table, four penalties."""
    s = random_table(4, 5).requires_grad_()
    go = torch.tensor([0.1, 0.3, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    soft_smith_waterman(s.expand(4, 4, 5), go, 0.1).score.sum().backward()
    alone = [soft_smith_waterman(s.detach(), g.item(), 0.1) for g in go]
    torch.testing.assert_close(s.grad, sum(a.posterior for a in alone))
    torch.testing.assert_close(go.grad, torch.stack([-a.expected_gaps[0] for a in alone]))


def test_training_on_the_posterior():
    """Steepest descent on a cross-entropy of the posterior puts the alignment where it should be."""
    target = torch.eye(6, dtype=torch.float64)
    s = (0.1 * random_table(6, 6)).requires_grad_()
    losses = []
    for _ in range(60):
        posterior = soft_smith_waterman(s, 0.5, 0.2, temperature=0.5).posterior
        loss = -(target * (posterior + 1e-8).log()).sum()
        (g,) = torch.autograd.grad(loss, s)
        s = (s - 0.5 * g).detach().requires_grad_()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert posterior.diagonal().min() > 0.8
