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
# # 14 Reproduction notes: the paper, the released code, and this package
#
# **You will build** small stand-ins for formulas that the code released with LAC uses, and measure, for
# each of them, how far it is from what it was meant to compute.
#
# **You will learn** what is known of the published method and from where, at which points the released code
# departs from the mathematics, how each of these points could have been found by a test of a few lines,
# what this package does instead and why, and what a run with the published settings would cost.
#
# **Prerequisites**: notebooks 03 and 04 (the soft alignment and its gradient). Notebooks 07 to 09 help with
# sections 2 to 4.
#
# **Time**: the notebook runs in about 40 seconds on a CPU and reads in about 60 minutes.

# %% [markdown]
# ## What this is about, and in which spirit
#
# The authors of LAC published their code. That is a gift: without it nobody could say what a paper's
# sentence means in detail, and this course would not exist. Research code is written by people who want to
# find something out, often under a deadline, and it contains faults, as ours surely does, too. So read this
# notebook as a list of things to know before you build on that code, and as a collection of tests that are
# worth having in a code of your own.
#
# **Which version.** The repository is `keynekassapa13/LAC` on GitHub. There are three generations of it:
# April 2024, September 2024 and a partial rewrite of 2026. "The released code" means September 2024 (commit
# `52fb74b`), and for the loss its file `model/lac.py`. The rewrite (`model/lac_vec.py`, commit `460a776`)
# replaces the alignment and its gradient and mends several points; the table of section 5 says which.
#
# **What we have seen of the paper** (arXiv 2409.04607): its abstract, the beginning of its introduction,
# and the figure of the encoder. We have *not* seen its numbered equations, its section on sampling, its
# result tables or its ablations. So nothing below is a statement about them, and where the released code
# does something odd, the paper may well say it right.
#
# **How it is shown.** We copy no code. Each cell writes down the formula in question in the shortest form
# we could find, mostly on top of this package, and changes nothing else. The data are small and ours, so
# your attention should go to the size of an effect and not to its last digit. Findings are numbered by
# section, and every number is collected for a table at the end.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from lacbook import smith_waterman, soft_smith_waterman
from lacbook.alignment import recursion
from lacbook.viz import plot_posterior, plot_similarity, plot_table, use_theme
from lacbook.viz.style import ACCENT, INK, MUTED

use_theme()

# %%
measured = []


def record(finding, what, released, meant, form=""):
    """Print a pair of numbers and keep it for the table at the end."""
    released, meant = format(released, form), format(meant, form)
    measured.append({"finding": finding, "what": what, "released formula": released, "meant": meant})
    print(f"{finding} {what}: released formula {released}, meant {meant}")


def error(found, exact):
    """Relative error of an array or tensor, in the Euclidean norm."""
    found, exact = np.asarray(found), np.asarray(exact)
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


# %% [markdown]
# ## 1. The alignment's gradient
#
# The forward pass of the released code is the recursion of notebook 03, with a gap penalty for every cell.
# Its values are right for $t$ above 0. The backward pass is written by hand, and a hand-written backward
# pass is where a fault can hide longest: nothing crashes, the loss still goes down, and only a comparison
# with finite differences would tell. We look at it on the pair of squatting puppets that notebook 03 used.

# %%
from lacbook.course import squat_pair

a, b, S = squat_pair(step=6)
go, ge = 2.0, 0.5
t = 0.8
tables = recursion.forward(S, go, ge, t)
exact = recursion.backward(tables, go, ge, t)
print("S", S.shape, f" V = {tables.score:.4f} at t = {t}, expected matches {exact.posterior.sum():.2f}")
assert np.allclose(exact.posterior, soft_smith_waterman(S, go, ge, temperature=t).posterior)

# %% [markdown]
# ### 1.1 A softmax without its temperature
#
# The value uses $\operatorname{smax}_t(a) = t \log \sum_k e^{a_k/t}$, whose derivative is
# $\operatorname{softmax}(a / t)$. The released code hands its gradient on by $\operatorname{softmax}(a)$.
# That was exercise 2 of notebook 03, and it is easy to imitate: `recursion.backward` uses the temperature
# for nothing but these shares, so we fill the tables at $t$ and walk back through them at 1.


# %%
def posterior_error(S, go, ge, t):
    """How far the posterior is off if the shares forget the temperature."""
    tables = recursion.forward(S, go, ge, t)
    without, right = (recursion.backward(tables, go, ge, shares_at).posterior for shares_at in (1.0, t))
    return error(without, right)


noise = np.random.default_rng(0).normal(size=(16, 16))
pairs = {"two squats": (S, go, ge), "random numbers": (noise, 1, 0.5)}
temperatures = [0.1, 0.5, 0.8, 1.0, 2.0]
pd.DataFrame(
    {name: [posterior_error(*pair, t) for t in temperatures] for name, pair in pairs.items()},
    index=pd.Index(temperatures, name="t"),
).round(3)

# %%
ts = [0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.3, 1.6, 2.0, 2.5, 3.0]
_, ax = plt.subplots(figsize=(4.9, 2.5), layout="constrained")
for (name, pair), color in zip(pairs.items(), (ACCENT, INK), strict=True):
    ax.semilogx(ts, [posterior_error(*pair, t) for t in ts], color=color, label=name)
ax.axvline(0.8, color=MUTED, ls="--")
ax.text(0.77, 0.9, "t of the released\nconfiguration", ha="right", va="top", color=MUTED)
ax.set(xlabel="temperature t", ylabel="relative error of dV/dS", title="Right at t = 1 only", ylim=(0, 1.3))
ax.set_xticks([0.1, 0.2, 0.5, 1, 2, 3], [0.1, 0.2, 0.5, 1, 2, 3])
ax.minorticks_off()
_ = ax.legend(loc="upper left")

# %%
for name, pair in pairs.items():
    at_08, at_01, at_1 = (posterior_error(*pair, t) for t in (0.8, 0.1, 1.0))
    record("1.1", f"error of dV/dS at t = 0.8, {name}", at_08, 0, ".3f")
    record("1.1", f"error of dV/dS at t = 0.1, {name}", at_01, 0, ".3f")
    assert at_1 < 1e-12
    assert min(at_08, at_01) > 0.03

# %% [markdown]
# At $t = 1$ there is nothing to see, which is why a test at one temperature is not enough. Everywhere else
# it is not the gradient of the value: the shares are too soft below 1, as in a warmer alignment, and too
# sharp above it. At the released setting, $t = 0.8$, it is off by about a tenth of its size on the two
# squats, and, on the undecided random numbers, twice that. The package tests its gradients at several
# temperatures on both sides of 1.

# %% [markdown]
# ### 1.2 Gap gradients in the cell next door
#
# In cell $(i, j)$ the forward pass subtracts $g_o[i, j]$ from what arrives in $I^x_{ij}$ and in $I^y_{ij}$.
# So the derivative by $g_o[i, j]$ is, with the shares $p$ of the two smax of that very cell,
#
# $$ \frac{\partial V}{\partial g_o[i,j]} = -\bigl( g^x_{ij}\, p^x_{ij} + g^y_{ij}\, p^y_{ij} \bigr). $$
#
# The released code stores there
#
# $$ -\bigl( g^x_{i,j+1}\, p^x_{i,j+1} + g^y_{i+1,j}\, p^y_{i+1,j} \bigr): $$
#
# the first part comes from the right, the second from below. To imitate it we need the two parts apart. The
# loop of notebook 04 gives them, if $I^x$ and $I^y$ each have a table of penalties of their own.

# %%
from collections import defaultdict


def smax(values, t):
    return t * torch.logsumexp(torch.stack(values).clamp(min=-1e30) / t, 0)


# %%
def loop_score(S, go, ge, t):
    """V of one table, cell by cell. Ix pays go[0] and ge[0], Iy pays go[1] and ge[1]."""
    start, outside = S.new_tensor([0.0, -torch.inf])
    D, Ix, Iy = (defaultdict(lambda: outside) for _ in range(3))
    for i, j in np.ndindex(*S.shape):
        D[i, j] = S[i, j] + smax([start, *(table[i - 1, j - 1] for table in (D, Ix, Iy))], t)
        Ix[i, j] = smax([D[i, j - 1] - go[0, i, j], Ix[i, j - 1] - ge[0, i, j]], t)
        opened = [table[i - 1, j] - go[1, i, j] for table in (D, Ix)]
        Iy[i, j] = smax([*opened, Iy[i - 1, j] - ge[1, i, j]], t)
    return smax(list(D.values()), t)


# %%
def per_cell(*values):
    """Each number as a table [N, M] that wants a gradient."""
    return [torch.from_numpy(np.broadcast_to(value, S.shape).copy()).requires_grad_() for value in values]


X, opening, extending = per_cell(S, go, ge)
twice = [torch.stack([x, x]).detach().requires_grad_() for x in (opening, extending)]
in_Ix, in_Iy = torch.autograd.grad(loop_score(X, *twice, 1.0), twice[0])[0]
stored = torch.roll(in_Ix, -1, 1) + torch.roll(in_Iy, -1, 0)  # nothing wraps: no gap ends in row or column 0
soft_smith_waterman(X, opening, extending, temperature=1.0).score.backward()
assert torch.allclose(in_Ix + in_Iy, opening.grad)

# %%
gap_error = error(stored, opening.grad)
record("1.2", "error of dV/dgo, cell by cell, at t = 1", gap_error, 0, ".2f")
record("1.2", "sum of dV/dgo over all cells", stored.sum().item(), opening.grad.sum().item(), ".4f")
assert torch.isclose(stored.sum(), opening.grad.sum())
assert gap_error > 0.5

