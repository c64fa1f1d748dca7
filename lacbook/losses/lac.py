"""LAC: a contrastive loss plus a local term that asks Smith-Waterman for the true alignment of two views.

The idea of a local-alignment term with learned affine gaps is LAC's (arXiv 2409.04607). Two forms of the term
are here, both ours; the objective of the released code is in `lacbook.losses.lac_released`:

- `structured_loss`: the negative log-likelihood of the known alignment under the Smith-Waterman Gibbs
  distribution, as DEDAL trains its aligner. Its gradient with respect to the similarities is the soft
  alignment minus the true one.
- `posterior_loss`: the cross-entropy with a Gaussian in time that LAC's code takes of its alignment table,
  taken of the alignment's probabilities instead.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lacbook.alignment import soft_smith_waterman
from lacbook.losses.gap_penalties import mean_over_cells, penalties_of_kind
from lacbook.losses.lac_released import released_terms
from lacbook.losses.scl import gaussian_target, scl_loss
from lacbook.padding import valid_cells, valid_mask
from lacbook.similarity import cosine

LOCAL_TERMS = ("structured", "posterior", "released")


def true_matches(steps_u: Tensor, steps_v: Tensor, lengths: Tensor) -> Tensor:
    """Cells where both views show the same frame of the video; bool Tensor [B, N, M].

    Parameters
    ----------
    steps_u, steps_v : int Tensor [B, N] and [B, M]
        Strictly increasing frame indices within the lengths.
    lengths : int Tensor [B, 2]
    """
    same = steps_u[:, :, None] == steps_v[:, None, :]
    return same & valid_cells(lengths, steps_u.shape[1], steps_v.shape[1])


def gap_cells(matches: Tensor) -> tuple[Tensor, Tensor]:
    """Cells in which the recursion charges the gaps of the alignment made of `matches`.

    Between two matches (i, j) and (p, r) the skipped frames are charged at (i, j+1..r-1), then at
    (i+1..p-1, r-1): first the frames of view v along row i, then those of view u down column r-1. The first
    cell of each run opens a gap, the others extend it.

    Parameters
    ----------
    matches : bool Tensor [B, N, M]
        At most one in a row and a column, in order.

    Returns
    -------
    opened, extended : bool Tensor [B, N, M]
        Their sums are the numbers of gap openings and extensions.
    """
    row_matched, column_matched = matches.any(2), matches.any(1)
    # How many matches a row or column has at or before it: between two matches, as many as the first of them.
    row_rank, column_rank = row_matched.cumsum(1), column_matched.cumsum(1)
    after_same_match = row_rank[:, :, None] == column_rank[:, None, :]
    row_skipped, column_skipped = (
        ~matched & (rank > 0) & (rank < rank[:, -1:])
        for matched, rank in ((row_matched, row_rank), (column_matched, column_rank))
    )
    # Rolling wraps around, to no effect: no frame is skipped before the first match or after the last.
    before_match = column_matched.roll(-1, 1)
    along_row = after_same_match & row_matched[:, :, None] & column_skipped[:, None, :]
    down_column = after_same_match & row_skipped[:, :, None] & before_match[:, None, :]
    opened = (along_row & column_matched.roll(1, 1)[:, None, :]) | (
        down_column & row_matched.roll(1, 1)[:, :, None]
    )
    return opened, (along_row | down_column) & ~opened


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
        Padding is not read, even NaN.
    matches : bool Tensor [B, N, M]
        The true alignment A*, from `true_matches`.
    lengths : int Tensor [B, 2]
    gap_open, gap_extend : Tensor, shape (), (B,), (N, M) or (B, N, M)
        Padding is not read, even NaN.
    temperature : float
        Above 0.

    Returns
    -------
    Tensor, scalar
        Never negative, since A* is among the alignments that V sums over.
    """
    score = soft_smith_waterman(
        similarity, gap_open, gap_extend, temperature=temperature, lengths=lengths
    ).score
    opened, extended = gap_cells(matches)
    true_score = (
        _sum_over(matches, similarity) - _sum_over(opened, gap_open) - _sum_over(extended, gap_extend)
    )
    size = matches.sum((1, 2))
    aligned = size >= 2
    per_pair = (score - true_score)[aligned] / (temperature * size[aligned])
    return per_pair.sum() / aligned.sum().clamp(min=1)


