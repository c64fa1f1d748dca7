"""The evaluation protocol: one table for a trained encoder and every control that it has to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm.auto import tqdm

from lacbook import metrics
from lacbook.data.clips import Clip
from lacbook.errors import InputError
from lacbook.files import whole_file
from lacbook.models.encoder import VideoEncoder
from lacbook.train import Learner, TrainConfig, pose_dim

if TYPE_CHECKING:
    import pandas as pd

CONTROLS = ("untrained", "raw", "time_only", "majority")
FRACTIONS = (0.1, 0.5, 1.0)
NEIGHBOURS = (5, 10, 15)
METRICS = (
    *(f"acc@{round(100 * f)}" for f in FRACTIONS),
    "progression",
    "tau",
    "active_tau",
    *(f"AP@{k}" for k in NEIGHBOURS),
    "event_error",
    "path_event_error",
    "alignment_f1",
)


def in_order(clips: Sequence[Clip], seed: int) -> list[Clip]:
    """Training clips in the seeded order whose first 10 and 50 % label the probes, then the test clips.

    The order depends on the names of the clips and the seed, not on the order they come in.
    """
    train = sorted((clip for clip in clips if clip.split == "train"), key=lambda clip: clip.video_id)
    order = np.random.default_rng(seed).permutation(len(train))
    return [train[k] for k in order] + [clip for clip in clips if clip.split == "test"]


@torch.no_grad()
def embed_values(encoder: nn.Module, values: NDArray) -> NDArray[np.float32]:
    """Embed one whole clip, every frame.

    Parameters
    ----------
    encoder : VideoEncoder
        In evaluation mode, on any device.
    values : ndarray
        Frames uint8 [T, H, W, 3] or poses float32 [T, P].

    Returns
    -------
    float32 array [T, E]
        Unit vectors.
    """
    device = next(encoder.parameters()).device
    clip = torch.from_numpy(values).to(device)
    if clip.ndim == 4:
        clip = clip.permute(0, 3, 1, 2).float() / 255
    return encoder(clip[None], torch.tensor([len(clip)], device=device))[0].cpu().numpy()


def embed(encoder: nn.Module, clips: Sequence[Clip], *, desc: str = "embed") -> list[NDArray[np.float32]]:
    """Embed clips one at a time behind a progress bar; a list of float32 arrays [T, E] of unit vectors."""
    return [embed_values(encoder, clip.values) for clip in tqdm(clips, desc=desc, unit="clip", leave=False)]


def evaluate(config: TrainConfig, encoder: VideoEncoder, clips: Sequence[Clip] | None = None) -> pd.DataFrame:
    """Measure a trained encoder and the controls by the same protocol.

    Metrics are taken for each action and averaged. Controls: ``majority`` (the commonest training phase),
    ``raw`` (16 x 16 grey pixels by PCA to 64, or the poses themselves, standardised), ``time_only``
    (functions of t / T, standardised), ``untrained`` (the same encoder before training). All but ``majority``
    are scaled to unit length like the embeddings. Only training clips decide means, scales and components.

    Parameters
    ----------
    config : TrainConfig
        Of the run; its loss names the method, its seed orders the training clips.
    encoder : VideoEncoder
    clips : sequence of Clip, optional
        Read from `config` when left out.

    Returns
    -------
    DataFrame
        Tidy: ``method``, ``metric``, ``value``; `METRICS` says which, NaN where one does not apply.

    Raises
    ------
    InputError
        Training or test clips are missing.
    """
    import pandas as pd

    clips = in_order(config.load_clips() if clips is None else clips, config.seed)
    for action in sorted({clip.action for clip in clips}):
        for split in ("train", "test"):
            if sum(clip.split == split and clip.action == action for clip in clips) < 2:
                raise InputError(
                    f"data: {config.data} has fewer than two {split} clips of {action}; pairs are needed"
                )
    methods: dict[str, Callable[[], dict[str, float]]] = {
        config.loss: lambda: measure(clips, embed(encoder, clips, desc=f"embed {config.loss}")),
        **{name: partial(measure_control, name, config, clips) for name in CONTROLS},
    }
    rows = [
        {"method": method, "metric": metric, "value": value}
        for method, measured in tqdm(methods.items(), desc="evaluate", unit="method")
        for metric, value in measured().items()
    ]
    return pd.DataFrame(rows)


def measure_control(
    name: str, config: TrainConfig, clips: Sequence[Clip], most_pairs: int | None = None
) -> dict[str, float]:
    """Every metric of `METRICS` for one of `CONTROLS`, on clips that `in_order` has ordered.

    Parameters
    ----------
    name : {"majority", "raw", "time_only", "untrained"}
        As in `evaluate`.
    config : TrainConfig
        Of the run that it is compared with; its seed makes the untrained encoder.
    clips, most_pairs
        As in `measure`.
    """
    if name == "majority":
        return _majority(clips)
    if name == "untrained":
        torch.manual_seed(config.seed)
        features: Sequence[NDArray] = embed(
            Learner(config, pose_dim(list(clips))).encoder.eval(), clips, desc="embed untrained"
        )
    elif name == "raw":
        features = raw_features(clips)
    elif name == "time_only":
        features = time_features(clips)
    else:
        raise ValueError(f"name: {name!r} is no control; choose from {', '.join(CONTROLS)}")
    return measure(clips, features, most_pairs)


def measure(clips: Sequence[Clip], z: Sequence[NDArray], most_pairs: int | None = None) -> dict[str, float]:
    """Every metric of `METRICS` for embeddings of clips that `in_order` has ordered, mean over actions.

    With `most_pairs`, tau, active tau and what is measured along paths are taken from at most so many ordered
    pairs of test clips, as many of each action and the same at every call; from all when left out.
    """
    train_index = [k for k, clip in enumerate(clips) if clip.split == "train"]
    options = metrics.choose_path_options([clips[k] for k in train_index], [z[k] for k in train_index])
    per_action = []
    actions = sorted({clip.action for clip in clips})
    pairs_each = None if most_pairs is None else max(1, most_pairs // len(actions))
    for action in actions:
        train, z_train = _select(clips, z, action, "train")
        test, z_test = _select(clips, z, action, "test")
        values = {}
        for fraction, name in zip(FRACTIONS, METRICS, strict=False):
            n = _labelled(train, fraction)
            values[name] = metrics.phase_accuracy(train[:n], z_train[:n], test, z_test)
        values["progression"] = metrics.progression(train, z_train, test, z_test)
        pairs = metrics.some_pairs(len(test), pairs_each)
        values["tau"] = metrics.kendall_tau(test, z_test, pairs=pairs)
        values["active_tau"] = metrics.kendall_tau(test, z_test, active=True, pairs=pairs)
        for k in NEIGHBOURS:
            values[f"AP@{k}"] = metrics.average_precision(test, z_test, k)
        values["event_error"] = metrics.event_error(test, z_test)
        values |= metrics.path_metrics(test, z_test, options, pairs)
        per_action.append(values)
    return {name: float(np.mean([values[name] for values in per_action])) for name in METRICS}


def raw_features(clips: Sequence[Clip], pixels: int = 16, components: int = 64) -> list[NDArray]:
    """What the encoder is given: small grey frames by PCA on the training clips, or poses; unit length."""
    if pose_dim(list(clips)) is not None:
        return _standardised([clip.values for clip in clips], clips)
    from sklearn.decomposition import PCA

    grey = [_small_grey(clip.values, pixels) for clip in clips]
    train = np.concatenate([g for g, clip in zip(grey, clips, strict=True) if clip.split == "train"])
    pca = PCA(min(components, *train.shape), random_state=0).fit(train)
    return [_unit(pca.transform(g)) for g in grey]


def time_features(clips: Sequence[Clip]) -> list[NDArray]:
    """Functions of u = t / T alone, what an encoder that counts frames would know; unit length."""
    features = []
    for clip in clips:
        u = np.arange(len(clip)) / len(clip)
        features.append(np.stack([u, u**2, u**3, np.sin(2 * np.pi * u), np.cos(2 * np.pi * u)], axis=1))
    return _standardised(features, clips)


def save_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, whole or not at all."""
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """One row a method, one column a metric; mean over seeds where the tidy table has several."""
    columns = [name for name in METRICS if name in set(table["metric"])]
    return table.pivot_table(index="method", columns="metric", values="value", sort=False, dropna=False)[
        columns
    ]


