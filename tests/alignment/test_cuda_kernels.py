"""The CUDA kernels without a GPU: numba's simulator runs them thread by thread, in processes of its own.

The simulator has to be asked for before numba is imported. The tests of this folder then run with the
backend "cuda" alone, on CPU tensors.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lacbook.alignment import cuda_kernels, recursion, soft_smith_waterman, wavefront

HERE = Path(__file__).parent
simulated = pytest.mark.skipif(not cuda_kernels.SIMULATED, reason="run by test_in_the_simulator")


@pytest.mark.skipif(cuda_kernels.SIMULATED, reason="is in the simulator")
@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        ("test_cuda_kernels.py test_errors.py", ""),
        ("test_soft.py", "not equals_recursion"),
        ("test_gradients.py", "not gradcheck and not gradgradcheck and not every_cell"),
        ("test_precision.py", "long_double and (0.01 or 1.0) or yardstick"),
        # Second derivatives are the wavefront's, tested without the simulator.
        pytest.param("test_gradients.py", "gradcheck and not gradgradcheck", marks=pytest.mark.slow),
        pytest.param("test_soft.py test_ops.py", "equals_recursion or opcheck", marks=pytest.mark.slow),
    ],
    ids=["the kernels", "values", "gradients", "precision", "all gradients", "operators"],
)
def test_in_the_simulator(files, chosen):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen]
    done = subprocess.run(
        [*command, *(str(HERE / name) for name in files.split())],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout or files.startswith("test_cuda_kernels.py")


@simulated
@pytest.mark.parametrize("per_cell", [False, True])
def test_a_block_takes_one_pair_after_another(monkeypatch, per_cell):
    """With memory for one block of three: what a pair leaves behind must not reach the next."""
    monkeypatch.setattr(cuda_kernels, "SCRATCH_BYTES", 1)
    monkeypatch.setattr(cuda_kernels, "FEWEST_BLOCKS", 3)
    generator = torch.Generator().manual_seed(0)
    s = torch.randn(4, 7, 6, generator=generator, dtype=torch.float64)
    s[1] = -torch.inf  # leaves early
    go, ge = (torch.rand((4, 7, 6) if per_cell else (4,), generator=generator).double() for _ in range(2))
    lengths = [(7, 6), (7, 6), (2, 6), (6, 1)]
    found = soft_smith_waterman(s, go, ge, temperature=0.3, lengths=lengths, backend="cuda")
    for b, (n, m) in enumerate(lengths):
        o, e = (x[b, :n, :m].numpy() if per_cell else x[b].item() for x in (go, ge))
        tables = recursion.forward(s[b, :n, :m], o, e, 0.3)
        truth = recursion.backward(tables, o, e, 0.3)
        assert found.score[b].item() == pytest.approx(tables.score, abs=1e-12)
        np.testing.assert_allclose(found.posterior[b, :n, :m], truth.posterior, atol=1e-12)
        np.testing.assert_allclose(found.table[b, :n, :m], tables.D, atol=1e-12)
        assert found.expected_gaps[0][b].item() == pytest.approx(truth.openings.sum(), abs=1e-12)


@simulated
def test_more_rows_than_threads_and_more_columns():
    for shape in ((13, 5), (5, 13), (1, 9), (9, 1)):
        s = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        found = soft_smith_waterman(s, 0.3, 0.1, temperature=0.05, backend="cuda")
        tables = recursion.forward(s, 0.3, 0.1, 0.05)
        np.testing.assert_allclose(found.table, tables.D, atol=1e-12)
        np.testing.assert_allclose(
            found.posterior, recursion.backward(tables, 0.3, 0.1, 0.05).posterior, atol=1e-11
        )


@simulated
def test_second_derivatives_leave_it_to_the_wavefront(monkeypatch):
    calls = []
    real = wavefront.tangent
    monkeypatch.setattr(wavefront, "tangent", lambda *a: calls.append(1) or real(*a))
    s = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    soft_smith_waterman(s, 0.3, 0.1, backend="cuda").posterior.square().sum().backward()
    assert calls == [1]
    assert s.grad.abs().sum() > 0


def test_without_a_device_the_obstacle_has_a_name():
    if torch.cuda.is_available() or cuda_kernels.SIMULATED:
        assert cuda_kernels.obstacle() == ""
    else:
        assert cuda_kernels.obstacle() == "torch finds no CUDA device"


@pytest.mark.skipif(cuda_kernels.SIMULATED, reason="there is no obstacle in the simulator")
def test_obstacles_behind_a_device(monkeypatch):
    """One after the other is cleared away, on a CPU that passes for a GPU."""
    real = torch.tensor
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda_kernels.cuda, "is_available", lambda: False)
    assert cuda_kernels.obstacle().startswith("numba finds no CUDA driver")
    monkeypatch.setattr(cuda_kernels.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "tensor", lambda values, device: real(values))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(cuda_kernels, "soft", lambda *a: 1 / 0)
    assert cuda_kernels.obstacle() == "ZeroDivisionError: division by zero"
    monkeypatch.setattr(cuda_kernels, "soft", lambda *a: [x + 1 for x in wavefront.soft(*a)])
    assert cuda_kernels.obstacle() == "they fail their self-test"
    monkeypatch.setattr(cuda_kernels, "soft", wavefront.soft)
    assert cuda_kernels.obstacle() == ""


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_torchs_current_stream():
    """Work queued before on a side stream is seen, and nothing waits for the default stream."""
    s = torch.randn(8, 200, 180, device="cuda")
    expected = soft_smith_waterman(2 * s, 0.5, 0.1, temperature=0.3).posterior
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10_000_000)
        found = soft_smith_waterman(2 * s, 0.5, 0.1, temperature=0.3, backend="cuda").posterior
    stream.synchronize()
    torch.testing.assert_close(found, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_parity_with_the_cpu(dtype, error):
    s = torch.randn(5, 300, 1100, dtype=dtype) - 0.5
    for penalties in ((torch.tensor(0.5), torch.tensor(0.1)), (torch.rand(300, 1100), torch.rand(300, 1100))):
        results = []
        for device, backend in (("cpu", "numba"), ("cuda", "cuda")):
            x, go, ge = (v.to(device, dtype).requires_grad_() for v in (s, *penalties))
            found = soft_smith_waterman(x, go, ge, temperature=0.3, backend=backend)
            grads = torch.autograd.grad(found.score.sum(), (x, go, ge))
            results.append([found.score, found.table, *grads])
        for cpu, gpu in zip(*results, strict=True):
            torch.testing.assert_close(gpu.cpu(), cpu, rtol=error, atol=error)
