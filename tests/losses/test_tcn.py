import math

import pytest
import torch
from torch.nn.functional import normalize

from lacbook.losses.tcn import (
    FORMS,
    TCNLoss,
    draw_pairs,
    draw_triplets,
    n_pairs_loss,
    tcn_loss,
    triplet_loss,
)

LENGTHS = torch.tensor([40, 33, 12])


@pytest.fixture
def views():
    """Three views, of 40, 33 and 12 frames; the last spans too little for a triplet."""
    torch.manual_seed(0)
    z = normalize(torch.randn(3, 40, 4, dtype=torch.float64), dim=-1)
    steps = torch.full((3, 40), 7)  # a frame that padding must not lend to anyone
    for b, n in enumerate(LENGTHS.tolist()):
        steps[b, :n] = torch.randperm(n * 5 // 4)[:n].sort().values
    return z, steps, LENGTHS


def literal_n_pairs(z, steps, anchors, positives, tau, window):
    """An anchor at a time; also how many other anchors' positives were too near to be negatives."""
    losses, too_near = [], 0
    for zb, sb, ab, pb in zip(z, steps.tolist(), anchors.tolist(), positives.tolist(), strict=True):
        chosen = [i for i, is_anchor in enumerate(ab) if is_anchor]
        for i in chosen:
            e = {k: math.exp(float(zb[i] @ zb[pb[k]]) / tau) for k in chosen}
            kept = [k for k in chosen if k == i or abs(sb[i] - sb[pb[k]]) > window]
            too_near += len(chosen) - len(kept)
            losses.append(-math.log(e[i] / sum(e[k] for k in kept)))
    return sum(losses) / len(losses), too_near


def literal_triplets(z, anchors, positives, negatives, margin):
    terms = []
    for b, i in anchors.nonzero().tolist():
        near, far = (math.dist(z[b, i].tolist(), z[b, j[b, i]].tolist()) for j in (positives, negatives))
        terms.append(max(0.0, near - far + margin))
    return sum(terms) / len(terms)


def test_n_pairs_equal_the_literal_equations(views):
    z, steps, lengths = views
    anchors, positives = draw_pairs(steps, lengths, 3)
    expected, too_near = literal_n_pairs(z, steps, anchors, positives, 0.2, 3)
    assert too_near > 5
    assert n_pairs_loss(z, steps, anchors, positives, tau=0.2, window=3).item() == pytest.approx(expected)


def test_triplets_equal_the_literal_equations(views):
    z, steps, lengths = views
    draw = draw_triplets(steps, lengths, 4, 20)
    # torch adds 1e-6 to each difference.
    assert triplet_loss(z, *draw, margin=0.3).item() == pytest.approx(
        literal_triplets(z, *draw, 0.3), rel=1e-4
    )


@pytest.mark.parametrize("form", FORMS)
def test_loss_is_that_of_the_draw_with_every_option_passed_on(views, form):
    z, steps, lengths = views
    loss = TCNLoss(form=form, tau=0.3, window=4, near=3, far=9, margin=0.9)
    z_v, steps_v, lengths_v = z.flip(2)[:, :30], steps[:, :30], torch.tensor([30, 21, 12])
    torch.manual_seed(5)
    found = loss(z, z_v, steps, steps_v, torch.stack([lengths, lengths_v], 1))
    torch.manual_seed(5)
    expected = 0.0
    for zk, sk, nk in ((z, steps, lengths), (z_v, steps_v, lengths_v)):
        if form == "n_pairs":
            expected += n_pairs_loss(zk, sk, *draw_pairs(sk, nk, 4), tau=0.3, window=4) / 2
        else:
            expected += triplet_loss(zk, *draw_triplets(sk, nk, 3, 9), margin=0.9) / 2
    assert found["loss"].item() == pytest.approx(expected.item())


def assert_uniform(counts, allowed, draws):
    """Drawn from `allowed` [N, N] alone, each about as often; five standard deviations."""
    assert (counts[~allowed] == 0).all()
    expected = draws / allowed.sum(1, keepdim=True).clamp(min=1).expand(allowed.shape)[allowed]
    assert ((counts[allowed] - expected).abs() < 5 * expected.sqrt()).all()


def test_draws_follow_the_rules_and_are_uniform():
    torch.manual_seed(0)
    steps = torch.tensor([0, 1, 2, 4, 5, 9, 10, 11, 12, 20, 3, 13])  # the last two are padding
    n, draws = 10, 4000
    many, lengths = steps.expand(draws, -1), torch.full((draws,), n)
    gap = steps[:n, None] - steps[None, :]
    real = torch.arange(12) < n
    frames = torch.arange(n)

    anchors, positives = draw_pairs(many, lengths, 3)
    before = (gap >= 1) & (gap <= 3) & real
    counts = torch.stack([(positives[:, i, None] == torch.arange(12)).sum(0) for i in frames])
    some = before.any(1)
    assert_uniform(counts[some], before[some], draws)
    expected = torch.where(some, draws / 3, 0)  # a frame with a positive is an anchor in one start of three
    assert ((anchors[:, :n].sum(0) - expected).abs() < 5 * expected.sqrt() + 1e-6).all()
    assert not anchors[:, n:].any()
    assert all((a.nonzero()[:, 0] % 3).unique().numel() <= 1 for a in anchors[:50])

    anchors, positives, negatives = draw_triplets(many, lengths, 2, 9)
    near, far = (gap.abs() >= 1) & (gap.abs() <= 2) & real, (gap.abs() >= 9) & real
    assert torch.equal(anchors[:, :n], (near.any(1) & far.any(1)).expand(draws, -1))
    assert not anchors[:, n:].any()
    for drawn, allowed in ((positives, near), (negatives, far)):
        counts = torch.stack([(drawn[:, i, None] == torch.arange(12)).sum(0) for i in frames])
        some = allowed.any(1)
        assert_uniform(counts[some], allowed[some], draws)


def test_ends_of_the_rules_and_anchors_of_short_views():
    steps = torch.arange(64)[None]
    for length, anchors in ((64, 64), (32, 4), (31, 2), (30, 0)):
        assert draw_triplets(steps, torch.tensor([length]))[0].sum() == anchors
    reach = torch.cat(
        [(torch.arange(64) - draw_pairs(steps, torch.tensor([64]))[1][0])[5:] for _ in range(9)]
    )
    assert reach.unique().tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("form", FORMS)
def test_gradcheck_and_padding_never_read(views, form):
    z, steps, lengths = views
    b, n = 1, 33
    clean = z.clone().requires_grad_()

    def loss(z):
        torch.manual_seed(3)
        return tcn_loss(z, steps, lengths, form=form, far=25)

    assert torch.autograd.gradcheck(loss, clean, fast_mode=True)
    value = loss(clean)
    value.backward()
    dirty = z.clone()
    dirty[b, n:], dirty[2, 12:] = torch.nan, torch.nan
    dirty.requires_grad_()
    assert loss(dirty) == value
    loss(dirty).backward()
    assert torch.equal(dirty.grad, clean.grad)
    assert (dirty.grad[b, n:] == 0).all()
    assert (dirty.grad[b, :n] != 0).any()


@pytest.mark.parametrize("form", FORMS)
def test_no_anchor_is_a_loss_of_zero_with_a_gradient(form):
    z = torch.randn(2, 3, 4, requires_grad=True)
    loss = tcn_loss(z, torch.tensor([[0, 9, 18], [0, 9, 18]]), torch.tensor([3, 2]), form=form)
    loss.backward()
    assert loss == 0
    assert (z.grad == 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_training_puts_near_frames_together_and_far_ones_apart(form):
    torch.manual_seed(0)
    free = torch.randn(1, 60, 8, requires_grad=True)
    steps, lengths = torch.arange(60)[None], torch.tensor([60])
    optimizer = torch.optim.Adam([free], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        tcn_loss(normalize(free, dim=-1), steps, lengths, form=form).backward()
        optimizer.step()
    z, gap = normalize(free.detach(), dim=-1)[0], (steps.T - steps).abs()
    cosine = z @ z.T
    near, far = cosine[(gap >= 1) & (gap <= 3)], cosine[gap >= 30]
    assert near.mean() > far.mean() + 0.5
    shuffled = z[torch.randperm(60)][None]
    right, wrong = (
        sum(tcn_loss(x, steps, lengths, form=form) for _ in range(20)) for x in (z[None], shuffled)
    )
    assert right < wrong / 2


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("form", {"form": "n-pairs"}),
        ("tau", {"tau": 0.0}),
        ("window", {"window": 0}),
        ("near, far", {"near": 30, "far": 30}),
    ],
)
def test_errors_name_the_argument(name, options):
    with pytest.raises(ValueError, match=f"^{name}: .*{next(iter(options.values()))}"):
        TCNLoss(**options)
    with pytest.raises(ValueError, match=f"^{name}: "):
        tcn_loss(torch.randn(1, 3, 2), torch.arange(3)[None], torch.tensor([3]), **options)
