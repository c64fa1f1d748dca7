"""What `lacbook bench` times: lacbook's alignments by each backend, other packages, and one exp a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from lacbook.alignment import smith_waterman, soft_dtw, soft_smith_waterman

GAP_OPEN, GAP_EXTEND, TEMPERATURE = 1.0, 0.3, 0.8
MODES = {
    "gradient": "score and its gradient, by the similarity and one gap_open and gap_extend for all",
    "per-cell": "the same with penalties at every cell",
    "table": "weighted sum of the table and its gradient; the score comes with it",
    "hessian": "Hessian of the score times a vector",
    "hard": "best alignment with its path",
    "soft-dtw": "soft-DTW and its gradient",
}
BACKENDS = ("numba", "wavefront", "cuda", "recursion")
YARDSTICK = "exp"
Call = Callable[[], object]


@dataclass(frozen=True)
class Contestant:
    """One way to do one thing.

    Attributes
    ----------
    mode : str
        One of `MODES`, or `YARDSTICK`.
    name : str
        Backend or package.
    prepare : callable
        Takes the similarity [B, T, T], float32, and returns what is timed, a call without arguments.
    """

    mode: str
    name: str
    prepare: Callable[[Tensor], Call]


def random_similarity(pairs: int, frames: int, device: str, seed: int) -> Tensor:
    """Standard normal numbers [pairs, frames, frames], the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(pairs, frames, frames, generator=generator).to(device)


def contestants(
    modes: Sequence[str], backends: Sequence[str], peers: Sequence[str], device: str, threads: int
) -> list[Contestant]:
    """Everything that takes part: the yardstick, then mode by mode lacbook before the others.

    Parameters
    ----------
    modes, backends, peers : sequence of str
        Of `MODES`, `BACKENDS`, `PEERS`.
    device : str
        "cpu" or "cuda". Hard alignments are computed on the CPU and have no choice of backend: they are
        there with "numba", or on a GPU as "auto".
    threads : int
        For the other packages; lacbook takes torch's number.
    """
    found = [Contestant(YARDSTICK, YARDSTICK, partial(_exp, threads=threads))]
    for mode in modes:
        names = list(backends)
        if mode == "soft-dtw":
            names = [name for name in names if name in ("numba", "wavefront")]
        elif mode == "hard":
            names = ["auto"] if device == "cuda" else [name for name in names if name == "numba"]
        found += [Contestant(mode, name, partial(_LACBOOK[mode], backend=name)) for name in names]
        found += [
            Contestant(mode, name, partial(PEERS[name].prepare, threads=threads))
            for name in peers
            if PEERS[name].mode == mode
        ]
    return found


def _exp(similarity: Tensor, threads: int) -> Call:
    """One float64 exp a cell, on one thread."""
    x = similarity.double()
    out = torch.empty_like(x)

    def call() -> None:
        torch.set_num_threads(1)  # takes less than a microsecond
        torch.exp(x, out=out)
        torch.set_num_threads(threads)

    return call


def _leaves(similarity: Tensor, per_cell: bool = False) -> list[Tensor]:
    """Similarity, gap_open and gap_extend, each to be given a gradient."""
    like = 0.9 + 0.2 * torch.rand_like(similarity) if per_cell else similarity.new_ones(())
    return [x.requires_grad_() for x in (similarity.detach(), GAP_OPEN * like, GAP_EXTEND * like)]


def _backward(leaves: Sequence[Tensor], value: Callable[[], Tensor]) -> Call:
    """Forward and backward, into empty gradients."""

    def call() -> None:
        for leaf in leaves:
            leaf.grad = None
        value().backward()

    return call


def _gradient(similarity: Tensor, backend: str, per_cell: bool = False) -> Call:
    leaves = _leaves(similarity, per_cell)
    options: Any = {"temperature": TEMPERATURE, "backend": backend}
    return _backward(leaves, lambda: soft_smith_waterman(*leaves, **options).score.sum())


