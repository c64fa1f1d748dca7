"""What a run leaves on disk, to go on from and to read again.

A run may be killed at any moment. Every file is written whole (`lacbook.files.whole_file`), and the state,
which is all that resuming trusts, comes last in an epoch: once it is there, so is everything else. What was
written of an epoch without its state is put back to the epoch before when the run resumes.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from lacbook.config import OWN, TrainConfig
from lacbook.errors import InputError
from lacbook.files import remove_leftovers, whole_file
from lacbook.learner import Learner, check_module

CONFIG, LOG, WEIGHTS = "config.yaml", "metrics.csv", "model.safetensors"
STATE, PREVIOUS = "state.pt", "state.previous.pt"  # after the last epoch, and after the one before
FILES = (CONFIG, STATE, PREVIOUS, WEIGHTS, LOG)
EVENTS = "events.out.tfevents.*"  # as TensorBoard names its files


def check_folder(out: Path, config: TrainConfig, *, resume: bool, overwrite: bool) -> None:
    """Refuse a run folder that holds what must not be touched.

    Raises
    ------
    InputError
        `resume` and `overwrite` are both given; `out` is a file; it holds a run and neither of them is given,
        or with `resume` a run of another configuration.
    """
    if resume and overwrite:
        raise InputError("resume, overwrite: expected one of them, found both")
    if out.exists() and not out.is_dir():
        raise InputError(f"out: {out} is a file; expected a folder for the run")
    if overwrite or not any((out / name).exists() for name in FILES):
        return
    if not resume:
        raise InputError(
            f"out: {out} already holds a run; give --resume (resume=True) to continue it, or another folder"
        )
    before, now = dataclasses.asdict(TrainConfig.load(out / CONFIG)), dataclasses.asdict(config)
    differing = [
        f"{name} is {before[name]!r} there, {now[name]!r} here" for name in now if before[name] != now[name]
    ]
    if differing:
        raise InputError(f"out: {out} holds a run of another configuration: {'; '.join(differing)}")


def start_run(out: Path, config: TrainConfig) -> None:
    """Leave nothing of a run in the folder but this configuration; other files stay.

    The configuration comes last: a kill before that leaves no run, or what is left of the older one, under
    its own configuration.
    """
    remove_leftovers(*(out / name for name in FILES))
    for path in (out / name for name in FILES if name != CONFIG):
        if path.exists():
            path.unlink()
    config.save(out / CONFIG)


def save_epoch(
    out: Path, learner: Learner, optimizer: Any, schedule: Any, rows: list[dict[str, float]]
) -> None:
    """Write weights, log and, last, the state after the epoch of the last of `rows`."""
    _write_weights(out, learner)
    _write_log(out, rows)
    state = {
        "learner": learner.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "epoch": len(rows),
        "rows": rows,
    }
    with whole_file(out / STATE, previous=out / PREVIOUS) as temporary:
        torch.save(state, temporary)


def resume_run(
    out: Path, learner: Learner, optimizer: Any, schedule: Any, device: torch.device
) -> list[dict[str, float]] | None:
    """Put the modules, and then the folder, back to the newest state that is whole.

    Parameters
    ----------
    out : Path
    learner, optimizer, schedule
        Loaded in place.
    device : device
        Where the optimizer keeps its tensors.

    Returns
    -------
    list of dict, optional
        The log's rows, one for each epoch that is done; None where no state was ever written.

    Raises
    ------
    InputError
        No state is whole, or the newest is one of other modules.

    Warns
    -----
    UserWarning
        The state of the last epoch is missing or broken, so that the one before is taken and the last epoch
        is done again.
    """
    newest = _newest_whole(out, device)
    if newest is None:
        return None
    path, state = newest
    try:
        learner.load_state_dict(state["learner"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        rows = state["rows"]
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise _not_resumable(path, error) from error
    if path.name == PREVIOUS:  # or else the next save would put the broken one in its place
        os.replace(path, out / STATE)
    remove_leftovers(*(out / name for name in FILES))
    _write_weights(out, learner)
    _write_log(out, rows)
    return rows


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


def _write_weights(out: Path, learner: Learner) -> None:
    """Write what the encoder and the loss have learned."""
    with whole_file(out / WEIGHTS) as temporary:
        # Not save_file(), which leaves a file that only its owner may read.
        weights = {name: w.detach().cpu().clone().contiguous() for name, w in learner.state_dict().items()}
        temporary.write_bytes(save(weights))


def _write_log(out: Path, rows: list[dict[str, float]]) -> None:
    """Write a table of a row an epoch."""
    with whole_file(out / LOG) as temporary:
        lines = [",".join(rows[0])] + [",".join(f"{v:.6g}" for v in row.values()) for row in rows]
        temporary.write_text("\n".join(lines) + "\n")


def _newest_whole(out: Path, device: torch.device) -> tuple[Path, dict[str, Any]] | None:
    """The newest state that can be read, and its file; None where there are no states."""
    broken: list[tuple[Path, Exception]] = []
    for path in (out / STATE, out / PREVIOUS):
        try:
            state = _read_whole(path, device)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except Exception as error:  # a damaged file raises nearly anything
            broken.append((path, error))
            continue
        if path.name == PREVIOUS:
            why = _reason(broken[0][1]) if broken else "it is missing"
            warnings.warn(
                f"{out / STATE} cannot be resumed from ({why}); going on from {path.name}, an epoch earlier",
                stacklevel=2,
            )
        return path, state
    if broken:
        raise _not_resumable(*broken[0]) from broken[0][1]
    return None


def _read_whole(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a state, and check it by the sums that torch.save() writes and torch.load() does not read."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"{damaged} is damaged")
    return torch.load(path, map_location=device, weights_only=True)


def _not_resumable(path: Path, error: Exception) -> InputError:
    """What to say of a state that is of no use."""
    return InputError(
        f"out: {path} cannot be resumed from ({_reason(error)}); remove {path.parent} to start afresh"
    )


def _reason(error: Exception) -> str:
    """The last line of a message, which in torch's says what it is about."""
    return (str(error) or type(error).__name__).splitlines()[-1].strip()
