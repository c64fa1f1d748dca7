"""What users of differentiable alignment packages have asked for in public, one test each.

The packages: Maghoumi/pytorch-softdtw-cuda, Sleepwalking/pytorch-softdtw, toinsson/pysdtw,
mblondel/soft-dtw, tslearn-team/tslearn, flatironinstitute/deepblast, spetti/SMURF, and codes that use them.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch

from lacbook.alignment import cuda_kernels, recursion, smith_waterman, soft_smith_waterman

pytestmark = pytest.mark.skipif(
    cuda_kernels.SIMULATED, reason="long pairs; the other files cover the kernels"
)


def diagonal(n, m, start, length, on=1.0, off=-1.0):
    """Likeness along one diagonal only."""
    s = np.full((n, m), off, dtype=np.float32)
    s[start[0] + np.arange(length), start[1] + np.arange(length)] = on
    return s


def test_no_length_limit(fast_align):
    """Maghoumi #6, #12, #20, T2A #5, cuDTW #1, pysdtw #5, warp-ctc #91: 1,024 frames and more, N != M."""
    s = diagonal(1100, 1300, (30, 100), 1000)
    found = fast_align(torch.from_numpy(s), 1.0, 0.3, temperature=0.1)
    assert found.score.item() == pytest.approx(1000, abs=1)
    assert found.posterior[30:1030, 100:1100].diagonal().min() > 0.8
    assert found.posterior.sum() == pytest.approx(1000, abs=3)


def test_a_pair_of_4000_and_3000_frames():
    """The same, beyond the range of the linear domain, with a gradient and its path."""
    s = torch.from_numpy(diagonal(4000, 3000, (900, 50), 2900)).requires_grad_()
    found = soft_smith_waterman(s, 1.0, 0.3, temperature=0.1)
    found.score.backward()
    assert found.score.item() == pytest.approx(2900, abs=1)
    assert s.grad[900:3800, 50:2950].diagonal().min() > 0.8
    assert s.grad.sum() == pytest.approx(2900, abs=3)
    assert smith_waterman(s, 1.0, 0.3).path() == [(900 + k, 50 + k) for k in range(2900)]


@pytest.mark.slow
def test_a_pair_of_4000_and_3000_frames_on_any_device():
    """Two implementations with nothing in common but the equations agree on every cell."""
    generator = torch.Generator().manual_seed(0)
    s = 0.5 * torch.randn(4000, 3000, generator=generator, dtype=torch.float64) - 0.2
    one, other = (
        soft_smith_waterman(s, 0.5, 0.1, temperature=0.3, backend=backend)
        for backend in ("numba", "wavefront")
    )
    torch.testing.assert_close(one.score, other.score, rtol=1e-12, atol=0)
    torch.testing.assert_close(one.posterior, other.posterior, rtol=0, atol=1e-9)
    torch.testing.assert_close(one.table, other.table, rtol=1e-12, atol=1e-9)


def test_padding_and_lengths(fast_align):
    """Maghoumi #11, #16, Sleepwalking #2, tslearn #515, mblondel #17, #23: no influence, gradient 0."""
    lengths = [(7, 9), (4, 9), (7, 2)]
    s = torch.randn(3, 7, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    results = []
    for filler in (0.0, 1e6, torch.nan):
        padded = torch.full_like(s, filler)
        for b, (n, m) in enumerate(lengths):
            padded[b, :n, :m] = s[b, :n, :m]
        padded.requires_grad_()
        found = fast_align(padded, 0.5, 0.1, temperature=0.3, lengths=lengths)
        found.score.sum().backward()
        results.append((found.score.detach(), padded.grad))
        for b, (n, m) in enumerate(lengths):
            assert (padded.grad[b, n:] == 0).all()
            assert (padded.grad[b, :, m:] == 0).all()
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


@pytest.mark.parametrize("temperature", [1e-4, 0.01, 100.0, 1e6])
@pytest.mark.parametrize(
    "kind", ["forbidden cells", "forbidden rows", "nothing to match", "one frame", "no pair"]
)
def test_no_nan(fast_align, kind, temperature):
    """Maghoumi #8, #18, naturalspeech #11: values and gradients of all kinds stay numbers."""
    s = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    if kind == "forbidden cells":
        s[torch.rand(2, 6, 5) < 0.5] = -torch.inf
    elif kind == "forbidden rows":
        s[0, 2] = s[1, :, 3] = -torch.inf
    elif kind == "nothing to match":
        s[1] = -torch.inf
    elif kind == "one frame":
        s = s[:, :1]
    else:
        s = s[:0]
    s.requires_grad_()
    go, ge = (torch.tensor(v, requires_grad=True) for v in (1.0, 0.3))
    found = fast_align(s, go, ge, temperature=temperature)
    score = torch.where(found.score.isfinite(), found.score, 0)
    assert (found.score[0:1] > -torch.inf).all()
    first = torch.autograd.grad(score.sum(), (s, go, ge), create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), (s, go, ge))
    assert all(g.isfinite().all() for g in (*first, *second, found.posterior, *found.expected_gaps))


