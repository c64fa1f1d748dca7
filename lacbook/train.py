"""Training: a plain loop over Lightning Fabric that shows progress, logs, and resumes exactly."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lacbook.checkpoint import (
    CONFIG,
    EVENTS,
    LOG,
    PREVIOUS,
    STATE,
    WEIGHTS,
    check_folder,
    load_run,
    resume_run,
    save_epoch,
    start_run,
)
from lacbook.config import OWN, TrainConfig
from lacbook.data.clips import Clip
from lacbook.data.sampling import SHORTEST_CLIP, TwoViews, collate
from lacbook.data.transforms import augmentation
from lacbook.errors import InputError
from lacbook.learner import OTHER_COLUMNS, Learner, check_module, pose_dim, refuse_own

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CONFIG", "EVENTS", "LOG", "PREVIOUS", "STATE", "WEIGHTS"]  # what users of `fit` need beside it
__all__ += ["Learner", "TrainConfig", "fit", "load_run", "pose_dim", "refuse_own"]


@contextlib.contextmanager
def _random_numbers_of_its_own() -> Iterator[None]:
    """Put the global generators back afterwards, so that the caller's draws go on as if nothing had been."""
    python, cpu = random.getstate(), torch.get_rng_state()
    numpy = np.random.get_state()  # noqa: NPY002 - the global one is what is kept
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)


