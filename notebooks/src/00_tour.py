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
# # 00 A tour: two videos, aligned
#
# **You will see** the finished thing before you build it: two videos of the same action, found to match
# frame by frame by an encoder that was trained without labels.
#
# **You will learn** what a frame embedding is, what a similarity matrix shows, what a *local* alignment is
# and what a *soft* one adds, how gap penalties bend an alignment, and how to tell whether an embedding
# knows anything at all.
#
# **Prerequisites**: Python and a first idea of neural networks. Everything else comes in later notebooks.
#
# **Time**: the notebook runs in about 20 seconds on a CPU and reads in about 20 minutes.

# %% [markdown]
# ## 1. An encoder and two videos
#
# LAC (local-alignment contrastive learning) trains an encoder that turns every frame of a video into a
# vector. Frames that show the same moment of an action should get similar vectors, whoever performs it and
# however fast. The package comes with one small trained encoder; notebook 08 trains such an encoder from
# the start.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from lacbook import smith_waterman, soft_smith_waterman
from lacbook.align import committed_checkpoint
from lacbook.train import load_run
from lacbook.viz import use_theme

use_theme(photos=True)

# %%
config, learner = load_run(committed_checkpoint())
weights = sum(parameter.numel() for parameter in learner.encoder.parameters())
print(
    f"{weights} weights, trained for {config.epochs} epochs on frames of {config.size} x {config.size} pixels"
)

# %% [markdown]
# The videos are *Puppets*: rendered clips in which the truth is known for every frame. Twenty puppets were
# there for training; the two below were not. We load the test clips of one action in full size, to look at
# them.

# %%
from lacbook.data.puppets import load_puppets

clips = {clip.video_id: clip for clip in load_puppets(split="test", action="squat")}
a, b = clips["squat_s25_1"], clips["squat_s22_2"]
print("A:", a.values.shape, "frames, height, width, colours; key events at frames", a.events)
print("B:", b.values.shape, "key events at frames", b.events)
print(f"B begins {(b.events[0] - a.events[0]) / a.fps:.2f} seconds later than A")

# %% [markdown]
# Both puppets squat, in different rooms and clothes, and at their own pace. If we pair the frames by the
# clock, they do not fit, since the second puppet starts later. (Put two other names of `clips` above to see
# other pairs; some come out better than this one, some worse.)

# %%
from lacbook.viz import plot_matched_frames

same_time = [(t, t) for t in range(min(len(a), len(b)))]
ax = plot_matched_frames(a.values, b.values, same_time, fps=a.fps)
# %% [markdown]
# ## 2. From frames to vectors
#
# The encoder looks at each frame, then lets the frames of a clip inform each other through a small
# transformer. Out comes one vector of length 1 for every frame.

# %%
from lacbook.evaluate import embed_values

squats = load_puppets(action="squat", size=config.size)
embeddings = {clip.video_id: embed_values(learner.encoder, clip.values) for clip in squats}
z_a, z_b = (torch.from_numpy(embeddings[clip.video_id]) for clip in (a, b))
print("A:", tuple(z_a.shape), " B:", tuple(z_b.shape))
print("length of the first vector:", round(float(z_a[0].norm()), 4))

# %% [markdown]
# ## 3. The similarity matrix
#
# Row i and column j of this matrix compare frame i of A with frame j of B: the cosine of their two vectors,
# minus a *margin*. The margin is the cosine at which two frames count as unrelated, and training learned
# it. Above zero (red), two frames are more alike than unrelated ones; below zero (blue), less.

# %%
from lacbook.similarity import cosine

margin = learner.loss.margin.item()
similarity = cosine(z_a, z_b, margin).detach()
print(tuple(similarity.shape), f"margin {margin:.2f},")
print(f"similarity from {similarity.min():.2f} to {similarity.max():.2f}")

# %% [markdown]
# The strips on the left and on top show the true phase of each frame: grey before and after the action,
# colours inside it. Circles mark where the key events of both clips meet, such as the lowest point of the
# squat. The encoder never saw a phase or an event; a good embedding still puts the circles on red ground.

# %%
from lacbook.viz import plot_similarity

_, ax = plt.subplots(figsize=(5, 4.2), layout="constrained")
plot_similarity(similarity, phases=(a.phase, b.phase), events=(a.events, b.events), ax=ax)
_ = ax.set_title("Which frames look like the same moment?")
# %% [markdown]
# ## 4. The best local alignment
#
# An alignment walks through the matrix from the upper left to the lower right. It collects the similarity
# of every pair that it matches, and pays for every frame that it skips: `gap_open` for the first of a run,
# `gap_extend` for each further one. *Local* means that it may start and stop anywhere, so that idle frames
# can stay outside. The algorithm of Smith and Waterman (with Gotoh's affine gaps) finds the best one of
# all.

# %%
gap_open, gap_extend = (penalty.item() for penalty in learner.loss.penalties())
print(f"learned penalties: gap_open {gap_open:.2f}, gap_extend {gap_extend:.2f}")

