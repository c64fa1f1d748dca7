"""The alignment as PyTorch custom operators, so that autograd, torch.compile and torch.export know it.

``lacbook::soft_smith_waterman`` computes the score and, in the same pass, its three derivatives: the
posterior dV/dS and the expected gap openings and extensions, -dV/dgo and -dV/dge. The backward pass is then
three multiplications. ``lacbook::soft_smith_waterman_table`` gives D for a look at the table; it has no
derivative.

The operators work on any device by way of the CPU. Checks that read values live inside them, so that they
also run under torch.compile.
"""

import math
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]

BACKENDS = ("auto", "recursion", "numba")


def check_backend(backend: str) -> None:
    """Raise ValueError for a backend this version does not have."""
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}; this version supports {', '.join(map(repr, BACKENDS))}")


def check_temperature(temperature: float) -> None:
    """Raise ValueError unless 0 < temperature < inf."""
    if not 0 < temperature < math.inf:
        raise ValueError(
            f"temperature is {temperature}; expected a finite number above 0 (for 0 use smith_waterman)"
        )


def check_values(similarity: Array, gap_open: float, gap_extend: float, lengths: Array) -> None:
    """Raise ValueError for lengths out of range, non-finite penalties, NaN or +inf inside the lengths."""
    _, n, m = similarity.shape
    wrong = np.flatnonzero(((lengths < 1) | (lengths > (n, m))).any(axis=1))
    if len(wrong):
        b = wrong[0]
        raise ValueError(f"lengths[{b}] is {lengths[b].tolist()}; expected 1 to {n} and 1 to {m}")
    for name, penalty in (("gap_open", gap_open), ("gap_extend", gap_extend)):
        if not math.isfinite(penalty):
            raise ValueError(f"{name} is {penalty}; expected a finite number")
    if similarity.size == 0 or similarity.max() < math.inf:  # the maximum is NaN if any entry is
        return
    for b, (rows, columns) in enumerate(lengths):
        s = similarity[b, :rows, :columns]
        bad = np.argwhere(~(s < math.inf))
        if len(bad):
            i, j = bad[0]
            raise ValueError(
                f"similarity[{b}, {i}, {j}] is {s[i, j]}; expected finite numbers, or -inf for 'never match'"
            )


def kernels() -> ModuleType:
    """Load the compiled kernels; not at import, since numba takes its time."""
    from lacbook.alignment import numba_kernels

    return numba_kernels


def _on_cpu(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    backend: str,
) -> tuple[Array, float, float, Array]:
    """Checked arguments as NumPy arrays and numbers."""
    check_backend(backend)
    check_temperature(temperature)
    s = similarity.detach().cpu().contiguous().numpy()
    go, ge = gap_open.item(), gap_extend.item()
    limits = lengths.cpu().contiguous().numpy()
    check_values(s, go, ge, limits)
    return s, go, ge, limits


def _soft_by_recursion(
    similarity: Array, gap_open: float, gap_extend: float, temperature: float, lengths: Array
) -> tuple[Array, Array, Array, Array]:
    """Run `recursion` pair by pair, with the results of `numba_kernels.soft`."""
    from lacbook.alignment import recursion

    score, openings, extensions = (np.empty(len(similarity), dtype=similarity.dtype) for _ in range(3))
    posterior = np.zeros_like(similarity)
    for b, (n, m) in enumerate(lengths):
        tables = recursion.forward(similarity[b, :n, :m], gap_open, gap_extend, temperature)
        gradients = recursion.backward(tables, gap_open, gap_extend, temperature)
        score[b] = tables.score
        posterior[b, :n, :m] = gradients.posterior
        openings[b] = gradients.openings.sum()
        extensions[b] = gradients.extensions.sum()
    return score, posterior, openings, extensions


@torch.library.custom_op("lacbook::soft_smith_waterman", mutates_args=())
def soft_smith_waterman_op(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Score and its derivatives, forward and backward in one.

    Parameters
    ----------
    similarity : Tensor, shape (B, N, M), float32 or float64
    gap_open, gap_extend : Tensor, shape (), float32 or float64
    temperature : float
    lengths : Tensor, shape (B, 2), int64
    backend : str
        "auto", "recursion" or "numba".

    Returns
    -------
    score, posterior, openings, extensions : Tensor
        Shapes (B,), (B, N, M), (B,), (B,), in the similarity's dtype. Only the score is differentiable.
    """
    s, go, ge, limits = _on_cpu(similarity, gap_open, gap_extend, temperature, lengths, backend)
    if backend == "recursion":
        results = _soft_by_recursion(s, go, ge, temperature, limits)
    else:
        results = kernels().soft(s, go, ge, temperature, limits, threads=torch.get_num_threads())
    score, posterior, openings, extensions = (torch.from_numpy(r).to(similarity.device) for r in results)
    return score, posterior, openings, extensions


@soft_smith_waterman_op.register_fake
def _soft_fake(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shapes only, for the tracer."""
    per_pair = [similarity.new_empty(similarity.shape[0]) for _ in range(3)]
    return per_pair[0], similarity.new_empty(similarity.shape), per_pair[1], per_pair[2]


def _soft_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Keep the derivatives, 4 bytes per cell in float32."""
    _, gap_open, gap_extend, *_ = inputs
    _, posterior, openings, extensions = output
    ctx.set_materialize_grads(False)  # so that a gradient for the other outputs can be told from none
    ctx.save_for_backward(posterior, openings, extensions)
    ctx.penalties = (gap_open.dtype, gap_open.device), (gap_extend.dtype, gap_extend.device)


def _soft_backward(ctx: Any, score: Tensor | None, *others: Tensor | None) -> tuple[Tensor | None, ...]:
    """Chain rule: the upstream gradient of the score times dV/dS, dV/dgo, dV/dge."""
    if any(g is not None for g in others):
        raise RuntimeError(
            "only the score of soft_smith_waterman is differentiable in this version; a gradient arrived at "
            "its posterior or expected_gaps (detach() them, or train on the score)"
        )
    if score is None:
        return (None,) * 6
    posterior, openings, extensions = ctx.saved_tensors
    (open_dtype, open_device), (extend_dtype, extend_device) = ctx.penalties
    return (
        score[:, None, None] * posterior,
        -(score * openings).sum().to(open_device, open_dtype),
        -(score * extensions).sum().to(extend_device, extend_dtype),
        None,
        None,
        None,
    )


soft_smith_waterman_op.register_autograd(_soft_backward, setup_context=_soft_setup)


@torch.library.custom_op("lacbook::soft_smith_waterman_table", mutates_args=())
def soft_smith_waterman_table_op(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    backend: str,
) -> Tensor:
    """D of every pair, shape (B, N, M), -inf outside the lengths; arguments as in `soft_smith_waterman_op`.

    No derivative is registered: a backward pass that reaches it raises RuntimeError.
    """
    s, go, ge, limits = _on_cpu(similarity, gap_open, gap_extend, temperature, lengths, backend)
    if backend == "recursion":
        from lacbook.alignment import recursion

        table = np.full_like(s, -np.inf)
        for b, (n, m) in enumerate(limits):
            table[b, :n, :m] = recursion.forward(s[b, :n, :m], go, ge, temperature).D
    else:
        table = kernels().table(s, go, ge, temperature, limits, threads=torch.get_num_threads())
    return torch.from_numpy(table).to(similarity.device)


@soft_smith_waterman_table_op.register_fake
def _table_fake(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    backend: str,
) -> Tensor:
    """Shape only, for the tracer."""
    return similarity.new_empty(similarity.shape)
