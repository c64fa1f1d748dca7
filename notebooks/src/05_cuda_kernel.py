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
# # 05 The alignment on a GPU
#
# **You will build** the kernel that aligns a whole batch of videos in one launch on a GPU: one block of
# threads for each pair, one barrier for each diagonal, score and posterior in one go.
#
# **You will learn** how a GPU divides work into threads and blocks, what a race is and how a barrier prevents
# it, where the numbers should lie in memory, how threads add up a sum together, and why a backward pass on a
# GPU fetches instead of adding.
#
# **Prerequisites**: notebook 03 (the soft recursion, its shares and the posterior) and notebook 04 (the
# anti-diagonals). You need no GPU and no knowledge of CUDA.
#
# **Time**: the notebook runs in about 30 seconds on a CPU and reads in about 40 minutes.

# %% [markdown]
# ## 1. One program, many threads
#
# A CPU has a few fast cores. A GPU has thousands of slow ones, and a *kernel* is a small program that all of
# them run at once, each on its own part of the data. CUDA is the name of this model on NVIDIA's cards, and
# numba compiles Python functions for it.
#
# numba also has a *simulator*: it runs the same kernels on the CPU, one Python thread for each thread of the
# GPU, one block after another. It is slow, so our tables will be tiny, but nothing else has to change. The
# cell below takes a real card if there is one (and the package numba-cuda, which brings the compiler), and
# the simulator otherwise.

# %%
import os
from importlib.util import find_spec

import torch

gpu = torch.cuda.is_available() and find_spec("numba_cuda") is not None
os.environ["NUMBA_ENABLE_CUDASIM"] = "0" if gpu else "1"  # read when numba is imported, so restart to change
os.environ["NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS"] = "0"  # our grids are tiny on purpose
device = "cuda" if gpu else "cpu"
print("kernels run on", torch.cuda.get_device_name() if gpu else "the CPU, in numba's simulator")

# %%
from math import exp, inf, log, sqrt

import matplotlib.pyplot as plt
import numpy as np
from numba import cuda, float64

from lacbook.viz import plot_posterior, plot_table, use_theme
from lacbook.viz.style import ACCENT, EMPTY, INK, MUTED

use_theme()

# %% [markdown]
# We need something to align: three pairs of very short clips. A frame is a point on the unit circle, and its
# angle says how far a movement has got. The second clip of each pair is longer: it starts late and then
# dwells on some moments.

# %%
rng = np.random.default_rng(2)
B, N, M = 3, 6, 9
angles_x = np.linspace(0, 4.5, N) + 0.15 * rng.normal(size=(B, N))
angles_y = np.array([3.0, 0.0, 0.9, 0.9, 1.8, 2.7, 2.7, 2.7, 3.6]) + 0.15 * rng.normal(size=(B, M))
x, y = (np.stack([np.cos(angles), np.sin(angles)], axis=-1) for angles in (angles_x, angles_y))
margin = 0.4
print("x:", x.shape, " y:", y.shape, "(pairs, frames, numbers in an embedding)")

# %% [markdown]
# The first kernel computes a similarity matrix, and the plan is as simple as can be: **one thread for each
# cell**. Every thread runs the same code, so it first has to ask who it is. Threads come in *blocks* of equal
# size, and all blocks together are the *grid*. A thread knows the number of its block (`cuda.blockIdx.x`),
# the size of the blocks (`cuda.blockDim.x`) and its own number in its block (`cuda.threadIdx.x`). From these
# it works out which cell is its own.
#
# A kernel, marked `@cuda.jit`, is started from the CPU and returns nothing. What it calls is marked
# `device=True` and may return what it likes.


# %%
@cuda.jit(device=True)
def cosine_of(a, b):
    ab, aa, bb = 0.0, 0.0, 0.0
    for e in range(len(a)):
        ab += a[e] * b[e]
        aa += a[e] * a[e]
        bb += b[e] * b[e]
    return ab / sqrt(aa * bb)


@cuda.jit
def similarity_kernel(x, y, margin, S):
    k = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x  # short: cuda.grid(1)
    if k < S.size:
        i, j = k // S.shape[1], k % S.shape[1]
        S[i, j] = cosine_of(x[i], y[j]) - margin


# %% [markdown]
# There is no loop over cells: the grid is the loop. Its size stands in square brackets when the kernel is
# launched, first the number of blocks, then the threads in each. We take 16 threads a block, which does not
# divide the number of cells, so the number of blocks is rounded up.
#
# A GPU has its own memory. `cuda.to_device` copies an array there, `copy_to_host` brings it back.

