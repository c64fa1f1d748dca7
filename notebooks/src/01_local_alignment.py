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
# # 01 Local alignment by hand
#
# **You will build** the algorithm of Smith and Waterman in some thirty lines of Python: a table, filled cell
# by cell, and a walk back through it. You will also build its two global cousins, Needleman-Wunsch and
# dynamic time warping, and watch them fail where it does not.
#
# **You will learn** what an alignment is and what it costs, why a table finds the best of more than a million
# alignments without looking at them, what *local* means, and on what it depends.
#
# **Prerequisites**: Python and NumPy. Notebook 00 shows where this leads, but you do not need it here.
#
# **Time**: the notebook runs in about 15 seconds on a CPU and reads in about 40 minutes.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np

from lacbook.viz import plot_matched_frames, plot_table, use_theme

use_theme(photos=True)

# %% [markdown]
# ## 1. Two clips and one question
#
# Here are two short videos. In each, somebody stands, squats once, and stands again. Which frames show the
# same moment?
#
# The clips are *Puppets*, drawn by a program, so the truth is known for every frame and we can check what we
# find. We keep every sixth frame only, so that every table of this notebook fits on the page.

# %%
from lacbook.course import squat_pair

a, b, raw = squat_pair(step=6)
print("A:", a.values.shape, "frames, height, width, colours")
print("B:", b.values.shape)

# %%
fig, axes = plt.subplots(2, 1, figsize=(9, 2.1), layout="constrained")
for ax, name, clip in zip(axes, "AB", (a, b), strict=True):
    ax.imshow(np.hstack(clip.values))
    ax.set_xticks(96 * np.arange(len(clip)) + 48, range(len(clip)))
    ax.set(yticks=[], ylabel=name, xlim=(0, 96 * 12))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)

# %% [markdown]
# The puppet in A stands idle for a while before it squats. The one in B squats almost at once and stands idle
# afterwards. Most of either video shows the same thing, a puppet that does nothing, and that is what makes
# the question hard.
#
# To align the videos we need a number for every pair of frames: the **similarity** $S_{ij}$ of frame $i$ of A
# and frame $j$ of B. Notebook 00 took it from a trained encoder. Here we take something simpler, the puppets'
# joints: 17 points $p$ for each frame, measured in body heights from the pelvis. Let $d_{ij}$ be the mean
# distance between the joints of two poses. Then
#
# $$ S_{ij} = 3 - 50\, d_{ij}, \quad \text{no lower than } {-3}. $$
#
# Two equal poses score 3, and every fiftieth of a body height costs a point. What matters most is that the
# number has a *sign*. Above zero, two frames look alike; below zero, they do not.

# %%
from lacbook.data.puppets import load_puppets

poses = {clip.video_id: clip.values for clip in load_puppets(action="squat", modality="poses")}
x = poses[a.video_id][2::6].reshape(len(a), 17, 2)
y = poses[b.video_id][2::6].reshape(len(b), 17, 2)
print("joints of A:", x.shape, " joints of B:", y.shape)

# %%
d = np.linalg.norm(x[:, None] - y[None], axis=-1).mean(axis=-1)
print("distances:", d.shape)
assert np.allclose(np.maximum(3 - 50 * d, -3), raw)  # what squat_pair computes

S = np.round(raw)
print("whole numbers from", S.min(), "to", S.max())

# %% [markdown]
# We rounded to whole numbers, so that you can check every sum below by hand. This is the matrix with the
# frames at its sides. Rows are frames of A, columns are frames of B.

# %%
_, ax = plt.subplots(figsize=(6.0, 5.6), layout="constrained")
plot_table(S, frames=(a.values, b.values), ax=ax)
_ = ax.set_title("S: how alike are frame i of A and frame j of B?")

# %% [markdown]
# Look at the lower left. A short diagonal of positive numbers runs through it, from (4, 0) to (10, 6). This
# is where both puppets squat. Elsewhere, large red areas say that standing looks like standing. A good
# alignment should find the diagonal, and leave the red areas alone. The truth is stored with the clips:

# %%
print("A squats in its frames", np.flatnonzero(a.active))
print("B squats in its frames", np.flatnonzero(b.active))