@_random_numbers_of_its_own()
def fit(
    config: TrainConfig,
    out: Path | str,
    *,
    loss: nn.Module | None = None,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    clips: list[Clip] | None = None,
) -> Path:
    """Train an encoder on the training split and leave a run folder.

    Parameters
    ----------
    config : TrainConfig
    out : Path
        Run folder: ``config.yaml``, ``metrics.csv`` (a row an epoch), the same for TensorBoard in
        ``events.out.tfevents.*``, ``state.pt`` (to resume from), ``state.previous.pt`` (that of the epoch
        before) and ``model.safetensors`` (the weights). One training at a time in one folder.
    loss : Module, optional
        A loss of your own in place of the one that `config` names. It takes embeddings, steps and lengths of
        the views and returns named parts as `LACLoss.forward` does, always the same ones; only ``loss`` has
        to be among them. It is trained in place if it has parameters, so give every run a new one; parameters
        and buffers are what is saved of it. The run's configuration says ``loss: own``, and not which.
    on_epoch : callable, optional
        Takes the log so far, a DataFrame like ``metrics.csv``, after each epoch, when that is already saved.
        It stands in for the progress bar.
    resume : bool, default False
        Continue the run in `out`, exactly as if it had not stopped; start it where there is none. It may have
        been killed at any moment, and what the kill left half done is removed. On one CPU machine the weights
        come out the same, bit for bit.
    overwrite : bool, default False
        Replace a run in `out`.
    clips : list of Clip, optional
        Already loaded; read from `config` when left out.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        `out` holds a run and neither `resume` nor `overwrite` is given, or both are, or a run of another
        configuration;
        the data are missing, broken or too short; the loss returns something else than named numbers; the
        loss or the embeddings are no longer finite, in which case `out` keeps the epochs before.

    Warns
    -----
    UserWarning
        Resumed from ``state.previous.pt``, since ``state.pt`` is missing or broken.

    Notes
    -----
    Before each epoch the global generators of Python, NumPy and torch are seeded from (seed, epoch), so what
    `loss` or `on_epoch` draws from them is the same in a resumed run. Afterwards they are put back to where
    the caller had them (torch's of the CPU only). A generator that `loss` keeps for itself is not saved.
    """
    out = Path(out)
    check_module(loss)
    if loss is not None:
        config = dataclasses.replace(config, loss=OWN)
    else:
        refuse_own(config)
    check_folder(out, config, resume=resume, overwrite=overwrite)
    import pandas as pd
    from lightning_fabric import Fabric
    from torch.utils.tensorboard import SummaryWriter

    try:
        fabric = Fabric(accelerator=config.accelerator, devices=1, precision=config.precision)  # type: ignore[arg-type]
    except (ValueError, RuntimeError, ImportError) as error:
        raise InputError(f"accelerator or precision: cannot be used here ({error})") from error
    clips = config.load_clips() if clips is None else clips
    train = [clip for clip in clips if clip.split == "train"]
    for clip in train:
        if len(clip) < SHORTEST_CLIP:
            raise InputError(
                f"{clip.video_id}: {len(clip)} frame(s) make no two views; expected at least {SHORTEST_CLIP}"
            )
    if not train:
        raise InputError(f"data: no training clips in {config.data} at {config.root or 'the embedded data'}")
    torch.manual_seed(config.seed)
    learner = Learner(config, pose_dim(train), loss)
    optimizer = torch.optim.Adam(learner.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    model, optimizer = fabric.setup(learner, optimizer)
    augment = fabric.to_device(
        augmentation(config.modality, config.size, 3 if config.data == "ui-prmd" else 2)
    )
    pairs = getattr(learner.loss, "pairs", "two_views")
    dataset = TwoViews(train, config.longest_view, config.seed, pairs)
    order = torch.Generator()
    loader = fabric.setup_dataloaders(
        DataLoader(dataset, config.batch_size, shuffle=True, generator=order, collate_fn=collate)
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_cosine(config.epochs * len(loader)))
    rows = resume_run(out, learner, optimizer, schedule, fabric.device) if resume else None
    if rows is None:
        start_run(out, config)
        rows = []
    first = len(rows)
    if first == config.epochs:
        return out
    for events in out.glob(EVENTS):  # written anew from the rows, so that no stopped run leaves a hole there
        events.unlink()
    progress = tqdm(
        range(first, config.epochs),
        initial=first,
        total=config.epochs,
        desc=f"train {config.loss}",
        unit="epoch",
        disable=on_epoch is not None,
    )
    with SummaryWriter(str(out)) as board:
        for row in rows:
            _show(board, row)
        for epoch in progress:
            started = time.perf_counter()
            # All that is random in an epoch follows from (seed, epoch): order, views, augmentation, dropout,
            # and whatever a loss of one's own draws.
            dataset.epoch = epoch
            number = config.seed * 100_003 + epoch
            order.manual_seed(number)
            torch.manual_seed(number)
            random.seed(number)
            np.random.seed([config.seed, epoch])  # noqa: NPY002 - seeded for code that draws from it
            means = _train_epoch(fabric, model, optimizer, schedule, loader, augment, config.clip_norm, epoch)
            seconds = time.perf_counter() - started
            if rows and means.keys() != (before := rows[0].keys() - set(OTHER_COLUMNS)):
                raise InputError(_changed(epoch, means, before))
            rows.append({"epoch": epoch, **means, "lr": float(schedule.get_last_lr()[0]), "seconds": seconds})
            progress.set_postfix(loss=f"{means['loss']:.3f}")
            _show(board, rows[-1])
            save_epoch(out, learner, optimizer, schedule, rows)
            if on_epoch is not None:
                on_epoch(pd.DataFrame(rows))
    return out


def _train_epoch(
    fabric: Any,
    model: Any,
    optimizer: Any,
    schedule: Any,
    loader: Any,
    augment: nn.Module,
    clip_norm: float,
    epoch: int,
) -> dict[str, float]:
    """One pass over the clips; the mean of each part of the loss."""
    model.train()
    parts: list[dict[str, float]] = []
    for views, steps, lengths in loader:
        result = model(augment(views), steps, lengths)
        parts.append({name: value.item() for name, value in result.items()})
        if parts[-1].keys() != parts[0].keys():
            raise InputError(_changed(epoch, parts[-1], parts[0]))
        if not math.isfinite(parts[-1]["loss"]):
            raise InputError(f"the loss of epoch {epoch} is {parts[-1]['loss']}; a lower lr may help")
        if not result["loss"].requires_grad:
            raise InputError("loss: 'loss' has no gradient; expected a Tensor computed from the embeddings")
        optimizer.zero_grad()
        fabric.backward(result["loss"])
        try:
            fabric.clip_gradients(model, optimizer, max_norm=clip_norm)
        except RuntimeError as error:
            raise InputError(f"the gradient of epoch {epoch} cannot be used ({error})") from error
        optimizer.step()
        schedule.step()
    return {name: sum(step[name] for step in parts) / len(parts) for name in parts[0]}


def _changed(epoch: int, found: Iterable[str], expected: Iterable[str]) -> str:
    """What to say of a loss whose parts are not always the same."""
    now, before = (", ".join(sorted(names)) for names in (found, expected))
    return f"loss: its parts in epoch {epoch} are {now}; expected {before} as before"


def _show(board: Any, row: dict[str, float]) -> None:
    """Hand a row of the log to TensorBoard, a curve a column."""
    for name, value in row.items():
        if name != "epoch":
            board.add_scalar(name, value, int(row["epoch"]))
    board.flush()


def _warm_cosine(steps: int, warm: float = 0.05) -> Any:
    """Factor on the learning rate at a step: linear up over the first `warm` of the run, cosine down to 0."""
    rise = max(1, round(warm * steps))
    return lambda step: min(
        (step + 1) / rise, 0.5 * (1 + math.cos(math.pi * max(0, step - rise) / max(1, steps - rise)))
    )
