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
# # 08 Train the encoder
#
# **You will build** a transformer over time with rotary positions, and the training loop around it, both in a
# few lines and both equal to what the package runs. Then you train on video, watch the loss while it falls,
# stop a run and take it up again.
#
# **You will learn** which frames an encoder can see and how to find out, what a checkpoint has to hold so
# that nothing shows that a run was ever stopped, and how position codes let an encoder score high by counting
# frames.
#
# **Prerequisites**: notebook 06 (views, augmentations, padding) and notebook 07 (the loss).
#
# **Time**: the notebook runs in about 90 seconds on a CPU and reads in about 60 minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from lacbook.viz import use_theme
from lacbook.viz.style import ACCENT

use_theme(photos=True)
torch.set_num_threads(
    1
)  # for networks this small, threads that wait for each other cost more than they bring

# %% [markdown]
# ## 1. What arrives in a batch
#
# We work with the squats of Puppets, once as frames and once as poses. The frames, of 48 x 48 pixels, are
# what we train on in the end. The poses, 17 joints with two coordinates each, need so little computing that
# we can afford to experiment.

# %%
from lacbook.data.puppets import load_puppets

frames = load_puppets(action="squat", size=48)
poses = load_puppets(action="squat", modality="poses")
train = [clip for clip in poses if clip.split == "train"]
print(f"{len(poses)} clips, {len(train)} of them for training")
print("the first as frames:", frames[0].values.shape, " as poses:", poses[0].values.shape)

# %% [markdown]
# Notebook 06 built the batch: two views of each clip, padded to the length of the longest. The first half of
# a batch holds the first views, the second half the second ones, so clip 0 is in row 0 and, with four clips
# in a batch, in row 4. `steps` says which frames of its clip each view shows, and `lengths` how many are
# real.

# %%
from torch.utils.data import DataLoader

from lacbook.data.sampling import TwoViews, collate

dataset = TwoViews(train, view_length=64, seed=0)
clips, steps, lengths = next(iter(DataLoader(dataset, batch_size=4, collate_fn=collate)))
print("clips:", tuple(clips.shape), " steps:", tuple(steps.shape), " lengths:", lengths.tolist())
print("clip 0, first view: ", steps[0, :8].tolist(), "...")
print("clip 0, second view:", steps[4, :8].tolist(), "...")

# %% [markdown]
# One property of `TwoViews` matters later: a view is drawn from the seed, the epoch and the number of the
# clip, and from nothing else. Ask twice, and you get the same frames. Another epoch gives others.

# %%
once, again = dataset[3], dataset[3]
dataset.epoch = 1
later = dataset[3]
dataset.epoch = 0
assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(once, again, strict=True))
assert not np.array_equal(once[0][1], later[0][1])
print("epoch 0:", once[0][1][:8], " epoch 1:", later[0][1][:8])

# %% [markdown]
# ## 2. The encoder
#
# The encoder has four parts. It turns every frame into a *feature* by itself; it makes the features of a clip
# comparable with those of others; a transformer lets the frames of a clip inform each other; a linear layer
# and a division by the length give the embedding, a vector of length 1.
#
# ### What does not change says nothing of time
#
# Most of what is in a frame stays the same for the whole clip: the room, the clothes, the build of the
# person. It says nothing about *when* in the action a frame is, yet it makes up nearly all of the pixels. So
# the encoder first takes from each pixel its mean over the clip, and looks at how far the pixel is from it.

# %%
from lacbook.viz import plot_frame_grid

clip, shown = frames[0], [0, 14, 17, 20, 26, 30, 33]
change = np.abs(clip.values.astype(float) - clip.values.mean(axis=0))
rows = [clip.values[shown], np.clip(3 * change[shown], 0, 255).astype(np.uint8)]  # three times as bright
_, ax = plt.subplots(figsize=(8, 2.2), layout="constrained")
_ = plot_frame_grid(rows, names=["frames", "what changes"], ax=ax)

# %% [markdown]
# So we may add any fixed picture to all frames of a clip: for the encoder nothing has happened. (These
# weights are random; none of it needs training.)

# %%
from lacbook.models.encoder import EncoderConfig, VideoEncoder

torch.manual_seed(0)
sees_frames = VideoEncoder(EncoderConfig(frame_encoder="conv")).eval()
video = torch.from_numpy(frames[0].values).permute(0, 3, 1, 2)[None] / 255
wallpaper = torch.rand(3, 48, 48)
with torch.no_grad():
    plain, papered = (sees_frames(v, torch.tensor([video.shape[1]])) for v in (video, video + wallpaper))
print("embeddings:", tuple(plain.shape), f" moved by at most {(plain - papered).abs().max():.1e}")
assert torch.allclose(plain, papered, atol=1e-3)

# %% [markdown]
# The features get the same treatment, and one step more. From each feature its mean over the clip is taken,
# and then it is divided by $\sqrt{\text{variance} + 0.01}$. A feature that varies much ends up with a
# variance near 1. One that hardly varies stays small, instead of having its noise blown up. Both steps are
# there to help training along in the few hundred steps that a laptop has time for.

# %%
from lacbook.models.encoder import standardise_over_time
from lacbook.padding import valid_mask

torch.manual_seed(0)
encoder = VideoEncoder(EncoderConfig(frame_encoder="pose"), pose_dim=34).eval()
valid = valid_mask(lengths, clips.shape[1])
with torch.no_grad():
    per_frame = encoder.frames(clips)
    features = standardise_over_time(per_frame, valid)
x = per_frame[0, valid[0]]  # of the first view
by_hand = (x - x.mean(dim=0)) / (x.var(dim=0, correction=0) + 0.01).sqrt()
print("features:", tuple(features.shape), " of the first view:", tuple(x.shape))
assert torch.allclose(by_hand, features[0, valid[0]], atol=1e-5)

