"""The operators as PyTorch sees them."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from lacbook.alignment import soft_smith_waterman

OPS = torch.ops.lacbook
NAMES = {"score": lambda f: f.score, "posterior": lambda f: f.posterior, "table": lambda f: f.table}


def arguments(backend, requires_grad=False, per_cell=False):
    """What the operators take, and the public function with them."""
    generator = torch.Generator().manual_seed(0)
    s = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    shape = (3, 4, 5) if per_cell else (3, 1, 1)
    go, ge = (torch.full(shape, v, dtype=torch.float64) for v in (1.0, 0.3))
    tensors = [x.requires_grad_(requires_grad) for x in (s, go, ge)]
    return *tensors, 0.5, torch.tensor([[4, 5], [2, 3], [4, 1]]), backend


@pytest.mark.parametrize("per_cell", [False, True])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_opcheck(backend, requires_grad, per_cell):
    inputs = arguments(backend, requires_grad, per_cell)
    s, go = inputs[:2]
    cells, gaps = torch.randn_like(s).detach(), torch.randn_like(go).detach()
    torch.library.opcheck(OPS.soft_smith_waterman.default, inputs)
    # The table is -inf in padding, and opcheck sums what an operator returns; without padding it can.
    whole = (*inputs[:4], torch.tensor([[4, 5]] * 3), backend)
    torch.library.opcheck(OPS.soft_smith_waterman_table.default, whole)
    seeds = cells.requires_grad_(requires_grad)
    torch.library.opcheck(OPS.soft_smith_waterman_table_gradient.default, (*inputs, seeds))
    with torch.no_grad():
        detached = [x.detach() if isinstance(x, torch.Tensor) else x for x in inputs]
        for given in (None, cells.detach()):
            torch.library.opcheck(
                OPS.alignment_tangent.default, (*detached, cells.detach(), gaps, gaps, given)
            )


@pytest.mark.parametrize("output", NAMES)
@pytest.mark.parametrize("dynamic", [False, True])
def test_compile_without_graph_breaks(backend, dynamic, output):
    torch.compiler.reset()  # or it counts the versions for other parameters and gives up
    inside = torch.tensor([[4, 5], [2, 3], [4, 1]])

    def loss(s, go, ge, lengths):
        found = soft_smith_waterman(s - 0.1, go, ge, temperature=0.5, lengths=lengths, backend=backend)
        value = NAMES[output](found)
        return 2 * torch.where(value.isfinite(), value, 0).square().sum()

    results = []
    for function in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager", dynamic=dynamic)):
        s, _, ge, *_ = arguments(backend)
        go, per_pair = torch.tensor(1.0), ge[:, 0, 0].clone()
        inputs = [x.requires_grad_() for x in (s, go, per_pair)]
        value = function(*inputs, inside)
        value.backward()
        results.append((value.detach(), *(x.grad for x in inputs)))
    for eager, compiled in zip(*results, strict=True):
        assert eager.abs().sum() > 0
        torch.testing.assert_close(eager, compiled, rtol=1e-12, atol=0)


@pytest.mark.parametrize("penalties", [(1.0, 0.3), (1, 0), (np.float32(0.5), np.float64(0.1))])
def test_compile_without_lengths_and_with_plain_numbers(backend, penalties):
    def score(s):
        return soft_smith_waterman(s, *penalties, temperature=0.5, backend=backend).score

    torch.compiler.reset()
    s = arguments(backend)[0][0]
    compiled = torch.compile(score, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(s), score(s))


@pytest.mark.parametrize("output", NAMES)
def test_values_are_checked_under_compile(backend, output):
    """Also by an operator alone in the graph, when the outputs of the others are not used."""
    torch.compiler.reset()
    compiled = torch.compile(
        lambda s: NAMES[output](soft_smith_waterman(s, 1.0, 0.3, backend=backend)),
        fullgraph=True,
        backend="aot_eager",
    )
    s = torch.zeros(2, 3, 4)
    s[0, 1, 2] = torch.nan
    with pytest.raises(ValueError, match=r"similarity of pair 0 at \(1, 2\) is nan"):
        compiled(s)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(backend, dtype):
    """Half precision in, float32 inside, and each input's gradient in its own dtype."""
    torch.manual_seed(0)
    x, y = (torch.randn(2, n, 8, requires_grad=True) for n in (6, 7))
    go = torch.tensor(0.5, requires_grad=True)
    with torch.autocast("cpu", dtype):
        similarity = x @ y.transpose(1, 2)
        assert similarity.dtype == dtype
        similarity.retain_grad()
        found = soft_smith_waterman(similarity, go, go.to(dtype) / 2, temperature=0.3, backend=backend)
        loss = found.score.sum() + found.posterior.square().sum()
    assert found.score.dtype == found.posterior.dtype == found.table.dtype == torch.float32
    loss.backward()
    assert similarity.grad.dtype == dtype
    assert x.grad.dtype == go.grad.dtype == torch.float32
    exact = similarity.detach().double().requires_grad_()
    truth = soft_smith_waterman(exact, 0.5, 0.25, temperature=0.3, backend=backend)
    (truth.score.sum() + truth.posterior.square().sum()).backward()
    torch.testing.assert_close(found.score.double(), truth.score, rtol=1e-5, atol=0)
    torch.testing.assert_close(similarity.grad.double(), exact.grad, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("output", ["score", "table"])
def test_third_derivatives_are_refused(backend, output):
    s = arguments(backend)[0].requires_grad_()
    value = NAMES[output](soft_smith_waterman(s, 1.0, 0.3, backend=backend))
    (first,) = torch.autograd.grad(value.sum(), s, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), s, create_graph=True)
    assert second.isfinite().all()
    with pytest.raises(RuntimeError, match="alignment_tangent"):
        second.sum().backward()


def test_only_the_asked_gradients_are_needed(backend):
    s = arguments(backend)[0]
    go = torch.tensor(1.0, requires_grad=True)
    found = soft_smith_waterman(s, go, 0.3, backend=backend)
    found.score.sum().backward()
    assert go.grad.item() == pytest.approx(-found.expected_gaps[0].sum().item())
    assert s.grad is None


def test_the_score_alone_needs_no_second_pass(backend, monkeypatch):
    """Its gradient is three products with what the forward pass left."""
    from lacbook.alignment import ops

    s = arguments(backend)[0].requires_grad_()
    found = soft_smith_waterman(s, 1.0, 0.3, backend=backend)
    monkeypatch.setattr(ops, "run", None)
    found.score.sum().backward()
    assert torch.equal(s.grad, found.posterior)


def test_import_is_light():
    code = "import lacbook.alignment, sys; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_traced_tensors_take_the_operator():
    """Tensors without numbers have shapes all the same, and a trace holds the operator."""
    from torch.fx.experimental.proxy_tensor import make_fx

    s = torch.zeros(2, 3, 4)
    assert soft_smith_waterman(s.to("meta"), 1.0, 0.3).posterior.shape == (2, 3, 4)
    graph = make_fx(lambda x: soft_smith_waterman(x, 1.0, 0.3).score)(s)
    assert "lacbook.soft_smith_waterman" in graph.code


def test_expected_gaps_are_the_same_tensors_each_time(backend):
    s = arguments(backend)[0].requires_grad_()
    found = soft_smith_waterman(s, 1.0, 0.3, backend=backend)
    with torch.no_grad():
        assert not found.expected_gaps[0].requires_grad
    (grad,) = torch.autograd.grad(found.expected_gaps[0].sum(), found.expected_gaps[0])
    assert (grad == 1).all()
