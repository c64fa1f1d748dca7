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
# # 06 Videos and views
#
# **You will build** a video decoder of a few lines, the sampler that makes two training views of one video,
# the augmentation of poses, and a padded batch with its mask; each is compared with the package.
#
# **You will learn** what a video file holds, what is known of a clip in this course, why two random views of
# one video come with their true alignment for free, what can go wrong in drawing them, what an augmentation
# may change and what it must not, and why nothing may ever read padding.
#
# **Prerequisites**: notebooks 01 and 03 (what an alignment and a posterior are); a little PyTorch.
#
# **Time**: the notebook runs in about 30 seconds on a CPU and reads in about 40 minutes.

# %%
import av
import matplotlib.pyplot as plt
import numpy as np
import torch

from lacbook.data.clips import data_dir
from lacbook.data.video import read_video
from lacbook.viz import PUPPET_EDGES, plot_frame_grid, plot_poses, use_theme
from lacbook.viz.style import ACCENT, INK, MUTED

use_theme(photos=True)

# %% [markdown]
# ## 1. A video file is not an array
#
# A network wants an array of pixels, [T, H, W, 3]. An mp4 file holds nothing of the kind. It is a
# *container*: a header, and streams of *packets*, each with a time. What is inside the packets is up to a
# *codec*, here H.264, and has to be decoded. PyAV gives Python the libraries of FFmpeg, which know nearly all
# containers and codecs. We open one clip of a puppet that throws a ball, and only look at the packets.

# %%
video = data_dir() / "puppets" / "throw_s22_1.mp4"
with av.open(str(video)) as container:
    stream = container.streams.video[0]
    packets = [packet for packet in container.demux(stream) if packet.size]
    tick = float(stream.time_base)
    print(f"{stream.codec_context.name}, {stream.width} x {stream.height} pixels, {len(packets)} packets,")
    print(f"pixel format {stream.codec_context.pix_fmt}, time base {stream.time_base} s")
    print(f"average rate {stream.average_rate} frames per second")
for packet in packets[:6]:
    print(f"pts {packet.pts:5}  {packet.size:5} bytes  key frame: {packet.is_keyframe}")

# %% [markdown]
# Times are whole numbers of the *time base*. The `pts` (presentation time stamp) says when a frame is to be
# shown, and in the file it does not rise: some frames are predicted from a *later* one, so that one has to be
# decoded first. And a single packet, the *key frame*, is a whole picture. All others hold what changed.

# %%
pts = [packet.pts for packet in packets]
key_frames = [packet.pts for packet in packets if packet.is_keyframe]
assert pts != sorted(pts)
assert key_frames == [0]
_, ax = plt.subplots(figsize=(9, 2.4), layout="constrained")
for packet in packets:
    ax.bar(packet.pts * tick, packet.size, width=0.03, color=ACCENT if packet.is_keyframe else MUTED)
ax.set(xlabel="time at which it is shown (s)", ylabel="bytes", title="What each frame costs in the file")
_ = ax.annotate("the key frame", (0.03, packets[0].size), (0.1, packets[0].size), va="center", color=ACCENT)

# %% [markdown]
# So there is no way to look up frame 50 of this file: first come all frames that it is predicted from, back
# to the key frame. A loader that wants a few random frames of a long video pays for many more. For clips of a
# few seconds it is best to decode all of them once and to keep the result. Here is the whole decoder.

# %%
with av.open(str(video)) as container:
    decoded = list(container.decode(video=0))
by_hand = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])
print("decoded:", by_hand.shape, by_hand.dtype)
print(f"file {video.stat().st_size} bytes, array {by_hand.nbytes} bytes,")
print(f"{by_hand.nbytes / video.stat().st_size:.0f} times as many")

# %% [markdown]
# The package does the same, turns a video upright where the file says how it was held, and says what is wrong
# with a broken one. With `size` it shrinks each frame while it decodes, so that a large video never lies in
# memory in full; each small pixel is about the mean of the pixels it covers. (Not exactly: the file stores
# brightness and colour apart, and they are shrunk before they are put together.)

# %%
frames, fps = read_video(video)
assert np.array_equal(frames, by_hand)
small, _ = read_video(video, size=48)
means = frames.reshape(len(frames), 48, 2, 48, 2, 3).mean(axis=(2, 4))
difference = np.abs(small - means).mean()
print("small:", small.shape, f" mean difference from means of 2 x 2 pixels: {difference:.1f} of 255")
assert difference < 4

# %% [markdown]
# `read_video_cached` keeps the decoded array on disk, under the content of the file, and next time only reads
# it. Data sets of the course are loaded through it. How much that saves depends on the machine.

# %%
from time import perf_counter

from lacbook.data.video import read_video_cached


def seconds(read):
    """Fastest of five calls."""
    started = [(perf_counter(), read(video), perf_counter()) for _ in range(5)]
    return min(end - start for start, _, end in started)


print(f"decoding takes {seconds(read_video) / seconds(read_video_cached):.1f} times as long as the cache")

# %% [markdown]
# ### Are frames equally far apart?
#
# In this file they are, 25 to a second. A file need not: phones drop to fewer frames in the dark, screen
# recorders write one when something changes. We make such a file, with 25 frames a second first and fewer
# later, and read it back.

# %%
import tempfile
from fractions import Fraction


# %%
def write_uneven(path, ticks):
    """The first frames of the clip, each shown at its own time, in ticks of 1/200 s."""
    with av.open(path, "w") as out:
        encoder = out.add_stream("libx264", rate=25, width=96, height=96, pix_fmt="yuv420p")
        encoder.codec_context.time_base = Fraction(1, 200)
        for image, tick in zip(frames, ticks, strict=False):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 200)
            out.mux(encoder.encode(frame))
        out.mux(encoder.encode())