def test_the_alignment_itself():
    """Sleepwalking #8, Maghoumi #2, #6: path, score, ends and probabilities, not only a loss."""
    s = diagonal(8, 9, (2, 3), 4)
    best, soft = smith_waterman(s, 1.0, 0.3), soft_smith_waterman(s, 1.0, 0.3, temperature=0.01)
    assert best.path() == [(2, 3), (3, 4), (4, 5), (5, 6)]
    assert best.segments() == [(2, 6, 3, 7, 4.0)]
    assert soft.posterior.round().nonzero().tolist() == [list(cell) for cell in best.path()]
    assert soft.table[5, 6].item() == pytest.approx(best.score.item(), abs=1e-3)


def test_no_cuda_context():
    """Maghoumi #7, keonlee9420 #1: nothing touches a GPU unless the similarity lies there."""
    code = (
        "import sys, torch; from lacbook.alignment import soft_smith_waterman\n"
        "soft_smith_waterman(torch.zeros(2, 3), 1.0, 0.3).table\n"
        "print(torch.cuda.is_initialized(), 'lacbook.alignment.cuda_kernels' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_results_lie_where_the_similarity_does(align):
    """The same issues: on the tensor's own device, whatever computed them."""
    found = align(torch.zeros(2, 3), 1.0, 0.3).alignment
    expected = "cuda" if align.name == "wavefront-gpu" or align.name == "cuda" else "cpu"
    assert {x.device.type for x in (found.score, found.posterior, found.table)} == {expected}


def test_losses_that_cannot_be_negative():
    """Maghoumi #9, #10, #27, #32, mblondel #5, DILATE #15: a soft score may be, a likelihood not."""
    from lacbook.losses.lac import structured_loss

    s = torch.randn(4, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matches, lengths = torch.eye(6).bool().expand(4, 6, 6), torch.full((4, 2), 6)
    penalties = torch.tensor(0.5).double(), torch.tensor(0.1).double()
    for scale in (1.0, 30.0):
        assert structured_loss(s * scale, matches, lengths, *penalties, temperature=0.1) >= 0
    sure = torch.where(matches, 5.0, -5.0)
    assert structured_loss(sure, matches, lengths, *penalties, temperature=0.1).item() == pytest.approx(
        0, abs=1e-6
    )


def test_half_precision(fast_align):
    """orihime documents float32 only and the numba packages raise: half in, gradient in half."""
    for dtype in (torch.float16, torch.bfloat16):
        s = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
        found = fast_align(s, 1.0, 0.3)
        found.score.backward()
        assert found.score.dtype == torch.float32
        assert s.grad.dtype == dtype
        assert torch.equal(s.grad, found.posterior.to(dtype))


def test_double_backward(fast_align):
    """NATTEN #191 and deepblast's tests: second derivatives are there and right."""
    s = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: fast_align(x, 0.5, 0.1, temperature=0.5).score, s)


def test_compile_in_one_graph():
    """Every soft-DTW package breaks the graph."""
    s = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))

    def loss(x):
        return soft_smith_waterman(x, 1.0, 0.3).score.sum()

    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(s), loss(s), rtol=0, atol=0)


def test_float64_stays_float64(fast_align):
    """Three packages round to float32 inside, so that gradcheck fails: here, digits beyond float32 count."""
    s = torch.tensor([[1.0, 0.5], [0.25, 1.0]], dtype=torch.float64)
    nudged = s.clone()
    nudged[0, 0] += 1e-13
    one, other = (fast_align(x, 1.0, 0.3) for x in (s, nudged))
    assert one.score.dtype == one.posterior.dtype == torch.float64
    assert (other.score - one.score).item() == pytest.approx(1e-13 * one.posterior[0, 0].item(), rel=0.05)
    assert torch.autograd.gradcheck(lambda x: fast_align(x, 1.0, 0.3).score, s.requires_grad_())


def test_learnable_affine_gaps_per_pair_and_per_cell(fast_align):
    """deepblast #31, #52: descent on the penalties of one pair, and of one cell, moves these and no other."""
    s = torch.full((2, 4, 5), -2.0, dtype=torch.float64)
    s[:, [0, 1, 2, 3], [0, 1, 3, 4]] = 2.0  # frame 2 of the second video is skipped, at cell (1, 2)
    per_pair = torch.tensor([0.5, 0.5], dtype=torch.float64, requires_grad=True)
    per_cell = torch.full((4, 5), 0.5, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(fast_align(s, per_pair, 0.1, temperature=0.1).score[0], per_pair)
    assert g[0].item() == pytest.approx(-1, abs=1e-3)
    assert g[1] == 0
    (g,) = torch.autograd.grad(fast_align(s[0], per_cell, 0.1, temperature=0.1).score, per_cell)
    assert g[1, 2].item() == pytest.approx(-1, abs=1e-3)
    assert g.abs().sum() - g[1, 2].abs() < 1e-3


def test_expected_gap_counts(fast_align):
    """orihime's questions and answers: how many gaps, per pair, from the same call."""
    s = np.random.default_rng(0).normal(size=(2, 5, 6))
    found = fast_align(s, 0.3, 0.1, temperature=0.5)
    for b in range(2):
        truth = recursion.backward(recursion.forward(s[b], 0.3, 0.1, 0.5), 0.3, 0.1, 0.5)
        assert found.expected_gaps[0][b].item() == pytest.approx(truth.openings.sum(), rel=1e-10)
        assert found.expected_gaps[1][b].item() == pytest.approx(truth.extensions.sum(), rel=1e-10)