# %% [markdown]
# ### Rotary positions
#
# A single frame of a squat on its way down looks much like one on the way up. To tell them apart, a frame has
# to know what comes before and after it, and *attention* is how it asks. From each feature we make a query
# $q_t$, a key $k_t$ and a value $v_t$. Frame $t$ then takes a mean of all values, weighted by
# $\operatorname{softmax}_s(q_t \cdot k_s / \sqrt d)$.
#
# This mean knows nothing of order: shuffle the frames, and the same values come out in another order. So
# something has to tell the encoder about time. *Rotary* positions (Su et al.) turn the query and the key of
# frame $t$ before they are multiplied: features $c$ and $c + d/2$ form a point in a plane, and it is turned
# by the angle $t\,\omega_c$ with $\omega_c = 10000^{-2c/d}$.


# %%
def rotated(x, first=0):
    """Queries or keys [..., T, d], turned; the first frame has the number `first`."""
    half = x.shape[-1] // 2
    t = first + torch.arange(x.shape[-2])
    angle = t[:, None] * 10_000.0 ** (-torch.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], dim=-1)


# %% [markdown]
# Why turn them? If one point is turned by $t\,\omega$ and the other by $s\,\omega$, their product depends on
# the difference of the angles, $(t - s)\,\omega$, alone. A frame sees how far away another one is, and in
# which direction; it does not see its own number. To make that visible, we give all frames the same query and
# the same key, so that only the turning is left.

# %%
torch.manual_seed(1)
q, k = (torch.randn(1, 32).repeat(60, 1) for _ in range(2))
product = rotated(q) @ rotated(k).T
print("products:", tuple(product.shape))
for distance in (-20, 0, 7):
    diagonal = product.diagonal(distance)
    assert torch.allclose(diagonal, diagonal[0], atol=1e-3)
assert torch.allclose(product, rotated(q, first=25) @ rotated(k, first=25).T, atol=1e-3)

# %%
_, axes = plt.subplots(1, 2, figsize=(8.5, 3), layout="constrained")
axes[0].imshow(product, cmap="vlag")
axes[0].set(xlabel="frame s of the key", ylabel="frame t of the query", title="Constant along diagonals")
for t in (5, 30, 55):
    axes[1].plot(np.arange(60) - t, product[t], label=f"query of frame {t}", lw=4 - t / 20)
axes[1].set(xlabel="distance s - t (frames)", ylabel="product", title="The same curve for every frame")
_ = axes[1].legend(fontsize="small")

# %% [markdown]
# ### A block, by hand
#
# Several *heads* do this side by side, each on its own part of the features. The `block` below is one of the
# package's, and we use its weights: `qkv` makes queries, keys and values, `out` mixes what the heads found.
# Frames in the padding get the weight 0 by way of a score of $-\infty$.


# %%
def attention(x, block, valid, first=0):
    """What the other frames of the clip contribute to each frame; [B, T, d] -> [B, T, d]."""
    q, k, v = (
        part.unflatten(-1, (block.heads, -1)).transpose(1, 2)  # [B, heads, T, d / heads]
        for part in block.qkv(x).chunk(3, dim=-1)
    )
    scores = rotated(q, first) @ rotated(k, first).mT / q.shape[-1] ** 0.5  # [B, heads, T, T]
    weights = scores.masked_fill(~valid[:, None, None, :], -torch.inf).softmax(dim=-1)
    return block.out((weights @ v).transpose(1, 2).flatten(2))


# %% [markdown]
# A block adds to each feature what attention brings, and then what a small network (`hidden`) makes of it,
# frame by frame. Both look at normalised features. The transformer is a stack of such blocks.


# %%
def transform(features, transformer, valid, first=0):
    """Features that know their clip; [B, T, d] -> [B, T, d]. Without dropout."""
    x = torch.where(valid[:, :, None], features, 0)
    for block in transformer.blocks:
        x = x + attention(block.norm_attention(x), block, valid, first)
        x = x + block.hidden(block.norm_hidden(x))
    return transformer.norm(x)


# %%
with torch.no_grad():
    ours = transform(features, encoder.transformer, valid)
    package = encoder.transformer(features, lengths)
    embeddings = torch.nn.functional.normalize(encoder.embed(ours), dim=-1)
    assert torch.allclose(ours[valid], package[valid], atol=1e-5)
    assert torch.allclose(embeddings[valid], encoder(clips, lengths)[valid], atol=1e-5)
    moved = transform(features, encoder.transformer, valid, first=50)
print("embeddings:", tuple(embeddings.shape))
print(f"all frames 50 later: features move by at most {(moved - ours)[valid].abs().max():.1e}")
assert torch.allclose(moved[valid], ours[valid], atol=1e-3)

# %% [markdown]
# The last check says it for the whole transformer: were the clip to begin 50 frames later, every embedding
# would be the same. Do not read too much into it, though. A clip has two ends, and a frame near the first one
# has nothing before it. So a rotary encoder *can* find out where in the clip it is, if that pays. It is just
# not told. And leaving the positions out altogether is no way out, because then the order of the frames makes
# no difference at all:

# %%
torch.manual_seed(0)
orderless = VideoEncoder(EncoderConfig(frame_encoder="pose", positions="none"), pose_dim=34).eval()
shuffle = torch.randperm(int(lengths[0]))
with torch.no_grad():
    straight, shuffled = (
        orderless(clips[:1, order], lengths[:1]) for order in (torch.arange(len(shuffle)), shuffle)
    )
assert torch.allclose(straight[:, shuffle], shuffled, atol=1e-4)
print("without positions, a shuffled clip has the same embeddings, shuffled")

# %% [markdown]
# ### Who sees whom
#
# A batch holds several clips in one array, and it takes one wrong axis for a clip to be mixed with its
# neighbours. Nothing would crash, and the loss would still fall. So we ask the model itself: change one frame
# of the input and see which frames of the output move. For three short clips, the second padded, that makes a
# matrix.


