"""Time-contrastive loss in single views (TCN; Sermanet et al., ICRA 2018, arXiv 1704.06888), in two forms.

A frame should resemble one shown a moment before or after it more than frames of other times in its view.

- ``n_pairs``: the form that TCC's code trains as its TCN baseline, and LAV's and CARL's after it.
- ``triplet``: the form of LAC's TCN baseline, nearer to Sermanet's own.

What is drawn, anchors with their positives and negatives, comes from torch's global random numbers, which
training seeds anew every epoch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, triplet_margin_loss

from lacbook.padding import valid_mask

FORMS = ("n_pairs", "triplet")


def draw_pairs(steps: Tensor, lengths: Tensor, window: int = 5) -> tuple[Tensor, Tensor]:
    """Every `window`-th frame of the view, from a random start, as anchor, with one from shortly before it.

    Parameters
    ----------
    steps : int Tensor [B, N]
        Strictly increasing frame indices within the lengths. Padding is not read.
    lengths : int Tensor [B]
        Valid frames of each view.
    window : int, default 5
        A positive is drawn among the frames 1 to `window` video frames before its anchor; a frame that has
        none is no anchor.

    Returns
    -------
    anchors : bool Tensor [B, N]
    positives : int64 Tensor [B, N]
        Position in the view of each anchor's positive; of no meaning elsewhere.
    """
    valid = valid_mask(lengths, steps.shape[1])
    before = steps[:, :, None] - steps[:, None, :]
    positives, exists = _draw_column(valid[:, None, :] & (before >= 1) & (before <= window))
    start = torch.randint(window, (len(steps), 1), device=steps.device)
    turn = (torch.arange(steps.shape[1], device=steps.device) - start) % window == 0
    return valid & exists & turn, positives


def draw_triplets(
    steps: Tensor, lengths: Tensor, near: int = 10, far: int = 30
) -> tuple[Tensor, Tensor, Tensor]:
    """Every frame as anchor, with one near and one far frame of its view.

    Parameters
    ----------
    steps : int Tensor [B, N]
        Strictly increasing frame indices within the lengths. Padding is not read.
    lengths : int Tensor [B]
        Valid frames of each view.
    near, far : int, default 10 and 30
        A positive is another frame at most `near` video frames away, a negative one at least `far`. A frame
        that lacks either is no anchor: a view of 64 consecutive frames leaves none out, but one of 32 keeps
        only the 4 frames at its ends, and one that spans less than `far` frames has no anchor at all.

    Returns
    -------
    anchors : bool Tensor [B, N]
    positives, negatives : int64 Tensor [B, N]
        Positions in the view for each anchor; of no meaning elsewhere.
    """
    valid = valid_mask(lengths, steps.shape[1])
    distance = (steps[:, :, None] - steps[:, None, :]).abs()
    positives, has_positive = _draw_column(valid[:, None, :] & (distance >= 1) & (distance <= near))
    negatives, has_negative = _draw_column(valid[:, None, :] & (distance >= far))
    return valid & has_positive & has_negative, positives, negatives


def _draw_column(allowed: Tensor) -> tuple[Tensor, Tensor]:
    """One of the allowed columns of each row [..., N, N], all as likely, and whether there is any."""
    noise = torch.rand(allowed.shape, dtype=torch.float32, device=allowed.device)
    return noise.masked_fill(~allowed, -1).argmax(-1), allowed.any(-1)


def n_pairs_loss(
    z: Tensor, steps: Tensor, anchors: Tensor, positives: Tensor, *, tau: float = 0.1, window: int = 5
) -> Tensor:
    """Cross-entropy that asks each anchor for its own positive among those of the view's anchors.

    The logits are A P^T / tau, the target is the diagonal, and the mean is over all anchors of the batch.
    Deviations from TCC's code, where embeddings are unbounded: the temperature is ours, since cosines by
    themselves hardly differ in a softmax; its penalty 0.0005 (mean |A|^2 + mean |P|^2) is left out, being
    constant on unit vectors; and the positive of another anchor that lies within `window` frames of this one
    is no negative (ours): in a short view it may be the anchor itself.

    Parameters
    ----------
    z : Tensor [B, N, E]
        Unit vectors, finite even in padding.
    steps : int Tensor [B, N]
    anchors, positives : Tensor [B, N]
        From `draw_pairs`.
    tau : float, default 0.1
    window : int, default 5
        That of `draw_pairs`.

    Returns
    -------
    Tensor, scalar
        0 without anchors.
    """
    logits = z @ z.gather(1, positives[:, :, None].expand_as(z)).transpose(1, 2) / tau
    distance = (steps[:, :, None] - steps.gather(1, positives)[:, None, :]).abs()
    own = torch.eye(z.shape[1], dtype=torch.bool, device=z.device)
    candidates = anchors[:, None, :] & (own | (distance > window))
    target = anchors.nonzero()[:, 1]
    total = cross_entropy(logits.masked_fill(~candidates, -torch.inf)[anchors], target, reduction="sum")
    return total / max(len(target), 1)


def triplet_loss(
    z: Tensor, anchors: Tensor, positives: Tensor, negatives: Tensor, *, margin: float = 0.2
) -> Tensor:
    """Mean over anchors of max(0, |a - p| - |a - n| + margin), with Euclidean distances.

    Parameters
    ----------
    z : Tensor [B, N, E]
        Unit vectors, finite even in padding.
    anchors, positives, negatives : Tensor [B, N]
        From `draw_triplets`.
    margin : float, default 0.2

    Returns
    -------
    Tensor, scalar
        0 without anchors.
    """
    view, frame = anchors.nonzero(as_tuple=True)
    near, far = z[view, positives[anchors]], z[view, negatives[anchors]]
    return triplet_margin_loss(z[view, frame], near, far, margin=margin, reduction="sum") / max(len(view), 1)


def tcn_loss(
    z: Tensor,
    steps: Tensor,
    lengths: Tensor,
    *,
    form: str = "n_pairs",
    tau: float = 0.1,
    window: int = 5,
    near: int = 10,
    far: int = 30,
    margin: float = 0.2,
) -> Tensor:
    """Draw, and compare: `n_pairs_loss` or `triplet_loss` of each view by itself, mean over anchors.

    Parameters
    ----------
    z : Tensor [B, N, E]
        Embeddings of the views, unit vectors. Padding is not read, even NaN.
    steps : int Tensor [B, N]
        Strictly increasing frame indices in the video.
    lengths : int Tensor [B]
        Valid frames of each view.
    form : str, default "n_pairs"
        Or "triplet".
    tau, window : float, int
        Of ``n_pairs``; see `n_pairs_loss` and `draw_pairs`.
    near, far, margin : int, int, float
        Of ``triplet``; see `draw_triplets` and `triplet_loss`.

    Returns
    -------
    Tensor, scalar
        0, with a gradient of 0, where the views are too short for any anchor.

    Raises
    ------
    ValueError
        `form` is unknown, `tau` not above 0, `window` or `near` below 1, or `far` not above `near`.
    """
    _check(form, tau, window, near, far)
    # Zeros in the padding, for a NaN would pass the products of the backward pass, even times 0.
    z = torch.where(valid_mask(lengths, z.shape[1])[:, :, None], z, 0)
    if form == "n_pairs":
        return n_pairs_loss(z, steps, *draw_pairs(steps, lengths, window), tau=tau, window=window)
    return triplet_loss(z, *draw_triplets(steps, lengths, near, far), margin=margin)


def _check(form: str, tau: float, window: int, near: int, far: int) -> None:
    if form not in FORMS:
        raise ValueError(f"form: {form!r} is unknown; choose from {', '.join(FORMS)}")
    if not tau > 0:
        raise ValueError(f"tau: found {tau}, expected a number above 0")
    if window < 1:
        raise ValueError(f"window: found {window}, expected at least 1 frame")
    if not 1 <= near < far:
        raise ValueError(f"near, far: found {near} and {far}, expected 1 <= near < far")


class TCNLoss(nn.Module):
    """`tcn_loss` with the interface of every loss here: views in, named parts out.

    Parameters
    ----------
    form, tau, window, near, far, margin
        See `tcn_loss`.

    Raises
    ------
    ValueError
        As `tcn_loss`.
    """

    # It looks at one view at a time, so it needs no second video; two views give it twice the draws.
    pairs = "two_views"

    def __init__(
        self,
        *,
        form: str = "n_pairs",
        tau: float = 0.1,
        window: int = 5,
        near: int = 10,
        far: int = 30,
        margin: float = 0.2,
    ) -> None:
        super().__init__()
        _check(form, tau, window, near, far)
        self.form, self.tau, self.window = form, tau, window
        self.near, self.far, self.margin = near, far, margin

    def forward(
        self, z_u: Tensor, z_v: Tensor, steps_u: Tensor, steps_v: Tensor, lengths: Tensor
    ) -> dict[str, Tensor]:
        """``{"loss": ...}``, the mean of the loss of views u and that of views v, which never meet.

        Parameters
        ----------
        z_u, z_v : Tensor [B, N, E] and [B, M, E]
            Embeddings of the views, unit vectors. Padding is not read, even NaN.
        steps_u, steps_v : int Tensor [B, N] and [B, M]
            Frame indices in the video.
        lengths : int Tensor [B, 2]
            Valid frames of each view.
        """
        loss_u, loss_v = (
            tcn_loss(
                *(z, steps, lengths[:, k]),
                form=self.form,
                tau=self.tau,
                window=self.window,
                near=self.near,
                far=self.far,
                margin=self.margin,
            )
            for k, (z, steps) in enumerate(((z_u, steps_u), (z_v, steps_v)))
        )
        return {"loss": (loss_u + loss_v) / 2}