# %% [markdown]
# ## 2. What an alignment is, and how many there are
#
# An **alignment** is a chain of matches $(i_1, j_1), (i_2, j_2), \dots$ in which both numbers rise from one
# match to the next: time runs forward in both videos. Between two matches, frames may be **skipped**. Its
# score is
#
# $$ \text{score} = \sum_{\text{matches}} S_{ij} \;-\; \text{gap} \times (\text{number of frames skipped
# between the first and the last match}). $$
#
# This is called a *linear* gap penalty, since a gap costs in proportion to its length. (Notebook 02 does
# better.) We take a gap of 2. What comes before the first match and after the last one is free, and this is
# all that *local* means.

# %%
gap = 2.0


def score_of(path, S, gap):
    """Score of a chain of matches, straight from the definition."""
    (i0, j0), (i1, j1) = path[0], path[-1]
    skipped = (i1 - i0 + 1) + (j1 - j0 + 1) - 2 * len(path)
    return sum(S[i, j] for i, j in path) - gap * skipped


print("the diagonal of the squat:", score_of([(4 + k, k) for k in range(7)], S, gap))
print("the same without frame 7 of A and frame 3 of B:", end=" ")
print(score_of([(4 + k, k) for k in range(7) if k != 3], S, gap))

# %% [markdown]
# Which alignment has the highest score? We could try them all. How many are there? To choose $k$ matches,
# choose $k$ of the $N$ frames of A and $k$ of the $M$ frames of B, and pair them in order. Summed over $k$,
# that makes
#
# $$ \sum_{k \ge 1} \binom{N}{k} \binom{M}{k} = \binom{N+M}{N} - 1 . $$

# %%
N, M = S.shape
by_matches = sum(math.comb(N, k) * math.comb(M, k) for k in range(1, N + 1))
assert by_matches == math.comb(N + M, N) - 1
print(f"{N} and {M} frames: {by_matches:,} alignments")
print(f"two clips of 64 frames: {math.comb(128, 64) - 1:.1e}")

# %% [markdown]
# For two clips of two and a half seconds, trying them all would outlast the universe. We need a better idea.
#
# ## 3. The idea: the best alignment that ends here
#
# Ask a smaller question. Let $H_{ij}$ be the best score of an alignment of the first $i$ frames of A and the
# first $j$ frames of B **that ends exactly there**, whatever came before. How can an alignment end there? Its
# last step is one of four:
#
# 1. frame $i$ of A is matched with frame $j$ of B: whatever was best before both, plus their similarity;
# 2. frame $i$ of A is skipped: what was best without it, minus the gap;
# 3. frame $j$ of B is skipped: likewise;
# 4. nothing has begun yet: 0.
#
# (An alignment that has just skipped a frame is not finished. It has paid, in the hope of a match to come.)
# The best of the four is the answer, and the first three look only at cells whose question was smaller:
#
# $$ H_{ij} = \max \begin{cases} H_{i-1,\,j-1} + S_{ij} & \text{match} \\
# H_{i-1,\,j} - \text{gap} & \text{skip a frame of A} \\
# H_{i,\,j-1} - \text{gap} & \text{skip a frame of B} \\
# 0 & \text{start afresh} \end{cases} $$
#
# (In formulas we count frames from 1, so that 0 can mean *none yet*. In code and figures we count from 0, as
# Python does.)
#
# This is **dynamic programming**: solve each small question once, write the answer into a table, and look it
# up when a larger question needs it. It is right because nothing that comes later depends on *how* a cell got
# its score, only on what the score is.
#
# The 0 deserves a second look. It says that an alignment which has lost more than it gained is worth less
# than none, so it is dropped, and a new one may begin at any cell. This one number makes the alignment local
# at its start; its end comes in section 4.


# %%
def fill_cell(H, S, i, j, gap):
    """Fill cell (i, j). H has an extra row and column of zeros in front: frame i of A is row i + 1 of H."""
    H[i + 1, j + 1] = max(
        H[i, j] + S[i, j],  # match
        H[i, j + 1] - gap,  # skip frame i of A
        H[i + 1, j] - gap,  # skip frame j of B
        0.0,  # start afresh
    )


# %% [markdown]
# Row and column 0 of `H` stand for "no frame yet". They hold zeros, since an alignment may also begin at the
# very first frame. Let us fill a corner of the table, the one around the squat: frames 5 to 9 of A and 0 to 5
# of B. Blank cells are not filled yet.

