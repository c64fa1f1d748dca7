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
# # 03 From the best alignment to all of them
#
# **You will build** the soft version of notebook 02's three tables, its backward pass, derived on paper and
# written in plain NumPy, and three independent checks of it.
#
# **You will learn** how a maximum can be softened so that it has a gradient, why the softened recursion
# weighs *every* alignment at once, why its gradient is a table of probabilities, and what the temperature
# does. You will also find a fault that a published implementation contains, and learn which test would have
# caught it.
#
# **Prerequisites**: notebooks 01 and 02; what a gradient is, and the chain rule.
#
# **Time**: the notebook runs in about 30 seconds on a CPU and reads in about 50 minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np

from lacbook import smith_waterman, soft_smith_waterman
from lacbook.course import squat_pair
from lacbook.viz import plot_posterior, plot_table, use_theme

use_theme()

# %% [markdown]
# ## 1. What the best alignment cannot tell us
#
# LAC wants to *train* an encoder through the alignment. For that it has to know: if the similarity of two
# frames were a little larger, how would the score change? Take the two squats again, and vary one entry of
# the matrix, the similarity of frame 8 of A and frame 3 of B. It is not on the best path.

# %%
a, b, raw = squat_pair(step=6)
S, go, ge = np.round(raw), 2.0, 0.5
i, j = 8, 3
values = np.linspace(-3, 9, 121)
scores, on_path = [], []
for value in values:
    changed = S.copy()
    changed[i, j] = value
    hard = smith_waterman(changed, go, ge)
    scores.append(float(hard.score))
    on_path.append((i, j) in hard.path())
print("S:", S.shape, f" S[{i}, {j}] = {S[i, j]:.0f}, best score {smith_waterman(S, go, ge).score:.0f}")

# %%
_, axes = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained")
axes[0].plot(values, scores)
axes[0].set(xlabel="S[8, 3]", ylabel="best score", title="The score has a kink")
axes[1].step(values, on_path)
axes[1].set(xlabel="S[8, 3]", ylabel="slope", title="Its slope is 0 or 1")
for ax in axes:
    ax.axvline(3, color="0.5", ls="--")
axes[0].text(2.9, 13.9, "equal poses", ha="right", va="top")
assert np.allclose(
    np.diff(scores) / np.diff(values), on_path[1:]
)  # the slope says whether the pair is on the path

# %% [markdown]
# The slope is 0 or 1, and says only whether the pair is on the path. Equal poses would have a similarity of
# 3, so over the whole range that can occur it is exactly 0: this pair would teach the encoder nothing. Only
# at 8 the path jumps over to it, and from there on every increase is passed on in full. An encoder that
# learns from such a score hears of one alignment and nothing of the second best, however close it came.
#
# We want a score that listens to *all* alignments, to the good ones more than to the poor ones.
#
# ## 2. A soft maximum
#
# The kink comes from the maximum. Replace it by
#
# $$ \operatorname{smax}_t(a_1, \dots, a_n) = t \log \sum_k e^{a_k / t}, \qquad t > 0. $$
#
# The largest entry dominates the sum, the more so the smaller the **temperature** $t$ is. Written like that,
# the exponentials overflow soon. So we first take out the largest entry, which changes nothing:
# $\operatorname{smax}_t(a) = \max a + t \log \sum_k e^{(a_k - \max a)/t}$.


# %%
def smax(a, t):
    """t log sum exp(a / t); -inf if there is nothing but -inf."""
    a = np.asarray(a, dtype=float)
    top = a.max()
    return top if top == -np.inf else top + t * np.log(np.exp((a - top) / t).sum())


a4 = [1.0, 2.0, 0.5, -3.0]
for t in (0.01, 0.1, 1.0, 10.0):
    print(f"t = {t:5}: smax = {smax(a4, t):7.3f}, and max + t log 4 = {max(a4) + t * np.log(4):7.3f}")
print("no overflow:", smax([1e5, 1e5 - 1], 0.01))