# %%
def effect(model, x):
    """How far output frame g moves when input frame f is changed, [B T, B T], of features x [B, T, d]."""
    before, rows = model(x).flatten(0, 1), []
    for f in range(x.shape[0] * x.shape[1]):
        changed = x.clone()
        changed.view(-1, x.shape[-1])[f] += torch.linspace(-1, 1, x.shape[-1])
        rows.append((model(changed).flatten(0, 1) - before).norm(dim=-1))
    return torch.stack(rows)


# %%
sizes, few = torch.tensor([12, 9, 12]), features[:3, :12]
real = valid_mask(sizes, 12).flatten()
with torch.no_grad():
    effects = {
        "Axes as they should be": effect(lambda x: encoder.transformer(x, sizes), few),
        "Clips and frames swapped": effect(
            lambda x: encoder.transformer(x.transpose(0, 1), torch.full((12,), 3)).transpose(0, 1), few
        ),
    }
own_clip = torch.block_diag(*[torch.ones(12, 12)] * 3).bool()
right = effects["Axes as they should be"]
assert (right[own_clip & real & real[:, None]] > 0).all()  # a frame sees all frames of its clip,
assert (right[~own_clip] == 0).all()  # none of another,
assert (right[~real][:, real] == 0).all()  # and no padding

# %%
_, axes = plt.subplots(1, 2, figsize=(8.5, 4), layout="constrained")
for ax, (name, moved) in zip(axes, effects.items(), strict=True):
    ax.imshow(moved.masked_fill(~real, torch.nan).sqrt(), cmap="rocket_r", vmin=0)
    ax.set(title=name, xlabel="frame whose feature moves", ylabel="frame that was changed")
    for edge in (11.5, 23.5):
        ax.axhline(edge, color="0.5", lw=1)
        ax.axvline(edge, color="0.5", lw=1)
    ax.set_xticks([5.5, 17.5, 29.5], ["clip 1", "clip 2", "clip 3"])
    ax.set_yticks([5.5, 17.5, 29.5], ["clip 1", "clip 2", "clip 3"], rotation=90, va="center")

# %% [markdown]
# On the left, each clip is a world of its own, and the padding of the second clip (its last three rows; the
# columns are left white) moves nothing. On the right is the same transformer with the axes of clips and
# frames swapped: a frame sees the frames with the same number in *other* clips, and of its own clip only
# itself. The code released with LAC does this, because `nn.TransformerEncoder` expects time on the first axis
# unless told otherwise. Notebook 14 has the details. Exercise 1 asks for a test that finds such faults.

# %% [markdown]
# ## 3. The loop
#
# Training repeats a few lines: embed the views, compare them with the loss, clear the old gradient and take
# the new one, limit its length, let Adam make a step, set the next learning rate. Adam scales the step of
# each weight by what its gradients have been so far. The learning rate rises over the first twentieth of the
# run and then falls to 0 along a cosine: at the start Adam knows little of the gradients, and at the end
# smaller steps let the weights settle.


# %%
def warm_cosine(steps):
    """Factor on the learning rate at each step of a run."""
    rise = max(1, round(0.05 * steps))
    return lambda step: min(
        (step + 1) / rise, 0.5 * (1 + np.cos(np.pi * max(0, step - rise) / max(1, steps - rise)))
    )


_, ax = plt.subplots(figsize=(5, 2.2), layout="constrained")
ax.plot([warm_cosine(100)(step) for step in range(101)])
_ = ax.set(xlabel="step, of 100", ylabel="learning rate / its peak")

# %% [markdown]
# Everything that is needed is in the next two cells. The encoder reads poses, and the loss is notebook 07's.
# The loss has weights of its own, the margin and the gap penalties, and Adam trains them along with the
# encoder.

# %%
from lacbook.data.transforms import augmentation
from lacbook.losses.lac import LACLoss
from lacbook.train import TrainConfig

pose_config = TrainConfig(
    action="squat", encoder=EncoderConfig(frame_encoder="pose"), epochs=2, accelerator="cpu"
)
torch.manual_seed(pose_config.seed)
encoder = VideoEncoder(pose_config.encoder, pose_dim=34)
lac = LACLoss()
weights = [*encoder.parameters(), *lac.parameters()]
print(sum(w.numel() for w in encoder.parameters()), "weights in the encoder,", end=" ")
print(sum(w.numel() for w in lac.parameters()), "in the loss")

# %%
dataset, order = TwoViews(train, pose_config.longest_view, pose_config.seed), torch.Generator()
loader = DataLoader(dataset, pose_config.batch_size, shuffle=True, generator=order, collate_fn=collate)
augment = augmentation("poses", pose_config.size, coordinates=2)
optimizer = torch.optim.Adam(weights, lr=pose_config.lr, weight_decay=pose_config.weight_decay)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_cosine(pose_config.epochs * len(loader)))
print(len(loader), "steps an epoch, of", pose_config.batch_size, "clips each")


# %% [markdown]
# What is random in an epoch, namely the order of the clips, their views, the augmentation and the dropout,
# all follows from the seed and the number of the epoch. (The large factor keeps the epochs of one seed from
# being those of another.) Why not seed once, at the start? Section 6 will show what this is good for.


# %%
def train_epoch(epoch):
    """One pass over the training clips; the mean loss."""
    dataset.epoch, losses = epoch, []
    for generator in (order, torch.default_generator):
        generator.manual_seed(pose_config.seed * 100_003 + epoch)
    for clips, steps, lengths in loader:
        z_u, z_v = encoder(augment(clips), lengths).chunk(2)
        parts = lac(z_u, z_v, *steps.chunk(2), torch.stack(lengths.chunk(2), dim=1))
        optimizer.zero_grad()
        parts["loss"].backward()
        torch.nn.utils.clip_grad_norm_(weights, pose_config.clip_norm)
        optimizer.step()
        schedule.step()
        losses.append(parts["loss"].item())
    return np.mean(losses)


