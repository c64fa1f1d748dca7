"""LAV: soft-DTW between two videos, and a term within each that keeps their frames apart.

Haresh et al., "Learning by Aligning Videos in Time", CVPR 2021 (arXiv 2103.17260). Soft-DTW alone is lowest
where all frames have one embedding, so the other term, Contrastive-IDM (after the inverse difference
moment), pulls frames of one video together where they are near in time and pushes them apart elsewhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lacbook.alignment import soft_dtw
from lacbook.padding import valid_cells, valid_mask
from lacbook.similarity import cosine

PUBLISHED_LENGTH = 20  # frames of each video in the paper's code, for which it balances the two terms


def contrastive_idm(
    z: Tensor, steps: Tensor, lengths: Tensor, *, window: int = 10, margin: float = 2.0
) -> Tensor:
    """Sum over pairs of frames of one video: attraction within the window, repulsion beyond it.

    With d2 the squared distance, s the frame indices and t the times scaled to [0, 1], frames i and j cost::

        d2[i, j]                                            where |s_i - s_j| <= window
        (1 + (t_i - t_j)^2) * max(0, margin - d2[i, j])     elsewhere

    Parameters
    ----------
    z : Tensor [B, N, E]
        Embeddings of one view, taken as unit vectors. Padding must be finite.
    steps : int Tensor [B, N]
        Frame indices in the video, increasing.
    lengths : int Tensor [B]
        Valid frames.
    window : int, default 10
        In frames of the video.
    margin : float, default 2
        The squared distance of unit vectors at a right angle: at it, distant frames stop repelling.

    Returns
    -------
    Tensor [B]
        Each pair counts twice and a frame with itself costs 0, as in the paper's code; so the sum grows with
        the square of the length.

    Notes
    -----
    The code scales times by the length of the video, which it samples from end to end. Ours knows only the
    view, and scales by the time from its first frame to its last.
    """
    last = steps.gather(1, lengths[:, None] - 1)
    span = (last - steps[:, :1]).clamp(min=1)
    apart = (steps[:, :, None] - steps[:, None, :]).abs()
    distance = _squared_distance(z, z)
    weight = 1 + (apart.to(z.dtype) / span[:, :, None]).square()
    cost = torch.where(apart <= window, distance, weight * (margin - distance).clamp(min=0))
    valid = valid_cells(torch.stack([lengths, lengths], 1), z.shape[1], z.shape[1])
    return torch.where(valid, cost, 0).sum((1, 2))


def lav_loss(
    z_u: Tensor,
    z_v: Tensor,
    steps_u: Tensor,
    steps_v: Tensor,
    lengths: Tensor,
    *,
    temperature: float = 0.1,
    weight: float = 0.5,
    window: int = 10,
    margin: float = 2.0,
) -> dict[str, Tensor]:
    """Mean over pairs of videos of (softDTW(d2) + weight * 20 / T * (IDM(u) + IDM(v))) / T.

    Parameters
    ----------
    z_u, z_v : Tensor [B, N, E] and [B, M, E]
        Embeddings of two videos of one action; pair b is z_u[b] and z_v[b]. Padding is not read, even NaN.
    steps_u, steps_v : int Tensor [B, N] and [B, M]
        Frame indices, each in its own video, increasing.
    lengths : int Tensor [B, 2]
        Valid frames of each.
    temperature : float, default 0.1
        Of soft-DTW; above 0.
    weight : float, default 0.5
        Of the IDM terms.
    window : int, default 10
        See `contrastive_idm`.
    margin : float, default 2
        See `contrastive_idm`.

    Returns
    -------
    dict of scalar Tensors
        ``loss`` = ``dtw`` + weight * ``idm``, each per frame. ``dtw`` falls below 0 where many paths are
        cheap, as soft-DTW does.

    Raises
    ------
    ValueError
        `window` is below 0, or what `soft_dtw` refuses.

    Notes
    -----
    The paper's code always has T = 20 frames in both videos; ours takes the mean of the two lengths. Per
    frame the IDM sums grow with T and soft-DTW does not, so that at our lengths IDM would drown it; the
    factor 20 / T (ours, 1 at the published length) keeps the paper's balance. Soft-DTW is not normalised by
    the costs of each video with itself, here as there.
    """
    if window < 0:
        raise ValueError(f"window is {window}; expected at least 0 frames")
    # Zeros in the padding, for a NaN would pass the products of the backward pass, even times 0.
    z_u, z_v = (
        torch.where(valid_mask(lengths[:, k], z.shape[1])[:, :, None], z, 0) for k, z in enumerate((z_u, z_v))
    )
    score = soft_dtw(_squared_distance(z_u, z_v), temperature=temperature, lengths=lengths).score
    idm_u, idm_v = (
        contrastive_idm(z, steps, lengths[:, k], window=window, margin=margin)
        for k, (z, steps) in enumerate(((z_u, steps_u), (z_v, steps_v)))
    )
    frames = lengths.sum(1).to(z_u.dtype) / 2
    dtw = (score / frames).mean()
    idm = ((idm_u + idm_v) / frames * (PUBLISHED_LENGTH / frames)).mean()
    return {"loss": dtw + weight * idm, "dtw": dtw, "idm": idm}


def _squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances of the frames' directions, [B, N, M], at most 4."""
    return 2 - 2 * cosine(x, y)


class LAVLoss(nn.Module):
    """`lav_loss` with the interface of every loss here: views in, named parts out.

    Parameters
    ----------
    temperature, weight, window, margin
        See `lav_loss`.
    """

    # Two views of one video hold the same frames: soft-DTW is there to bridge what sets two videos apart.
    pairs = "same_action"

    def __init__(
        self, *, temperature: float = 0.1, weight: float = 0.5, window: int = 10, margin: float = 2.0
    ) -> None:
        super().__init__()
        self.temperature, self.weight, self.window, self.margin = temperature, weight, window, margin

    def forward(
        self, z_u: Tensor, z_v: Tensor, steps_u: Tensor, steps_v: Tensor, lengths: Tensor
    ) -> dict[str, Tensor]:
        """``loss``, ``dtw`` and ``idm`` of a batch of pairs; arguments as in `lav_loss`."""
        return lav_loss(
            *(z_u, z_v, steps_u, steps_v, lengths),
            temperature=self.temperature,
            weight=self.weight,
            window=self.window,
            margin=self.margin,
        )