# %% [markdown]
# It lies between the maximum and the maximum plus $t \log n$, so as $t \to 0$ it tends to the maximum. The
# gain is its derivative. By the chain rule,
#
# $$ \frac{\partial \operatorname{smax}_t(a)}{\partial a_k} = t \cdot \frac{e^{a_k/t} \cdot \frac1t}{\sum_l
# e^{a_l/t}} = \frac{e^{a_k/t}}{\sum_l e^{a_l/t}}, $$
#
# the **softmax** of $a / t$: positive numbers that sum to 1. Each argument has its *share* in the result, and
# none is cut off. Note how one $1/t$ cancels the $t$ in front of the logarithm, and another one stays in the
# exponent. Section 8 comes back to this.


# %%
def shares(a, t):
    """Derivative of smax by its arguments, softmax(a / t); zeros if there is nothing but -inf."""
    a = np.asarray(a, dtype=float)
    if a.max() == -np.inf:
        return np.zeros_like(a)
    weights = np.exp((a - a.max()) / t)
    return weights / weights.sum()


for t in (0.01, 0.1, 1.0, 10.0):
    print(f"t = {t:5}: shares {shares(a4, t).round(3)}")

# %%
x = np.linspace(-3, 3, 121)
_, axes = plt.subplots(1, 2, figsize=(8, 2.7), layout="constrained")
for t in (0.05, 0.5, 1.0, 2.0):
    axes[0].plot(x, [smax([0, v], t) for v in x], label=f"t = {t}")
    axes[1].plot(x, [shares([0, v], t)[1] for v in x])
axes[0].set(xlabel="x", ylabel="smax(0, x)", title="No kink any more")
axes[1].set(xlabel="x", ylabel="share of x", title="From a step to a slope")
_ = axes[0].legend()

# %% [markdown]
# We do not have to trust the formula. A **finite difference** asks the function itself: move one argument a
# little to either side, and see how the result changes. This is the first of our three checks, and the most
# useful one you can learn, because it needs nothing but the function.


# %%
def finite_difference(f, x, step=1e-5):
    """Derivative of f by every entry of the array x, one entry at a time."""
    slopes = np.zeros(x.shape)
    for k in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[k] += step
        down[k] -= step
        slopes[k] = (f(up) - f(down)) / (2 * step)
    return slopes


for t in (0.1, 1.0, 10.0):
    # t=t in the function's arguments keeps this round's temperature
    assert np.allclose(shares(a4, t), finite_difference(lambda v, t=t: smax(v, t), np.array(a4)), atol=1e-6)
print("shares are the derivative of smax, at three temperatures")

# %% [markdown]
# ## 3. Two laws, and why they suffice
#
# May we simply put smax where notebook 02 has max, all over the recursion? The recursion was right because a
# maximum obeys two laws, and the soft maximum obeys them, too:
#
# $$ \operatorname{smax}(a) + c = \operatorname{smax}(a + c), \qquad
# \operatorname{smax}(\operatorname{smax}(a), b) = \operatorname{smax}(a, b). $$
#
# The first lets a cell add its similarity once, instead of to every alignment that arrives. The second lets
# us combine alignments in any order, a few at a time.

# %%
c, t = 1.7, 0.6
assert np.isclose(smax(a4, t) + c, smax(np.add(a4, c), t))
assert np.isclose(smax([smax(a4[:3], t), a4[3]], t), smax(a4, t))
print("both laws hold:", round(smax(a4, t), 6))
print("one does not: max(2, 2) = 2, but smax(2, 2) =", round(smax([2.0, 2.0], t), 6))

# %% [markdown]
# One law of the maximum is lost: $\max(a, a) = a$, but $\operatorname{smax}(a, a) = a + t \log 2$. A maximum
# forgives it if an alignment is counted twice, and a sum does not. This is what notebook 02 fixed the order
# of gaps for.

# %% [markdown]
# So unrolling the recursion down to the bottom gives, by the same two laws, one big smax over the scores of
# all alignments. Here it is, cell by cell as in notebook 02 but for one word:
#
# $$ \begin{aligned} D_{ij} &= S_{ij} + \operatorname{smax}_t(0,\; D_{i-1,j-1},\; I^x_{i-1,j-1},\;
# I^y_{i-1,j-1}) \\
# I^x_{ij} &= \operatorname{smax}_t(D_{i,j-1} - g_o,\; I^x_{i,j-1} - g_e) \\
# I^y_{ij} &= \operatorname{smax}_t(D_{i-1,j} - g_o,\; I^x_{i-1,j} - g_o,\; I^y_{i-1,j} - g_e) \\
# V &= \operatorname{smax}_t \{ D_{ij} \} \end{aligned} $$


