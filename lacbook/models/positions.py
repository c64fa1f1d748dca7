"""How the transformer learns of time: rotary (relative), sinusoidal (absolute, stretched), or not at all."""

from __future__ import annotations

import torch
from torch import Tensor

POSITIONS = ("rotary", "sinusoidal", "none")


def rotate(x: Tensor, base: float = 10_000.0) -> Tensor:
    """Turn pairs of features by angles that grow with the frame index (RoPE, Su et al., arXiv 2104.09864).

    Products of queries and keys turned this way depend on the distance in time alone, so nothing tells a
    frame its place in the clip.

    Parameters
    ----------
    x : Tensor [B, H, T, d]
        Queries or keys, d even.
    base : float
        Longest wavelength is about 2 pi base frames.

    Returns
    -------
    Tensor [B, H, T, d]
    """
    half = x.shape[-1] // 2
    frequency = base ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = torch.arange(x.shape[-2], device=x.device, dtype=torch.float32)[:, None] * frequency
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def sinusoidal(lengths: Tensor, size: int, dim: int, span: float = 32.0) -> Tensor:
    """Sine and cosine codes of normalised time, as LAC and CARL use them.

    Each clip is stretched to positions 0 to span - 1, so that a frame's code *is* its normalised time and an
    encoder can score by counting frames. Kept to compare with.

    Parameters
    ----------
    lengths : int Tensor [B]
        Valid frames of each clip.
    size, dim : int
        Frames and features of the result, dim even.
    span : float, default 32

    Returns
    -------
    Tensor [B, size, dim]
    """
    frame = torch.arange(size, device=lengths.device, dtype=torch.float32)
    position = frame * (span - 1) / (lengths[:, None] - 1).clamp(min=1)
    frequency = 10_000.0 ** (-torch.arange(dim // 2, device=lengths.device, dtype=torch.float32) / (dim // 2))
    angle = position[:, :, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
