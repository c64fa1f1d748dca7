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
# # 02 Affine gaps, and how to make them fast
#
# **You will build** Smith-Waterman with affine gaps: three tables instead of one, a traceback that walks
# through them, and a compiled version of the same loops.
#
# **You will learn** why a pause should not cost as much as its length says, why one table cannot know that,
# what `gap_open` and `gap_extend` do to an alignment of real frames, and what numba does to a Python loop.
#
# **Prerequisites**: notebook 01 (the table $H$, traceback, what *local* means).
#
# **Time**: the notebook runs in about 30 seconds on a CPU and reads in about 45 minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np

from lacbook import smith_waterman
from lacbook.course import squat_pair
from lacbook.viz import plot_matched_frames, plot_similarity, plot_table, use_theme

use_theme(photos=True)

# %% [markdown]
# ## 1. One long pause, or many short ones
#
# Take the squat of notebook 01: seven frames of puppet A. Now imagine two other recordings of the very same
# squat. In the first, the puppet rests once, at the bottom, for five frames. In the second it hesitates five
# times, one frame each.

# %%
a, b, S_ab = squat_pair(step=6)
squat = np.arange(4, 11)
rest = np.repeat(squat, [1, 1, 1, 6, 1, 1, 1])  # frame 7 is held for five frames more
hesitate = np.repeat(squat, [1, 2, 2, 2, 2, 2, 1])  # five frames are held for one frame more
print("A:           ", squat)
print("A, rests:    ", rest)
print("A, hesitates:", hesitate)

# %%
fig, axes = plt.subplots(3, 1, figsize=(9, 2.7), layout="constrained")
for ax, name, shown in zip(axes, ("A", "A, rests", "A, hesitates"), (squat, rest, hesitate), strict=True):
    ax.imshow(np.hstack(a.values[shown]))
    ax.set(xticks=[], yticks=[], xlim=(0, 96 * 12))
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
    ax.spines[:].set_visible(False)

# %% [markdown]
# The similarity is that of notebook 01, between A and each of the two: 3 for equal poses, less for others. In
# both cases seven frames match and five frames are skipped, and with a linear gap penalty that is all that
# counts.

# %%
from lacbook.data.puppets import load_puppets

poses = {clip.video_id: clip.values for clip in load_puppets(action="squat", modality="poses")}
x = poses[a.video_id][2::6].reshape(-1, 17, 2)
d = np.linalg.norm(x[:, None] - x[None], axis=-1).mean(axis=-1)
S_self = np.maximum(np.round(3 - 50 * d), -3)
S_rest, S_hesitate = S_self[np.ix_(squat, rest)], S_self[np.ix_(squat, hesitate)]
print("S:", S_rest.shape, S_hesitate.shape)

# %%
for name, S in (("rests", S_rest), ("hesitates", S_hesitate)):
    hard = smith_waterman(S, 1.0, 1.0)  # equal penalties: the linear gap of notebook 01
    print(f"{name:9}: {len(hard.path())} matches, score {hard.score:.0f}")

# %% [markdown]
# Is that what we want? One rest is one event: somebody paused, and then went on. Five hesitations are five
# events. If a pause is what we expect of people, then it should cost something to *begin* one, and little to
# let it last. So let the first skipped frame of a run cost `gap_open` (in formulas $g_o$) and every further
# one `gap_extend` ($g_e$). A run of $L$ skipped frames then costs
#
# $$ g_o + (L - 1)\, g_e, $$
#
# a straight line that does not go through the origin, which mathematicians call *affine*.

# %%
L = np.arange(1, 11)
_, ax = plt.subplots(figsize=(5.6, 3), layout="constrained")
ax.plot(L, 1.0 * L, marker="o", label="linear: 1 a frame")
ax.plot(L, 3.0 + 0.5 * (L - 1), marker="o", label="affine: gap_open 3, gap_extend 0.5")
ax.set(xlabel="length L of a run of skipped frames", ylabel="cost", title="What a gap costs")
_ = ax.legend()

# %%
for name, S in (("rests", S_rest), ("hesitates", S_hesitate)):
    hard = smith_waterman(S, gap_open=3.0, gap_extend=0.5)
    print(f"{name:9}: {len(hard.path())} matches, score {hard.score:.0f}")