# %%
def arguments(D, Ix, Iy, i, j, go, ge):
    """What the three smax of cell (i, j) are taken over. The tables have a border of -inf in front."""
    into_D = [0.0, D[i - 1, j - 1], Ix[i - 1, j - 1], Iy[i - 1, j - 1]]
    into_Ix = [D[i, j - 1] - go, Ix[i, j - 1] - ge]
    into_Iy = [D[i - 1, j] - go, Ix[i - 1, j] - go, Iy[i - 1, j] - ge]
    return into_D, into_Ix, into_Iy


# %%
def forward(S, go, ge, t):
    """The three tables and the soft score V."""
    D, Ix, Iy = np.full((3, S.shape[0] + 1, S.shape[1] + 1), -np.inf)
    for i in range(1, S.shape[0] + 1):
        for j in range(1, S.shape[1] + 1):
            into_D, into_Ix, into_Iy = arguments(D, Ix, Iy, i, j, go, ge)
            D[i, j] = S[i - 1, j - 1] + smax(into_D, t)
            Ix[i, j], Iy[i, j] = smax(into_Ix, t), smax(into_Iy, t)
    return D, Ix, Iy, smax(D, t)


# %%
t = 0.5
D, Ix, Iy, V = forward(S, go, ge, t)
print("tables:", D.shape, f" soft score V = {V:.4f}, hard score {smith_waterman(S, go, ge).score:.1f}")
assert np.isclose(V, soft_smith_waterman(S, go, ge, temperature=t).score)
assert np.allclose(D[1:, 1:], soft_smith_waterman(S, go, ge, temperature=t).table)

# %% [markdown]
# The second check is brute force. If the recursion is right, then $V = t \log \sum_{\text{alignments}}
# e^{\text{score}/t}$, and on a small table we can write the sum out. Here it matters that every alignment is
# counted exactly once (notebook 02, section 3): a maximum would not have noticed.

# %%
from lacbook.alignment.enumeration import enumerate_alignments

small = S[5:9, :5]
listed = list(enumerate_alignments(small, go, ge))
every_score = np.array([alignment.score for alignment in listed])
print(len(listed), "alignments, the best", every_score.max())
for t in (0.1, 0.5, 2.0):
    V_small = forward(small, go, ge, t)[-1]
    print(f"t = {t}: recursion {V_small:.6f}, brute force {smax(every_score, t):.6f}")
    assert np.isclose(V_small, smax(every_score, t))

# %% [markdown]
# ## 4. A probability for every alignment
#
# A sum of exponentials looks familiar to a physicist. Give each alignment $A$ the probability
#
# $$ p(A) = \frac{e^{\text{score}(A)/t}}{\sum_{A'} e^{\text{score}(A')/t}} = e^{(\text{score}(A) - V)/t}. $$
#
# Good alignments are likely, poor ones are not, and the temperature says how strict that is. Now ask: how
# does $V$ change with one similarity? The score of $A$ contains $S_{ij}$ once if it matches $i$ with $j$, and
# not at all otherwise. So, since the derivative of a smax is the share of each argument,
#
# $$ \frac{\partial V}{\partial S_{ij}} = \sum_{A \,\ni\, (i,j)} p(A) = P(i \text{ is matched with } j). $$
#
# **The gradient of the soft score is the posterior probability of each match.** In the same way, a score
# contains $-g_o$ as often as gaps are opened and $-g_e$ as often as they are extended, so $-\partial
# V/\partial g_o$ and $-\partial V/\partial g_e$ are the *expected numbers* of openings and extensions.

# %%
t = 2.0
p = np.exp((every_score - smax(every_score, t)) / t)
posterior = np.zeros(small.shape)
for alignment, probability in zip(listed, p, strict=True):
    for match in alignment.path:
        posterior[match] += probability
