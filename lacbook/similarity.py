"""Similarity of the frames of two videos: bigger means more alike, 0 means unrelated."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def cosine(x: Tensor, y: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """Cosine minus a margin, the default: unrelated frames score below zero, so that an alignment can end.

    Parameters
    ----------
    x, y : Tensor [..., N, E] and [..., M, E]
        Embeddings.
    margin : float or scalar Tensor, default 0
        Cosine at which two frames count as unrelated.

    Returns
    -------
    Tensor [..., N, M]
        Holds N x M numbers a pair.
    """
    return normalize(x, dim=-1) @ normalize(y, dim=-1).transpose(-1, -2) - margin


def negative_squared_distance(x: Tensor, y: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """Margin minus the squared Euclidean distance; shapes as in `cosine`.

    With a margin of 0 no pair of frames ever scores above 0, so set it to a distance at which frames are
    unrelated.
    """
    return margin - _squared_distance(x, y)


def inverse_distance(x: Tensor, y: Tensor, epsilon: float = 1e-8) -> Tensor:
    """One over the squared distance, as in LAC's released code; shapes as in `cosine`.

    Positive everywhere, so that extending an alignment always pays and nothing stays local. Kept to compare
    with.
    """
    return 1.0 / (_squared_distance(x, y) + epsilon)


def _squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances [..., N, M] by a product of matrices, never an N x M x E array."""
    squares = x.square().sum(-1).unsqueeze(-1) + y.square().sum(-1).unsqueeze(-2)
    return torch.clamp(squares - 2 * x @ y.transpose(-1, -2), min=0)