# %% tags=["thumbnail"]
_, axes = plt.subplots(1, 2, figsize=(7.6, 4.1), layout="constrained")
names = "meant: a gap opens here, in %", "stored by the released formula, in %"
most = -100 * float(opening.grad.min())
for ax, table, name in zip(axes, (opening.grad, stored), names, strict=True):
    plot_table((-100 * table[:, :9]).round(), limits=(0, most), ax=ax)  # under 0.5 % further right
    ax.set_title(name)

# %% [markdown]
# The sums agree to the last digit, and a check of the sum alone would pass. Yet the error of the cells is
# as large as the gradient itself. With one penalty for all cells this would not matter. But the released
# code learns a penalty for every cell, so the cells that pay for a gap are not those that hear of it. (We
# took $t = 1$ here, where finding 1.1 has no part in it.)

# %% [markdown]
# ### 1.3 The upstream gradient is left out
#
# If the loss is $L = c\,V$, then $\partial L/\partial g_o = c\; \partial V/\partial g_o$. A backward
# function is handed the factor $c$ and has to multiply by it. The released one does so for $S$, but not for
# the two penalties. It also returns two things, the score $V$ and the table $D$, and therefore receives two
# upstream gradients; the second is not used at all. This stand-in does exactly that, and takes everything
# else from the package.


# %%
class Released(torch.autograd.Function):
    """Score and table, exact; gradients handed on as the released code does."""

    @staticmethod
    def forward(ctx, S, go, ge, t):
        with torch.enable_grad():
            inputs = [x.detach().requires_grad_() for x in (S, go, ge)]
            result = soft_smith_waterman(*inputs, temperature=t)
            ctx.save_for_backward(*torch.autograd.grad(result.score, inputs))
        return result.score.detach(), result.table.detach()

    @staticmethod
    def backward(ctx, from_score, from_table):
        dS, dgo, dge = ctx.saved_tensors
        return from_score * dS, dgo, dge, None  # no factor on the last two, and from_table is not used


# %%
def package(S, go, ge, t):
    """The same two results, with the gradients of the package."""
    result = soft_smith_waterman(S, go, ge, temperature=t)
    return result.score, result.table


def gradient_norms(align, loss):
    """Norms of the gradients by S and by gap_open of a loss of score and table."""
    inputs = per_cell(S, go, ge)
    gradients = torch.autograd.grad(loss(*align(*inputs, 0.8)), inputs, allow_unused=True)
    return [0.0 if gradient is None else gradient.norm().item() for gradient in gradients[:2]]


# %%
rows = {}
for name, align in (("released", Released.apply), ("exact", package)):
    for c in (1.0, 0.01):
        rows[name, f"loss = {c} V"] = gradient_norms(align, lambda V, D, c=c: c * V)
print(pd.DataFrame(rows, index=["|dL/dS|", "|dL/dgo|"]).T.to_string(float_format="{:.4f}".format))
dgo = [norms[1] for norms in rows.values()]
shrinks = dgo[0] / dgo[1], dgo[2] / dgo[3]
record("1.3", "dL/dgo shrinks by, when the loss is scaled by 0.01", *shrinks, ".0f")
assert np.allclose(shrinks, (1, 100))

# %% [markdown]
# In the released code the weight of the local term, 0.01, therefore reaches the encoder but not the
# penalties. A tool that everybody has would have found it: PyTorch's `gradcheck` multiplies by an upstream
# gradient on purpose. We give it a function of one argument, since it wants all of them in float64.

# %%
from torch.autograd.gradcheck import GradcheckError, gradcheck

penalty = torch.full(S.shape, go, dtype=torch.float64, requires_grad=True)
fixed = torch.from_numpy(S), torch.full(S.shape, ge, dtype=torch.float64)
for name, align in (("released", Released.apply), ("package", package)):
    try:
        gradcheck(lambda g, f=align: f(fixed[0], g, fixed[1], 0.8)[0], penalty, fast_mode=True)
        print(f"{name}: passed")
    except GradcheckError as refusal:
        print(f"{name}: {str(refusal).splitlines()[0][:60]}")

# %% [markdown]
# ### 1.4 The table's gradient is dropped
#
# Now a loss that uses the table, and nothing but the table: $L = \sum_{ij} D_{ij}^2$.

# %%
by_table = {
    name: gradient_norms(align, lambda V, D: D.square().sum())
    for name, align in (("released", Released.apply), ("exact", package))
}
V_alone = gradient_norms(package, lambda V, D: V)
record("1.4", "|dL/dS| of L = sum of D^2", by_table["released"][0], by_table["exact"][0], ".1f")
record("1.4", "|dL/dgo| of L = sum of D^2", by_table["released"][1], by_table["exact"][1], ".3f")
print(f"|dV/dgo| {V_alone[1]:.3f}")
assert by_table["released"][0] == 0.0 < by_table["exact"][0]
assert np.isclose(by_table["released"][1], V_alone[1])

# %% [markdown]
# The similarities hear nothing of this loss. The penalties do receive a gradient, but it is that of the
# score $V$, printed beneath, which does not occur in the loss.

# %% [markdown]
# ### 1.5 So one term of the loss trains nothing
#
# Why does that matter? Because the released local term has two parts. One is the score of both directions.
# The other is a cross-entropy that uses the tables: with the row-wise softmax $P_{12}$ of $D_{12}$,
# $P_{21}$ of $D_{21}$, and the Gaussian target $y$ of notebook 07,
#
# $$ L_{\text{loc}} = \tfrac1T \textstyle\sum_i \operatorname{CE}\bigl( (P_{12} P_{21}^\top)_i,\, y_i \bigr) +
# V_{12} + V_{21}, \qquad S_{ij} = \frac{1}{\lVert z^1_i - z^2_j \rVert^2}. $$
#
# We need two views for it. Ours come from a made-up video whose embedding wanders around.

# %%
from lacbook.data.sampling import two_views
from lacbook.losses.scl import gaussian_target
from lacbook.similarity import cosine, inverse_distance


def toy_views(T, length, size=16, noise=0.5, seed=0):
    """Embeddings of two views of a made-up video, [T, size] and unit length, and their frame indices."""
    rng = np.random.default_rng(seed)
    video = normalize(torch.from_numpy(rng.normal(size=(length, size))).cumsum(0), dim=1)
    steps = [torch.from_numpy(view) for view in two_views(length, T, rng)]
    scale = noise / size**0.5
    z = [normalize(video[s] + scale * torch.from_numpy(rng.normal(size=(T, size))), dim=1) for s in steps]
    return *z, *steps


# %%
def local_term(z1, z2, y, align, with_ce=True):
    """The released local term at t = 0.8, with the alignment it is given."""
    V, D = zip(*(align(inverse_distance(p, q), *ones, 0.8) for p, q in ((z1, z2), (z2, z1))), strict=True)
    P12, P21 = (table.softmax(1) for table in D)
    return with_ce * cross_entropy(P12 @ P21.T, y) + V[0] + V[1]


z1, z2, steps1, steps2 = toy_views(T=16, length=24)
ones = [torch.ones(16, 16, dtype=torch.float64) for _ in range(2)]
z1.requires_grad_()
y = gaussian_target(steps1[None], steps2[None], torch.ones(1, 16, dtype=torch.bool), dtype=z1.dtype)[0]
print("z1", tuple(z1.shape), " y", tuple(y.shape), " first steps", steps1[:5].tolist(), steps2[:5].tolist())

# %%
ce_gradient, whole = {}, {}
for name, align in (("released", Released.apply), ("exact", package)):
    with_ce, without = (torch.autograd.grad(local_term(z1, z2, y, align, ce), z1)[0] for ce in (True, False))
    ce_gradient[name], whole[name] = (with_ce - without).norm().item(), with_ce.norm().item()
record("1.5", "gradient that the cross-entropy adds", *ce_gradient.values(), ".2g")
print(f"gradient of the whole local term, exact: {whole['exact']:.2g}")
assert ce_gradient["released"] == 0.0 < 1e-6 < ce_gradient["exact"] < whole["exact"]

# %% [markdown]
# With the released gradients, the cross-entropy changes the value of the loss and nothing else: no weight
# of the encoder ever feels it. Whatever the trained models of that version learned, they did not learn it
# from this term. (Even its exact gradient is, on these views of unit length, a small part of the whole.
# Finding 2.1 tells one reason.)

# %% [markdown]
# ### 1.6 A border of minus infinity
#
# Outside the table, the released code has $-\infty$. So at the border both arguments of a smax are
# $-\infty$, and a softmax of nothing but $-\infty$ is $0/0$. These shares are never read: the shift of
# finding 1.2 happens to step over them. Whoever mends that one gets this one for it.

# %%
D, Ix, _, _ = recursion.forward(S, go, ge, t)
before = [np.pad(table, ((0, 0), (1, 0)), constant_values=-np.inf)[:, :-1] for table in (D, Ix)]
shares = torch.from_numpy(np.stack([before[0] - go, before[1] - ge]) / t).softmax(0)
in_place, shifted = shares[0].isnan().sum().item(), shares[0][:, 1:].isnan().sum().item()
record("1.6", "NaN among the opening shares of Ix, read in place", in_place, 0)
record("1.6", "the same, read one cell to the right", shifted, 0)
assert in_place == len(S)
assert shifted == 0

