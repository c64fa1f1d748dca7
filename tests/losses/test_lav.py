import math

import pytest
import torch

from lacbook.losses.lav import LAVLoss, contrastive_idm, lav_loss


@pytest.fixture
def views():
    """Two videos that differ in length, and a shorter pair; steps with near and far pairs of frames."""
    torch.manual_seed(0)
    z_u, z_v = torch.randn(2, 6, 8, dtype=torch.float64), torch.randn(2, 5, 8, dtype=torch.float64)
    steps_u = torch.tensor([[0, 2, 5, 15, 18, 40], [7, 9, 17, 30, 0, 0]])
    steps_v = torch.tensor([[3, 8, 12, 13, 26], [0, 10, 21, 0, 0]])
    return z_u, z_v, steps_u, steps_v, torch.tensor([[6, 5], [4, 3]])


def literal(z_u, z_v, steps_u, steps_v, lengths, temperature=0.1, weight=0.5, window=10, margin=2.0):
    """The equations, a pair of frames at a time; loss, dtw, idm."""

    def d2(x, y):
        return float((x / x.norm() - y / y.norm()).square().sum())

    def idm(z, s):
        total = 0.0
        for i in range(len(s)):
            for j in range(len(s)):
                apart = (s[i] - s[j]) / (s[-1] - s[0])
                if abs(s[i] - s[j]) <= window:
                    total += d2(z[i], z[j])
                else:
                    total += (1 + apart**2) * max(0.0, margin - d2(z[i], z[j]))
        return total

    dtw_sum = idm_sum = 0.0
    for b, (n, m) in enumerate(lengths.tolist()):
        u, v = z_u[b, :n], z_v[b, :m]
        r = {}
        for i in range(n):
            for j in range(m):
                before = [r[c] for c in ((i, j - 1), (i - 1, j - 1), (i - 1, j)) if c in r]
                soft_min = -temperature * math.log(sum(math.exp(-x / temperature) for x in before or [0.0]))
                r[i, j] = d2(u[i], v[j]) + soft_min
        dtw_sum += r[n - 1, m - 1] / ((n + m) / 2)
        idm_sum += (
            (idm(u, steps_u[b, :n].tolist()) + idm(v, steps_v[b, :m].tolist()))
            / ((n + m) / 2)
            * 20
            / ((n + m) / 2)
        )
    dtw, idm_mean = dtw_sum / len(lengths), idm_sum / len(lengths)
    return dtw + weight * idm_mean, dtw, idm_mean


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "weight": 2.0, "window": 2, "margin": 1.5}])
def test_equals_the_literal_equations(views, options):
    parts = LAVLoss(**options)(*views)
    found = [parts[name].item() for name in ("loss", "dtw", "idm")]
    assert found == pytest.approx(literal(*views, **options), rel=1e-9)


