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
# # 04 The alignment as a PyTorch operator
#
# **You will build** the soft alignment of notebook 03 as one PyTorch operator: a whole batch at once, on any
# device, with gradients for the similarity and for both gap penalties, and accepted by `torch.compile`.
#
# **You will learn** why the cells of an anti-diagonal can be computed together, how to lay a table out so
# that they are, where minus infinity turns a right score into a NaN gradient, what `torch.autograd.Function`
# and `torch.library` ask of you, how `gradcheck` and `opcheck` find the faults that a quick test misses, and
# where the speed comes from.
#
# **Prerequisites**: notebook 03 (the soft forward and backward pass), notebook 02 (numba), and having called
# `loss.backward()` before.
#
# **Time**: the notebook runs in about 40 seconds on a CPU and reads in about 45 minutes.

# %% [markdown]
# ## 1. A batch of tables, and the slow way
#
# In notebook 03 we filled three tables cell by cell, in NumPy, and wrote down the backward pass by hand. That
# is the specification, and it is right. But an encoder is trained on batches, through autograd, often on a
# GPU, perhaps under `torch.compile`, and none of these can look into a NumPy loop. So the question of this
# notebook is: **how does that loop become something PyTorch can train through, fast, on any device?**

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from lacbook import soft_smith_waterman
from lacbook.alignment import recursion
from lacbook.viz import use_theme

use_theme()

# %% [markdown]
# Our batch: three pairs of puppets who squat, throw and do a jumping jack. To keep things small we take every
# third pose, and for the similarity 0.3 minus the squared distance of two poses.

# %%
from lacbook.data.puppets import load_puppets
from lacbook.similarity import negative_squared_distance

clips = {clip.video_id: clip for clip in load_puppets(split="test", modality="poses")}
names = ["squat_s25_1", "squat_s22_2", "throw_s25_1", "throw_s24_1"]
names += ["jumping_jack_s26_1", "jumping_jack_s24_1"]
poses = [torch.from_numpy(clips[name].values[::3]).double() for name in names]
pairs = [negative_squared_distance(x, y, margin=0.3) for x, y in zip(poses[::2], poses[1::2], strict=True)]
print([tuple(pair.shape) for pair in pairs])

# %% [markdown]
# The pairs differ in size, and a batch is one tensor. So we *pad* every table to the largest one and remember
# the true sizes in `lengths`. The padding is filled with NaN on purpose: whatever reads it by mistake will be
# found out.

# %%
lengths = torch.tensor([pair.shape for pair in pairs])
B, (N, M) = len(pairs), lengths.amax(0).tolist()
S = torch.full((B, N, M), torch.nan, dtype=torch.float64)
for b, (n, m) in enumerate(lengths):
    S[b, :n, :m] = pairs[b]
go, ge = torch.full((B,), 0.3).double(), torch.full((B,), 0.1).double()  # one penalty per pair
t = 0.1
print("S", tuple(S.shape), " lengths", lengths.tolist(), " go, ge", tuple(go.shape))

# %%
from lacbook.viz import plot_similarity

limits = S.nan_to_num().min().item(), S.nan_to_num().max().item()  # the same colours for all three
_, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained", sharey=True)
for ax, table, title in zip(axes, S, ("squat", "throw", "jumping jack"), strict=True):
    plot_similarity(table, limits=limits, colorbar=ax is axes[-1], ax=ax)
    ax.set_title(title)
    ax.set_ylabel("frame of A" if ax is axes[0] else "")

# %% [markdown]
# Grey is padding. Now the slow way first. Autograd differentiates whatever is computed with tensors, so we
# can write the recursion with a tensor of one number per cell and be done. The smooth maximum is
# `torch.logsumexp` with the temperature around it. Outside the table the three tables are minus infinity,
# which `smax` raises to a `FLOOR`, a number so low that nothing is left of it after the exponential. (Section
# 5 shows what happens without.)

# %%
FLOOR = -1e30  # as good as minus infinity, but it can be subtracted from itself


def smax(values: Tensor, t: float, axes=0) -> Tensor:
    """Smooth maximum along some axes."""
    return t * torch.logsumexp(values.clamp(min=FLOOR) / t, axes)


# %%
from collections import defaultdict


def loop_score(S, go, ge, t, cells=None):
    """V of one table, cell by cell; `cells` says in which order."""
    start, outside = S.new_tensor([0.0, -torch.inf])  # the border's -inf adds nothing to V
    D, Ix, Iy = (defaultdict(lambda: outside) for _ in range(3))
    for i, j in np.ndindex(*S.shape) if cells is None else cells:
        into_d = start, D[i - 1, j - 1], Ix[i - 1, j - 1], Iy[i - 1, j - 1]
        into_x = D[i, j - 1] - go, Ix[i, j - 1] - ge
        into_y = D[i - 1, j] - go, Ix[i - 1, j] - go, Iy[i - 1, j] - ge
        best = [smax(torch.stack(into), t) for into in (into_d, into_x, into_y)]
        D[i, j], Ix[i, j], Iy[i, j] = S[i, j] + best[0], best[1], best[2]
    return smax(torch.stack(list(D.values())), t)


# %% [markdown]
# Is it right? We take the smallest pair. `recursion.forward` and `recursion.backward` are the package's
# version of what you wrote in notebook 03: the score V, and its derivatives, the posterior dV/dS among them.

# %%
jack = pairs[2].clone().requires_grad_()
V = loop_score(jack, go[2], ge[2], t)
(gradient,) = torch.autograd.grad(V, jack, retain_graph=True)

truth = recursion.forward(pairs[2], go[2], ge[2], t)
posterior = recursion.backward(truth, go[2], ge[2], t).posterior
assert np.isclose(V.item(), truth.score)
assert np.allclose(gradient, posterior)
print(f"V {V.item():.4f}; the gradient is the posterior")

# %% [markdown]
# It is right, and we wrote no backward pass at all. What does that cost? Autograd has to remember every
# operation on the way to V. We can walk through what it recorded and count.


