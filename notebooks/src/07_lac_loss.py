# ---
# jupyter:
#   jupytext:
#     formats: notebooks///ipynb,notebooks/src///py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07 The LAC loss
#
# **You will build** the loss that teaches an encoder: a contrastive term, two versions of a local term that
# works through the soft alignment, and the gap penalties that learn along with them.
#
# **You will learn** what each term asks of the similarity matrix, by drawing its gradient over it; when gap
# penalties can be learned and when they cannot; what two views of one video teach them; why a similarity must
# be able to fall below zero; and how to choose the temperature.
#
# **Prerequisites**: notebook 03 (the soft score, its gradient, the temperature) and notebook 06 (two views of
# a video).
#
# **Time**: the notebook runs in about 40 seconds on a CPU and reads in about 50 minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from lacbook import smith_waterman, soft_smith_waterman
from lacbook.similarity import cosine
from lacbook.viz import plot_frame_grid, plot_posterior, plot_similarity, plot_table, use_theme
from lacbook.viz.style import ACCENT, INK, MUTED

use_theme(photos=True)

# %% [markdown]
# ## 1. Two views, before and after training
#
# We take up where notebook 06 ends: two views of a video, each a random choice of its frames, each with an
# augmentation of its own. We draw two pairs of views of one clip, 24 and 16 frames long, so that there is
# padding to get wrong.

# %%
from lacbook.align import committed_checkpoint
from lacbook.data.puppets import load_puppets
from lacbook.data.sampling import collate, two_views
from lacbook.data.transforms import augmentation
from lacbook.train import Learner, load_run

config, after = load_run(committed_checkpoint())
torch.manual_seed(0)
before = Learner(config, pose_dim=None).eval()
clips = load_puppets(split="test", action="squat", size=config.size)
clip = next(clip for clip in clips if clip.video_id == "squat_s25_1")

# %%
rng = np.random.default_rng(5)
pairs = [two_views(len(clip), frames, rng) for frames in (24, 16)]
views, steps, lengths = collate([[(clip.values[s], s) for s in pair] for pair in pairs])
torch.manual_seed(5)
views = augmentation("frames", config.size, 2)(views)
print("views:", tuple(views.shape), "of a clip of", len(clip), "frames; lengths", lengths.tolist())

# %%
pictures = (views[[0, 2], ::4].permute(0, 1, 3, 4, 2) * 255).byte().numpy()
captions = [[f"frame {s}" for s in steps[k, ::4].tolist()] for k in (0, 2)]
ax = plot_frame_grid(pictures, names=["view u", "view v"], captions=captions)

# %% [markdown]
# The figure shows every fourth frame of the first pair, with its number in the video. These numbers, the
# *steps*, are all the supervision there is: frames of u and v with equal or nearby steps show the same
# moment. The encoder never gets to see the steps.
#
# For what follows, `u` and `v` stand for the two views of each of the two pairs.

# %%
steps_u, steps_v = steps.chunk(2)
sizes = torch.stack(lengths.chunk(2), dim=1)
with torch.no_grad():
    z = {
        name: learner.encoder(views, lengths).double()
        for name, learner in (("before", before), ("after", after))
    }
print("embeddings of u:", tuple(z["after"].chunk(2)[0].shape), " steps of u:", tuple(steps_u.shape))
print("frames of u and of v in each pair:", sizes.tolist())

# %% [markdown]
# The similarity is the cosine minus a margin (section 8 shows why it is needed), $S_{ij} = \cos(z^u_i,
# z^v_j) - m$. The margin and both gap penalties are learned along with the encoder. An untrained encoder
# comes with the values they start from, the trained one with those it learned.

# %%
S, margin, penalties = {}, {}, {}
for name, learner in (("before", before), ("after", after)):
    z_u, z_v = z[name].chunk(2)
    margin[name] = learner.loss.margin.detach().double()
    go, ge = penalties[name] = [penalty.detach().double() for penalty in learner.loss.penalties()]
    S[name] = cosine(z_u[0], z_v[0], margin[name])
    print(f"{name:6}: margin {margin[name]:.2f}, gap_open {go:.2f}, gap_extend {ge:.2f}", end="; ")
    print(f"S {tuple(S[name].shape)} from {S[name].min():.2f} to {S[name].max():.2f}")

# %% [markdown]
# The yellow line is the *true alignment* $A^*$: the cells in which both views show the same frame of the
# video. (The line also shows where skipped frames are charged, as in notebook 02.) To train the encoder is to
# go from the left figure to the right one. The right one is good but not perfect. Other draws of the views
# come out better or much worse: put another seed above.

# %%
from lacbook.losses.lac import true_matches

matches = true_matches(steps_u, steps_v, sizes)
paths = [list(map(tuple, cells.nonzero().tolist())) for cells in matches]
truth = paths[0]
_, axes = plt.subplots(1, 2, figsize=(9, 3.7), layout="constrained")
for ax, name in zip(axes, S, strict=True):
    plot_similarity(S[name], path=truth, ax=ax)
    ax.set(title=f"{name} training", xlabel="frame of v", ylabel="frame of u")
print(len(truth), "true matches:", truth)

# %% [markdown]
# ## 2. The contrastive term
#
# Frame i of u should resemble the frames of v that are close to it in time, the closer the more. The loss of
# CARL says how much: it sets a **Gaussian target** over the frames of v,
#
# $$ w_{ij} = \frac{e^{-(s^u_i - s^v_j)^2 / 2\sigma^2}}{\sum_k e^{-(s^u_i - s^v_k)^2 / 2\sigma^2}}, \qquad
# \sigma^2 = 10, $$
#
# where $s^u$ and $s^v$ are the steps, and compares it with a prediction made of cosines,
#
# $$ p_{ij} = \frac{e^{\cos(z^u_i, z^v_j)/\tau}}{\sum_k e^{\cos(z^u_i, z^v_k)/\tau}}, \qquad \tau = 0.1. $$
#
# Both have rows that sum to 1. Here they are, the target on the left.

# %%
from lacbook.losses.scl import gaussian_target

target = gaussian_target(steps_u[:1], steps_v[:1], torch.ones(1, 24, dtype=torch.bool))[0]
cosines = {name: cosine(x[0], x[2]) for name, x in z.items()}  # views 0 and 2 are the first pair
shown = {"target": target} | {f"prediction {name}": (c / 0.1).softmax(1) for name, c in cosines.items()}
_, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained", sharey=True)
for ax, (name, rows) in zip(axes, shown.items(), strict=True):
    plot_posterior(rows, colorbar=False, ax=ax)
    ax.set(title=name, xlabel="frame of v", ylabel="frame of u" if name == "target" else "")
    assert torch.allclose(rows.sum(1), torch.ones(24, dtype=rows.dtype))

