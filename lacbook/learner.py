"""What a training step trains: the encoder and the loss as one module, and what is asked of a loss."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from lacbook.config import OWN, TrainConfig
from lacbook.data.clips import Clip
from lacbook.errors import InputError
from lacbook.losses.gta import GTALoss
from lacbook.losses.lac import LACLoss
from lacbook.losses.lav import LAVLoss
from lacbook.losses.scl import SCLLoss
from lacbook.losses.tcc import TCCLoss
from lacbook.losses.tcn import TCNLoss
from lacbook.models.encoder import VideoEncoder

OTHER_COLUMNS = ("epoch", "lr", "seconds")  # of a run's log, beside the parts of the loss


class Learner(nn.Module):
    """The encoder and the loss as one module, so that what either learns is saved and clipped alike.

    Parameters
    ----------
    config : TrainConfig
    pose_dim : int, optional
        Numbers in a pose; None for frames.
    loss : Module, optional
        Where `config` says ``own``. Without it the encoder can embed, and not learn.
    """

    def __init__(self, config: TrainConfig, pose_dim: int | None, loss: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = VideoEncoder(
            dataclasses.replace(config.encoder, frame_encoder=config.frame_encoder), pose_dim
        )
        self.loss = loss if config.loss == OWN else loss_of(config)

    def forward(self, views: Tensor, steps: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Loss parts of B clips: the first B of the 2B `views` [2B, T, ...] pair with the last B."""
        z = self.encoder(views, lengths)
        if not torch.isfinite(z).all():
            raise InputError(
                "the embeddings are no longer finite: the data hold such values, or lr is too high"
            )
        z_u, z_v = z.chunk(2)
        steps_u, steps_v = steps.chunk(2)
        if self.loss is None:
            raise InputError(f"loss: this run has one of its own ({OWN!r}), which was not given")
        parts = self.loss(z_u, z_v, steps_u, steps_v, torch.stack(lengths.chunk(2), dim=1))
        _check_parts(parts, type(self.loss).__name__)
        return parts


def loss_of(config: TrainConfig) -> nn.Module:
    """The loss that a configuration names, with its settings, newly made."""
    if config.loss == "lac":
        return LACLoss(
            local=config.local,
            penalties=config.penalties,
            weight=config.local_weight,
            temperature=config.temperature,
            gap_open=config.gap_open,
            gap_extend=config.gap_extend,
            margin=config.margin,
            view_length=config.longest_view,
            embedding_dim=config.encoder.embedding_dim,
        )
    if config.loss == "scl":
        return SCLLoss(negatives=config.negatives)
    if config.loss == "tcn":
        return TCNLoss(form=config.tcn_form)
    if config.loss == "tcc":
        return TCCLoss(form=config.tcc_form)
    if config.loss == "lav":
        return LAVLoss()
    if config.loss == "gta":
        return GTALoss()
    raise ValueError(f"loss: {config.loss!r} is made by nobody here")


def _check_parts(parts: Any, name: str) -> None:
    """Refuse what a loss called `name` returned unless it is named single numbers that can be logged."""
    if not isinstance(parts, dict) or "loss" not in parts:
        found = (
            f"a dict of {', '.join(map(repr, parts))}" if isinstance(parts, dict) else type(parts).__name__
        )
        raise InputError(f"loss: {name} returned {found}; expected a dict with 'loss'")
    for key, value in parts.items():
        if not isinstance(key, str) or not key.isidentifier() or key in OTHER_COLUMNS:
            others = ", ".join(OTHER_COLUMNS)
            raise InputError(f"loss: a part is called {key!r}; expected a word other than {others}")
        if not isinstance(value, Tensor) or value.numel() != 1:
            found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"loss: {key!r} is of {found}; expected a Tensor with a single number")


def refuse_own(config: TrainConfig) -> None:
    """InputError if the configuration asks for a loss that only Python code can hand over."""
    if config.loss == OWN:
        raise InputError(f"loss: {OWN!r} stands for a module that Python code gives to fit; found none")


def check_module(loss: Any) -> None:
    """Refuse a loss of one's own that is no module, such as its class or name."""
    if loss is not None and not isinstance(loss, nn.Module):
        raise InputError(f"loss: expected a torch Module, found {loss!r}")


def pose_dim(clips: list[Clip]) -> int | None:
    """Numbers in a pose of these clips, None where they hold frames."""
    return clips[0].values.shape[1] if clips[0].values.ndim == 2 else None
