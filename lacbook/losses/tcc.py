"""Temporal cycle-consistency (TCC; Dwibedi et al., CVPR 2019, arXiv 1904.07846): there and back in time.

From frame i of a video go to its soft nearest neighbour in another video, and from there back; the loss asks
to come back to i.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lacbook.padding import valid_mask
from lacbook.similarity import negative_squared_distance

FORMS = ("regression", "classification")
# Added to the variance of the returned time: the square of a thousandth of the view. Not a floor, which would
# have no gradient just where a cycle is sure of the wrong frame.
LEAST_VARIANCE = 1e-6


def cycle_back_logits(x: Tensor, y: Tensor, valid_x: Tensor, valid_y: Tensor, tau: float = 0.1) -> Tensor:
    """Where the frames of x come back to by way of y: softmax over the last axis gives beta.

    With alpha_ij = softmax_j(-|x_i - y_j|^2 / tau) and the soft nearest neighbour y~_i = sum_j alpha_ij y_j,
    the logits are -|y~_i - x_k|^2 / tau.

    Parameters
    ----------
    x, y : Tensor [B, N, E] and [B, M, E]
        Embeddings of two videos, finite even in padding.
    valid_x, valid_y : bool Tensor [B, N] and [B, M]
        False in padding, which is neither gone to nor come back to.
    tau : float, default 0.1

    Returns
    -------
    Tensor [B, N, N]
        Start i in rows, return k in columns; -inf where k is padding.
    """
    there = (negative_squared_distance(x, y) / tau).masked_fill(~valid_y[:, None, :], -torch.inf)
    neighbour = there.softmax(2) @ y
    return (negative_squared_distance(neighbour, x) / tau).masked_fill(~valid_x[:, None, :], -torch.inf)


def _regression(logits: Tensor, times: Tensor, variance_weight: float) -> Tensor:
    """(t_i - mu_i)^2 / sigma_i^2 + variance_weight * log sigma_i^2 of each row; [B, N]."""
    beta = logits.softmax(2)
    mean = (beta * times[:, None, :]).sum(2)
    variance = (beta * (times[:, None, :] - mean[:, :, None]).square()).sum(2) + LEAST_VARIANCE
    return (times - mean).square() / variance + variance_weight * variance.log()


def _classification(logits: Tensor, valid: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of each row with its own index, smoothed over the valid frames; [B, N]."""
    log_beta = logits.log_softmax(2)
    own = log_beta.diagonal(dim1=1, dim2=2)
    mean = log_beta.masked_fill(~valid[:, None, :], 0).sum(2) / valid.sum(1, keepdim=True)
    return -(1 - smoothing) * own - smoothing * mean