# %% [markdown]
# One long rest costs as much as before, and the hesitations cost more. (They would cost more still, if the
# best alignment did not get by with fewer gaps, by pairing standing frames that look alike.) But how did the
# package find these scores? Our table $H$ cannot.

# %% [markdown]
# ## 2. One table is not enough
#
# In notebook 01, skipping a frame cost the same whatever came before. Now the price depends on the last step:
# if it was a skip, this skip extends a gap, else it opens one. We could write down, in each cell, what its
# last step was, and charge accordingly. It is a tempting idea. Let us try it against brute force on random
# tables.


# %%
def one_table(S, go, ge):
    """H with a note of each cell's last step. Is it right?"""
    N, M = S.shape
    H = np.zeros((N + 1, M + 1))
    last = np.full((N + 1, M + 1), "start")
    for i in range(1, N + 1):
        for j in range(1, M + 1):
            skip_b = H[i, j - 1] - (ge if last[i, j - 1] == "skipB" else go)
            skip_a = H[i - 1, j] - (ge if last[i - 1, j] == "skipA" else go)
            ways = {
                "start": 0.0,
                "match": H[i - 1, j - 1] + S[i - 1, j - 1],
                "skipB": skip_b,
                "skipA": skip_a,
            }
            last[i, j] = max(ways, key=ways.get)
            H[i, j] = ways[last[i, j]]
    return H


# %%
from lacbook.alignment.enumeration import best

rng = np.random.default_rng(0)
tables = [rng.integers(-3, 4, size=(4, 5)).astype(float) for _ in range(500)]
tables = [S for S in tables if S.max() > 0]
missing = [best(S, 2.0, 0.25).score - one_table(S, 2.0, 0.25).max() for S in tables]
print(f"{len(tables)} tables, wrong in {np.count_nonzero(missing)}; it misses up to {max(missing)}")

# %% [markdown]
# It is wrong, though not often, which is the worst way for a program to be wrong. The reason: the best way
# *to* a cell need not be the best way *through* it. Suppose that a cell can be reached by a match with score
# 5 or by a skip with score 4.5. The table keeps the 5 and forgets the skip. But the next step may be another
# skip, and then the 4.5 would only have paid `gap_extend`. What comes later depends on how we got here after
# all.
#
# The cure is the cure for every such case: if one number per cell forgets too much, keep one number for each
# thing that has to be remembered.
#
# ## 3. Three tables
#
# Every cell gets three scores, one for each kind of last step. (In equations the first video is called X and
# the second Y, as in the papers. In our figures they stay A and B. As in notebook 01, formulas count frames
# from 1, and code and figures from 0.)
#
# - $D_{ij}$: frames $i$ and $j$ are matched with each other;
# - $I^x_{ij}$: X waits at its frame $i$, while frame $j$ of Y is skipped;
# - $I^y_{ij}$: Y waits at its frame $j$, while frame $i$ of X is skipped.
#
# Now ask of each where it can come from. A **match** comes from the cell on the diagonal before it, in any of
# the three states, or it starts the alignment:
#
# $$ D_{ij} = S_{ij} + \max(0,\; D_{i-1,j-1},\; I^x_{i-1,j-1},\; I^y_{i-1,j-1}) $$
#
# A **skipped frame of Y** comes from the left. After a match it opens a gap, after a skip it extends one:
#
# $$ I^x_{ij} = \max(D_{i,j-1} - g_o,\; I^x_{i,j-1} - g_e) $$
#
# A **skipped frame of X** comes from above, likewise. It may also follow a skipped frame of Y, as a gap of
# its own:
#
# $$ I^y_{ij} = \max(D_{i-1,j} - g_o,\; I^x_{i-1,j} - g_o,\; I^y_{i-1,j} - g_e) $$
#
# An alignment ends with a match, anywhere, so the score is $V = \max_{ij} D_{ij}$. If that is negative, it is
# best not to align at all, and the score is 0. Outside the table there is nothing to come from, so everything
# there is $-\infty$. (The functions `fill` and, later, `walk_back` take the place of those of notebook 01.)