print("probabilities sum to", round(p.sum(), 10), " posterior:", posterior.shape)
by_difference = finite_difference(lambda S: forward(S, go, ge, t)[-1], small)
assert np.allclose(posterior, by_difference, atol=1e-6)

# %%
_, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
plot_table(small, rows=range(5, 9), ax=axes[0])
plot_table(posterior, rows=range(5, 9), ax=axes[1])
axes[0].set_title("S, a corner")
_ = axes[1].set_title("posterior at t = 2")

# %% [markdown]
# ## 5. The backward pass, on paper
#
# Brute force is no way to get it for a whole table, and finite differences need two forward passes for each
# of $NM$ entries. The chain rule needs one pass for all of them. Let
#
# $$ g^D_{ij} = \frac{\partial V}{\partial D_{ij}}, \qquad g^x_{ij} = \frac{\partial V}{\partial I^x_{ij}},
# \qquad g^y_{ij} = \frac{\partial V}{\partial I^y_{ij}} $$
#
# be how much the score depends on each entry of the three tables. (These have nothing to do with the
# penalties $g_o$ and $g_e$.) Think of it as an amount that a cell holds and has to hand on to the cells its
# own value came from. Four rules follow, one from each line of the recursion.
#
# **The start.** $V = \operatorname{smax}\{D\}$ gives every $D_{ij}$ its share: $g^D_{ij} = e^{(D_{ij} -
# V)/t}$. This is the probability that the alignment *ends* in $(i, j)$.
#
# **From $D$.** $D_{ij} = S_{ij} + \operatorname{smax}(0, D, I^x, I^y)$ of the diagonal neighbour. With the
# shares $w_0, w_D, w_x, w_y$ of this smax, the neighbour $(i-1, j-1)$ receives
#
# $$ g^D \mathrel{+}= w_D\, g^D_{ij}, \quad g^x \mathrel{+}= w_x\, g^D_{ij}, \quad
# g^y \mathrel{+}= w_y\, g^D_{ij}, $$
#
# and $w_0\, g^D_{ij}$ goes nowhere: it is the probability that the alignment *begins* here.
#
# **From $I^x$.** With the two shares of this smax, the neighbour on the left receives $w_D\, g^x_{ij}$ in $D$
# and $w_x\, g^x_{ij}$ in $I^x$. The first part went through $-g_o$, so it counts as gaps opened at $(i, j)$.
# The second went through $-g_e$ and counts as gaps extended.
#
# **From $I^y$.** With its three shares, the neighbour above receives $w_D\, g^y_{ij}$, $w_x\, g^y_{ij}$ and
# $w_y\, g^y_{ij}$. The first two were opened, the third extended.
#
# And since $S_{ij}$ enters the recursion only in $D_{ij}$, with factor 1, the posterior is simply $g^D$.
#
# A cell must have received everything before it hands anything on. So we go through the table backwards, from
# the last cell to the first.
#
# ## 6. The backward pass, in code


# %%
def hand_on(tables, cell, amounts):
    """Add to each table, at one cell."""
    for table, amount in zip(tables, amounts, strict=True):
        table[cell] += amount


# %%
from itertools import product


def backward(D, Ix, Iy, go, ge, t, shares=shares):
    """Posterior, and expected gap openings and extensions at every cell, (N, M) each."""
    gD, gIx, gIy, openings, extensions = np.zeros((5, *D.shape))
    gD[:] = shares(D, t)
    for i, j in reversed(list(product(range(1, D.shape[0]), range(1, D.shape[1])))):
        into_D, into_Ix, into_Iy = arguments(D, Ix, Iy, i, j, go, ge)
        _, *from_D = gD[i, j] * shares(into_D, t)
        from_Ix, from_Iy = gIx[i, j] * shares(into_Ix, t), gIy[i, j] * shares(into_Iy, t)
        hand_on((gD, gIx, gIy), (i - 1, j - 1), from_D)
        hand_on((gD, gIx), (i, j - 1), from_Ix)
        hand_on((gD, gIx, gIy), (i - 1, j), from_Iy)
        openings[i, j] = from_Ix[0] + from_Iy[0] + from_Iy[1]
        extensions[i, j] = from_Ix[1] + from_Iy[2]
    return gD[1:, 1:], openings[1:, 1:], extensions[1:, 1:]