ours = [train_epoch(epoch) for epoch in range(pose_config.epochs)]
print("mean loss of each epoch:", np.round(ours, 4))

# %% [markdown]
# The package's `fit` is this loop, with Lightning Fabric around the model (so that the same lines run on a
# GPU or in half precision), and with files. It takes a configuration and a folder. After every epoch it calls
# `on_epoch` with the log so far; here we give it something that stays quiet.

# %%
import tempfile
from pathlib import Path

from lacbook.train import fit, load_run


def quiet(log):
    """For on_epoch: neither a curve nor a progress bar."""


scratch = tempfile.TemporaryDirectory()  # goes when the notebook ends
run = fit(pose_config, Path(scratch.name) / "poses", clips=poses, on_epoch=quiet)
log = pd.read_csv(run / "metrics.csv")
log.drop(columns="seconds").round(4)

# %%
assert np.allclose(log["loss"], ours, rtol=1e-4)
assert np.allclose(log["lr"] / pose_config.lr, [warm_cosine(20)(step) for step in (10, 20)], atol=1e-4)
_, learner = load_run(run)
pairs = zip(encoder.parameters(), learner.encoder.parameters(), strict=True)
largest = max(float((a - b).detach().abs().max()) for a, b in pairs)
print(f"the weights differ by at most {largest:.1e}")
assert largest < 1e-4

# %% [markdown]
# ## 4. Choose a loss, and train
#
# **The next cell is yours.** It alone decides what is trained, and how. Change it, run notebook 08 to its
# end, then run notebook 09, which measures every run that it finds in the folder `runs/08`. If you also
# change the name of the folder, the new loss will stand beside the old one. No other cell has to change, and
# no file of the package.
#
# | to train with | write |
# |---|---|
# | the contrastive term alone | `loss="scl"` in the configuration |
# | the other local term | `local="posterior"` |
# | another weight of the local term | `local_weight=1.0` |
# | penalties that depend on the frames | `penalties="content"` |
# | a loss that nobody has tried | `loss = MyLoss()`, a module of your own, made in that cell |

# %%
config = TrainConfig(action="squat", size=48, epochs=10, loss="lac")
loss = None  # or a module of your own; then it is used instead
run = Path("runs/08/lac")  # notebook 09 shows every run in runs/08

# %% [markdown]
# With the cell as it comes, we train on frames. The curves grow while it runs: the loss and its two parts,
# and dashed the three numbers that the alignment learns. (Of another loss you see those of its parts that
# have these names.) You may stop it once the first point is drawn, in Jupyter with the square button, and go
# on with the next cell: what the finished epochs have taught is saved. If you stop it earlier there is
# nothing to go on with, and an older run of the same name was removed when this one began; then run the cell
# again. A loss that learns has to be made anew for each run, so run the choice cell again as well.

# %%
from lacbook.viz import live_learning_curves

clips = config.load_clips()
run = fit(config, run, loss=loss, overwrite=True, clips=clips, on_epoch=live_learning_curves())

# %% [markdown]
# A falling loss says that the optimiser works. It does not say that the encoder has learned anything we want,
# since the loss only ever compares two views of the *same* clip. So we compare two clips of *different*
# people, none of whom was there in training, with the encoder as it was before the first step and as it is
# now.

# %%
from lacbook.evaluate import embed_values, in_order
from lacbook.train import Learner, pose_dim

torch.manual_seed(config.seed)
before = Learner(config, pose_dim(clips)).encoder.eval()
after = load_run(run)[1].encoder
clips = in_order(clips, seed=0)  # training clips, then test clips
embedded = {
    name: [embed_values(model, clip.values) for clip in clips]
    for name, model in (("before", before), ("after", after))
}
print("embeddings of the last clip:", embedded["after"][-1].shape)

# %% [markdown]
# How alike must two frames be to count as related? Encoders differ in that, and what is a high cosine for one
# is a low one for another. The protocol of this course (notebook 09) chooses the margin and the gap penalties
# for each encoder from a small grid, such that training clips are aligned best, and then measures on the test
# clips. *Event error* is how many frames off a key event lands when it is carried to another clip by its
# nearest neighbour, the median; *alignment F1* is 1 if the alignment has all matches that are right, within
# two frames, and no others.

# %%
from lacbook.metrics import choose_path_options, event_error, path_metrics


def split(clips, z):
    """(training clips, their embeddings), (test clips, theirs)."""
    n = sum(clip.split == "train" for clip in clips)
    return (clips[:n], z[:n]), (clips[n:], z[n:])


options, rows = {}, {}
for name, z in embedded.items():
    train_part, test_part = split(clips, z)
    options[name] = choose_path_options(*train_part)
    f1 = path_metrics(*test_part, options[name])["alignment_f1"]
    rows[name] = {"event error (frames)": event_error(*test_part), "alignment F1": f1}
pd.DataFrame(rows).T.round(2)

# %% tags=["thumbnail"]
from lacbook import smith_waterman
from lacbook.viz import plot_similarity

test = [k for k, clip in enumerate(clips) if clip.split == "test"]
i, j = test[11], test[6]
_, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, (name, z) in zip(axes, embedded.items(), strict=True):
    similarity = z[i] @ z[j].T - options[name].margin
    path = smith_waterman(similarity, options[name].gap_open, options[name].gap_extend).path()
    phases, events = (clips[i].phase, clips[j].phase), (clips[i].events, clips[j].events)
    plot_similarity(similarity, path=path, phases=phases, events=events, ax=ax)
    f1 = path_metrics(clips, z, options[name], [(i, j)])["alignment_f1"]
    ax.set(title=f"{name.capitalize()} training: F1 {f1:.2f}")

