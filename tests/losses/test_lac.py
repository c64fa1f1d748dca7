import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from lacbook.alignment import soft_smith_waterman
from lacbook.alignment.enumeration import enumerate_alignments, expect
from lacbook.losses.gap_penalties import PENALTIES
from lacbook.losses.lac import (
    LACLoss,
    gap_cells,
    posterior_loss,
    structured_loss,
    true_matches,
    valid_cells,
)
from lacbook.losses.scl import scl_loss

OURS = ("structured", "posterior")  # the local terms; the released objective has tests of its own
STEPS_U = torch.tensor([[0, 1, 3, 4, 8, 9], [0, 2, 4, 6, 0, 0]])
STEPS_V = torch.tensor([[1, 2, 3, 8, 9], [1, 3, 5, 0, 0]])
LENGTHS = torch.tensor([[6, 5], [4, 3]])


def test_true_matches_are_the_common_frames():
    matches = true_matches(STEPS_U, STEPS_V, LENGTHS)
    assert matches[0].nonzero().tolist() == [[1, 0], [2, 2], [4, 3], [5, 4]]  # frames 1, 3, 8, 9
    assert not matches[1].any()  # padding repeats frame 0, which is no match


def test_gap_cells():
    # Frame 2 of v between matches 1 and 3; frame 4 of u between 3 and 8: two openings, nothing extended.
    opened, extended = gap_cells(true_matches(STEPS_U, STEPS_V, LENGTHS))
    assert opened.nonzero().tolist() == [[0, 1, 1], [0, 3, 2]]
    assert not extended.any()
    matches = torch.zeros(1, 6, 8, dtype=torch.bool)
    matches[0, 0, 1] = matches[0, 4, 2] = matches[0, 5, 6] = True  # 3 rows skipped, then 3 columns
    opened, extended = gap_cells(matches)
    assert opened[0].nonzero().tolist() == [[1, 1], [4, 3]]
    assert extended[0].nonzero().tolist() == [[2, 1], [3, 1], [4, 4], [4, 5]]


@pytest.mark.parametrize("shape", [(5, 5), (3, 6), (6, 3), (1, 4)])
def test_gap_cells_of_every_alignment_are_those_of_the_enumeration(shape):
    chains = list(enumerate_alignments(np.zeros(shape), 0.0, 0.0))
    tables = torch.zeros(3, len(chains) + 1, *shape, dtype=torch.bool)  # the last one has no match
    for b, chain in enumerate(chains):
        for table, cells in zip(tables, (chain.path, chain.opened, chain.extended), strict=True):
            for cell in cells:
                table[(b, *cell)] = True
    opened, extended = gap_cells(tables[0])
    assert torch.equal(opened, tables[1])
    assert torch.equal(extended, tables[2])


