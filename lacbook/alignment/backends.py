"""The implementations side by side, each with the same four functions, and which of them runs.

=================  =======================================================================================
``soft``           score, posterior, expected openings and extensions
``table``          D
``table_gradient`` given seeds, derivatives of the sum of seeds * D: dS, -dgo, -dge
``tangent``        how the derivatives of `soft` (given seeds, of `table_gradient`) change along a direction,
                   and D'
=================  =======================================================================================

`recursion` works on one pair, `numba_kernels` on NumPy arrays, `wavefront` and `cuda_kernels` on tensors.
"""

import functools
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lacbook.alignment.checks import check_values

Array = NDArray[Any]

BACKENDS = ("auto", "recursion", "numba", "wavefront", "cuda")


def check_backend(backend: str) -> None:
    """Raise ValueError for an unknown backend."""
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}; expected {', '.join(map(repr, BACKENDS))}")


def numba_kernels() -> ModuleType:
    """Load the compiled kernels; not at import, since numba takes its time."""
    from lacbook.alignment import numba_kernels

    return numba_kernels


@functools.cache
def no_cuda_kernels() -> str:
    """Why the CUDA kernels cannot run here, in a few words; empty if they can."""
    try:
        from lacbook.alignment import cuda_kernels
    except ImportError as error:
        return str(error)
    return cuda_kernels.obstacle()


@functools.cache
def _warn_of_wavefront(reason: str) -> None:
    """Warn once a process."""
    warnings.warn(
        f"lacbook's CUDA kernels cannot run here ({reason}); alignments on the GPU use the slower "
        "backend 'wavefront'. Installing lacbook[cuda12] or lacbook[cuda13] usually helps.",
        RuntimeWarning,
        stacklevel=3,
    )


def choose(backend: str, device: torch.device) -> str:
    """Turn "auto" into the backend that fits the device; raise ValueError for one that cannot run there."""
    check_backend(backend)
    if backend == "auto":
        if device.type == "cpu":
            return "numba"
        if device.type != "cuda":
            return "wavefront"
        if no_cuda_kernels():
            _warn_of_wavefront(no_cuda_kernels())
            return "wavefront"
        return "cuda"
    if backend == "cuda":
        if no_cuda_kernels():
            raise ValueError(f"backend is 'cuda', but its kernels cannot run here: {no_cuda_kernels()}")
        from lacbook.alignment import cuda_kernels

        if device.type != "cuda" and not cuda_kernels.SIMULATED:
            raise ValueError(f"backend is 'cuda', but similarity is on {device}; expected a CUDA device")
    return backend


def run(function: str, backend: str, *arguments: Any) -> tuple[Tensor, ...]:
    """Call one of the four functions.

    Parameters
    ----------
    function : str
        "soft", "table", "table_gradient" or "tangent".
    backend : str
        One of `BACKENDS`.
    *arguments
        similarity [B, N, M]; gap_open and gap_extend, [B, 1, 1] or both [B, N, M], in its dtype and on its
        device; temperature; lengths [B, 2]; then what the function takes besides.

    Returns
    -------
    tuple of Tensor
        On the similarity's device.

    Raises
    ------
    ValueError
        For a backend that cannot run there, lengths out of range, and within them numbers that are not
        finite.
    """
    similarity, gap_open, gap_extend, _, lengths = arguments[:5]
    chosen = choose(backend, similarity.device)
    check = functools.partial(check_values, similarity, gap_open, gap_extend, lengths)
    if chosen != "numba" and function in ("soft", "table"):  # the others get what these have seen
        check()
    if chosen == "wavefront" or (chosen == "cuda" and function == "tangent"):
        from lacbook.alignment import wavefront

        results = getattr(wavefront, function)(*_detached(arguments))
    elif chosen == "cuda":
        from lacbook.alignment import cuda_kernels

        results = getattr(cuda_kernels, function)(*_detached(arguments))
    else:
        arrays: list[Any] = [
            a.contiguous().numpy(force=True) if isinstance(a, Tensor) else a for a in arguments
        ]
        if chosen == "numba":  # which meets whatever is not finite on its way, and only then needs the check
            threads = torch.get_num_threads()
            results = getattr(numba_kernels(), function)(*arrays, threads=threads, check=check)
        else:
            results = _by_recursion(function, *arrays)
        results = [torch.from_numpy(r) for r in _as_tuple(results)]
        if similarity.device.type != "cpu":
            results = [r.to(similarity.device) for r in results]
    return tuple(_as_tuple(results))


def _detached(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Without their history."""
    return tuple(a.detach() if isinstance(a, Tensor) else a for a in arguments)


def _as_tuple(results: Any) -> Sequence[Any]:
    """One result or several as several."""
    return results if isinstance(results, tuple | list) else (results,)


def _by_recursion(
    function: str,
    similarity: Array,
    gap_open: Array,
    gap_extend: Array,
    temperature: float,
    lengths: Array,
    *more: Any,
) -> list[Array]:
    """Run `recursion` pair by pair."""
    from lacbook.alignment import recursion

    score = np.empty(len(similarity), similarity.dtype)
    table, matches = np.full_like(similarity, -np.inf), np.zeros_like(similarity)
    openings, extensions, moved = (
        np.zeros_like(gap_open),
        np.zeros_like(gap_extend),
        np.zeros_like(similarity),
    )
    for b, (n, m) in enumerate(lengths):
        go, ge = gap_open[b, :n, :m], gap_extend[b, :n, :m]
        extra: list[Any] = [None if a is None else a[b, :n, :m] for a in more]
        tables = recursion.forward(similarity[b, :n, :m], go, ge, temperature)
        score[b], table[b, :n, :m] = tables.score, tables.D
        if function == "table":
            continue
        seeds = extra[-1] if extra else None
        if function == "tangent":
            gradients, moved[b, :n, :m] = recursion.backward_tangent(
                tables, go, ge, temperature, (extra[0], extra[1], extra[2]), seeds
            )
        else:
            gradients = recursion.backward(tables, go, ge, temperature, seeds)
        matches[b, :n, :m] = gradients.posterior
        for counts, per_cell in ((openings, gradients.openings), (extensions, gradients.extensions)):
            if gap_open.shape == similarity.shape:
                counts[b, :n, :m] = per_cell
            else:
                counts[b] = per_cell.sum()
    results = {
        "soft": [score, matches, openings, extensions],
        "table": [table],
        "table_gradient": [matches, openings, extensions],
        "tangent": [matches, openings, extensions, moved],
    }
    return results[function]