# %%
def fill(S, go, ge):
    """D, Ix and Iy, each (N + 1) x (M + 1) with a border of -inf in front."""
    N, M = S.shape
    D, Ix, Iy = np.full((3, N + 1, M + 1), -np.inf)
    for i in range(1, N + 1):
        for j in range(1, M + 1):
            D[i, j] = S[i - 1, j - 1] + max(0.0, D[i - 1, j - 1], Ix[i - 1, j - 1], Iy[i - 1, j - 1])
            Ix[i, j] = max(D[i, j - 1] - go, Ix[i, j - 1] - ge)
            Iy[i, j] = max(D[i - 1, j] - go, Ix[i - 1, j] - go, Iy[i - 1, j] - ge)
    return D, Ix, Iy


# %%
D, Ix, Iy = fill(S_rest, 3.0, 0.5)
print("D, Ix, Iy:", D.shape, Ix.shape, Iy.shape, " V =", D.max())

# %% [markdown]
# Here are the three tables of the puppet that rests. (A dash is $-\infty$.) Follow the score: along the
# diagonal of $D$, then to the right through a row of $I^x$ while the puppet rests, getting a little less with
# each step, and back into $D$. Which row? Any of the six equal frames may be the one that is matched, so
# several ways end in the same 16.

# %%
fig, axes = plt.subplots(3, 1, figsize=(6, 9.8), layout="constrained")
for ax, (name, table) in zip(axes, {"D": D, "Ix": Ix, "Iy": Iy}.items(), strict=True):
    plot_table(table[1:, 1:], ax=ax)
    ax.set_title(name)

# %% [markdown]
# ### Is it right?
#
# The random tables again, and the package. (They all have something to gain; the last line tries one that has
# not.)

# %%
for table in tables:
    V = fill(table, 2.0, 0.25)[0].max()
    assert V == best(table, 2.0, 0.25).score == smith_waterman(table, 2.0, 0.25).score
print(len(tables), "tables agree with brute force and with the package")

nothing = np.full((3, 4), -1.0)
print("nothing alike: max D", fill(nothing, 2.0, 0.25)[0].max(), end=", ")
print("score", float(smith_waterman(nothing, 2.0, 0.25).score))

# %% [markdown]
# And notebook 01's table $H$? It is still there. With equal penalties, the best of a cell's three scores, or
# 0, is what $H$ holds.

# %%
for table in tables:
    three = np.max(fill(table, 2.0, 2.0), axis=0)
    assert np.array_equal(np.maximum(three, 0)[1:, 1:], one_table(table, 2.0, 2.0)[1:, 1:])
print("with equal penalties, max(0, D, Ix, Iy) = H")

# %% [markdown]
# ### Why may a skip in X follow a skip in Y, but not the other way round?
#
# Between two matches, both videos may skip frames. Say that Y skips two and X skips one. The same alignment
# could then be written in several orders: YYX, YXY, XYY. To find the *best* one, it does not matter how often
# we count it. In notebook 03 we will *sum* over all alignments, and then each must be counted exactly once.
# So we fix an order, the usual one: the frames of Y first, then those of X.
#
# We can check that without knowing any score. Replace every maximum by a sum and every score by "one way",
# and the recursion counts alignments instead of comparing them. Notebook 01 told us how many there are.


# %%
def count_ways(N, M, both_orders=False):
    """How many ways through the tables end in a match."""
    D, Ix, Iy = np.zeros((3, N + 1, M + 1), dtype=int)
    for i in range(1, N + 1):
        for j in range(1, M + 1):
            D[i, j] = 1 + D[i - 1, j - 1] + Ix[i - 1, j - 1] + Iy[i - 1, j - 1]
            Ix[i, j] = D[i, j - 1] + Ix[i, j - 1] + both_orders * Iy[i, j - 1]
            Iy[i, j] = D[i - 1, j] + Ix[i - 1, j] + Iy[i - 1, j]
    return int(D.sum())


# %%
from math import comb

