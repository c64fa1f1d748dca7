import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from lacbook.losses.tcc import FORMS, TCCLoss, cycle_back_logits, tcc_loss


@pytest.fixture
def videos():
    torch.manual_seed(0)
    z_u = normalize(torch.randn(2, 6, 4, dtype=torch.float64), dim=-1)
    z_v = normalize(torch.randn(2, 5, 4, dtype=torch.float64), dim=-1)
    steps_u = torch.tensor([[3, 5, 6, 10, 11, 12], [1, 2, 4, 5, 99, 0]])
    steps_v = torch.tensor([[1, 2, 5, 7, 9], [20, 22, 23, 99, 0]])
    return z_u, z_v, steps_u, steps_v, torch.tensor([[6, 5], [4, 3]])


def literal(
    z_u, z_v, steps_u, steps_v, lengths, form="regression", tau=0.1, weight=0.001, smoothing=0.1, unit=None
):
    """The equations, a frame at a time; times in multiples of `unit` frames, or from 0 to 1 over a view."""

    def softmax(distances):
        e = np.exp([-d / tau for d in distances])
        return e / e.sum()

    total = 0.0
    for b, (n, m) in enumerate(lengths.tolist()):
        u, v = z_u[b, :n].numpy(), z_v[b, :m].numpy()
        for x, y, t in ((u, v, steps_u[b, :n].numpy()), (v, u, steps_v[b, :m].numpy())):
            t = t / unit if unit else (t - t[0]) / (t[-1] - t[0])
            for i in range(len(x)):
                alpha = softmax([sum((x[i] - y_j) ** 2) for y_j in y])
                neighbour = sum(a * y_j for a, y_j in zip(alpha, y, strict=True))
                beta = softmax([sum((neighbour - x_k) ** 2) for x_k in x])
                if form == "regression":
                    mu = sum(beta * t)
                    variance = sum(beta * (t - mu) ** 2) + (0 if unit else 1e-6)
                    total += (t[i] - mu) ** 2 / variance + weight * math.log(variance)
                else:
                    target = np.full(len(x), smoothing / len(x))
                    target[i] += 1 - smoothing
                    total -= sum(target * np.log(beta))
    return total / int(lengths.sum())


@pytest.mark.parametrize("form", FORMS)
def test_equals_the_literal_equations(videos, form):
    assert tcc_loss(*videos, form=form, tau=0.3).item() == pytest.approx(
        literal(*videos, form, 0.3), rel=1e-9
    )
    found = TCCLoss(form=form, tau=0.4, variance_weight=0.2, smoothing=0.3)(*videos)["loss"]
    assert found.item() == pytest.approx(literal(*videos, form, 0.4, 0.2, 0.3), rel=1e-9)


def test_the_unit_of_time_is_a_constant(videos):
    """In frames, or in seconds at 25 a second, the loss differs by 2 lambda log(scale) alone."""
    *_, steps_u, steps_v, lengths = videos
    found = tcc_loss(*videos, tau=0.3, variance_weight=0.1).item()
    for unit in (1, 25):
        constants = [
            n * math.log(int(s[n - 1] - s[0]) / unit)
            for steps, of_view in zip((steps_u, steps_v), lengths.T.tolist(), strict=True)
            for s, n in zip(steps, of_view, strict=True)
        ]
        expected = literal(*videos, tau=0.3, weight=0.1, unit=unit) - 0.2 * sum(constants) / int(
            lengths.sum()
        )
        assert found == pytest.approx(expected, rel=1e-4)  # but for what is added to sigma^2
    z_u, z_v, *_ = videos
    scaled = tcc_loss(z_u, z_v, 3 * steps_u + 7, 5 * steps_v, lengths, tau=0.3, variance_weight=0.1)
    assert scaled.item() == pytest.approx(found)


@pytest.mark.parametrize("form", FORMS)
def test_gradcheck_and_padding_never_read(videos, form):
    z_u, z_v, *rest = videos
    u, v = z_u.clone().requires_grad_(), z_v.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda u, v: tcc_loss(u, v, *rest, form=form, tau=0.5), (u, v))
    value = tcc_loss(u, v, *rest, form=form)
    value.backward()
    z_u[1, 4:], z_v[1, 3:] = torch.nan, torch.nan
    dirty_u, dirty_v = z_u.requires_grad_(), z_v.requires_grad_()
    again = tcc_loss(dirty_u, dirty_v, *rest, form=form)
    again.backward()
    assert again == value
    assert torch.equal(dirty_u.grad, u.grad)
    assert torch.equal(dirty_v.grad, v.grad)
    assert (dirty_u.grad[1, 4:] == 0).all()
    assert (dirty_v.grad[1, 3:] == 0).all()
    assert (dirty_u.grad[1, :4] != 0).any()


@pytest.mark.parametrize("form", FORMS)
def test_sharp_cycles_have_finite_losses_and_gradients(form):
    """Even where every cycle returns to one frame, the wrong one, with all the probability there is."""
    z = normalize(torch.eye(6), dim=-1)[None]
    steps, lengths = torch.arange(6)[None], torch.tensor([[6, 6]])
    for other in (z, z[:, :1].expand(-1, 6, -1)):
        x, y = z.clone().requires_grad_(), other.clone().requires_grad_()
        loss = tcc_loss(x, y, steps, steps, lengths, form=form, tau=0.005)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(x.grad).all()
        assert torch.isfinite(y.grad).all()
    perfect = tcc_loss(z, z, steps, steps, lengths, tau=0.005).item()
    assert perfect == pytest.approx(0.001 * math.log(1e-6))


