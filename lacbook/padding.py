"""Batches of sequences of different lengths: padded values and the masks that go with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def valid_mask(lengths: Tensor, size: int) -> Tensor:
    """True for the first `lengths[b]` of `size` frames; bool Tensor [B, size]."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def valid_cells(lengths: Tensor, rows: int, columns: int) -> Tensor:
    """True where both frames are real; bool Tensor [B, rows, columns] of `lengths` [B, 2]."""
    return valid_mask(lengths[:, 0], rows)[:, :, None] & valid_mask(lengths[:, 1], columns)[:, None, :]


def pad(sequences: Sequence[NDArray]) -> tuple[Tensor, Tensor]:
    """Stack arrays of different lengths.

    Parameters
    ----------
    sequences : sequence of arrays [T_b, ...]

    Returns
    -------
    values : Tensor [B, max T_b, ...]
        Zeros past each end.
    lengths : int64 Tensor [B]
    """
    lengths = torch.tensor([len(s) for s in sequences])
    values = torch.zeros(
        len(sequences),
        int(lengths.max()),
        *sequences[0].shape[1:],
        dtype=torch.from_numpy(sequences[0][:0]).dtype,
    )
    for row, sequence in zip(values, sequences, strict=True):
        row[: len(sequence)] = torch.from_numpy(np.ascontiguousarray(sequence))
    return values, lengths