# %%
ticks = [8 * k if k < 15 else 120 + 25 * (k - 15) for k in range(30)]
with tempfile.TemporaryDirectory() as folder:
    write_uneven(f"{folder}/uneven.mp4", ticks)
    with av.open(f"{folder}/uneven.mp4") as container:
        shown = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    uneven, average = read_video(f"{folder}/uneven.mp4")
assert shown == [Fraction(tick, 200) for tick in ticks]
guessed = np.arange(len(uneven)) / average
print("read:", uneven.shape, f" average rate {average:.1f} frames per second")
print(f"frame 15 is shown at {float(shown[15]):.2f} s, by the average rate at {guessed[15]:.2f} s")

# %% [markdown]
# The array is the same as ever; what is lost is *when*. `read_video` returns frames in order and the average
# rate, so for such a file "frame / rate" is wrong. This course counts time in frames, and an alignment skips
# frames anyway, so an uneven rate looks to it like a change of tempo. It matters where seconds are printed,
# and for whatever is counted in frames, such as the width of the target in notebook 07.
#
# ## 2. What is known of a clip
#
# Every data set of the package yields the same record, a `Clip`: its values (frames or poses), and what is
# known of each frame. We take the test clips of the throw and pick two puppets.

# %%
from lacbook.data.puppets import load_puppets

clips = {clip.video_id: clip for clip in load_puppets(split="test", action="throw")}
a, b = clips["throw_s22_1"], clips["throw_s25_2"]
for clip in (a, b):
    print(clip.video_id, clip.action, clip.subject, clip.split, clip.values.shape, clip.values.dtype)
    print("  key events at frames", clip.events, "phases", np.unique(clip.phase))
    print("  frames inside the action:", clip.active.sum(), "of", len(clip))
assert np.array_equal(a.values, frames)

# %% [markdown]
# The **phase** says which part of the action a frame belongs to: 0 before it, the largest after it. The
# **events** are the first frames of each new phase. The **canonical time** $u$ is finer: it runs from 0 to 1
# over the action, whatever the tempo, and frames of two clips with equal $u$ show the same moment. Outside
# the action it is NaN, since there is no same moment. Borders have the colour of the phase, grey is idle.

# %%
from matplotlib.colors import to_hex

from lacbook.viz import phase_colors


# %%
def row(clip, columns=9):
    """Frames spread over a clip, with captions and the colours of their phases."""
    i = np.linspace(0, len(clip) - 1, columns).round().astype(int)
    colors = phase_colors(clip.events.size + 1)[clip.phase[i]]
    captions = [f"{k}: u {clip.time[k]:.2f}" if clip.active[k] else f"{k}: idle" for k in i]
    return clip.values[i], captions, [to_hex(color) for color in colors]


pictures, captions, colors = zip(row(a), row(b), strict=True)
_ = plot_frame_grid(pictures, names=["A", "B"], captions=captions, colors=colors)

# %% [markdown]
# Under each frame are its number and its $u$. Before and after, a puppet stands about or does things that
# belong to no action; a real video does not begin and end with its action either. Only renderings know $u$
# for every frame. People who annotate real videos mark events, and even that is slow work.
#
# From $u$ follows the **true alignment** of the two clips: the partner of frame $i$ of A is the frame of B
# that minimises $|u_i - u_j|$. It may use a frame of B twice, which no alignment of notebooks 01 and 02 does;
# the $A^*$ of section 4 does not.

# %%
moments = np.flatnonzero(a.active)
partner = np.nanargmin(np.abs(a.time[moments, None] - b.time[None, :]), axis=1)
print("partners of frames", moments[:4], "to", moments[-1], "of A: frames", partner[:4], "to", partner[-1])
print("matches with a frame of B that has one already:", len(partner) - len(np.unique(partner)))
print("steps of B in which time stands still:", (np.diff(b.time) == 0).sum())

# %%
inside = a.events[a.events <= moments[-1]]  # the last event is the end of the action
arrived = partner[inside - moments[0]]
print("key events of A arrive at frames", arrived, "of B, whose own are at", b.events[: len(inside)])
assert np.abs(arrived - b.events[: len(inside)]).max() <= 1

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for clip, name, color in ((a, "A", ACCENT), (b, "B", INK)):
    axes[0].plot(clip.time, color=color, label=name)
axes[0].set(xlabel="frame", ylabel="canonical time u", title="Two tempos")
axes[0].legend()
axes[1].plot(partner, moments, ".", color=ACCENT)
axes[1].axline((b.events[0], a.events[0]), slope=1, ls=":", color=MUTED)
_ = axes[1].set(xlabel="frame of B", ylabel="frame of A", title="The true alignment (dotted: equal tempo)")

# %% [markdown]
# Where a curve on the left is flat, the puppet pauses: B does, soon after it has lifted the ball. Then
# several frames show the same moment, and each of them is as good a partner as any other. Here are some
# frames of A and the partners that $u$ found.

# %%
from lacbook.viz import plot_matched_frames

truth = np.stack([moments, partner], axis=1)
_ = plot_matched_frames(a.values, b.values, truth, fps=a.fps)

# %% [markdown]
# ## 3. Two views of one video
#
# Training cannot have this alignment, if it is to do without labels. The idea of CARL, which LAC takes over,
# is to make two videos out of one. Pick some of its frames at random, in order, and call that a *view*; pick
# others and call that a second view. Both show the same action with the frames skipped at different places,
# as if performed at two tempos, and we know which frame of one is which frame of the other.
#
# Two things have to be random: *where* a view lies, and *which* frames it takes there. So first cut out a
# block that is up to one and a half times as long as the view, then draw the frames from it.


