"""The released objective, literally, and what it does: matched frames are pushed apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from lacbook.alignment import recursion
from lacbook.losses.lac import LACLoss
from lacbook.losses.lac_released import released_terms

STEPS_U = torch.tensor([[0, 1, 3, 4, 8], [0, 2, 4, 0, 0]])
STEPS_V = torch.tensor([[1, 2, 3, 8, 9], [1, 3, 5, 0, 0]])
LENGTHS = torch.tensor([[5, 5], [3, 3]])


@pytest.fixture
def views():
    torch.manual_seed(0)
    z_u, z_v = (normalize(torch.randn(2, 5, 6, dtype=torch.float64), dim=-1) for _ in range(2))
    gap_open, gap_extend = (0.5 + torch.rand(5, 5, dtype=torch.float64) for _ in range(2))
    return z_u, z_v, gap_open, gap_extend


def softmax(values):
    e = np.exp(values - values.max())
    return e / e.sum()


def literal(z_u, z_v, steps_u, steps_v, go, ge, t=0.8, variance=10.0):
    """Both terms of one pair, a row at a time, on top of the recursion."""
    n = len(z_u)
    similarity = np.array([[1 / (((u - v) ** 2).sum() + 1e-8) for v in z_v] for u in z_u])
    forth = recursion.forward(similarity, go, ge, t)
    back = recursion.forward(similarity.T, go, ge, t)
    p, q = (np.stack([softmax(row) for row in tables.D]) for tables in (forth, back))
    product = p @ q.T
    contrast = cross_entropy = 0.0
    for i in range(n):
        y = np.array([math.exp(-((steps_u[i] - s) ** 2) / (2 * variance)) for s in steps_v])
        y /= y.sum()
        cross_entropy -= (y * np.log(softmax(product[i]))).sum() / n
        predicted = softmax(z_u[i] @ z_v.T / t)
        contrast += (y * (np.log(y) - np.log(predicted + 1e-6))).sum() / n**2
    return contrast, cross_entropy + forth.score + back.score


def test_equals_the_literal_equations(views):
    z_u, z_v, go, ge = views
    expected = []
    for b, n in enumerate(LENGTHS[:, 0].tolist()):
        arrays = [x[b, :n].numpy() for x in (z_u, z_v, STEPS_U, STEPS_V)]
        expected.append(literal(*arrays, go[:n, :n].numpy(), ge[:n, :n].numpy()))
    found = released_terms(z_u, z_v, STEPS_U, STEPS_V, LENGTHS, go, ge)
    assert [float(x) for x in found] == pytest.approx(np.mean(expected, axis=0).tolist(), rel=1e-9)


def test_gradients_are_those_of_the_value(views):
    """Unlike in the released code, whose cross-entropy has no gradient at all."""
    inputs = [x.requires_grad_() for x in views]

    def terms(z_u, z_v, go, ge):
        return released_terms(z_u, z_v, STEPS_U, STEPS_V, LENGTHS, go, ge)

    assert torch.autograd.gradcheck(terms, inputs)


def test_padding_is_not_read(views):
    z_u, z_v, go, ge = (x.clone() for x in views)
    before = released_terms(z_u, z_v, STEPS_U, STEPS_V, LENGTHS, go, ge)
    z_u[1, 3:], z_v[1, 3:] = math.nan, math.nan
    z_u.requires_grad_()
    after = released_terms(z_u, z_v, STEPS_U, STEPS_V, LENGTHS, go, ge)
    assert [x.item() for x in after] == [x.item() for x in before]
    sum(after).backward()
    assert (z_u.grad[1, 3:] == 0).all()
    assert torch.isfinite(z_u.grad).all()


def test_views_of_different_lengths_are_refused(views):
    with pytest.raises(ValueError, match="as many in both"):
        released_terms(*views[:2], STEPS_U, STEPS_V, torch.tensor([[5, 4], [3, 3]]), *views[2:])


def distances(z_u, z_v):
    """Mean squared distance of matched and of other frames."""
    d = (normalize(z_u, dim=-1)[:, None] - normalize(z_v, dim=-1)[None]).square().sum(-1)
    same = torch.eye(len(d), dtype=torch.bool)
    return float(d[same].mean()), float(d[~same].mean())


def trained(local, **settings):
    """Free embeddings of two views of the same ten frames, begun near each other; d^2 before and after."""
    torch.manual_seed(0)
    frames = normalize(torch.randn(10, 8), dim=-1)
    z_u, z_v = ((frames + 0.15 * torch.randn(10, 8)).requires_grad_() for _ in range(2))
    steps, lengths = torch.arange(0, 100, 10)[None], torch.tensor([[10, 10]])
    loss = LACLoss(local=local, view_length=10, **settings)
    optimizer = torch.optim.Adam([z_u, z_v], lr=0.02)
    before = distances(z_u.detach(), z_v.detach())
    for _ in range(100):
        optimizer.zero_grad()
        embedded = (normalize(z, dim=-1)[None] for z in (z_u, z_v))
        loss(*embedded, steps, steps, lengths)["loss"].backward()
        optimizer.step()
    return before, distances(z_u.detach(), z_v.detach())


def test_it_pushes_matched_frames_apart_and_lac_does_not():
    published = {
        "weight": 0.01,
        "temperature": 0.8,
        "penalties": "matrix",
        "gap_open": 1.0,
        "gap_extend": 1.0,
    }
    (matched, others), (matched_after, others_after) = trained("released", **published)
    assert matched < 0.2 * others
    assert matched_after > 3 * matched
    assert matched_after > 0.5 * others_after
    (matched, _), (matched_after, others_after) = trained("structured")
    assert matched_after < matched
    assert matched_after < 0.3 * others_after