hard = smith_waterman(similarity, gap_open, gap_extend)
path = hard.path()
i0, i1, j0, j1, score = hard.segments()[0]
print(f"score {score:.2f}: {len(path)} matches, from {path[0]} to {path[-1]}")
print(f"seconds {i0 / a.fps:.2f} to {i1 / a.fps:.2f} of A, {j0 / b.fps:.2f} to {j1 / b.fps:.2f} of B")

# %% [markdown]
# ## 5. The soft alignment
#
# The best alignment is one answer; training needs gradients. So LAC looks at *all* alignments at once and
# weighs each by the exponential of its score over a *temperature*. The result is a probability for every
# pair of frames, the *posterior*: how likely the two are matched. Where one path is clearly best, the
# posterior is sharp; where several paths are about as good, it is spread out.

# %%
soft = soft_smith_waterman(similarity, gap_open, gap_extend, temperature=config.temperature)
print(
    "posterior:",
    tuple(soft.posterior.shape),
    f"between {soft.posterior.min():.2f} and {soft.posterior.max():.2f}",
)
print(f"soft score {soft.score:.2f}, best single alignment {hard.score:.2f}")
print(f"expected matches {soft.posterior.sum():.1f}, in the best alignment {len(path)}")
openings, extensions = soft.expected_gaps
print(f"expected gaps opened {openings:.2f}, extended {extensions:.2f}")

# %% [markdown]
# Here is all of it in one figure. Compare the frames at the bottom with those that the clock paired in
# section 1.

# %% tags=["thumbnail"]
from lacbook.viz import plot_alignment

figure = plot_alignment(
    a.values,
    b.values,
    similarity,
    path,
    posterior=soft.posterior,
    phases=(a.phase, b.phase),
    fps=a.fps,
    title=f"A and B: score {score:.1f}",
)

# %% [markdown]
# The same alignment as a video. While the seam between the pictures is blue, matched frames play together.
# White means, inside the alignment, that one side skips frames while the other waits; before and after it
# both simply play.

# %%
import tempfile
from pathlib import Path

from IPython.display import Video

from lacbook.data.video import write_video
from lacbook.viz import side_by_side

with tempfile.TemporaryDirectory() as folder:
    together = side_by_side(a.values, b.values, path, height=144)
    write_video(Path(folder) / "aligned.mp4", together, fps=a.fps, crf=32)
    playback = Video((Path(folder) / "aligned.mp4").read_bytes(), embed=True, mimetype="video/mp4")
print(together.shape)
playback

# %% [markdown]
# ## 6. Two claims, checked
#
# **The posterior is the gradient of the soft score.** Make one pair of frames a little more alike, and the
# score rises by the probability that the two are matched. We try it on the pair whose probability is
# closest to one half.

# %%
S = similarity.double()
before = soft_smith_waterman(S, gap_open, gap_extend, temperature=config.temperature)
i, j = divmod(int((before.posterior - 0.5).abs().argmin()), S.shape[1])
nudged = S.clone()
nudged[i, j] += 1e-5
after = soft_smith_waterman(nudged, gap_open, gap_extend, temperature=config.temperature)
slope = float(after.score - before.score) / 1e-5
print(f"frames ({i}, {j}): slope of the score {slope:.4f}, posterior {before.posterior[i, j]:.4f}")
assert np.isclose(slope, before.posterior[i, j], atol=1e-3)

# %% [markdown]
# **At a low temperature the posterior becomes the best path.** Cooled down, one alignment takes all the
# probability.

# %%
for temperature in (1.0, 0.1, 0.03, 0.01, 0.001):
    cold = soft_smith_waterman(S, gap_open, gap_extend, temperature=temperature).posterior
    likely = [tuple(pair) for pair in (cold > 0.5).nonzero().tolist()]
    shared = len(set(likely) & set(path))
    print(f"temperature {temperature:5}: {len(likely):3} likely matches, {shared:3} of them on the path")
assert likely == path

# %% [markdown]
# ## 7. Gap penalties bend the path
#
# How much should it cost to skip a frame? The penalties decide: a high one gives a stiff path that breaks
# off rather than bends, a low one gives a path that follows every bump of the matrix. Since the truth is
# known here, we can measure: carry the key events of A along the path and see how many frames off they
# arrive in B.

# %%
from lacbook.metrics import carry

openings = (0.02, 0.1, 1.0)
paths = [smith_waterman(similarity, opening, 0.3 * opening).path() for opening in openings]
for opening, found in zip(openings, paths, strict=True):
    arrived = carry(a.events, np.array(found))
    off = np.round(np.abs(arrived - b.events), 1)
    print(f"gap_open {opening:4}: {len(found)} matches, events off by {off} frames (nan: outside the path)")

# %%
_, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained", sharey=True)
for ax, opening, found in zip(axes, openings, paths, strict=True):
    plot_similarity(similarity, path=found, events=(a.events, b.events), colorbar=ax is axes[-1], ax=ax)
    ax.set_title(f"gap_open {opening}")
for ax in axes[1:]:
    ax.set_ylabel("")

# %% [markdown]
# In a running notebook you can try it yourself: drag the slider, or move it with the arrow keys, and watch
# the path and the matched frames. (On a page that only shows the notebook, the figure above has to do.)