# %% [markdown]
# One NaN in each row, and in the table of $I^y$ one in each column. A large negative but finite number at
# the border is the usual remedy (notebook 04, section 5), and the rewrite of 2026 uses one.
#
# ### 1.7 The other direction has the wrong penalties
#
# The penalties are matrices, indexed by positions in view 1 and view 2. For the direction from view 2 to
# view 1 the similarity is transposed, and the penalties would have to be, too. They are used as they are.
# Learned penalties are not symmetric (we draw some at random), so the two directions price the same gap
# differently.

# %%
X = torch.from_numpy(np.random.default_rng(1).normal(size=(20, 20)))
G = [1 + 0.5 * torch.from_numpy(np.random.default_rng(k).normal(size=X.shape)) for k in (2, 3)]
there = soft_smith_waterman(X, *G, temperature=0.8).score
as_they_are = soft_smith_waterman(X.T, *G, temperature=0.8).score
transposed = soft_smith_waterman(X.T.contiguous(), *(g.T for g in G), temperature=0.8).score
off = [abs(float(back - there)) for back in (as_they_are, transposed)]
record("1.7", "V(1 to 2) and V(2 to 1) differ by", *off, ".3f")
assert off[1] < off[0] / 2

# %% [markdown]
# A small difference remains even when it is done right. It is real: where frames of both videos are skipped
# in a row, one order is fixed (notebook 02, section 3), so the other direction passes through other cells.
# With one number for all cells there is no difference at all.

# %% [markdown]
# ## 2. The objective
#
# Now suppose that all gradients are exact, as in the rewrite of 2026 and in this package. Does the
# objective ask for the right thing?
#
# ### 2.1 Probabilities where logits are expected
#
# The cross-entropy of PyTorch takes logits, any numbers, and applies a softmax to them. The released code
# hands it $P_{12} P_{21}^\top$, whose entries are probabilities between 0 and 1. After the second softmax
# the largest entry of a row can be at most $e$ times the smallest. What is the lowest value such a loss can
# reach? The best logits for a target $y$ would be $\log y_j + c$; confined to $[0, 1]$, the best are the
# same, clipped, for the best constant $c$.

# %%
frame = torch.arange(64)
y = gaussian_target(frame[None], frame[None], torch.ones(1, 64, dtype=torch.bool), dtype=torch.float64)[0]
clipped = [cross_entropy((y.log() + c).clamp(0, 1), y, reduction="none") for c in torch.linspace(0, 10, 401)]
levels = {
    "uniform prediction": cross_entropy(torch.zeros(64, 64), y.float()).item(),
    "perfect match, P12 = P21 = y": cross_entropy(y @ y.T, y).item(),
    "best with entries in [0, 1]": torch.stack(clipped).min(0).values.mean().item(),
    "best possible: entropy of y": -torch.special.xlogy(y, y).sum(1).mean().item(),
}
print(pd.Series(levels).to_string(float_format="{:.3f}".format))

# %%
_, ax = plt.subplots(figsize=(6, 1.6), layout="constrained")
bars = ax.barh(list(levels), list(levels.values()), color=[MUTED, ACCENT, MUTED, MUTED], height=0.6)
ax.bar_label(bars, fmt="%.2f", padding=4)
ax.invert_yaxis()
ax.set(xlabel="cross-entropy, T = 64", xlim=(0, 4.6))
uniform, perfect, _, floor = levels.values()
record("2.1", f"cross-entropy of a perfect match (uniform: {uniform:.3f})", perfect, floor, ".3f")
assert (uniform - perfect) < 0.1 * (uniform - floor)

# %% [markdown]
# Between knowing nothing and a perfect match lies a sliver of the way that a cross-entropy would offer.
# (The code also defines a sharper temperature for this place, 0.1, and does not use it.) GTA, where the
# idea of this term comes from, hands probabilities to its cross-entropy in the same way.
#
# ### 2.2 A round trip that does not come home
#
# $P_{12}$ is N x M and leads from view 1 to view 2; $P_{21}$ is M x N and leads back. The round trip is
# $P_{12} P_{21}$. The released code multiplies by the transpose instead, $P_{12} P_{21}^\top$, which sums
# over an index that is a frame of view 2 in one factor and a frame of view 1 in the other. Take two views
# of the same length, the second beginning 5 frames later, and perfect correspondences.

# %%
shift, T = 5, 32
i = torch.arange(T)
P12 = normalize((-0.5 * (i[:, None] - shift - i[None]).square()).exp(), p=1, dim=1)
P21 = normalize((-0.5 * (i[:, None] + shift - i[None]).square()).exp(), p=1, dim=1)
round_trips = {"P12 P21": P12 @ P21, "P12 P21^T": P12 @ P21.T}
inner = slice(3 * shift, T - 3 * shift)  # frames whose partners lie inside both views
landing = {name: (product.argmax(1) - i)[inner] for name, product in round_trips.items()}
for name, moved in landing.items():
    print(f"{name:10} frame i arrives at i + {sorted(set(moved.tolist()))}")

# %%
_, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
for ax, (name, product) in zip(axes, round_trips.items(), strict=True):
    plot_posterior(product, colorbar=False, ax=ax)
    ax.axline((0, 0), slope=1, color=MUTED, lw=1, ls="--")
    ax.set(title=name, xlabel="frame of view 1 it arrives at", ylabel="frame of view 1")
assert (landing["P12 P21"] == 0).all()
assert (landing["P12 P21^T"] == -2 * shift).all()
record("2.2", "the round trip, views 5 frames apart, misses home by", 2 * shift, 0)

# %% [markdown]
# (The first five frames have no partner in view 2, so they bend away in the left picture.) The transposed
# product goes the same way twice instead of there and back. The target it is compared with is
# the Gaussian from view 1 to view 2, so it is not home either. If both views show the same frames the two
# products nearly agree, and if the views have different lengths the transposed one has no meaning at all:

# %%
try:
    torch.rand(6, 4) @ torch.rand(4, 6).T
except RuntimeError as refusal:
    print("N = 6, M = 4:", refusal)

# %% [markdown]
# ### 2.3 One over the squared distance: infinity
#
# The similarity is $S_{ij} = 1 / \lVert z^1_i - z^2_j \rVert^2$. Two equal frames have distance zero. With
# augmentation and dropout that is rare between two views in training. But a video that is compared with
# itself has it, and so has an encoder that maps all frames to one point. Here a view meets itself.

# %%
z = torch.randn(6, 8, generator=torch.manual_seed(0)).requires_grad_()
units = torch.ones(2, 6, 6)
scores, broken = {}, {}
for eps in (0.0, 1e-8):
    similarity = 1 / ((z[:, None] - z.detach()).square().sum(-1) + eps)
    scores[eps] = loop_score(similarity, units, units, 0.8)
    broken[eps] = torch.autograd.grad(scores[eps], z)[0].isnan().sum().item()
    print(f"eps = {eps}: V = {scores[eps]:.3g}, NaN in {broken[eps]} of {z.numel()} entries of the gradient")
record("2.3", "NaN entries of the gradient, a view and itself", broken[0.0], 0)
assert scores[0.0] == torch.inf
assert broken[0.0] == z.numel()

# %% [markdown]
# The rewrite of 2026 adds $10^{-8}$ to the denominator, which saves the gradient here. But one equal pair
# may still score a hundred million, and beside it nothing else counts.
#
# ### 2.4 One over the squared distance: never local
#
# The second fault of this similarity is quieter. It is positive for *every* pair of frames. An alignment
# restarts, or ends, where going on would cost more than it brings; if every further match brings something,
# there is no such place. We lay two sequences of 20 unrelated frames, in which only a stretch of eight is
# shared, and ask the hard recursion of notebook 02 how often the 0 wins.

# %%
generator = torch.manual_seed(3)
x, w = (normalize(torch.randn(20, 16, generator=generator), dim=1) for _ in range(2))
w[5:13] = normalize(x[8:16] + 0.1 * torch.randn(8, 16, generator=generator), dim=1)
truth = [(8 + k, 5 + k) for k in range(8)]
choices = {"1 / distance squared": inverse_distance(x, w), "cosine - 0.5": cosine(x, w, 0.5)}
local = {}
for name, similarity in choices.items():
    filled = recursion.forward(similarity, 1.0, 1.0, 0.0)
    best = np.maximum(np.maximum(filled.D, filled.Ix), filled.Iy)[:-1, :-1]  # what a match may continue
    path = smith_waterman(similarity, 1.0, 1.0).path()
    local[name] = (best < 0).mean(), path
    print(f"{name:21} restarts in {(best < 0).mean():4.0%} of the cells; path {path[0]} to {path[-1]}")

# %%
_, axes = plt.subplots(1, 2, figsize=(7.2, 2.9), layout="constrained")
for ax, (name, similarity) in zip(axes, choices.items(), strict=True):
    shown = similarity.clamp(max=5)  # or eight cells of 1 / d² would outshine all others
    plot_similarity(shown, path=local[name][1], colorbar=False, ax=ax)
    bar = ax.figure.colorbar(ax.images[0], ax=ax, label="similarity (0 = unrelated)")
    bar.ax.set_ylim(min(0, shown.min()), shown.max())  # nothing is negative on the left
    bar.outline.set_visible(False)
    ax.set(title=name, xticks=range(0, 20, 5), yticks=range(0, 20, 5))
(released_restarts, released_path), (restarts, path) = local.values()
record("2.4", "share of cells where the alignment restarts", released_restarts, restarts, ".0%")
assert released_restarts == 0.0 < 0.5 < restarts
assert path == truth
assert len(released_path) > len(truth)