# %% [markdown]
# The circles mark where the key events of both clips meet; a good path goes through them. (With the cell
# above as it comes, this pair is an ordinary one: its F1 is close to the mean in the table, both before and
# after.) What the table says holds for one run with one seed. Whether another loss does better takes more
# than one run of each to tell, and notebook 10 does that.

# %% [markdown]
# ## 5. Curves that outlive the notebook
#
# The live curves are gone when the kernel is, so `fit` also writes them down, as `metrics.csv` for programs
# and as an event file for TensorBoard, which draws the curves of many runs into one plot.

# %%
for path in sorted(run.iterdir()):
    print(path.name.split(".out.")[0] if "tfevents" in path.name else path.name)

# %% [markdown]
# The event file is a list of scalars: a name, an epoch, a value. We can read it without any server, and find
# the same numbers as in the table.

# %%
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

board = EventAccumulator(str(run)).Reload()
names = board.Tags()["scalars"]
log = pd.read_csv(run / "metrics.csv")
for name in names:
    assert [event.step for event in board.Scalars(name)] == log["epoch"].tolist()
    assert np.allclose([event.value for event in board.Scalars(name)], log[name], rtol=1e-4)
print(len(log), "epochs of", ", ".join(sorted(names)))

# %% [markdown]
# To look at your runs, put these two lines into a cell of their own, or run `tensorboard --logdir
# notebooks/runs/08` in a terminal and open the address that it prints. The page follows runs that are still
# going on.
#
# ```
# %load_ext tensorboard
# %tensorboard --logdir runs/08
# ```

# %% [markdown]
# ## 6. Stop, and go on as if nothing had happened
#
# Long runs get interrupted. A run that is taken up again should end with the same weights, to the last bit,
# as one that was never stopped; otherwise a result depends on how often somebody tripped over a cable. To try
# it, we train on poses for four epochs without a break, and once more with one after the second.

# %%
from dataclasses import replace


def stop_after(epochs):
    """For on_epoch: what the stop button does, once so many epochs are saved."""

    def press(log):
        if len(log) == epochs:
            raise KeyboardInterrupt

    return press


four = replace(pose_config, epochs=4)
straight = fit(four, Path(scratch.name) / "straight", clips=poses, on_epoch=quiet)
stopped = Path(scratch.name) / "stopped"
try:
    fit(four, stopped, clips=poses, on_epoch=stop_after(2))
except KeyboardInterrupt:
    print("stopped after", len(pd.read_csv(stopped / "metrics.csv")), "epochs")

# %% [markdown]
# What is needed to go on is in `state.pt`. The weights alone would not do. Adam remembers two numbers for
# each weight, the running means of its gradient and of the gradient's square. The schedule remembers how far
# down the cosine we are. Since all that is random follows from the number of the epoch, no state of a random
# generator has to be kept; an epoch that was broken off is simply done again, with the same draws.

# %%
state = torch.load(stopped / "state.pt", weights_only=True)
n_weights = sum(w.numel() for w in state["learner"].values())
n_adam = sum(v.numel() for s in state["optimizer"]["state"].values() for k, v in s.items() if k != "step")
print("state.pt holds:", ", ".join(state))
print(f"{n_adam / n_weights:.0f} numbers in Adam's memory for each weight")
print("the schedule is at step", state["schedule"]["last_epoch"], "of", four.epochs * len(loader))

# %% [markdown]
# Now we resume, in three copies of the folder. In two of them we first make the state forget something: what
# Adam remembers, or where the schedule was.

# %%
import shutil

forget = {
    "nothing": lambda state: None,
    "Adam's memory": lambda state: state["optimizer"].update(state={}),
    "the schedule": lambda state: state["schedule"].update(last_epoch=0),
}
runs = {"never stopped": straight}
for name, change in forget.items():
    copy = shutil.copytree(stopped, stopped.with_name(name))
    state = torch.load(copy / "state.pt", weights_only=True)
    change(state)
    torch.save(state, copy / "state.pt")
    runs[f"forgot {name}"] = fit(four, copy, resume=True, clips=poses, on_epoch=quiet)

# %%
from safetensors.torch import load_file

whole, rows = load_file(straight / "model.safetensors"), {}
for name, folder in runs.items():
    found, log = load_file(folder / "model.safetensors"), pd.read_csv(folder / "metrics.csv")
    moved = max(float((found[key] - whole[key]).abs().max()) for key in whole)
    losses = {f"loss of epoch {epoch}": log["loss"][epoch] for epoch in (1, 2, 3)}
    rows[name] = {**losses, "last lr": log["lr"].iloc[-1], "weights differ by": moved}
pd.DataFrame(rows).T.round(4)

# %%
logs = [pd.read_csv(runs[name] / "metrics.csv") for name in ("never stopped", "forgot nothing")]
assert logs[0].drop(columns="seconds").equals(logs[1].drop(columns="seconds"))
assert rows["forgot nothing"]["weights differ by"] == 0
assert all(rows[f"forgot {part}"]["weights differ by"] > 1e-3 for part in ("Adam's memory", "the schedule"))
print("resumed with a whole state: the same log and the same weights, bit for bit")

# %% [markdown]
# With a whole state, nothing shows that the run was ever stopped. With a part of it missing, it is another
# run from there on. An Adam that remembers nothing makes its first step as long for a weight with a tiny
# gradient as for one with a large gradient, because it divides each gradient by its own size. A schedule that
# starts anew warms up a second time and is not at 0 when the run ends.
#
# Note what does *not* happen. There is no error, the loss goes on falling, and it need not even be higher
# than without the fault. Only the comparison with an uninterrupted run brings such faults to light, which is
# why it is a test of the package.

# %% [markdown]
# ## 7. Two kinds of position, and a trap
#
# LAC and CARL tell the transformer about time in another way: they add a *position code* to each feature, a
# set of sines and cosines of where the frame is. Here every clip is stretched to the same 32 positions,
# whatever its length. Here is that code.


# %%
from lacbook.models.positions import sinusoidal


