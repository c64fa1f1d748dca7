"""GTA: the cost of aligning two videos both ways, and a cycle through both alignments back to each frame.

Hadji, Derpanis and Jepson, "Representation Learning via Global Temporal Alignment and Cycle-Consistency",
CVPR 2021 (arXiv 2105.05217).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lacbook.alignment import soft_dtw
from lacbook.padding import valid_cells, valid_mask
from lacbook.similarity import cosine


def cycle_probabilities(table_uv: Tensor, table_vu: Tensor, lengths: Tensor) -> Tensor:
    """Where a frame of u comes back to by way of v: entry [b, k, i] is the probability of i for frame k.

    The softmax of minus a table over its rows says, for each column, which row an alignment that ends there
    ends in: S_uv [N, M] goes from v to u, S_vu [M, N] from u to v. Their product S_uv S_vu goes from u to u,
    and is a distribution down its columns. The transpose puts it into rows, where a cross-entropy reads it.

    Parameters
    ----------
    table_uv, table_vu : Tensor [B, N, M] and [B, M, N]
        `soft_dtw(...).table` with u and with v as the rows. Padding is not read.
    lengths : int Tensor [B, 2]
        Valid frames of u and of v.

    Returns
    -------
    Tensor [B, N, N]
        Valid rows sum to 1; 0 in padding.
    """
    valid = valid_cells(lengths, *table_uv.shape[1:])
    to_u, to_v = _softmax_over_rows(table_uv, valid), _softmax_over_rows(table_vu, valid.transpose(1, 2))
    return (to_u @ to_v).transpose(1, 2)


def _softmax_over_rows(table: Tensor, valid: Tensor) -> Tensor:
    """softmax(-table) down each column over the valid cells; 0 elsewhere."""
    # A finite fill, for a column all of padding would give NaN.
    filled = table.masked_fill(~valid, torch.finfo(table.dtype).max)
    return (-filled).softmax(dim=1).masked_fill(~valid, 0)


def gta_loss(
    z_u: Tensor,
    z_v: Tensor,
    lengths: Tensor,
    *,
    tau: float = 0.1,
    temperature: float = 0.1,
    weight: float = 0.1,
    smoothing: float = 0.1,
) -> dict[str, Tensor]:
    """Weight * (r_uv + r_vu), the soft costs of aligning both ways, plus the cross-entropy of coming back.

    The cost of frame i of u for frame j of v is -log softmax_i(cos(u_i, v_j) / tau), and the other way round
    for r_vu. r is the end of the DTW table in which each cell takes the expectation over its predecessors
    under softmax(-r / temperature), not their soft minimum.

    Parameters
    ----------
    z_u, z_v : Tensor [B, N, E] and [B, M, E]
        Embeddings of two videos of one action; pair b is z_u[b] and z_v[b]. Padding is not read, even NaN.
    lengths : int Tensor [B, 2]
        Valid frames of each.
    tau : float, default 0.1
        Temperature of the frame costs (the paper's code: gamma_f).
    temperature : float, default 0.1
        Of the choice between predecessors (gamma_s).
    weight : float, default 0.1
        Of each r.
    smoothing : float, default 0.1
        Share of the cycle's target that is spread evenly over the valid frames of u.

    Returns
    -------
    dict of scalar Tensors
        ``loss`` = weight * ``alignment`` + ``cycle``; ``alignment`` is the mean of r_uv + r_vu over pairs,
        ``cycle`` the mean cross-entropy over the frames of u in the batch.

    Raises
    ------
    ValueError
        `tau` is not above 0 or `smoothing` not in [0, 1), or what `soft_dtw` refuses.

    Notes
    -----
    As in the paper's code, r is a sum along the path and not divided by its length (20 frames there), the
    tables enter the cycle's softmax without a temperature, and the cycle goes u -> v -> u only. The code
    gives the cycle's probabilities to a cross-entropy that takes logits, so that even a perfect cycle leaves
    a loss of about log(N) - 1; ours takes their logarithm. (Then the sum over rows is the sum over columns,
    as the target is symmetric, and the transpose in `cycle_probabilities` no longer changes the loss. In the
    code, which takes a softmax of each row, it does.)

    Computed in float64 where the device has it: sums of costs reach hundreds, and probabilities that float32
    rounds to 0 must still be able to rise. Below float64's smallest number the logarithm is cut off.
    """
    if not tau > 0:
        raise ValueError(f"tau is {tau}; expected a number above 0")
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing is {smoothing}; expected 0 <= smoothing < 1")
    valid_u, valid_v = valid_mask(lengths[:, 0], z_u.shape[1]), valid_mask(lengths[:, 1], z_v.shape[1])
    wide = z_u.dtype if z_u.device.type == "mps" else torch.float64
    # Zeros in the padding, for a NaN would pass the products of the backward pass, even times 0.
    u, v = (torch.where(valid[:, :, None], z, 0).to(wide) for z, valid in ((z_u, valid_u), (z_v, valid_v)))
    logits = cosine(u, v) / tau
    uv, vu = (
        soft_dtw(cost, temperature=temperature, lengths=sizes, relaxation="expectation")
        for cost, sizes in (
            (_contrastive_cost(logits, valid_u), lengths),
            (_contrastive_cost(logits.transpose(1, 2), valid_v), lengths.flip(1)),
        )
    )
    alignment = (uv.score + vu.score).mean()
    cycle = _cycle_loss(cycle_probabilities(uv.table, vu.table, lengths), valid_u, smoothing)
    parts = {"loss": weight * alignment + cycle, "alignment": alignment, "cycle": cycle}
    return {name: part.to(z_u.dtype) for name, part in parts.items()}


def _contrastive_cost(logits: Tensor, valid_rows: Tensor) -> Tensor:
    """-log softmax of each column over the valid rows; a huge number in other rows, for DTW to leave out."""
    # A finite fill, for -inf would put NaN into the backward pass.
    fill = torch.finfo(logits.dtype).min
    return -logits.masked_fill(~valid_rows[:, :, None], fill).log_softmax(dim=1)


def _cycle_loss(probabilities: Tensor, valid: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of each valid row with its own index, smoothed over the valid frames; mean over rows."""
    frames = valid.to(probabilities.dtype)
    even = frames / frames.sum(1, keepdim=True)
    target = (1 - smoothing) * torch.diag_embed(frames) + smoothing * even[:, None, :]
    # The floor only guards log(0).
    log_p = probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()
    return -(target * log_p).sum(2)[valid].mean()


class GTALoss(nn.Module):
    """`gta_loss` with the interface of every loss here: views in, named parts out.

    Parameters
    ----------
    tau, temperature, weight, smoothing : float
        See `gta_loss`.
    """

    # The only supervision is that both videos show one action in the same order; two views of a video, whose
    # true alignment is known, would leave that unused.
    pairs = "same_action"

    def __init__(
        self, *, tau: float = 0.1, temperature: float = 0.1, weight: float = 0.1, smoothing: float = 0.1
    ) -> None:
        super().__init__()
        self.tau, self.temperature, self.weight, self.smoothing = tau, temperature, weight, smoothing

    def forward(
        self, z_u: Tensor, z_v: Tensor, steps_u: Tensor, steps_v: Tensor, lengths: Tensor
    ) -> dict[str, Tensor]:
        """``loss``, ``alignment`` and ``cycle`` of a batch of pairs; `steps_u`, `steps_v` are not used."""
        return gta_loss(
            *(z_u, z_v, lengths),
            tau=self.tau,
            temperature=self.temperature,
            weight=self.weight,
            smoothing=self.smoothing,
        )