# %%
corner = S[5:10, :6]
by_cell = np.full((6, 7), np.nan)
by_cell[0, :] = by_cell[:, 0] = 0
cells = [(i, j) for i in range(5) for j in range(6)]
print("corner:", corner.shape, " cells to fill:", len(cells), " first:", cells[:3])

# %%
fig, axes = plt.subplots(2, 2, figsize=(7.6, 6.4), layout="constrained")
filled = 0
for ax, until in zip(axes.flat, (2, 14, 22, 30), strict=True):
    for i, j in cells[filled:until]:
        fill_cell(by_cell, corner, i, j, gap)
    filled = until
    plot_table(by_cell[1:, 1:], rows=range(5, 10), cols=range(6), limits=(0, 9), ax=ax)
    ax.set_title(f"H after {until} cells")

# %% [markdown]
# Check a few cells with a pencil. The first, (5, 0), has nothing before it, so it is $\max(0 + 2, 0 - 2, 0 -
# 2, 0) = 2$. Next to it, (5, 1) could skip the match before it ($2 - 2 = 0$), but it does as well to match
# afresh ($0 + 2 = 2$). At (6, 3) a match would leave less than nothing, and the best is to keep the 4 on its
# left and skip B's frame 3 ($4 - 2 = 2$). The zeros in the lower left are places where it was best to give
# up.
#
# Now the whole table, and the numbers grow along the diagonal of the squat.


# %%
def fill(S, gap):
    """The whole table H, (N + 1) x (M + 1), row by row."""
    H = np.zeros((S.shape[0] + 1, S.shape[1] + 1))
    for i in range(S.shape[0]):
        for j in range(S.shape[1]):
            fill_cell(H, S, i, j, gap)
    return H


H = fill(S, gap)
assert np.array_equal(fill(corner, gap), by_cell)
print("H:", H.shape, " best score:", H.max())

# %% [markdown]
# ## 4. Walking back
#
# The best score is the largest number in the table, wherever it stands: an alignment may *end* anywhere, too.
# To find the alignment itself, start at that cell and ask each cell which of its four ways it came by. This
# is the **traceback**. It stops where an alignment was started afresh.


# %%
def walk_back(H, S, gap):
    """The matches of one best alignment, first to last."""
    i, j = np.unravel_index(H.argmax(), H.shape)
    path = []
    while H[i, j] > 0:
        if H[i, j] == H[i - 1, j - 1] + S[i - 1, j - 1]:
            path.append((int(i) - 1, int(j) - 1))
            i, j = i - 1, j - 1
        elif H[i, j] == H[i - 1, j] - gap:
            i = i - 1
        else:
            j = j - 1
    return path[::-1]


# %%
path = walk_back(H, S, gap)
print(path)
assert score_of(path, S, gap) == H.max()

# %% tags=["thumbnail"]
_, ax = plt.subplots(figsize=(6.0, 5.6), layout="constrained")
plot_table(H[1:, 1:], path=path, frames=(a.values, b.values), ax=ax)
_ = ax.set_title(f"H and the best local alignment, score {H.max():.0f}")

# %% [markdown]
# It is the diagonal of the squat, with the frame just before it and the frame just after. Watch what the
# table does elsewhere: scores build up in the red areas, too, but each time the alignment would have to cross
# the blue bands, where one puppet squats and the other stands, it is soon worth little or nothing.
#
# ### Is it right?
#
# Three checks. First, brute force: the package can list every alignment of a small table, and the best one of
# the corner has to be what our table says. Next, many random tables, since one example proves little. Then
# the package's own `smith_waterman`, which you will have rebuilt by the end of notebook 02. It knows two gap
# penalties; set equal, they are our one.

# %%
from lacbook.alignment.enumeration import best, enumerate_alignments

found = list(enumerate_alignments(corner, gap, gap))
print(f"{len(found)} alignments of the corner, best {best(corner, gap, gap).score}")
assert len(found) == math.comb(5 + 6, 5) - 1
assert best(corner, gap, gap).score == fill(corner, gap).max()

# %%
rng = np.random.default_rng(0)
for _ in range(30):
    table = rng.integers(-3, 4, size=rng.integers(1, 6, size=2)).astype(float)
    table[0, 0] = 1  # so that there is something to align
    assert fill(table, gap).max() == best(table, gap, gap).score
    assert score_of(walk_back(fill(table, gap), table, gap), table, gap) == best(table, gap, gap).score