# %%
def recorded(value):
    """How many operations autograd recorded on the way to a value."""
    seen, waiting = set(), [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [earlier for earlier, _ in node.next_functions]
    return len(seen)


print(f"{jack.numel()} cells, {recorded(V)} operations recorded, {recorded(V) / jack.numel():.0f} per cell")

# %% [markdown]
# And the time? All timings of this course are ratios between things measured in the same run, since seconds
# mean little on another computer. Here the yardstick is the package's own operator.

# %%
from time import perf_counter


def fastest(function, repeats=3):
    """Shortest of some runs; the others were disturbed."""
    times = []
    for _ in range(repeats):
        begin = perf_counter()
        function()
        times.append(perf_counter() - begin)
    return min(times)


# %%
def loop_step():
    loop_score(jack, go[2], ge[2], t).backward()


def package_step():
    soft_smith_waterman(jack, go[2], ge[2], temperature=t).score.backward()


package_step()  # the first call loads compiled code
ratio = fastest(loop_step, 2) / fastest(package_step, 20)
print(f"forward and backward, one table: the loop takes {ratio:.0f} times as long as the package")

# %% [markdown]
# A loop that handles one number at a time spends its time on everything but arithmetic: each of those
# operations is a call from Python into PyTorch, for one addition. The remedy is always the same: do fewer
# operations, each on more numbers. So, which numbers can be computed together?

# %% [markdown]
# ## 2. What depends on what
#
# Look at one cell. Its D needs the three tables at (i-1, j-1), its Ix needs (i, j-1) and its Iy needs (i-1,
# j). Nothing else. If we colour the cells by i + j, the left and the upper neighbour have the sum one below,
# and the diagonal neighbour the one two below.

# %%
import seaborn as sns


def draw_cells(ax, cells):
    """Draw cells {(row, column): (i, j)}, coloured by i + j."""
    palette = sns.color_palette("colorblind")
    for (row, column), (i, j) in cells.items():
        ax.add_patch(
            plt.Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fc=(*palette[(i + j) % 10], 0.45))
        )
        ax.text(column, row, f"{i}, {j}", ha="center", va="center", fontsize=9)
    rows, columns = np.array(list(cells)).max(0)
    ax.set(xlim=(-0.6, columns + 0.6), ylim=(rows + 0.6, -0.6), aspect="equal")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.xaxis.tick_top()


# %%
_, ax = plt.subplots(figsize=(4.4, 3.4), layout="constrained")
draw_cells(ax, {(i, j): (i, j) for i, j in np.ndindex(4, 6)})
ax.set(xticks=range(6), yticks=range(4), xlabel="j", ylabel="i")
ax.xaxis.set_label_position("top")
for row, column in ((1, 2), (2, 2), (1, 3)):  # what cell (2, 3) needs
    start, end = ((column + at * (3 - column), row + at * (2 - row)) for at in (0.28, 0.72))
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "lw": 2, "color": "#222222"})

# %% [markdown]
# All cells of one colour form an *anti-diagonal*, and none of them needs another one of it. So their order
# should not matter. That is a claim we can test: the loop takes the cells in any order, so let us give it the
# anti-diagonals one after the other, each one shuffled. For comparison, we also shuffle everything.

# %%
rng = np.random.default_rng(0)
throw = pairs[1]
shuffled = [tuple(cell) for cell in rng.permutation(list(np.ndindex(*throw.shape))).tolist()]
by_diagonal = sorted(shuffled, key=sum)  # by i + j; what is equal stays shuffled
row_by_row, diagonals, anyhow = (
    loop_score(throw, go[1], ge[1], t, cells).item() for cells in (None, by_diagonal, shuffled)
)
print(f"row by row {row_by_row:.4f}, diagonals shuffled {diagonals:.4f}, all shuffled {anyhow:.4f}")
assert np.isclose(row_by_row, diagonals)
assert not np.isclose(row_by_row, anyhow)

# %% [markdown]
# So a table can be filled in N + M - 1 steps rather than N M: a wave that runs from one corner to the other.
# And every step can serve all pairs of a batch, which do not depend on each other either.

# %%
print(f"one after the other: {B * N * M} cells;  as waves: {N + M - 1} steps")

# %% [markdown]
# ## 3. Skewing: diagonals become rows
#
# PyTorch is good at rows. The cells of a diagonal lie apart in memory, so we move them: cell (i, j) goes to
# row i + j, place i, of a new array. No index arithmetic is needed for it. Append N empty places to each row
# and write all rows behind one another: a row now begins every M + N places. Read the same numbers again in
# rows of M + N - 1, one less, and each row has moved one further to the right than the row before it. The
# columns of what we now read are the diagonals.


# %%
def skew(cells: Tensor, fill: float) -> Tensor:
    """[B, N, M] to diagonals [N + M - 1, B, N]: cell (i, j) goes to [i + j, :, i]."""
    _, N, M = cells.shape
    line = pad(cells, (0, N), value=fill).flatten(1)[:, : N * (N + M - 1)]
    return line.unflatten(1, (N, N + M - 1)).permute(2, 0, 1)


def unskew(diagonals: Tensor, M: int) -> Tensor:
    """Back to [B, N, M]."""
    N = diagonals.shape[2]
    line = pad(diagonals.permute(1, 2, 0).flatten(1), (0, N))
    return line.unflatten(1, (N, N + M))[:, :, :M].contiguous()


# %% [markdown]
# Here is the trick on a table of 3 x 4 numbers: padded with three places, written in one line, and read in
# rows of six.

# %%
line = pad(torch.arange(12).reshape(3, 4), (0, 3), value=-1).flatten()
print(line.reshape(3, 7), line[: 3 * 6].reshape(3, 6), sep="\n")

# %% tags=["thumbnail"]
_, (left, right) = plt.subplots(1, 2, figsize=(8, 4.6), layout="constrained")
draw_cells(left, {(i, j): (i, j) for i, j in np.ndindex(4, 6)})
left.set(title="the table", xticks=range(6), yticks=range(4), xlabel="j", ylabel="i")
draw_cells(right, {(i + j, i): (i, j) for i, j in np.ndindex(4, 6)})
right.set(title="skewed", xticks=range(4), yticks=range(9), xlabel="i", ylabel="d = i + j")
for ax in (left, right):
    ax.xaxis.set_label_position("top")

# %% [markdown]
# Two checks. Every cell arrives where it should, and the way back is the way back. (The numbers in the first
# check say where they come from.)