# %% [markdown]
# Row 0 is frame 20 of the video, and v begins only after it; its target falls on the first frames of v, for
# want of better ones. The loss is $\sum_i \sum_j w_{ij} \log (w_{ij} / p_{ij})$, the Kullback-Leibler
# divergence: the cross-entropy $-\sum w \log p$ minus the entropy of $w$, which no encoder can change, so
# both have the same gradient. The same is added with the roles of u and v exchanged, and the sum is divided
# by the number of frames of both views. Logarithms of softmaxes are taken in one step, so that nothing
# underflows.


# %%
def contrast(cos, steps_u, steps_v, variance=10.0, tau=0.1):
    """Sum of the KL divergences of one pair without padding, rows and columns."""
    time = (steps_u[:, None] - steps_v[None, :]).double()
    total = 0.0
    for logits, apart in ((cos / tau, time), (cos.T / tau, time.T)):
        log_w = (-apart.square() / (2 * variance)).log_softmax(1)
        total = total + (log_w.exp() * (log_w - logits.log_softmax(1))).sum()
    return total


# %% [markdown]
# Of a batch, we cut the padding off each pair. The package keeps it in place and masks it, which is faster;
# the result has to be the same.

# %%
from lacbook.losses.scl import scl_loss


def unpadded(name):
    """Cosines and steps of each pair of the batch."""
    for b, (n, m) in enumerate(sizes.tolist()):
        z_u, z_v = z[name].chunk(2)
        yield cosine(z_u[b, :n], z_v[b, :m]), steps_u[b, :n], steps_v[b, :m]


# %%
for name in z:
    ours = sum(contrast(*pair) for pair in unpadded(name)) / sizes.sum()
    assert torch.allclose(ours, scl_loss(*z[name].chunk(2), steps_u, steps_v, sizes))
    print(f"contrastive term {name:6} training: {ours:.4f}")

# %% [markdown]
# What does it ask of the similarity? The derivative of a cross-entropy by its logits, the numbers that go
# into the softmax (here $\cos/\tau$), is prediction minus target. So that of one row by the cosines is
# $(p_{ij} - w_{ij})/\tau$, and the columns add their own; all is divided by the number of frames of both
# views, 24 + 24. We draw the *negative* gradient, which is the way a step of descent goes: red cells are
# pulled together, blue ones pushed apart.


# %%
def gradient(loss, S):
    """Derivative of loss(S) by every entry of S."""
    S = S.clone().requires_grad_()
    return torch.autograd.grad(loss(S), S)[0]


# %%
def descent(panels):
    """Draw negative gradients over S side by side, each on its own scale, with dots on the true matches."""
    _, axes = plt.subplots(1, len(panels), figsize=(3.9 * len(panels), 3.9), layout="constrained")
    for ax, (title, slope) in zip(axes, panels.items(), strict=True):
        plot_table(-slope, ax=ax)
        ax.plot(*np.transpose(truth)[::-1], "o", color=INK, ms=2)
        ax.set(title=title, xlabel="frame of v", ylabel="frame of u" if ax is axes[0] else "")
        print(f"{title}: sum of the absolute gradient {slope.abs().sum():.2f}")


# %%
first, both = (steps_u[0], steps_v[0]), 24 + 24
by_contrast = {name: gradient(lambda c: contrast(c, *first) / both, cosines[name]) for name in z}
w, w_back = target.double(), gaussian_target(steps_v[:1], steps_u[:1], torch.ones(1, 24).bool())[0].T
for name, c in cosines.items():
    p, p_back = (c / 0.1).softmax(1), (c / 0.1).softmax(0)
    assert torch.allclose(by_contrast[name], (p - w + p_back - w_back) / (0.1 * both), atol=1e-6)
descent({f"contrastive term, {name}": slope for name, slope in by_contrast.items()})

# %% [markdown]
# Before training it pulls on a broad band around the true matches (the dots) and pushes wherever the
# untrained encoder happens to see a resemblance. Each figure has a scale of its own: after training there is
# less to do, as the printed sums say.
#
# ## 3. The local term
#
# The contrastive term judges each row and each column by itself. It does not know that frames have an order,
# that a frame has at most one partner, or that a few frames may be missing. An alignment knows all of that.
# The local term of LAC therefore works through the soft Smith-Waterman alignment.
#
# How should it? To raise the score $V$ of the soft alignment is tempting, but the largest score belongs to an
# encoder that finds all frames alike. (To lower $V$, as the code released with LAC does, pushes matched
# frames apart: its gradient is the posterior, which is positive wherever an alignment may pass. Notebook 14
# shows it.) What has to be large is not the score of *some* alignment but the share of *the true one* in it.
# Its own score is
#
# $$ F(S; A^*) = \sum_{(i,j) \in A^*} S_{ij} - n_o(A^*)\, g_o - n_e(A^*)\, g_e, $$
#
# with $n_o$ gaps opened and $n_e$ extended. Between two matches (i, j) and (p, r) there are r - j - 1 frames
# of v and p - i - 1 frames of u to skip. Each run that is not empty opens one gap, and every frame of it
# after the first extends it.

# %%
from itertools import pairwise


def count_gaps(path):
    """How many gaps are opened and extended between the matches of a path."""
    opened = extended = 0
    for (i, j), (p, r) in pairwise(path):
        runs = [run for run in (r - j - 1, p - i - 1) if run > 0]
        opened += len(runs)
        extended += sum(runs) - len(runs)
    return opened, extended


# %% [markdown]
# The package counts in the whole batch at once, and also says *where* each gap is charged, since penalties
# may differ from cell to cell.

# %%
from lacbook.losses.lac import gap_cells

opened, extended = gap_cells(matches)
for b, path in enumerate(paths):
    assert count_gaps(path) == (opened[b].sum(), extended[b].sum())
    print(f"pair {b}: {len(path)} true matches, {opened[b].sum()} gaps opened, {extended[b].sum()} extended")