# %%
from math import ceil


def block_of_frames(length, n, rng):
    """Length of a random block of the clip that n frames can be drawn from."""
    return min(length, ceil(rng.uniform(1, 1.5) * n))


# %%
def frames_from(offset, block, n, rng):
    """n sorted frames at random out of a block that begins at offset."""
    return np.sort(offset + rng.choice(block, size=n, replace=False))


# %%
rng = np.random.default_rng(0)
block = block_of_frames(len(a), 10, rng)
print("block of", block, "frames:", frames_from(20, block, 10, rng))

# %% [markdown]
# The two blocks must overlap, or the views have nothing in common. We let the second begin anywhere, as long
# as it shares at least half of the longer block with the first. And since a view of *all* frames would be no
# random choice, a view has at most four fifths of the clip's frames.


# %%
def my_two_views(length, view_length, rng):
    """Frame indices of two views, [n] each."""
    n = min(view_length, int(length / 1.25))
    blocks = [block_of_frames(length, n, rng) for _ in range(2)]
    first = rng.integers(0, length - blocks[0] + 1)
    second = np.arange(length - blocks[1] + 1)
    shared = np.minimum(first + blocks[0], second + blocks[1]) - np.maximum(first, second)
    second = rng.choice(second[2 * shared >= max(blocks)])
    return [frames_from(offset, k, n, rng) for offset, k in zip((first, second), blocks, strict=True)]


# %%
from lacbook.data.sampling import two_views

for seed in range(200):
    length = 36 + seed
    ours = my_two_views(length, 32, np.random.default_rng(seed))
    package = two_views(length, 32, np.random.default_rng(seed))
    assert np.array_equal(ours, package)
print("200 clips of 36 to 235 frames: same views as the package")

# %% [markdown]
# One draw for A. A dot is a frame of a view, and a line joins frames that are the same in both.


# %%
def draw_views(u, v, ax):
    """Two views on the time line of their clip, equal frames joined."""
    same = np.intersect1d(u, v)
    ax.plot([same, same], [0, 1], color=ACCENT, lw=1)
    for view, y in ((u, 1), (v, 0)):
        ax.plot(view, np.full(len(view), y), "o", ms=5, color=MUTED)
        ax.plot(same, np.full(len(same), y), "o", ms=5, color=ACCENT)
    ax.set(yticks=[0, 1], yticklabels=["view v", "view u"], ylim=(-0.5, 1.5), xlabel="frame of the clip")
    ax.set_title(f"{len(same)} of {len(u)} frames are in both views")


# %%
u, v = two_views(len(a), 32, np.random.default_rng(4))
_, ax = plt.subplots(figsize=(9, 1.7), layout="constrained")
draw_views(u, v, ax)
_ = ax.set_xlim(-1, len(a))

# %% [markdown]
# ### Two ways to get it wrong
#
# The loader that was released with LAC (it comes from CARL's) takes a block of `ceil(r * L)` frames, with `L`
# the length of the *clip*, where ours is `r` times the length of the *view*. It looks like a detail. Here is
# that rule (in our own words), over the lengths of all Puppets clips. A block that is longer than the clip
# can begin only at 0, and frames past the end are replaced by the last frame.


# %%
def clip_long_block(length, view_length, rng):
    """Where the block begins, and the frames that are drawn from it."""
    n = min(view_length, length)
    block = ceil(rng.uniform(1, 1.5) * length)
    offset = rng.integers(0, max(length - block, 0) + 1)
    return offset, frames_from(offset, block, n, rng)


# %%
rng = np.random.default_rng(0)
n_frames = [len(clip) for clip in load_puppets(modality="poses")]
print(len(n_frames), "Puppets clips of", min(n_frames), "to", max(n_frames), "frames")
lengths = rng.choice(n_frames, size=3000)
drawn = [clip_long_block(length, 64, rng) for length in lengths]
past = np.array([(steps >= length).mean() for (_, steps), length in zip(drawn, lengths, strict=True)])
print("offsets that occur:", {int(offset) for offset, _ in drawn})
print(f"frames past the end: {past.mean():.0%} on average, {past.max():.0%} in the worst view")

# %% [markdown]
# The offset, meant to be random, is always 0: every view of every clip is spread over the whole of it. And
# about one frame in five lies past the end. As a view it shows the last frame again and again, which a mask
# would have to hide; notebook 14 looks at whether it does.

# %%
assert {offset for offset, _ in drawn} == {0}
assert 0.17 < past.mean() < 0.21

# %% [markdown]
# The other mistake is to draw the two offsets independently. Then the blocks may miss each other, and the
# pair has no common frame to learn from. How often depends on how much longer the clip is than a view.


# %%
def independent_views(length, view_length, rng):
    """Two views whose blocks know nothing of each other."""
    n = min(view_length, int(length / 1.25))
    blocks = [block_of_frames(length, n, rng) for _ in range(2)]
    return [frames_from(rng.integers(0, length - k + 1), k, n, rng) for k in blocks]


def in_common(sampler, length, view_length, draws=1000):
    """Number of frames that two views share, in many draws."""
    rng = np.random.default_rng(0)
    return np.array([np.intersect1d(*sampler(length, view_length, rng)).size for _ in range(draws)])