# %%
number = torch.arange(B * N * M).reshape(B, N, M)
skewed = skew(number, -1)
print(tuple(number.shape), "to", tuple(skewed.shape))
for i, j in np.ndindex(N, M):
    assert torch.equal(skewed[i + j, :, i], number[:, i, j])
assert (skewed >= 0).sum() == number.numel()  # and everything else is filler
assert torch.equal(unskew(skewed, M), number)

# %% [markdown]
# Now read the neighbours off the right picture. For cell (i, j) at place i of row d:
#
# | neighbour | where it lies when skewed |
# |---|---|
# | left, (i, j-1) | row d - 1, place i |
# | up, (i-1, j) | row d - 1, place i - 1 |
# | diagonal, (i-1, j-1) | row d - 2, place i - 1 |
#
# The last two rows, once as they are and once moved down by one place: that is all a step has to look at.

# %% [markdown]
# ## 4. The forward pass, one diagonal at a time
#
# First the padding. A cell with a similarity of minus infinity can never be matched, so that is what padding
# gets, before anything else. We use the same for the empty corners of the skewed array. Gaps may still run
# out of a table into its padding, but they can never come back: i and j only grow.

# %%
from lacbook.padding import valid_cells


def masked(S: Tensor, lengths: Tensor) -> Tensor:
    """Minus infinity wherever a frame is not real."""
    return torch.where(valid_cells(lengths, *S.shape[1:]), S, -torch.inf)


def down(row: Tensor) -> Tensor:
    """Entry i - 1 at place i, and nothing at place 0."""
    return pad(row[..., :-1], (1, 0), value=-torch.inf)


print(down(torch.tensor([1.0, 2.0, 3.0])))

# %% [markdown]
# Here are the equations again, with the arguments of each smooth maximum in the order in which the code
# stacks them:
#
# $$D_{i,j} = S_{i,j} + \mathrm{smax}(0,\; D_{i-1,j-1},\; I^x_{i-1,j-1},\; I^y_{i-1,j-1})$$
#
# $$I^x_{i,j} = \mathrm{smax}(D_{i,j-1} - g_o,\; I^x_{i,j-1} - g_e)$$
#
# $$I^y_{i,j} = \mathrm{smax}(D_{i-1,j} - g_o,\; I^x_{i-1,j} - g_o,\; I^y_{i-1,j} - g_e)$$
#
# `last` and `before` are the two previous diagonals, each with its three tables: shape [3, B, N].


# %%
def arguments(last, before, go, ge):
    """What the three smax of a diagonal choose from: [4, B, N], [2, B, N] and [3, B, N]."""
    D_left, Ix_left, _ = last
    D_up, Ix_up, Iy_up = down(last)
    start = torch.zeros_like(last[:1])
    into_d = torch.cat([start, down(before)])
    into_x = torch.stack([D_left - go, Ix_left - ge])
    into_y = torch.stack([D_up - go, Ix_up - go, Iy_up - ge])
    return into_d, into_x, into_y


# %% [markdown]
# The rest is one loop over diagonals. Two diagonals of minus infinity come first, so that the first real ones
# have something to look back at. The smooth maximum is an argument, since in the next section we want to
# exchange it.


# %%
def fill_tables(S, go, ge, t, lengths, smax=smax):
    """D, Ix and Iy, skewed, behind two diagonals of border: [3, 2 + N + M - 1, B, N]."""
    s = skew(masked(S, lengths), -torch.inf)
    border = s.new_full((3, *s.shape[1:]), -torch.inf)
    diagonals = [border, border]
    for s_d in s:
        into = arguments(diagonals[-1], diagonals[-2], go[:, None], ge[:, None])
        D, Ix, Iy = (smax(values, t) for values in into)
        diagonals.append(torch.stack([s_d + D, Ix, Iy]))
    return torch.stack(diagonals, 1)


def wavefront_score(S, go, ge, t, lengths, smax=smax):
    """V of every pair: [B]."""
    return smax(fill_tables(S, go, ge, t, lengths, smax)[0], t, (0, 2))


# %% [markdown]
# Does it agree with the specification, cell by cell, in every pair? And does the NaN of the padding stay
# where it is?

# %%
tables = fill_tables(S, go, ge, t, lengths)
D = unskew(tables[0, 2:], M)
V = wavefront_score(S, go, ge, t, lengths)
for b, (n, m) in enumerate(lengths):
    truth = recursion.forward(pairs[b], go[b], ge[b], t)
    assert np.allclose(D[b, :n, :m], truth.D)
    assert np.isclose(V[b], truth.score)
package = soft_smith_waterman(S, go, ge, temperature=t, lengths=lengths, backend="wavefront")
assert torch.allclose(V, package.score)
print("tables", tuple(tables.shape), " V", V.numpy().round(4))

# %% [markdown]
# This is how the table D of the squat fills up. White means around zero, red that a good alignment ends
# there, blue that none does, grey that the wave has not arrived yet.

# %%
diagonal = np.add.outer(np.arange(N), np.arange(M))
limits = D[0].min().item(), D[0].max().item()
_, axes = plt.subplots(1, 3, figsize=(9, 2.9), layout="constrained", sharey=True)
for ax, d in zip(axes, (15, 32, N + M - 2), strict=True):
    shown = np.where(diagonal > d, -np.inf, D[0])
    plot_similarity(shown, limits=limits, colorbar=ax is axes[-1], ax=ax)
    ax.set(title=f"D after step {d + 1}", ylabel="frame of A" if ax is axes[0] else "")
_ = axes[-1].child_axes[0].set_ylabel("D")

# %% [markdown]
# ## 5. Let autograd differentiate it
#
# Everything above is made of tensor operations, so the gradient is one call away. We first try it with the
# smooth maximum that most of us would write, without a floor.


# %%
def plain_smax(values, t, axes=0):
    return t * torch.logsumexp(values / t, axes)


x = S.clone().requires_grad_()
plain = wavefront_score(x, go, ge, t, lengths, smax=plain_smax)
(gradient,) = torch.autograd.grad(plain.sum(), x)
print("the scores are right:", torch.allclose(plain, V))
for b, (n, m) in enumerate(lengths):
    print(f"pair {b}: {gradient[b, :n, :m].isnan().double().mean():4.0%} of the gradient is NaN")
assert torch.allclose(plain, V)
assert gradient.isnan().any()