def test_true_score_is_reached_by_the_recursion_when_nothing_else_can_align():
    """With every other cell forbidden, V at a low temperature is F: the two agree on what gaps cost."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        u, v = (np.sort(rng.choice(14, size=9, replace=False)) for _ in range(2))
        matches = true_matches(torch.tensor(u)[None], torch.tensor(v)[None], torch.tensor([[9, 9]]))
        similarity = torch.where(matches, 5.0, -torch.inf).double()
        go, ge = torch.tensor(0.7, dtype=torch.float64), torch.tensor(0.2, dtype=torch.float64)
        loss = structured_loss(similarity, matches, torch.tensor([[9, 9]]), go, ge, temperature=0.01)
        assert loss.item() == pytest.approx(0, abs=1e-6)


def test_never_negative_and_gradient_is_soft_minus_true_alignment():
    torch.manual_seed(0)
    similarity = torch.randn(2, 6, 5, dtype=torch.float64, requires_grad=True)
    matches = true_matches(STEPS_U, STEPS_V, LENGTHS)
    go, ge, t = torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64), 0.5
    loss = structured_loss(similarity, matches, LENGTHS, go, ge, t)
    assert loss >= 0
    loss.backward()
    posterior = soft_smith_waterman(similarity.detach(), go, ge, temperature=t, lengths=LENGTHS).posterior
    # The second pair has no true match and is left out.
    assert torch.allclose(similarity.grad[0], (posterior[0] - matches[0].double()) / (t * 4))
    assert (similarity.grad[1] == 0).all()


class TestTiny:
    """Both local terms on tables small enough to list every alignment."""

    # In the first pair frame 0 of u lies before v; in the second frame 7 of v lies after u.
    STEPS_U = torch.tensor([[0, 2, 3, 6], [0, 3, 4, 0]])
    STEPS_V = torch.tensor([[1, 2, 4, 5, 6], [0, 1, 4, 7, 0]])
    LENGTHS = torch.tensor([[4, 5], [3, 4]])
    VALID = valid_cells(LENGTHS, 4, 5)
    T = 0.5
    SHAPES = ((), (2,), (4, 5), (2, 4, 5))

    @pytest.fixture(params=SHAPES, ids=str)
    def problem(self, request):
        """Similarity and penalties, of one shape and of the next in `SHAPES`; NaN where padding has cells."""
        rng = np.random.default_rng(0)
        k = self.SHAPES.index(request.param)
        tables = [torch.tensor(rng.normal(size=(2, 4, 5)))]
        tables += [torch.tensor(rng.uniform(0.1, 1, self.SHAPES[(k + n) % 4])) for n in range(2)]
        return [torch.where(self.VALID, table, torch.nan) if table.dim() == 3 else table for table in tables]

    def pairs(self, problem):
        """The valid part of each pair's similarity, gap_open and gap_extend, one number a cell."""
        for b, (n, m) in enumerate(self.LENGTHS.tolist()):
            yield [
                (x[:, None, None] if x.dim() == 1 else x).expand(2, 4, 5)[b, :n, :m].numpy() for x in problem
            ]

    def structured(self, similarity, gap_open, gap_extend):
        matches = true_matches(self.STEPS_U, self.STEPS_V, self.LENGTHS)
        return structured_loss(similarity, matches, self.LENGTHS, gap_open, gap_extend, self.T)

    def posterior(self, similarity, gap_open, gap_extend):
        steps = (self.STEPS_U, self.STEPS_V, self.LENGTHS)
        return posterior_loss(similarity, *steps, gap_open, gap_extend, self.T, variance=4.0)

    def slow_structured(self, problem):
        """Minus log p(A*) per match, from the list of all alignments."""
        losses = []
        for tables, truth in zip(self.pairs(problem), ([(1, 1), (3, 4)], [(0, 0), (2, 2)]), strict=True):
            found = list(enumerate_alignments(*tables))
            total = sum(np.exp(a.score / self.T) for a in found)
            (score,) = (a.score for a in found if list(a.path) == truth)
            losses.append(-np.log(np.exp(score / self.T) / total) / len(truth))
        return np.mean(losses)

    def slow_posterior(self, problem, weights=None):
        """The definition in loops, and the weight of every frame; `weights` takes the place of the latter."""
        losses, masses = [], []
        for b, tables in enumerate(self.pairs(problem)):
            table = expect(*tables, self.T).posterior
            u, v = (
                steps[b, :n].numpy()
                for steps, n in zip((self.STEPS_U, self.STEPS_V), table.shape, strict=True)
            )
            for rows, own, other in ((table, u, v), (table.T, v, u)):
                weighted = []
                for row, step in zip(rows, own, strict=True):
                    if other[0] <= step <= other[-1]:
                        target = np.exp(-((step - other) ** 2) / (2 * 4.0))
                        cross_entropy = -(target / target.sum() * np.log(row / row.sum())).sum()
                        weight = row.sum() if weights is None else weights[len(masses)]
                        weighted.append((weight, weight * cross_entropy))
                        masses.append(weight)
                total, loss = np.sum(weighted, axis=0)
                losses.append(loss / (total + 1e-8))
        assert len(masses) == 3 + 5 + 3 + 3
        return np.mean(losses), masses

    def test_structured_loss_is_the_negative_log_likelihood(self, problem):
        assert self.structured(*problem).item() == pytest.approx(self.slow_structured(problem))

    def test_posterior_loss_is_its_definition(self, problem):
        assert self.posterior(*problem).item() == pytest.approx(self.slow_posterior(problem)[0])

    def test_structured_gradients(self, problem):
        """With NaN in padding left out, which has tests of its own and no finite differences."""
        inputs = [x.nan_to_num().requires_grad_() for x in problem]
        assert gradcheck(self.structured, inputs)

    def test_posterior_gradients_are_those_of_the_definition_at_constant_weights(self, problem):
        inputs = [x.clone().requires_grad_() for x in problem]
        self.posterior(*inputs).backward()
        weights = self.slow_posterior(problem)[1]
        for k, x in enumerate(problem):
            for cell in np.ndindex(x.shape):
                if x[cell].isnan():
                    continue
                ends = []
                for step in (1e-5, -1e-5):
                    moved = [other.clone() for other in problem]
                    moved[k][cell] += step
                    ends.append(self.slow_posterior(moved, weights)[0])
                assert inputs[k].grad[cell].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-7)

    @pytest.mark.parametrize("loss", OURS)
    def test_padding_has_no_gradient(self, problem, loss):
        inputs = [x.clone().requires_grad_() for x in problem]
        getattr(self, loss)(*inputs).backward()
        for x in inputs:
            assert torch.isfinite(x.grad).all()
            assert (x.grad != 0).any()
            if x.dim() == 3:
                assert (x.grad[~self.VALID] == 0).all()