# %%
for length, view_length in ((max(n_frames), 64), (max(n_frames), 32), (200, 64), (200, 32)):
    apart, together = (in_common(sampler, length, view_length) for sampler in (independent_views, two_views))
    n, none = min(view_length, length / 1.25), (apart == 0).mean()
    print(f"clip {length:3}, view {view_length}: {none:4.0%} of independent pairs share no frame;", end=" ")
    print(f"ours share at least {together.min()} frames, {together.mean() / n:.0%} on average")
    assert together.min() > 1

# %% [markdown]
# Where a clip is less than twice as long as a view, hardly a pair is lost. For longer clips many are, and
# since training also draws views half as long (section 8), that includes the longest Puppets.
#
# ## 4. The frame numbers are the label
#
# A view consists of its values and its *steps*, the frame numbers it was drawn from. Position $i$ of view u
# and position $j$ of view v match when $s^u_i = s^v_j$. All such cells together are the true alignment $A^*$
# of the two views, and nobody had to annotate anything.

# %%
from lacbook.losses.lac import true_matches

matches = u[:, None] == v[None, :]
lengths = torch.tensor([[len(u), len(v)]])
package = true_matches(torch.from_numpy(u)[None], torch.from_numpy(v)[None], lengths)[0]
assert np.array_equal(matches, package)
i, j = np.nonzero(matches)
assert np.array_equal(u[i], v[j])
assert (np.diff(i) > 0).all()
assert (np.diff(j) > 0).all()
print("matches:", matches.shape, matches.sum(), "cells, the first at rows", i[:4], "and columns", j[:4])

# %%
from lacbook.viz import plot_similarity

fig, ax = plt.subplots(figsize=(4.6, 3.9), layout="constrained")
plot_similarity(8 - np.abs(u[:, None] - v[None, :]), path=np.stack([i, j], axis=1), colorbar=False, ax=ax)
_ = ax.set(xlabel="position in view v", ylabel="position in view u", title="A*, the true alignment")

# %% [markdown]
# The yellow line is $A^*$, drawn over how near the frames are in time (red: less than 8 frames apart). It is
# an alignment as in notebooks 01 and 02: it only moves right and down, and it has gaps wherever one view took
# a frame that the other left out. Those gaps come from the sampler. An aligner that learns its gap penalties
# from such pairs learns how often the *sampler* drops a frame, not how people differ in tempo; notebook 07
# takes that up. $A^*$ is also stricter than need be: a frame next to the right one is nearly right, so the
# contrastive loss takes a Gaussian around $s^u_i = s^v_j$ for its target.
#
# ## 5. What augmentation does to frames
#
# Two views of one video show the same puppet in the same clothes and the same room. To match them, an encoder
# does not have to understand the action: it may go by any patch of colour that moves. Such a cue is worth
# nothing on the next puppet. How much colour says about *whose* clip a frame is, and how little about *when*,
# we can measure: take the mean colour of every frame, and ask which share of its variance lies between clips.


# %%
def share_between(groups):
    """Share of the variance of x [G, k, 3] that lies between the means of the G groups."""
    x = np.stack(groups)
    return x.mean(axis=1).var(axis=0).sum() / x.reshape(-1, 3).var(axis=0).sum()


# %%
spread = [clip.values[np.linspace(0, len(clip) - 1, 32).astype(int)] for clip in clips.values()]
colours = [picture.mean(axis=(1, 2)) / 255 for picture in spread]
print(len(colours), "clips,", colours[0].shape, "mean colours of each")
print(f"variance between clips: {share_between(colours):.1%} of all")
assert share_between(colours) > 0.95

# %% [markdown]
# So the views are changed: cropped, mirrored, their colour channels shuffled, made grey, brighter or darker.
# `FrameAugmentation` leaves that to kornia, a library of image operations for PyTorch. It expects views as
# [B, T, 3, H, W], channels first.

# %%
from lacbook.data.transforms import FrameAugmentation

augment = FrameAugmentation(size=96)


def channels_first(values):
    """uint8 [T, H, W, 3] to a batch of one view, [1, T, 3, H, W]."""
    return torch.from_numpy(values).permute(0, 3, 1, 2)[None]


# %%
def pictures_of(views):
    """The first of the views [B, T, 3, H, W], floats in [0, 1], as uint8 [T, H, W, 3]."""
    return (255 * views[0]).round().byte().permute(0, 2, 3, 1).numpy()


# %%
torch.manual_seed(0)
view = channels_first(a.values)
print(tuple(view.shape), "->", tuple(augment(view).shape), augment(view).dtype)

# %% [markdown]
# The same frames of A under four draws.

# %% tags=["thumbnail"]
torch.manual_seed(1)
chosen = a.events[0] + np.arange(-8, 32, 5)
rows = [a.values[chosen]] + [pictures_of(augment(view[:, chosen])) for _ in range(4)]
_ = plot_frame_grid(rows, names=["original", *(f"draw {k}" for k in range(1, 5))])

# %% [markdown]
# After this, the mean colour tells less about the clip: several draws of the same clip differ.

# %%
torch.manual_seed(0)
changed = []
for values in spread:
    draws = [augment(channels_first(values))[0] for _ in range(4)]
    changed.append(torch.cat(draws).mean(dim=(2, 3)).numpy())
print(f"variance between clips: {share_between(changed):.1%} of all, before {share_between(colours):.1%}")
assert share_between(changed) < 0.85

# %% [markdown]
# It is not all gone. The set is a cheaper one than SimCLR's, which CARL and LAC use: it leaves out hue,
# saturation, contrast and blur, hue and saturation because they are slow on a CPU, and shuffles the channels
# instead.
#
# **One draw for a whole view.** What must survive is the order in time: what changes from frame to frame has
# to be the action, and nothing else. So all frames of a view share one draw of the parameters
# (`same_on_frame=True` in kornia). If every frame is augmented by itself instead, we get this.