# %% [markdown]
# The scores are right, and two of three gradients are useless. Only the squat escapes, which has no padding.
# So no test of the forward pass can see this fault, and no test without padding either. Where does it come
# from? The derivative of log-sum-exp by its k-th argument is exp(a_k - result). Below the last real row of a
# padded pair every D is minus infinity, so both arguments of Ix are, and so is the result; and minus infinity
# minus minus infinity is not a number. No alignment comes by there, so this derivative is multiplied by zero.
# But zero times NaN is NaN, and that is what the backward pass carries up into the real part of the table.
# Two numbers are enough to see it:

# %%
nothing = torch.tensor([-torch.inf, -torch.inf], requires_grad=True)
for name, function in (("plain", plain_smax), ("with a floor", smax)):
    value = function(nothing, t)
    (slope,) = torch.autograd.grad(0.0 * value, nothing)
    print(f"{name:12}  value {value.item():.0e}  zero times its gradient {slope.tolist()}")

# %% [markdown]
# With the floor, the worst that is ever subtracted from itself is a finite number, and `clamp` passes no
# gradient to what it has raised. Now the gradient of the whole batch is the posterior of notebook 03, and
# zero in the padding.

# %%
x = S.clone().requires_grad_()
V = wavefront_score(x, go, ge, t, lengths)
(gradient,) = torch.autograd.grad(V.sum(), x, retain_graph=True)
for b, (n, m) in enumerate(lengths):
    truth = recursion.backward(recursion.forward(pairs[b], go[b], ge[b], t), go[b], ge[b], t)
    assert np.allclose(gradient[b, :n, :m], truth.posterior)
    assert (gradient[b, n:] == 0).all()
    assert (gradient[b, :, m:] == 0).all()
print("gradient", tuple(gradient.shape), " expected matches", gradient.sum((1, 2)).numpy().round(2))

# %% [markdown]
# So we could stop here. What is it that autograd keeps for us, though? PyTorch lets us watch every tensor
# that is saved for the backward pass.


