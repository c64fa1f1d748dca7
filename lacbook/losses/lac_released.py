"""The objective of LAC's code as released in September 2024, with exact gradients. Kept to compare with.

What is wrong with it is the subject of notebook 14. What is repaired is the gradient, which in the released
code is not that of its own value (its cross-entropy, for one, trains nothing there), and what would stop a
run: 1e-8 is added to the squared distance, padding is left out, softmaxes do not overflow.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lacbook.alignment import soft_smith_waterman
from lacbook.losses.scl import gaussian_target
from lacbook.padding import valid_cells, valid_mask
from lacbook.similarity import inverse_distance


def released_terms(
    z_u: Tensor,
    z_v: Tensor,
    steps_u: Tensor,
    steps_v: Tensor,
    lengths: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float = 0.8,
    variance: float = 10.0,
) -> tuple[Tensor, Tensor]:
    """Contrastive and local term of the released code, which minimises contrast + 0.01 local.

    With S = 1 / d^2, the tables D_uv of S and D_vu of its transpose under the same penalties, their scores V,
    and P the softmax of a table's rows::

        local    = mean_i CE(logits (P_uv P_vu^T)_i, target_i) + V_uv + V_vu
        contrast = 1 / T^2 sum_ij target_ij (log target_ij - log(softmax_j(u_i v_j / t) + 1e-6))

    The scores are of a *similarity* and have a plus sign, so that minimising them pushes matched frames
    apart. The probabilities P P^T, from 0 to 1, stand where logits belong.

    Parameters
    ----------
    z_u, z_v : Tensor [B, T, E]
        Embeddings. Padding is not read, even NaN.
    steps_u, steps_v : int Tensor [B, T]
        Frame indices in the video.
    lengths : int Tensor [B, 2]
        Valid frames; the same number in both views of a pair.
    gap_open, gap_extend : Tensor, shape (), (T, T) or (B, T, T)
        Of both directions, not transposed for the second.
    temperature : float, default 0.8
        Of the alignment and of the contrastive softmax.
    variance : float, default 10
        sigma^2 of the Gaussian target, in squared frames.

    Returns
    -------
    contrast, local : Tensor, scalars
        Means over pairs, computed in float64 where the device has it: 1 / d^2 reaches 1e8.

    Raises
    ------
    ValueError
        The two views of a pair differ in length, for which the objective has no meaning.
    """
    if z_u.shape != z_v.shape or (lengths[:, 0] != lengths[:, 1]).any():
        raise ValueError(
            f"lengths: views of {lengths.tolist()} frames; the released objective expects as many in both"
        )
    size, dtype = z_u.shape[1], z_u.dtype
    wide = dtype if z_u.device.type == "mps" else torch.float64
    valid, cells = valid_mask(lengths[:, 0], size), valid_cells(lengths, size, size)
    u, v = (torch.where(valid[:, :, None], z, 0).to(wide) for z in (z_u, z_v))
    similarity = inverse_distance(u, v)
    go, ge = gap_open.to(wide), gap_extend.to(wide)
    forth, back = (
        soft_smith_waterman(s, go, ge, temperature=temperature, lengths=lengths)
        for s in (similarity, similarity.transpose(1, 2))
    )
    target = gaussian_target(steps_u, steps_v, valid, variance, wide)
    n = lengths[:, 0].to(wide)

    probabilities = _rows(forth.table, cells).exp() @ _rows(back.table, cells).exp().transpose(1, 2)
    cross_entropy = -torch.where(cells, target * _rows(probabilities, cells), 0).sum((1, 2)) / n
    local = cross_entropy + forth.score + back.score

    predicted = _rows(u @ v.transpose(1, 2) / temperature, cells).exp()
    divergence = torch.special.xlogy(target, target) - target * torch.log(predicted + 1e-6)
    contrast = torch.where(cells, divergence, 0).sum((1, 2)) / n.square()
    return contrast.mean().to(dtype), local.mean().to(dtype)


def _rows(values: Tensor, cells: Tensor) -> Tensor:
    """Log-softmax of the rows of each pair over its valid cells; about the smallest number elsewhere."""
    smallest = torch.finfo(values.dtype).min / 4
    inside = torch.where(cells, values, smallest).log_softmax(2)
    return torch.where(cells, inside, smallest)
