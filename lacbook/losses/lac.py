"""LAC: a contrastive loss plus a local term that asks Smith-Waterman for the true alignment of two views.

The idea of a local-alignment term with learned affine gaps is LAC's (arXiv 2409.04607). The structured form
used here is ours: the negative log-likelihood of the known alignment under the Smith-Waterman Gibbs
distribution, as DEDAL trains its aligner. Its gradient with respect to the similarities is the soft alignment
minus the true one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lacbook.alignment import soft_smith_waterman
from lacbook.losses.scl import scl_loss
from lacbook.padding import valid_mask
from lacbook.similarity import cosine


def true_matches(steps_u: Tensor, steps_v: Tensor, lengths: Tensor) -> Tensor:
    """Cells where both views show the same frame of the video; bool Tensor [B, N, M].

    Parameters
    ----------
    steps_u, steps_v : int Tensor [B, N] and [B, M]
        Strictly increasing frame indices within the lengths.
    lengths : int Tensor [B, 2]
    """
    valid_u = valid_mask(lengths[:, 0], steps_u.shape[1])
    valid_v = valid_mask(lengths[:, 1], steps_v.shape[1])
    return (steps_u[:, :, None] == steps_v[:, None, :]) & valid_u[:, :, None] & valid_v[:, None, :]


def gap_counts(matches: Tensor) -> tuple[Tensor, Tensor]:
    """Gap openings and extensions of the alignment made of `matches`.

    Between two matches each run of skipped frames, of either view, opens one gap and extends it by its other
    frames.

    Parameters
    ----------
    matches : bool Tensor [B, N, M]
        At most one in a row and a column, in order.

    Returns
    -------
    openings, extensions : int Tensor [B]
    """
    openings = torch.zeros(len(matches), dtype=torch.long, device=matches.device)
    extensions = torch.zeros_like(openings)
    for matched in (matches.any(2), matches.any(1)):
        begun, unfinished = matched.cumsum(1) > 0, matched.flip(1).cumsum(1).flip(1) > 0
        skipped = begun & unfinished & ~matched
        first_of_run = skipped[:, 1:] & matched[:, :-1]
        openings = openings + first_of_run.sum(1)
        extensions = extensions + skipped.sum(1) - first_of_run.sum(1)
    return openings, extensions


def structured_loss(
    similarity: Tensor,
    matches: Tensor,
    lengths: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
) -> Tensor:
    """Mean over pairs of (V_t(S) - F(S; A*)) / (t |A*|): minus the truth's log-likelihood, per match.

    V is the soft Smith-Waterman score, F the score of the true alignment A* under the same similarities and
    penalties. Pairs with fewer than two true matches are left out; with none left the loss is 0. Ours.

    Parameters
    ----------
    similarity : Tensor [B, N, M]
    matches : bool Tensor [B, N, M]
        The true alignment A*, from `true_matches`.
    lengths : int Tensor [B, 2]
    gap_open, gap_extend : scalar Tensor
    temperature : float
        Above 0.

    Returns
    -------
    Tensor, scalar
        Never negative, since A* is among the alignments that V sums over.
    """
    size = matches.sum((1, 2))
    openings, extensions = gap_counts(matches)
    score = soft_smith_waterman(
        similarity, gap_open, gap_extend, temperature=temperature, lengths=lengths
    ).score
    true_score = (
        torch.where(matches, similarity, 0).sum((1, 2)) - gap_open * openings - gap_extend * extensions
    )
    aligned = size >= 2
    per_pair = (score - true_score)[aligned] / (temperature * size[aligned])
    return per_pair.sum() / aligned.sum().clamp(min=1)


class GapPenalties(nn.Module):
    """Two learned penalties, kept above 0 by a softplus and near their start by a weak prior.

    Two views of one video teach them the rate at which the sampler drops frames, and nothing when no frame is
    dropped, hence the prior.

    Parameters
    ----------
    gap_open, gap_extend : float
        Where they start, above 0.
    """

    start: Tensor

    def __init__(self, gap_open: float = 0.2, gap_extend: float = 0.1) -> None:
        super().__init__()
        penalties = torch.tensor([gap_open, gap_extend])
        start = penalties + torch.log(-torch.expm1(-penalties))  # the inverse of the softplus
        self.raw = nn.Parameter(start.clone())
        self.register_buffer("start", start)

    def forward(self) -> tuple[Tensor, Tensor]:
        """(gap_open, gap_extend), each a scalar Tensor above 0."""
        gap_open, gap_extend = softplus(self.raw)
        return gap_open, gap_extend

    def prior(self) -> Tensor:
        """Squared distance from the start before the softplus, a scalar."""
        return (self.raw - self.start).square().sum()


class LACLoss(nn.Module):
    """L = L_contrast + weight * L_local (module docstring), with learned margin and gap penalties.

    Parameters
    ----------
    weight : float, default 0.3
        Of the local term; 0 leaves CARL's SCL.
    temperature : float, default 0.1
        Of the alignment.
    gap_open, gap_extend : float, default 0.2 and 0.1
        Where the penalties start. From 1.0 and 0.3 they fall towards these as well, but too slowly for short
        runs.
    margin : float, default 0.5
        Where the margin of the similarity `cosine - margin` starts.
    variance, tau : float
        Of `scl_loss`.
    prior : float, default 0.01
        Weight of the pull on the penalties.
    """

    def __init__(
        self,
        *,
        weight: float = 0.3,
        temperature: float = 0.1,
        gap_open: float = 0.2,
        gap_extend: float = 0.1,
        margin: float = 0.5,
        variance: float = 10.0,
        tau: float = 0.1,
        prior: float = 0.01,
    ) -> None:
        super().__init__()
        self.weight, self.temperature, self.prior = weight, temperature, prior
        self.variance, self.tau = variance, tau
        self.margin = nn.Parameter(torch.tensor(margin))
        self.penalties = GapPenalties(gap_open, gap_extend)

    def forward(
        self, z_u: Tensor, z_v: Tensor, steps_u: Tensor, steps_v: Tensor, lengths: Tensor
    ) -> dict[str, Tensor]:
        """Loss of a batch of view pairs.

        Parameters
        ----------
        z_u, z_v : Tensor [B, N, E] and [B, M, E]
            Embeddings of the views.
        steps_u, steps_v : int Tensor [B, N] and [B, M]
            Frame indices in the video.
        lengths : int Tensor [B, 2]
            Valid frames of each view.

        Returns
        -------
        dict of scalar Tensors
            ``loss`` to minimise; its parts ``contrast`` and ``local``; ``gap_open``, ``gap_extend``,
            ``margin`` as they stand.
        """
        contrast = scl_loss(z_u, z_v, steps_u, steps_v, lengths, variance=self.variance, tau=self.tau)
        gap_open, gap_extend = self.penalties()
        matches = true_matches(steps_u, steps_v, lengths)
        similarity = cosine(z_u, z_v, self.margin)
        local = structured_loss(similarity, matches, lengths, gap_open, gap_extend, self.temperature)
        return {
            "loss": contrast + self.weight * local + self.prior * self.penalties.prior(),
            "contrast": contrast,
            "local": local,
            "gap_open": gap_open,
            "gap_extend": gap_extend,
            "margin": self.margin,
        }