def tcc_loss(
    z_u: Tensor,
    z_v: Tensor,
    steps_u: Tensor,
    steps_v: Tensor,
    lengths: Tensor,
    *,
    form: str = "regression",
    tau: float = 0.1,
    variance_weight: float = 0.001,
    smoothing: float = 0.1,
) -> Tensor:
    """How far cycles u -> v -> u and v -> u -> v end from their start, mean over all valid frames.

    With beta from `cycle_back_logits`, mu_i = sum_k beta_ik t_k and sigma_i^2 = sum_k beta_ik (t_k - mu_i)^2,
    ``regression`` is::

        (t_i - mu_i)^2 / sigma_i^2 + variance_weight * log sigma_i^2

    The paper prints log sigma, its code takes log sigma^2, and so do we. ``classification`` is the
    cross-entropy of beta with the frame i itself.

    The times t are the frame indices, scaled to run from 0 to 1 over a view. The unit of time matters little:
    another one leaves the first term as it is and adds a constant to the second. 1e-6 is added to sigma^2
    (ours), for with a perfectly sharp beta it would be 0.

    The code divides squared distances by tau times the number of channels, for embeddings of any length. On
    unit vectors they are at most 4 whatever the number of channels, so they are divided by tau alone (ours).

    Parameters
    ----------
    z_u, z_v : Tensor [B, N, E] and [B, M, E]
        Embeddings of two videos of an action, unit vectors. Padding is not read, even NaN.
    steps_u, steps_v : int Tensor [B, N] and [B, M]
        Strictly increasing frame indices, each in its own video.
    lengths : int Tensor [B, 2]
        Valid frames of each.
    form : str, default "regression"
        Or "classification".
    tau : float, default 0.1
        Temperature of both nearest neighbours.
    variance_weight : float, default 0.001
        Lambda, of ``regression``.
    smoothing : float, default 0.1
        Of the labels of ``classification``, over the valid frames.

    Returns
    -------
    Tensor, scalar
        Below 0 where cycles return well, for log sigma^2 is.

    Raises
    ------
    ValueError
        `form` is unknown, `tau` not above 0, or `smoothing` not from 0 to 1.
    """
    _check(form, tau, smoothing)
    valid_u, valid_v = valid_mask(lengths[:, 0], z_u.shape[1]), valid_mask(lengths[:, 1], z_v.shape[1])
    # Zeros in the padding, for a NaN would pass the products of the backward pass, even times 0.
    z_u, z_v = (torch.where(valid[:, :, None], z, 0) for z, valid in ((z_u, valid_u), (z_v, valid_v)))
    total = z_u.new_zeros(())
    for x, y, valid_x, valid_y, steps in (
        (z_u, z_v, valid_u, valid_v, steps_u),
        (z_v, z_u, valid_v, valid_u, steps_v),
    ):
        logits = cycle_back_logits(x, y, valid_x, valid_y, tau)
        if form == "regression":
            frames = _regression(logits, _unit_times(steps, valid_x, x.dtype), variance_weight)
        else:
            frames = _classification(logits, valid_x, smoothing)
        total = total + frames[valid_x].sum()
    return total / lengths.sum()


def _unit_times(steps: Tensor, valid: Tensor, dtype: torch.dtype) -> Tensor:
    """Frame indices scaled to run from 0 to 1 over each view; 0 in padding and in a view of one frame."""
    since_first = torch.where(valid, steps - steps[:, :1], 0).to(dtype)
    return since_first / since_first.amax(1, keepdim=True).clamp(min=1)


def _check(form: str, tau: float, smoothing: float) -> None:
    if form not in FORMS:
        raise ValueError(f"form: {form!r} is unknown; choose from {', '.join(FORMS)}")
    if not tau > 0:
        raise ValueError(f"tau: found {tau}, expected a number above 0")
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing: found {smoothing}, expected a number from 0 to 1")


class TCCLoss(nn.Module):
    """`tcc_loss` with the interface of every loss here: videos in, named parts out.

    Parameters
    ----------
    form, tau, variance_weight, smoothing
        See `tcc_loss`.

    Raises
    ------
    ValueError
        As `tcc_loss`.
    """

    # Two views of one video return by whatever marks that video; only what another video shares leads back.
    pairs = "same_action"

    def __init__(
        self,
        *,
        form: str = "regression",
        tau: float = 0.1,
        variance_weight: float = 0.001,
        smoothing: float = 0.1,
    ) -> None:
        super().__init__()
        _check(form, tau, smoothing)
        self.form, self.tau = form, tau
        self.variance_weight, self.smoothing = variance_weight, smoothing

    def forward(
        self, z_u: Tensor, z_v: Tensor, steps_u: Tensor, steps_v: Tensor, lengths: Tensor
    ) -> dict[str, Tensor]:
        """``{"loss": ...}`` of a batch of video pairs; arguments as in `tcc_loss`."""
        loss = tcc_loss(
            *(z_u, z_v, steps_u, steps_v, lengths),
            form=self.form,
            tau=self.tau,
            variance_weight=self.variance_weight,
            smoothing=self.smoothing,
        )
        return {"loss": loss}