# %% [markdown]
# With the positive similarity the 0 never wins, and the path runs on through the unrelated frames, from
# border to border as far as it can. That is a global alignment with another name, and the word *local* in
# the method's name is lost. With a cosine minus a margin, unrelated frames score below zero and the path is
# exactly the shared stretch. (The margin is learned in this package.)
#
# ### 2.5 The sign: matched frames are pushed apart
#
# The local term contains $+V_{12} + V_{21}$, and a loss is minimised. In the code of April 2024, $S$ was
# the squared distance itself, so a small $V$ meant small distances. (There, however, the recursion looks
# for the path with the *largest* sum of distances.) In September 2024 $S$ became a similarity, and the sign
# stayed. What does minimising do now? We let two views move freely for 200 steps of plain gradient descent
# on $+V$, with exact gradients, and on this package's structured term for comparison (notebook 07). (The
# two terms differ in size, so each has a step size of its own.)

# %%
from lacbook.losses.lac import structured_loss


def released_local(z1, z2):
    return soft_smith_waterman(inverse_distance(z1, z2), 1.0, 1.0, temperature=0.8).score


def our_local(z1, z2):
    matches, gaps = torch.eye(12, dtype=torch.bool), torch.tensor(0.2)
    similarity, lengths = cosine(z1, z2, 0.5), torch.tensor([[12, 12]])
    return structured_loss(similarity[None], matches[None], lengths, gaps, gaps, temperature=0.1)


# %%
def descend(local_loss, rate, steps=200):
    """Mean squared distance of matched (i, i) and of other frames, at every step."""
    first, difference = torch.randn(2, 12, 8, generator=torch.manual_seed(0))
    z = [(0.23 * first).requires_grad_(), (0.23 * first + 0.18 * difference).requires_grad_()]
    optimizer, course, matched = torch.optim.SGD(z, rate), [], torch.eye(12, dtype=torch.bool)
    for _ in range(steps + 1):
        distance = torch.cdist(*z).square().detach()
        course.append([distance[matched].mean().item(), distance[~matched].mean().item()])
        optimizer.zero_grad()
        local_loss(*z).backward()
        optimizer.step()
    return np.array(course)


# %%
courses = {"released, + V": descend(released_local, 0.01), "structured": descend(our_local, 1.0)}
names = "matched frames", "other frames"
_, axes = plt.subplots(1, 2, figsize=(7, 2.3), layout="constrained")
for ax, (name, course) in zip(axes, courses.items(), strict=True):
    for distance, label, color in zip(course.T, names, (ACCENT, MUTED), strict=True):
        ax.plot(distance, color=color, label=label)
    ax.set(title=name, xlabel="step", ylim=(0, None))
axes[0].set_ylabel("mean squared distance")
axes[0].legend()
for name, course in courses.items():
    moves = (f"{n} {d[0]:.2f} to {d[-1]:.2f}" for n, d in zip(names, course.T, strict=True))
    print(f"{name}: {', '.join(moves)}")

# %%
released_course, our_course = courses.values()
before, after, ours = released_course[0], released_course[-1], our_course[-1]
record("2.5", f"squared distance of matched frames, {before[0]:.2f} before", after[0], ours[0], ".2f")
assert after[0] > 4 * before[0] > 4 * ours[0]
assert after[0] / before[0] > after[1] / before[1]

# %% [markdown]
# The released term drives matched frames apart, and them first of all, because the gradient goes where the
# posterior is. What holds the frames together in that code is the contrastive term, against the local one.
# The structured term, the likelihood of the true alignment, pulls the matched frames together and pushes
# the others away. This point is the same in the rewrite of 2026.
#
# ### 2.6 Penalties that have no best value
#
# The gap penalties are free parameters. What would be the best ones for $\pm V$? Since $-\partial V /
# \partial g_o$ is an expected number of openings, it is never negative: $V$ falls as a penalty grows,
# always. So whoever minimises $V$ raises the penalties until no alignment can afford a gap and the gradient
# dies out, and whoever maximises it lowers them without end, below zero, where every gap is a gain. The
# released sign is the first of the two. In neither case do the true gaps have a say. Compare a likelihood,
# which asks for the true alignment with its gaps.

# %%
from lacbook.losses.lac import true_matches

z1, z2, steps1, steps2 = toy_views(T=24, length=40, noise=0.8, seed=2)
similarity, lengths = cosine(z1, z2, 0.5), torch.tensor([[24, 24]])
matches = true_matches(steps1[None], steps2[None], lengths)
objectives = {
    "minimise V": lambda go, ge: soft_smith_waterman(similarity, go, ge, temperature=0.1).score,
    "maximise V": lambda go, ge: -soft_smith_waterman(similarity, go, ge, temperature=0.1).score,
    "likelihood": lambda go, ge: structured_loss(similarity[None], matches, lengths, go, ge, temperature=0.1),
}
print(f"{int(matches.sum())} true matches; similarity", tuple(similarity.shape))