# %%
torch.manual_seed(5)
together = augment(view)
each_alone = augment(view[0][:, None])[:, 0][None]  # every frame a view of its own
rows = [pictures_of(views[:, chosen]) for views in (view / 255, together, each_alone)]
_ = plot_frame_grid(rows, names=["original", "one draw", "a draw a frame"])


# %%
def flicker(views):
    """Mean absolute change of a pixel from one frame to the next."""
    return float(views.diff(dim=1).abs().mean())


# %%
original = flicker(view / 255)
for name, views in (("one draw", together), ("a draw a frame", each_alone)):
    ratio = flicker(views) / original
    print(f"{name:15} changes {ratio:5.2f} times as much from frame to frame as the original")
assert flicker(together) < 2 * original
assert flicker(each_alone) > 10 * original

# %% [markdown]
# The action drowns in the flicker. Here is the rule as a check: in a still video all frames are equal, and
# after one draw they still are.

# %%
still = view[:, :1].expand(1, 6, 3, 96, 96).contiguous()
for seed in range(10):
    torch.manual_seed(seed)
    after = augment(still)
    assert torch.equal(after, after[:, :1].expand_as(after))
print("ten draws:", tuple(after.shape), "all frames of a still view stay equal")

# %% [markdown]
# Every augmentation is a statement: "this makes no difference". A mirrored view says that left and right make
# none; an encoder trained with it should give a left-handed throw the embedding of a right-handed one. That
# is what we want here. For an action that is defined by its side it would be wrong. A reversed view would say
# that the direction of time makes none, and is out of the question.
#
# ## 6. Poses
#
# Puppets also come as 17 joints, as a pose estimator would give them: x and y of each, y down, with the
# pelvis at the origin and the body's height as unit. So a pose knows neither the place in the picture nor the
# size of the puppet, and no colours at all. The right arm and leg are blue.

# %%
from lacbook.data.puppet_motion import JOINTS

pose_clips = load_puppets(split="test", action="throw", modality="poses")
poses = {clip.video_id: clip.values for clip in pose_clips}["throw_s22_1"]
joints = poses.reshape(len(poses), -1, 2)
print("poses:", poses.shape, "=", joints.shape, poses.dtype)
assert np.allclose(joints[:, JOINTS.index("pelvis")], 0)
height = np.ptp(joints[..., 1], axis=1)
print(f"from head to toe: {height.min():.2f} to {height.max():.2f} body heights")

# %% [markdown]
# It is less than one body height even of a puppet that stands upright, since the joints lie inside: "head" is
# the middle of the head, not its crown, and the toe is above the sole.

# %%
RIGHT = [edge for edge in PUPPET_EDGES if JOINTS[edge[1]].startswith("r_")]
OTHERS = [edge for edge in PUPPET_EDGES if edge not in RIGHT]


def draw_sides(joints, ax, captions=None):
    """Stick figures with the right arm and leg in blue."""
    plot_poses(joints, edges=RIGHT, colors=[ACCENT] * len(joints), ax=ax)
    return plot_poses(joints, edges=OTHERS, captions=captions, ax=ax)


# %%
_, axes = plt.subplots(2, 1, figsize=(9, 3), layout="constrained")
plot_frame_grid([a.values[chosen]], ax=axes[0])
_ = draw_sides(joints[chosen], axes[1], captions=[f"frame {k}" for k in chosen])

# %% [markdown]
# What may be changed in a pose? A camera that stands elsewhere sees the puppet turned by an angle $\alpha$.
# The full rule is $x\cos\alpha + z\sin\alpha$, with the depth $z$. A picture does not hold the depth, so all
# we can do is shrink the width by $\cos\alpha$: a stand-in, exact only for a flat body that faces the camera.
# Bodies differ in size, so a scale $s$; and the mirror of section 5, $m = \pm 1$. All three together are one
# small matrix, the same for all joints and frames of a view,
#
# $$ (x', y') = s\,(m \cos\alpha \cdot x,\; y) + \text{noise}, $$
#
# and only the noise is drawn for each number, a rough stand-in for the errors of a pose estimator.


# %%
def change_poses(poses, mirror, angle, scale):
    """The matrix above applied to a view of poses [T, 34]; without noise."""
    matrix = torch.diag(torch.stack([scale * mirror * angle.cos(), scale]))
    return (poses.reshape(len(poses), -1, 2) @ matrix).reshape(poses.shape)


# %% [markdown]
# `PoseAugmentation` draws the parameters from its promised ranges: up to 30 degrees, scales from 0.9 to 1.1,
# and a mirror half of the time. It does not tell what it drew, but we can find out: the joints before and
# after are related by a 2 x 2 matrix, and least squares gives it.

# %%
from lacbook.data.transforms import PoseAugmentation

torch.manual_seed(0)
before = torch.from_numpy(poses).expand(200, *poses.shape).contiguous()
after = PoseAugmentation(coordinates=2)(before)
print("poses:", tuple(before.shape), "->", tuple(after.shape))
X, Y = (views.reshape(200, -1, 2) for views in (before, after))
matrices = torch.linalg.lstsq(X, Y).solution
print("one of the matrices:", matrices[0].double().numpy().round(3).tolist())

# %%
scale = matrices[:, 1, 1]
narrowed = matrices[:, 0, 0] / scale
noise = (Y - X @ matrices).std()
for name, found in (("scale", scale), ("width", narrowed.abs())):
    print(f"{name} {found.min():.3f} to {found.max():.3f}")
