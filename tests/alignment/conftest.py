"""One test body for every implementation of the alignment that can run here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lacbook.alignment import cuda_kernels, numba_kernels, soft_smith_waterman

# Under NUMBA_ENABLE_CUDASIM=1 only the simulated kernels are of interest (see test_cuda_kernels.py).
IMPLEMENTATIONS = ["cuda"] if cuda_kernels.SIMULATED else ["recursion", "numba", "numba-log", "wavefront"]
if torch.cuda.is_available() and not cuda_kernels.SIMULATED:
    IMPLEMENTATIONS += [pytest.param(name, marks=pytest.mark.gpu) for name in ("wavefront-gpu", "cuda")]
# What is fast enough for tables of some hundred cells.
FAST = [name for name in IMPLEMENTATIONS if name != "recursion"]


class Found:
    """A SoftAlignment whose tensors come back to the CPU, still attached to their history."""

    def __init__(self, alignment: Any) -> None:
        self.alignment = alignment
        self.score, self.posterior = alignment.score.cpu(), alignment.posterior.cpu()
        self.expected_gaps = tuple(gaps.cpu() for gaps in alignment.expected_gaps)

    @property
    def table(self) -> torch.Tensor:
        return self.alignment.table.cpu()


def _runner(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    on_gpu = name == "wavefront-gpu" or (name == "cuda" and not cuda_kernels.SIMULATED)
    backend = name.split("-")[0]
    monkeypatch.setattr(numba_kernels, "LINEAR_DOMAIN", name != "numba-log")

    def place(value: Any) -> Any:
        if on_gpu and isinstance(value, torch.Tensor | np.ndarray):
            return (
                torch.as_tensor(np.ascontiguousarray(value)).cuda()
                if isinstance(value, np.ndarray)
                else value.cuda()
            )
        return value

    def align(similarity: Any, gap_open: Any, gap_extend: Any, **options: Any) -> Found:
        arguments = [place(value) for value in (similarity, gap_open, gap_extend)]
        return Found(soft_smith_waterman(*arguments, backend=backend, **options))

    align.backend, align.name = backend, name
    return align


@pytest.fixture(params=IMPLEMENTATIONS)
def align(request, monkeypatch):
    """`soft_smith_waterman` by one implementation."""
    return _runner(request.param, monkeypatch)


@pytest.fixture(params=FAST)
def fast_align(request, monkeypatch):
    """`soft_smith_waterman` by one of the implementations for larger tables."""
    return _runner(request.param, monkeypatch)


@pytest.fixture(params=["cuda"] if cuda_kernels.SIMULATED else ["recursion", "numba", "wavefront"])
def backend(request):
    """The name of a backend that takes tensors on the CPU."""
    return request.param


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Every test here."""