def code(T, d=128, span=32):
    """Position codes of a clip of T frames, [T, d], stretched to positions 0 to span - 1."""
    half = d // 2
    angle = torch.linspace(0, span - 1, T)[:, None] * 10_000.0 ** (-torch.arange(half) / half)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


print("codes:", tuple(code(76).shape), f" length of each: {code(76)[0].norm():.0f}")
assert torch.allclose(code(76), sinusoidal(torch.tensor([76]), 76, 128)[0], atol=1e-4)
assert torch.allclose(code(41)[20], code(81)[40], atol=1e-4)  # halfway, whatever the length

# %% [markdown]
# The code of a frame *is* the share of the clip that has passed. So take two clips, forget what is in them,
# and compare their codes: frame $i$ of a clip of $N$ frames is most similar to frame $i (M-1)/(N-1)$ of a
# clip of $M$ frames, always. How good an alignment is that? It depends on the clips. Data sets of actions are
# often *trimmed*, that is, cut to the frames in which the action takes place. We make such a set out of ours.


# %%
def trimmed(clip):
    """The frames inside the action only. (The last event, its end, moves to the last frame.)"""
    inside = np.flatnonzero(clip.active)
    kept = {name: getattr(clip, name)[inside] for name in ("values", "phase", "time")}
    return replace(clip, **kept, events=np.minimum(clip.events - inside[0], len(inside) - 1))


squats = in_order(poses, seed=0)[20:]  # the test clips, and 20 training clips for the classifiers
sets = {"trimmed": [trimmed(clip) for clip in squats], "with margins": squats}
for name, group in sets.items():
    print(f"{name}: {len(group)} clips of {min(map(len, group))} to {max(map(len, group))} frames")


# %%
def true_partners(a, b):
    """Frames of the action in a, and for each the frame of b that shows the same moment."""
    in_a, in_b = np.flatnonzero(a.active), np.flatnonzero(b.active)
    return in_a, in_b[np.abs(a.time[in_a][:, None] - b.time[in_b]).argmin(axis=1)]


off = {}
for name, group in sets.items():
    test = [clip for clip in group if clip.split == "test"]
    partners = [(a, b, *true_partners(a, b)) for a in test for b in test if a is not b]
    off[name] = np.concatenate([np.abs(j - i * (len(b) - 1) / (len(a) - 1)) for a, b, i, j in partners])
    print(f"{name}: counting misses the true partner by {np.median(off[name]):.1f} frames (median)")
assert np.median(off["with margins"]) > 5 * np.median(off["trimmed"])

# %%
_, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
for ax, (name, group) in zip(axes, sets.items(), strict=True):
    a, b = ({clip.video_id: clip for clip in group}[key] for key in ("squat_s22_1", "squat_s24_1"))
    image = ax.imshow(code(len(a)) @ code(len(b)).T / 64, cmap="rocket_r", aspect="auto")
    i, j = true_partners(a, b)
    ax.plot(j, i, "o", ms=5, color=ACCENT, mec="white", mew=0.7, label="true alignment")
    ax.set(title=name.capitalize(), xlabel="frame of B", ylabel="frame of A")
_ = axes[0].legend(loc="lower left")
_ = axes[0].figure.colorbar(image, ax=axes, label="cosine of the position codes")

# %% [markdown]
# On trimmed clips, two people who do the same thing are at about the same moment when the same share of the
# clip has passed, so the diagonal is nearly the truth. Let the clips begin and end at any time, as videos do,
# and the diagonal is as strong as before, but it is wrong.
#
# Now we treat the codes as if they were the embeddings of an encoder, and measure. Besides event error and
# alignment F1 we take three measures that papers report: the *accuracy* of a linear classifier of the phase
# (here with the labels of 20 training clips), *progression*, the $R^2$ of a linear regression on the time to
# each key event, and Kendall's *tau*, which asks whether nearest neighbours in another clip come in the right
# order. Notebook 09 explains them one by one.

# %%
from lacbook.metrics import kendall_tau, phase_accuracy, progression


def measures(embed, clips):
    """What an embedding of clips gets right; `embed` turns the values of a clip into vectors [T, E]."""
    (train, z_train), (test, z_test) = split(clips, [embed(clip.values) for clip in clips])
    options = choose_path_options(train, z_train, pairs=20)
    return {
        "accuracy": phase_accuracy(train, z_train, test, z_test),
        "progression": progression(train, z_train, test, z_test),
        "tau": kendall_tau(test, z_test),
        "event error": event_error(test, z_test),
        "alignment F1": path_metrics(test, z_test, options)["alignment_f1"],
    }


# %%
def counter(values):
    """An embedding that never looks at the frames: their position codes, of length 1."""
    return (code(len(values)) / 8).numpy()


counting = {name: measures(counter, group) for name, group in sets.items()}
assert counting["trimmed"]["alignment F1"] > 0.7 > 0.3 > counting["with margins"]["alignment F1"]
assert min(row["tau"] for row in counting.values()) > 0.95
pd.DataFrame(counting).T.round(2)

# %% [markdown]
# On trimmed clips, something that has never looked at a frame passes every test. On clips with margins, tau
# still calls it perfect and progression is still high. Accuracy has come down, though not by as much as one
# might wish for something that is blind. Event error and alignment F1 say plainly that nothing is aligned.
# That is why this course evaluates on clips with random idle heads and tails, and why these two measures are
# always reported beside the others.
#
# ### An encoder that has learned nothing
#
# A position code that is *added to the features* goes through the whole encoder. How much of the counting
# arrives at the other end? We take encoders with random weights, three of each kind, and the clips with
# margins.

# %%
SEEDS = (0, 1, 2)
untrained = []
for positions in ("sinusoidal", "rotary", "none"):
    shape = EncoderConfig(frame_encoder="pose", positions=positions)
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = VideoEncoder(shape, pose_dim=34).eval()
        found = measures(lambda values, model=model: embed_values(model, values), sets["with margins"])
        untrained.append({"positions": positions, **found})
