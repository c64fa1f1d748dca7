"""Training: a plain loop over Lightning Fabric that shows progress, logs, and resumes exactly."""

from __future__ import annotations

import dataclasses
import math
import pickle
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lacbook.config import OWN, TrainConfig
from lacbook.data.clips import Clip
from lacbook.data.sampling import SHORTEST_CLIP, TwoViews, collate
from lacbook.data.transforms import augmentation
from lacbook.errors import InputError
from lacbook.files import whole_file
from lacbook.learner import OTHER_COLUMNS, Learner, check_module, pose_dim, refuse_own

if TYPE_CHECKING:
    import pandas as pd

CONFIG, LOG, STATE, WEIGHTS = "config.yaml", "metrics.csv", "state.pt", "model.safetensors"
EVENTS = "events.out.tfevents.*"  # as TensorBoard names its files


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
        ``events.out.tfevents.*``, ``state.pt`` (to resume from) and ``model.safetensors`` (the weights).
    loss : Module, optional
        A loss of your own in place of the one that `config` names. It takes embeddings, steps and lengths of
        the views and returns named parts as `LACLoss.forward` does, always the same ones; only ``loss`` has
        to be among them. It is trained in place if it has parameters, so give every run a new one; parameters
        and buffers are what is saved of it. The run's configuration says ``loss: own``, and not which.
    on_epoch : callable, optional
        Takes the log so far, a DataFrame like ``metrics.csv``, after each epoch, when that is already saved.
        It stands in for the progress bar.
    resume : bool, default False
        Continue the run in `out`, exactly as if it had not stopped; start it where there is none.
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
    """
    out = Path(out)
    check_module(loss)
    if resume and overwrite:
        raise InputError("resume, overwrite: expected one of them, found both")
    if loss is not None:
        config = dataclasses.replace(config, loss=OWN)
    else:
        refuse_own(config)
    if out.exists() and not out.is_dir():
        raise InputError(f"out: {out} is a file; expected a folder for the run")
    if any((out / name).exists() for name in (CONFIG, LOG, STATE, WEIGHTS)) and not overwrite:
        if not resume:
            raise InputError(
                f"out: {out} already holds a run; give --resume (resume=True) to continue it, "
                "or another folder"
            )
        _check_same_config(TrainConfig.load(out / CONFIG), config, out)
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
    dataset = TwoViews(train, config.longest_view, config.seed)
    order = torch.Generator()
    loader = fabric.setup_dataloaders(
        DataLoader(dataset, config.batch_size, shuffle=True, generator=order, collate_fn=collate)
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_cosine(config.epochs * len(loader)))
    first, rows = 0, []
    if resume and (out / STATE).exists():
        try:
            state = torch.load(out / STATE, map_location=fabric.device, weights_only=True)
            learner.load_state_dict(state["learner"])
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
            first, rows = state["epoch"], state["rows"]
        except (RuntimeError, OSError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise InputError(
                f"out: {out / STATE} cannot be resumed from ({reason}); remove {out} to start afresh"
            ) from error
    if overwrite:
        for name in (STATE, WEIGHTS, LOG):  # what resuming would trust goes first
            (out / name).unlink(missing_ok=True)
    config.save(out / CONFIG)
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
            # All that is random in an epoch follows from (seed, epoch): order, views, augmentation, dropout.
            dataset.epoch = epoch
            order.manual_seed(config.seed * 100_003 + epoch)
            torch.manual_seed(config.seed * 100_003 + epoch)
            means = _train_epoch(fabric, model, optimizer, schedule, loader, augment, config.clip_norm, epoch)
            seconds = time.perf_counter() - started
            if rows and means.keys() != (before := rows[0].keys() - set(OTHER_COLUMNS)):
                raise InputError(_changed(epoch, means, before))
            rows.append({"epoch": epoch, **means, "lr": schedule.get_last_lr()[0], "seconds": seconds})
            progress.set_postfix(loss=f"{means['loss']:.3f}")
            _save(out, learner, optimizer, schedule, epoch + 1, rows)
            _show(board, rows[-1])
            if on_epoch is not None:
                on_epoch(pd.DataFrame(rows))
    return out


def load_run(run: Path | str, *, loss: nn.Module | None = None) -> tuple[TrainConfig, Learner]:
    """Read a trained encoder, and what the loss learned, from a run folder.

    Parameters
    ----------
    run : Path
        Folder with ``config.yaml`` and ``model.safetensors``.
    loss : Module, optional
        For a run with a loss of your own: such a module, which gets back what it learned. Without it
        ``learner.loss`` is None.

    Returns
    -------
    config : TrainConfig
    learner : Learner
        ``learner.encoder`` and ``learner.loss``, on the CPU, in evaluation mode.

    Raises
    ------
    InputError
        A file is missing or broken, the weights are those of another configuration or loss, or `loss` is
        given for a run that has none of its own.
    """
    run = Path(run)
    config = TrainConfig.load(run / CONFIG)
    check_module(loss)
    if loss is not None and config.loss != OWN:
        raise InputError(f"loss: {run} was trained with {config.loss}; a module is only for a run with {OWN}")
    path = run / WEIGHTS
    if not path.is_file():
        raise InputError(f"checkpoint: {path} is missing; expected the weights that `lacbook train` writes")
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"checkpoint: {path} is not a whole safetensors file ({error})") from error
    first_layer = weights.get("encoder.frames.layers.0.weight", torch.empty(0, 1))
    learner = Learner(config, first_layer.shape[-1], loss)
    if learner.loss is None:
        weights = {name: w for name, w in weights.items() if name.startswith("encoder.")}
    try:
        learner.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(
            f"checkpoint: {path} holds weights of another configuration than {run / CONFIG}"
            f"{'' if loss is None else ', or of another loss than the one given'} ({reason})"
        ) from error
    return config, learner.cpu().eval()


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


def _save(
    out: Path, learner: Learner, optimizer: Any, schedule: Any, epoch: int, rows: list[dict[str, float]]
) -> None:
    """Write weights, log and state after an epoch; the state last, for it is what resuming trusts."""
    with whole_file(out / WEIGHTS) as temporary:
        # Not save_file(), which leaves a file that only its owner may read.
        weights = {name: w.detach().cpu().clone().contiguous() for name, w in learner.state_dict().items()}
        temporary.write_bytes(save(weights))
    with whole_file(out / LOG) as temporary:
        lines = [",".join(rows[0])] + [",".join(f"{v:.6g}" for v in row.values()) for row in rows]
        temporary.write_text("\n".join(lines) + "\n")
    with whole_file(out / STATE) as temporary:
        state = {
            "learner": learner.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "epoch": epoch,
            "rows": rows,
        }
        torch.save(state, temporary)


def _check_same_config(found: TrainConfig, given: TrainConfig, out: Path) -> None:
    """Refuse to resume a run under other settings."""
    before, now = dataclasses.asdict(found), dataclasses.asdict(given)
    differing = [
        f"{name} is {before[name]!r} there, {now[name]!r} here" for name in now if before[name] != now[name]
    ]
    if differing:
        raise InputError(f"out: {out} holds a run of another configuration: {'; '.join(differing)}")


def _warm_cosine(steps: int, warm: float = 0.05) -> Any:
    """Factor on the learning rate at a step: linear up over the first `warm` of the run, cosine down to 0."""
    rise = max(1, round(warm * steps))
    return lambda step: min(
        (step + 1) / rise, 0.5 * (1 + math.cos(math.pi * max(0, step - rise) / max(1, steps - rise)))
    )