print("30 random tables agree with brute force")

# %%
from lacbook import smith_waterman

hard = smith_waterman(S, gap, gap)
print(f"package: score {hard.score}, path {hard.path()}")
assert np.allclose(hard.score, H.max())
assert hard.path() == path

# %% [markdown]
# The work: one pass over $N M$ cells, four numbers each, instead of $\binom{N+M}{N}$ alignments. For two
# clips of 64 frames that is 4,096 cells.

# %% [markdown]
# ## 5. The global cousins
#
# Two older algorithms fill almost the same table. They align the two videos **from end to end**.
#
# **Needleman-Wunsch** (1970, here in the form that textbooks give it) is ours without the 0: an alignment
# cannot start afresh, so it has to begin at the first frames and end at the last, and every skipped frame is
# charged, even the idle ones at the ends. So the border holds the price of skipping so many frames, and the
# score is read off the last cell.


# %%
def needleman_wunsch(S, gap):
    """Table of the best alignment of everything so far; its score is the last cell."""
    N, M = S.shape
    G = np.zeros((N + 1, M + 1))
    G[:, 0], G[0, :] = -gap * np.arange(N + 1), -gap * np.arange(M + 1)
    for i in range(N):
        for j in range(M):
            G[i + 1, j + 1] = max(G[i, j] + S[i, j], G[i, j + 1] - gap, G[i + 1, j] - gap)
    return G


G = needleman_wunsch(S, gap)
print("score of the best global alignment:", G[-1, -1])


# %%
def walk_back_global(G, S, gap):
    """The matches of a best global alignment."""
    (i, j), path = S.shape, []
    while i > 0 and j > 0:
        if G[i, j] == G[i - 1, j - 1] + S[i - 1, j - 1]:
            i, j = i - 1, j - 1
            path.append((i, j))
        elif G[i, j] == G[i - 1, j] - gap:
            i = i - 1
        else:
            j = j - 1
    return path[::-1]


# %%
path_nw = walk_back_global(G, S, gap)
unmatched = N + M - 2 * len(path_nw)
assert sum(S[i, j] for i, j in path_nw) - gap * unmatched == G[-1, -1]
print(len(path_nw), "matches,", unmatched, "skipped frames")

# %% [markdown]
# **Dynamic time warping** (DTW; Sakoe and Chiba, 1978) has no gaps at all. Every frame must have a partner,
# and one frame may have several. It is written with a cost to be small, here $c_{ij} = 3 - S_{ij}$, and adds
# up:
#
# $$ C_{ij} = c_{ij} + \min(C_{i-1,\,j-1},\; C_{i-1,\,j},\; C_{i,\,j-1}). $$


# %%
def dtw(cost):
    """Table of the cheapest warping of everything so far; its cost is the last cell."""
    C = np.full((cost.shape[0] + 1, cost.shape[1] + 1), np.inf)
    C[0, 0] = 0
    for i in range(cost.shape[0]):
        for j in range(cost.shape[1]):
            C[i + 1, j + 1] = cost[i, j] + min(C[i, j], C[i, j + 1], C[i + 1, j])
    return C


# %%
def walk_back_dtw(C):
    """The pairs of a cheapest warping; at each step to the cheapest neighbour."""
    (i, j), path = np.subtract(C.shape, 1), []
    while i > 0 and j > 0:
        path.append((int(i) - 1, int(j) - 1))
        i, j = min([(i - 1, j - 1), (i - 1, j), (i, j - 1)], key=lambda cell: C[cell])
    return path[::-1]


# %%
C = dtw(3 - S)
path_dtw = walk_back_dtw(C)
assert sum(3 - S[i, j] for i, j in path_dtw) == C[-1, -1]
print("DTW:", len(path_dtw), "pairs, every frame in at least one:", end=" ")
print({i for i, _ in path_dtw} == set(range(N)) and {j for _, j in path_dtw} == set(range(M)))

# %% [markdown]
# Here are the three on the same pair. Rings are matches; where the band runs straight, frames are skipped.

# %%
paths = {"Smith-Waterman (local)": path, "Needleman-Wunsch (global)": path_nw, "DTW (global)": path_dtw}
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for ax, (name, found) in zip(axes, paths.items(), strict=True):
    plot_table(S, path=found, ax=ax)
    ax.set_title(name)