def posterior_loss_of(similarity, steps_u, steps_v, lengths=None, **options):
    """`posterior_loss` with the usual penalties, of pairs without padding unless told."""
    if lengths is None:
        lengths = torch.tensor([similarity.shape[1:]] * len(similarity))
    penalties = (torch.tensor(0.2), torch.tensor(0.1))
    return posterior_loss(similarity, steps_u, steps_v, lengths, *penalties, temperature=0.1, **options)


def test_descending_the_posterior_loss_moves_the_alignment_into_place():
    steps_u, steps_v = torch.tensor([[2, 3, 4, 6, 7]]), torch.tensor([[0, 2, 3, 4, 5, 6]])
    torch.manual_seed(0)
    similarity = (0.3 * torch.randn(1, 5, 6)).requires_grad_()
    optimizer = torch.optim.Adam([similarity], lr=0.03)
    for _ in range(150):
        optimizer.zero_grad()
        posterior_loss_of(similarity, steps_u, steps_v, variance=0.2).backward()
        optimizer.step()
    posterior = soft_smith_waterman(similarity.detach(), 0.2, 0.1, temperature=0.1).posterior[0]
    assert posterior[:4].argmax(1).tolist() == [1, 2, 3, 5]  # frame 7 of u lies past the end of v
    assert posterior[:4].sum() > 2


@pytest.mark.parametrize("elsewhere", [-5.0, -10.0, -30.0])
def test_a_right_cell_learns_from_however_small_a_probability(elsewhere):
    """1e-20, and 1e-90 and 1e-270, which float32 cannot hold."""
    similarity = torch.full((1, 2, 8), elsewhere)
    similarity[0, 0, 6] = similarity[0, 1, 7] = 1.0
    similarity.requires_grad_()
    loss = posterior_loss_of(similarity, torch.tensor([[0, 1]]), torch.arange(8)[None], variance=0.2)
    loss.backward()
    wide = similarity.detach().double()
    posterior = soft_smith_waterman(wide, 0.2, 0.1, temperature=0.1).posterior[0]
    assert 0 < posterior[0, 0] < 1e-20
    assert similarity.grad[0, 0, 0] < -0.1
    assert loss.dtype == similarity.grad.dtype == torch.float32