for N, M in ((2, 3), (3, 3), (4, 4), (7, 12)):
    print(f"{N} x {M}: {count_ways(N, M)} ways, {comb(N + M, N) - 1} alignments,", end=" ")
    print(f"{count_ways(N, M, both_orders=True)} ways if both orders were allowed")
    assert count_ways(N, M) == comb(N + M, N) - 1

# %% [markdown]
# (With 2 x 3 frames the order makes no difference: to skip frames in both videos between two matches takes
# three frames of each.)
#
# ## 4. The traceback, in three states
#
# We walk back as before, but now we have to know not only in which cell we are but in which table. At each
# step the question is the same: which of the numbers in this maximum was the largest?


# %%
def ways(tables, state, i, j, go, ge):
    """What the maximum of a state was taken over; (i, j) is the cell it came from."""
    D, Ix, Iy = (table[i, j] for table in tables)
    if state == "D":
        return {"start": 0.0, "D": D, "Ix": Ix, "Iy": Iy}
    if state == "Ix":
        return {"D": D - go, "Ix": Ix - ge}
    return {"D": D - go, "Ix": Ix - go, "Iy": Iy - ge}


# %%
BACK = {"D": (1, 1), "Ix": (0, 1), "Iy": (1, 0)}  # how far back each state came from


def walk_back(tables, go, ge):
    """The matches of one best alignment, first to last; none if every D is negative."""
    D = tables[0]
    i, j = (int(k) for k in np.unravel_index(D.argmax(), D.shape))
    state, path = "D" if D[i, j] >= 0 else "start", []
    while state != "start":
        if state == "D":
            path.append((i - 1, j - 1))
        i, j = i - BACK[state][0], j - BACK[state][1]
        options = ways(tables, state, i, j, go, ge)
        state = max(options, key=options.get)
    return path[::-1]


# %%
path = walk_back((D, Ix, Iy), 3.0, 0.5)
print(path)
assert path == smith_waterman(S_rest, 3.0, 0.5).path()

# %%
for table in [*tables, nothing]:
    assert walk_back(fill(table, 2.0, 0.25), 2.0, 0.25) == smith_waterman(table, 2.0, 0.25).path()
print(len(tables) + 1, "paths are those of the package")

# %% [markdown]
# When several alignments are equally good, the first entry of `options` wins: a start, then $D$, then $I^x$,
# then $I^y$. The package decides ties in the same order, or the check above would fail.

# %% tags=["thumbnail"]
_, ax = plt.subplots(figsize=(7.4, 4.6), layout="constrained")
plot_table(D[1:, 1:], path=path, frames=(a.values[squat], a.values[rest]), ax=ax)
_ = ax.set_title("D and the best alignment of the puppet that rests")

# %% [markdown]
# Seven matches and one gap. The band between two matches shows where the skipped frames are charged.

# %% [markdown]
# ## 5. What the two penalties do
#
# Now real frames, and all of them: the two squats of notebook 01 at their full 25 frames a second.

# %%
a, b, S = squat_pair(step=1)
print("A:", a.values.shape, " B:", b.values.shape, " S:", S.shape)
print("key events of A at frames", a.events, "and of B at", b.events)

# %% [markdown]
# Each clip comes with five *key events*, which we know because the puppets are drawn: the descent begins, the
# arms are level, the lowest point, the arms fall, and the end. `carry` takes a frame of A along the path to
# its partner in B, so it can tell by how many frames an alignment misses B's events.
#
# Three pairs of penalties: nearly nothing, something in between, and so much that skipping is out of the
# question.

# %%
from lacbook.metrics import carry

penalties = ((0.01, 0.01), (1.0, 0.3), (12.0, 3.0))
paths = [smith_waterman(S, go, ge).path() for go, ge in penalties]
for (go, ge), way in zip(penalties, paths, strict=True):
    off = np.abs(carry(a.events, np.array(way)) - b.events)
    print(f"gap_open {go:5}, gap_extend {ge:4}: {way[0]} to {way[-1]}, off by {off} frames")

# %% [markdown]
# Which frames are skipped? Wherever one of the two numbers rises by more than 1 from a match to the next.

# %%
from itertools import pairwise

