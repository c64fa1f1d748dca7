"""CARL's sequence contrastive loss (Chen et al., CVPR 2022, arXiv 2203.14957), both ways, with masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from lacbook.padding import valid_mask


def gaussian_target(
    steps_u: Tensor,
    steps_v: Tensor,
    valid_v: Tensor,
    variance: float = 10.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Which frames of view v a frame of view u should resemble: a Gaussian in time, rows sum to 1.

    Parameters
    ----------
    steps_u, steps_v : Tensor [B, N] and [B, M]
        Frame indices in the video both views come from.
    valid_v : bool Tensor [B, M]
        False in padding, which gets weight 0.
    variance : float, default 10
        sigma^2, in squared frames.
    dtype : torch.dtype, default float32
        Of the result.

    Returns
    -------
    Tensor [B, N, M]
    """
    distance = (steps_u[:, :, None] - steps_v[:, None, :]).to(dtype)
    logits = -distance.square() / (2 * variance)
    return logits.masked_fill(~valid_v[:, None, :], -torch.inf).softmax(dim=2)


def scl_loss(
    z_u: Tensor,
    z_v: Tensor,
    steps_u: Tensor,
    steps_v: Tensor,
    lengths: Tensor,
    *,
    variance: float = 10.0,
    tau: float = 0.1,
) -> Tensor:
    """KL divergence from the Gaussian target to softmax(cosine / tau), both ways, mean over valid frames.

    Parameters
    ----------
    z_u, z_v : Tensor [B, N, E] and [B, M, E]
        Embeddings of the two views.
    steps_u, steps_v : Tensor [B, N] and [B, M]
        Frame indices in the video.
    lengths : int Tensor [B, 2]
        Valid frames of each view; padding has no influence.
    variance : float, default 10
        sigma^2 of the target, in squared frames.
    tau : float, default 0.1
        Temperature of the prediction.

    Returns
    -------
    Tensor, scalar
        At least 0, and 0 only where the prediction equals the target.
    """
    valid_u, valid_v = valid_mask(lengths[:, 0], z_u.shape[1]), valid_mask(lengths[:, 1], z_v.shape[1])
    logits = normalize(z_u, dim=-1) @ normalize(z_v, dim=-1).transpose(1, 2) / tau
    forth = gaussian_target(steps_u, steps_v, valid_v, variance, logits.dtype)
    back = gaussian_target(steps_v, steps_u, valid_u, variance, logits.dtype)
    total = _kl(forth, logits, valid_u, valid_v) + _kl(back, logits.transpose(1, 2), valid_v, valid_u)
    return total / lengths.sum()


def _kl(target: Tensor, logits: Tensor, valid_rows: Tensor, valid_columns: Tensor) -> Tensor:
    """Sum over valid rows of KL(target || softmax(logits)), columns in padding left out."""
    # A finite fill keeps 0 * log p at 0 in padding.
    log_p = logits.masked_fill(~valid_columns[:, None, :], torch.finfo(logits.dtype).min).log_softmax(dim=2)
    rows = torch.special.xlogy(target, target).sum(2) - (
        target * log_p.masked_fill(~valid_columns[:, None, :], 0)
    ).sum(2)
    return rows[valid_rows].sum()


class SCLLoss(nn.Module):
    """`scl_loss` with the interface of every loss here: views in, named parts out.

    Parameters
    ----------
    variance, tau : float
        See `scl_loss`.
    """

    def __init__(self, *, variance: float = 10.0, tau: float = 0.1) -> None:
        super().__init__()
        self.variance, self.tau = variance, tau

    def forward(
        self, z_u: Tensor, z_v: Tensor, steps_u: Tensor, steps_v: Tensor, lengths: Tensor
    ) -> dict[str, Tensor]:
        """``{"loss": ...}`` of a batch of view pairs; arguments as in `scl_loss`."""
        return {"loss": scl_loss(z_u, z_v, steps_u, steps_v, lengths, variance=self.variance, tau=self.tau)}
