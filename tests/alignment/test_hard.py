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


def best_in_turn(s, go, ge, top):
    """Per turn: the best score left, the paths that have it, and the score and path found."""
    found = smith_waterman(s, go, ge, top=top)
    left = list(enumeration.enumerate_alignments(s, go, ge))
    for k in range(top):
        score = max((a.score for a in left), default=-np.inf)
        exists = score >= 0 if k == 0 else score > 1e-9
        ties = [list(a.path) for a in left if abs(a.score - score) < 1e-9] if exists else [[]]
        yield max(score, 0.0) if exists else 0.0, ties, found.scores[k].item(), found.path(0, k)
        left = [a for a in left if not set(a.path) & set(found.path(0, k))]


@pytest.mark.parametrize("gap", [(0.3, 0.1), (0.0, 0.0), (-0.2, -0.1), "per cell"])
@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (2, 3), (4, 3), (4, 4)])
@pytest.mark.parametrize("kind", ["normal", "whole", "with -inf"])
def test_each_is_the_best_that_shares_no_match_with_those_before(shape, gap, kind):
    for seed in range(3):
        s = random_tables(*shape, seed=seed)
        go, ge = abs(random_tables(2, *shape, seed=seed + 20)) * 0.5 if gap == "per cell" else gap
        if kind == "whole":  # many ties, none of them by rounding, and scores of 0
            s = np.round(2 * s)
        if kind == "with -inf":
            s[random_tables(*shape, seed=seed + 10) > 0.5] = -np.inf
        for score, ties, found_score, found_path in best_in_turn(s, go, ge, 7):
            assert found_score == pytest.approx(score, abs=1e-12)
            assert found_path in ties


def planted(shape, cells):
    s = np.full(shape, -1.0)
    for score, cell in cells:
        s[cell] = score
    return s


def test_two_planted_diagonals_are_found():
    first, second = [(i, i + 12) for i in range(2, 9)], [(i + 12, i) for i in range(3, 8)]
    s = planted((20, 22), [(1.0, cell) for cell in first + second])
    found = smith_waterman(np.stack([s, s - 3]), 1.0, 0.3, top=4)
    assert found.path(0, 0) == first
    assert found.path(0, 1) == second
    assert found.path(0, 2) == found.path(0, 3) == []
    assert found.scores[0].tolist() == [7, 5, 0, 0]
    assert found.score[0] == 7
    assert found.segments(0) == [(2, 9, 14, 21, 7.0), (15, 20, 3, 8, 5.0)]
    assert found.segments(1) == []


def test_alignments_may_share_frames_and_skip_what_others_match():
    s = planted((3, 3), [(2.0, (0, 0)), (2.0, (1, 1)), (2.0, (2, 2)), (1.5, (0, 1))])
    found = smith_waterman(s, 0.2, 0.2, top=3)
    assert found.path(0, 0) == [(0, 0), (1, 1), (2, 2)]
    assert found.path(0, 1) == [(0, 1)]
    assert found.path(0, 2) == []
    s = planted((2, 4), [(9.0, (0, 1)), (3.0, (1, 2)), (2.0, (0, 0)), (2.0, (1, 3))])
    found = smith_waterman(s, 0.2, 0.2, top=2)
    assert found.path(0, 0) == [(0, 1), (1, 2)]
    assert found.path(0, 1) == [(0, 0), (1, 3)]  # skips frame 1 of Y at (0, 1)
    assert found.scores.tolist() == pytest.approx([12, 3.6])


def test_scores_do_not_increase_and_paths_do_not_meet():
    s, lengths = random_tables(6, 30, 25, seed=3), [(30, 25), (30, 7), (9, 25)] * 2
    padded = torch.from_numpy(s.copy())
    for b, (n, m) in enumerate(lengths):
        padded[b, n:], padded[b, :, m:] = np.nan, np.nan
    before = padded.clone()
    found = smith_waterman(padded, 0.5, 0.2, lengths=lengths, top=5)
    assert torch.equal(padded.nan_to_num(9), before.nan_to_num(9))  # matches are forbidden in a copy
    assert found.scores.shape == (6, 5)
    assert (found.scores.diff(dim=1) <= 0).all()
    assert (found.scores > 0).all()
    for b, (n, m) in enumerate(lengths):
        cells = [cell for k in range(5) for cell in found.path(b, k)]
        assert len(set(cells)) == len(cells)
        alone = smith_waterman(s[b, :n, :m], 0.5, 0.2, top=5)
        assert alone.scores.shape == (5,)
        assert alone.segments() == found.segments(b)
        assert [alone.path(k=k) for k in range(5)] == [found.path(b, k) for k in range(5)]


def test_the_first_does_not_depend_on_top():
    s, go, ge = random_tables(20, 9, 11), *abs(random_tables(2, 20, 9, 11, seed=1)) * 0.5
    one, more = smith_waterman(s, go, ge), smith_waterman(s, go, ge, top=4)
    assert torch.equal(one.scores, more.scores[:, :1])
    assert torch.equal(one.score, more.score)
    assert [one.path(b) for b in range(20)] == [more.path(b) for b in range(20)]


def test_only_the_first_may_have_a_score_of_zero():
    found = smith_waterman(np.zeros((3, 4)), 1.0, 0.3, top=3)
    assert found.scores.tolist() == [0, 0, 0]
    assert [found.path(0, k) for k in range(3)] == [[(0, 0)], [], []]
    assert smith_waterman(np.full((3, 4), -1.0), 1.0, 0.3, top=3).segments() == []


def test_top_in_threads():
    s = random_tables(40, 60, 50, seed=5)  # enough work for threads
    found = smith_waterman(s, 0.5, 0.2, top=3)
    for b in range(0, 40, 7):
        assert smith_waterman(s[b], 0.5, 0.2, top=3).segments() == found.segments(b)


def test_alignments_and_pairs_that_there_are_not():
    found = smith_waterman(np.ones((2, 2)), 1, 1)
    for k in (1, -1):
        with pytest.raises(IndexError, match=f"k is {k}; expected 0 to 0, since top was 1"):
            found.path(0, k)
    with pytest.raises(IndexError):
        found.path(1)
    for top in (0, -1, 1.0, True, None):
        with pytest.raises(ValueError, match=f"top is {top}; expected a whole number, at least 1"):
            smith_waterman(np.ones((2, 2)), 1, 1, top=top)