# %%
from lacbook.viz.widgets import gap_explorer

gap_explorer(similarity, frames=(a.values, b.values), gap_open=0.1, gap_extend=0.03, largest=1.0, fps=a.fps)

# %% [markdown]
# ## 8. Does the embedding know anything?
#
# A pretty picture proves little. A *probe* asks: can a simple classifier read the phase of a frame off its
# vector, for people it has never seen? The number means something only beside a *control*. Ours is `time
# only`: features that hold nothing but how far into the clip a frame is. An encoder that merely counts
# frames would do as well as that.

# %%
from lacbook.evaluate import in_order, time_features

ordered = in_order(squats, seed=0)
features = {"LAC": [embeddings[clip.video_id] for clip in ordered], "time only": time_features(ordered)}
n_train = sum(clip.split == "train" for clip in ordered)
train, test = ordered[:n_train], ordered[n_train:]
print(len(train), "training clips and", len(test), "test clips;", features["LAC"][0].shape, "first embedding")

# %% [markdown]
# Three numbers for each: the accuracy of a logistic regression that was given the labels of a tenth of the
# training clips, the same with all of them, and the *event error*. The last trains no classifier: for every
# key event of one test clip it takes the most similar frame of another and counts how many frames off it is
# (the median; lower is better).

# %%
import pandas as pd

from lacbook.metrics import event_error, phase_accuracy

rows = {}
for name, z in features.items():
    z_train, z_test = z[:n_train], z[n_train:]
    few = n_train // 10
    rows[name] = {
        f"accuracy, {few} clips labelled": phase_accuracy(train[:few], z_train[:few], test, z_test),
        f"accuracy, {n_train} clips labelled": phase_accuracy(train, z_train, test, z_test),
        "event error (frames)": event_error(test, z_test),
    }
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# This is one action and one run. The full protocol has more measures, four controls and all actions; `make
# demo` prints its table, the README explains it, and notebook 09 builds it up.

# %% [markdown]
# ## 9. Exercises
#
# **Exercise 1.** The path at `gap_open` 0.02 skips frames. Put the numbers of the frames of A that it skips
# between its first and its last match into a list called `skipped`.

# %%
# exercise 1
skipped = None

# %%
from lacbook.course import check

bent = paths[0]
between = range(bent[0][0], bent[-1][0] + 1)
check(skipped, lambda frames: sorted([*frames, *(i for i, _ in bent)]) == list(between))

# %% [markdown]
# **Exercise 2.** The margin decides how local an alignment is: `similarity - extra` is the similarity at a
# margin that is higher by `extra`. Find an `extra` at which the best path, with the learned penalties, is at
# most half as long as `path` and not empty. Which part of the squat is left?

# %%
# exercise 2
extra = None

# %%
check(extra, lambda e: 0 < len(smith_waterman(similarity - e, gap_open, gap_extend).path()) <= len(path) / 2)

# %% [markdown]
# Solutions are in `notebooks/solutions/00_tour.py`.

# %% [markdown]
# ## 10. Map of the course
#
# Notebooks marked "here" exist; those marked "to come" do not yet.
#
# | # | notebook | what it is about | status |
# |---|---|---|---|
# | 00 | tour | the finished thing | here |
# | 01 | local_alignment | a Smith-Waterman table by hand; why local beats global | here |
# | 02 | affine_gaps_numba | opening and extending gaps, three tables, compiled | here |
# | 03 | smoothing_and_gradients | from the maximum to log-sum-exp; posterior = gradient | here |
# | 04 | torch_op | the alignment as a PyTorch operator | here |
# | 05 | cuda_kernel | one block for a pair, one barrier for a diagonal | here |
# | 06 | videos_and_views | decoding, two views of a video, augmentations, poses | here |
# | 07 | lac_loss | the contrastive and the local term, and how penalties learn | here |
# | 08 | train_the_encoder | the transformer, training, checkpoints; what positions do | here |
# | 09 | linear_probes | probes, Kendall's tau, retrieval, and the controls | here |
# | 10 | comparing_losses | six losses in one harness, with seeds | to come |
# | 11 | weak_supervision | pairs across videos | to come |
# | 12 | controllable_augmentations | local clips and the global video | to come |
# | 13 | your_own_videos | embed, align, export, play side by side | to come |
# | 14 | reproduction_notes | paper, released code and this package, line by line | here |

# %% [markdown]
# ## References
#
# - K. Oei, A. Gomaa, A. M. Feit, J. Belo, *Self-Supervised Contrastive Learning for Videos using
#   Differentiable Local Alignment* (LAC), 2024, [arXiv 2409.04607](https://arxiv.org/abs/2409.04607)
# - T. F. Smith, M. S. Waterman, *Identification of common molecular subsequences*, Journal of Molecular
#   Biology 147, 1981
# - O. Gotoh, *An improved algorithm for matching biological sequences*, Journal of Molecular Biology 162,
#   1982
# - M. Chen, F. Wei, C. Li, D. Cai, *Frame-wise Action Representations for Long Videos via Sequence
#   Contrastive Learning* (CARL), 2022, [arXiv 2203.14957](https://arxiv.org/abs/2203.14957)
