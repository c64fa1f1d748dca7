import math

import pytest
import torch

from lacbook.losses.scl import gaussian_target, scl_loss


@pytest.fixture
def views():
    torch.manual_seed(0)
    z_u, z_v = torch.randn(2, 6, 8, dtype=torch.float64), torch.randn(2, 5, 8, dtype=torch.float64)
    steps_u = torch.tensor([[0, 2, 3, 7, 8, 9], [1, 2, 4, 5, 0, 0]])
    steps_v = torch.tensor([[1, 2, 5, 7, 9], [0, 2, 3, 0, 0]])
    return z_u, z_v, steps_u, steps_v, torch.tensor([[6, 5], [4, 3]])


def literal(z_u, z_v, steps_u, steps_v, lengths, variance=10.0, tau=0.1):
    """The equations, a frame at a time."""
    total = 0.0
    for b, (n, m) in enumerate(lengths.tolist()):
        u = [z / z.norm() for z in z_u[b, :n]]
        v = [z / z.norm() for z in z_v[b, :m]]
        s, r = steps_u[b, :n].tolist(), steps_v[b, :m].tolist()
        for xs, ys, ss, rs in ((u, v, s, r), (v, u, r, s)):
            for x, at in zip(xs, ss, strict=True):
                w = [math.exp(-((at - other) ** 2) / (2 * variance)) for other in rs]
                e = [math.exp(float(x @ y) / tau) for y in ys]
                for w_j, e_j in zip(w, e, strict=True):
                    p, q = w_j / sum(w), e_j / sum(e)
                    total += p * math.log(p / q)
    return total / int(lengths.sum())


def test_equals_the_literal_equations(views):
    assert scl_loss(*views).item() == pytest.approx(literal(*views), rel=1e-9)


def test_target_rows_sum_to_one_and_leave_padding_out(views):
    _, _, steps_u, steps_v, lengths = views
    valid_v = torch.arange(5) < lengths[:, 1:]
    target = gaussian_target(steps_u, steps_v, valid_v)
    assert torch.allclose(target.sum(2), torch.ones(2, 6))
    assert (target[1, :, 3:] == 0).all()


def test_padding_has_no_influence(views):
    z_u, z_v, steps_u, steps_v, lengths = views
    before = scl_loss(*views)
    z_u[1, 4:], z_v[1, 3:], steps_u[1, 4:] = 1e6, -1e6, 99
    assert scl_loss(z_u, z_v, steps_u, steps_v, lengths) == before


def test_padding_gets_no_gradient(views):
    z_u, z_v, *rest = views
    z_u.requires_grad_()
    scl_loss(z_u, z_v, *rest).backward()
    assert (z_u.grad[1, 4:] == 0).all()
    assert (z_u.grad[1, :4] != 0).any()


def test_gradcheck(views):
    z_u, z_v, *rest = views
    assert torch.autograd.gradcheck(
        lambda u, v: scl_loss(u, v, *rest), (z_u.requires_grad_(), z_v.requires_grad_())
    )


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