def _sum_over(cells: Tensor, values: Tensor) -> Tensor:
    """Sum of `values`, of any shape that penalties have, over the cells [B, N, M] of each pair; [B]."""
    per_cell = values[:, None, None] if values.dim() == 1 else values
    at_least_single = torch.promote_types(values.dtype, torch.float32)  # as the score that it is taken from
    return torch.where(cells, per_cell, 0).sum((1, 2), dtype=at_least_single)


def posterior_loss(
    similarity: Tensor,
    steps_u: Tensor,
    steps_v: Tensor,
    lengths: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    variance: float = 10.0,
) -> Tensor:
    """Cross-entropy between where the alignment puts a frame and where its time is, both ways. Ours.

    The posterior dV/dS, its rows normalised to sum to 1, is compared with `gaussian_target`, and so are its
    columns. Frames outside the other view's range of time have no counterpart and are left out. Each frame
    counts by its posterior mass, the probability that it is matched at all::

        sum_i m_i CE_i / (sum_i m_i + 1e-8),    m_i = sum_j dV/dS[i, j]

    The mass is a weight and not an aim, so no gradient flows through m_i where it weighs: with one, the loss
    would fall by unmatching every frame that is harder than the average, down to an alignment of the few
    easiest frames. As it stands a frame can lower the loss only by moving its matches to the right place.

    Parameters
    ----------
    similarity : Tensor [B, N, M]
        Padding is not read, even NaN.
    steps_u, steps_v : int Tensor [B, N] and [B, M]
        Strictly increasing frame indices within the lengths.
    lengths : int Tensor [B, 2]
    gap_open, gap_extend : Tensor, shape (), (B,), (N, M) or (B, N, M)
        Padding is not read, even NaN.
    temperature : float
        Above 0.
    variance : float, default 10
        sigma^2 of the target, in squared frames.

    Returns
    -------
    Tensor, scalar
        Mean over pairs and directions in which some frame counts; 0 where there is none. At best the entropy
        of the targets. Computed in float64, where the device has it.
    """
    # A right cell must be able to learn that it is, even from a probability that float32 cannot hold.
    wide = similarity if similarity.device.type == "mps" else similarity.double()
    posterior = soft_smith_waterman(
        wide, gap_open, gap_extend, temperature=temperature, lengths=lengths
    ).posterior
    forth, forth_counts = _row_cross_entropy(posterior, steps_u, steps_v, lengths, variance)
    back, back_counts = _row_cross_entropy(
        posterior.transpose(1, 2), steps_v, steps_u, lengths.flip(1), variance
    )
    loss = (forth.sum() + back.sum()) / (forth_counts.sum() + back_counts.sum()).clamp(min=1)
    return loss.to(torch.promote_types(similarity.dtype, torch.float32))


