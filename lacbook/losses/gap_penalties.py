"""Learned gap penalties: one number for all cells, one a cell of the table, or read off the frames.

LAC (arXiv 2409.04607) learns a T x T matrix of each penalty, indexed by position in the sampled view, and
lets it go below 0. Ours are the single numbers, the penalties read off the frames, the softplus that keeps
every kind above 0, and the prior.

Two views of one video teach the penalties the rate at which the sampler drops frames, and nothing when no
frame is dropped. Hence the weak prior towards the start.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

PENALTIES = ("scalar", "matrix", "content")


def mean_over_cells(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid cells of a batch, a scalar; other cells are not read, even NaN.

    Parameters
    ----------
    values : Tensor, shape (), (N, M) or (B, N, M)
        A single number is its own mean.
    valid : bool Tensor [B, N, M]
    """
    return values if values.dim() == 0 else values.expand(valid.shape)[valid].mean()


class GapPenalties(nn.Module, ABC):
    """What the three kinds share: a softplus of values that begin at a start and are pulled back to it.

    Parameters
    ----------
    gap_open, gap_extend : float, default 0.2 and 0.1
        Where they start, above 0, in units of similarity.
    """

    start: Tensor

    def __init__(self, gap_open: float = 0.2, gap_extend: float = 0.1) -> None:
        super().__init__()
        penalties = torch.tensor([gap_open, gap_extend])
        # The inverse of the softplus.
        self.register_buffer("start", penalties + torch.log(-torch.expm1(-penalties)))

    @abstractmethod
    def before_softplus(self, *views: Tensor) -> Tensor:
        """Both penalties before the softplus, [2], [2, N, M] or [2, B, N, M]; `views` as in `forward`."""

    def forward(self, *views: Tensor) -> tuple[Tensor, Tensor]:
        """Penalties of a batch of view pairs.

        Parameters
        ----------
        *views : Tensor [B, N, E] and [B, M, E], or [N, E] and [M, E]
            Embeddings of both views; `ScalarPenalties` do without.

        Returns
        -------
        gap_open, gap_extend : Tensor
            Above 0, each of shape (), (N, M) or (B, N, M), as `soft_smith_waterman` takes them.
        """
        gap_open, gap_extend = softplus(self.before_softplus(*views))
        return gap_open, gap_extend

    def of_videos(self, z_a: Tensor, z_b: Tensor) -> tuple[Tensor, Tensor]:
        """Penalties of two whole videos, [N, E] and [M, E], of any length; the result is as in `forward`."""
        gap_open, gap_extend = self(z_a, z_b)
        return gap_open, gap_extend

    def prior(self, *views: Tensor, valid: Tensor | None = None) -> Tensor:
        """Squared distance from the start before the softplus, summed over the two penalties; a scalar.

        Mean over the `valid` cells (bool Tensor [B, N, M]; `ScalarPenalties` do without), so that its weight
        does not depend on the length of the views.
        """
        values = self.before_softplus(*views)
        squares = (values - self.start.view(2, *[1] * (values.dim() - 1))).square().sum(0)
        return squares if valid is None else mean_over_cells(squares, valid)


class ScalarPenalties(GapPenalties):
    """One gap_open and one gap_extend for every cell (ours); parameters as in `GapPenalties`."""

    def __init__(self, gap_open: float = 0.2, gap_extend: float = 0.1) -> None:
        super().__init__(gap_open, gap_extend)
        self.raw = nn.Parameter(self.start.clone())

    def before_softplus(self, *views: Tensor) -> Tensor:
        """The parameter itself, [2]."""
        return self.raw


class MatrixPenalties(GapPenalties):
    """A penalty for each pair of positions in the views, as published, but above 0.

    Parameters
    ----------
    view_length : int
        T, the most frames in a view; 2 T^2 numbers are learned. Shorter views use the top left.
    gap_open, gap_extend : float
        As in `GapPenalties`.
    """

    def __init__(self, view_length: int, gap_open: float = 0.2, gap_extend: float = 0.1) -> None:
        super().__init__(gap_open, gap_extend)
        # The distance from the start, not the value, so that weight decay pulls towards the start as well:
        # where nothing else moves a cell, as far off the diagonal, Adam makes full steps of that pull.
        self.shift = nn.Parameter(torch.zeros(2, view_length, view_length))

    def before_softplus(self, *views: Tensor) -> Tensor:
        """Top left of both matrices, [2, N, M].

        Raises
        ------
        ValueError
            A view has more than T frames.
        """
        rows, columns = (z.shape[-2] for z in views)
        most = self.shift.shape[-1]
        if max(rows, columns) > most:
            raise ValueError(
                f"views: {rows} and {columns} frames; expected at most {most}, the size of the penalty matrix"
            )
        return self.start[:, None, None] + self.shift[:, :rows, :columns]

    def of_videos(self, z_a: Tensor, z_b: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of each learned matrix, a scalar: a position in a sampled view means nothing in a video."""
        gap_open, gap_extend = softplus(self.start[:, None, None] + self.shift).mean((1, 2))
        return gap_open, gap_extend


class ContentPenalties(GapPenalties):
    """Penalties that follow what the two frames show: softplus(h(u_i) + h(v_j) + start). Ours.

    h is a small network on the embedding of one frame, the same for both views, so that swapping the views
    transposes the penalties. The embeddings are L2-normalised first, since the similarity is a cosine and
    knows no length either (to sqrt(E), so that single numbers are about 1). Gradients reach the encoder
    through the penalties too.

    Parameters
    ----------
    embedding_dim : int
        E.
    gap_open, gap_extend : float
        As in `GapPenalties`. Every cell begins exactly there, since the last layer begins at 0.
    hidden : int, default 16
        Width of the network.
    """

    def __init__(
        self, embedding_dim: int, gap_open: float = 0.2, gap_extend: float = 0.1, *, hidden: int = 16
    ) -> None:
        super().__init__(gap_open, gap_extend)
        last = nn.Linear(hidden, 2)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(nn.Linear(embedding_dim, hidden), nn.GELU(), last)

    def before_softplus(self, *views: Tensor) -> Tensor:
        """h(u_i) + h(v_j) + start, [2, B, N, M], or [2, N, M] without B."""
        h_u, h_v = (self.head(normalize(z, dim=-1) * z.shape[-1] ** 0.5) for z in views)
        return (h_u[..., :, None, :] + h_v[..., None, :, :] + self.start).movedim(-1, 0)


def penalties_of_kind(
    kind: str, gap_open: float, gap_extend: float, view_length: int, embedding_dim: int
) -> GapPenalties:
    """Make the penalties that `LACLoss` is asked for; ValueError for a kind that is not in `PENALTIES`."""
    if kind == "scalar":
        return ScalarPenalties(gap_open, gap_extend)
    if kind == "matrix":
        return MatrixPenalties(view_length, gap_open, gap_extend)
    if kind == "content":
        return ContentPenalties(embedding_dim, gap_open, gap_extend)
    raise ValueError(f"penalties: {kind!r} is unknown; choose from {', '.join(PENALTIES)}")