untrained = pd.DataFrame(untrained).groupby("positions", sort=False)
untrained.mean().round(2)

# %%
print("standard deviation over the seeds:")
untrained.std().round(2)

# %%
mean = untrained.mean()
blind = mean.loc["sinusoidal"]
assert min(blind["tau"], blind["progression"], blind["accuracy"]) > 0.8
assert blind["event error"] > 5 * mean.loc["rotary", "event error"]
assert blind["alignment F1"] < 0.3

# %% [markdown]
# Here is the trap. With sinusoidal positions an encoder that has learned *nothing* has nearly perfect
# progression and tau, and an accuracy that would look fine in a paper. It carries events about as badly as
# the bare codes do. With the same random weights, rotary positions carry them well, and so do no positions at
# all.
#
# The last row also deserves a second look. That random weights align poses so well says that poses are easy:
# they nearly are the answer already, and the encoder only has to leave them alone. (With frames it is
# otherwise: with the cell of section 4 as it comes, the row *before* of its table is poor.) But without any
# positions, frames of the way down and the way up cannot be told apart, nor can the idle frames before and
# after. That is why accuracy, progression and tau are low.
#
# ### And after training?
#
# Training could teach the encoder to ignore the codes. So we train both kinds on poses, three seeds each, for
# six epochs.

# %%
encoders = {}
for positions in ("sinusoidal", "rotary"):
    for seed in SEEDS:
        shape = EncoderConfig(frame_encoder="pose", positions=positions)
        six = replace(pose_config, encoder=shape, seed=seed, epochs=6)
        folder = fit(six, Path(scratch.name) / f"{positions} {seed}", clips=poses, on_epoch=quiet)
        model = load_run(folder)[1].encoder
        encoders[positions, seed] = lambda values, model=model: embed_values(model, values)
print(len(encoders), "encoders trained")

# %% [markdown]
# To the five measures we add one that asks the question directly and needs no second clip: cut the margins
# off a clip, and look for each of its frames in the whole clip. The frame is there, unchanged, so whoever
# looks at frames should find it; whoever counts will not, since its share of the clip has changed. *Own frame
# error* is how many frames off it is found, the mean over the test clips. (It will not be 0 for any of these
# encoders: the rest of the clip has a say in every embedding, and we have taken much of it away.)


# %%
def own_frame_error(embed, clips):
    """How many frames off a frame is found in its own clip, once the margins are cut off."""
    errors = []
    for clip in clips:
        inside = np.flatnonzero(clip.active)
        found = (embed(clip.values[inside]) @ embed(clip.values).T).argmax(axis=1)
        errors.append(np.abs(found - inside))
    return float(np.concatenate(errors).mean())


test = [clip for clip in sets["with margins"] if clip.split == "test"]
rows = []
for (positions, seed), embed in [(("counter", 0), counter), *encoders.items()]:
    found = measures(embed, sets["with margins"]) | {"own frame error": own_frame_error(embed, test)}
    rows += [{"method": positions, "seed": seed, "metric": key, "value": v} for key, v in found.items()]
trained = pd.DataFrame(rows)
summary = trained.pivot_table(index="method", columns="metric", values="value", sort=False)
summary.round(2)

# %%
print("standard deviation over the seeds:")
trained.pivot_table(index="method", columns="metric", values="value", aggfunc="std", sort=False).round(2)

# %%
from lacbook.viz import plot_metrics

shown = ["progression", "alignment F1", "own frame error"]
figure = plt.figure(figsize=(9, 2.6), layout="constrained")
_ = plot_metrics(trained.replace({"method": {"counter": "time_only"}}), metrics=shown, fig=figure)
_ = figure.axes[0].set_ylim(2.5, -0.5)

# %%
sine, rope = summary.loc["sinusoidal"], summary.loc["rotary"]
assert sine["alignment F1"] < rope["alignment F1"]
assert sine["own frame error"] > rope["own frame error"]


# %% [markdown]
# (In the figure the counter goes by the name that this control has everywhere in the course, `time only`;
# each dot is one seed.) After training both encoders carry events (with rotary positions they did before, see
# above), so by event error they can hardly be told apart. By progression you would, here, choose the
# sinusoidal one. By alignment F1 you would choose the rotary one, and the own frame error says why: part of
# what the sinusoidal encoder says of a frame is still where in the clip it stands, and so its own frame, seen
# again from another start, looks like another one.
#
# Some care before you carry this over to your own data. These are three short runs on poses of one action,
# and the spread over seeds is not small. Longer training may narrow the gap, because the loss works against
# counting: the two views of a clip mostly begin at different frames, so that a frame has two different codes,
# and still its two embeddings should agree. And rotary positions do not forbid counting, as section 2 said.
# What the section does show is that some measures reward it, and how to notice.

# %% [markdown]
# ## 8. Exercises
#
# **Exercise 1.** Write the test of section 2 as a function. `leaks(model, x)` takes a model and features `x`
# of shape [B, T, d]. It returns True if changing one clip moves any frame of another clip, and False if every
# clip keeps to itself. The check hands it models of both kinds.

# %%
# exercise 1
leaks = None

# %%
from lacbook.course import check

transformer = encoder.eval().transformer
tidy = [lambda x: transformer(x, torch.full((3,), 12)), lambda x: x + x.mean(dim=1, keepdim=True), torch.sin]
leaky = [
    lambda x: transformer(x.transpose(0, 1), torch.full((12,), 3)).transpose(0, 1),
    lambda x: x - x.mean(dim=(0, 1)),  # as a batch normalisation does
    lambda x: transformer(x.flatten(0, 1)[None], torch.tensor([36])).view_as(x),
    lambda x: torch.cat([x[:1] + 0.1 * x[-1:], x[1:]]),  # only from the last clip to the first
    lambda x: torch.cat([x[:-1], x[-1:] + 0.1 * x[:1]]),  # only from the first to the last
    lambda x: torch.cat([x[:1], x[1:2] + 0.1 * x[2:, -1:], x[2:]]),  # only from one frame
    lambda x: torch.cat([x[:1] + 0.1 * x[1:2], x[1:]]),  # only from the middle one
]
check(leaks, lambda f: all(f(model, few) for model in leaky) and not any(f(model, few) for model in tidy))