# %%
def learn_penalties(objective, steps=240):
    """gap_open at every step of Adam, from 1."""
    penalties = [torch.tensor(1.0, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    optimizer, course = torch.optim.Adam(penalties, lr=0.1), []
    for _ in range(steps + 1):
        course.append(penalties[0].item())
        optimizer.zero_grad()
        objective(*penalties).backward()
        optimizer.step()
    return np.array(course)


openings = {name: learn_penalties(objective) for name, objective in objectives.items()}
for name, course in openings.items():
    print(f"{name}: gap_open 1 at first, {course[120]:.2f} after 120 steps, {course[240]:.2f} after 240")

# %%
_, ax = plt.subplots(figsize=(4.8, 2.3), layout="constrained")
for (name, course), color in zip(openings.items(), (MUTED, INK, ACCENT), strict=True):
    ax.plot(course, color=color, label=name, ls="--" if name == "maximise V" else "-")
ax.set(xlabel="step of Adam", ylabel="gap_open", title="Only the likelihood knows a best penalty")
_ = ax.legend(loc="lower left")
ends = {name: course[240] - course[120] for name, course in openings.items()}
print(f"the opposite sign, maximise V: {ends['maximise V']:+.2f} in steps 120 to 240, and no end in sight")

# %%
finals = [openings[name][240] for name in ("minimise V", "likelihood")]
record("2.6", "gap_open after 240 steps, 1 at first (+V minimised, as released; likelihood)", *finals, ".2f")
assert finals[0] > 1.5 > 0.5 > finals[1]
assert ends["maximise V"] < -3
assert openings["maximise V"][240] < -5
assert abs(ends["likelihood"]) < 0.1

# %% [markdown]
# The likelihood settles, because it would pay for a gap too many as well as for one too few. (Only where
# the true alignment has both openings and extensions, though. Otherwise one penalty is still free, and so
# the package also pulls both weakly towards their start.)
#
# ### 2.7 Adam and the cells that nobody visits
#
# The released penalties are a 64 x 64 matrix each, start at 1, and are trained by Adam with a learning rate
# of 0.1 and the weight decay of the encoder, $10^{-5}$. Adam adds the decay, $10^{-5} g_o$, to the gradient
# and then divides by the running size of the sum. Near the diagonal the gradient is larger than that. Far
# from it, where no alignment comes by, the decay is all there is; divided by its own size it is a full
# step, 0.1 towards zero, each time.

# %%
z1, z2, *_ = toy_views(T=64, length=90)
similarity = inverse_distance(z1, z2)


def penalties_after(decay, steps=60):
    """The matrix gap_open after some steps on the released term, with exact gradients."""
    penalties = [torch.ones(64, 64, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    optimizer = torch.optim.Adam(penalties, lr=0.1, weight_decay=decay)
    for _ in range(steps):
        optimizer.zero_grad()
        (0.01 * soft_smith_waterman(similarity, *penalties, temperature=0.8).score).backward()
        optimizer.step()
    return penalties[0].detach().numpy()


# %%
learned = {f"weight decay {decay:g}": penalties_after(decay) for decay in (1e-5, 0.0)}
_, axes = plt.subplots(1, 2, figsize=(6.8, 2.7), layout="constrained")
for ax, (name, table) in zip(axes, learned.items(), strict=True):
    image = ax.imshow(table, cmap="rocket_r", vmin=0, vmax=7.5)
    ax.set(title=f"gap_open, {name}", xlabel="position in view 2", ylabel="position in view 1")
    print(f"{name}: gap_open from {table.min():.2f} to {table.max():.2f}")
_ = ax.figure.colorbar(image, ax=axes, shrink=0.8)

# %%
small = [(np.abs(table) < 0.2).mean() for table in learned.values()]
record("2.7", "cells whose gap_open has fallen below 0.2", *small, ".0%")
assert small[0] > 0.5
assert small[1] == 0

# %% [markdown]
# After 60 steps most of the matrix says that a gap costs nothing, and no video has said so. (Nor is the
# rest sensible: it has grown far beyond 1, which is finding 2.6.) The package's matrix penalties are stored
# as a distance from their start, so that the same decay leads back to the start. Its default is one number
# for all cells, since a position in a randomly sampled view means little.
#
# ### 2.8 A mean over too much
#
# The contrastive part is $\sum_{ij} y_{ij} (\log y_{ij} - \log Q_{ij})$, a divergence per frame of view 1
# that is to be averaged over the $T$ frames. The released code divides by $T^2$.

# %%
y = gaussian_target(frame[None], frame[None], torch.ones(1, 64, dtype=torch.bool), dtype=torch.float64)[0]
total = (torch.special.xlogy(y, y) - y * torch.full_like(y, 1 / 64).log()).sum().item()
record("2.8", "contrastive loss of a uniform prediction, T = 64", total / 64**2, total / 64, ".4f")

# %%
z1, z2, *steps = toy_views(64, 90)
everything = torch.ones(1, 64, dtype=torch.bool)
target = gaussian_target(steps[0][None], steps[1][None], everything, dtype=z1.dtype)[0]
loudness = {}
for k in (1, 4, 8):
    p, q = (k * z1).requires_grad_(), k * z2
    contrast = (torch.special.xlogy(target, target) - target * (p @ q.T / 0.8).log_softmax(1)).sum()
    X = inverse_distance(p, q)
    local = sum(soft_smith_waterman(table, 1.0, 1.0, temperature=0.8).score for table in (X, X.T))
    sizes = [torch.autograd.grad(part, p, retain_graph=True)[0].norm().item() for part in (contrast, local)]
    loudness[k] = [0.01 * sizes[1] / (sizes[0] / over) for over in (64**2, 64)]

# %%
table = pd.DataFrame(loudness, index=["divided by T^2", "divided by T"]).T.rename_axis("length")
print("gradient of 0.01 (V12 + V21) / that of the contrast")
print(table.to_string(float_format="{:.3g}".format))
what = "gradient of 0.01 (V12 + V21) / that of the contrast, embeddings of length 1"
record("2.8", what, *loudness[1], ".1f")
assert min(loudness[1]) > 10
assert max(loudness[8]) < 0.5
assert np.allclose(table["divided by T^2"] / table["divided by T"], 64)

# %% [markdown]
# The factor of 64 is lost for the term that holds matched frames together, and so won for the one that
# pushes them apart (finding 2.5). Which of the two is louder depends on the length of the embeddings, which
# that encoder leaves open (finding 2.9). At length 1 the local term wins even with a proper mean, since
# $1/d^2$ is steep where frames are alike; at length 8 the contrast does in either case. The factor of 64
# between the columns does not depend on it.
#
# ### 2.9 Exponentials of large numbers
#
# The configuration says `l2_normalize: true`. The LAC encoder does not read it, so embeddings have any
# length. The prediction is then written as $e^{A_{ij}} / \sum_k e^{A_{ik}}$ with $A = Z_1 Z_2^\top / \tau$
# and raw exponentials. In float32 these end near $e^{89}$, beyond which there is $\infty / \infty$, a NaN,
# which the code replaces by 0.

# %%
Z = torch.randn(64, 128, generator=torch.manual_seed(0))  # unit variance in each of 128 dimensions
A = Z @ Z.T / 0.8
raw = A.exp() / A.exp().sum(1, keepdim=True)
largest = torch.log(torch.tensor(torch.finfo(torch.float32).max))
print(f"mean of the diagonal of A {A.diagonal().mean():.0f}; float32 ends at e to the power of {largest:.0f}")
stable = A.log_softmax(1)
broken, sound = (p.isnan().any(1).double().mean().item() for p in (raw, stable))
record("2.9", "rows with a NaN in the prediction", broken, sound, ".0%")
right = [p.diagonal().mean().item() for p in (raw.nan_to_num(0.0), stable.exp())]
record("2.9", "probability of the right frame, NaN replaced by 0", *right, ".2f")
assert broken > 0.9 > sound
assert right[0] < 0.1 < 0.9 < right[1]

# %%
Zg = Z.clone().requires_grad_()
e = (Zg @ Zg.T / 0.8).exp()
q = e / e.sum(1, keepdim=True)
q[q.isnan()] = 0.0
losses = [-(q + 1e-6).log().diagonal().sum(), -(Zg @ Zg.T / 0.8).log_softmax(1).diagonal().sum()]
broken, sound = (torch.autograd.grad(loss, Zg)[0].isnan().double().mean().item() for loss in losses)
print(f"loss with NaN replaced by 0: {losses[0].item():.0f}")
record("2.9", "NaN entries of the gradient", broken, sound, ".0%")
assert losses[0].isfinite()
assert broken > 0.9 > sound == 0

# %% [markdown]
# The frame and its own embedding, as good a match as there can be, ends with probability zero. The loss
# stays finite, but its gradient does not: the derivative of $\infty / \infty$ is NaN, whatever is written
# over the value. Unit variance is our assumption here. An encoder at its random start may stay below the
# limit, and nothing keeps a trained one there. With vectors of length 1 the exponent cannot grow, and
# `log_softmax` takes the largest number out first.

# %% [markdown]
# ## 3. The encoder and the sampling
#
# An encoder for videos should put the frames of one video into relation with each other, and leave other
# videos alone. That can be tested from outside: change one frame, and see which outputs move.
#
# ### 3.1 Attention across videos
#
# PyTorch's transformer expects [time, batch, features] unless it is told `batch_first=True`. The released
# encoder hands it [batch, time, features] and does not tell. It takes the videos for moments of time and
# the frames for the members of a batch. We build that transformer with the released sizes, and beside it
# the one of this package, and change one frame of one video after another. The four "videos" of our batch
# could be two views of two videos, as in the released batches.

# %%
from lacbook.models.transformer import TemporalTransformer


def effects(encode, videos=4, frames=6, size=256):
    """How far each output moves when one input frame is replaced; [videos * frames] squared."""
    x = torch.randn(videos, frames, size, generator=torch.manual_seed(0))
    before, moved = encode(x), []
    for video, frame in np.ndindex(videos, frames):
        changed = x.clone()
        changed[video, frame] = torch.randn(size, generator=torch.manual_seed(1))
        moved.append((encode(changed) - before).norm(dim=-1).flatten())
    return torch.stack(moved)


# %%
torch.manual_seed(0)
layer = nn.TransformerEncoderLayer(256, 8, 1024, 0.1)  # batch_first=False is the default
released_transformer = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
ours = TemporalTransformer(256, heads=8, layers=2, hidden=1024).eval()
encoders = {
    "released: (N, T, C), batch_first=False": released_transformer,
    "lacbook": lambda x: ours(x, torch.full((len(x),), x.shape[1])),
}
with torch.no_grad():
    moved = {name: effects(encode) for name, encode in encoders.items()}
    alone = effects(released_transformer, videos=1) > 1e-4
print("one video alone, released: each frame moves", alone.sum(1).tolist(), "output(s)")
assert torch.equal(alone, torch.eye(6, dtype=torch.bool))

# %%
_, axes = plt.subplots(1, 2, figsize=(7.6, 3.8), layout="constrained")
for ax, (name, table) in zip(axes, moved.items(), strict=True):
    ax.imshow(table.numpy() > 1e-4, cmap="Greys", vmax=1.3)
    for edge in (5.5, 11.5, 17.5):
        ax.axhline(edge, color=ACCENT, lw=1.2)
        ax.axvline(edge, color=ACCENT, lw=1.2)
    ax.set_xticks(range(24), [str(k % 6) for k in range(24)])
    ax.set_yticks(range(24), [str(k % 6) for k in range(24)])
    ax.tick_params(length=0, labelsize=7.5)
    ax.set(title=name, xlabel="frame that moves (four videos of six)", ylabel="frame that is changed")

# %%
same_video = torch.block_diag(*torch.ones(4, 6, 6)).bool()
same_frame = torch.eye(6, dtype=torch.bool).repeat(4, 4)
released_moves, our_moves = (table > 1e-4 for table in moved.values())
assert torch.equal(released_moves, same_frame)
assert torch.equal(our_moves, same_video)
outside, inside = ~same_video, same_video & ~torch.eye(24, dtype=torch.bool)
for what, cells in (("frames of other videos", outside), ("other frames of the video", inside)):
    reached = (moves[cells].double().mean().item() for moves in (released_moves, our_moves))
    record("3.1", f"changing a frame moves {what}", *reached, ".0%")

# %% [markdown]
# The left picture is the right one turned inside out. Frame 2 of a video listens to frame 2 of the three
# other videos, among them the other view of its own, and to no other moment. In evaluation, where videos
# come one by one, it listens to nobody. So this transformer never sees motion, and in training its output
# depends on who else is in the batch.
#
# ### 3.2 A temporal convolution over one frame
#
# Before the transformer there are two three-dimensional convolutions that span three frames each. But with
# the released `num_contexts: 1` every frame is convolved alone, between two frames of zeros that padding
# adds. Of the three temporal taps only the middle one ever meets a picture.

# %%
conv = nn.Conv3d(8, 8, kernel_size=3, padding=(1, 0, 0))
for frames_seen in (1, 3):
    pictures = torch.randn(2, 8, frames_seen, 6, 6, generator=torch.manual_seed(0))
    conv.zero_grad()
    conv(pictures).square().sum().backward()
    taps = conv.weight.grad.square().sum((0, 1, 3, 4)).sqrt()
    print(f"{frames_seen} frame(s): gradient of the temporal taps", [f"{tap:.1f}" for tap in taps])
    if frames_seen == 1:
        record("3.2", "temporal taps of 3 that receive a gradient", int((taps > 0).sum()), 3)
        assert (taps > 0).tolist() == [False, True, False]
assert (taps > 0).all()

# %% [markdown]
# With findings 3.1 and 3.2 together, the embedding of a frame in evaluation is a function of that one
# picture and of its position code (finding 3.4), and of nothing that came before or after.
#
# ### 3.3 Frames past the end
#
# A view is meant to be $n$ frames out of a random block of the video. The released loader makes the block
# $\lceil r L \rceil$ frames long, with $L$ the length of the *video* and $r$ between 1 and 1.5. So the
# block is never shorter than the video. It always begins at frame 0, and whatever is drawn past the end is
# clamped to the last frame and marked in a mask. The loss accepts the mask and does not use it. (The
# formula is CARL's, in its loaders for Pouring and Penn Action; there the loss uses the mask. CARL's loader
# for FineGym takes $\lceil r n \rceil$ instead.)


# %%
def released_view(length, n, rng):
    """Frame numbers before clamping, as the released formula draws them."""
    block = int(np.ceil(rng.uniform(1, 1.5) * length))
    offset = rng.integers(0, max(length - block, 1))
    return np.sort(offset + rng.permutation(block)[:n])


rng, length, n = np.random.default_rng(0), 90, 64
drawn = [released_view(length, n, rng) for _ in range(2000)]
past = np.array([(steps >= length).mean() for steps in drawn])
ours = [view for _ in range(1000) for view in two_views(length, n, rng)]
print(f"past the end: mean {past.mean():.1%}, worst view {past.max():.0%}")
print(f"1 - 2 log 1.5 = {1 - 2 * np.log(1.5):.1%}")

# %%
_, axes = plt.subplots(1, 2, figsize=(8, 2.2), layout="constrained", sharex=True)
for ax, views, name in zip(axes, (drawn, ours), ("released formula", "lacbook"), strict=True):
    for row, steps in enumerate(views[:8]):
        ax.scatter(steps, np.full(n, row), s=7, c=np.where(steps < length, ACCENT, INK), marker="|", lw=1)
    ax.axvline(length - 0.5, color=MUTED, ls="--", lw=1)
    ax.set(title=f"{name}: eight views", xlabel="frame of the video", yticks=[])
    ax.spines["left"].set_visible(False)
_ = axes[1].text(length + 2, 3.5, "end of\nthe video", color=MUTED, va="center")

# %%
ours_past = np.mean([(steps >= length).mean() for steps in ours])
record("3.3", "frames of a view past the end of the video", past.mean(), ours_past, ".1%")
assert ours_past == 0
assert abs(past.mean() - (1 - 2 * np.log(1.5))) < 0.01
copies = (drawn[0] >= length).sum()
print(f"in the first view {copies} frames past the end become copies of the last, trained on as real ones")

# %% [markdown]
# The formula at the end, $1 - 2 \log 1.5$, is the mean of $1 - 1/r$, the share of the block that lies past
# the end, and does not depend on the video. All copies get the same frame index, so the Gaussian target
# asks the last frame of one view to resemble all of them. `two_views` of this package draws blocks that
# fit, begins them anywhere, and sees to it that two views overlap.
#
# ### 3.4 A position code that tells the time
#
# This one is shared by the code of CARL and LAC, and it is a property rather than a fault. The position
# codes are sines and cosines of a position that is stretched to the video's own length: the first frame is
# always at 0 and the last always at 31. So a frame's code *is* its share of the video's duration. How far
# does that get without looking at any picture? We "embed" the test clips of the squat by the code alone,
# once trimmed to the action and once as they are, with idle time before and after.

# %%
from dataclasses import replace

from lacbook.data.puppets import load_puppets
from lacbook.metrics import event_error, kendall_tau
from lacbook.models.positions import sinusoidal

padded = load_puppets(split="test", action="squat", modality="poses")
trimmed = []
for clip in padded:
    inside = np.flatnonzero(clip.active)
    cut = slice(inside[0], inside[-1] + 1)
    events = clip.events[clip.events <= inside[-1]] - inside[0]
    arrays = {name: getattr(clip, name)[cut] for name in ("values", "phase", "time")}
    trimmed.append(replace(clip, events=events, **arrays))

# %%
rows = {}
for name, clips in (("trimmed to the action", trimmed), ("with idle time", padded)):
    codes = [sinusoidal(torch.tensor([len(clip)]), len(clip), 256)[0].numpy() for clip in clips]
    rows[name] = kendall_tau(clips, codes), event_error(clips, codes)
table = pd.DataFrame(rows, index=["Kendall's tau", "event error (frames)"]).T
print(table.round(2).to_string())
record("3.4", "Kendall's tau of the position code alone", f"{table.iloc[0, 0]:.2f}", "-")
assert table["Kendall's tau"].min() > 0.99
assert table.iloc[1, 1] > 2 * table.iloc[0, 1]

# %% [markdown]
# A perfect tau, from no picture at all. Tau asks whether the nearest neighbours are in order, and those of
# a clock always are. The event error notices, where there is idle time: a squat does not begin at the same
# share of every clip. So a figure like tau means something only beside a control that counts frames
# (notebook 09), and the package's default position codes tell a frame the distance to other frames and not
# its place in the clip.

# %% [markdown]
# ## 4. Evaluation and engineering
#
# ### 4.1 Evaluation frames in other units
#
# In training, frames are divided by 255, augmented, and then normalised with the mean and the standard
# deviation of ImageNet, as its ResNet expects. In evaluation they are returned before that last step, with
# values from 0 to 1. What does a network see then?

# %%
mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
video = load_puppets(split="test", action="squat")[0].values[::4]
shown = torch.from_numpy(video).permute(0, 3, 1, 2) / 255
trained_on = (shown - mean) / std
torch.manual_seed(0)
first_layer = nn.Sequential(nn.Conv2d(3, 64, 7, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
with torch.no_grad():
    apart = error(first_layer(shown), first_layer(trained_on))
contrast = (trained_on.std() / shown.std()).item()
record("4.1", "contrast of evaluation frames, training frames = 1", 1 / contrast, 1, ".2f")
record("4.1", "features of a random convolution differ by", apart, 0, ".2f")
assert contrast > 4
assert apart > 0.3

# %% [markdown]
# A picture with less than a quarter of the contrast, and with another grey in the middle. Batch
# normalisation does not mend it, since in evaluation it uses the statistics of training. This concerns
# every method of that repository alike. The encoder of this package takes frames from 0 to 1 in training
# and evaluation, and whatever it normalises it normalises inside.
#
# ### 4.2 Penalties that are not restored
#
# The penalties are plain tensors beside the model, not part of it. The released code writes them into its
# checkpoints, but does not read them back. In short:

# %%
import io

from lacbook.losses.lac import LACLoss


def save_and_load(saved):
    """Through a file, as a checkpoint goes."""
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


# %%
model, gap_open = nn.Linear(4, 2), torch.tensor(1.7)  # 1.7 is what training has made of 1
checkpoint = save_and_load({"model": model.state_dict(), "gap_open": gap_open})
model, gap_open = nn.Linear(4, 2), torch.ones(())  # a new process
_ = model.load_state_dict(checkpoint["model"])  # and gap_open stays as it is

# %%
loss = LACLoss()
with torch.no_grad():
    loss.penalties.raw += 0.5  # what training has done
checkpoint = save_and_load(loss.state_dict())
restored = LACLoss()
_ = restored.load_state_dict(checkpoint)
print("in the package's checkpoint:", ", ".join(checkpoint))
back = [value.item() for value in (loss.penalties()[0], restored.penalties()[0])]
record(
    "4.2",
    "a learned gap_open after loading",
    f"1.7 became {gap_open:.1f}",
    f"{back[0]:.2f} stayed {back[1]:.2f}",
)
assert gap_open == 1.0
assert back[0] == back[1] != LACLoss().penalties()[0].item()

# %% [markdown]
# A resumed run thus begins with the encoder of epoch 100, say, and the penalties of epoch 0. In this
# package penalties and margin are parameters of the loss, the loss is part of the learner, and a test
# compares a run that was stopped and resumed with one that was not.
#
# ### 4.3 One cell at a time
#
# The released code fills the table in a Python loop, with several small tensors for every cell, pair after
# pair, in both directions. Our `loop_score` of finding 1.2 is of the same kind, so it stands in for it:
# what we measure is our loop, not theirs. As everywhere in this course, time is given as a ratio within one
# run.

# %%
from time import perf_counter


def seconds(function, repeats):
    """Shortest of some runs; the others were disturbed."""
    times = []
    for _ in range(repeats):
        begin = perf_counter()
        function()
        times.append(perf_counter() - begin)
    return min(times)


# %%
table = torch.randn(64, 64, dtype=torch.float64, generator=torch.manual_seed(0)).requires_grad_()
both = torch.ones(2, 64, 64, dtype=torch.float64)
loop = seconds(lambda: loop_score(table, both, both, 0.8).backward(), 1)
engine = seconds(lambda: soft_smith_waterman(table, both[0], both[1], temperature=0.8).score.backward(), 20)

# %%
record("4.3", "time of a loop like it (ours), one 64 x 64 pair, both passes", loop / engine, 1, ".0f")

# %% [markdown]
# The rewrite of 2026 goes through the table by anti-diagonals, as notebook 04 does, which removes most of
# this; pairs still come one after the other.
#
# ### 4.4 Read, and not run here
#
# A few points need no cell. The weight `alpha` of the configuration is overwritten by 1 in the code, and
# the weight 0.01 of the local term is a constant there. The backward pass calls `.cuda()` and so needs an
# NVIDIA GPU (mended in 2026). The gradient norm is clipped for the encoder only, while the cosine schedule
# of the learning rate also slows the penalties. The smoothed recursion does not support $t = 0$: there the
# border stays 0, and the code divides by $t$. And the loss accepts the mask of finding 3.3 and does not
# read it.
#
# The baselines run with other numbers of frames and other batch sizes than LAC, and the contrastive
# baseline is evaluated after its projection head, where CARL's own code evaluates before it. The
# implementation of GTA lacks the transpose after its product, and its regulariser is never called. That of
# LAV splits an interleaved batch in halves, so that its pairs and their indices do not belong together.
# LAV's normalisation differs from the original's, and so do the loss and the network of TCN. So the methods
# of that repository are not compared on equal terms.

# %% [markdown]
# ## 5. Side by side
#
# Everything that was measured above, in one table. ("Meant" is the value that the mathematics asks for, or
# what this package does.)

# %%
assert len({row["finding"] for row in measured}) == 23
pd.set_option("display.max_colwidth", None)
pd.DataFrame(measured).set_index("finding")

# %% [markdown]
# And what follows from it. "Not seen" means that we could not read that part of the paper, so the column
# says nothing about it. The numbers in brackets are findings. (2026) marks what the rewrite of that year
# mends, as far as we have read it. Of the rewrite we have read the alignment and the loss; for encoder,
# loader and checkpoints, no mark means not seen.
#
# <table>
# <tr>
# <th>topic</th>
# <th>paper, as far as seen</th>
# <th>released code, September 2024</th>
# <th>lacbook</th>
# <th>why</th>
# </tr>
# <tr>
# <td>recursion</td>
# <td>best local alignment, affine gaps, made differentiable</td>
# <td>three tables, smoothed; values right for t above 0</td>
# <td>the same recursion</td>
# <td>it is right</td>
# </tr>
# <tr>
# <td>gradient</td>
# <td>not seen</td>
# <td>no /t [1.1], gap cells shifted [1.2], upstream factors dropped [1.3, 1.4], infinite border [1.6]
# (2026: 1.1 to 1.4 mended; the border is -1e9, which half precision cannot hold)</td>
# <td>exact, for table and penalties, twice differentiable</td>
# <td>a gradient has to be that of the value</td>
# </tr>
# <tr>
# <td>speed</td>
# <td>not seen</td>
# <td>a Python loop [4.3] (2026: anti-diagonals, pair after pair)</td>
# <td>compiled, batched, with lengths</td>
# <td>a loss is computed at every step</td>
# </tr>
# <tr>
# <td>similarity</td>
# <td>not seen</td>
# <td>1/d² [2.3, 2.4] (2026: plus 1e-8)</td>
# <td>cosine minus a learned margin</td>
# <td>bounded; 0 means unrelated, so alignments can end</td>
# </tr>
# <tr>
# <td>local term</td>
# <td>a differentiable local-alignment loss; its form not seen</td>
# <td>cross-entropy [1.5, 2.1, 2.2] and +V₁₂ + V₂₁ [2.5] (2026: the cross-entropy gets its gradient)</td>
# <td>minus the log-likelihood of the true alignment, or the posterior's cross-entropy</td>
# <td>two views of one video have a known alignment</td>
# </tr>
# <tr>
# <td>gap penalties</td>
# <td>affine, learned</td>
# <td>a matrix each, any sign, Adam at 0.1 [2.6, 2.7], the same both ways [1.7]</td>
# <td>one number each above 0, weak prior; matrix or content on request</td>
# <td>they need an optimum, and a meaning off the training table</td>
# </tr>
# <tr>
# <td>contrastive term</td>
# <td>contrastive; pulls near frames, pushes far ones (figure)</td>
# <td>one direction, divided by T² [2.8], raw exponentials [2.9]</td>
# <td>CARL's: both directions, mean over real frames, <code>log_softmax</code></td>
# <td>as the source of the term does it</td>
# </tr>
# <tr>
# <td>weights, temperatures</td>
# <td>not seen</td>
# <td>0.01 for the local term, t = τ = 0.8</td>
# <td>0.3, t = 0.1, τ = 0.1</td>
# <td>see notebook 07; cosines are smaller than 1/d²</td>
# </tr>
# <tr>
# <td>time in the encoder</td>
# <td>two transformer layers over frame features (figure)</td>
# <td>attention across the batch [3.1], convolution over single frames [3.2]</td>
# <td>attention over the frames of a clip</td>
# <td>a frame should know its neighbours</td>
# </tr>
# <tr>
# <td>positions</td>
# <td>positional encoding is added (figure)</td>
# <td>stretched to the video's length [3.4]</td>
# <td>rotary; the stretched code on request</td>
# <td>an encoder should not pass by counting</td>
# </tr>
# <tr>
# <td>frames to features</td>
# <td>ResNet-50, two 3-D convolutions, pooling, two linear layers (figure)</td>
# <td>the same and a third linear layer; all weights trained</td>
# <td>a small convolutional network, or poses</td>
# <td>has to train on a CPU; no ResNet-50 here yet</td>
# </tr>
# <tr>
# <td>two views</td>
# <td>"V1" and "V2" (figure); sampling not seen</td>
# <td>blocks longer than the video, mask unused [3.3]</td>
# <td>blocks that fit and overlap, lengths respected</td>
# <td>no invented frames</td>
# </tr>
# <tr>
# <td>evaluation</td>
# <td>Pouring and Penn Action; tables not seen</td>
# <td>unnormalised frames [4.1]</td>
# <td>Puppets and UI-PRMD, beside controls</td>
# <td>data that may be shared; a number means something only beside a control</td>
# </tr>
# <tr>
# <td>checkpoints</td>
# <td>not seen</td>
# <td>penalties saved, not restored [4.2]</td>
# <td>parameters of the loss</td>
# <td>a resumed run should be the same run</td>
# </tr>
# </table>
#
# We repeat none of the paper's result tables, since we have not seen them, and this package is trained on
# other data. Whoever compares methods should run them in one harness with one encoder, as notebook 10 will.

# %% [markdown]
# ## 6. The published settings, and what they would cost
#
# Can you run LAC as it was published? With this package: not quite. It has no ResNet-50 yet, and its frame
# encoders are a small convolutional network and a network for poses. What it would take can be counted,
# though. By "published" we mean the released configuration for Pouring, since the paper's own account of
# its training is not among what we have seen: 224 x 224 pixels, two views of 64 frames, 2 videos in a
# batch, 300 epochs, 70 training videos.
#
# A convolution with a $k \times k$ kernel from $c$ to $d$ channels takes $k^2 c\, d$ multiply-adds for each
# of its output pixels. A bottleneck block of a ResNet has three of them, and a fourth where its input has
# another shape than its output.


# %%
def conv2d(kernel, c, d, size):
    """Multiply-adds of a convolution with size x size outputs."""
    return kernel**2 * c * d * size**2


def bottleneck(c, width, size, stride):
    """1 x 1, then 3 x 3 with the stride, then 1 x 1 to four times the width; a shortcut if shapes differ."""
    inner = conv2d(1, c, width, size * stride) + conv2d(3, width, width, size)
    outer = conv2d(1, width, 4 * width, size) + (conv2d(1, c, 4 * width, size) if c != 4 * width else 0)
    return inner + outer


# %%
resnet, c = conv2d(7, 3, 64, 112), 64
for width, size, stride, blocks in ((64, 56, 1, 3), (128, 28, 2, 4), (256, 14, 2, 3)):  # up to Conv4c
    for block in range(blocks):
        resnet, c = resnet + bottleneck(c, width, size, 1 if block else stride), 4 * width
print(f"ResNet-50 up to Conv4c: {resnet / 1e9:.2f} billion multiply-adds a frame, {c} channels")

# %% [markdown]
# On top come the two three-dimensional convolutions (three temporal taps, of which two meet zeros, but are
# computed), three linear layers, the transformer and the projection. A backward pass costs about twice a
# forward pass, because there are two products to form, one for the weights and one for the inputs; a
# multiply-add counts as two operations.

# %%
conv3d = 3 * (conv2d(3, 1024, 512, 12) + conv2d(3, 512, 512, 10))
linear = 2 * 512 * 512 + 512 * 256 + 256 * 128
transformer = 2 * (4 * 256**2 + 2 * 256 * 1024)  # weights only; attention itself is smaller
per_frame = resnet + conv3d + linear + transformer
frames_seen = 70 * 2 * 64 * 300
operations = 2 * 3 * per_frame * frames_seen
parts = {"ResNet-50": resnet, "3-D convolutions": conv3d, "linear": linear, "transformer": transformer}
print(pd.Series(parts).div(per_frame).to_string(float_format="{:.1%}".format))
print(
    f"{per_frame / 1e9:.2f} billion multiply-adds a frame, {frames_seen / 1e6:.2f} million frames in training"
)
print(f"{operations / 1e15:.0f} PFLOP")

# %% [markdown]
# What that means in hours depends on the rate that your machine sustains, which is well below what is
# printed on the box. Put yours in.

# %%
sustained = {"a laptop's CPU": 0.1, "a GPU in float32": 10, "a large GPU in half precision": 100}  # TFLOP/s
for machine, rate in sustained.items():
    print(f"{machine:30} {rate:6.1f} TFLOP/s: {operations / (rate * 1e12) / 3600:8.1f} hours")

# %% [markdown]
# The rates are assumptions and not measurements; the released configuration uses float32. And this is
# training alone: that code also evaluates after every epoch, on every frame of every video, and decodes
# videos, which on a fast GPU may take longer than the arithmetic. The alignment, on the other hand, is
# nothing. In the linear domain (notebook 04) one cell of the recursion takes about nine multiply-adds,
# forward; three times that with the backward pass.

# %%
alignment = 2 * 3 * 9 * 64**2 * 2 * 70 * 300  # two directions, for each video in each epoch
print(f"alignment: {alignment / 1e15:.6f} PFLOP, {alignment / operations:.0e} of the whole")
assert alignment < 1e-6 * operations

# %% [markdown]
# If an alignment is seen in the time of a training step at all, it is because of how it is written (finding
# 4.3), not because of what it computes.
#
# ### The closest run today
#
# Here is the run of this package that comes closest: penalties, their start, temperature, weight, lengths,
# optimiser and transformer of the released configuration, on the embedded Puppets. The package has no
# `released` form of the local term, so this run uses the structured one. Building the configuration in the
# cell makes sure that every name in the command exists in the configuration.

# %%
from lacbook.models.encoder import EncoderConfig
from lacbook.train import TrainConfig

alignment_settings = {"penalties": "matrix", "gap_open": 1.0, "gap_extend": 1.0, "temperature": 0.8}
training = {"local_weight": 0.01, "epochs": 300, "batch_size": 2, "view_length": 64, "seed": 1}
optimiser = {"lr": 1e-4, "weight_decay": 1e-5, "clip_norm": 10.0}
shape = {"positions": "sinusoidal", "dim": 256, "layers": 2, "heads": 8, "hidden": 1024, "embedding_dim": 128}
settings = {**alignment_settings, **training, **optimiser}
published = TrainConfig(**settings, encoder=EncoderConfig(**shape))

command = [f"--{name.replace('_', '-')} {value}" for name, value in {**settings, **shape}.items()]
print("lacbook train --out runs/published", *command, sep=" \\\n    ")

# %%
from lacbook.data.sampling import TwoViews

clips = load_puppets(split="train", modality="poses")
pairs_of_views = TwoViews(clips, published.view_length, published.seed)
sizes = [len(steps) for k in range(len(clips)) for _, steps in pairs_of_views[k]]
print(f"{len(clips)} clips; views of {min(sizes)} to {max(sizes)} frames in the first epoch")

# %% [markdown]
# Much remains different, and a result of this run is therefore not a reproduction of the paper's: the data,
# the frame encoder and its resolution (`--size 224` would be taken, but the network is made for small
# frames), the similarity, the form of the local term, penalties above zero with the encoder's learning
# rate, the contrastive term (both ways, $\tau = 0.1$), the prior on the penalties, features standardised
# over the clip, a warm-up of the learning rate, views of 32 to 64 frames (fewer where a clip is short),
# pre-norm transformer blocks, sampling and augmentation. How long does it take? Count its frame encoder in
# the same way:

# %%
width = 32
small = conv2d(6, 3, width, 16) + conv2d(3, width, 2 * width, 8) + conv2d(3, 2 * width, 2 * width, 4)
small += 2 * width * 16 * 256 + 256 * 128 + transformer
puppets = 2 * 3 * small * len(clips) * 2 * 64 * published.epochs
print(f"{small / 1e6:.1f} million multiply-adds a frame, all clips: at most {puppets / 1e15:.2f} PFLOP")
assert puppets < operations / 100

# %% [markdown]
# That is a job for a CPU. Three hundred epochs are many for so few clips; the package's own defaults
# (notebook 08) get by with far fewer, since their learning rate is higher.

# %% [markdown]
# ## 7. Exercises
#
# **Exercise 1.** Here is a smooth maximum as an operator, at a temperature of its own, whose backward pass
# has the faults of findings 1.1 and 1.3. Write `Mended`, a `torch.autograd.Function` with the same
# arguments, that passes `gradcheck` at every temperature.


# %%
class Faulty(torch.autograd.Function):
    """t log sum exp(a / t) of a vector."""

    @staticmethod
    def forward(ctx, a, t):
        ctx.save_for_backward(a)
        ctx.t = t
        return t * torch.logsumexp(a / t, 0)

    @staticmethod
    def backward(ctx, upstream):
        (a,) = ctx.saved_tensors
        return a.softmax(0), None


# %%
# exercise 1
Mended = None

# %%
from lacbook.course import check


def is_right(operator):
    """Its value, its gradient at several temperatures, and a loss of several of its results."""
    a = torch.randn(5, dtype=torch.float64, generator=torch.manual_seed(0)).requires_grad_()
    value = all(torch.isclose(operator.apply(a, t), t * (a / t).exp().sum().log()) for t in (0.1, 0.8, 3.0))
    alone = all(gradcheck(lambda x, t=t: operator.apply(x, t), a) for t in (0.1, 0.8, 1.0, 3.0))
    return value and alone and gradcheck(lambda x: 3 * operator.apply(x, 0.8) ** 2, a)


check(Mended, lambda operator: issubclass(operator, torch.autograd.Function) and is_right(operator))

# %% [markdown]
# **Exercise 2.** Put findings 2.1 and 2.2 right. Write `cycle_loss(D12, D21)` for two tables of logits, [N,
# M] and [M, N], where N and M may differ: turn them into probabilities row by row, go from view 1 to view 2
# and back, and return the mean of minus the logarithm of the probability to come home to the frame of
# departure. The check compares values and gradients. (Is the loss 0 for a perfect correspondence?)

# %%
# exercise 2
cycle_loss = None


# %%
def by_walking(D12, D21):
    """The same, one way at a time."""
    total = 0.0
    for i in range(len(D12)):
        ways = [D12[i].softmax(0)[j] * D21[j].softmax(0)[i] for j in range(len(D21))]
        total -= sum(ways).log()
    return total / len(D12)


def with_gradients(f, n, m):
    """The loss of two random tables, and its gradients."""
    random = torch.manual_seed(n)
    logits = [(2 * torch.randn(shape, generator=random)).requires_grad_() for shape in ((n, m), (m, n))]
    loss = f(*logits)
    return [loss, *torch.autograd.grad(loss, logits)]


# %%
def same(f, n, m):
    both = zip(with_gradients(f, n, m), with_gradients(by_walking, n, m), strict=True)
    return all(torch.allclose(found, right, rtol=1e-3, atol=1e-5) for found, right in both)


check(cycle_loss, lambda f: same(f, 5, 5) and same(f, 6, 4) and same(f, 3, 7))

# %% [markdown]
# **Exercise 3.** Write the test that finds finding 3.1. `mixes(encode, size)` takes an encoder of [videos,
# frames, size] and returns two truth values: whether changing a frame moves *other* frames of its video,
# and whether it moves other videos. The check hands it several encoders. In one of them a frame hears only
# of earlier ones, in another only of later ones, and in a third it hears only of later videos. So it is not
# enough to change one frame of one video.

# %%
# exercise 3
mixes = None


# %%
normalised = nn.BatchNorm1d(8).train()  # in training, statistics run over the whole batch
suspects = {
    "one frame at a time": (nn.Linear(8, 8), (False, False)),
    "causal": (lambda x: x.cumsum(1), (True, False)),
    "anti-causal": (lambda x: x.flip(1).cumsum(1).flip(1), (True, False)),
    "from later videos": (lambda x: x.flip(0).cumsum(0).flip(0), (False, True)),
    "across videos": (lambda x: x + x.mean(0, keepdim=True), (False, True)),
    "over time": (lambda x: x + x.mean(1, keepdim=True), (True, False)),
    "batch norm": (lambda x: normalised(x.flatten(0, 1)).view(x.shape), (True, True)),
}
check(mixes, lambda f: all(tuple(map(bool, f(encode, 8))) == truth for encode, truth in suspects.values()))

# %% [markdown]
# Solutions are in `notebooks/solutions/14_reproduction_notes.py`.

# %% [markdown]
# ## References
#
# - K. Oei, A. Gomaa, A. M. Feit, J. Belo, *Self-Supervised Contrastive Learning for Videos using
#   Differentiable Local Alignment* (LAC), 2024, [arXiv 2409.04607](https://arxiv.org/abs/2409.04607):
#   abstract, beginning of the introduction, figure of the encoder. Its code: `keynekassapa13/LAC` on GitHub,
#   commits `52fb74b` (September 2024) and `460a776` (2026), read and not copied
# - M. Chen, F. Wei, C. Li, D. Cai, *Frame-wise Action Representations for Long Videos via Sequence
#   Contrastive Learning* (CARL), 2022, [arXiv 2203.14957](https://arxiv.org/abs/2203.14957), and its code
#   (commit `c574312`): the contrastive term, the samplers, evaluation before the projection
# - I. Hadji, K. G. Derpanis, A. D. Jepson, *Representation Learning via Global Temporal Alignment and
#   Cycle-Consistency* (GTA), 2021, [arXiv 2105.05217](https://arxiv.org/abs/2105.05217), and its code: a
#   cross-entropy of a round trip through two alignments
# - D. Dwibedi, Y. Aytar, J. Tompson, P. Sermanet, A. Zisserman, *Temporal Cycle-Consistency Learning* (TCC),
#   2019, [arXiv 1904.07846](https://arxiv.org/abs/1904.07846): Kendall's tau as a measure, the split of
#   Pouring into 70 training and 14 validation videos
# - F. Llinares-López, Q. Berthet, M. Blondel, O. Teboul, J.-P. Vert, *Deep embedding and alignment of protein
#   sequences* (DEDAL), Nature Methods 20, 2023: training an aligner by the score of the true alignment
# - K. He, X. Zhang, S. Ren, J. Sun, *Deep Residual Learning for Image Recognition*, 2016, [arXiv
#   1512.03385](https://arxiv.org/abs/1512.03385): the shapes of ResNet-50
# - D. P. Kingma, J. Ba, *Adam: A Method for Stochastic Optimization*, 2015, [arXiv
#   1412.6980](https://arxiv.org/abs/1412.6980)
#
# This is the last notebook of the course by number, though not the last to be written: 10 to 13, on
# comparing losses, weak supervision, controllable augmentations and your own videos, are still to come.