for (go, ge), way in zip(penalties, paths, strict=True):
    jumps = [f"{p} -> {q}" for p, q in pairwise(way) if q[0] - p[0] > 1 or q[1] - p[1] > 1]
    print(f"gap_open {go:5}, gap_extend {ge:4}:", ", ".join(jumps) or "none")

# %%
_, axes = plt.subplots(1, 3, figsize=(9.6, 3.3), layout="constrained", sharey=True)
for ax, (go, ge), way in zip(axes, penalties, paths, strict=True):
    plot_similarity(S, path=way, events=(a.events, b.events), colorbar=ax is axes[-1], ax=ax)
    ax.set_title(f"gap_open {go}, gap_extend {ge}")
    ax.set_ylabel("frame of A" if ax is axes[0] else "")

# %% [markdown]
# On the left, skipping is almost free. The path takes a detour wherever the matrix is a little redder. While
# the puppets move, that serves it well: one of the five events is off by a frame. But where they stand still
# it has nothing to go by, and it skips twenty idle frames of B, only to end on two pairs that are a trifle
# more alike. On the right, skipping costs more than it can ever gain, and the path is a straight line: both
# puppets at the same speed, whatever they do. In the middle there is one gap of three frames, a little after
# the lowest point, where B lingers.
#
# Nobody knows good penalties beforehand. They depend on the scale of the similarity, and on how people pause.
# LAC learns them (notebook 07).

# %%
ax = plot_matched_frames(a.values, b.values, paths[1], fps=a.fps)
_ = ax.set_title("gap_open 1, gap_extend 0.3", loc="left")

# %% [markdown]
# **Try it.** In a running notebook, move the two sliders, with the mouse or with the arrow keys, and watch
# path and frames. Two things to look for: where does the path break off, and at which `gap_open` does the gap
# after the lowest point disappear? What if you then lower `gap_extend`? (On a page that only shows the
# notebook, the figures above have to do.)

# %%
from lacbook.viz.widgets import gap_explorer

gap_explorer(
    S, frames=(a.values, b.values), gap_open=1.0, gap_extend=0.3, largest=15.0, phases=(a.phase, b.phase)
)

# %% [markdown]
# And this one plays the alignment: drag the slider to move through both videos together. Where one side skips
# frames, the other waits.

# %%
from lacbook.viz.widgets import frame_browser

frame_browser(a.values, b.values, paths[1], fps=a.fps)

# %% [markdown]
# ## 6. Fast
#
# Our `fill` is correct, short, and slow. Training aligns thousands of pairs, so we need it faster, and the
# first thing to do is to measure. Python spends its time on everything but arithmetic: each `D[i, j]` is a
# method call that makes a new object. **numba** translates such a function to machine code, by looking at the
# types of its arguments the first time it is called. It likes just what we have written: loops over arrays of
# numbers.

# %%
from numba import njit

fast_fill = njit(fill)

D_fast, _, _ = fast_fill(S, 1.0, 0.3)  # the first call compiles
D_slow, _, _ = fill(S, 1.0, 0.3)
assert np.allclose(D_fast, D_slow)
assert np.allclose(D_fast.max(), smith_waterman(S, 1.0, 0.3).score)
print("the same table:", D_fast.shape, " V =", round(D_fast.max(), 3))

# %% [markdown]
# How much faster? A time in seconds says as much about a computer as about a program, so we only report the
# *ratio* of the two, measured side by side, the best of several runs.

# %%
from timeit import repeat

sizes = (8, 16, 32, 64, 128)
ratios = []
for n in sizes:
    table = rng.standard_normal((n, n))
    slow = min(repeat(lambda s=table: fill(s, 1.0, 0.3), number=1, repeat=4))
    fast = min(repeat(lambda s=table: fast_fill(s, 1.0, 0.3), number=20, repeat=3)) / 20
    ratios.append(slow / fast)
    print(f"{n:3} x {n:3}: numba is {ratios[-1]:4.0f} times as fast as Python")

# %%
_, ax = plt.subplots(figsize=(5.6, 2.8), layout="constrained")
ax.bar([f"{n} x {n}" for n in sizes], ratios)
ax.set(ylabel="Python's time / numba's time", xlabel="frames of A and B", title="The same loops, compiled")
ax.bar_label(ax.containers[0], fmt="%.0f", padding=2)
ax.margins(y=0.15)

