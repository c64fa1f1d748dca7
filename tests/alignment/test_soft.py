"""The public soft alignment: one body for every backend, each compared with the readable recursion."""

from functools import partial
from math import comb

import numpy as np
import pytest
import torch

from lacbook.alignment import (
    enumeration,
    recursion,
    smith_waterman,
    soft_smith_waterman,
    threads,
    wavefront,
)

TEMPERATURES = [0.03, 0.1, 1.0, 10.0]
SHAPES = [(1, 1), (1, 9), (9, 1), (7, 12), (12, 7)]


def random_table(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_recursion(s, go, ge, t):
    tables = recursion.forward(s.numpy(), go, ge, t)
    return tables, recursion.backward(tables, go, ge, t)


@pytest.mark.parametrize("shape", [(n, m) for n in range(1, 5) for m in range(1, 5)])
def test_equals_enumeration(align, shape):
    s = random_table(*shape)
    truth = enumeration.expect(s.numpy(), 0.3, 0.1, 0.5)
    found = align(s, 0.3, 0.1, temperature=0.5)
    assert found.score.item() == pytest.approx(truth.score, abs=1e-12)
    np.testing.assert_allclose(found.posterior, truth.posterior, atol=1e-12)
    assert found.expected_gaps[0].item() == pytest.approx(truth.openings.sum(), abs=1e-12)
    assert found.expected_gaps[1].item() == pytest.approx(truth.extensions.sum(), abs=1e-12)


@pytest.mark.parametrize(
    ("go", "ge"), [(1.0, 0.3), (0.1, 0.6), (0.0, 0.0), (-0.2, -0.1), (-100.0, -100.0), (1e300, 1e300)]
)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_recursion(fast_align, shape, temperature, go, ge):
    s = random_table(*shape)
    tables, gradients = by_recursion(s, go, ge, temperature)
    found = fast_align(s, go, ge, temperature=temperature)
    assert found.score.item() == pytest.approx(tables.score, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(found.posterior, gradients.posterior, atol=1e-11)
    assert found.expected_gaps[0].item() == pytest.approx(gradients.openings.sum(), abs=1e-10)
    assert found.expected_gaps[1].item() == pytest.approx(gradients.extensions.sum(), abs=1e-10)
    np.testing.assert_allclose(found.table, tables.D, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize(
    ("s", "t"),
    [
        (40.0, 0.1),  # overflows exp(S / t)
        (0.6, 0.01),  # overflows only along the path
        (-80.0, 0.1),  # underflows everywhere
        (-73.0, 0.1),  # not quite: the sum is a subnormal number, whose reciprocal overflows
        (1e8, 1.0),
    ],
)
def test_beyond_the_range_of_the_linear_domain(fast_align, s, t):
    table = s + 0.1 * random_table(20, 16)
    tables, gradients = by_recursion(table, 1.0, 0.3, t)
    found = fast_align(table, 1.0, 0.3, temperature=t)
    assert found.score.item() == pytest.approx(tables.score, rel=1e-12)
    np.testing.assert_allclose(found.posterior, gradients.posterior, atol=1e-6 if s == 1e8 else 1e-10)


def test_a_late_segment_starts_1500_nats_below_and_wins(fast_align):
    """Linear arithmetic rescaled by row would flush the start of the second segment to zero."""
    s = torch.full((96, 80), -0.3, dtype=torch.float64)
    s[range(40), range(40, 80)] = 3.75  # 150 in units of similarity: 1,500 nats at t = 0.1
    s[range(40, 96), range(56)] = 3.75  # cannot be chained with it
    found = fast_align(s, 1.0, 0.3, temperature=0.1)
    assert found.score.item() == pytest.approx(56 * 3.75, abs=1e-3)
    posterior = found.posterior
    assert posterior[range(41, 95), range(1, 55)].min() > 0.999
    assert posterior[:40, 40:].max() < 1e-100
    assert posterior.isfinite().all()


@pytest.mark.parametrize("temperature", [0.01, 1.0])
def test_many_near_ties(fast_align, temperature):
    """With equal cells, the score counts alignments: a 12 x 10 table has 646,645."""
    found = fast_align(np.zeros((12, 10)), 0.0, 0.0, temperature=temperature)
    assert found.score.item() == pytest.approx(temperature * np.log(comb(22, 10) - 1), rel=1e-12)
    upside_down = found.posterior.flip(0, 1)  # reading both videos backwards changes nothing
    torch.testing.assert_close(found.posterior, upside_down, rtol=1e-11, atol=0)


@pytest.mark.parametrize("filler", [float("nan"), float("inf"), 1e30, -float("inf")])
def test_padding_is_never_read(align, filler):
    lengths = torch.tensor([[5, 7], [1, 7], [5, 1], [3, 4]])
    s = random_table(4, 5, 7)
    padded = torch.full_like(s, filler)
    for b, (n, m) in enumerate(lengths.tolist()):
        padded[b, :n, :m] = s[b, :n, :m]
    padded.requires_grad_()
    found = align(padded, 0.3, 0.1, temperature=0.5, lengths=lengths)
    found.score.sum().backward()
    for b, (n, m) in enumerate(lengths.tolist()):
        alone = align(s[b, :n, :m], 0.3, 0.1, temperature=0.5)
        torch.testing.assert_close(found.score[b], alone.score)
        for grown in (found.posterior.detach()[b], padded.grad[b]):
            torch.testing.assert_close(grown[:n, :m], alone.posterior)
            assert not grown[n:].any()
            assert not grown[:, m:].any()
        torch.testing.assert_close(found.expected_gaps[0][b], alone.expected_gaps[0])
        torch.testing.assert_close(found.table[b, :n, :m], alone.table)
        assert (found.table[b, n:] == -torch.inf).all()
        assert (found.table[b, :, m:] == -torch.inf).all()
    best = smith_waterman(padded, 0.3, 0.1, lengths=lengths)
    for b, (n, m) in enumerate(lengths.tolist()):
        assert best.path(b) == smith_waterman(s[b, :n, :m], 0.3, 0.1).path()


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gap_gradient_is_the_expected_number_of_gaps(align, temperature):
    go = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    ge = torch.tensor(0.1, requires_grad=True)
    s = random_table(6, 8)
    found = align(s, go, ge, temperature=temperature)
    (3 * found.score).backward()
    assert go.grad.item() == pytest.approx(-3 * found.expected_gaps[0].item())
    assert ge.grad.item() == pytest.approx(-3 * found.expected_gaps[1].item())
    assert ge.grad.dtype == torch.float32
    step = 1e-5
    up, down = (align(s, 0.3 + d, ge.detach(), temperature=temperature).score for d in (step, -step))
    slope = (up - down).item() / (2 * step)
    assert slope == pytest.approx(-found.expected_gaps[0].item(), abs=1e-5)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_posterior_is_a_sub_stochastic_matrix(align, temperature):
    posterior = align(random_table(9, 7), 0.3, 0.1, temperature=temperature).posterior
    assert posterior.min() >= 0
    assert posterior.max() <= 1  # rounding included: log1p(-posterior) has to exist
    assert posterior.sum(0).max() <= 1 + 1e-12
    assert posterior.sum(1).max() <= 1 + 1e-12
    assert posterior.sum() >= 1 - 1e-12  # no alignment is empty


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_swapping_the_videos(align, temperature):
    s = random_table(6, 9)
    one, other = (align(x, 0.3, 0.1, temperature=temperature) for x in (s, s.T))
    torch.testing.assert_close(one.score, other.score, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(one.posterior, other.posterior.T, rtol=1e-9, atol=1e-12)


def test_a_certain_match_has_probability_1_at_most(fast_align):
    """Rounding would leave 1 + 1e-15, of which a binary cross-entropy has no logarithm."""
    generator = torch.Generator().manual_seed(0)
    for t in (0.02, 0.03551, 0.05):
        s = torch.eye(14).double() * 1.7 - 0.8 + 0.01 * torch.randn(8, 14, 14, generator=generator)
        assert fast_align(s, 1.0, 0.3, temperature=t).posterior.max() <= 1


@pytest.mark.parametrize("largest", [1e307, 1e37])
def test_enormous_numbers(fast_align, largest):
    s = np.array([[largest, -largest], [-largest, largest / 2]])
    np.testing.assert_allclose(fast_align(s, 0.3, 0.1, temperature=0.01).posterior, np.eye(2), atol=1e-12)
    # The two cells of the other diagonal cannot be chained.
    posterior = fast_align(-s, 0.3, 0.1, temperature=0.01).posterior
    np.testing.assert_allclose(posterior, [[0, 0.5], [0.5, 0]], atol=1e-12)


def test_a_finite_penalty_stays_finite(align):
    """Beyond float32's range, yet legal: no gap at all."""
    s = torch.eye(3) - 0.5
    found = align(s, 1e300, torch.tensor(1e300, dtype=torch.float64), temperature=0.1)
    torch.testing.assert_close(found.posterior, align(s, 1e6, 1e6, temperature=0.1).posterior)


def test_low_temperature_approaches_the_hard_alignment(align):
    s = random_table(6, 8)
    best = smith_waterman(s, 0.3, 0.1)
    soft = align(s, 0.3, 0.1, temperature=1e-3)
    assert soft.score.item() == pytest.approx(best.score.item(), abs=1e-3)
    indicator = torch.zeros_like(s)
    for cell in best.path():
        indicator[cell] = 1
    torch.testing.assert_close(soft.posterior, indicator, rtol=0, atol=1e-6)


def test_forbidden_cells(align):
    s = random_table(2, 5, 6)
    s[0, 2] = s[0, :, 3] = -torch.inf
    s[1] = -torch.inf
    s.requires_grad_()
    found = align(s, 0.3, 0.1, temperature=0.1)
    tables, gradients = by_recursion(s.detach()[0], 0.3, 0.1, 0.1)
    assert found.score[0].item() == pytest.approx(tables.score)
    np.testing.assert_allclose(found.posterior[0].detach(), gradients.posterior, atol=1e-12)
    assert found.score[1] == -torch.inf
    assert not found.posterior[1].any()
    assert [g[1].item() for g in found.expected_gaps] == [0, 0]
    assert (found.table[1] == -torch.inf).all()
    found.score[0].backward()
    assert s.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_dtypes(align, dtype):
    s = random_table(2, 6, 5).to(dtype).requires_grad_()
    wide = s.detach().double().requires_grad_()
    found, truth = (align(x, 0.3, 0.1, temperature=0.2) for x in (s, wide))
    assert found.score.dtype == found.posterior.dtype == found.expected_gaps[0].dtype == torch.float32
    assert truth.score.dtype == torch.float64
    torch.testing.assert_close(found.score.double(), truth.score, rtol=1e-6, atol=0)
    found.score.sum().backward()
    truth.score.sum().backward()
    assert s.grad.dtype == dtype
    torch.testing.assert_close(
        s.grad, wide.grad.to(dtype), rtol=1e-2 if dtype == torch.bfloat16 else 2e-3, atol=1e-6
    )


def test_non_contiguous_input(align):
    s = random_table(5, 8, 2).permute(2, 1, 0)
    assert not s.is_contiguous()
    found = align(s, 0.3, 0.1)
    torch.testing.assert_close(found.posterior, soft_smith_waterman(s.contiguous(), 0.3, 0.1).posterior)


def test_numpy_input_of_any_layout(align):
    s = random_table(4, 6).numpy()[::-1, ::2]
    s.flags.writeable = False
    found = align(s, 1, np.float32(0.5), lengths=np.array([3, 2]))
    again = align(torch.tensor(s.copy()), 1.0, 0.5, lengths=(3, 2))
    torch.testing.assert_close(found.posterior, again.posterior)


def test_lengths_in_a_dtype_too_narrow_for_the_table():
    s = random_table(2, 300)
    found, again = (
        soft_smith_waterman(s, 1.0, 0.3, lengths=torch.tensor([2, 200], dtype=dtype))
        for dtype in (torch.uint8, torch.int64)
    )
    assert torch.equal(found.posterior, again.posterior)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.float16, np.float32, np.float64])
def test_numpy_input_of_any_dtype(dtype):
    s = (np.arange(12).reshape(3, 4) % 5).astype(dtype)[::-1, ::-1]
    found = soft_smith_waterman(s, dtype(1), np.array(1, dtype=dtype))
    again = soft_smith_waterman(s.astype(float).copy(), 1.0, 1.0)
    assert found.score.dtype == (torch.float32 if dtype in (np.float16, np.float32) else torch.float64)
    torch.testing.assert_close(found.posterior.double(), again.posterior, rtol=1e-5, atol=1e-6)


def test_shapes_batched_and_not(align):
    run = partial(align, gap_open=1.0, gap_extend=0.3)
    s = random_table(2, 3, 4)
    batch, pair = run(s), run(s[1])
    assert batch.score.shape == batch.expected_gaps[0].shape == (2,)
    assert batch.posterior.shape == batch.table.shape == (2, 3, 4)
    assert pair.score.shape == pair.expected_gaps[1].shape == ()
    assert pair.posterior.shape == pair.table.shape == (3, 4)
    torch.testing.assert_close(pair.table, batch.table[1])
    torch.testing.assert_close(pair.score, batch.score[1])


def test_empty_batch(align):
    s = torch.zeros(0, 3, 4, requires_grad=True)
    found = align(s, 1.0, 0.3, lengths=torch.zeros(0, 2, dtype=torch.int64))
    found.score.sum().backward()
    assert found.score.shape == (0,)
    assert found.posterior.shape == found.table.shape == s.grad.shape == (0, 3, 4)


def test_table_is_computed_on_first_access_only(monkeypatch):
    from lacbook.alignment import ops

    calls = []
    real = ops.soft_smith_waterman_table_op
    monkeypatch.setattr(ops, "soft_smith_waterman_table_op", lambda *a: calls.append(1) or real(*a))
    found = soft_smith_waterman(random_table(3, 4), 1.0, 0.3)
    assert not calls
    torch.testing.assert_close(found.table, found.table)
    assert len(calls) == 1


def test_table_read_without_gradient_first_has_one_later():
    s = random_table(3, 4).requires_grad_()
    found = soft_smith_waterman(s, 1.0, 0.3)
    with torch.no_grad():
        assert not found.table.requires_grad
    found.table.sum().backward()
    assert s.grad.abs().sum() > 0


@pytest.mark.parametrize("changed", ["similarity", "gap_open", "lengths"])
def test_table_of_inputs_changed_in_place_is_refused(changed):
    """It would belong to other inputs than the score."""
    inputs = {"similarity": random_table(2, 3, 4), "gap_open": torch.ones(2).double()}
    inputs["lengths"] = torch.tensor([[3, 4], [2, 2]])
    found = soft_smith_waterman(gap_extend=0.3, **inputs)
    inputs[changed] -= 1
    with pytest.raises(RuntimeError, match=r"table: .* changed in place"):
        _ = found.table


def test_many_pairs_in_threads_equal_the_same_pairs_one_by_one():
    torch.set_num_threads(2)
    s = random_table(12, 100, 90)
    assert s.numel() > threads.PARALLEL_CELLS
    lengths = torch.stack([torch.arange(89, 101), torch.arange(79, 91)], 1)
    found, best = (f(s, 1.0, 0.3, lengths=lengths) for f in (soft_smith_waterman, smith_waterman))
    for b, limit in enumerate(lengths):
        alone = soft_smith_waterman(s[b], 1.0, 0.3, lengths=limit)
        assert torch.equal(found.posterior[b], alone.posterior)
        assert torch.equal(found.table[b], alone.table)
        assert best.path(b) == smith_waterman(s[b], 1.0, 0.3, lengths=limit).path()


def test_the_float32_state_of_devices_without_float64(monkeypatch):
    """As on Apple's MPS: fewer digits, and no NaN."""
    real = wavefront._Problem.__init__

    def narrow(self, similarity, *rest):
        real(self, similarity, *rest)
        self.dtype = torch.float32
        for name in ("similarity", "gap_open", "gap_extend"):
            setattr(self, name, getattr(self, name).float())

    monkeypatch.setattr(wavefront._Problem, "__init__", narrow)
    s = 0.3 * random_table(2, 40, 30, dtype=torch.float32) - 0.1
    s[0, 3] = s[0, :, 4] = -torch.inf
    for t in (0.03, 0.3):
        x, wide = s.clone().requires_grad_(), s.double().requires_grad_()
        found = soft_smith_waterman(x, 0.5, 0.1, temperature=t, backend="wavefront")
        truth = soft_smith_waterman(wide, 0.5, 0.1, temperature=t)
        for each in (found, truth):
            each.posterior.square().sum().backward()
        torch.testing.assert_close(found.score.double(), truth.score, rtol=1e-5, atol=0)
        torch.testing.assert_close(found.posterior.double(), truth.posterior, rtol=0, atol=1e-4)
        largest = wide.grad.abs().max().item()
        torch.testing.assert_close(x.grad.double(), wide.grad, rtol=0, atol=1e-4 * largest)