def test_a_cycle_that_is_sure_of_the_wrong_frame_can_learn():
    """Where the loss is largest its gradient must not be cut off."""
    x = torch.eye(12)[None].requires_grad_()
    steps, lengths = torch.arange(12)[None], torch.tensor([[12, 12]])
    loss = tcc_loss(x, torch.eye(12)[None, :1].expand(-1, 12, -1), steps, steps, lengths)
    loss.backward()
    assert loss > 1e4
    assert x.grad.abs().max() > 1e-3 * loss


def test_a_view_of_one_frame():
    z = normalize(torch.randn(2, 3, 4), dim=-1)
    x, y = z[:, :1].clone().requires_grad_(), z.clone().requires_grad_()
    steps, lengths = torch.tensor([[0], [7]]), torch.tensor([[1, 3], [1, 1]])
    for form in FORMS:
        loss = tcc_loss(x, y, steps, torch.arange(3).expand(2, 3), lengths, form=form)
        gradients = torch.autograd.grad(loss, (x, y))
        assert all(torch.isfinite(value).all() for value in (loss, *gradients))


def test_classification_takes_logits_and_not_probabilities():
    """Perfect cycles cost nothing; with probabilities for logits they would cost log(e + 5) - 1 = 1.04."""
    z, steps = torch.eye(6)[None], torch.arange(6)[None]
    loss = tcc_loss(z, z, steps, steps, torch.tensor([[6, 6]]), form="classification", smoothing=0.0)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_cycle_goes_by_way_of_the_other_video():
    x, y = torch.eye(4)[None, :3], torch.eye(4)[None, [2, 3, 3]]  # only the last frame of x has a like in y
    beta = cycle_back_logits(x, y, torch.ones(1, 3).bool(), torch.ones(1, 3).bool()).softmax(2)[0]
    assert beta[2].tolist() == pytest.approx([0, 0, 1], abs=1e-4)
    assert beta[0].tolist() == pytest.approx(beta[1].tolist())


@pytest.mark.parametrize("form", FORMS)
def test_the_right_alignment_is_lower_than_a_wrong_one(form):
    """Cycles of frames on one curve, at two tempi, return; by way of frames all on one side they cannot."""
    t = torch.stack([torch.linspace(0, 1, 24), torch.linspace(0, 1, 24) ** 1.5])
    z = torch.stack([torch.cos(3 * t), torch.sin(3 * t)], 2)[:, None]
    steps, lengths = torch.arange(24)[None], torch.tensor([[24, 24]])
    right = tcc_loss(z[0], z[1], steps, steps, lengths, form=form)
    assert right < tcc_loss(z[0], z[1] * torch.tensor([1, -1]), steps, steps, lengths, form=form) - 0.5


def train(parameters, videos, iterations):
    """Adam on pairs of the eight `videos()` [8, 24, E], mated anew each time; the last loss."""
    steps, lengths = torch.arange(24).expand(4, -1), torch.full((4, 2), 24)
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    for _ in range(iterations):
        optimizer.zero_grad()
        z_u, z_v = normalize(videos(), dim=-1)[torch.randperm(8)].chunk(2)
        loss = tcc_loss(z_u, z_v, steps, steps, lengths)
        loss.backward()
        optimizer.step()
    return loss.item()


def test_training_free_embeddings_closes_the_cycles():
    """Which frames they then run through is left open: any one-to-one matching of two videos will do."""
    torch.manual_seed(0)
    free = torch.randn(8, 24, 16, requires_grad=True)
    assert train([free], lambda: free, 150) < 0.1
    z, valid = normalize(free.detach(), dim=-1), torch.ones(4, 24, dtype=torch.bool)
    returned = cycle_back_logits(z[:4], z[4:], valid, valid).argmax(2)
    assert ((returned - torch.arange(24)).abs() <= 1).double().mean() > 0.9


def test_training_an_encoder_aligns_warped_videos():
    """Of what the frames show, half runs with the action, half is noise: cycles close through the first."""
    torch.manual_seed(0)
    t = torch.linspace(0, 1, 24) ** torch.linspace(0.7, 1.4, 8)[torch.randperm(8), None]
    waves = 1.5 * t[:, :, None] * torch.arange(1, 5)
    frames = torch.cat([waves.cos(), waves.sin(), 0.5 * torch.randn(8, 24, 8)], dim=2)
    encoder = torch.nn.Linear(16, 8)

    def aligned():
        """Share of frames whose nearest neighbour in the video four further is within 5 % of the action."""
        with torch.no_grad():
            z = normalize(encoder(frames), dim=-1)
        nearest = (z[:4] @ z[4:].transpose(1, 2)).argmax(2)
        return ((t[4:].gather(1, nearest) - t[:4]).abs() < 0.05).double().mean()

    assert aligned() < 0.6
    train(encoder.parameters(), lambda: encoder(frames), 150)
    assert aligned() > 0.9


@pytest.mark.parametrize(
    ("name", "value"), [("form", "mse"), ("tau", 0.0), ("tau", math.nan), ("smoothing", 1.5)]
)
def test_errors_name_the_argument(videos, name, value):
    with pytest.raises(ValueError, match=f"^{name}: .*{value}"):
        TCCLoss(**{name: value})
    with pytest.raises(ValueError, match=f"^{name}: "):
        tcc_loss(*videos, **{name: value})