def _table(similarity: Tensor, backend: str) -> Call:
    leaves, weights = _leaves(similarity), torch.rand_like(similarity)
    options: Any = {"temperature": TEMPERATURE, "backend": backend}
    return _backward(leaves, lambda: (weights * soft_smith_waterman(*leaves, **options).table).sum())


def _hessian(similarity: Tensor, backend: str) -> Call:
    leaves = _leaves(similarity)
    direction = [torch.rand_like(leaf) for leaf in leaves]

    def call() -> None:
        aligned = soft_smith_waterman(*leaves, temperature=TEMPERATURE, backend=backend)
        gradient = torch.autograd.grad(aligned.score.sum(), leaves, create_graph=True)
        torch.autograd.grad(gradient, leaves, direction)

    return call


def _hard(similarity: Tensor, backend: str) -> Call:
    def call() -> None:
        aligned = smith_waterman(similarity, GAP_OPEN, GAP_EXTEND)
        for b in range(len(similarity)):
            aligned.path(b)

    return call


def _soft_dtw(similarity: Tensor, backend: str) -> Call:
    cost = similarity.square().requires_grad_()
    return _backward([cost], lambda: soft_dtw(cost, temperature=TEMPERATURE, backend=backend).score.sum())


_LACBOOK: dict[str, Callable[..., Call]] = {
    "gradient": _gradient,
    "per-cell": partial(_gradient, per_cell=True),
    "table": _table,
    "hessian": _hessian,
    "hard": _hard,
    "soft-dtw": _soft_dtw,
}


@dataclass(frozen=True)
class Peer:
    """A package for the same task, taken in where it is installed."""

    mode: str
    module: str
    prepare: Callable[..., Call]


def _peer_soft_dtw(similarity: Tensor, loss: Callable[[Tensor, Tensor], Tensor], threads: int) -> Call:
    """Give the cost to a loss of two series, whose dist_func hands it on."""
    from numba import config, set_num_threads

    cost = similarity.square().requires_grad_()
    usable = min(threads, config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]

    def value() -> Tensor:
        set_num_threads(usable)  # each time, since lacbook's calls set it, too
        return loss(cost, cost).sum()

    return _backward([cost], value)


def _tslearn(similarity: Tensor, threads: int) -> Call:
    from tslearn.metrics import SoftDTWLossPyTorch

    loss = SoftDTWLossPyTorch(gamma=TEMPERATURE, dist_func=lambda cost, _: cost)
    return _peer_soft_dtw(similarity, loss, threads)


def _pysdtw(similarity: Tensor, threads: int) -> Call:
    from pysdtw import SoftDTW

    options = {"gamma": TEMPERATURE, "dist_func": lambda cost, _: cost, "use_cuda": similarity.is_cuda}
    return _peer_soft_dtw(similarity, SoftDTW(**options), threads)


def _ginfinity(similarity: Tensor, threads: int) -> Call:
    from ginfinity_sw import ScoringParameters, align_scores_many

    scores = list(similarity.double().cpu().numpy())  # float64 is what it computes in
    parameters = ScoringParameters(mu=0.0, gap_open=GAP_OPEN, gap_extend=GAP_EXTEND)
    return lambda: align_scores_many(scores, parameters, traceback=True, workers=threads)


PEERS = {
    "tslearn": Peer("soft-dtw", "tslearn", _tslearn),
    "pysdtw": Peer("soft-dtw", "pysdtw", _pysdtw),
    "ginfinity-sw": Peer("hard", "ginfinity_sw", _ginfinity),
}


def installed_peers() -> list[str]:
    """Names of those of `PEERS` that are installed, whether they work or not."""
    return [name for name, peer in PEERS.items() if find_spec(peer.module)]


def versions() -> dict[str, str]:
    """Versions of what is timed and of what it rests on, of those that are installed."""
    found = {}
    for name in ("lacbook", "torch", "numba", "numba-cuda", "numpy", *installed_peers()):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # a checkout that is not installed, a package that is not there
            continue
    return found