# %% [markdown]
# ## 6. Where global goes wrong
#
# Numbers in a matrix are easy to believe. Let us look at the frames instead: who is matched with A at the
# lowest point of its squat, and just before and after?

# %%
for name, way in paths.items():
    around = [(i, j) for i, j in way if 5 <= i <= 10]
    ax = plot_matched_frames(a.values, b.values, around, n=11, fps=a.fps)
    ax.set_title(name, loc="left")

# %% [markdown]
# Top: the local alignment pairs crouching with crouching. Middle: Needleman-Wunsch has no partner for A's
# lowest frame (1.68 s is missing) and pairs the next one, still crouching, with a puppet that stands. It has
# paired the standing frames of one video with those of the other, as many as it could, and what is left of
# A's squat has to make do with B's idle tail.
#
# Why? Needleman-Wunsch is not broken. It answers a question that we did not ask. To pair the two squats means
# to leave four frames of A before them and five of B after them without a partner. The local alignment gets
# that for free, and Needleman-Wunsch pays for each such frame.

# %%
inside = score_of(path, S, gap)
outside = N + M - (path[-1][0] - path[0][0] + 1) - (path[-1][1] - path[0][1] + 1)
as_global = inside - gap * outside
print(f"the local alignment as a global one: {inside:.0f} - {gap:.0f} x {outside} = {as_global:.0f}")
print(f"what Needleman-Wunsch found instead: {G[-1, -1]:.0f}")
assert as_global < G[-1, -1]

# %% [markdown]
# Bottom: DTW pairs the squats well here. But look at the last six pairs. One frame of A is matched again and
# again, with everything B does afterwards. DTW gets past idle frames by stretching a single moment over them,
# and it never says that a frame has no partner, because it cannot. As long as both puppets merely stand, this
# does no harm. So let somebody else walk into the picture: we cut three frames of a jumping jack in front of
# B.

# %%
other = load_puppets(action="jumping_jack", split="test", modality="poses")[0]
start = other.events[0] + 6
foreign = other.values[start : start + 18 : 6].reshape(3, 17, 2)
longer = np.concatenate([foreign, y])  # B with three frames more
S_longer = np.round(np.maximum(3 - 50 * np.linalg.norm(x[:, None] - longer[None], axis=-1).mean(-1), -3))
print("joints:", longer.shape, " S:", S_longer.shape)

# %%
ways = {"Smith-Waterman": walk_back(fill(S_longer, gap), S_longer, gap)}
ways["DTW"] = walk_back_dtw(dtw(3 - S_longer))
_, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
for ax, (name, way) in zip(axes, ways.items(), strict=True):
    plot_table(S_longer, path=way, ax=ax)
    ax.set_title(f"{name}: {sum(j < 3 for _, j in way)} pairs with the jumping jack")
assert ways["Smith-Waterman"] == [(i, j + 3) for i, j in path]

# %% [markdown]
# The local alignment has not moved. DTW found partners for the jumping jack, too; it had to. Real videos are
# full of such frames: somebody walks up, picks something up, does something else first.
#
# ### An accident of this pair?
#
# We chose these two clips because they show the point well, so let us ask all test clips of squats, every
# ordered pair of different puppets. The truth tells which matches are right: both frames inside the squat,
# and at nearly the same moment of it. Two numbers: which share of A's squat frames got a right partner, and
# which share of all matches is right.

# %%
clips = load_puppets(action="squat", split="test", modality="poses")


def similarity_of(p, q):
    """S of two clips of poses, every sixth frame, in whole numbers."""
    p, q = (clip.values[2::6].reshape(-1, 17, 2) for clip in (p, q))
    return np.maximum(np.round(3 - 50 * np.linalg.norm(p[:, None] - q[None], axis=-1).mean(-1)), -3)


def right(found, p, q):
    """The matches in which the moments of the squat differ by less than an eighth of it."""
    u, v = p.time[2::6], q.time[2::6]  # NaN outside the squat, which is never less than anything
    return [(i, j) for i, j in found if abs(u[i] - v[j]) < 1 / 8]


