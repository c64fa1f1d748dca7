import numpy as np
import pytest
import torch

from lacbook.alignment import enumeration, recursion, smith_waterman


def random_tables(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("shape", [(n, m) for n in range(1, 5) for m in range(1, 5)])
def test_equals_enumeration(shape):
    for s in random_tables(5, *shape):
        truth = enumeration.best(s, 0.3, 0.1)
        found = smith_waterman(s, 0.3, 0.1)
        assert found.score.item() == pytest.approx(max(0.0, truth.score), abs=1e-12)
        assert found.path() == (list(truth.path) if truth.score >= 0 else [])


@pytest.mark.parametrize(("go", "ge"), [(1.0, 0.3), (0.1, 0.6), (0.0, 0.0), (-0.2, -0.1)])
@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (12, 8), (8, 12)])
def test_equals_recursion(shape, go, ge):
    s = random_tables(10, *shape)
    found = smith_waterman(s, go, ge)
    for b in range(10):
        score, path = recursion.traceback(s[b], go, ge)
        assert found.score[b].item() == pytest.approx(score)
        assert found.path(b) == path


def test_per_cell_penalties_are_paid_where_the_recursion_pays_them():
    s, go, ge = random_tables(30, 7, 8), *abs(random_tables(2, 30, 7, 8, seed=1)) * 0.5
    lengths = [(7, 8), (5, 8), (7, 4)] * 10
    found = smith_waterman(s, go, ge, lengths=lengths)
    for b, (n, m) in enumerate(lengths):
        score, path = recursion.traceback(*(x[b, :n, :m] for x in (s, go, ge)))
        assert found.score[b].item() == pytest.approx(score)
        assert found.path(b) == path


@pytest.mark.parametrize("gap", [1.0, 0.0])
def test_ties_are_broken_as_in_the_recursion(gap):
    rng = np.random.default_rng(0)
    s = rng.integers(-1, 2, size=(100, 6, 7)).astype(float)
    found = smith_waterman(s, gap, gap)
    for b in range(100):
        assert found.path(b) == recursion.traceback(s[b], gap, gap)[1]


def test_path_is_the_gradient_of_the_score():
    s, step = random_tables(6, 7), 1e-6
    found = smith_waterman(s, 0.3, 0.1)
    posterior = recursion.backward(recursion.forward(s, 0.3, 0.1, 0), 0.3, 0.1, 0).posterior
    for cell in np.ndindex(*s.shape):
        moved = s.copy()
        moved[cell] += step
        slope = (smith_waterman(moved, 0.3, 0.1).score - found.score).item() / step
        assert slope == pytest.approx(float(cell in found.path()), abs=1e-6)
        assert posterior[cell] == (cell in found.path())


def test_path_adds_up_to_the_score():
    s = torch.from_numpy(random_tables(3, 20, 15)).float()
    found = smith_waterman(s, 0.3, 0.1)
    assert found.score.dtype == torch.float32
    for b in range(3):
        path, total = found.path(b), 0.0
        for before, (i, j) in zip([None, *path], path, strict=False):
            total += s[b, i, j].item()
            for skipped in (i - before[0] - 1, j - before[1] - 1) if before else ():
                total -= (0.3 + 0.1 * (skipped - 1)) if skipped else 0.0
        assert found.score[b].item() == pytest.approx(total, abs=1e-5)


def test_local_alignment_skips_unrelated_heads_and_tails():
    s = np.full((10, 12), -0.5)
    s[[3, 4, 5, 7], [5, 6, 7, 8]] = 1.0
    found = smith_waterman(s, 0.2, 0.1)
    assert found.path() == [(3, 5), (4, 6), (5, 7), (7, 8)]
    ((i0, i1, j0, j1, score),) = found.segments()
    assert (i0, i1, j0, j1) == (3, 8, 5, 9)
    assert score == pytest.approx(3.8)
    assert found.score.shape == ()
    assert smith_waterman(np.stack([s - 2, s]), 0.2, 0.1).segments(1) == found.segments()


def test_empty_path_when_every_match_is_negative():
    found = smith_waterman(np.array([[[-1.0, -2.0]], [[0.0, -1.0]], [[-np.inf, -np.inf]]]), 1.0, 0.3)
    assert found.score.tolist() == [0, 0, 0]
    assert [found.path(b) for b in range(3)] == [[], [(0, 0)], []]
    assert found.segments(0) == []
    assert found.segments(1) == [(0, 1, 0, 1, 0.0)]


def test_input_kinds():
    whole = np.array([[2, -1], [-1, 3]])
    assert smith_waterman(whole, 1, 1).score.item() == 5
    assert smith_waterman(torch.tensor(whole), torch.tensor(1.0), 1).path() == [(0, 0), (1, 1)]
    learned = torch.tensor(whole, dtype=torch.float32, requires_grad=True)
    assert not smith_waterman(learned, 1, 1).score.requires_grad
    assert smith_waterman(learned.detach().half(), 1, 1).score.item() == 5
    assert smith_waterman(np.zeros((0, 2, 2)), 1, 1).score.shape == (0,)


def test_there_is_one_alignment_per_pair():
    found = smith_waterman(np.ones((2, 2)), 1, 1)
    with pytest.raises(IndexError, match="k is 1"):
        found.path(0, 1)
    with pytest.raises(IndexError):
        found.path(1)
    with pytest.raises(ValueError, match="top is 3"):
        smith_waterman(np.ones((2, 2)), 1, 1, top=3)
