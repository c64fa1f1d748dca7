"""CARL's sequence contrastive loss (Chen et al., CVPR 2022, arXiv 2203.14957), both ways, with masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from lacbook.padding import valid_mask

NEGATIVES = ("single_noself", "batch_noself")


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
    negatives: str = "single_noself",
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
    negatives : {"single_noself", "batch_noself"}
        What the softmax runs over, in CARL's words: the frames of the other view, or besides them those of
        both views of every other video in the batch. A frame's own view is left out either way.

    Returns
    -------
    Tensor, scalar
        At least 0, and 0 only where the prediction equals the target. ``batch_noself`` holds a number for
        every two frames of the batch.

    Raises
    ------
    ValueError
        `negatives` is none of these.
    """
    if negatives not in NEGATIVES:
        raise ValueError(f"negatives: {negatives!r} is unknown; choose from {', '.join(NEGATIVES)}")
    valid_u, valid_v = valid_mask(lengths[:, 0], z_u.shape[1]), valid_mask(lengths[:, 1], z_v.shape[1])
    # Zeros in the padding, for a NaN would pass the products of the backward pass, even times 0.
    z_u, z_v = (
        normalize(torch.where(valid[:, :, None], z, 0), dim=-1)
        for z, valid in ((z_u, valid_u), (z_v, valid_v))
    )
    logits = z_u @ z_v.transpose(1, 2) / tau
    forth = gaussian_target(steps_u, steps_v, valid_v, variance, logits.dtype)
    back = gaussian_target(steps_v, steps_u, valid_u, variance, logits.dtype)
    total = _kl(forth, logits, valid_u, valid_v) + _kl(back, logits.transpose(1, 2), valid_v, valid_u)
    if negatives == "batch_noself":
        of_others = _of_other_videos(z_u, z_v, valid_u, valid_v, tau)
        total = total + _kl_of_negatives(logits, of_others[0], valid_u, valid_v)
        total = total + _kl_of_negatives(logits.transpose(1, 2), of_others[1], valid_v, valid_u)
    return total / lengths.sum()


def _of_other_videos(
    z_u: Tensor, z_v: Tensor, valid_u: Tensor, valid_v: Tensor, tau: float
) -> tuple[Tensor, Tensor]:
    """Logsumexp of each frame's logits to the frames of other videos, [B, N] and [B, M].

    About the smallest number where there is no other video.
    """
    frames, valid = torch.cat([z_u, z_v], dim=1), torch.cat([valid_u, valid_v], dim=1)
    logits = torch.einsum("bne,cme->bncm", frames, frames) / tau
    own = torch.eye(len(frames), dtype=torch.bool, device=frames.device)[:, None, :, None]
    # Finite, since -inf alone in a row would have no gradient, not even 0.
    logits = logits.masked_fill(own | ~valid, torch.finfo(logits.dtype).min)
    u, v = logits.flatten(2).logsumexp(2).split([z_u.shape[1], z_v.shape[1]], dim=1)
    return u, v


def _kl_of_negatives(logits: Tensor, of_others: Tensor, valid_rows: Tensor, valid_columns: Tensor) -> Tensor:
    """What more negatives add to `_kl`: the targets sum to 1, so it is how much the softmax's sum grows."""
    smallest = torch.finfo(logits.dtype).min
    of_other_view = logits.masked_fill(~valid_columns[:, None, :], smallest).logsumexp(2)
    return (torch.logaddexp(of_other_view, of_others) - of_other_view)[valid_rows].sum()


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
    variance, tau, negatives
        See `scl_loss`.
    """

    def __init__(self, *, variance: float = 10.0, tau: float = 0.1, negatives: str = "single_noself") -> None:
        super().__init__()
        self.variance, self.tau, self.negatives = variance, tau, negatives

    def forward(
        self, z_u: Tensor, z_v: Tensor, steps_u: Tensor, steps_v: Tensor, lengths: Tensor
    ) -> dict[str, Tensor]:
        """``{"loss": ...}`` of a batch of view pairs; arguments as in `scl_loss`."""
        loss = scl_loss(
            *(z_u, z_v, steps_u, steps_v, lengths),
            variance=self.variance,
            tau=self.tau,
            negatives=self.negatives,
        )
        return {"loss": loss}
