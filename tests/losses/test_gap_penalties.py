import pytest
import torch
from torch.nn.functional import softplus

from lacbook.align import committed_checkpoint
from lacbook.losses.gap_penalties import (
    PENALTIES,
    ContentPenalties,
    MatrixPenalties,
    ScalarPenalties,
    mean_over_cells,
    penalties_of_kind,
)
from lacbook.train import load_run

START = (1.0, 0.3)


@pytest.fixture
def views():
    """Embeddings of two pairs of views."""
    torch.manual_seed(0)
    return torch.randn(2, 5, 8), torch.randn(2, 4, 8)


def make(kind):
    return penalties_of_kind(kind, *START, view_length=6, embedding_dim=8)


def unsettle(penalties):
    """Move every parameter away from where it began."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in penalties.parameters():
            parameter.add_(torch.randn_like(parameter))
    return penalties


@pytest.mark.parametrize(("kind", "shape"), [("scalar", ()), ("matrix", (5, 4)), ("content", (2, 5, 4))])
def test_penalties_start_where_told(views, kind, shape):
    penalties = make(kind)
    for found, start in zip(penalties(*views), START, strict=True):
        assert found.shape == shape
        assert torch.allclose(found, torch.tensor(start))
    assert penalties.prior(*views, valid=torch.ones(2, 5, 4, dtype=torch.bool)) == 0


@pytest.mark.parametrize("kind", PENALTIES)
def test_penalties_stay_positive_and_the_prior_notices(views, kind):
    penalties = make(kind)
    with torch.no_grad():
        list(penalties.parameters())[-1].sub_(5)  # the bias of the network, or the numbers themselves
    assert all((p > 0).all() and (p < 0.3).all() for p in penalties(*views))
    assert penalties.prior(*views, valid=torch.ones(2, 5, 4, dtype=torch.bool)) > 1


def test_scalars_need_no_views_and_ignore_them(views):
    penalties = unsettle(ScalarPenalties(*START))
    assert penalties() == penalties(*views) == penalties.of_videos(*views)
    assert penalties()[0] != penalties()[1]
    assert penalties.prior() == penalties.prior(*views, valid=torch.ones(2, 5, 4, dtype=torch.bool))


def test_scalars_are_still_read_from_the_committed_checkpoint():
    _, learner = load_run(committed_checkpoint())
    assert set(learner.loss.penalties.state_dict()) == {"raw", "start"}
    assert learner.loss.penalties.prior() > 0


def test_the_prior_is_a_mean_over_valid_cells(views):
    penalties = MatrixPenalties(6, *START)
    valid = torch.zeros(2, 5, 4, dtype=torch.bool)
    valid[0, :3, :2] = valid[1, :2, :4] = True
    with torch.no_grad():
        penalties.shift[:, :2, :2] = torch.tensor([0.5, 0.1])[:, None, None]
        penalties.shift[:, 3:] = torch.nan  # nowhere valid
    # 8 of the 14 valid cells are moved, each by 0.5 and 0.1.
    assert penalties.prior(*views, valid=valid).item() == pytest.approx(8 / 14 * (0.25 + 0.01))


def test_mean_over_cells_does_not_read_the_others():
    valid = torch.tensor([[[True, True], [False, False]], [[True, False], [True, False]]])
    per_pair = torch.tensor([[[1.0, 2.0], [torch.nan, torch.nan]], [[3.0, torch.nan], [6.0, torch.nan]]])
    assert mean_over_cells(per_pair, valid) == 3
    shared = torch.tensor([[1.0, 2.0], [3.0, torch.nan]])
    assert mean_over_cells(shared, valid) == (1 + 2 + 1 + 3) / 4
    assert mean_over_cells(torch.tensor(7.0), valid) == 7


def test_matrix_penalties_go_by_position(views):
    penalties = unsettle(MatrixPenalties(6, *START))
    gap_open, gap_extend = penalties(*views)
    assert torch.equal(gap_open, softplus(penalties.shift[0] + penalties.start[0])[:5, :4])
    assert torch.equal(gap_extend, softplus(penalties.shift[1] + penalties.start[1])[:5, :4])
    (gap_open.sum() + gap_extend.sum()).backward()
    assert (penalties.shift.grad[:, :5, :4] != 0).all()
    assert (penalties.shift.grad[:, 5:] == 0).all()
    assert (penalties.shift.grad[:, :, 4:] == 0).all()


def test_weight_decay_does_not_move_a_matrix_off_its_start(views):
    penalties = MatrixPenalties(6, *START)
    optimizer = torch.optim.Adam(penalties.parameters(), lr=0.1, weight_decay=1e-5)
    for _ in range(20):
        optimizer.zero_grad()
        penalties(*views)[0][0, 0].backward()  # only this cell is pushed
        optimizer.step()
    gap_open, gap_extend = penalties(*views)
    assert gap_open[0, 0] < 0.5
    assert torch.allclose(gap_open.flatten()[1:], torch.tensor(START[0]))
    assert torch.allclose(gap_extend, torch.tensor(START[1]))


@pytest.mark.parametrize("sizes", [(7, 4), (4, 7)])
def test_views_longer_than_the_matrix_are_refused(sizes):
    with pytest.raises(ValueError, match=f"{sizes[0]} and {sizes[1]} frames; expected at most 6"):
        MatrixPenalties(6)(*(torch.zeros(1, size, 8) for size in sizes))


def test_whole_videos_get_the_mean_of_a_matrix():
    penalties = unsettle(MatrixPenalties(6, *START))
    whole = penalties(torch.zeros(6, 8), torch.zeros(6, 8))
    for found, matrix in zip(penalties.of_videos(torch.zeros(90, 8), torch.zeros(50, 8)), whole, strict=True):
        assert found.shape == ()
        assert found.item() == pytest.approx(matrix.mean().item())


def test_content_penalties_add_what_the_two_frames_say(views):
    penalties = unsettle(ContentPenalties(8, *START))
    u, v = (z / z.norm(dim=-1, keepdim=True) for z in views)
    found = penalties(*views)
    for k in range(2):
        for b, i, j in [(0, 0, 0), (0, 4, 3), (1, 2, 1)]:
            h_u, h_v = (penalties.head(8**0.5 * x)[k] for x in (u[b, i], v[b, j]))
            raw = h_u + h_v + penalties.start[k]
            assert found[k][b, i, j].item() == pytest.approx(softplus(raw).item(), rel=1e-5)
    assert found[0].std() > 0.05


def test_swapping_the_views_transposes_content_penalties(views):
    penalties = unsettle(ContentPenalties(8, *START))
    for forth, back in zip(penalties(*views), penalties(*reversed(views)), strict=True):
        assert torch.allclose(forth, back.transpose(1, 2))


def test_content_penalties_ignore_the_length_of_embeddings(views):
    penalties = unsettle(ContentPenalties(8, *START))
    for found, scaled in zip(penalties(*views), penalties(views[0] * 7, views[1] / 3), strict=True):
        assert torch.allclose(found, scaled, atol=1e-6)


def test_content_penalties_teach_the_encoder(views):
    views = [z.requires_grad_() for z in views]
    for penalty in unsettle(ContentPenalties(8, *START))(*views):
        for gradient in torch.autograd.grad(penalty.sum(), views, retain_graph=True):
            assert (gradient != 0).all()


def test_whole_videos_get_content_penalties_of_their_own(views):
    penalties = unsettle(ContentPenalties(8, *START))
    for found, batched in zip(penalties.of_videos(views[0][1], views[1][1]), penalties(*views), strict=True):
        assert torch.allclose(found, batched[1])


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="penalties: 'nope' is unknown; choose from scalar, matrix, content"):
        make("nope")