def test_swapping_the_videos_changes_nothing(views):
    z_u, z_v, steps_u, steps_v, lengths = views
    swapped = lav_loss(z_v, z_u, steps_v, steps_u, lengths.flip(1))
    assert torch.allclose(swapped["loss"], lav_loss(*views)["loss"], rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_padding_is_not_read_and_gets_no_gradient(views, dtype):
    z_u, z_v, steps_u, steps_v, lengths = views
    short = [z_u[1:, :4].to(dtype).requires_grad_(), z_v[1:, :3].to(dtype).requires_grad_()]
    alone = lav_loss(*short, steps_u[1:, :4], steps_v[1:, :3], lengths[1:])["loss"]
    padded = [torch.full_like(z[1:], torch.nan, dtype=dtype) for z in (z_u, z_v)]
    for wide, z in zip(padded, short, strict=True):
        wide[:, : z.shape[1]] = z.detach()
        wide.requires_grad_()
    steps_u[1, 4:], steps_v[1, 3:] = 99, -99
    loss = lav_loss(*padded, steps_u[1:], steps_v[1:], lengths[1:])["loss"]
    assert loss.dtype == dtype
    assert torch.allclose(loss, alone)
    for z, wide in zip(short, padded, strict=True):
        (expected,) = torch.autograd.grad(alone, z, retain_graph=True)
        (gradient,) = torch.autograd.grad(loss, wide, retain_graph=True)
        assert torch.allclose(gradient[:, : z.shape[1]], expected, atol=1e-6)
        assert (gradient[:, z.shape[1] :] == 0).all()


def test_gradcheck(views):
    z_u, z_v, *rest = views
    assert torch.autograd.gradcheck(
        lambda u, v: lav_loss(u, v, *rest)["loss"], (z_u.requires_grad_(), z_v.requires_grad_())
    )


def test_right_order_costs_less_than_wrong(views):
    z_u, _, steps_u, _, lengths = views
    even = lengths[:, :1].expand(2, 2)[:1]
    right, wrong = (lav_loss(z_u[:1], z, steps_u[:1], steps_u[:1], even) for z in (z_u[:1], z_u[:1].flip(1)))
    assert right["dtw"] + 1 < wrong["dtw"]


def test_distant_frames_repel_up_to_the_margin_and_near_ones_attract():
    z, length = torch.eye(3)[None], torch.tensor([3])
    steps = torch.tensor([[0, 10, 21]])  # the first two are near
    assert contrastive_idm(z, steps, length).tolist() == pytest.approx([4.0])
    assert contrastive_idm(torch.ones(1, 3, 3), steps, length).tolist() == pytest.approx(
        [4 * (1 + (11 / 21) ** 2) + 8], rel=1e-5
    )


def test_a_single_frame_has_a_finite_loss_and_gradient():
    z_u, z_v = torch.randn(1, 1, 4, requires_grad=True), torch.randn(1, 3, 4)
    one = lav_loss(z_u, z_v, torch.tensor([[5]]), torch.tensor([[0, 4, 30]]), torch.tensor([[1, 3]]))
    one["loss"].backward()
    assert one["loss"].isfinite()
    assert z_u.grad.isfinite().all()


def train(z_u, z_v, **options):
    """Plain optimisation of free embeddings; 6 frames of video between those of a view."""
    steps = [torch.arange(z.shape[0])[None] * 6 for z in (z_u, z_v)]
    lengths = torch.tensor([[len(z_u), len(z_v)]])
    optimizer = torch.optim.Adam([z_u.requires_grad_(), z_v.requires_grad_()], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        lav_loss(z_u[None], z_v[None], *steps, lengths, **options)["loss"].backward()
        optimizer.step()


@pytest.mark.parametrize(("weight", "collapses"), [(0.0, True), (0.5, False)])
def test_soft_dtw_alone_collapses_and_the_idm_term_prevents_it(weight, collapses):
    torch.manual_seed(0)
    # All around one direction, as an untrained encoder's.
    z_u, z_v = (torch.randn(n, 16) * 0.5 for n in (20, 16))
    centre = torch.randn(16)
    z_u, z_v = z_u + centre, z_v + centre
    train(z_u, z_v, weight=weight)
    for z in (z_u, z_v):
        spread = (2 - 2 * torch.cosine_similarity(z[:, None], z[None], dim=-1)).mean()
        assert spread < 0.05 if collapses else spread > 1.5


def test_training_it_aligns_two_warped_videos():
    torch.manual_seed(3)
    times = torch.linspace(0, 1, 20), torch.linspace(0, 1, 16) ** 1.5
    bumps = (torch.exp(-(((t[:, None] - torch.linspace(0, 1, 32)) / 0.06) ** 2) / 2) for t in times)
    z_u, z_v = (torch.nn.functional.normalize(z, dim=1) + 0.3 * torch.randn(len(z), 32) for z in bumps)
    truth = (times[0][:, None] - times[1]).abs().argmin(1)

    def right():
        nearest = torch.cosine_similarity(z_u[:, None], z_v[None], dim=-1).argmax(1)
        return ((nearest - truth).abs() <= 1).float().mean()

    assert right() < 0.6
    train(z_u, z_v)
    assert right() > 0.8


def test_errors(views):
    with pytest.raises(ValueError, match="window is -1; expected at least 0"):
        lav_loss(*views, window=-1)
    with pytest.raises(ValueError, match="temperature"):
        lav_loss(*views, temperature=0.0)