# %% [markdown]
# In notebook 03 every alignment had a probability, $p(A) = e^{(\text{score}(A) - V)/t}$. So that of the true
# one is $e^{(F - V)/t}$, and
#
# $$ L_{\text{structured}} = \frac{V - F(S; A^*)}{t\, |A^*|} = -\frac{\log p(A^*)}{|A^*|} $$
#
# is its negative log-likelihood per match. It is never negative, because $A^*$ is one of the alignments that
# $V$ sums over, and it is zero only if $A^*$ has all the probability. The temperature is that of training,
# $t=0.1$.


# %%
def structured(S, path, go, ge, t=0.1):
    """Minus the log-likelihood of a path, per match."""
    opened, extended = count_gaps(path)
    F = sum(S[cell] for cell in path) - opened * go - extended * ge
    V = soft_smith_waterman(S, go, ge, temperature=t).score
    return (V - F) / (t * len(path))


for name in S:
    loss = structured(S[name], truth, *penalties[name])
    print(f"{name} training: loss {loss:.3f}, log-likelihood of the true alignment {-loss * len(truth):.1f}")
    assert loss > 0

# %% [markdown]
# The package does the same for a batch: the mean over its pairs, without those that have fewer than two true
# matches, for which order means nothing.

# %%
from lacbook.losses.lac import structured_loss

for name in z:
    go, ge = penalties[name]
    cosines_cut = [cos for cos, *_ in unpadded(name)]
    ours = [structured(c - margin[name], path, go, ge) for c, path in zip(cosines_cut, paths, strict=True)]
    padded = cosine(*z[name].chunk(2), margin[name])
    assert torch.allclose(sum(ours) / 2, structured_loss(padded, matches, sizes, go, ge, 0.1))
print("by hand and package agree")

# %% [markdown]
# Its gradient needs no new mathematics. The derivative of $V$ by $S_{ij}$ is the posterior $P_{ij}$ (notebook
# 03), and that of $F$ is 1 on the true matches and 0 elsewhere. For the penalties, the derivative of $V$ is
# minus the expected number of gaps, and that of $F$ minus the true number. So
#
# $$ \frac{\partial L}{\partial S_{ij}} = \frac{P_{ij} - A^*_{ij}}{t\,|A^*|}, \qquad
# \frac{\partial L}{\partial g_o} = \frac{n_o(A^*) - \mathbb{E}[n_o]}{t\,|A^*|}, \qquad
# \frac{\partial L}{\partial g_e} = \frac{n_e(A^*) - \mathbb{E}[n_e]}{t\,|A^*|}. $$
#
# **Soft alignment minus true alignment**, in matches, openings and extensions alike.

# %%
by_structured = {}
for name in S:
    inputs = [x.clone().requires_grad_() for x in (S[name], *penalties[name])]
    slopes = torch.autograd.grad(structured(inputs[0], truth, *inputs[1:]), inputs)
    soft = soft_smith_waterman(S[name], *penalties[name], temperature=0.1)
    pairs_of = zip((soft.posterior, *soft.expected_gaps), (matches[0], opened[0], extended[0]), strict=True)
    signs = (1, -1, -1)  # a penalty lowers the score
    for slope, sign, (expected, true) in zip(slopes, signs, pairs_of, strict=True):
        true = true.double() if true.shape == expected.shape else true.sum()
        assert torch.allclose(slope, sign * (expected - true) / (0.1 * len(truth)), atol=1e-9)
    by_structured[name] = slopes[0]
descent({f"structured term, {name}": slope for name, slope in by_structured.items()})

# %% [markdown]
# Red are the true matches that the soft alignment does not make yet, blue the matches that it makes without
# being asked. Unlike the contrastive term it pulls on one thin line with its gaps in the right places, and
# leaves cells alone through which no likely alignment passes. Before training the soft alignment is nearly
# empty, so there is hardly anything to push apart, and the sum is little more than the $1/t$ of the true
# matches. After training it makes many matches right beside the true ones, and all of these are to be unmade:
# the loss is smaller, its gradient is not.
#
# That the frames hang together can be tested. Make the frames of one true match more alike, and count the
# cells outside their row and column whose gradient changes. For the contrastive term there are none.