# %%
pairs = [(p, q) for p in clips for q in clips if p.subject != q.subject]
methods = {
    "Smith-Waterman (local)": lambda S: walk_back(fill(S, gap), S, gap),
    "Needleman-Wunsch (global)": lambda S: walk_back_global(needleman_wunsch(S, gap), S, gap),
    "DTW (global)": lambda S: walk_back_dtw(dtw(3 - S)),
}
results = {name: [] for name in methods}
for p, q in pairs:
    S_pq, squat = similarity_of(p, q), np.isfinite(p.time[2::6]).sum()
    for name, align in methods.items():
        all_found = align(S_pq)
        good = right(all_found, p, q)
        results[name].append((len({i for i, _ in good}) / squat, len(good) / max(len(all_found), 1)))

# %%
import pandas as pd

columns = ["squat frames of A matched right", "matches that are right"]
means = {name: np.mean(shares, axis=0) for name, shares in results.items()}
print(len(pairs), "pairs; means:")
pd.DataFrame(means, index=columns).T.round(2)

# %% [markdown]
# An honest table. The local alignment beats Needleman-Wunsch in both columns. DTW finds the most squat
# frames, since it matches every frame with something, and the price is in the other column: most of what it
# says is wrong. But the local alignment is no wonder either. Less than half of its matches are right. Why?

# %% [markdown]
# ## 7. Local needs a zero
#
# Its other matches are idle frames with idle frames. Standing looks like standing, so $S$ is positive there,
# and nothing in the algorithm knows that standing is dull. What decides is **where the zero of the similarity
# lies**: above it a match earns something, below it a match costs something.
#
# To see how much hangs on that, take two stretches that have nothing in common: A's squat, and B standing
# around afterwards. Then add a constant to the similarity.

# %%
unrelated = S[6:10, 7:12]
fig, axes = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
for ax, shift in zip(axes, (0, 2, 4), strict=True):
    moved = smith_waterman(unrelated + shift, gap, gap).path()
    plot_table(unrelated + shift, path=moved, rows=range(6, 10), cols=range(7, 12), limits=(-3, 5), ax=ax)
    ax.set_title(f"S + {shift}, matches: {len(moved)}" if shift else f"S, matches: {len(moved)}")

# %% [markdown]
# On the right every number is positive, so every further match earns something, and a squat is "aligned" from
# end to end with a puppet that stands still. A similarity that is positive everywhere, such as one over a
# distance, cannot give a local alignment, whatever the algorithm is called. The claim can be checked: an
# alignment that stopped before it met an edge of the table could always be made better by one more match.

# %%
for _ in range(100):
    positive = rng.random((8, 9)) + 0.01
    found = smith_waterman(positive, gap, gap).path()
    assert 0 in found[0]
    assert found[-1][0] == 7 or found[-1][1] == 8
print("100 positive tables: every alignment runs from an edge to an edge")

# %% [markdown]
# Now the 120 pairs again, with the zero moved up and down. Besides the two shares we note a third: how much
# of the shorter clip is matched at all.


# %%
def shares_of(p, q, shift):
    """Squat frames matched right, matches that are right, and how much of the shorter clip is matched."""
    S_pq = similarity_of(p, q) + shift
    way = smith_waterman(S_pq, gap, gap).path()
    good = len(right(way, p, q))
    return good / np.isfinite(p.time[2::6]).sum(), good / max(len(way), 1), len(way) / min(S_pq.shape)


shifts = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)
curves = np.array([np.mean([shares_of(p, q, shift) for p, q in pairs], axis=0) for shift in shifts])
print("shifts x shares:", curves.shape)

# %%
_, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
ax.plot(shifts, curves, marker="o", label=[*columns, "shorter clip that is matched"])
ax.set(xlabel="added to S", ylabel="share", ylim=(0, 1), title="The same 120 pairs, another zero")
_ = ax.legend(fontsize="small")

# %% [markdown]
# Take away a point and a half, and most of the squats are gone. From 0 on, nearly all of the shorter clip is
# matched: there this alignment is local in name only, and so it makes no difference to add still more. In
# between, the alignment gets shorter, and what it drops first are the squats. With distances between poses,
# no zero is good. The reason is in the numbers themselves:

# %%
same_moment, both_idle = [], []
for p, q in pairs:
    u, v = p.time[2::6], q.time[2::6]
    S_pq = similarity_of(p, q)
    same_moment.append(S_pq[np.abs(u[:, None] - v) < 1 / 8].mean())
    both_idle.append(S_pq[np.isnan(u)[:, None] & np.isnan(v)].mean())