def as_markdown(table: pd.DataFrame) -> str:
    """A tidy table as Markdown: a row a metric, a column a method, mean ± deviation over seeds."""
    means = wide(table)
    spread = table.pivot_table(
        index="method", columns="metric", values="value", aggfunc="std", sort=False, dropna=False
    )
    several = "seed" in table and table["seed"].nunique() > 1

    def cell(method: str, metric: str) -> str:
        value, deviation = means[metric][method], spread[metric][method]
        if np.isnan(value):
            return "-"
        return f"{value:.3f} ± {deviation:.3f}" if several else f"{value:.3f}"

    rows = [
        ["metric", *means.index],
        *([metric, *(cell(m, metric) for m in means.index)] for metric in means.columns),
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def save_embeddings(path: Path, clips: Sequence[Clip], z: Sequence[NDArray]) -> None:
    """Write embeddings and labels for an outside evaluator, training clips in the order of `in_order`.

    Parameters
    ----------
    path : Path
        ``.npz`` with ``embeddings`` [sum T, E] float32, ``lengths`` [V], ``labels`` [sum T] (-1 = none),
        ``split`` [V], ``video_id`` [V], ``action`` [V], ``active`` [sum T].
    clips, z
        Clips and their embeddings, in the same order.
    """
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            embeddings=np.concatenate(z).astype(np.float32),
            lengths=np.array([len(clip) for clip in clips]),
            labels=np.concatenate([clip.phase for clip in clips]),
            split=np.array([clip.split for clip in clips]),
            video_id=np.array([clip.video_id for clip in clips]),
            action=np.array([clip.action for clip in clips]),
            active=np.concatenate([clip.active for clip in clips]),
        )


