"""The encoder: frames or poses -> frame encoder -> transformer over time -> linear -> unit embeddings.

What never changes within a clip (room, clothes, build) says nothing of time but dominates frames. So the
encoder sees how far each pixel is from its mean over the clip, whichever way, since a dark sleeve before a
bright wall moves like a bright one before a dark wall; and it standardises every feature over the clip. Ours:
without it training hardly starts in the few hundred steps a laptop has time for, and other people's clips
land elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from lacbook.errors import InputError
from lacbook.models.frame_encoders import ConvFrameEncoder, PoseEncoder
from lacbook.models.positions import POSITIONS
from lacbook.models.transformer import TemporalTransformer
from lacbook.padding import valid_mask

FRAME_ENCODERS = ("auto", "conv", "pose")


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of a `VideoEncoder`.

    Parameters
    ----------
    frame_encoder : str
        conv (reads frames), pose (reads poses), or auto: whichever fits the data.
    positions : str
        rotary, sinusoidal or none; rotary shows a frame the distance to its neighbours, not its own place in
        the clip.
    dim : int
        Size of a feature.
    layers : int
        Transformer blocks.
    heads : int
        Attention heads of a block.
    hidden : int
        Width of a block's feed-forward layer.
    embedding_dim : int
        Size E of an embedding.
    drop : float
        Dropout in training.
    """

    frame_encoder: str = "auto"
    positions: str = "rotary"
    dim: int = 128
    layers: int = 2
    heads: int = 4
    hidden: int = 256
    embedding_dim: int = 64
    drop: float = 0.1

    def check(self) -> None:
        """Raise `InputError` for a setting that no encoder can have."""
        for name, options in (("frame_encoder", FRAME_ENCODERS), ("positions", POSITIONS)):
            if getattr(self, name) not in options:
                raise InputError(
                    f"{name}: {getattr(self, name)!r} is unknown; choose from {', '.join(options)}"
                )
        for name in ("dim", "layers", "heads", "hidden", "embedding_dim"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected 1 or more, found {getattr(self, name)}")
        if not 0 <= self.drop < 1:
            raise InputError(f"drop: expected at least 0 and below 1, found {self.drop}")
        if self.dim % (2 * self.heads):
            raise InputError(f"dim: {self.dim} is not a multiple of twice the {self.heads} heads")


class VideoEncoder(nn.Module):
    """Frame-wise embeddings of clips.

    Parameters
    ----------
    config : EncoderConfig
    pose_dim : int, optional
        Numbers in a pose; only for the pose encoder.
    """

    def __init__(self, config: EncoderConfig, pose_dim: int | None = None) -> None:
        super().__init__()
        config.check()
        self.config = config
        if config.frame_encoder == "auto":
            raise ValueError("frame_encoder: 'auto' is for TrainConfig; a VideoEncoder needs conv or pose")
        if config.frame_encoder == "pose":
            if pose_dim is None:
                raise ValueError(
                    "pose_dim: the pose encoder needs the number of values in a pose, found None"
                )
            self.frames: nn.Module = PoseEncoder(pose_dim, config.dim)
        else:
            self.frames = ConvFrameEncoder(config.dim)
        self.transformer = TemporalTransformer(
            config.dim,
            heads=config.heads,
            layers=config.layers,
            hidden=config.hidden,
            positions=config.positions,
            drop=config.drop,
        )
        self.embed = nn.Linear(config.dim, config.embedding_dim)

    def forward(self, clips: Tensor, lengths: Tensor) -> Tensor:
        """Embed a padded batch.

        Parameters
        ----------
        clips : Tensor [B, T, 3, H, W] in [0, 1], or [B, T, P]
        lengths : int Tensor [B]
            Valid frames of each clip; padding changes nothing.

        Returns
        -------
        Tensor [B, T, E]
            Unit vectors.
        """
        valid = valid_mask(lengths, clips.shape[1])
        if clips.ndim == 5:
            clips = (clips - mean_over_time(clips, valid)).abs()
        per_frame = self.frames(clips[valid])  # padding is not worth computing
        features = per_frame.new_zeros(*valid.shape, self.config.dim)
        features[valid] = per_frame
        features = standardise_over_time(features, valid)
        return normalize(self.embed(self.transformer(features, lengths)), dim=-1)


def mean_over_time(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of the valid frames of each clip; [B, T, ...] -> [B, 1, ...]. Padding is not read, even NaN."""
    mask = valid.view(*valid.shape, *[1] * (values.ndim - 2))
    return torch.where(mask, values, 0).sum(1, keepdim=True) / mask.sum(1, keepdim=True)


def standardise_over_time(features: Tensor, valid: Tensor, epsilon: float = 1e-2) -> Tensor:
    """Give each feature of each clip mean 0 and variance 1 over its valid frames; [B, T, d] -> [B, T, d]."""
    centred = features - mean_over_time(features, valid)
    return centred * (mean_over_time(centred.square(), valid) + epsilon).rsqrt()