print(f"mirrored {(narrowed < 0).float().mean():.0%} of the views, noise {noise:.4f} body heights")
assert scale.min() > 0.9 - 0.02
assert scale.max() < 1.1 + 0.02
assert narrowed.abs().min() > np.cos(np.pi / 6) - 0.02
assert narrowed.abs().max() < 1 + 0.02
assert matrices[:, [0, 1], [1, 0]].abs().max() < 0.02  # x does not get into y, nor y into x
assert abs(noise - 0.01) < 0.001

# %% [markdown]
# Within the noise, all is in its range, and x and y stay apart. Without noise our function must give the
# package's result up to rounding, once it is told the parameters. We also fit the first and the second half
# of each view separately: the matrix is the same, so it was drawn once for the view.

# %%
torch.manual_seed(1)
quiet = PoseAugmentation(coordinates=2, noise=0)(before[:20])
for view_before, view_after in zip(before, quiet, strict=False):
    X, Y = view_before.reshape(-1, 2), view_after.reshape(-1, 2)
    fit, first, second = (
        torch.linalg.lstsq(X[part], Y[part]).solution for part in (slice(None), slice(800), slice(800, None))
    )
    assert torch.allclose(first, second, atol=1e-3)
    s, mirror = fit[1, 1], fit[0, 0].sign()
    angle = torch.acos((fit[0, 0].abs() / s).clamp(max=1))
    assert torch.allclose(change_poses(view_before, mirror, angle, s), view_after, atol=1e-4)
print("20 views: one matrix each, and our function agrees")

# %%
shown = [joints[chosen[4]]] + [views[chosen[4]].reshape(-1, 2).numpy() for views in after[:7]]
_, ax = plt.subplots(figsize=(9, 2), layout="constrained")
_ = draw_sides(np.stack(shown), ax, captions=["original", *(f"draw {k}" for k in range(1, 8))])

# %% [markdown]
# Look at the blue arm. The mirror flips the picture and leaves the names: the joint called "right wrist" is
# still the one that throws. A person in a mirror would throw with the left. Exercise 4 is about the
# difference.
#
# ## 7. Motion capture, if you have it
#
# The joints of Puppets are rendered. UI-PRMD holds real ones: ten people doing physical-therapy exercises,
# recorded by cameras that follow markers on the body, in three dimensions. It does not come with the package
# (the README describes the files). Set the environment variable `LACBOOK_UI_PRMD` to the folder with the
# packed files, or put the path into the cell below.

# %%
import os

from lacbook.data.ui_prmd import load_ui_prmd

root = os.environ.get("LACBOOK_UI_PRMD")  # or the path of your folder
if root:
    squats = load_ui_prmd(root, movement="deep_squat", idle=30)
    mocap = torch.from_numpy(squats[0].values)
    print(len(squats), "deep squats; the first:", tuple(mocap.shape), "key events at", squats[0].events)
else:
    print("UI-PRMD is not here. Nothing later needs it: go on with section 8.")

# %% [markdown]
# In three dimensions a turn about the vertical needs no stand-in: it *is* a rotation, so but for the common
# scale it keeps all distances between the markers. We draw poses from the side, x to the right and z up: six
# moments of a squat in black, then the same after one draw of the augmentation in blue.

# %%
TRUNK = [(0, 1), (2, 3), (2, 6), (3, 9), (6, 10), (9, 10)]  # head to neck, collar bone, shoulders, pelvis
ARMS = [(1, 3), (3, 4), (4, 5), (1, 6), (6, 7), (7, 8)]
LEGS = [(9, 11), (11, 12), (12, 13), (10, 14), (14, 15), (15, 16)]
if root:
    turned = PoseAugmentation(coordinates=3, noise=0)(mocap[None])[0]
    before, after = (views.reshape(len(mocap), -1, 3) for views in (mocap, turned))
    size = (after[..., 2] / before[..., 2]).median()
    assert torch.allclose(torch.cdist(after, after), size * torch.cdist(before, before), atol=1e-3)
    moments = np.linspace(0, len(mocap) - 1, 6).astype(int)
    both = torch.cat([before[moments], after[moments]])
    seen, shades = both[..., [0, 2]] * torch.tensor([1, -1]), [INK] * 6 + [ACCENT] * 6
    captions = [f"frame {k}" for k in moments] * 2
    plot_poses(seen, edges=TRUNK + ARMS + LEGS, colors=shades, captions=captions)

# %% [markdown]
# ## 8. Padding and masks
#
# A network works on batches, and a batch is one array. Clips have different lengths, and so do views, since
# short clips give short ones. So each is filled up with zeros to the longest, and the true lengths travel
# along.