# %%
P, openings, extensions = backward(D, Ix, Iy, go, ge, 0.5)
print("posterior:", P.shape, f" between {P.min():.3f} and {P.max():.3f}, expected matches {P.sum():.2f}")
print(f"expected openings {openings.sum():.3f}, extensions {extensions.sum():.3f}")

# %% [markdown]
# ### Is it right?
#
# All three checks, each at several temperatures. A check at a single temperature is not enough, as we shall
# see. First finite differences, on the whole table and for both penalties.

# %%
for t in (0.1, 1.0, 3.0):
    P, openings, extensions = backward(*forward(S, go, ge, t)[:3], go, ge, t)
    dS = finite_difference(lambda S, t=t: forward(S, go, ge, t)[-1], S)
    dgaps = finite_difference(lambda g, t=t: forward(S, *g, t)[-1], np.array([go, ge]))
    assert np.allclose(P, dS, atol=1e-6)
    assert np.allclose([-openings.sum(), -extensions.sum()], dgaps, atol=1e-6)
    print(f"t = {t}: largest difference {np.abs(P - dS).max():.1e}")

# %% [markdown]
# Then brute force on the small table, and the package.

# %%
from lacbook.alignment.enumeration import expect

for t in (0.1, 0.5, 1.0, 3.0):
    ours = backward(*forward(small, go, ge, t)[:3], go, ge, t)
    for mine, truth in zip(ours, expect(small, go, ge, t)[1:], strict=True):
        assert np.allclose(mine, truth)
    mine = backward(*forward(S, go, ge, t)[:3], go, ge, t)
    package = soft_smith_waterman(S, go, ge, temperature=t)
    assert np.allclose(mine[0], package.posterior)
    assert np.allclose([mine[1].sum(), mine[2].sum()], package.expected_gaps)
print("brute force and package agree at four temperatures")

# %% [markdown]
# We know the openings and extensions *at every cell*, so nothing keeps us from giving every cell penalties of
# its own, $g_o[i, j]$ and $g_e[i, j]$: what passes through a penalty at a cell is its derivative there. The
# package takes them. And since it is written for PyTorch, all three tables are what `backward()` leaves in
# `.grad`.

# %%
import torch

X = [torch.from_numpy(np.broadcast_to(value, S.shape).copy()).requires_grad_() for value in (S, go, ge)]
soft_smith_waterman(*X, temperature=1.0).score.backward()
P, openings, extensions = backward(*forward(S, go, ge, 1.0)[:3], go, ge, 1.0)
for ours, tensor in zip((P, -openings, -extensions), X, strict=True):
    assert np.allclose(ours, tensor.grad)
print("gradients by S, gap_open and gap_extend:", *(tuple(tensor.grad.shape) for tensor in X))

# %% [markdown]
# ## 7. What the temperature does
#
# Here is the posterior of the two squats, from cold to hot.

# %% tags=["thumbnail"]
temperatures = (0.05, 0.5, 1.5, 4.0)
path = smith_waterman(S, go, ge).path()
_, axes = plt.subplots(1, 4, figsize=(10, 3.3), layout="constrained")
for ax, t in zip(axes, temperatures, strict=True):
    soft = soft_smith_waterman(S, go, ge, temperature=t)
    plot_posterior(soft.posterior, path=path, colorbar=t == temperatures[-1], ax=ax)
    ax.set(title=f"t = {t}", xlabel="frame of B", ylabel="frame of A" if t == temperatures[0] else "")

# %% [markdown]
# When it is cold, the posterior is 1 on the best path and 0 elsewhere. **The traceback of notebook 02 is the
# gradient of the hard score; the posterior is the gradient of the soft one**, and where the best alignment is
# unique, the first is the limit of the second. When it is warmer, idle frames begin to match idle frames.
# When it is hot, scores hardly count any more, all alignments are about equally likely, and what we see is
# merely where most alignments pass.