# %%
def numbers_kept(function):
    """How many numbers autograd saves while a function runs (each storage counted once)."""
    storages = {}

    def save(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        result = function()  # kept until the end, so that no memory is used twice
    return sum(storages.values()) if result is not None else 0


by_autograd = numbers_kept(lambda: wavefront_score(x, go, ge, t, lengths)) / S.numel()
print(f"{recorded(V)} operations recorded, {by_autograd:.0f} numbers kept for every cell of the batch")

# %% [markdown]
# Far fewer operations than the loop recorded for a single pair. But the memory: autograd cannot know that
# three tables are enough to work out everything else again. We know, since we have derived the backward pass.

# %% [markdown]
# ## 6. Writing the gradient down
#
# In notebook 03 every smooth maximum handed its derivative back to its arguments in shares, softmax(a / t).
# The same can be done a diagonal at a time. What the forward pass moved `down`, the backward pass has to move
# `up`. In the words of linear algebra, `up` is the transpose of `down`, which is checked with two random
# rows.


# %%
def up(row: Tensor) -> Tensor:
    """Entry i + 1 at place i, and zero at the end."""
    return pad(row[..., 1:], (0, 1))


def shares(values: Tensor, t: float) -> Tensor:
    """Derivatives of smax by its arguments: softmax(values / t)."""
    return ((values.clamp(min=FLOOR) - smax(values, t)) / t).exp()


p, q = torch.randn(2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
assert torch.isclose(down(p)[1:] @ q[1:], p @ up(q))  # place 0 of down(p) is empty

# %% [markdown]
# Now the sweep. `given` holds the derivatives of V by D, Ix and Iy and starts with what V itself hands to
# every D, the softmax over the whole table. From the last diagonal to the first, each cell hands its
# derivative to the cells it came from, and what passes through `- go` or `- ge` is counted on the way.


# %%
def sweep_back(tables, V, go, ge, t):
    """Posterior, skewed, and the expected openings and extensions of every pair."""
    given = torch.zeros_like(tables)
    given[0] = ((tables[0] - V[:, None]) / t).exp()
    openings, extensions = torch.zeros_like(V), torch.zeros_like(V)
    for d in reversed(range(2, given.shape[1])):
        into = arguments(tables[:, d - 1], tables[:, d - 2], go[:, None], ge[:, None])
        to_d, to_x, to_y = (shares(values, t) * own for values, own in zip(into, given[:, d], strict=True))
        given[:, d - 2] += up(to_d[1:])
        given[:2, d - 1] += to_x
        given[:, d - 1] += up(to_y)
        openings += (to_x[0] + to_y[0] + to_y[1]).sum(-1)
        extensions += (to_x[1] + to_y[2]).sum(-1)
    return given[0, 2:], openings, extensions


# %% [markdown]
# Forward and backward pass in one function. It hands out all that the gradient will ever need, so that the
# tables can be forgotten at once.


# %%
def align(S, go, ge, t, lengths):
    """V [B], posterior [B, N, M], expected openings and extensions [B]."""
    tables = fill_tables(S, go, ge, t, lengths)
    V = smax(tables[0], t, (0, 2))
    posterior, openings, extensions = sweep_back(tables, V, go, ge, t)
    return V, unskew(posterior, S.shape[2]), openings, extensions


V, posterior, openings, extensions = align(S, go, ge, t, lengths)
truth = package.posterior, *package.expected_gaps
for ours, theirs in zip((posterior, openings, extensions), truth, strict=True):
    assert torch.allclose(ours, theirs)
print("expected openings", openings.numpy().round(3), " extensions", extensions.numpy().round(3))

# %% [markdown]
# How does autograd learn of it? A `torch.autograd.Function` is a pair of functions: `forward` computes and
# saves, `backward` is given the derivative of the loss by each output and returns one derivative for each
# input (None where there is none). Here is a first attempt. It has a fault; do you see it?


# %%
class Careless(torch.autograd.Function):
    @staticmethod
    def forward(ctx, S, go, ge, t, lengths):
        V, *derivatives = align(S, go, ge, t, lengths)
        ctx.save_for_backward(*derivatives)
        return V

    @staticmethod
    def backward(ctx, g):
        posterior, openings, extensions = ctx.saved_tensors
        return posterior, -openings, -extensions, None, None


# %% [markdown]
# The obvious test, the gradient of the sum of the scores against the truth, passes.

# %%
x = S.clone().requires_grad_()
(found,) = torch.autograd.grad(Careless.apply(x, go, ge, t, lengths).sum(), x)
print("loss = V.sum():     right?", torch.allclose(found, package.posterior))

(found,) = torch.autograd.grad(3 * Careless.apply(x, go, ge, t, lengths).sum(), x)
print("loss = 3 * V.sum(): right?", torch.allclose(found, 3 * package.posterior))
assert not torch.allclose(found, 3 * package.posterior)

# %% [markdown]
# The second does not: `backward` never looks at `g`. A Function is one link in a chain, and `g` is what the
# chain hands in, the derivative of the loss by V: the *upstream* gradient. With `V.sum()` it happens to be
# one. (The fault is not made up. The code released with the LAC paper has it in the gradients of its gap
# penalties; notebook 14 shows it.)
#
# Nobody thinks of all such tests, so let `torch.autograd.gradcheck` think of them. It nudges every input by a
# little, sees how every output changes, and compares the slopes with what `backward` says. It needs float64
# and small tables.

# %%
torch.manual_seed(0)
small = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
small_go = torch.tensor([0.5, 0.8]).double().requires_grad_()
small_ge = torch.tensor([0.2, 0.1]).double().requires_grad_()
problem = small, small_go, small_ge, 0.5, torch.tensor([[3, 4], [2, 4]])

print("careless:", torch.autograd.gradcheck(Careless.apply, problem, raise_exception=False))


# %% [markdown]
# The right version multiplies. The decorator refuses second derivatives where PyTorch can see one coming:
# when `g` itself depends on something that is trained. With a plain sum it sees nothing, and the posterior
# passes for a constant. Section 8 comes back to that.

# %%
from torch.autograd.function import once_differentiable


class Alignment(torch.autograd.Function):
    forward = Careless.forward

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        posterior, openings, extensions = ctx.saved_tensors
        return g[:, None, None] * posterior, -g * openings, -g * extensions, None, None


print("alignment:", torch.autograd.gradcheck(Alignment.apply, problem))

# %% [markdown]
# Look at the two minus signs: the derivative of V by `go` is minus the expected number of openings, as
# derived in notebook 03. They are what a learned gap penalty is trained with. And the price?

# %%
x = S.clone().requires_grad_()
kept = numbers_kept(lambda: Alignment.apply(x, go, ge, t, lengths)) / S.numel()
operations = recorded(Alignment.apply(x, go, ge, t, lengths))
print(f"numbers kept for every cell: autograd {by_autograd:.0f}, Alignment {kept:.2f}")
print(f"operations recorded: {operations} (one of them ours, one the end of the chain)")
assert kept < 1.1 < by_autograd

# %% [markdown]
# ## 7. An operator that PyTorch knows by name
#
# A Function tells autograd what to do. It tells `torch.compile` less: the compiler reads Python, so it walks
# into `forward` and finds our loop over diagonals. It would rather treat the whole alignment as one step, as
# it treats a matrix product. `torch.library` turns a function into an operator, with a name, a signature and
# three parts:
#
# 1. what it **computes** (`custom_op`),
# 2. the **shapes** of what comes out, given only the shapes of what goes in (`register_fake`),
# 3. its **derivative** (`register_autograd`).
#
# The type annotations are not decoration: PyTorch reads the operator's signature off them. `mutates_args=()`
# promises that no input is changed in place. An operator belongs to a namespace, here `course`; defining it
# again, as happens when you run this cell twice, replaces it, together with its derivative; then run the
# cells below again, too.

# %%
Tensors = tuple[Tensor, Tensor, Tensor, Tensor]


@torch.library.custom_op("course::soft_alignment", mutates_args=())
def soft_alignment(S: Tensor, go: Tensor, ge: Tensor, t: float, lengths: Tensor) -> Tensors:
    """V, posterior, expected openings and extensions."""
    return align(S, go, ge, t, lengths)


@soft_alignment.register_fake
def soft_alignment_fake(S, go, ge, t, lengths):
    return S.new_empty(len(S)), S.new_empty(S.shape), torch.empty_like(go), torch.empty_like(ge)


# %% [markdown]
# The compiler calls the second function with tensors that have a shape and a dtype but no numbers, so that it
# can plan ahead without computing anything. PyTorch's `meta` device has such tensors, too. So we can play
# compiler for a moment, with tables far too large for this computer:

# %%
with torch.device("meta"):
    large, penalty = torch.empty(1000, 100_000, 100_000), torch.empty(1000)
    found = soft_alignment(large, penalty, penalty, t, torch.empty(1000, 2, dtype=torch.int64))
print([tuple(x.shape) for x in found])

# %% [markdown]
# The third part is the Function of section 6 cut in two: what to save, and what to do with it. What the
# derivative needs has to be an input or an output, since `save` sees nothing else. So the posterior and the
# expected gaps are outputs now, and we declare them not differentiable.


# %%
def save(ctx, inputs, output):
    _, *derivatives = output
    ctx.mark_non_differentiable(*derivatives)
    ctx.save_for_backward(*derivatives)


def chain(ctx, g, *_):
    posterior, openings, extensions = ctx.saved_tensors
    return g[:, None, None] * posterior, -g * openings, -g * extensions, None, None


soft_alignment.register_autograd(chain, setup_context=save)
print("gradcheck:", torch.autograd.gradcheck(lambda *inputs: soft_alignment(*inputs)[0], problem))

# %% [markdown]
# Is it a good citizen? `opcheck` tries what `gradcheck` does not: that the signature tells the truth (no
# input changed, no output that shares memory with an input), that the derivative is registered where it
# belongs, that the fake agrees with the real thing, and that both survive the compiler's machinery with sizes
# left open. (It does not compare the derivative with differences. That remains `gradcheck`'s job.)

# %%
for test, verdict in torch.library.opcheck(soft_alignment, problem).items():
    print(f"{test:27} {verdict}")

# %% [markdown]
# And `torch.compile`? We ask for `fullgraph=True`: an error rather than a silent retreat to plain Python. On
# a CPU, the default compile backend would write C++ and need a compiler on your computer; `aot_eager` does
# all of the tracing, forward and backward, and then runs the graph as it is. That is what we want to test.


# %%
def loss(S, shared):
    """Something to train with: alike videos should align."""
    V, *_ = soft_alignment(S, shared.expand(B), ge, t, lengths)
    return -(V / t).mean()


compiled_loss = torch.compile(loss, fullgraph=True, backend="aot_eager")
inputs = S.clone().requires_grad_(), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
eager, compiled = (torch.autograd.grad(function(*inputs), inputs) for function in (loss, compiled_loss))
for one, other in zip(eager, compiled, strict=True):
    assert torch.allclose(one, other)
print("compiled: the same gradients; by the shared gap_open", round(compiled[1].item(), 3))

# %% [markdown]
# What would the compiler have made of our loop? A compile backend is a function that is given the graph, so
# we can write one that only counts.


# %%
def graph_size(function, *inputs):
    """Operations that torch.compile sees in a function."""
    sizes = []

    def count(graph, _):
        sizes.append(sum(node.op.startswith("call") for node in graph.graph.nodes))
        return graph.forward

    torch.compiler.reset()
    torch.compile(function, fullgraph=True, backend=count)(*inputs)
    return sum(sizes)


for n in (3, 6):
    inputs = torch.randn(1, n, n), torch.ones(1), torch.ones(1), 0.5, torch.tensor([[n, n]])
    loop, operator = (graph_size(function, *inputs) for function in (wavefront_score, soft_alignment))
    print(f"{n} x {n}: the loop becomes {loop} operations, the operator {operator}")
assert operator < 10 < loop

# %% [markdown]
# The loop is unrolled: its graph grows with the size of the table, and has to be traced again for every new
# size. The operator is one node with a few around it that take its results apart, whatever the size.

# %% [markdown]
# ## 8. What an operator hides
#
# ### Another engine behind the same name
#
# Since nobody looks inside an operator, its inside may be anything. On a CPU the loop that notebook 02
# compiled with numba is the better engine. `register_kernel` puts it behind the same name for CPU tensors;
# tensors on any other device still go through `align`. Shapes, derivative and all users stay as they are.
# (With a GPU, the check below prints a second line.)

# %%
from lacbook.alignment import numba_kernels


@soft_alignment.register_kernel("cpu")
def soft_alignment_numba(S, go, ge, t, lengths):
    tensors = S, go[:, None, None], ge[:, None, None], lengths
    s, o, e, sizes = (x.detach().contiguous().numpy() for x in tensors)
    V, posterior, openings, extensions = map(
        torch.from_numpy, numba_kernels.soft(s, o, e, t, sizes, threads=1)
    )
    return V, posterior, openings.flatten(), extensions.flatten()


# %%
for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
    found = soft_alignment(*(x.to(device) for x in (S, go, ge)), t, lengths.to(device))
    assert all(torch.allclose(x.cpu(), y) for x, y in zip(found, align(S, go, ge, t, lengths), strict=True))
    print(f"{device}: the same four results as align")
print("gradcheck:", torch.autograd.gradcheck(lambda *inputs: soft_alignment(*inputs)[0], problem))

# %% [markdown]
# ### Second derivatives
#
# There is one thing our operator cannot do. A loss may be written on the *posterior* (that of this package is
# not by default, but one of its variants is). The posterior is a first derivative of V; training on it takes
# second ones. `gradgradcheck` tests them. Our operator treats the posterior as a constant and fails. The
# package's passes.


# %%
def our_score(S, go, ge):
    return soft_alignment(S, go, ge, *problem[3:])[0]


def package_score(S, go, ge):
    return soft_smith_waterman(S, go, ge, temperature=problem[3], lengths=problem[4]).score


verdicts = {}
for name, function in (("ours", our_score), ("package", package_score)):
    verdicts[name] = torch.autograd.gradgradcheck(function, problem[:3], raise_exception=False)
print("second derivatives:", verdicts)
assert verdicts == {"ours": False, "package": True}

# %% [markdown]
# Worse, in a loss that also contains V nothing would tell you. The posterior's part of the gradient is simply
# missing:

# %%
x = S.clone().requires_grad_()
V = soft_alignment(x, go, ge, t, lengths)[0].sum()
(posterior,) = torch.autograd.grad(V, x, create_graph=True)
(V + posterior.square().nansum()).backward()  # no error
print("the posterior's term changed nothing:", torch.allclose(x.grad, package.posterior))
assert torch.allclose(x.grad, package.posterior)

# %% [markdown]
# How does it do that without the table of all second derivatives, which has one entry for every *pair* of
# cells? Backpropagating a vector v through the posterior asks for v times the matrix of second derivatives of
# V. That matrix is symmetric, so the same product says how the posterior changes when S moves a little along
# v. And that takes no more than one more sweep forward and one more back, with every cell carrying its change
# along (`recursion.backward_tangent`). The symmetry is easy to see for ourselves:

# %%
v = torch.randn_like(pairs[0])
x = pairs[0].clone().requires_grad_()
alignment = soft_smith_waterman(x, go[0], ge[0], temperature=t)
(backpropagated,) = torch.autograd.grad((v * alignment.posterior).sum(), x)

ahead, behind = (
    soft_smith_waterman(pairs[0] + step * v, go[0], ge[0], temperature=t).posterior for step in (1e-6, -1e-6)
)
change = (ahead - behind) / 2e-6
assert torch.allclose(backpropagated, change, atol=1e-5)
difference = (backpropagated - change).abs().max()
print(f"largest change {change.abs().max():.3f}, largest difference {difference:.0e}")

# %% [markdown]
# ## 9. What it costs
#
# Now the race, forward and backward, one table of growing size: the loop of section 1, our diagonals in two
# versions (autograd, or the written gradient), and the numba engine behind our operator. Everything is
# divided by the time of the last on the smallest table.

# %%
contestants = {
    "cell by cell, autograd": lambda S, *rest: loop_score(S[0], go[0], ge[0], t),
    "diagonals, autograd": lambda *problem: wavefront_score(*problem).sum(),
    "diagonals, our gradient": lambda *problem: Alignment.apply(*problem).sum(),
    "operator with numba": lambda *problem: soft_alignment(*problem)[0].sum(),
}


# %%
def random_problem(B, n):
    S = (0.4 * torch.randn(B, n, n)).double().requires_grad_()
    return S, torch.full((B,), 0.3).double(), torch.full((B,), 0.1).double(), t, torch.tensor([[n, n]] * B)


def seconds(name, B, n):
    problem = random_problem(B, n)
    repeats = 1 if "cell" in name else 30 if "numba" in name else 4
    return fastest(lambda: contestants[name](*problem).backward(), repeats)


# %%
sizes = {name: [8, 16, 32] if "cell" in name else [8, 16, 32, 64] for name in contestants}
times = {name: np.array([seconds(name, 1, n) for n in sizes[name]]) for name in contestants}
unit = times["operator with numba"][0]
_, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for name, taken in times.items():
    ax.loglog(sizes[name], taken / unit, marker="o", label=name)
ax.set(
    title="One pair, forward and backward", xlabel="frames of each video", ylabel="time (numba, 8 frames = 1)"
)
ax.set_xticks([8, 16, 32, 64], [8, 16, 32, 64])
ax.minorticks_off()
_ = ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))