# %%
def my_pad(sequences):
    """Values [B, max T, ...] with zeros past each end, and lengths [B]."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    values = torch.zeros(len(sequences), int(lengths.max()), *sequences[0].shape[1:])
    for k, sequence in enumerate(sequences):
        values[k, : len(sequence)] = torch.from_numpy(sequence)
    return values, lengths


# %%
from lacbook.padding import pad, valid_cells, valid_mask

three = [clip.values for clip in pose_clips[2:7:2]]
ours, lengths = my_pad(three)
package, same_lengths = pad(three)
assert torch.equal(ours, package)
assert torch.equal(lengths, same_lengths)
print([len(clip) for clip in three], "->", tuple(ours.shape), "lengths", lengths.tolist())

# %% [markdown]
# A **mask** says which frames are real. It is a comparison with the lengths. For a pair of videos, a cell of
# the similarity matrix is real where both frames are.

# %%
mask = torch.arange(ours.shape[1]) < lengths[:, None]
assert torch.equal(mask, valid_mask(lengths, ours.shape[1]))
cells = mask[0][:, None] & mask[1][None, :]
pair = torch.stack([lengths[0], lengths[1]])[None]
assert torch.equal(cells, valid_cells(pair, *cells.shape)[0])
print("mask:", tuple(mask.shape), "real frames", mask.sum().item(), "of", mask.numel())
print("cells:", tuple(cells.shape), "real", cells.sum().item(), "of", cells.numel())

# %% [markdown]
# In training, `TwoViews` draws the pairs. It is an ordinary PyTorch data set; its draws depend on seed, epoch
# and clip alone, so that a run that was interrupted resumes with the same views. How long a view is, is drawn
# too, from half of `view_length` up to all of it. `collate` pads B pairs into one batch: first the u views of
# all clips, then the v views.

# %%
from lacbook.data.sampling import TwoViews, collate

some = [clip for clip in clips.values() if clip.video_id in ("throw_s22_1", "throw_s24_1", "throw_s25_2")]
pairs = TwoViews(some, view_length=64, seed=1)
batch, steps, lengths = collate([pairs[k] for k in range(len(pairs))])
print("views", tuple(batch.shape), "steps", tuple(steps.shape), "lengths", lengths.tolist())

# %%
columns = np.arange(0, batch.shape[1], 5)
real = valid_mask(lengths, batch.shape[1])[:, columns]
_ = plot_frame_grid(
    list(batch[:, columns].permute(0, 1, 3, 4, 2)),
    names=[f"clip {k}, {view}" for view in "uv" for k in range(3)],
    captions=[
        [str(step.item()) if is_real else "padding" for step, is_real in zip(*pair, strict=True)]
        for pair in zip(steps[:, columns], real, strict=True)
    ],
)

# %% [markdown]
# Every fifth frame of the batch, with its number in the clip; what is black is padding. Rows k and k + 3 are
# the two views of a clip.
#
# **The mistake to avoid** is to compute something over padding. The mean over time is the classic one.

# %%
brightness = batch.float().mean(dim=(2, 3, 4)) / 255
valid = valid_mask(lengths, batch.shape[1])
over_all = brightness.mean(dim=1)
over_real = torch.where(valid, brightness, 0).sum(dim=1) / lengths
of_clips = torch.tensor([clip.values.mean() / 255 for clip in some] * 2, dtype=torch.float32)
print("u views of three clips, then v views; mean brightness")
for name, means in (("all positions", over_all), ("real frames", over_real), ("whole clip", of_clips)):
    print(f"{name:13}: {means.numpy().round(2)}")
assert torch.allclose(over_real, of_clips, atol=0.01)
assert (over_all - of_clips).abs().max() > 0.1

# %% [markdown]
# A clip hardly changes its brightness, and the masked mean of each view is that of its clip. The plain mean
# says how much padding a view happened to get. The encoder of the package needs a masked mean, since it
# compares each frame with the mean frame of its clip.

# %%
from lacbook.models.encoder import EncoderConfig, VideoEncoder, mean_over_time

assert torch.allclose(mean_over_time(brightness[..., None], valid)[:, 0, 0], over_real)

# %% [markdown]
# Hiding padding by zeros is fragile: something that is added to all frames, such as a position or a bias,
# makes it non-zero. The rule here is stricter: **padding is never read**. It can be tested. NaN spreads into
# everything that is computed from it, even into `0 * NaN`. So we fill the padding with NaN, and nothing may
# change, first in the encoder.

# %%
torch.manual_seed(0)
encoder = VideoEncoder(EncoderConfig(frame_encoder="conv")).eval()
shrunk = torch.nn.functional.avg_pool3d(batch.float() / 255, (1, 3, 3))
poisoned = torch.where(valid[:, :, None, None, None], shrunk, torch.nan)
with torch.no_grad():
    z, z_poisoned = (encoder(values, lengths) for values in (shrunk, poisoned))
print("embeddings:", tuple(z.shape), " NaN in the input:", poisoned.isnan().sum().item())
assert poisoned.isnan().any()
assert torch.equal(z[valid], z_poisoned[valid])

# %% [markdown]
# Then in the alignment of each pair of views.

# %%
from lacbook import soft_smith_waterman
from lacbook.similarity import cosine

S = cosine(z[:3], z[3:], 0.5)
both = torch.stack([lengths[:3], lengths[3:]], dim=1)
real_cells = valid_cells(both, *S.shape[1:])
S_poisoned = torch.where(real_cells, S, torch.nan)
clean, soft = (soft_smith_waterman(x, 0.2, 0.1, temperature=0.1, lengths=both) for x in (S, S_poisoned))
print("similarity:", tuple(S.shape), " NaN:", S_poisoned.isnan().sum().item())
assert S_poisoned.isnan().any()
assert torch.equal(clean.score, soft.score)
assert torch.equal(clean.posterior, soft.posterior)
assert (soft.posterior[~real_cells] == 0).all()

# %% [markdown]
# Equal to the last bit, and the posterior is zero where there is nothing to match.
#
# ## 9. Exercises
#
# **Exercise 1.** Write `overlapping_views(length, view_length, share, rng)`: two views as those of
# `two_views`, sorted and of the same size, that have at least the given share of their frames in common. The
# check draws many of them. It wants views that begin at different frames and skip some, pairs that are
# seldom equal, and pairs that are less alike when a smaller share is enough.

# %%
# exercise 1
overlapping_views = None

# %%
from lacbook.course import check


def fits(pair, length, n, share):
    """Whether both views are n sorted frames of the clip, and alike enough."""
    sound = all(len(view) == n and np.diff(view).min() > 0 for view in pair)
    inside = all(view[0] >= 0 and view[-1] < length for view in pair)
    return sound and inside and np.intersect1d(*pair).size >= share * n


# %%
def varied(drawn, length):
    """Whether most views skip frames, few pairs are equal, and views begin nearly anywhere."""
    skipping = np.mean([np.diff(view).max() > 1 for pair in drawn for view in pair])
    equal = np.mean([np.array_equal(u, v) for u, v in drawn])
    starts = min(len({int(pair[k][0]) for pair in drawn}) for k in range(2))
    return skipping > 0.8 and equal < 0.2 and starts > 0.4 * length


# %%
def good_sampler(f):
    """Whether many pairs fit and vary, and a smaller share makes them less alike."""
    rng, mean_share = np.random.default_rng(0), {}
    for length, n, share in ((100, 20, 0.7), (60, 16, 0.5), (100, 20, 0.3)):
        drawn = [f(length, n, share, rng) for _ in range(200)]
        if not (all(fits(pair, length, n, share) for pair in drawn) and varied(drawn, length)):
            return False
        mean_share[share] = np.mean([np.intersect1d(u, v).size / n for u, v in drawn])
    return mean_share[0.3] < mean_share[0.7] - 0.05


check(overlapping_views, good_sampler)

# %% [markdown]
# **Exercise 2.** Real videos come with key events at best, not with canonical time. Write `same_moment(a, b,
# i)`: from `a.events` and `b.events` alone, which frame of clip B shows the same moment as frame `i` of clip
# A (a number, or an array for an array)? The check hands over clips without canonical time and compares the
# result with it on all pairs of test clips; to be right, it must be off by less than a frame on average.

# %%
# exercise 2
same_moment = None


# %%
from dataclasses import replace
from itertools import permutations


def frames_off(f):
    """Mean distance, in frames, from the partner that canonical time gives; over all pairs of clips."""
    off = []
    for a, b in permutations(pose_clips, 2):
        i = np.flatnonzero(a.active)
        truth = np.nanargmin(np.abs(a.time[i, None] - b.time[None, :]), axis=1)
        blind = [replace(clip, time=np.full(len(clip), np.nan)) for clip in (a, b)]
        off.append(np.abs(f(*blind, i) - truth).mean())
        off.append(abs(float(f(*blind, int(i[5]))) - truth[5]))
    return np.mean(off)


# %%
check(same_moment, lambda f: frames_off(f) < 1)

# %% [markdown]
# **Exercise 3.** Write `masked_mean(values, lengths)`: the mean over the real frames of a padded batch [B, T,
# ...], one for each of B, [B, ...]. Padding is never read, not even if it is NaN.

# %%
# exercise 3
masked_mean = None

# %%
check(
    masked_mean,
    lambda f: all(
        torch.allclose(
            f(values, lengths),
            torch.stack([x[:n].mean(dim=0) for x, n in zip(values, lengths, strict=True)]),
            atol=1e-5,
        )
        for values in (shrunk, poisoned, S_poisoned.new_ones(6, 70), z_poisoned)
    ),
)

# %% [markdown]
# **Exercise 4.** A person in a mirror looks left-handed. Write `mirror_person(joints)`: the joints [T, 17, 2]
# of the mirrored *person*, in which what is called right wrist is again the wrist on the person's own right
# side. `JOINTS` has the names. What do you get if you do it twice?

# %%
# exercise 4
mirror_person = None


# %%
def mirrored_well(f):
    """Whether every joint of the mirrored person is the flipped one of the other side."""
    result = f(joints.copy())
    other = {name: {"r": "l", "l": "r"}[name[0]] + name[1:] if "_" in name else name for name in JOINTS}
    flipped = [joints[:, JOINTS.index(other[name])] * [-1, 1] for name in JOINTS]
    return np.allclose(result, np.stack(flipped, axis=1)) and np.allclose(f(result), joints)


check(mirror_person, mirrored_well)

# %% [markdown]
# Solutions are in `notebooks/solutions/06_videos_and_views.py`.

# %% [markdown]
# ## References
#
# - PyAV documentation, pyav.basswood-io.com; FFmpeg documentation, ffmpeg.org: containers, packets, time
#   stamps.
# - M. Chen, F. Wei, C. Li, D. Cai, *Frame-wise Action Representations for Long Videos via Sequence
#   Contrastive Learning* (CARL), CVPR 2022, arXiv 2203.14957: two views of one video, sampled in time and
#   augmented.
# - T. Chen, S. Kornblith, M. Norouzi, G. Hinton, *A Simple Framework for Contrastive Learning of Visual
#   Representations* (SimCLR), ICML 2020, arXiv 2002.05709: the set of augmentations that CARL takes over.
# - E. Riba, D. Mishkin, D. Ponsa, E. Rublee, G. Bradski, *Kornia: an Open Source Differentiable Computer
#   Vision Library for PyTorch*, WACV 2020, arXiv 1910.02190: the augmentations used here.
# - A. Vakanski, H. Jun, D. Paul, R. Baker, *A Data Set of Human Body Movements for Physical Rehabilitation
#   Exercises*, Data 3(1), 2018: UI-PRMD.
# - K. Oei, A. Gomaa, A. M. Feit, J. Belo, arXiv 2409.04607, 2024: LAC. The rule of section 3 is that of the
#   code released in September 2024.
#
# **Next**: notebook 07 builds the loss that learns from two such views.