def _row_cross_entropy(
    posterior: Tensor, steps_u: Tensor, steps_v: Tensor, lengths: Tensor, variance: float
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the rows of each pair, [B], and whether any row counts, bool [B]."""
    valid_u, valid_v = (valid_mask(lengths[:, k], posterior.shape[k + 1]) for k in range(2))
    first, last = steps_v[:, :1], steps_v.gather(1, lengths[:, 1:].long() - 1)
    in_range = valid_u & (steps_u >= first) & (steps_u <= last)
    target = gaussian_target(steps_u, steps_v, valid_v, variance, posterior.dtype)
    # The floor only guards log(0), below some 700 nats.
    tiny = torch.finfo(posterior.dtype).tiny
    mass = posterior.sum(2)
    log_p = posterior.clamp(min=tiny).log() - mass.clamp(min=tiny).log()[:, :, None]
    weight = torch.where(in_range, mass, 0).detach()
    rows = -(target * log_p).sum(2)
    return (weight * rows).sum(1) / (weight.sum(1) + 1e-8), in_range.any(1)


class LACLoss(nn.Module):
    """L = L_contrast + weight * L_local (module docstring), with learned margin and gap penalties.

    Parameters
    ----------
    local : str, default "structured"
        Form of the local term: structured, posterior, or released. The last is the whole objective of the
        released code, contrastive term and all (`released_terms`): it learns no margin, and was published
        with weight 0.01, temperature 0.8 and matrix penalties that start at 1. Ours are kept above 0, which
        those are not, and have the prior.
    penalties : str, default "scalar"
        Kind of gap penalties: scalar (one number each), matrix (per position, as published) or content (a
        small network on the frames' embeddings); see `lacbook.losses.gap_penalties`.
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
        Of `scl_loss`; the posterior term has the same variance.
    prior : float, default 0.01
        Weight of the pull on the penalties.
    view_length : int, default 64
        Most frames T in a view; only matrix penalties need it.
    embedding_dim : int, default 64
        Size E of an embedding; only content penalties need it.

    Raises
    ------
    ValueError
        `local` or `penalties` is none of these.
    """

    def __init__(
        self,
        *,
        local: str = "structured",
        penalties: str = "scalar",
        weight: float = 0.3,
        temperature: float = 0.1,
        gap_open: float = 0.2,
        gap_extend: float = 0.1,
        margin: float = 0.5,
        variance: float = 10.0,
        tau: float = 0.1,
        prior: float = 0.01,
        view_length: int = 64,
        embedding_dim: int = 64,
    ) -> None:
        super().__init__()
        if local not in LOCAL_TERMS:
            raise ValueError(f"local: {local!r} is unknown; choose from {', '.join(LOCAL_TERMS)}")
        self.local, self.weight, self.temperature, self.prior = local, weight, temperature, prior
        self.variance, self.tau = variance, tau
        self.margin = nn.Parameter(torch.tensor(margin))
        self.penalties = penalties_of_kind(penalties, gap_open, gap_extend, view_length, embedding_dim)

    def forward(
        self, z_u: Tensor, z_v: Tensor, steps_u: Tensor, steps_v: Tensor, lengths: Tensor
    ) -> dict[str, Tensor]:
        """Loss of a batch of view pairs.

        Parameters
        ----------
        z_u, z_v : Tensor [B, N, E] and [B, M, E]
            Embeddings of the views. Padding is not read, even NaN.
        steps_u, steps_v : int Tensor [B, N] and [B, M]
            Frame indices in the video.
        lengths : int Tensor [B, 2]
            Valid frames of each view.

        Returns
        -------
        dict of scalar Tensors
            ``loss`` to minimise; its parts ``contrast`` and ``local``; ``gap_open``, ``gap_extend`` (means
            over the valid cells) and ``margin`` as they stand.

        Raises
        ------
        ValueError
            A view is longer than the matrix penalties; or with ``released``, the views of a pair differ in
            length.
        """
        # Zeros in the padding, for a NaN would pass the products of the backward pass, even times 0.
        z_u, z_v = (
            torch.where(valid_mask(lengths[:, k], z.shape[1])[:, :, None], z, 0)
            for k, z in enumerate((z_u, z_v))
        )
        gap_open, gap_extend = self.penalties(z_u, z_v)
        if self.local == "released":
            contrast, local = released_terms(
                *(z_u, z_v, steps_u, steps_v, lengths, gap_open, gap_extend),
                temperature=self.temperature,
                variance=self.variance,
            )
        else:
            contrast = scl_loss(z_u, z_v, steps_u, steps_v, lengths, variance=self.variance, tau=self.tau)
            similarity = cosine(z_u, z_v, self.margin)
        if self.local == "structured":
            matches = true_matches(steps_u, steps_v, lengths)
            local = structured_loss(similarity, matches, lengths, gap_open, gap_extend, self.temperature)
        elif self.local == "posterior":
            local = posterior_loss(
                *(similarity, steps_u, steps_v, lengths, gap_open, gap_extend),
                temperature=self.temperature,
                variance=self.variance,
            )
        valid = valid_cells(lengths, z_u.shape[1], z_v.shape[1])
        prior = self.penalties.prior(z_u, z_v, valid=valid)
        return {
            "loss": contrast + self.weight * local + self.prior * prior,
            "contrast": contrast,
            "local": local,
            "gap_open": mean_over_cells(gap_open, valid),
            "gap_extend": mean_over_cells(gap_extend, valid),
            "margin": self.margin,
        }