# %% [markdown]
# The slopes tell the story. The loop grows with the number of cells, the diagonals more like the number of
# diagonals. Our own gradient is no faster than autograd's: it takes about as many steps. What it saved was
# memory. And the compiled operator hardly grows at these sizes: most of its time is what calling any operator
# costs.
#
# Diagonals pay off in another way, too: one step serves the whole batch. Let us see what sixteen pairs cost,
# compared with one.

# %%
batched = [name for name in contestants if "cell" not in name]
growth = [seconds(name, 16, 32) / seconds(name, 1, 32) for name in batched]
_, ax = plt.subplots(figsize=(7, 1.9), layout="constrained")
ax.barh(batched, growth, color=["C1", "C2", "C3"])
ax.axvline(16, color="#8c8c8c", ls="--")
ax.text(15.8, 1, "pair after pair", ha="right", va="center")
ax.invert_yaxis()
_ = ax.set(xlabel="time for 16 pairs (1 pair = 1)", xlim=(0, 18))

# %% [markdown]
# A step on short rows costs about the same as a step on long ones, so a batch is cheap for the diagonals.
# (For the operator it is cheap as long as calling it is what takes the time.) On a GPU, where a row of many
# thousand numbers is still a short one, diagonals go much further. On a CPU, compiled code is hard to beat.
#
# ### Why the compiled engine is so fast: the linear domain
#
# Compiling is only half of it. A smooth maximum takes several exponentials and a logarithm, and each of them
# costs as much as many multiplications. Yet most of them undo each other: what one smax has taken the
# logarithm of, the next one puts into an exponential again. So let us keep the exponentials themselves:
#
# $$a = e^{D/t}, \quad x = e^{I^x/t}, \quad y = e^{I^y/t}$$
#
# Then smax turns into a sum, and subtracting a penalty into multiplying by one of two constants:
#
# $$e_o = e^{-g_o/t}, \quad e_e = e^{-g_e/t}$$
#
# $$a_{i,j} = e^{S_{i,j}/t}\,(1 + a_{i-1,j-1} + x_{i-1,j-1} + y_{i-1,j-1})$$
#
# $$x_{i,j} = e_o\, a_{i,j-1} + e_e\, x_{i,j-1}$$
#
# $$y_{i,j} = e_o\,(a_{i-1,j} + x_{i-1,j}) + e_e\, y_{i-1,j}$$
#
# $$V = t \log \sum_{i,j} a_{i,j}$$
#
# One exponential per cell is left, the rest is multiplying and adding. Minus infinity outside the table
# becomes a plain zero.