# %%
cold = soft_smith_waterman(S, go, ge, temperature=0.01).posterior.numpy()
on_the_path = np.zeros(S.shape)
on_the_path[tuple(np.transpose(path))] = 1
assert np.allclose(cold, on_the_path, atol=1e-6)
kinked = finite_difference(lambda S: float(smith_waterman(S, go, ge).score), S, step=1e-3)
assert np.allclose(kinked, on_the_path)
print("at t = 0.01 the posterior is the path:", [tuple(map(int, k)) for k in np.argwhere(cold > 0.5)])

# %% [markdown]
# Three curves tell the same story. The soft score lies above the hard one (which is positive here), by at
# most $t$ times the logarithm of the number of alignments. The number of expected matches drifts away from
# that of the best path. And the largest entry of the posterior, which is 1 while one path has it all, falls
# to a fraction of that.

# %%
from math import comb, log

ts = np.geomspace(0.03, 10, 40)
soft = [soft_smith_waterman(S, go, ge, temperature=t) for t in ts]
hard = float(smith_waterman(S, go, ge).score)
bound = hard + ts * log(comb(sum(S.shape), S.shape[0]) - 1)
curves = {
    "soft score": [float(s.score) for s in soft],
    "expected matches": [float(s.posterior.sum()) for s in soft],
    "largest posterior": [float(s.posterior.max()) for s in soft],
}
assert all(hard - 1e-12 <= V <= most + 1e-12 for V, most in zip(curves["soft score"], bound, strict=True))

# %%
_, axes = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
for ax, (name, curve) in zip(axes, curves.items(), strict=True):
    ax.semilogx(ts, curve)
    ax.set(xlabel="temperature (in units of similarity)", title=name)
axes[0].axhline(hard, color="0.5", ls="--", label="hard score")
axes[0].plot(ts, bound, color="0.5", ls=":", label="upper bound")
axes[0].set_ylim(0, 3 * hard)
_ = axes[0].legend()

# %% [markdown]
# At which temperature should one train? If it is too cold, the gradient hears of one alignment only, and we
# are back at section 1. If it is too hot, it hears of nothing but the number of alignments. What is cold or
# hot depends on the similarity: this one goes up to 3, a cosine minus a margin of 0.5 only up to 0.5, and
# this course trains with a temperature of 0.1 there.
#
# **Try it.** Here are the same two clips with all their frames. The static figure shows three temperatures;
# the slider in a running notebook goes through all of them. Look for the temperature at which the gap after
# the lowest point of the squat gets blurred, and for the one at which idle frames begin to take over.

# %%
clip_a, clip_b, S_full = squat_pair(step=1)
_, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for ax, t in zip(axes, (0.1, 1.0, 5.0), strict=True):
    soft = soft_smith_waterman(S_full, 1.0, 0.3, temperature=t)
    path_full = smith_waterman(S_full, 1.0, 0.3).path()
    plot_posterior(soft.posterior, path=path_full, colorbar=t == 5.0, ax=ax)
    ax.set(title=f"t = {t}", xlabel="frame of B", ylabel="frame of A" if t == 0.1 else "")

# %%
from lacbook.viz.widgets import temperature_explorer

temperature_explorer(S_full, gap_open=1.0, gap_extend=0.3, temperature=0.5)

# %% [markdown]
# ### One difference to remember
#
# The hard score is never negative: if every match costs something, the best is not to align at all, and that
# is worth 0. The soft score is a smax over alignments with at least one match. So when every match costs
# something, it may lie below the hard one, and as $t \to 0$ it tends to the best single match, here $-1$.
# When it is warm, the many poor alignments together lift it above 0 all the same.

# %%
nothing_alike = np.full((3, 4), -2.0)
nothing_alike[1, 2] = -1.0
print(
    "hard:", float(smith_waterman(nothing_alike, go, ge).score), smith_waterman(nothing_alike, go, ge).path()
)
for t in (1.0, 0.5, 0.1, 0.01):
    print(f"soft, t = {t}: {float(soft_smith_waterman(nothing_alike, go, ge, temperature=t).score):.4f}")

# %% [markdown]
# ## 8. Exercises
#
# **Exercise 1.** How cold is cold enough? Find the temperature at which the smax of four equal numbers lies
# exactly 0.01 above them.

# %%
# exercise 1
cold_enough = None

# %%
from lacbook.course import check