# %%
i, j = truth[len(truth) // 2]
bump = torch.zeros(24, 24, dtype=torch.float64)
bump[i, j] = 0.5
elsewhere = torch.ones(24, 24, dtype=torch.bool)
elsewhere[i, :] = elsewhere[:, j] = False
go, ge = penalties["after"]
terms = {  # to the softmax of the first, cosine and S are the same
    "contrastive": lambda S: contrast(S, *first) / both,
    "structured": lambda S: structured(S, truth, go, ge),
}

# %%
for name, term in terms.items():
    change = gradient(term, S["after"] + bump) - gradient(term, S["after"])
    changed = (change.abs() > 1e-6) & elsewhere
    print(f"{name:11}: {changed.sum()} of {elsewhere.sum()} cells elsewhere change their gradient")
    assert changed.any() == (name == "structured")

# %% [markdown]
# ## 4. The posterior variant
#
# There is a second way to use the alignment. Ask where it puts a frame, and compare that with where the frame
# belongs in time. The code released with LAC does so with the rows of the *table* $D$. But an entry of $D$
# says how good alignments are that *end* in a cell, and nothing of how they go on. The probabilities of the
# alignment are in the posterior $P$. Our variant normalises its rows and takes their cross-entropy with the
# Gaussian target of section 2,
#
# $$ L_{\text{posterior}} = \frac{\sum_i m_i\, \mathrm{CE}_i}{\sum_i m_i}, \qquad \mathrm{CE}_i =
# -\sum_j w_{ij} \log \frac{P_{ij}}{m_i}, \qquad m_i = \sum_j P_{ij}, $$
#
# and the same for the columns. The mass $m_i$ is the probability that frame i is matched at all. It serves as
# a weight, and no gradient flows through it there, since the loss could otherwise be lowered by leaving the
# difficult frames unmatched. Frames outside the range of time of the other view have no counterpart and are
# left out.


# %%
def one_way(P, steps_u, steps_v, variance=10.0):
    """Cross-entropy of the rows of a posterior with the Gaussian target."""
    time = (steps_u[:, None] - steps_v[None, :]).double()
    w = (-time.square() / (2 * variance)).softmax(1)
    mass = P.sum(1)
    cross_entropy = -(w * (P.log() - mass.log()[:, None])).sum(1)
    inside = (steps_u >= steps_v[0]) & (steps_u <= steps_v[-1])
    weight = torch.where(inside, mass, 0).detach()
    return (weight * cross_entropy).sum() / (weight.sum() + 1e-8)


# %%
def posterior_term(S, steps_u, steps_v, go, ge, t=0.1):
    """Mean of both ways for one pair."""
    P = soft_smith_waterman(S, go, ge, temperature=t).posterior
    return (one_way(P, steps_u, steps_v) + one_way(P.T, steps_v, steps_u)) / 2


# %%
from lacbook.losses.lac import posterior_loss

for name in z:
    go, ge = penalties[name]
    ours = [posterior_term(c - margin[name], *s, go, ge) for c, *s in unpadded(name)]
    padded = cosine(*z[name].chunk(2), margin[name])
    assert torch.allclose(sum(ours) / 2, posterior_loss(padded, steps_u, steps_v, sizes, go, ge, 0.1))
    print(f"posterior term {name:6} training: {sum(ours) / 2:.3f}")

# %% [markdown]
# The posterior is a gradient already, so the gradient of this loss is a second derivative: torch
# differentiates through the backward pass of notebook 03. (Notebook 04 shows how the operator provides it.)

# %%
go, ge = penalties["after"]
by_posterior = gradient(lambda S: posterior_term(S, *first, go, ge), S["after"])
descent({"structured term, after": by_structured["after"], "posterior term, after": by_posterior})

# %%
down = sum((by_posterior[cell] > 0).item() for cell in truth)
inside = (first[0] >= first[1][0]) & (first[0] <= first[1][-1])
entropy = torch.special.entr(w[inside]).sum(1)
loss = posterior_term(S["after"], *first, go, ge)
print(f"posterior term: {down} of {len(truth)} true matches are pushed down; the loss is {loss:.2f},")
print(f"the entropy of w {entropy.mean():.2f} in the mean over rows, {entropy.max():.2f} at most")
assert down > len(truth) / 2
assert loss > entropy.max() > entropy.min() > 0.5

# %% [markdown]
# The structured term wants exactly the true cells. The posterior term wants rows as wide as the target. Where
# the alignment is sharper than that, it pushes *true* matches down and pulls on their neighbours (blue cells
# under dots). It can therefore never reach 0; its lowest value is the entropy of the target.
#
# And there is a difference that the pictures hide: the posterior term asks *where* a frame is matched and not
# *whether*. To see it, make the first half of u unlike everything, so that the alignment leaves it out, and
# see which term wants it back.

# %%
half = S["after"].clone()
half[:12] -= 1
upper = torch.zeros(24, 24, dtype=torch.bool)
upper[:12] = True
terms = {
    "structured": lambda S: structured(S, truth, go, ge),
    "posterior": lambda S: posterior_term(S, *first, go, ge),
}

# %%
P = soft_smith_waterman(half, go, ge, temperature=0.1).posterior
print(f"expected matches: upper half {P[upper].sum():.4f}, lower half {P[~upper].sum():.2f}")
share = {name: gradient(term, half).abs() for name, term in terms.items()}
share = {name: float(slope[upper].sum() / slope.sum()) for name, slope in share.items()}
print("share of the gradient in the upper half:", {name: round(value, 4) for name, value in share.items()})
assert share["structured"] > 0.2 > 0.02 > share["posterior"]

# %% [markdown]
# So the structured term is the stricter one, and the default. Who takes the posterior term leaves it to the
# contrastive term to bring frames together in the first place.
#
# ## 5. All parts together
#
# The package adds the parts up: $L = L_{\text{contrast}} + \text{weight} \cdot L_{\text{local}} +
# \text{prior} \cdot L_{\text{prior}}$. The last is a weak pull of the penalties towards where they started,
# and section 7 shows what for.

# %%
import pandas as pd

rows = {}
for name, learner in (("before", before), ("after", after)):
    with torch.no_grad():
        parts = learner.loss(*z[name].float().chunk(2), steps_u, steps_v, sizes)
        prior = learner.loss.penalties.prior()
    rows[name] = {key: value.item() for key, value in parts.items()} | {"prior": prior.item()}
    total = parts["contrast"] + learner.loss.weight * parts["local"] + learner.loss.prior * prior
    assert torch.allclose(parts["loss"], total)
print(f"weight {learner.loss.weight}, prior {learner.loss.prior}, local term: {learner.loss.local}")
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# `LACLoss(local="posterior")` takes the other local term, and `penalties="matrix"` or `"content"` other kinds
# of penalties, those that depend on the positions (as published) or on the frames.
#
# ## 6. Gap penalties that learn
#
# How much should a gap cost? The gradient of section 3 lets the data decide. Before we believe it, we test it
# where the right answer is known. We make a world in which the penalties are 0.3 and 0.1: take random
# similarities, and draw a true alignment for each from $p(A) = e^{(\text{score}(A) - V)/t}$ with these
# penalties. On tables of 6 x 6 all alignments can be listed, as in notebook 03, so drawing is easy.

# %%
from lacbook.alignment.enumeration import enumerate_alignments

listed = list(enumerate_alignments(np.zeros((6, 6)), 0.0, 0.0))
cells = torch.zeros(len(listed), 6, 6, dtype=torch.float64)
for k, alignment in enumerate(listed):
    cells[(k, *np.transpose(alignment.path))] = 1
gaps = torch.tensor([[len(a.opened), len(a.extended)] for a in listed]).double()
print(len(listed), "alignments: cells", tuple(cells.shape), " gaps", tuple(gaps.shape))

# %%
right = torch.tensor([0.3, 0.1], dtype=torch.float64)
generator = torch.Generator().manual_seed(0)
S_toy = 0.5 * torch.randn(3000, 6, 6, generator=generator, dtype=torch.float64)
scores = S_toy.flatten(1) @ cells.flatten(1).T - gaps @ right
drawn = torch.multinomial((scores / 0.1).softmax(1), 1, generator=generator)[:, 0]
A_toy, gaps_toy = cells[drawn], gaps[drawn]
print(f"{len(A_toy)} pairs with {A_toy.sum((1, 2)).mean():.2f} matches,", end=" ")
print("{:.2f} openings and {:.2f} extensions on average".format(*gaps_toy.mean(0)))

# %% [markdown]
# A learner that is given the similarities and the alignments, but not the penalties, minimises the negative
# log-likelihood $(V - F)/t$, from a wrong start. Beside it we let two others try, who use only the score: one
# minimises $V$, the other $-V$.


# %%
def soft_score(p):
    return soft_smith_waterman(S_toy, p[0], p[1], temperature=0.1).score.mean()


def negative_log_likelihood(p):
    """The negative log-likelihood of the drawn alignments, mean over pairs."""
    F = (A_toy * S_toy).sum((1, 2)) - gaps_toy @ p
    return (soft_score(p) - F.mean()) / 0.1


# %%
def descend(objective, start=(0.7, 0.4), updates=130):
    """Every point that Adam visits."""
    p = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer, visited = torch.optim.Adam([p], lr=0.02), [start]
    for _ in range(updates):
        optimizer.zero_grad()
        objective(p).backward()
        optimizer.step()
        visited.append(tuple(p.tolist()))
    return np.array(visited)


# %%
objectives = {
    "V - F": negative_log_likelihood,
    "V": lambda p: soft_score(p) / 0.1,
    "-V": lambda p: -soft_score(p) / 0.1,
}
walks = {name: descend(objective) for name, objective in objectives.items()}
for name, walk in walks.items():
    print(f"minimising {name:5}: gap_open {walk[-1][0]:6.3f}, gap_extend {walk[-1][1]:6.3f}")
assert np.allclose(walks["V - F"][-1], right, atol=0.03)
assert (walks["V"][-1] > walks["V"][0]).all()
assert (walks["-V"][-1] < -1).all()

# %%
x, y = np.linspace(-0.1, 0.9, 17), np.linspace(-0.15, 0.6, 13)
with torch.no_grad():
    heights = [[negative_log_likelihood(torch.tensor([go, ge])) for go in x] for ge in y]

# %% tags=["thumbnail"]
_, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
axes[0].contour(x, y, np.array(heights), levels=15, colors="0.8", linewidths=1)
for (name, walk), color in zip(walks.items(), (ACCENT, INK, MUTED), strict=True):
    axes[0].plot(*walk.T, ".-", color=color, ms=4, lw=1, label=f"minimising {name}")
axes[0].plot(*right, "*", color=INK, ms=12, zorder=5)
axes[0].set(
    xlim=x[[0, -1]], ylim=y[[0, -1]], xlabel="gap_open", ylabel="gap_extend", title="Three objectives"
)
axes[0].legend(fontsize="small", loc="upper left")
axes[1].plot(walks["V - F"], label=["gap_open", "gap_extend"])
axes[1].hlines(right, 0, 130, color="0.5", ls="--", lw=1)
axes[1].set(xlabel="update", ylabel="penalty", title="Minimising V - F")
_ = axes[1].legend()

# %% [markdown]
# Minimising $V - F$ arrives at the right penalties (the star, and the dashed lines), but for the chance of
# the draw. The other two run away, and would forever: $\partial V/\partial g_o = -\mathbb{E}[n_o] < 0$
# everywhere (in a soft alignment every gap has some probability, if the table has room for one). Whoever
# lowers $V$ forbids gaps, whoever raises it comes to *reward* them. What stops the first is the other half of
# its gradient, the true number of gaps. Where it comes to rest, the two are equal:

# %%
p = torch.tensor(walks["V - F"][-1])
soft = soft_smith_waterman(S_toy, p[0], p[1], temperature=0.1)
for k, name in enumerate(("openings", "extensions")):
    expected, true = soft.expected_gaps[k].mean().item(), gaps_toy[:, k].mean().item()
    print(f"{name:10}: expected {expected:.4f}, true {true:.4f}")
    assert abs(expected - true) < 0.01

# %% [markdown]
# One thing should not be passed over. The loss of section 3 divides by $|A^*|$, so that long and short
# alignments have a say alike, and leaves out single matches. Then pairs are weighted by what was drawn, which
# a likelihood does not allow, and the minimum moves a little.

# %%
toy_sizes = torch.tensor([[6, 6]]).expand(len(A_toy), 2)
weighted = descend(lambda p: structured_loss(S_toy, A_toy.bool(), toy_sizes, p[0], p[1], 0.1))[-1]
print(f"structured loss: gap_open {weighted[0]:.3f}, gap_extend {weighted[1]:.3f}")
assert np.allclose(weighted, right, atol=0.04)

# %% [markdown]
# Is it the chance of the draw? Here we can take the mean over all draws instead, since we have the
# probability of every alignment: of each table, the losses of all alignments, each as often as it is drawn. A
# part of the tables will do.

# %%
values = S_toy[:300].flatten(1) @ cells.flatten(1).T
matched = cells.sum((1, 2))
chances = ((values - gaps @ right) / 0.1).softmax(1)
weights = chances * (matched >= 2) / matched


# %%
def over_all_draws(p):
    """What the structured loss is on average over all draws, up to a constant factor."""
    return -(weights * ((values - gaps @ p) / 0.1).log_softmax(1)).sum(1).mean()


everything = descend(over_all_draws)[-1]
print(f"mean over all draws: gap_open {everything[0]:.3f}, gap_extend {everything[1]:.3f}")
assert np.allclose(everything, weighted, atol=0.01)
assert everything[1] < right[1] - 0.005

# %% [markdown]
# It is not chance: over all draws the minimum moves to about the same place. The shift is small, and we live
# with it from now on.
#
# ## 7. What two views of one video teach the penalties
#
# In training the true alignment comes from the sampler. Its gaps are the frames that one view has and the
# other has not, so they say how often the sampler drops frames and nothing about the action. We can watch
# that. Below is a sampler with a rate: each view takes 24 frames out of a block of $24\,r$, so at r = 1
# nothing is dropped, at r = 1.3 about a quarter of the block. (`two_views` draws r between 1 and 1.5.) The
# similarity stays fixed: the trained encoder's, of the whole clip with itself.

# %%
from lacbook.evaluate import embed_values

whole = torch.from_numpy(embed_values(after.encoder, clip.values)).double()
S_clip = cosine(whole, whole, margin["after"])
print("similarity of the clip with itself:", tuple(S_clip.shape))


# %%
def views_at(rate, rng, frames=24):
    """Steps of two views out of blocks of frames * rate, the second up to 6 frames earlier or later."""
    block = round(rate * frames)
    first = rng.integers(6, len(clip) - block - 5)
    starts = (first, first + rng.integers(-6, 7))
    return [np.sort(start + rng.choice(block, frames, replace=False)) for start in starts]


# %%
def many_views(draw, seed=0, pairs=128):
    """Similarities [B, N, M], true matches and sizes of many pairs of views of the clip."""
    rng = np.random.default_rng(seed)
    u, v = (torch.tensor(np.array(side)) for side in zip(*(draw(rng) for _ in range(pairs)), strict=True))
    sizes = torch.tensor([[24, 24]]).expand(pairs, 2)
    return S_clip[u[:, :, None], v[:, None, :]], true_matches(u, v, sizes), sizes


samplers = {f"r = {rate}": lambda rng, rate=rate: views_at(rate, rng) for rate in (1.0, 1.1, 1.2, 1.3)}
samplers["two_views"] = lambda rng: two_views(len(clip), 24, rng)
batches = {name: many_views(draw) for name, draw in samplers.items()}
print("similarities of each sampler:", tuple(batches["two_views"][0].shape))

# %% [markdown]
# We train nothing but the two penalties, with the package's `ScalarPenalties`: one number each, kept above
# zero by a softplus, $\log(1 + e^x)$. First without the prior.

# %%
from lacbook.losses.gap_penalties import ScalarPenalties


def learn_penalties(S, matches, sizes, prior=0.0, updates=100):
    """The penalties after every update, [updates, 2]."""
    learned = ScalarPenalties(0.2, 0.1).double()
    optimizer, visited = torch.optim.Adam(learned.parameters(), lr=0.1), []
    for _ in range(updates):
        optimizer.zero_grad()
        loss = structured_loss(S, matches, sizes, *learned(), temperature=0.1)
        (0.3 * loss + prior * learned.prior()).backward()  # weights as in LACLoss
        optimizer.step()
        visited.append([penalty.item() for penalty in learned()])
    return np.array(visited)


# %%
free = {name: learn_penalties(*batch) for name, batch in batches.items()}

# %% [markdown]
# At the optimum the gradient is zero, and by section 3 that means: expected gaps equal true gaps, each
# divided by the matches of its pair. We compare both.

# %%
rows = []
for name, (S_views, A_views, _) in batches.items():
    go, ge = map(float, free[name][-1])
    soft = soft_smith_waterman(S_views, go, ge, temperature=0.1)
    weight = 1 / A_views.sum((1, 2))
    expected = [float((count * weight).mean()) for count in soft.expected_gaps]
    true = [float((table.sum((1, 2)) * weight).mean()) for table in gap_cells(A_views)]
    rows.append([name, go, ge, true[0], expected[0], true[1], expected[1]])
columns = [f"{kind} {gap}" for gap in ("openings", "extensions") for kind in ("true", "expected")]
table = pd.DataFrame(rows, columns=["sampler", "gap_open", "gap_extend", *columns]).set_index("sampler")
table.round(3)

# %%
for count in ("openings", "extensions"):
    assert np.allclose(table[f"true {count}"], table[f"expected {count}"], atol=0.01)
by_rate = table.loc[[f"r = {rate}" for rate in (1.0, 1.1, 1.2, 1.3)]]
assert (np.diff(by_rate["gap_open"]) < -0.005).all()
assert (np.diff(by_rate["true openings"]) > 0.05).all()
print("the more frames are dropped, the cheaper a gap becomes")

# %% [markdown]
# The encoder and the clip are the same in every row. Only the sampler differs, and the penalties follow it.
# (For another S the same gaps would need other penalties: what is fixed by the sampler is the number of
# gaps.) Those of `two_views` are not far from what the committed run learned in training (printed in section
# 1), on other clips and with a changing encoder. So we should not read a learned penalty as something about
# squats. Pairs of *different* videos would teach how often one person pauses where another does not; notebook
# 11 will have such pairs.
#
# And where nothing is dropped there are no true gaps, so all the loss can say is that gaps should be dearer
# still. The push gets weaker as gaps get rarer, but never stops. This is what the weak prior is for.

# %%
held = {name: learn_penalties(*batches[name], prior=0.01) for name in ("r = 1.0", "two_views")}
firm = {name: learn_penalties(*batches[name], prior=0.1) for name in held}
for name in held:
    at = [walks_of[name][-1, 0] for walks_of in (free, held, firm)]
    print(f"{name:9}: gap_open {at[0]:.3f} without prior, {at[1]:.3f} with 0.01, {at[2]:.3f} with 0.1")
still_rising = np.diff(free["r = 1.0"][:, 0])[-20:]
assert (still_rising > 0).all()
assert held["r = 1.0"][-1, 0] < 0.6 * free["r = 1.0"][-1, 0]
assert 1.05 < held["two_views"][-1, 0] / free["two_views"][-1, 0] < 1.4

# %%
_, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained", sharey=True)
for name, walk in free.items():
    axes[0].plot(walk[:, 0], label=name, ls="--" if name == "two_views" else "-")
for name, color in (("r = 1.0", ACCENT), ("two_views", INK)):
    axes[1].plot(free[name][:, 0], color=color, lw=1, ls=":", label=f"{name}, no prior")
    axes[1].plot(held[name][:, 0], color=color, label=f"{name}, prior 0.01")
axes[0].set(xlabel="update", ylabel="gap_open", title="The sampler decides")
axes[1].set(xlabel="update", title="What the prior holds")
axes[0].set(yscale="log", ylim=(0.05, 3))
for ax in axes:
    ax.legend(fontsize="small", loc="upper left", ncols=2)

# %% [markdown]
# Without the prior the penalty of r = 1 is still rising when we stop. With it, it comes to rest somewhere
# above its start, and where, the weight of the prior decides. For the views of `two_views`, with gaps to
# learn from, a prior of 0.01 (the package's) raises the penalty a little.
#
# ## 8. Why a similarity must fall below zero
#
# An alignment is local if it can refuse frames. It refuses by starting anew: in $D_{ij} = S_{ij} + \max(0, D,
# I^x, I^y)$ of the diagonal neighbour, the 0 has to win. The released code of LAC uses $S = 1/d^2$, one over
# the squared distance of two embeddings. We compare it with cosine minus margin on two clips that have eight
# moments in common and nothing else: twenty random unit vectors each, with frames 7 to 14 of A, slightly
# disturbed, at 4 to 11 of B.

# %%
from lacbook.similarity import inverse_distance

rng = np.random.default_rng(0)


def unit(rows):
    return torch.nn.functional.normalize(rows, dim=-1)


def noise(frames):
    return torch.from_numpy(rng.normal(size=(frames, 64)))


# %%
x, y = unit(noise(20)), unit(noise(20))
y[4:12] = unit(x[7:15] + 0.03 * noise(8))
common = [(7 + k, 4 + k) for k in range(8)]
kinds = {"1 / d²": inverse_distance(x, y), "cosine - 0.5": cosine(x, y, 0.5)}
for name, similarity in kinds.items():
    print(f"{name:12}: from {similarity.min():.2f} to {similarity.max():.2f},", end=" ")
    print(f"median {similarity.median():.2f}")

# %% [markdown]
# We fill the hard tables with the package's recursion and count the cells in which a new start wins. The
# first row and column do not count: there, nothing could be continued.

# %%
from lacbook.alignment.recursion import forward

found, starts = {}, {}
for name, similarity in kinds.items():
    D, Ix, Iy, _ = forward(similarity, 1.0, 0.3, temperature=0)
    starts[name] = np.maximum(np.maximum(D, Ix), Iy)[:-1, :-1] < 0
    found[name] = smith_waterman(similarity, 1.0, 0.3).path()
    print(f"{name:12}: new starts win in {starts[name].mean():.0%} of the cells,", end=" ")
    print(f"{len(found[name])} matches from {found[name][0]} to {found[name][-1]}")
assert found["cosine - 0.5"] == common
assert not starts["1 / d²"].any()
assert (min(found["1 / d²"][0]), max(found["1 / d²"][-1])) == (0, 19)  # from border to border

# %%
_, axes = plt.subplots(1, 2, figsize=(9, 3.7), layout="constrained")
for ax, (name, similarity) in zip(axes, kinds.items(), strict=True):
    plot_similarity(similarity, path=found[name], colorbar=name != "1 / d²", ax=ax)
    title = f"S = {name}, median {similarity.median():.2f}"
    ax.set(title=title, xticks=range(0, 20, 5), yticks=range(0, 20, 5))

# %% [markdown]
# The proof takes two lines. If every $S_{ij} > 0$, then every $D_{ij} \ge S_{ij} > 0$, so continuing the
# alignment of the diagonal neighbour always beats the 0. And the last match of an alignment that does not end
# in the last row or column can be followed by one more, without any gap, at a gain. So **the best alignment
# runs from border to border, whatever the frames show**, and its posterior, from which training takes its
# gradient, puts matches on frames that have nothing in common. A margin cures it: unrelated frames score
# below zero, and an alignment that goes on pays for them.
#
# ## 9. What the temperature does to an unrelated pair
#
# A margin is not enough if the alignment is soft. Take two clips that have nothing in common at all: 48
# random unit vectors each in 64 dimensions, margin 0.5. How many matches does the soft alignment expect?

# %%
apart = cosine(unit(noise(48)), unit(noise(48)), 0.5)
print(f"S {tuple(apart.shape)}: mean {apart.mean():.2f}, largest {apart.max():.2f}")
print("best path:", smith_waterman(apart, 1.0, 0.3).path())
for t in (1.0, 0.3, 0.1):
    soft = soft_smith_waterman(apart, 1.0, 0.3, temperature=t)
    print(f"t = {t}: {soft.posterior.sum():.1f} expected matches")

# %%
_, axes = plt.subplots(1, 3, figsize=(9, 3.1), layout="constrained", sharey=True)
for ax, t in zip(axes, (1.0, 0.3, 0.1), strict=True):
    soft = soft_smith_waterman(apart, 1.0, 0.3, temperature=t)
    plot_posterior(soft.posterior, colorbar=t == 0.1, ax=ax)
    ax.set_title(f"t = {t}")
    ax.set_ylabel("frame of A" if t == 1.0 else "")

# %% [markdown]
# The hard alignment is right: it is empty. The soft one always has at least one match (notebook 03), and with
# t at 0.1 it has hardly more, spread thinly over the table. At t = 1 it aligns about half of the frames of
# two clips that share nothing.
#
# There is no similarity in these matches; there is only number. One poor alignment weighs little, but there
# are so many of them. Let us count. After a match, the next one may follow with a run of skipped frames in
# either clip, or none. All possible runs in one clip together weigh
#
# $$ 1 + G, \qquad G = \sum_{k \ge 1} e^{-(g_o + (k-1)\, g_e)/t} = \frac{e^{-g_o/t}}{1 - e^{-g_e/t}}, $$
#
# and the match itself weighs $e^{S/t}$, on average over the cells. So every match is followed by
#
# $$ \rho = \overline{e^{S/t}}\; (1 + G)^2 $$
#
# times its weight. If $\rho < 1$, longer alignments weigh less and less, and a geometric series gives
# $1/(1-\rho)$ matches on average. If $\rho > 1$, they weigh more and more, and only the border of the table
# stops them. It is the calculation of a chain reaction.


# %%
def growth(S, go, ge, t):
    """How much all continuations of an alignment by one match weigh, relative to it."""
    G = np.exp(-go / t) / (1 - np.exp(-ge / t))
    return float((S / t).exp().mean()) * (1 + G) ** 2


# %%
for go, ge in ((1.0, 0.3), (0.2, 0.1)):
    for t in (1.0, 0.3, 0.2, 0.1):
        rho = growth(apart, go, ge, t)
        matched = float(soft_smith_waterman(apart, go, ge, temperature=t).posterior.sum())
        series = f"{1 / (1 - rho):4.1f}" if rho < 1 else "no end"
        print(f"penalties {go} and {ge}, t = {t}: rho {rho:5.2f}, series {series:>6},", end=" ")
        print(f"expected {matched:4.1f}")
        assert (matched > 10) == (rho > 1)
        assert rho > 0.5 or abs(1 / (1 - rho) / matched - 1) < 0.1

# %%
ts = np.geomspace(0.05, 2, 40)
_, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
for (go, ge), color in (((1.0, 0.3), ACCENT), ((0.2, 0.1), INK)):
    counts = [float(soft_smith_waterman(apart, go, ge, temperature=t).posterior.sum()) for t in ts]
    rho = np.array([growth(apart, go, ge, t) for t in ts])
    ax.semilogx(ts, counts, color=color, label=f"gap_open {go}, gap_extend {ge}")
    ax.semilogx(ts[rho < 0.95], 1 / (1 - rho[rho < 0.95]), color=color, ls="--", lw=1)
    ax.axvline(np.interp(1, rho, ts), color=color, ls=":", lw=1)
ax.set(xlabel="temperature", ylabel="expected matches", title="48 x 48 frames with nothing in common")
ax.set_ylim(0, 25)
_ = ax.legend(loc="upper left")

# %% [markdown]
# The dashed lines are the series, the dotted ones the temperatures at which $\rho = 1$. With cheap gaps the
# reaction sets in at a much lower temperature, and gaps become cheap in training, as section 7 has shown: at
# t = 0.3 the pair was quiet with the dear penalties and is not with the cheap ones. So the temperature has to
# be chosen for the penalties that training ends with. We try those of the trained encoder, with the margin
# so far and with its own, at t = 0.1, the temperature of this course.

# %%
go, ge = map(float, penalties["after"])
for m in (0.5, float(margin["after"])):
    rho = growth(apart + 0.5 - m, go, ge, 0.1)
    matched = soft_smith_waterman(apart + 0.5 - m, go, ge, temperature=0.1).posterior.sum()
    print(f"learned penalties {go:.2f} and {ge:.2f}, margin {m:.2f}: rho {rho:.4f}, expected {matched:.2f}")
    assert rho < 0.2

# %% [markdown]
# At t = 0.1, with the penalties that training ended with, this pair is quiet. Random vectors are the easy
# case: unrelated frames of real clips can have cosines well above 0, and $\rho$ grows with the mean of
# $e^{S/t}$. The temperature cannot be chosen as low as one likes, either: notebook 03 showed that a cold
# alignment hears of one path only.
#
# In a running notebook, look for the temperature at which the cheap penalties set it off.

# %%
from lacbook.viz.widgets import temperature_explorer

temperature_explorer(apart, gap_open=0.2, gap_extend=0.1, temperature=0.1, hottest=2.0)

# %% [markdown]
# ## 10. Exercises
#
# **Exercise 1.** With penalties that differ from cell to cell, it matters where a gap is charged: between two
# matches (i, j) and (p, r) first at the cells (i, j+1), ..., (i, r-1), then at (i+1, r-1), ..., (p-1, r-1);
# the first cell of each run costs `gap_open` there, the others `gap_extend`. Write `true_score(path, S, go,
# ge)` for arrays S, go and ge [N, M] and a list of matches. (The check tries it on every alignment of a
# table.)

# %%
# exercise 1
true_score = None

# %%
from lacbook.course import check

tables = np.random.default_rng(0).uniform(size=(3, 4, 5))
every = list(enumerate_alignments(*tables))
check(true_score, lambda f: all(np.isclose(f(list(a.path), *tables), a.score) for a in every))

# %% [markdown]
# **Exercise 2.** Write the derivative of the structured loss of a padded batch by `gap_extend` without
# autograd: `extend_slope(S, matches, sizes, go, ge, t)`, from expected and true extensions. Mind the pairs
# that the loss leaves out.

# %%
# exercise 2
extend_slope = None


# %%
def by_autograd(S, matches, sizes, go, ge, t):
    ge = torch.tensor(ge, dtype=S.dtype, requires_grad=True)
    loss = structured_loss(S, matches, sizes, torch.tensor(go, dtype=S.dtype), ge, t)
    return torch.autograd.grad(loss, ge)[0]


# %%
padded = cosine(*z["after"].chunk(2), margin["after"])
single = matches.clone()
single[1], single[(1, *paths[1][0])] = False, True
cases = [
    (m, sizes, go, ge, t) for m in (matches, single) for go, ge, t in ((0.1, 0.08, 0.1), (0.5, 0.2, 0.3))
]
wanted = [float(by_autograd(padded, *case)) for case in cases]


# %%
def right_slopes(f):
    with torch.no_grad():
        return np.allclose([float(f(padded, *case)) for case in cases], wanted)


check(extend_slope, right_slopes)

# %% [markdown]
# **Exercise 3.** The margin is learned, too. What is the derivative of the structured loss by the margin, in
# terms of expected matches? Find the `margin_at_rest` at which the structured term of the first pair, with
# the trained embeddings (`cosines["after"]`) and penalties, no longer pulls at it.

# %%
# exercise 3
margin_at_rest = None


# %%
def pull(m):
    """Derivative of the structured term of the first pair by the margin."""
    m = torch.tensor(float(m), dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(structured(cosines["after"] - m, truth, *penalties["after"]), m)[0]


check(margin_at_rest, lambda m: abs(pull(m)) < 0.01)

# %% [markdown]
# **Exercise 4.** It is not the form of $1/d^2$ that is to blame, but that it has no zero. Subtract a
# constant: from which `constant` on (and until it is so large that it eats the segment) is the best path of
# `kinds["1 / d²"] - constant`, with penalties 1 and 0.3, exactly the common segment? Find the smallest such
# constant to within 0.02.


# %%
def path_without(c):
    return smith_waterman(kinds["1 / d²"] - c, 1.0, 0.3).path()


# %%
# exercise 4
constant = None

# %%
check(constant, lambda c: path_without(c) == common != path_without(c - 0.02))

# %% [markdown]
# Solutions are in `notebooks/solutions/07_lac_loss.py`.

# %% [markdown]
# ## References
#
# - K. Oei, A. Gomaa, A. M. Feit, J. Belo, *Self-Supervised Contrastive Learning for Videos using
#   Differentiable Local Alignment* (LAC), 2024, [arXiv 2409.04607](https://arxiv.org/abs/2409.04607): the
#   idea of a contrastive and a local term together, the latter by a differentiable Smith-Waterman with
#   learned affine penalties. From its released code: $1/d^2$, and the cross-entropy of the alignment table
#   with a Gaussian. Ours are both forms of the local term here, the margin, the single penalties and their
#   prior.
# - M. Chen, F. Wei, C. Li, D. Cai, *Frame-wise Action Representations for Long Videos via Sequence
#   Contrastive Learning* (CARL), 2022, [arXiv 2203.14957](https://arxiv.org/abs/2203.14957): the contrastive
#   term, with its Gaussian target.
# - F. Llinares-López, Q. Berthet, M. Blondel, O. Teboul, J.-P. Vert, *Deep embedding and alignment of protein
#   sequences* (DEDAL), Nature Methods, 2023: an aligner trained with the soft score minus the score of the
#   true alignment, penalties included.
# - M. Blondel, A. F. T. Martins, V. Niculae, *Learning with Fenchel-Young Losses*, Journal of Machine
#   Learning Research, 2020: why such a loss is never negative, is convex in the scores, and has prediction
#   minus truth as its gradient.
# - S. Petti and others, Bioinformatics, 2023, as in notebook 03: the smoothed Smith-Waterman.
#
# **Next**: notebook 08 puts an encoder in front of this loss and trains it.