# %%
from numba import njit


@njit
def linear_score(S, go, ge, t):
    a, x, y = np.zeros((3, S.shape[0] + 1, S.shape[1] + 1))  # row 0 and column 0 lie outside
    eo, ee = np.exp(-go / t), np.exp(-ge / t)
    for i, j in np.ndindex(S.shape):
        a[i + 1, j + 1] = np.exp(S[i, j] / t) * (1 + a[i, j] + x[i, j] + y[i, j])
        x[i + 1, j + 1] = eo * a[i + 1, j] + ee * x[i + 1, j]
        y[i + 1, j + 1] = eo * (a[i, j + 1] + x[i, j + 1]) + ee * y[i, j + 1]
    return t * np.log(a.sum())


linear = [linear_score(pair.numpy(), 0.3, 0.1, t) for pair in pairs]
assert np.allclose(linear, package.score)
print("V", np.round(linear, 4))

# %% [markdown]
# The catch is range: float64 ends near e to the power of 709, and V / t may be larger. So the package keeps
# bands of rows and blocks of columns as multiples of powers of two that follow the states, where it can show
# that nothing is lost (`numba_linear`), and does with logarithms what is left: very low temperatures, huge or
# negative penalties (`numba_log`). We can switch the attempt off, and see at the same temperature what it is
# worth:

# %%
many, opening, extension, _, many_lengths = random_problem(32, 64)


def seconds_with(linear):
    numba_kernels.LINEAR_DOMAIN = linear
    try:
        return fastest(lambda: soft_alignment(many.detach(), opening, extension, t, many_lengths), 10)
    finally:
        numba_kernels.LINEAR_DOMAIN = True


seconds_with(False)  # the first call compiles
print(f"with logarithms it takes {seconds_with(False) / seconds_with(True):.1f} times as long")

# %% [markdown]
# ### From small to large, beside other packages
#
# The command `lacbook bench` times all that the engine does, at sizes from one pair of 64 frames to one of
# 2,048, and takes other packages in where they are installed: two of soft-DTW, a simpler task with one state
# a cell, and one of hard alignments. Everything takes turns, so that a busy moment hits all alike. Here is a
# stored run; `lacbook bench --json mine.json --figure mine.png` makes one of your own machine.

# %%
import json

from lacbook.data.clips import data_dir
from lacbook.viz.bench import plot_bench

stored = json.loads((data_dir() / "results" / "bench_cpu.json").read_text())
print(stored["machine"]["cpu"], "with", stored["settings"]["threads"], "threads")
_ = plot_bench(stored)

# %% [markdown]
# The dashed line is what one float64 exponential for every cell takes. The engine runs parallel to it from
# some ten thousand cells on: all that is left per cell is a fixed amount of arithmetic. Below, calling an
# operator of PyTorch takes longer than computing it. How many exponentials is a cell worth?