# %% [markdown]
# **Exercise 2.** A loss of your own. Instead of asking which frame is the right one, ask for the cosine
# itself: the cosine of frame $i$ of the first view and frame $j$ of the second should be
#
# $$ g_{ij} = e^{-(s_i - s_j)^2 / 20}, $$
#
# where $s$ are the frames' numbers in the clip. Write a module `Regression` whose `forward(z_u, z_v, steps_u,
# steps_v, lengths)` returns `{"loss": ...}`, the mean of the squared difference between cosine and $g_{ij}$
# over all pairs of real frames of all clips in the batch, and put an instance into `own_loss`.
# (`lacbook.padding.valid_cells(lengths, N, M)` says which pairs are real; `lengths` is [B, 2].) The check
# compares it with plain loops, and trains with it for one epoch.

# %%
# exercise 2
own_loss = None


# %%
def by_loops(z_u, z_v, steps_u, steps_v, lengths):
    errors = []
    for b, (n, m) in enumerate(lengths.tolist()):
        for i, j in np.ndindex(n, m):
            cosine = torch.cosine_similarity(z_u[b, i], z_v[b, j], dim=0)
            errors.append((cosine - torch.exp(-((steps_u[b, i] - steps_v[b, j]) ** 2) / 20)) ** 2)
    return torch.stack(errors).mean()


def asked_for(loss):
    generator = torch.Generator().manual_seed(0)
    z_u, z_v = (torch.randn(3, size, 8, generator=generator) for size in (6, 7))
    steps_u, steps_v = (torch.arange(size) * torch.tensor([[1], [2], [3]]) for size in (6, 7))
    views = z_u, z_v, steps_u, steps_v, torch.tensor([[6, 7], [4, 2], [3, 6]])
    same = torch.isclose(loss(*views)["loss"], by_loops(*views), rtol=1e-4)
    one = replace(pose_config, epochs=1)
    run = fit(one, Path(scratch.name) / "own", loss=loss, overwrite=True, clips=poses, on_epoch=quiet)
    return same and len(pd.read_csv(run / "metrics.csv")) == 1


check(own_loss, asked_for)

# %% [markdown]
# Once it is solved, copy your class, with what it imports, into the cell of section 4, above `config`. Write
# `loss = Regression()` and `run = Path("runs/08/regression")` there, run the notebook again and then notebook
# 09.
#
# **Exercise 3.** How well can a perfect counter do? Write `counting_error(clips)`, which needs nothing but
# the length and the `events` of each clip: for every ordered pair of clips, carry each event of the first to
# the frame of the second at which the same share of the clip has passed, $e\,(M-1)/(N-1)$, rounded, and
# return the median of how many frames that is off. The check compares it with the event error of the position
# codes, on several sets of clips.

# %%
# exercise 3
counting_error = None

# %%
from itertools import pairwise

groups = [[c for c in group if c.split == split] for group in sets.values() for split in ("train", "test")]
measured = [event_error(group, [counter(clip.values) for clip in group]) for group in groups]
print("event errors of the counter:", measured)
pairs = [list(pair) for group in groups[2:] for pair in pairwise(group)]
one_by_one = [event_error(pair, [counter(clip.values) for clip in pair]) for pair in pairs]
check(
    counting_error,
    lambda f: (
        np.allclose([f(group) for group in groups], measured, atol=0.25)
        and np.mean([abs(f(pair) - error) < 0.25 for pair, error in zip(pairs, one_by_one, strict=True)])
        > 0.9
    ),
)

# %% [markdown]
# Solutions are in `notebooks/solutions/08_train_the_encoder.py`.

# %% [markdown]
# ## References
#
# - A. Vaswani, N. Shazeer, N. Parmar, J. Uszkoreit, L. Jones, A. N. Gomez, L. Kaiser, I. Polosukhin,
#   *Attention Is All You Need*, 2017, [arXiv 1706.03762](https://arxiv.org/abs/1706.03762): the transformer,
#   and position codes of sines and cosines.
# - J. Su, Y. Lu, S. Pan, A. Murtadha, B. Wen, Y. Liu, *RoFormer: Enhanced Transformer with Rotary Position
#   Embedding*, 2021, [arXiv 2104.09864](https://arxiv.org/abs/2104.09864): rotary positions.
# - M. Chen, F. Wei, C. Li, D. Cai, *Frame-wise Action Representations for Long Videos via Sequence
#   Contrastive Learning* (CARL), 2022, [arXiv 2203.14957](https://arxiv.org/abs/2203.14957): a transformer
#   over the frames of a video, and the contrastive loss.
# - K. Oei, A. Gomaa, A. M. Feit, J. Belo, *Self-Supervised Contrastive Learning for Videos using
#   Differentiable Local Alignment* (LAC), 2024, [arXiv 2409.04607](https://arxiv.org/abs/2409.04607): the
#   loss.
# - D. P. Kingma, J. Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015, [arXiv
#   1412.6980](https://arxiv.org/abs/1412.6980): the optimiser.
# - I. Loshchilov, F. Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts*, ICLR 2017, [arXiv
#   1608.03983](https://arxiv.org/abs/1608.03983): the cosine schedule (used here without restarts).
# - [Lightning Fabric](https://lightning.ai/docs/fabric/stable/), documentation: devices, precision and
#   processes around a plain loop.
#
# **Next**: notebook 09 measures what the encoder has learned, beside controls that have learned nothing.
