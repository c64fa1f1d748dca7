"""A transformer over time: each frame's feature meets the other frames of its own clip, and of no other."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, scaled_dot_product_attention

from lacbook.models.positions import rotate, sinusoidal
from lacbook.padding import valid_mask


class TemporalBlock(nn.Module):
    """Pre-norm self-attention over time and a feed-forward layer."""

    def __init__(self, dim: int, heads: int, hidden: int, rotary: bool, drop: float) -> None:
        super().__init__()
        self.heads, self.rotary, self.drop = heads, rotary, drop
        self.norm_attention, self.norm_hidden = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.hidden = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """[B, T, dim] -> [B, T, dim]; `valid` [B, T] says which frames may be attended to."""
        batch, time, dim = x.shape
        q, k, v = self.qkv(self.norm_attention(x)).view(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.rotary:
            q, k = rotate(q), rotate(k)
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=valid[:, None, None, :])
        x = x + dropout(self.out(mixed.transpose(1, 2).reshape(batch, time, dim)), self.drop, self.training)
        return x + dropout(self.hidden(self.norm_hidden(x)), self.drop, self.training)


class TemporalTransformer(nn.Module):
    """A stack of `TemporalBlock` with positions of one kind.

    Parameters
    ----------
    dim, heads, layers, hidden : int
        Feature size, attention heads, blocks, width of the feed-forward layer.
    positions : {"rotary", "sinusoidal", "none"}
    drop : float, default 0.1
        Dropout in training.
    """

    def __init__(
        self,
        dim: int,
        *,
        heads: int = 4,
        layers: int = 2,
        hidden: int = 256,
        positions: str = "rotary",
        drop: float = 0.1,
    ) -> None:
        super().__init__()
        self.positions = positions
        self.blocks = nn.ModuleList(
            TemporalBlock(dim, heads, hidden, rotary=positions == "rotary", drop=drop) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Mix features over time.

        Parameters
        ----------
        features : Tensor [B, T, dim]
        lengths : int Tensor [B]
            Valid frames; the rest is neither read nor meaningful.

        Returns
        -------
        Tensor [B, T, dim]
            Attention holds T x T numbers for each head at most.
        """
        valid = valid_mask(lengths, features.shape[1])
        x = torch.where(valid[:, :, None], features, 0)
        if self.positions == "sinusoidal":
            x = x + sinusoidal(lengths, x.shape[1], x.shape[2])
        for block in self.blocks:
            x = block(x, valid)
        return self.norm(x)