@pytest.mark.parametrize("temperature", [0.03, 0.1])
def test_posterior_loss_in_float32_is_that_in_float64(temperature):
    steps = torch.arange(40)[None]
    smooth = 0.5 - 1.5 * torch.tanh((steps[:, :, None] - steps[:, None, :]).abs() / 6)
    results = []
    for dtype in (torch.float32, torch.float64):
        s = smooth.to(dtype, copy=True).requires_grad_()
        loss = posterior_loss(
            s, steps, steps, torch.tensor([[40, 40]]), torch.tensor(0.4), torch.tensor(0.2), temperature
        )
        loss.backward()
        results.append((loss.detach().double(), s.grad.double()))
    for narrow, wide in zip(*results, strict=True):
        torch.testing.assert_close(narrow, wide, rtol=1e-4, atol=1e-5 * wide.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_structured_loss_of_half_precision_is_never_negative(dtype):
    """Both of its terms are added up in float32; in half precision their difference would be noise."""
    matches, lengths = torch.eye(48).bool()[None], torch.tensor([[48, 48]])
    similarity = torch.where(matches, 0.4971, -0.6).to(dtype)
    loss = structured_loss(similarity, matches, lengths, torch.tensor(0.4), torch.tensor(0.2), 0.03)
    assert loss.dtype == torch.float32
    assert 0 <= loss < 0.01


def test_pairs_that_share_no_time_have_no_posterior_loss():
    torch.manual_seed(0)
    similarity = torch.randn(2, 3, 3, requires_grad=True)
    steps_u, steps_v = torch.tensor([[0, 1, 2], [0, 1, 2]]), torch.tensor([[1, 2, 3], [3, 4, 5]])
    both = posterior_loss_of(similarity, steps_u, steps_v)
    both.backward()
    assert (similarity.grad[1] == 0).all()
    assert (similarity.grad[0] != 0).any()
    assert both == posterior_loss_of(similarity[:1], steps_u[:1], steps_v[:1])
    similarity.grad = None
    none = posterior_loss_of(similarity[1:], steps_u[1:], steps_v[1:])
    none.backward()
    assert none == 0
    assert (similarity.grad == 0).all()
    # Padding, whose steps are 0, shares no time with v either.
    steps_u[1], steps_v[1] = torch.tensor([7, 8, 0]), torch.tensor([0, 1, 2])
    padded = posterior_loss_of(similarity, steps_u, steps_v, torch.tensor([[3, 3], [2, 3]]))
    assert padded == both


def test_one_direction_may_have_frames_in_range_and_the_other_none():
    similarity = torch.eye(2)[None]
    steps_u, steps_v = torch.tensor([[0, 9]]), torch.tensor([[4, 5]])
    forth = posterior_loss_of(similarity, steps_u, steps_v)
    assert forth.item() == pytest.approx(posterior_loss_of(similarity, steps_v, steps_u).item())
    # Two columns and a target of about one half each: at least log 2, and half of that if averaged with 0.
    assert forth > 0.6


def train(loss, z, dropped, steps=40):
    """Train the penalties alone on a view and the same view without some of its frames."""
    optimizer = torch.optim.Adam(loss.penalties.parameters(), lr=0.05)
    kept = [k for k in range(z.shape[1]) if k not in dropped]
    steps_u = torch.arange(z.shape[1])[None]
    lengths = torch.tensor([[z.shape[1], len(kept)]])
    for _ in range(steps):
        optimizer.zero_grad()
        parts = loss(z, z[:, kept], steps_u, steps_u[:, kept], lengths)
        parts["loss"].backward()
        assert all(torch.isfinite(p.grad).all() for p in loss.penalties.parameters())
        optimizer.step()
    opened, _ = gap_cells(true_matches(steps_u, steps_u[:, kept], lengths))
    return loss.penalties(z, z[:, kept])[0].expand(opened.shape)[opened]


@pytest.mark.parametrize("kind", PENALTIES)
def test_penalties_learn_what_the_sampler_drops(kind):
    """Penalties fall when true alignments are full of gaps and rise when they have none."""
    torch.manual_seed(0)
    z = torch.randn(1, 24, 32)
    options = {"weight": 1.0, "prior": 0.0, "gap_open": 1.0, "gap_extend": 0.3, "embedding_dim": 32}
    gaps = train(LACLoss(penalties=kind, **options), z, [k for k in range(24) if k % 4])
    assert len(gaps) == 5
    assert (gaps < 0.9).all()
    without = LACLoss(penalties=kind, **options)
    train(without, z, [])
    assert without.penalties(z, z)[0].mean() > 1.0 - 1e-3


def test_content_penalties_learn_which_frames_get_skipped():
    """Frames of one kind are always missing in the other view, frames of another kind never."""
    torch.manual_seed(0)
    idle, busy = torch.randn(2, 8)
    is_idle = torch.arange(15) % 5 < 2
    z = 0.4 * torch.randn(1, 15, 8) + torch.where(is_idle[:, None], idle, busy)
    loss = LACLoss(penalties="content", weight=1.0, gap_open=2.0, embedding_dim=8)
    train(loss, z, is_idle.nonzero().flatten().tolist())
    beside_busy = loss.penalties(z, z)[0][0, ~is_idle]
    assert beside_busy[:, is_idle].mean() < 0.8 * beside_busy[:, ~is_idle].mean()


@pytest.mark.parametrize("local", OURS)
@pytest.mark.parametrize("kind", PENALTIES)
class TestEveryForm:
    @pytest.fixture
    def loss(self, kind, local):
        """A loss whose penalties have left their start."""
        torch.manual_seed(0)
        options = {
            "weight": 0.2,
            "temperature": 0.2,
            "margin": 0.4,
            "variance": 4.0,
            "tau": 0.2,
            "prior": 0.1,
        }
        options |= {"prior": 0.1, "view_length": 6, "embedding_dim": 8}
        loss = LACLoss(local=local, penalties=kind, **options)
        with torch.no_grad():
            for parameter in loss.penalties.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        return loss

    def test_parts_add_up(self, loss, local):
        z_u, z_v = torch.randn(2, 6, 8), torch.randn(2, 5, 8)
        parts = loss(z_u, z_v, STEPS_U, STEPS_V, LENGTHS)
        valid = valid_cells(LENGTHS, 6, 5)
        similarity = torch.nn.functional.cosine_similarity(z_u[:, :, None], z_v[:, None], dim=-1) - 0.4
        penalties = loss.penalties(z_u, z_v)
        if local == "structured":
            matches = true_matches(STEPS_U, STEPS_V, LENGTHS)
            expected = structured_loss(similarity, matches, LENGTHS, *penalties, 0.2)
        else:
            expected = posterior_loss(similarity, STEPS_U, STEPS_V, LENGTHS, *penalties, 0.2, 4.0)
        prior = loss.penalties.prior(z_u, z_v, valid=valid)
        assert prior > 0.01
        contrast = scl_loss(z_u, z_v, STEPS_U, STEPS_V, LENGTHS, variance=4.0, tau=0.2)
        for name, value in (("contrast", contrast), ("local", expected)):
            assert parts[name].item() == pytest.approx(value.item(), rel=1e-4)
        total = contrast + 0.2 * expected + 0.1 * prior
        assert parts["loss"].item() == pytest.approx(total.item(), rel=1e-4)
        for name, penalty in zip(("gap_open", "gap_extend"), penalties, strict=True):
            cells = penalty.expand(2, 6, 5)
            mean = (cells[0, :6, :5].sum() + cells[1, :4, :3].sum()) / (6 * 5 + 4 * 3)
            assert parts[name].item() == pytest.approx(mean.item(), rel=1e-5)
        assert parts["margin"].item() == pytest.approx(0.4)

    def test_every_parameter_gets_a_gradient_and_padding_is_not_read(self, loss):
        """Padding that is NaN changes neither the loss nor a gradient."""
        found = []
        for padding in (0.0, torch.nan):
            torch.manual_seed(1)
            z = [torch.randn(2, size, 8) for size in (6, 5)]
            z[0][1, 4:] = z[1][1, 3:] = padding
            z = [x.requires_grad_() for x in z]
            loss.zero_grad()
            parts = loss(*z, STEPS_U, STEPS_V, LENGTHS)
            parts["loss"].backward()
            gradients = [x.grad for x in (*z, *loss.parameters())]
            assert all(torch.isfinite(g).all() and (g != 0).any() for g in gradients)
            found.append([parts["loss"].detach(), *gradients])
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))

    def test_embeddings_learn(self, loss):
        """Embeddings of two views, learned freely, come to say which frames are the same moment."""
        z = torch.randn(2, 1, 6, 8, requires_grad=True)
        steps = (torch.tensor([[0, 1, 2, 5, 7, 8]]), torch.tensor([[1, 2, 3, 5, 6, 8]]))
        optimizer = torch.optim.Adam([z, *loss.parameters()], lr=0.03)
        rows = []
        for _ in range(40):
            optimizer.zero_grad()
            parts = loss(*z, *steps, torch.tensor([[6, 6]]))
            parts["loss"].backward()
            optimizer.step()
            rows.append({name: value.item() for name, value in parts.items()})
        for name in ("loss", "contrast", "local"):
            assert rows[-1][name] < 0.9 * rows[0][name]


def test_pairs_with_fewer_than_two_matches_give_no_local_term():
    z = torch.randn(1, 3, 8, requires_grad=True)
    parts = LACLoss()(z, z, torch.tensor([[0, 1, 2]]), torch.tensor([[2, 3, 4]]), torch.tensor([[3, 3]]))
    assert parts["local"] == 0
    parts["loss"].backward()
    assert torch.isfinite(z.grad).all()


def test_views_longer_than_the_matrix_are_refused():
    z, steps = torch.randn(1, 7, 8), torch.arange(7)[None]
    with pytest.raises(ValueError, match="7 and 7 frames; expected at most 6"):
        LACLoss(penalties="matrix", view_length=6)(z, z, steps, steps, torch.tensor([[7, 7]]))


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="local: 'nope' is unknown; choose from structured, posterior"):
        LACLoss(local="nope")
    with pytest.raises(ValueError, match="penalties: 'nope' is unknown; choose from scalar, matrix, content"):
        LACLoss(penalties="nope")
