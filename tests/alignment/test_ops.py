"""The operators as PyTorch sees them."""

import subprocess
import sys

import pytest
import torch

from lacbook.alignment import soft_smith_waterman

ONLY_SCORE = "only the score"


def arguments(backend, requires_grad=False):
    s = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), requires_grad=requires_grad)
    go, ge = (torch.tensor(v, dtype=torch.float64, requires_grad=requires_grad) for v in (1.0, 0.3))
    return s, go, ge, 0.5, torch.tensor([[4, 5], [2, 3], [4, 1]]), backend


def test_opcheck(backend):
    soft = torch.ops.lacbook.soft_smith_waterman.default
    table = torch.ops.lacbook.soft_smith_waterman_table.default
    for op in (soft, table):
        torch.library.opcheck(op, arguments(backend))
    # The fourth check differentiates every output; here all but the score refuse (tested below).
    torch.library.opcheck(
        soft,
        arguments(backend, requires_grad=True),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile(backend, dynamic):
    def loss(s, go, ge, lengths):
        found = soft_smith_waterman(s - 0.1, go, ge, temperature=0.5, lengths=lengths, backend=backend)
        return 2 * found.score.sum()

    results = []
    for function in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager", dynamic=dynamic)):
        s, go, ge, _, lengths, _ = arguments(backend, requires_grad=True)
        value = function(s, go, ge, lengths)
        value.backward()
        results.append((value.detach(), s.grad, go.grad, ge.grad))
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(eager, compiled, rtol=0, atol=0)


def test_compile_without_lengths_and_with_plain_numbers(backend):
    def score(s):
        return soft_smith_waterman(s, 1.0, 0.3, temperature=0.5, backend=backend).score

    s = arguments(backend)[0][0]
    compiled = torch.compile(score, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(s), score(s))


def test_values_are_checked_under_compile(backend):
    compiled = torch.compile(
        lambda s: soft_smith_waterman(s, 1.0, 0.3, backend=backend).score, fullgraph=True, backend="aot_eager"
    )
    s = torch.zeros(2, 3, 4)
    s[0, 1, 2] = torch.nan
    with pytest.raises(ValueError, match=r"similarity\[0, 1, 2\] is nan"):
        compiled(s)


@pytest.mark.parametrize("output", ["posterior", "openings", "extensions"])
@pytest.mark.parametrize("with_score", [False, True])
def test_only_the_score_is_differentiable(backend, output, with_score):
    s, go, ge, t, lengths, _ = arguments(backend, requires_grad=True)
    found = soft_smith_waterman(s, go, ge, temperature=t, lengths=lengths, backend=backend)
    o, x = found.expected_gaps
    loss = {"posterior": found.posterior, "openings": o, "extensions": x}[output].sum()
    with pytest.raises(RuntimeError, match=ONLY_SCORE):
        (loss + found.score.sum() if with_score else loss).backward()


def test_second_derivatives_are_refused(backend):
    s, go, ge, *_ = arguments(backend, requires_grad=True)
    score = soft_smith_waterman(s, go, ge, backend=backend).score.sum()
    (g,) = torch.autograd.grad(score, s, create_graph=True)
    with pytest.raises(RuntimeError, match=ONLY_SCORE):
        g.square().sum().backward()


def test_table_is_not_differentiable(backend):
    s, go, ge, *_ = arguments(backend, requires_grad=True)
    with pytest.raises(RuntimeError, match="soft_smith_waterman_table"):
        soft_smith_waterman(s, go, ge, backend=backend).table.sum().backward()


def test_only_the_asked_gradients_are_needed(backend):
    s, go, *_ = arguments(backend)
    go.requires_grad_()
    found = soft_smith_waterman(s, go, 0.3, backend=backend)
    found.score.sum().backward()
    assert go.grad.item() == pytest.approx(-found.expected_gaps[0].sum().item())
    assert s.grad is None


def test_import_is_light():
    code = "import lacbook.alignment, sys; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
