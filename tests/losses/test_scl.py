import math

import pytest
import torch

from lacbook.losses.scl import NEGATIVES, gaussian_target, scl_loss


@pytest.fixture
def views():
    torch.manual_seed(0)
    z_u, z_v = torch.randn(2, 6, 8, dtype=torch.float64), torch.randn(2, 5, 8, dtype=torch.float64)
    steps_u = torch.tensor([[0, 2, 3, 7, 8, 9], [1, 2, 4, 5, 0, 0]])
    steps_v = torch.tensor([[1, 2, 5, 7, 9], [0, 2, 3, 0, 0]])
    return z_u, z_v, steps_u, steps_v, torch.tensor([[6, 5], [4, 3]])


def literal(z_u, z_v, steps_u, steps_v, lengths, variance=10.0, tau=0.1, batch=False):
    """The equations, a frame at a time."""
    total = 0.0
    frames = [
        [z / z.norm() for b, n in enumerate(lengths[:, k].tolist()) for z in views[b, :n] if b == own]
        for own in range(len(z_u))
        for k, views in enumerate((z_u, z_v))
    ]
    for b, (n, m) in enumerate(lengths.tolist()):
        u = [z / z.norm() for z in z_u[b, :n]]
        v = [z / z.norm() for z in z_v[b, :m]]
        s, r = steps_u[b, :n].tolist(), steps_v[b, :m].tolist()
        others = [z for k, view in enumerate(frames) for z in view if k // 2 != b and batch]
        for xs, ys, ss, rs in ((u, v, s, r), (v, u, r, s)):
            for x, at in zip(xs, ss, strict=True):
                w = [math.exp(-((at - other) ** 2) / (2 * variance)) for other in rs]
                e = [math.exp(float(x @ y) / tau) for y in ys]
                negatives = sum(math.exp(float(x @ other) / tau) for other in others)
                for w_j, e_j in zip(w, e, strict=True):
                    p, q = w_j / sum(w), e_j / (sum(e) + negatives)
                    total += p * math.log(p / q)
    return total / int(lengths.sum())


def test_equals_the_literal_equations(views):
    assert scl_loss(*views).item() == pytest.approx(literal(*views), rel=1e-9)


def test_equals_the_literal_equations_with_other_videos_as_negatives(views):
    loss = scl_loss(*views, negatives="batch_noself")
    assert loss.item() == pytest.approx(literal(*views, batch=True), rel=1e-9)
    assert loss > scl_loss(*views)


def test_a_video_alone_has_no_other_videos(views):
    alone = [x[:1].requires_grad_(x.is_floating_point()) for x in views]
    values = {}
    for negatives in NEGATIVES:
        loss = scl_loss(*alone, negatives=negatives)
        values[negatives] = [loss, *torch.autograd.grad(loss, alone[:2])]
    for one, other in zip(*values.values(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_gradients(views, negatives):
    z_u, z_v, *rest = views
    inputs = z_u.requires_grad_(), z_v.requires_grad_()
    assert torch.autograd.gradcheck(lambda u, v: scl_loss(u, v, *rest, negatives=negatives), inputs)


def test_unknown_negatives_are_named(views):
    with pytest.raises(ValueError, match="negatives: 'all' is unknown; choose from single_noself"):
        scl_loss(*views, negatives="all")


def test_target_rows_sum_to_one_and_leave_padding_out(views):
    _, _, steps_u, steps_v, lengths = views
    valid_v = torch.arange(5) < lengths[:, 1:]
    target = gaussian_target(steps_u, steps_v, valid_v)
    assert torch.allclose(target.sum(2), torch.ones(2, 6))
    assert (target[1, :, 3:] == 0).all()


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_padding_has_no_influence(views, negatives):
    z_u, z_v, steps_u, steps_v, lengths = views
    before = scl_loss(*views, negatives=negatives)
    z_u[1, 4:], z_v[1, 3:], steps_u[1, 4:] = math.nan, -1e6, 99
    assert scl_loss(z_u, z_v, steps_u, steps_v, lengths, negatives=negatives) == before


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_padding_gets_no_gradient(views, negatives):
    z_u, z_v, *rest = views
    z_u[1, 4:] = math.nan
    z_u.requires_grad_()
    scl_loss(z_u, z_v, *rest, negatives=negatives).backward()
    assert (z_u.grad[1, 4:] == 0).all()
    assert (z_u.grad[1, :4] != 0).any()


def test_training_it_orders_the_frames():
    torch.manual_seed(0)
    z_u, z_v = torch.randn(1, 12, 16, requires_grad=True), torch.randn(1, 12, 16, requires_grad=True)
    steps, lengths = torch.arange(12)[None] * 4, torch.tensor([[12, 12]])
    optimizer = torch.optim.Adam([z_u, z_v], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        scl_loss(z_u, z_v, steps, steps, lengths).backward()
        optimizer.step()
    nearest = torch.cosine_similarity(z_u[0, :, None], z_v[0, None], dim=-1).argmax(1)
    assert (nearest - torch.arange(12)).abs().max() <= 1