# %% [markdown]
# One line, and the loops are tens of times as fast on tiny tables, where every call has a fixed price, and
# hundreds of times or more on larger ones. What stands in `lacbook.alignment` are the same loops with some
# more care: several pairs in one call, memory that is reused, a choice of penalties for each cell. How little
# has to change is remarkable; how the *order* of the cells can be changed, so that many are computed at once,
# is the subject of notebook 04.

# %% [markdown]
# ## 7. Exercises
#
# **Exercise 1.** Choose penalties such that skipping a single frame costs 4 and a run of nine costs 8. From
# which length on is a run cheaper than with the linear penalty of 1 a frame? Give `(gap_open, gap_extend,
# length)`.

# %%
# exercise 1
affine = None  # (gap_open, gap_extend, length)

# %%
from lacbook.course import check


def affine_is_right(answer):
    costs = answer[0] + answer[1] * np.arange(20)  # of runs of 1, 2, ... frames
    first_cheaper = next(n for n, cost in enumerate(costs, 1) if cost < n)
    return np.allclose(costs[[0, 8]], [4, 8]) and answer[2] == first_cheaper


check(affine, affine_is_right)

# %% [markdown]
# **Exercise 2.** Write `gaps(path)`, which takes a list of matches and returns how many gaps were opened and
# how many frames extended one, as `(openings, extensions)`. Remember that frames skipped in both videos
# between the same two matches are two gaps. The check compares with every alignment of a table.

# %%
# exercise 2
gaps = None

# %%
from lacbook.alignment.enumeration import enumerate_alignments

listed = list(enumerate_alignments(np.zeros((4, 5)), 0.0, 0.0))
check(gaps, lambda f: all(tuple(f(x.path)) == (len(x.opened), len(x.extended)) for x in listed))

# %% [markdown]
# **Exercise 3.** For the score alone, the whole tables are not needed: row $i$ only looks at row $i - 1$.
# Write a compiled `score(S, go, ge)` that holds no table, only rows, arrays with one dimension of $M + 1$
# numbers. (Mind that $D_{i-1,j-1}$ must not be overwritten before it is used.) The check also looks at the
# types that numba found in your function.

# %%
# exercise 3
score = None

# %%
wide = [rng.standard_normal((12, 9)) for _ in range(50)]


def score_is_right(f):
    pairs = [(f(S, *g), fill(S, *g)[0].max()) for S in wide for g in ((0.5, 0.1), (2.0, 0.25))]
    return np.allclose(*zip(*pairs, strict=True))


def holds_rows_only(f):
    types = f.overloads[f.signatures[0]].type_annotation.typemap
    arrays = {name: str(kind) for name, kind in types.items() if str(kind).startswith("array")}
    return {name for name, kind in arrays.items() if "1d" not in kind} <= {"S", "arg.S"}


check(score, lambda f: score_is_right(f) and holds_rows_only(f))

# %% [markdown]
# Solutions are in `notebooks/solutions/02_affine_gaps_numba.py`.

# %% [markdown]
# ## References
#
# - O. Gotoh, *An improved algorithm for matching biological sequences*, Journal of Molecular Biology, 1982:
#   the three tables, which make affine gaps no dearer than linear ones.
# - T. F. Smith, M. S. Waterman, 1981, as in notebook 01: the local start and end.
# - S. K. Lam, A. Pitrou, S. Seibert, *Numba: a LLVM-based Python JIT compiler*, LLVM-HPC, 2015.
# - F. Llinares-López, Q. Berthet, M. Blondel, O. Teboul, J.-P. Vert, *Deep embedding and alignment of protein
#   sequences*, Nature Methods, 2023: a smoothed alignment with affine gaps; its code has the same order of
#   gaps.
# - K. Oei, A. Gomaa, A. M. Feit, J. Belo, arXiv 2409.04607, 2024: LAC, which uses affine gaps with learned
#   penalties to align videos.
#
# **Next**: notebook 03 replaces the maximum by something with a gradient.