print(f"mean S: the same moment of the squat {np.mean(same_moment):.2f}, both idle {np.mean(both_idle):.2f}")

# %% [markdown]
# To these distances, two puppets at the same moment of a squat look less alike than two that stand around. A
# better similarity is needed, one in which idle frames say little and the moments of an action say much. It
# will be *learned*, and this is what LAC is for. In this course the similarity is then a cosine minus a
# margin, and both the encoder and the margin are trained through the alignment itself. (The code that was
# released with LAC uses one over a distance; notebook 14 shows what that does.) To train through a table of
# maxima, we need gradients. They come in notebook 03, after a better price for gaps.

# %% [markdown]
# ## 8. Exercises
#
# **Exercise 1.** Fill a table by hand. The similarities are in `tiny`, the gap is 1. Write the nine numbers
# of $H$ (without the border) as three lists of three. Do it on paper first.

# %%
tiny = np.array([[2.0, -1.0, 0.0], [-1.0, -2.0, 1.0], [0.0, -1.0, 3.0]])
_ = plot_table(tiny)

# %%
# exercise 1
by_hand = None  # [[..., ..., ...], [..., ..., ...], [..., ..., ...]]

# %%
from lacbook.course import check

check(by_hand, lambda table: np.array_equal(table, fill(tiny, 1.0)[1:, 1:]))

# %% [markdown]
# **Exercise 2.** *Fitting.* Suppose A is a short query that has to be used from its first frame to its last,
# to be found anywhere inside a longer video B. Skipped frames of A cost the gap wherever they are; frames of
# B are free before and after the match, and cost the gap inside it. Which border does the table need, is
# there a 0 among the ways, and where is the score read off? Write a function `fit(S, gap)` that returns the
# score.

# %%
# exercise 2
fit = None


# %%
def fit_by_force(S, gap):
    """Try every alignment; frames of A outside it are charged, too."""
    alignments = enumerate_alignments(S, gap, gap)
    charged = (x.score - gap * (len(S) - 1 - x.path[-1][0] + x.path[0][0]) for x in alignments)
    return max(*charged, -gap * len(S))


shapes = [(3, 5), (5, 3), (4, 4)] * 5
tables = [rng.integers(-3, 4, size=shape).astype(float) for shape in shapes]
check(fit, lambda f: all(f(table, g) == fit_by_force(table, g) for table in tables for g in (0.5, 1.0, 2.0)))

# %% [markdown]
# **Exercise 3.** *How dear must a gap be?* Add 5 to `S`, so that every match earns something. With a cheap
# gap, the best alignment then runs through the whole table. Find the lowest whole-number gap from which on it
# is our `path` again. What does the cheap alignment gain, and what does it pay?


# %%
def is_path(gap):
    """Is the best alignment of S + 5 the diagonal of the squat?"""
    return smith_waterman(S + 5, float(gap), float(gap)).path() == path


print("at gap 1:", smith_waterman(S + 5, 1.0, 1.0).path())

# %%
# exercise 3
lowest = None

# %%
check(lowest, lambda g: g >= 1 and not is_path(g - 1) and all(is_path(k) for k in range(g, 21)))

# %% [markdown]
# Solutions are in `notebooks/solutions/01_local_alignment.py`.

# %% [markdown]
# ## References
#
# - S. B. Needleman, C. D. Wunsch, *A general method applicable to the search for similarities in the amino
#   acid sequence of two proteins*, Journal of Molecular Biology, 1970: the global alignment.
# - H. Sakoe, S. Chiba, *Dynamic programming algorithm optimization for spoken word recognition*, IEEE
#   Transactions on Acoustics, Speech, and Signal Processing, 1978: dynamic time warping.
# - T. F. Smith, M. S. Waterman, *Identification of common molecular subsequences*, Journal of Molecular
#   Biology, 1981: the 0 and the end at any cell, which make the alignment local.
# - K. Oei, A. Gomaa, A. M. Feit, J. Belo, *Self-Supervised Contrastive Learning for Videos using
#   Differentiable Local Alignment*, arXiv 2409.04607, 2024: LAC, which trains an encoder with it.
#
# **Next**: notebook 02 gives long gaps a fair price, which takes three tables, and makes the loops fast.