def _labelled(train: Sequence[object], fraction: float) -> int:
    """How many of an action's training clips, the first ones, label a probe at this fraction."""
    return max(1, int(fraction * len(train)))


def _majority(clips: Sequence[Clip]) -> dict[str, float]:
    """Accuracy of always naming the commonest phase of the labelled clips; the rest needs an embedding."""
    values = dict.fromkeys(METRICS, float("nan"))
    for fraction, name in zip(FRACTIONS, METRICS, strict=False):
        scores = []
        for action in sorted({clip.action for clip in clips}):
            train, test = (
                [c.phase for c in clips if c.action == action and c.split == split]
                for split in ("train", "test")
            )
            known = np.concatenate(train[: _labelled(train, fraction)])
            asked = np.concatenate(test)
            scores.append((asked[asked >= 0] == np.bincount(known[known >= 0]).argmax()).mean())
        values[name] = float(np.mean(scores))
    return values


def _select(
    clips: Sequence[Clip], z: Sequence[NDArray], action: str, split: str
) -> tuple[list[Clip], list[NDArray]]:
    """Clips of one action and split, and their embeddings."""
    chosen = [k for k, clip in enumerate(clips) if clip.action == action and clip.split == split]
    return [clips[k] for k in chosen], [z[k] for k in chosen]


def _unit(features: NDArray) -> NDArray:
    """Scale every frame to unit length, as embeddings are."""
    return np.asarray(features / (np.linalg.norm(features, axis=1, keepdims=True) + 1e-12))


def _standardised(features: Sequence[NDArray], clips: Sequence[Clip]) -> list[NDArray]:
    """Standardise by the training clips, then scale every frame to unit length."""
    train = np.concatenate([x for x, clip in zip(features, clips, strict=True) if clip.split == "train"])
    mean, scale = train.mean(0), train.std(0) + 1e-8
    return [_unit((x - mean) / scale) for x in features]


def _small_grey(frames: NDArray[np.uint8], pixels: int) -> NDArray:
    """Grey frames [T, H, W, 3] averaged down to [T, pixels * pixels]."""
    grey = torch.from_numpy(frames).float().mean(-1)
    return torch.nn.functional.adaptive_avg_pool2d(grey[:, None], pixels).flatten(1).numpy()
