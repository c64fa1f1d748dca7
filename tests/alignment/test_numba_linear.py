"""The linear domain against the log domain: everything it computes, wherever it does not refuse."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from lacbook.alignment import numba_kernels, numba_linear, numba_log, soft_smith_waterman

LN_2 = np.log(2)
# Largest errors relative to the largest number of a result and 1, or 1/t for second derivatives.
TOLERANCES = {"score": 1e-11, "table": 1e-11, "posterior": 1e-10, "gaps": 1e-9, "table gradient": 1e-9}
TOLERANCES |= {"table tangent": 1e-10, "tangent": 1e-8, "tangent of the table gradient": 1e-7}


@dataclass
class Problem:
    """A batch, a seed for each cell of its table, and a direction of the similarity and the penalties."""

    s: np.ndarray
    go: np.ndarray
    ge: np.ndarray
    t: float
    lengths: np.ndarray
    seeds: np.ndarray
    direction: list[np.ndarray]

    def pick(self, b):
        """A batch of one pair."""
        fields = (self.s, self.go, self.ge, self.lengths, self.seeds, *self.direction)
        s, go, ge, lengths, seeds, *direction = (x[b : b + 1] for x in fields)
        return Problem(s, go, ge, self.t, lengths, seeds, direction)

    def cast(self, dtype):
        s, go, ge, seeds, *direction = (
            x.astype(dtype) for x in (self.s, self.go, self.ge, self.seeds, *self.direction)
        )
        return Problem(s, go, ge, self.t, self.lengths, seeds, direction)


def problem(s, go, ge, t, seed=0):
    """One pair of full length, with penalties as numbers or tables."""
    rng = np.random.default_rng(seed)
    s = np.asarray(s, dtype=float)[None]
    go, ge = (np.ones(s.shape if np.ndim(x) else (1, 1, 1)) * x for x in (go, ge))
    direction = [rng.normal(size=x.shape) for x in (s, go, ge)]
    return Problem(s, go, ge, t, np.array([s.shape[1:]]), rng.normal(size=s.shape), direction)


def ragged(n, m, t, per_cell):
    """Two pairs, the second shorter, with forbidden cells and NaN behind the lengths."""
    rng = np.random.default_rng(n * m)
    s = np.minimum(rng.normal(size=(2, n, m)), 1.0)
    s[:, n // 2, m // 3] = -np.inf
    if n > 5:
        s[0, n // 3 : n // 3 + 2] = -np.inf
    shape = s.shape if per_cell else (2, 1, 1)
    go, ge = rng.uniform(0, 1, size=shape), rng.uniform(0, 0.5, size=shape)
    lengths = np.array([[n, m], [max(1, n - 2), max(1, m - 1)]])
    seeds, *direction = (rng.normal(size=x.shape) for x in (s, s, go, ge))
    for x in (s, go, ge, seeds, *direction):
        for b, (rows, columns) in enumerate(lengths):
            if x.shape == s.shape:
                x[b, rows:] = x[b, :, columns:] = np.nan
    return Problem(s, go, ge, t, lengths, seeds, direction)


def results(p, domain):
    """All results of a domain by name. `domain` gets names, seeds, direction, and arrays to fill."""
    found = {}
    for seeds, suffix in ((None, ""), (p.seeds, " of the table gradient")):
        first, second, moved = [], [], np.zeros_like(p.s)
        for filled in (first, second):
            filled += [np.zeros_like(x) for x in (p.s, p.go, p.ge)]
        score, table = np.zeros(len(p.s), p.s.dtype), np.full_like(p.s, -np.inf)
        domain(p, seeds, score, table, first, second, moved)
        if seeds is None:
            found |= {"score": [score], "table": [table], "posterior": first[:1], "gaps": first[1:]}
        else:
            found |= {"table gradient": first}
        found |= {"tangent" + suffix: second, "table tangent": [moved]}
    return found


def in_the_linear_domain(p):
    """All results, and which pairs are refused, whatever is asked for."""
    answers = []

    def fill(p, seeds, score, table, first, second, moved):
        given = (np.arange(len(p.s)), p.s, p.go, p.ge, p.t, p.lengths)
        for wanted in (
            (seeds, None, score, None, *first),
            (seeds, (*p.direction, moved), score.copy(), None, *second),
            (None, None, score.copy(), table, None, None, None),
        ):
            answers.append(np.zeros(len(p.s), dtype=bool))
            numba_linear.linear_pairs(*given, *wanted, answers[-1])

    found = results(p, fill)
    for each in answers:
        np.testing.assert_array_equal(each, answers[0])
    return found, answers[0]


def in_the_log_domain(p):
    """All results."""

    def fill(p, seeds, score, table, first, second, moved):
        given = (np.arange(len(p.s)), p.s, p.go, p.ge, p.t, p.lengths)
        if seeds is None:
            numba_log.soft_pairs(*given, score, *first)
            numba_log.table_pairs(*given, table)
        else:
            numba_log.table_gradient_pairs(*given, seeds, *first)
        none = np.empty((0, 1, 1), p.s.dtype)
        numba_log.tangent_pairs(*given, *p.direction, none if seeds is None else seeds, *second, moved)

    return results(p, fill)


def check(p, rounding=0.0):
    """Assert that what is not refused agrees with the log domain; return what is refused, and log Z."""
    found, refused = in_the_linear_domain(p)
    for b in np.flatnonzero(~refused):
        for name, truths in in_the_log_domain(p.pick(b)).items():
            for mine, truth in zip(found[name], truths, strict=True):
                sizes = abs(truth[np.isfinite(truth)])
                scale = max(1 / p.t if "tangent" in name else 1.0, sizes.max(initial=0.0))
                tolerance = (TOLERANCES[name] + rounding) * scale
                np.testing.assert_allclose(mine[b], truth[0], rtol=0, atol=tolerance, err_msg=name)
    return refused, found["score"][0] / p.t


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("per_cell", [False, True], ids=["per pair", "per cell"])
@pytest.mark.parametrize("n", [1, 3, 4, 5, 63, 64, 65, 130])
def test_shapes_around_bands_and_blocks(n, per_cell, dtype):
    """The second pair's results behind its lengths stay what they were, as in the log domain.

    At the lower temperature bands have 12 rows or so, and blocks 8 columns.
    """
    rounding = 2 * np.finfo(dtype).eps
    for m in (1, 2, 3, 7, 8, 9, 67):
        for t in (0.05, 0.5):
            refused, _ = check(ragged(n, m, t, per_cell).cast(dtype), rounding)
            assert refused.tolist() == [False, False] or n * m < 4


def random_problem(seed):
    """Segments of likeness, perhaps a chain of them, on a background, with forbidden rows and columns.

    Penalties are from a course's range, or go to the limits within which scales may follow the states.
    """
    rng = np.random.default_rng(seed)
    t = np.exp(rng.uniform(np.log(0.03), np.log(2)))
    n, m = rng.integers(1, 110, size=2)
    like, go = rng.choice([0.5, 1, 2.5]), rng.choice([0, 0.1, 1, rng.uniform(0, 8)])
    ge = rng.choice([0, 0.01, 0.3, rng.uniform(0, 1)])
    background = rng.normal(size=(n, m)) * rng.choice([0.1, 0.5, 1.0]) - rng.choice([0, 0.3, 1, 3])
    if rng.random() < 0.6:
        bits = t * LN_2
        rows = rng.integers(5, 40)  # of a band
        like, ge, go = bits * 400 / rows, bits * (400 / rows) * rng.choice([0, 0.2, 1]), go * rng.random()
        n, m = rng.integers(60, 160, size=2)
        background = np.full((n, m), rng.choice([-np.inf, -40 * bits, -5 * bits]))
    s, i, j = background, 0, 0
    while rng.random() < 0.9 and i < n and j < m:  # a chain
        k = np.arange(min(rng.integers(1, 100), n - i, m - j))
        s[i + k, j + k] = like * rng.choice([1, 1, rng.random()])
        i, j = i + len(k) + rng.choice([0, 0, 1, 30]), j + len(k) + rng.choice([0, 0, 0, 2])
    for _ in range(rng.integers(0, 6)):
        i, j = rng.integers(n), rng.integers(m)
        k = np.arange(min(rng.integers(1, 160), n - i, m - j))
        s[i + k, j + k] = like * rng.random()
    s[rng.integers(n, size=rng.integers(0, 3))] = -np.inf
    s[:, rng.integers(m, size=rng.integers(0, 3))] = rng.choice([-1e4, -np.inf])
    if rng.random() < 0.4:
        go, ge = go * rng.uniform(0, 1, size=s.shape), ge * rng.choice([1.0, 0.9, 0.0], size=s.shape)
    return problem(s, go, ge, t, seed)


def test_a_random_search():
    """Where float64 without scales would not do (log Z > 709), there are scales, and they are right."""
    answers = [check(random_problem(seed)) for seed in range(200)]
    computed = [log_z[0] for refused, log_z in answers if not refused[0]]
    assert len(computed) > 150
    assert sum(log_z > 709 for log_z in computed) > 40


def two_segments(background=-0.3):
    """Matches of 1 that cannot be one alignment: of the first 100 rows, and of 140 columns left of them."""
    s = np.full((240, 200), background)
    k = np.arange(140)
    s[k[:100], 100 + k[:100]] = s[100 + k, k] = 1.0
    return s


def test_of_two_segments_the_one_that_starts_in_the_shadow_of_the_other():
    """Scales by rows alone lose the second one, and find a score of 100."""
    p = problem(two_segments(), 1.0, 0.3, 0.1)
    refused, log_z = check(p)
    assert not refused[0]
    assert p.t * log_z[0] == pytest.approx(140, abs=0.01)


@pytest.mark.parametrize(
    ("match", "gap", "band", "matches"), [(13.5, 15.5, 25, 100), (35.5, 37.5, 10, 50)], ids=str
)
def test_a_column_far_below_the_best_of_its_block(match, gap, band, matches):
    """It must not flush to zero, in the last band either: then its D and the seeds there would be lost.

    Numbers are bits. After a chain of matches all states fall by nearly 400 of them in each band.
    """
    bits = 0.1 * LN_2
    answers = []
    for rows in range(band):  # by which the chain begins later
        bands = -(-(rows + matches) // band) + 1
        s, k = np.full((bands * band, 160), -40.0), np.arange(matches)
        s[rows + k, k] = match
        refused, log_z = check(problem(s * bits, 0.0, gap * bits, 0.1))
        answers += [refused[0] or log_z[0] > 709]
    assert all(answers)


@pytest.mark.parametrize("similarity", [0.01, 0.3, 1.0])
def test_an_opening_of_a_thousand_temperatures(similarity):
    """Two segments that only such a gap could join; it underflows, and is worth nothing."""
    s, k = np.full((40, 50), -similarity), np.arange(20)
    s[k, k] = s[20 + k, 30 + k] = similarity
    refused, _ = check(problem(s, 10.0, 0.01, 0.01))
    assert refused[0] == (similarity == 1.0)  # then Z overflows


REFUSED = {
    "negative opening": (np.zeros((4, 5)), -1e-3, 0.1, 1.0),
    "negative extension": (np.zeros((4, 5)), 0.1, -1e-3, 1.0),
    "one negative opening": (np.zeros((4, 5)), np.eye(4, 5)[::-1] - 1e-3, np.ones((4, 5)), 1.0),
    "one negative extension": (np.zeros((4, 5)), np.ones((4, 5)), np.eye(4, 5)[::-1] - 1e-3, 1.0),
    "infinite opening": (np.zeros((4, 5)), np.inf, 0.1, 1.0),
    "NaN opening": (np.zeros((4, 5)), np.full((4, 5), np.nan), np.zeros((4, 5)), 1.0),
    "NaN extension": (np.zeros((4, 5)), 0.1, np.nan, 1.0),
    "NaN": (np.where(np.eye(4, 5)[::-1], np.nan, 0.0), 0.1, 0.1, 1.0),
    "NaN and scales": (np.where(np.eye(90, 90)[::-1], np.nan, 1.0), 0.1, 0.1, 0.1),
    "infinity": (np.where(np.eye(4, 5)[::-1], np.inf, 0.0), 0.1, 0.1, 1.0),
    "no match": (np.full((4, 5), -np.inf), 0.1, 0.1, 1.0),
    "all very negative": (np.full((4, 5), -700.0), 1.0, 0.1, 1.0),
    "Z overflows": (np.full((4, 5), 300.0), 1.0, 0.1, 1.0),
    "one of 1e8": (np.full((1, 1), 1e8), 1.0, 0.1, 1.0),
    "Z overflows where scales cannot follow": (np.eye(40), 30.0, 0.1, 0.05),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    refused, _ = check(problem(*REFUSED[name]))
    assert refused[0]


@pytest.mark.parametrize("function", ["soft", "table", "table_gradient", "tangent", "tangent of table"])
def test_pairs_that_are_refused_are_the_log_domains(monkeypatch, function):
    """In a batch with others, whatever the linear domain left behind in the results."""
    p = ragged(70, 67, 0.1, per_cell=True)
    fields = (p.s, p.go, p.ge, p.seeds, *p.direction)
    s, go, ge, seeds, *direction = (np.concatenate([x, x, x]) for x in fields)
    ge[1, 40, 3], s[2] = -0.1, s[2] - 90.0  # both of full length
    given = (s, go, ge, p.t, np.tile(p.lengths, (3, 1)))
    name, *more = function.split()
    extra = {"soft": (), "table": (), "table_gradient": (seeds,), "tangent": (*direction, None)}[name]
    extra = (*direction, seeds) if more else extra
    checks = []
    found = []
    for linear in (True, False):
        monkeypatch.setattr(numba_kernels, "LINEAR_DOMAIN", linear)
        out = getattr(numba_kernels, name)(*given, *extra, 1, lambda: checks.append(1))
        found.append(out if isinstance(out, tuple) else (out,))
    for x, truth in zip(*found, strict=True):
        np.testing.assert_array_equal(x[1:3], truth[1:3])
        np.testing.assert_allclose(x, truth, rtol=1e-8, atol=1e-8)
    assert len(checks) == 2


@pytest.mark.parametrize("per_cell", [False, True], ids=["per pair", "per cell"])
@pytest.mark.parametrize("t", [0.05, 0.5])
def test_bands_that_are_computed_twice(t, per_cell):
    """What is kept of the bands of such a pair would exceed the workspace."""
    n, m = 900, 860
    rng = np.random.default_rng(0)
    s = rng.uniform(-1, 0.5, size=(n, m)) + np.eye(n, m)
    go, ge = (1.0, 0.3) if not per_cell else (rng.uniform(0.5, 1, size=(n, m)), np.full((n, m), 0.3))
    assert 4 * n * m > numba_linear.WORKSPACE
    refused, log_z = check(problem(s, go, ge, t))
    assert not refused[0]
    assert log_z[0] > 709


def test_the_transposed_table():
    """Rows come in bands and columns in blocks, and with t = 0.05 in rather many; the answer is the same."""
    s = np.random.default_rng(0).uniform(-1, 0.5, size=(900, 860)) + np.eye(900, 860)
    found, refused = in_the_linear_domain(problem(s, 1.0, 0.3, 0.05))
    transposed, also = in_the_linear_domain(problem(s.T, 1.0, 0.3, 0.05))
    assert not refused[0]
    assert not also[0]
    assert found["score"][0] == pytest.approx(transposed["score"][0], rel=1e-13)
    np.testing.assert_allclose(found["table"][0][0], transposed["table"][0][0].T, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found["posterior"][0][0], transposed["posterior"][0][0].T, atol=1e-11)
    np.testing.assert_allclose(found["gaps"], transposed["gaps"], rtol=1e-10)


@pytest.mark.parametrize("size", [1e-310, 1e-300, 1e-60, 1e60, 1e300])
@pytest.mark.parametrize("of", ["seeds", "direction", "similarity's direction"])
def test_derivatives_grow_with_seeds_and_directions(of, size):
    """One problem with scales; one without, since an opening costs too many bits, with a Z of 1e260."""
    s = np.random.default_rng(0).normal(size=(40, 60))
    for p in (problem(np.minimum(s, 1.0), 0.5, 0.1, 0.05), problem(1.5 + 0.03 * s, 50.0, 0.2, 0.1)):
        direction = [p.direction[0], *(x * (of == "direction") for x in p.direction[1:])]
        p = replace(p, direction=direction)
        factors = (1.0, size) if of == "seeds" else (size, 1.0)
        scaled = replace(p, direction=[factors[0] * x for x in direction], seeds=factors[1] * p.seeds)
        (once, refused), (found, also) = in_the_linear_domain(p), in_the_linear_domain(scaled)
        assert not refused[0]
        assert not also[0]
        for name, of_direction, of_seeds in (
            ("posterior", False, False),
            ("table gradient", False, True),
            ("tangent", True, False),
            ("table tangent", True, False),
            ("tangent of the table gradient", True, True),
        ):
            factor = (factors[0] if of_direction else 1.0) * (factors[1] if of_seeds else 1.0)
            for x, unscaled in zip(found[name], once[name], strict=True):
                np.testing.assert_allclose(x / factor, unscaled, rtol=0, atol=1e-10 / p.t, err_msg=name)


def test_posterior_of_forbidden_cells_is_0():
    s = np.random.default_rng(0).normal(size=(30, 20))
    s[7] = s[:, 3] = s[20, 11] = -np.inf
    found, refused = in_the_linear_domain(problem(s, 0.5, 0.1, 0.1))
    assert not refused[0]
    assert not found["posterior"][0][0][s == -np.inf].any()
    assert (found["table"][0][0] == -np.inf).tolist() == (s == -np.inf).tolist()


def clips(n, dimensions=32):
    """Cosines between the frames of two clips of one action, the second at another pace."""
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(size=(2 * n, dimensions)), axis=0)
    first = walk[::2] + rng.normal(size=(n, dimensions))
    second = walk[np.linspace(0, 2 * n - 1, n).astype(int) // 2 * 2] + rng.normal(size=(n, dimensions))
    first, second = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, second))
    return first @ second.T


@pytest.mark.parametrize(
    ("similarity", "t", "linear"),
    [
        ("cosine", 1.0, True),
        ("cosine", 0.1, True),
        ("cosine", 0.05, True),
        ("cosine", 0.01, False),
        ("normal", 1.0, True),
        ("normal", 0.1, True),
        ("normal", 0.03, False),
    ],
)
@pytest.mark.parametrize("n", [64, 240, 600])
def test_which_domain_a_pair_is_given_to(similarity, t, linear, n):
    """What the penalties 1 and 0.3 admit."""
    s = clips(n) if similarity == "cosine" else np.random.default_rng(0).normal(size=(n, n))
    p = problem(s, 1.0, 0.3, t)
    refused, out = np.zeros(1, dtype=bool), [np.zeros_like(x) for x in (p.s, p.go, p.ge)]
    numba_linear.linear_pairs(
        np.arange(1), p.s, p.go, p.ge, t, p.lengths, None, None, np.zeros(1), None, *out, refused
    )
    assert refused[0] != linear


def test_a_direction_of_zeros_at_a_tiny_temperature():
    s = np.tile([[0.0, -1.0], [-1.0, 0.0]], (2, 1, 1))
    s = torch.tensor(s, requires_grad=True)
    found = soft_smith_waterman(s, 1.0, 0.5, temperature=1e-8)
    (grad,) = torch.autograd.grad(found.posterior[0, 0, 0], s)  # of the second pair, nothing is asked
    assert grad.isfinite().all()
    assert (grad[1] == 0).all()