check(cold_enough, lambda t: np.isclose(smax([5.0, 5.0, 5.0, 5.0], t), 5.01))

# %% [markdown]
# **Exercise 2.** Below is another version of `shares`. At temperature 1 it passes the test with finite
# differences.


# %%
def suspect(a, t):
    """Another version of `shares`."""
    a = np.asarray(a, dtype=float)
    if a.max() == -np.inf:
        return np.zeros_like(a)
    weights = np.exp(a - a.max())
    return weights / weights.sum()


def largest_error(shares, t):
    """Largest difference between a backward pass with these shares and finite differences."""
    found = backward(*forward(small, go, ge, t)[:3], go, ge, t, shares=shares)[0]
    return np.abs(found - finite_difference(lambda S: forward(S, go, ge, t)[-1], small)).max()


print(f"at t = 1: largest error {largest_error(suspect, 1.0):.0e}")

# %% [markdown]
# Find the fault, write a function `mended(a, t)` to take its place, and convince yourself with
# `largest_error(mended, t)`.

# %%
# exercise 2
mended = None

# %%
check(mended, lambda f: all(largest_error(f, t) < 1e-6 for t in (0.1, 0.8, 1.0, 3.0)))

# %% [markdown]
# **Exercise 3.** Write the test that finds such faults: `catches(candidate)` takes a version of `shares` and
# returns True if it is faulty, False if it is right. The check hands it several of either kind.

# %%
# exercise 3
catches = None


# %%
def too_hot(a, t):
    return shares(a, t * t)  # right at t = 1, again


def unnormalised(a, t):
    return shares(a, t) * np.exp((np.max(a) - smax(a, t)) / 10) if np.max(a) > -np.inf else shares(a, t)


check(catches, lambda f: all(f(fault) for fault in (suspect, too_hot, unnormalised)) and not f(shares))

# %% [markdown]
# The code that was released with LAC in September 2024 has the fault of exercise 2: its value uses the
# temperature, and its softmax does not divide by it. Notebook 14 measures what that costs. A test like yours
# would have found it.
#
# **Exercise 4.** How undecided is the alignment? The entropy of the alignments, $-\sum_A p(A) \log p(A)$,
# looks like a sum over more than a million of them. It is not needed: $\log p(A) = (\text{score}(A) - V)/t$,
# so the entropy is $(V - \text{expected score})/t$, and the expected score follows from posterior, openings
# and extensions. Write `entropy(S, go, ge, t)` with `forward` and `backward`. (The check uses another fact:
# the entropy is also $\partial V / \partial t$.)

# %%
# exercise 4
entropy = None


# %%
def slope_in_t(t, step=1e-4):
    return (forward(S, go, ge, t + step)[-1] - forward(S, go, ge, t - step)[-1]) / (2 * step)


check(entropy, lambda f: all(np.isclose(f(S, go, ge, t), slope_in_t(t), rtol=1e-5) for t in (0.5, 1.0, 2.5)))

# %% [markdown]
# Solutions are in `notebooks/solutions/03_smoothing_and_gradients.py`.

# %% [markdown]
# ## References
#
# - S. Petti, N. Bhattacharya, R. Rao, J. Dauparas, N. Thomas, J. Zhou, A. M. Rush, P. Koo, S. Ovchinnikov,
#   *End-to-end learning of multiple sequence alignments with differentiable Smith-Waterman*, Bioinformatics,
#   2023: the smoothed Smith-Waterman.
# - A. Mensch, M. Blondel, *Differentiable Dynamic Programming for Structured Prediction and Attention*, ICML
#   2018: smoothing the maximum of a dynamic program, and the backward pass as expected alignments.
# - M. Cuturi, M. Blondel, *Soft-DTW: a Differentiable Loss Function for Time-Series*, ICML 2017: the same for
#   DTW.
# - F. Llinares-López, Q. Berthet, M. Blondel, O. Teboul, J.-P. Vert, Nature Methods, 2023, as in notebook 02:
#   the same three tables, smoothed.
# - K. Oei, A. Gomaa, A. M. Feit, J. Belo, arXiv 2409.04607, 2024: LAC.
#
# **Next**: notebook 04 makes a PyTorch operator of it.
