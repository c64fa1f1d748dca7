import numpy as np
import pytest
import torch

from lacbook.alignment import soft_smith_waterman
from lacbook.losses.lac import GapPenalties, LACLoss, gap_counts, structured_loss, true_matches
from lacbook.losses.scl import scl_loss

STEPS_U = torch.tensor([[0, 1, 3, 4, 8, 9], [0, 2, 4, 6, 0, 0]])
STEPS_V = torch.tensor([[1, 2, 3, 8, 9], [1, 3, 5, 0, 0]])
LENGTHS = torch.tensor([[6, 5], [4, 3]])


def test_true_matches_are_the_common_frames():
    matches = true_matches(STEPS_U, STEPS_V, LENGTHS)
    assert matches[0].nonzero().tolist() == [[1, 0], [2, 2], [4, 3], [5, 4]]  # frames 1, 3, 8, 9
    assert not matches[1].any()  # padding repeats frame 0, which is no match


def test_gap_counts():
    # Frame 2 of v between matches 1 and 3; frame 4 of u between 3 and 8: two openings, nothing extended.
    openings, extensions = gap_counts(true_matches(STEPS_U, STEPS_V, LENGTHS))
    assert openings.tolist() == [2, 0]
    assert extensions.tolist() == [0, 0]
    matches = torch.zeros(1, 6, 8, dtype=torch.bool)
    matches[0, 0, 1] = matches[0, 4, 2] = matches[0, 5, 6] = True  # 3 rows skipped, then 3 columns
    openings, extensions = gap_counts(matches)
    assert (openings.item(), extensions.item()) == (2, 4)


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


def test_gradcheck():
    torch.manual_seed(0)
    matches = true_matches(STEPS_U, STEPS_V, LENGTHS)
    inputs = [
        torch.randn(2, 6, 5, dtype=torch.float64, requires_grad=True),
        torch.tensor(0.8, dtype=torch.float64, requires_grad=True),
        torch.tensor(0.2, dtype=torch.float64, requires_grad=True),
    ]
    assert torch.autograd.gradcheck(
        lambda s, go, ge: structured_loss(s, matches, LENGTHS, go, ge, 0.5), inputs
    )


def test_penalties_start_where_told_and_stay_positive():
    penalties = GapPenalties(1.0, 0.3)
    assert [p.item() for p in penalties()] == pytest.approx([1.0, 0.3])
    assert penalties.prior() == 0
    with torch.no_grad():
        penalties.raw -= 50
    assert all(p >= 0 for p in penalties())
    assert penalties.prior() > 0


def test_penalties_learn_what_the_sampler_drops():
    """Penalties fall when true alignments are full of gaps and rise when they have none."""
    torch.manual_seed(0)
    results = {}
    for name, drop in (("gaps", 4), ("no gaps", 1)):
        loss = LACLoss(weight=1.0, prior=0.0, gap_open=1.0, gap_extend=0.3)
        optimizer = torch.optim.Adam(loss.penalties.parameters(), lr=0.05)
        steps_u = torch.arange(24)[None]
        steps_v = steps_u[:, ::drop]
        z = torch.randn(1, 24, 32)
        lengths = torch.tensor([[24, steps_v.shape[1]]])
        for _ in range(40):
            optimizer.zero_grad()
            loss(z, z[:, ::drop], steps_u, steps_v, lengths)["loss"].backward()
            optimizer.step()
        results[name] = [p.item() for p in loss.penalties()]
    assert results["gaps"][0] < 1.0 <= results["no gaps"][0] + 1e-3
    assert results["gaps"][0] < results["no gaps"][0]


def test_parts_add_up():
    torch.manual_seed(0)
    z_u, z_v = torch.randn(2, 6, 8), torch.randn(2, 5, 8)
    loss = LACLoss(weight=0.2)
    parts = loss(z_u, z_v, STEPS_U, STEPS_V, LENGTHS)
    assert parts["contrast"] == scl_loss(z_u, z_v, STEPS_U, STEPS_V, LENGTHS)
    assert parts["loss"].item() == pytest.approx(parts["contrast"].item() + 0.2 * parts["local"].item())
    parts["loss"].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in loss.parameters())


def test_pairs_with_fewer_than_two_matches_give_no_local_term():
    z = torch.randn(1, 3, 8, requires_grad=True)
    parts = LACLoss()(z, z, torch.tensor([[0, 1, 2]]), torch.tensor([[2, 3, 4]]), torch.tensor([[3, 3]]))
    assert parts["local"] == 0
    parts["loss"].backward()
    assert torch.isfinite(z.grad).all()