# %%
threads = 16
blocks = -(-N * M // threads)  # rounded up
S0 = cuda.to_device(np.zeros((N, M)))
similarity_kernel[blocks, threads](cuda.to_device(x[0]), cuda.to_device(y[0]), margin, S0)
print(f"{N} x {M} = {N * M} cells; {blocks} blocks of {threads} threads: {blocks * threads} threads")
print(S0.copy_to_host().round(2)[:2])

# %% [markdown]
# Here is the grid of this launch. Threads of one block run together on one part of the card; they can wait
# for each other and have a little fast memory in common, the *shared memory*. Different blocks know nothing
# of each other and run in any order. The large *global memory*, where our arrays lie, is open to all.


# %%
def draw_block(ax, block):
    for thread in range(threads):
        k = block * threads + thread
        left, bottom = 5 * block + thread % 4, 3 - thread // 4
        ax.add_patch(plt.Rectangle((left, bottom), 0.9, 0.9, color=ACCENT if k < N * M else EMPTY))
        ax.text(left + 0.45, bottom + 0.45, k, ha="center", va="center", color="white" if k < N * M else INK)
    ax.text(5 * block + 1.95, 4.15, f"block {block}", ha="center", weight="bold")
    ax.add_patch(plt.Rectangle((5 * block, -0.95), 3.9, 0.75, color="C2"))
    ax.text(5 * block + 1.95, -0.58, "shared memory", ha="center", va="center", color="white")


# %% tags=["thumbnail"]
_, ax = plt.subplots(figsize=(8.5, 3.1), layout="constrained")
for block in range(blocks):
    draw_block(ax, block)
ax.add_patch(plt.Rectangle((0, -2), 5 * blocks - 1.1, 0.75, color=MUTED))
ax.text(2.5 * blocks - 0.5, -1.63, "global memory: x, y, S", ha="center", va="center", color="white")
_ = ax.set(xlim=(-0.1, 5 * blocks - 1), ylim=(-2.1, 4.7), aspect="equal")
_ = ax.axis("off")

# %% [markdown]
# The pale threads at the end have no cell. They run all the same, and the line `if k < S.size` sends them
# home: a *bounds guard*. What if we forget it? Here is a smaller kernel without one, which subtracts the
# margin from numbers that are already there. So that nothing breaks, we lay the matrix and somebody else's
# numbers next to each other in one piece of memory, as they might well lie.


# %%
@cuda.jit
def subtract_unguarded(values, margin):
    values[cuda.grid(1)] -= margin


memory = cuda.to_device(np.concatenate([np.ones(N * M), np.full(10, 7.0)]))
subtract_unguarded[blocks, threads](memory, margin)
print("ours:          ", memory.copy_to_host()[: N * M][-4:])
print("somebody else's:", memory.copy_to_host()[N * M :])
assert (memory.copy_to_host()[N * M :] != 7).all()

# %% [markdown]
# No error, no message: the surplus threads changed numbers that are not ours. The simulator notices an index
# beyond the end of an array and raises an `IndexError`; a real card does not look: it damages something in
# silence, or stops your whole program. Every kernel needs its guard.
#
# With it, our kernel agrees with the package, for all three pairs:

# %%
from lacbook.similarity import cosine

S = cosine(torch.from_numpy(x), torch.from_numpy(y), margin).numpy()
for b in range(B):
    found = cuda.to_device(np.zeros((N, M)))
    similarity_kernel[blocks, threads](cuda.to_device(x[b]), cuda.to_device(y[b]), margin, found)
    assert np.allclose(found.copy_to_host(), S[b])
print("S:", S.shape, "as lacbook.similarity.cosine has it")

# %% [markdown]
# ## 2. Cells that wait for each other
#
# One thread for each cell was easy because no cell of a similarity matrix needs another. The tables of the
# soft alignment are different:
#
# $$D_{i,j} = S_{i,j} + \mathrm{smax}(0,\; D_{i-1,j-1},\; I^x_{i-1,j-1},\; I^y_{i-1,j-1})$$
# $$I^x_{i,j} = \mathrm{smax}(D_{i,j-1} - g_o,\; I^x_{i,j-1} - g_e)$$
# $$I^y_{i,j} = \mathrm{smax}(D_{i-1,j} - g_o,\; I^x_{i-1,j} - g_o,\; I^y_{i-1,j} - g_e)$$
#
# Every cell reads three neighbours, and outside the table there is $-\infty$. The smax of two numbers, $t
# \log(e^{a/t} + e^{b/t})$, is in the package as a function of plain arithmetic, compiled for the card:
# `smooth_max`. The smax of more numbers is one of two, repeated.
#
# The table is stored skewed, as in notebook 04: D, Ix and Iy of cell $(i, j)$ lie at `[0, d, i]`, `[1, d, i]`
# and `[2, d, i]`, where $d = i + j$ is its diagonal. Section 6 says why, and what the `%` is for; until then
# it does nothing.

# %%
from lacbook.alignment.cuda_kernels import smooth_max


@cuda.jit(device=True)
def states(table, i, j):
    """D, Ix, Iy of cell (i, j)."""
    if i < 0 or j < 0:
        return -inf, -inf, -inf
    d = (i + j) % table.shape[1]
    return table[0, d, i], table[1, d, i], table[2, d, i]


# %% [markdown]
# With it, the three equations read as they stand above:


# %%
@cuda.jit(device=True)
def soft_cell(table, s, go, ge, t, i, j):
    D, Ix, Iy = states(table, i - 1, j - 1)
    new_D = s + smooth_max(smooth_max(0.0, D, t), smooth_max(Ix, Iy, t), t)
    D, Ix, Iy = states(table, i, j - 1)
    new_Ix = smooth_max(D - go, Ix - ge, t)
    D, Ix, Iy = states(table, i - 1, j)
    new_Iy = smooth_max(smooth_max(D, Ix, t) - go, Iy - ge, t)
    return new_D, new_Ix, new_Iy


@cuda.jit(device=True)
def put(table, i, j, cell):
    d = (i + j) % table.shape[1]
    table[0, d, i], table[1, d, i], table[2, d, i] = cell


# %% [markdown]
# Now let every thread compute its cell at once. Which of them is first? Nobody knows: the card promises no
# order. It is free to let all threads read before any of them writes. We force this order, so that you and I
# see the same thing: `cuda.syncthreads()` is a *barrier*, at which each thread of a block waits until all the
# others have arrived.


# %%
@cuda.jit
def all_at_once(S, go, ge, t, table):
    i, j = cuda.threadIdx.x // S.shape[1], cuda.threadIdx.x % S.shape[1]  # one block, one thread a cell
    cell = soft_cell(table, S[i, j], go, ge, t, i, j)  # everybody reads
    cuda.syncthreads()
    put(table, i, j, cell)  # then everybody writes


# %%
from lacbook.alignment import recursion

go, ge, t = 0.3, 0.1, 0.3
truth = np.array([recursion.forward(s, go, ge, t)[:3] for s in S])  # the package, in plain loops
print("true tables:", truth.shape, "(pairs, D Ix Iy, N, M)")


def unskewed(table):
    """Copy [..., N + M - 1, N] from the GPU and make it [..., N, M]."""
    i, j = np.indices((N, M))
    return table.copy_to_host()[..., i + j, i]


# %%
table = cuda.to_device(np.full((3, N + M - 1, N), -inf))
all_at_once[1, N * M](cuda.to_device(S[0]), go, ge, t, table)
right = np.isclose(unskewed(table), truth[0]).all(axis=0)
print(f"{right.sum()} of {N * M} cells are right")
assert right[0, 0]
assert not right.all()

# %% [markdown]
# Almost all of it is wrong, because the neighbours were not there yet. Without the order that we forced, this
# is a *race*: the result depends on who comes first.
#
# But look what happens when we launch the same kernel again and again, on the table that it leaves behind.
# From the second time on the neighbours hold something, and some of it is right. We note for every cell the
# last launch that changed it.

# %%
table = cuda.to_device(np.full((3, N + M - 1, N), -inf))
settled = np.zeros((N, M), dtype=int)
for launch in range(1, N + M):
    before = unskewed(table)
    all_at_once[1, N * M](cuda.to_device(S[0]), go, ge, t, table)
    settled[(unskewed(table) != before).any(axis=0)] = launch
assert np.allclose(unskewed(table), truth[0])
assert (settled == np.add(*np.indices((N, M))) + 1).all()
ax = plot_table(settled)
_ = ax.set_title("The launch that settles each cell")

# %% [markdown]
# After $N + M - 1$ launches everything is right, and the picture shows why: right numbers spread from the
# corner, one anti-diagonal further with each launch. Cell $(i, j)$ is settled by launch $i + j + 1$.

# %% [markdown]
# ## 3. One launch for each diagonal
#
# That was right in the end, and wasteful: every launch computed the whole table, though only one diagonal had
# anything new to say. So let launch $d$ compute the cells with $i + j = d$ and nothing else. The end of a
# launch is a barrier too, the strongest there is: the next one starts when all threads of all blocks are
# done. And since blocks are independent, as our pairs are, we give **each pair a block**, with one thread for
# each row.


# %%
@cuda.jit
def diagonal_kernel(S, go, ge, t, d, tables):
    b, i = cuda.blockIdx.x, cuda.threadIdx.x
    j = d - i
    if i < S.shape[1] and 0 <= j < S.shape[2]:  # the guard: has this diagonal such a cell?
        put(tables[b], i, j, soft_cell(tables[b], S[b, i, j], go, ge, t, i, j))


# %%
S_gpu = cuda.to_device(S)
tables = cuda.to_device(np.full((B, 3, N + M - 1, N), np.nan))
for d in range(N + M - 1):
    diagonal_kernel[B, 8](S_gpu, go, ge, t, d, tables)
assert np.allclose(unskewed(tables), truth)
print(f"{N + M - 1} launches, {B} blocks of 8 threads each; all {truth.size} numbers are right")

# %% [markdown]
# Correct, for the whole batch. (The table was full of NaN before, so nobody has read a place that was not yet
# written.) How busy were the threads? The bars count the cells of each diagonal of a pair, and the line is
# the number of threads in a block.

# %%
width = [min(N - 1, d) - max(0, d - M + 1) + 1 for d in range(N + M - 1)]
_, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
ax.bar(range(N + M - 1), width, color=ACCENT)
ax.axhline(8, color=INK, ls="--", lw=1)
ax.text(N + M - 1.4, 7.9, "threads in the block", ha="right", va="top")
ax.set(xlabel="diagonal d", ylabel="cells", xticks=range(N + M - 1))
_ = ax.set_title("Cells that can be computed at once")

# %% [markdown]
# A pair never has more than $\min(N, M)$ cells to compute at once, and fewer at both ends. One pair cannot
# fill a card with thousands of cores. That is why a batch is the right thing to bring to a GPU, and why one
# small pair is probably better aligned on the CPU.
#
# The other weakness is the number of launches. Each is an errand from the CPU to the card, and for a short
# diagonal the errand may take longer than the work. Notebook 04's version in torch operations has the same
# trouble several times over, since almost every torch operation is a launch of its own.

# %% [markdown]
# ## 4. A block a pair, a barrier a diagonal
#
# The threads of a block have a barrier of their own, so they can go from diagonal to diagonal without going
# back to the CPU. **One launch** is then enough for the whole batch. One more thing has to change: a block
# has at most 1024 threads, and a video may have more frames than that. So we no longer give a thread one row.
# With $T$ threads in the block, thread number `threadIdx.x` takes cells `threadIdx.x`, `threadIdx.x + T`,
# `threadIdx.x + 2 T`, ... of each diagonal: a *strided loop*. It works for any length.


# %%
@cuda.jit(device=True)
def my_cells(d, S, go, ge, t, table):
    """This thread's cells of diagonal d, in one pair."""
    n, m = S.shape
    first, last = max(0, d - m + 1), min(n - 1, d)
    for i in range(first + cuda.threadIdx.x, last + 1, cuda.blockDim.x):
        put(table, i, d - i, soft_cell(table, S[i, d - i], go, ge, t, i, d - i))


@cuda.jit
def block_kernel(S, go, ge, t, tables):
    b = cuda.blockIdx.x
    for d in range(S.shape[1] + S.shape[2] - 1):
        my_cells(d, S[b], go, ge, t, tables[b])
        cuda.syncthreads()


# %%
for T in (8, 4, 3):
    tables = cuda.to_device(np.full((B, 3, N + M - 1, N), np.nan))
    block_kernel[B, T](S_gpu, go, ge, t, tables)
    assert np.allclose(unskewed(tables), truth)
    print(f"1 launch, {B} blocks of {T} threads: all {truth.size} numbers are right")

# %% [markdown]
# The strided loop needs no guard of its own: its range ends where the diagonal does. To see who does what,
# let each thread sign its cells. The numbers below are diagonals, that is, time; the colours are threads.
# With 8 threads, a diagonal is done in one go, and threads 6 and 7 find nothing to do; with 4, the longer
# ones need two.


# %%
@cuda.jit
def sign(who):
    n, m = who.shape
    for d in range(n + m - 1):
        first, last = max(0, d - m + 1), min(n - 1, d)
        for i in range(first + cuda.threadIdx.x, last + 1, cuda.blockDim.x):
            who[i, d - i] = cuda.threadIdx.x


# %%
from matplotlib.colors import ListedColormap

_, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for ax, T in zip(axes, (8, 4), strict=True):
    who = cuda.to_device(np.zeros((N, M), dtype=np.int64))
    sign[1, T](who)
    palette = ListedColormap([f"C{k}" for k in range(8)])
    image = ax.imshow(who.copy_to_host(), cmap=palette, vmin=-0.5, vmax=7.5, alpha=0.5)
    for i, j in np.ndindex(N, M):
        ax.text(j, i, i + j, ha="center", va="center", color=INK, weight="bold")
    ax.set(title=f"{T} threads", xlabel="j", ylabel="i", xticks=range(M), yticks=range(N))
_ = ax.figure.colorbar(image, ax=axes, ticks=range(8), label="thread", shrink=0.8)

# %% [markdown]
# ### What if the barrier is missing?
#
# Then nothing keeps thread 0 from running through all its cells before thread 1 has begun. The card need not
# do so, but it may. We force that order again, by letting one thread through at a time:


# %%
@cuda.jit
def without_barrier(S, go, ge, t, table, only):
    if only < 0 or cuda.threadIdx.x == only:
        for d in range(S.shape[0] + S.shape[1] - 1):
            my_cells(d, S, go, ge, t, table)


table = cuda.to_device(np.full((3, N + M - 1, N), -inf))
for only in range(4):
    without_barrier[1, 4](cuda.to_device(S[0]), go, ge, t, table, only)
wrong = ~np.isclose(unskewed(table), truth[0]).all(axis=0)
print(f"thread after thread: {wrong.sum()} of {N * M} cells are wrong")
assert wrong.any()

# %% [markdown]
# And if we leave the order to chance?

# %%
table = cuda.to_device(np.full((3, N + M - 1, N), -inf))
without_barrier[1, 4](cuda.to_device(S[0]), go, ge, t, table, -1)
wrong = ~np.isclose(unskewed(table), truth[0]).all(axis=0)
print(f"in whatever order it happened to be: {wrong.sum()} of {N * M} cells are wrong")

# %% [markdown]
# Nobody vouches for this second number. In the simulator, threads take turns as Python pleases; for loops as
# short as ours, mostly one after the other. On a real card it can well be zero, since groups of 32 threads,
# called *warps*, often run in step there, and then the fault shows up a year later with longer videos. **A
# race that does not show is still a race.** A test that passes proves little here; the argument has to be
# that between two barriers nobody reads what another writes. In `block_kernel` it holds: between two
# barriers, only diagonal $d$ is written, and only $d - 1$ and $d - 2$ are read.

# %% [markdown]
# ### What if the barrier is in the wrong place?
#
# A barrier waits for *all* threads of the block, so all of them must come to it equally often. It is tempting
# to put it into the inner loop, right after the cell is written. Let us count, instead of waiting, how often
# each thread would come by.


# %%
@cuda.jit
def count_arrivals(n, m, after_loop, inside_loop):
    for d in range(n + m - 1):
        first, last = max(0, d - m + 1), min(n - 1, d)
        for _ in range(first + cuda.threadIdx.x, last + 1, cuda.blockDim.x):
            inside_loop[cuda.threadIdx.x] += 1
        after_loop[cuda.threadIdx.x] += 1


after, inside = (cuda.to_device(np.zeros(4, dtype=np.int64)) for _ in range(2))
count_arrivals[1, 4](N, M, after, inside)
print("barrier after the inner loop: ", after.copy_to_host(), "arrivals of threads 0 to 3")
print("barrier inside the inner loop:", inside.copy_to_host())
assert len(set(after.copy_to_host())) == 1
assert len(set(inside.copy_to_host())) > 1

# %% [markdown]
# Thread 0 would come more often than thread 3 and wait for somebody who never arrives. CUDA leaves open what
# happens then; the program may hang or compute nonsense. The rule: **no barrier inside a branch or a loop
# that the threads of a block leave at different times.**

# %% [markdown]
# ## 5. The score: a sum that many threads share
#
# The score is $V = t \log \sum_{i,j} e^{D_{i,j}/t}$: one sum over all cells, of which every thread knows a
# part. The exponentials may overflow, so we keep a partial sum as two numbers, `top` and `z`, which stand for
# $z \cdot e^{\mathrm{top}/t}$ with `top` the largest D in it. One function merges two such pairs. A single
# cell is the pair (D, 1), so the same function adds a cell to a thread's sum and merges the sums of two
# threads.


# %%
@cuda.jit(device=True)
def merge(top_a, z_a, top_b, z_b, t):
    top = max(top_a, top_b)
    if top == -inf:
        return top, 0.0
    return top, z_a * exp((top_a - top) / t) + z_b * exp((top_b - top) / t)


# %% [markdown]
# In the forward pass of a pair each thread keeps its own sum. Videos of a batch differ in length, so $n$ and
# $m$ are the pair's own now. They are the same for all threads of a block, so all of them pass the same
# number of barriers.


# %%
@cuda.jit(device=True)
def forward(S, go, ge, t, n, m, table):
    top, z = -inf, 0.0
    for d in range(n + m - 1):
        first, last = max(0, d - m + 1), min(n - 1, d)
        for i in range(first + cuda.threadIdx.x, last + 1, cuda.blockDim.x):
            cell = soft_cell(table, S[i, d - i], go, ge, t, i, d - i)
            put(table, i, d - i, cell)
            top, z = merge(top, z, cell[0], 1.0, t)
        cuda.syncthreads()
    return top, z


# %% [markdown]
# Then $T$ threads hold $T$ sums. One of them could add up all of them while the others watch, in $T - 1$
# steps. Better: each thread in the lower half takes the sum of a partner in the upper half; then, of those,
# the lower half takes from the upper half again, until one is left. That is a *tree reduction*, and it needs
# $\log_2 T$ steps.

# %%
_, ax = plt.subplots(figsize=(6.5, 2.9), layout="constrained")
for step, alive in enumerate((8, 4, 2, 1)):
    for k in range(8):
        ax.plot(k, -step, "o", ms=17, color=ACCENT if k < alive else EMPTY)
        ax.text(k, -step, k, ha="center", va="center", color="white" if k < alive else MUTED)
    for giver in range(alive if alive > 1 else 0):
        arrow = {"arrowstyle": "->", "color": INK, "shrinkA": 9, "shrinkB": 9}
        ax.annotate("", (giver % (alive // 2), -step - 1), (giver, -step), arrowprops=arrow)
ax.set(xlim=(-0.5, 7.5), ylim=(-3.5, 0.5), xticks=[], title="Eight threads merge their sums")
ax.set_yticks([0, -1, -2, -3], ["8 sums", "4 sums", "2 sums", "1 sum"])
ax.tick_params(length=0)
_ = ax.spines[:].set_visible(False)

# %% [markdown]
# For this, threads have to see each other's sums, so these go to the shared memory of the block. After every
# step there is a barrier, for all threads, also for those that are done. The number of threads has to be a
# power of two here (exercise 2 lifts that).


# %%
@cuda.jit(device=True)
def merge_threads(top, z, t, tops, sums):
    me, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    tops[me], sums[me] = top, z
    cuda.syncthreads()
    while half > 0:
        if me < half:
            top, z = merge(tops[me], sums[me], tops[me + half], sums[me + half], t)
            tops[me], sums[me] = top, z
        cuda.syncthreads()
        half //= 2
    return tops[0], sums[0]


# %% [markdown]
# Now the kernel is short: `cuda.shared.array` reserves two numbers a thread, then forward, merge, and one
# thread writes the score.

# %%
THREADS = 4  # in a block: a power of two, and 32 or more for real work


@cuda.jit
def score_kernel(S, go, ge, t, lengths, tables, score):
    tops = cuda.shared.array(THREADS, float64)
    sums = cuda.shared.array(THREADS, float64)
    b = cuda.blockIdx.x
    top, z = forward(S[b], go, ge, t, lengths[b, 0], lengths[b, 1], tables[b])
    top, z = merge_threads(top, z, t, tops, sums)
    if cuda.threadIdx.x == 0:
        score[b] = top + t * log(z)


# %% [markdown]
# We cut two of the pairs short and put NaN where nothing may be read. (The package's kernel also deals with
# pairs in which nothing can be matched, where $z = 0$.)

# %%
from lacbook import soft_smith_waterman

lengths = np.array([[6, 9], [5, 9], [6, 7]])
padded = S.copy()
for b, (n, m) in enumerate(lengths):
    padded[b, n:], padded[b, :, m:] = np.nan, np.nan
problem = (cuda.to_device(padded), go, ge, t, cuda.to_device(lengths))
tables = cuda.to_device(np.full((B, 3, N + M - 1, N), np.nan))
score = cuda.to_device(np.zeros(B))
score_kernel[B, THREADS](*problem, tables, score)

reference = soft_smith_waterman(S, go, ge, temperature=t, lengths=lengths, backend="numba")
assert np.allclose(score.copy_to_host(), reference.score)
print("scores:", score.copy_to_host().round(4))

# %% [markdown]
# ## 6. Where the numbers lie
#
# In kernels like this one, threads spend much of their time waiting for memory. Two questions are worth
# asking: are the numbers that neighbouring threads want neighbours in memory? And do they have to be in
# global memory at all?
#
# ### Neighbours
#
# A card reads global memory in pieces of 32 bytes, four float64. When threads that run together want numbers
# from one piece, it is fetched once. The threads of a diagonal want cells $(i, d - i)$, and in a table stored
# row by row these are $M - 1$ numbers apart. In the skewed table they are neighbours. Here is the memory as
# one long line, and in it the cells of diagonal 5.


# %%
def by_rows(i, j, n, m):
    return i * m + j


def skewed(i, j, n, m):
    return (i + j) * n + i


_, axes = plt.subplots(2, 1, figsize=(9, 1.9), layout="constrained")
for ax, place, size in zip(axes, (by_rows, skewed), (N * M, (N + M - 1) * N), strict=True):
    line = np.zeros((1, size))
    line[0, [place(i, 5 - i, N, M) for i in range(N)]] = 1
    ax.imshow(line, cmap=ListedColormap([EMPTY, ACCENT]), aspect="auto")
    ax.set(yticks=[], title=place.__name__.replace("_", " "))
_ = axes[1].set_xlabel("position in memory (in numbers)")

# %% [markdown]
# How many pieces does a pair of 64 frames each take? We count them, diagonal by diagonal.


# %%
def pieces(place, n, m):
    total = 0
    for d in range(n + m - 1):
        rows = range(max(0, d - m + 1), min(n - 1, d) + 1)
        total += len({place(i, d - i, n, m) // 4 for i in rows})
    return total


for place in (by_rows, skewed):
    print(f"{place.__name__:8}: {pieces(place, 64, 64)} pieces for one table of {64 * 64} cells")
assert pieces(by_rows, 64, 64) == 64 * 64

# %% [markdown]
# Stored by rows, every number costs a piece of its own, if no piece is still in a cache; skewed, a piece
# serves almost four. For clips of equal length the skewed table has about twice as many places, half of which
# stay empty: we pay memory for fewer trips.
#
# ### Shared memory
#
# If we only want the score, we need no table. A cell reads one and two diagonals back, never further, so
# three diagonals are enough if diagonal $d$ overwrites diagonal $d - 3$: it goes to place `d % 3`, a *rolling
# buffer*. Three diagonals of three states are small enough for the shared memory of the block, which is much
# faster than the global one. And that is what the `%` in `states` and `put` is for: given a table that is
# three diagonals deep, they roll. Not one line of `forward` has to change.

# %%
LONGEST = 64  # rows that fit into the buffer


@cuda.jit
def rolling_kernel(S, go, ge, t, lengths, score):
    buffer = cuda.shared.array((3, 3, LONGEST), float64)  # D Ix Iy, d % 3, i
    tops = cuda.shared.array(THREADS, float64)
    sums = cuda.shared.array(THREADS, float64)
    b = cuda.blockIdx.x
    top, z = forward(S[b], go, ge, t, lengths[b, 0], lengths[b, 1], buffer)
    top, z = merge_threads(top, z, t, tops, sums)
    if cuda.threadIdx.x == 0:
        score[b] = top + t * log(z)


# %%
score = cuda.to_device(np.zeros(B))
rolling_kernel[B, THREADS](*problem, score)
assert np.allclose(score.copy_to_host(), reference.score)
print("scores:", score.copy_to_host().round(4))

# %% [markdown]
# Is one barrier a diagonal still enough, now that places are used again? Between two barriers, place `d % 3`
# is written, and the two other places are read. Nobody reads what another writes.
#
# What did we gain? Let us count how often a pair of 64 x 64 frames touches global memory: with the tables
# there, with the rolling buffer, and with the buffer while the tables are written out as well.

# %%
import pandas as pd

n = m = 64
neighbours = 3 * (n - 1) * (m - 1) + 2 * n * (m - 1) + 3 * (n - 1) * m  # diagonal, left (no Iy), above
rows = {
    "tables in global memory": (neighbours + n * m, 3 * n * m, 0),
    "buffer, score only": (n * m, 1, 3 * 3 * n * 8),
    "buffer, tables written too": (n * m, 3 * n * m, 3 * 3 * n * 8),
}
columns = ["global reads", "global writes", "shared memory of the buffer (bytes)"]
pd.DataFrame(rows, index=columns).T

# %% [markdown]
# For the score alone the buffer is a clear gain, on paper. For training it is less clear: the backward pass
# needs all three tables, so the writes stay, and the buffer only saves reads of numbers that have just been
# written and may still be in the card's cache. And it has a price. The shape of a shared array is a constant
# of the program, and a block gets 48 KiB without special measures, so the length of a video is capped: with
# more than `LONGEST` rows, our kernel would write past its buffer. Caps are a nuisance to the user. A
# well-known kernel for soft-DTW has one of another kind: it gives each row a thread and so stops at 1024
# frames.
#
# **The package keeps its tables in global memory, skewed, and has no cap on length.** That is a choice for
# simplicity; how much a buffer would save on a real card has not been measured.

# %% [markdown]
# ## 7. Backward: fetch, do not add
#
# The posterior is the gradient of the score, and notebook 03 computed it by going backwards through the
# table. Each smax hands its derivative on to its arguments, in *shares* $\mathrm{softmax}(\text{arguments} /
# t)$. In a loop on the CPU, every cell *adds* these amounts to the cells that its value came from. That is
# called a *scatter*.
#
# On a GPU, two cells of one diagonal would add to the same cell at the same time. But `+=` is not one step: a
# thread reads, adds and writes, and another may read in between. Once more we force the bad order with a
# barrier:


# %%
@cuda.jit
def add_one(counter):
    old = counter[0]  # everybody reads
    cuda.syncthreads()
    counter[0] = old + 1  # everybody writes


@cuda.jit
def add_one_atomic(counter):
    cuda.atomic.add(counter, 0, 1)


for name, kernel in (("plain", add_one), ("atomic", add_one_atomic)):
    counter = cuda.to_device(np.zeros(1, dtype=np.int64))
    kernel[1, 8](counter)
    print(f"{name:6} addition: 8 threads counted to {counter.copy_to_host()[0]}")

# %% [markdown]
# All additions but one got lost. An *atomic* addition cannot be interrupted, so it counts right. But atomics
# make threads queue, and with floating-point numbers the order of additions changes the last digits. The
# order is left to chance, so two runs could give two results:

# %%
print((0.1 + 0.2) + 0.3, "or", 0.1 + (0.2 + 0.3))

# %% [markdown]
# There is a better way. A cell adds nothing to others: it **leaves the amounts at its own place**, and the
# cells that they are meant for **fetch** them when it is their turn. This is a *gather*. Every number is
# written by one thread alone, and each cell adds what it fetches in an order that the program fixes. In the
# figure, the colour of an arrow tells which cell's thread does the work. On the left, the orange and the
# green one work in the same step and collide.

# %%
_, axes = plt.subplots(1, 2, figsize=(7.4, 3.3), layout="constrained")
names = {(0, 0): "(i, j)", (0, 1): "(i, j+1)", (1, 0): "(i+1, j)", (1, 1): "(i+1, j+1)"}
colors = {(0, 0): "C0", (0, 1): "C1", (1, 0): "C2", (1, 1): "C4"}
for ax, title in zip(axes, ("scatter: add to others", "gather: fetch from others"), strict=True):
    for (i, j), name in names.items():
        ax.add_patch(plt.Rectangle((j - 0.27, i - 0.2), 0.54, 0.4, color=colors[i, j]))
        step = ["step d + 2", "step d + 1", "step d"][2 - i - j]
        ax.text(j, i, f"{name}\n{step}", ha="center", va="center", color="white", weight="bold")
        worker = colors[i, j] if ax is axes[0] else colors[0, 0]
        arrow = {"arrowstyle": "-|>", "color": worker, "lw": 2.5, "shrinkA": 0, "shrinkB": 0}
        if i + j:
            ax.annotate("", (0.28 * j, 0.21 * i), (0.72 * j, 0.79 * i), arrowprops=arrow)
    ax.set(xlim=(-0.35, 1.35), ylim=(1.3, -0.3), title=title)
    ax.axis("off")

# %% [markdown]
# Each of the three smax of a cell has arguments from another neighbour: the one for D from the upper left,
# the one for Ix from the left, the one for Iy from above. So a cell leaves three amounts, for D, Ix and Iy,
# for each of three neighbours. They are fetched one or two diagonals later, so rolling buffers of three
# diagonals are enough, one for each neighbour, and `put` and `states` serve them as they are. The shares are
# softmax functions of two, three and four numbers, the package's once more.

# %%
from lacbook.alignment.cuda_kernels import shares2, shares3, shares_after_start

# %% [markdown]
# With `g`, `gx` and `gy` the derivatives of V by the cell's own D, Ix and Iy, it leaves (compare with
# `soft_cell`):


# %%
@cuda.jit(device=True)
def leave(amounts, table, go, ge, t, i, j, g, gx, gy):
    D, Ix, Iy = states(table, i - 1, j - 1)
    wd, wx, wy = shares_after_start(D, Ix, Iy, t)
    put(amounts[0], i, j, (g * wd, g * wx, g * wy))
    D, Ix, Iy = states(table, i, j - 1)
    wd, wx = shares2(D - go, Ix - ge, t)
    put(amounts[1], i, j, (gx * wd, gx * wx, 0.0))
    D, Ix, Iy = states(table, i - 1, j)
    wd, wx, wy = shares3(D - go, Ix - go, Iy - ge, t)
    put(amounts[2], i, j, (gy * wd, gy * wx, gy * wy))


# %% [markdown]
# And it fetches from the three cells that it is a neighbour of, if the pair of $n$ and $m$ frames has them:


# %%
@cuda.jit(device=True)
def amounts_at(place, i, j, n, m):
    if i >= n or j >= m:
        return 0.0, 0.0, 0.0
    return states(place, i, j)


@cuda.jit(device=True)
def fetch(amounts, i, j, n, m):
    g, gx, gy = amounts_at(amounts[0], i + 1, j + 1, n, m)
    h, hx, hy = amounts_at(amounts[1], i, j + 1, n, m)
    k, kx, ky = amounts_at(amounts[2], i + 1, j, n, m)
    return g + h + k, gx + hx + kx, gy + hy + ky


# %% [markdown]
# The sweep runs through the diagonals from the last to the first, with a barrier after each. Besides what it
# fetches, the D of each cell has its own share in the sum V, which is $e^{(D_{i,j} - \mathrm{top}) / t} / z$.
# And since $D_{i,j}$ is $S_{i,j}$ plus something, the derivative by D is the posterior.


# %%
@cuda.jit(device=True)
def backward(top, z, go, ge, t, n, m, table, amounts, posterior):
    for d in range(n + m - 2, -1, -1):
        first, last = max(0, d - m + 1), min(n - 1, d)
        for i in range(first + cuda.threadIdx.x, last + 1, cuda.blockDim.x):
            g, gx, gy = fetch(amounts, i, d - i, n, m)
            g += exp((table[0, d, i] - top) / t) / z
            posterior[i, d - i] = g
            leave(amounts, table, go, ge, t, i, d - i, g, gx, gy)
        cuda.syncthreads()


# %% [markdown]
# One kernel for everything: forward, merge, backward. After the merge all threads hold the same top and z,
# and with these they begin the way back.


# %%
@cuda.jit
def posterior_kernel(S, go, ge, t, lengths, tables, amounts, score, posterior):
    tops = cuda.shared.array(THREADS, float64)
    sums = cuda.shared.array(THREADS, float64)
    b = cuda.blockIdx.x
    n, m = lengths[b, 0], lengths[b, 1]
    top, z = forward(S[b], go, ge, t, n, m, tables[b])
    top, z = merge_threads(top, z, t, tops, sums)
    if cuda.threadIdx.x == 0:
        score[b] = top + t * log(z)
    backward(top, z, go, ge, t, n, m, tables[b], amounts[b], posterior[b])


# %%
amounts = cuda.to_device(np.full((B, 3, 3, 3, N), np.nan))  # pairs, neighbours, states, d % 3, i
score, posterior = cuda.to_device(np.zeros(B)), cuda.to_device(np.zeros((B, N, M)))
posterior_kernel[B, THREADS](*problem, tables, amounts, score, posterior)
assert np.allclose(score.copy_to_host(), reference.score)
assert np.allclose(posterior.copy_to_host(), reference.posterior)
print("score:", score.shape, " posterior:", posterior.shape, " in one launch")

# %%
_, axes = plt.subplots(1, B, figsize=(9, 2.8), layout="constrained", sharey=True)
for b, ax in enumerate(axes):
    plot_posterior(posterior.copy_to_host()[b], colorbar=b == B - 1, ax=ax)
    n, m = lengths[b]
    ax.add_patch(plt.Rectangle((-0.5, -0.5), m, n, fill=False, ec=ACCENT, lw=2, clip_on=False))
    ax.set(title=f"pair {b}: {n} x {m} frames", xlabel="frame of B", ylabel="" if b else "frame of A")

# %% [markdown]
# That is the kernel. The package's, in `lacbook/alignment/cuda_kernels.py`, has the same shape and a few
# things more: penalties for every cell, the expected numbers of gaps, blocks that take one pair after another
# when there are many, up to 256 threads a block. In the simulator it takes tensors of the CPU. Let us compare
# the notebook's kernel, the package's, and the compiled loops on the CPU.

# %%
S_tensor = torch.from_numpy(S).to(device)
package = soft_smith_waterman(S_tensor, go, ge, temperature=t, lengths=lengths, backend="cuda")
assert np.allclose(package.score.cpu(), score.copy_to_host())
assert np.allclose(package.posterior.cpu(), posterior.copy_to_host())
for on_gpu, on_cpu in zip(package.expected_gaps, reference.expected_gaps, strict=True):
    assert np.allclose(on_gpu.cpu(), on_cpu)
print("score and posterior: notebook = package; expected gaps: cuda = numba")

# %% [markdown]
# ## 8. Back to PyTorch
#
# So far we have copied arrays to the card and back. In training, the similarity is a tensor and lies there
# already. A kernel should work on the tensor's own memory: numba can look at it as an array, without copying.


# %%
def view(tensor):
    """The tensor's own memory, as a kernel takes it."""
    return cuda.as_cuda_array(tensor) if gpu else tensor.numpy()


def posterior_of(S, lengths):
    """Score [B] and posterior [B, N, M] of a batch on the device."""
    (B, N, M), empty = S.shape, S.new_empty
    tables, amounts = empty(B, 3, N + M - 1, N), empty(B, 3, 3, 3, N)
    score, posterior = empty(B), torch.zeros_like(S)
    arrays = [view(x) for x in (lengths, tables, amounts, score, posterior)]
    posterior_kernel[B, THREADS](view(S), go, ge, t, *arrays)
    return score, posterior


# %%
on_device = torch.from_numpy(padded).to(device), torch.from_numpy(lengths).to(device)
score, posterior = posterior_of(*on_device)
assert np.allclose(score.cpu(), reference.score)
assert np.allclose(posterior.cpu(), reference.posterior)
print("from tensors to tensors:", tuple(score.shape), tuple(posterior.shape))

# %% [markdown]
# `posterior_of` takes and returns what the function behind notebook 04's operator does, but for the expected
# gaps (exercise 3). With them, `register_kernel("cuda")` puts it behind the operator's name, and autograd,
# `torch.compile` and everybody else go on as before. What is left is to be polite: torch queues its own
# launches on a *stream*, and a kernel has to be queued on the same one (`cuda.external_stream`), or it may
# start before its input is there. Both use the same one as long as nobody asks for another; the package looks
# up which one it is.

# %% [markdown]
# ## 9. On a real card
#
# The simulator says whether the formulas are right and the indices in range. It does not prove that no race
# is left, it does not hang at a misplaced barrier where a card may, and it knows neither a card's limits nor
# its speed. If you have a card, the next cell times the package's three batched implementations on it, on a
# batch of real size. It prints times as multiples of the fused kernel's. No timing of a real card is stored
# in this repository: the kernels have only been run in the simulator so far, and nothing is claimed of their
# speed.

# %%
from time import perf_counter


def seconds(backend, S):
    took = []
    for _ in range(6):  # the first also compiles
        torch.cuda.synchronize()
        start = perf_counter()
        soft_smith_waterman(S, go, ge, temperature=t, backend=backend)
        torch.cuda.synchronize()
        took.append(perf_counter() - start)
    return min(took[1:])


# %%
if gpu:
    batch = torch.randn(64, 128, 128, generator=torch.Generator().manual_seed(0)) - 0.5
    fused = seconds("cuda", batch.to(device))
    print(torch.cuda.get_device_name(), tuple(batch.shape), "score and posterior")
    print(f"wavefront on the card: {seconds('wavefront', batch.to(device)) / fused:.1f} x the fused kernel")
    print(f"numba on the CPU:      {seconds('numba', batch) / fused:.1f} x the fused kernel")
else:
    print("There is no GPU here (or numba-cuda is not installed), so there is nothing to time.")

# %% [markdown]
# ## 10. Exercises
#
# On a real card a misplaced barrier can hang the notebook. The simulator is the safer place to try: put `gpu
# = False` into the first cell and restart. There a misplaced barrier does not hang, and the result is merely
# wrong.
#
# **Exercise 1: who, and when?** Write `turn_of(i, j, n, m, T)`, which returns two numbers for cell (i, j) of
# a table of n x m cells, in a block of T threads that works as `block_kernel` does: the thread that computes
# the cell, and the turn in which it does. In a turn, each thread computes at most one cell; turns count from
# 0, and every diagonal begins a new one. The check plays the whole block through, for several sizes.

# %%
# exercise 1
turn_of = None

# %%
from lacbook.course import check


def play(n, m, T):
    """Yield (i, j, thread, turn) of every cell."""
    turn = 0
    for d in range(n + m - 1):
        todo = [(i, d - i) for i in range(n) if 0 <= d - i < m]
        while todo:
            yield from ((i, j, thread, turn) for thread, (i, j) in enumerate(todo[:T]))
            todo, turn = todo[T:], turn + 1


sizes = [(6, 9, 4), (9, 6, 4), (5, 5, 1), (3, 8, 8), (1, 4, 2), (12, 5, 2)]
check(
    turn_of,
    lambda f: all(tuple(f(i, j, *size)) == (*who,) for size in sizes for i, j, *who in play(*size)),
)

# %% [markdown]
# **Exercise 2: any number of threads.** Write a device function `largest(value, room)`. All threads of a
# block call it, each with its own `value`, and to every one of them it returns the largest of all. `room` is
# shared memory with at least one place for each thread. The block may have any number of threads, not only a
# power of two, and the number of steps should still grow like the logarithm (which the check cannot see).
# (Hint: with 7 threads alive, 3 can take from 3 others, and 4 stay alive.)

# %%
# exercise 2
largest = None


# %%
def run_largest(function, T):
    """What T threads get, for each of T cases in which another one of them has the largest value, -T."""

    @cuda.jit
    def kernel(values, out):
        room = cuda.shared.array(8, float64)
        me = cuda.threadIdx.x
        for case in range(len(values)):
            out[case, me] = function(values[case, me], room)
            cuda.syncthreads()

    cases = np.stack([np.roll(-1.5 * np.arange(T) - T, place) for place in range(T)])
    out = cuda.to_device(np.zeros((T, T)))
    kernel[1, T](cuda.to_device(cases), out)
    return out.copy_to_host()


check(largest, lambda f: all((run_largest(f, T) == -float(T)).all() for T in (1, 3, 6, 7, 8)))

# %% [markdown]
# **Exercise 3: expected gaps.** A learned gap penalty needs to know how many gaps are opened and extended.
# The numbers are all there when a cell leaves its amounts: what goes through $g_o$ at a cell are gaps opened
# there, and what goes through $g_e$ are gaps extended. Write a device function `leave_and_count(amounts,
# table, go, ge, t, i, j, g, gx, gy)` that does what `leave` does and returns the two numbers, openings and
# extensions, of its cell. (Call `leave` first, then work out the shares that you need once more.)

# %%
# exercise 3
leave_and_count = None


# %%
def counting(leave_and_count):
    """The way back with another `leave`, for one pair: its gaps go to openings and extensions [n, m]."""

    @cuda.jit
    def kernel(top, z, go, ge, t, table, amounts, openings, extensions):
        n, m = openings.shape
        for d in range(n + m - 2, -1, -1):
            for i in range(max(0, d - m + 1) + cuda.threadIdx.x, min(n - 1, d) + 1, cuda.blockDim.x):
                g, gx, gy = fetch(amounts, i, d - i, n, m)
                g += exp((table[0, d, i] - top) / t) / z
                cell = leave_and_count(amounts, table, go, ge, t, i, d - i, g, gx, gy)
                openings[i, d - i], extensions[i, d - i] = cell
            cuda.syncthreads()

    return kernel


# %%
def gaps_are_right(leave_and_count):
    D = truth[0, 0]
    z = np.exp((D - D.max()) / t).sum()
    table = cuda.to_device(np.full((3, N + M - 1, N), np.nan))
    block_kernel[1, THREADS](cuda.to_device(S[:1]), go, ge, t, table.reshape(1, 3, N + M - 1, N))
    found = [cuda.to_device(np.zeros((N, M))) for _ in range(2)]
    amounts = cuda.to_device(np.full((3, 3, 3, N), np.nan))
    counting(leave_and_count)[1, THREADS](D.max(), z, go, ge, t, table, amounts, *found)
    package = recursion.backward(recursion.forward(S[0], go, ge, t), go, ge, t)
    return all(np.allclose(x.copy_to_host(), y) for x, y in zip(found, package[1:], strict=True))


check(leave_and_count, gaps_are_right)

# %% [markdown]
# **Exercise 4: another algorithm.** Dynamic time warping, the global cousin of notebook 01, has one table:
# $C_{i,j} = c_{i,j} + \min(C_{i-1,j-1}, C_{i-1,j}, C_{i,j-1})$ for a cost $c$, where outside the table there
# is $\infty$ and $C_{0,0} = c_{0,0}$. Write `dtw_kernel(cost, C, who)` that fills `C` [B, N, M] in one
# launch, a block a pair, for any number of threads, and notes in `who[b, i, j]` which thread has computed the
# cell, as `sign` does. The threads have to share the work. (A missing barrier may go unnoticed in the
# simulator. You know better.)

# %%
# exercise 4
dtw_kernel = None


# %%
def dtw_by_loops(cost):
    C = np.full((len(cost), cost.shape[1] + 1, cost.shape[2] + 1), inf)
    C[:, 0, 0] = 0
    for i, j in np.ndindex(cost.shape[1:]):
        before = np.minimum(C[:, i, j], np.minimum(C[:, i, j + 1], C[:, i + 1, j]))
        C[:, i + 1, j + 1] = cost[:, i, j] + before
    return C[:, 1:, 1:]


# %%
def dtw_is_right(kernel, cost, count):
    C, who = cuda.to_device(np.full(cost.shape, np.nan)), cuda.to_device(np.full(cost.shape, -1))
    kernel[len(cost), count](cuda.to_device(cost), C, who)
    shared = len(np.unique(who.copy_to_host())) == min(count, *cost.shape[1:])
    return shared and np.allclose(C.copy_to_host(), dtw_by_loops(cost))


costs = [1 - S, 1 - S.transpose(0, 2, 1)[:2].copy()]
check(dtw_kernel, lambda f: all(dtw_is_right(f, cost, count) for cost in costs for count in (1, 3, 8)))

# %% [markdown]
# Solutions are in `notebooks/solutions/05_cuda_kernel.py`.

# %% [markdown]
# ## References
#
# - NVIDIA, *CUDA C++ Programming Guide* and *CUDA C++ Best Practices Guide*: grids, blocks, barriers and
#   their rules, at most 1024 threads a block, 48 KiB of shared memory a block without further measures,
#   global memory in pieces of 32 bytes
# - S. K. Lam, A. Pitrou, S. Seibert, *Numba: A LLVM-based Python JIT Compiler*, LLVM-HPC 2015: the compiler;
#   its documentation describes the simulator
# - L. Lamport, *The Parallel Execution of DO Loops*, Communications of the ACM 17, 1974: loops such as ours,
#   run in parallel along (hyper)planes such as our diagonals
# - M. Harris, *Optimizing Parallel Reduction in CUDA*, NVIDIA, 2007: the tree reduction
# - M. Milakov, N. Gimelshein, *Online Normalizer Calculation for Softmax*, 2018, [arXiv
#   1805.02867](https://arxiv.org/abs/1805.02867): sums of exponentials kept as (largest, sum) and merged
# - Y. Liu, A. Wirawan, B. Schmidt, *CUDASW++ 3.0: accelerating Smith-Waterman protein database search by
#   coupling CPU and GPU SIMD instructions*, BMC Bioinformatics 14, 2013: the hard algorithm for proteins,
#   engineered for speed
# - M. Maghoumi, E. M. Taranta, J. LaViola, *DeepNAG: Deep Non-Adversarial Gesture Generation*, IUI 2021, and
#   its code [pytorch-softdtw-cuda](https://github.com/Maghoumi/pytorch-softdtw-cuda): soft-DTW with a block a
#   pair; its length limit of 1024
#
# Next: notebook 06 leaves the tables and turns to the videos, how they are decoded and how two views of one
# clip are drawn.