# %%
best = {
    (r["pairs"], r["frames"], r["mode"], r["contestant"]): min(r["seconds"])
    for r in stored["rows"]
    if r["seconds"]
}
for mode in ("gradient", "per-cell", "table", "hessian", "hard"):
    ratios = [
        best[B, n, mode, "numba"] / best[B, n, "exp", "exp"] for B, n in ((16, 128), (32, 240), (8, 512))
    ]
    print(f"{mode:9s}", "  ".join(f"{ratio:5.1f}" for ratio in ratios), " times an exp a cell")

# %% [markdown]
# So the answer to the question of this notebook has three layers. Take the cells that do not depend on each
# other together; write the gradient down, so that little is kept; and hand PyTorch the whole as one operator,
# inside which each device may do what it does best. For a GPU that is neither the loop nor a step of PyTorch
# for every diagonal, but a kernel of its own.

# %% [markdown]
# ## 10. Exercises
#
# **Exercise 1.** Our penalties have one number per pair. A model often learns *one* number for all pairs:
# `go` and `ge` of shape `()`. Then `backward` must return gradients of that shape, too. Write `shared_gaps(g,
# openings, extensions)`, which takes three tensors of shape [B], the upstream gradient among them, and
# returns the gradients of the loss by the shared `go` and the shared `ge`.

# %%
# exercise 1
shared_gaps = None

# %%
from lacbook.course import check


def right_gaps(function):
    shared = [torch.tensor(value).double().requires_grad_() for value in (0.3, 0.1)]
    weights = torch.tensor([3.0, -1.0, 0.5]).double()  # the upstream gradient of the three scores
    V = wavefront_score(S, *(penalty.expand(B) for penalty in shared), t, lengths)
    truth = torch.autograd.grad((weights * V).sum(), shared)
    found = function(weights, openings, extensions)
    return all(x.shape == () and torch.allclose(x, y) for x, y in zip(found, truth, strict=True))


check(shared_gaps, right_gaps)

# %% [markdown]
# **Exercise 2.** Could the temperature be learned? That needs dV/dt, which you met in notebook 03 as an
# entropy. Here is a second way to it, without probabilities. Multiply S, go, ge *and* t by the same number,
# and V is multiplied by it as well (why?). Differentiate that statement by the number, at one, and you have
# an equation for dV/dt in which everything else is known. Write `temperature_gradient(S, go, ge, t,
# lengths)`, which calls `soft_alignment` once and returns dV/dt, shape [B]. (Mind the NaN in the padding.)

# %%
# exercise 2
temperature_gradient = None


# %%
def right_slope(function):
    for at in (0.05, 0.2):
        ahead, behind = (wavefront_score(S, go, ge, at + step, lengths) for step in (1e-5, -1e-5))
        if not torch.allclose(function(S, go, ge, at, lengths), (ahead - behind) / 2e-5, atol=1e-6):
            return False
    return True


check(temperature_gradient, right_slope)

# %% [markdown]
# **Exercise 3.** The operator below returns, for every pair, the expected openings and extensions side by
# side. It has no fake, so the compiler cannot use it. Write one and call it `gaps_fake`; it takes the same
# five arguments.


# %%
def define_expected_gaps():
    @torch.library.custom_op("course::expected_gaps", mutates_args=())
    def expected_gaps(S: Tensor, go: Tensor, ge: Tensor, t: float, lengths: Tensor) -> Tensor:
        return torch.stack(soft_alignment(S, go, ge, t, lengths)[2:], 1)

    return expected_gaps


print(define_expected_gaps()(S, go, ge, t, lengths).shape)

# %%
# exercise 3
gaps_fake = None


# %%
def right_fake(fake):
    operator = define_expected_gaps()
    operator.register_fake(fake)
    for tensors in ((S, go, ge), (S[:2].float(), go[:2].float(), ge[:2].float())):
        inputs = (*tensors, t, lengths[: len(tensors[0])])
        torch.library.opcheck(operator, inputs, test_utils="test_faketensor")
    elsewhere = operator(*(x.to("meta") for x in (S, go, ge)), t, lengths.to("meta"))
    return elsewhere.device.type == "meta"


check(gaps_fake, right_fake)

# %% [markdown]
# **Exercise 4.** How cold can it get before the linear domain fails? Find a temperature `too_cold` at which
# `linear_score` of the squat (`pairs[0]`, go 0.3, ge 0.1) is not finite any more, though at a temperature a
# tenth higher it still is. You may search for it; but first estimate it from V and the 709 above, and stay a
# few percent below your estimate: V itself gets a little smaller as it gets colder.

# %%
# exercise 4
too_cold = None


# %%
def right_temperature(temperature):
    squat = pairs[0].numpy()
    at, above = (linear_score(squat, 0.3, 0.1, factor * temperature) for factor in (1.0, 1.1))
    exact = soft_smith_waterman(squat, 0.3, 0.1, temperature=temperature).score
    return not np.isfinite(at) and np.isclose(above, exact, rtol=0.01)


check(too_cold, right_temperature)

# %% [markdown]
# Solutions are in `notebooks/solutions/04_torch_op.py`.

# %% [markdown]
# ## References
#
# - K. Oei, A. Gomaa, A. M. Feit, J. Belo, *Self-Supervised Contrastive Learning for Videos using
#   Differentiable Local Alignment* (LAC), 2024, [arXiv 2409.04607](https://arxiv.org/abs/2409.04607):
#   training an encoder through a soft Smith-Waterman alignment with affine gaps.
# - S. Petti, N. Bhattacharya, R. Rao, J. Dauparas, N. Thomas, J. Zhou, A. M. Rush, P. Koo, S. Ovchinnikov,
#   *End-to-end learning of multiple sequence alignments with differentiable Smith-Waterman* (SMURF),
#   Bioinformatics 39(1), 2023: the smooth Smith-Waterman, filled one anti-diagonal at a time.
# - O. Gotoh, *An improved algorithm for matching biological sequences*, Journal of Molecular Biology 162,
#   1982: the three tables.
# - PyTorch's documentation of `torch.autograd.Function`, `torch.autograd.gradcheck` and `torch.library`
#   (custom operators, `register_fake`, `register_autograd`, `opcheck`).
#
# Next: notebook 05 writes that kernel, one block of threads for a pair and one barrier for a diagonal.
