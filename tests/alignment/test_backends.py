"""Which implementation runs, and on what installations."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import lacbook
from lacbook.alignment import backends, compiled, numba_kernels, numba_linear, soft_smith_waterman, threads

# What lacbook needs besides torch, NumPy and numba, and its alignment does not.
REST = [
    "scipy",
    "sklearn",
    "threadpoolctl",
    "lightning_fabric",
    "lightning",
    "kornia",
    "av",
    "PIL",
    "safetensors",
]
REST += ["tyro", "yaml", "pandas", "matplotlib", "seaborn", "tqdm", "ipywidgets", "numba_cuda"]
EVERY_KIND = """
import torch
from lacbook.alignment import smith_waterman, soft_smith_waterman

s = torch.tensor([[1.0, -1.0, 0.2], [-0.5, 2.0, 0.1]], requires_grad=True)
for backend in ("auto", "recursion", "numba", "wavefront"):
    found = soft_smith_waterman(s, 0.5, torch.full((2, 3), 0.1), temperature=0.3, backend=backend)
    (g,) = torch.autograd.grad(found.score, s, create_graph=True)
    assert torch.autograd.grad(g.square().sum() + found.table.sum(), s)[0].isfinite().all()
assert smith_waterman(s, 0.5, 0.1).path() == [(0, 0), (1, 1)]
print("aligned")
"""


def run(code, folder=None, **environment):
    environment = {**os.environ, **environment}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return done


def test_alignment_needs_torch_numpy_and_numba_alone():
    blocked = f"import sys; sys.modules.update(dict.fromkeys({REST!r}))\n"
    assert run(blocked + EVERY_KIND).stdout == "aligned\n"
    done = subprocess.run([sys.executable, "-c", blocked + "import tyro"], capture_output=True, text=True)
    assert "ModuleNotFoundError" in done.stderr  # blocking works


def test_without_a_writable_compiler_cache(tmp_path):
    """No folder beside the sources, none in the home: each process compiles, and says nothing."""
    package = tmp_path / "lacbook"
    shutil.copytree(Path(lacbook.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (package, *(p for p in package.rglob("*") if p.is_dir())):
        (folder / "__pycache__").touch()  # a file, so that not even root can make the folder
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "IPYTHONDIR"), "/dev/null/nowhere")
    nowhere |= {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": "", "PYTHONDONTWRITEBYTECODE": "1"}
    code = (
        "import lacbook, torch\n"
        "print(lacbook.__file__, lacbook.soft_smith_waterman(torch.eye(3), 1.0, 0.3).posterior.shape)\n"
        "print(lacbook.smith_waterman(torch.eye(3), 1.0, 0.3).path())"
    )
    done = run(code, folder=tmp_path, **nowhere)
    found = f"{package / '__init__.py'} torch.Size([3, 3])\n[(0, 0), (1, 1), (2, 2)]\n"
    assert done.stdout == found
    assert done.stderr == ""


def test_the_compiler_cache_is_used():
    code = "from lacbook.alignment.numba_linear import linear_pairs as k; print(type(k._cache).__name__)"
    assert run(code).stdout == "FunctionCache\n"


def test_only_a_missing_cache_folder_is_forgiven(monkeypatch):
    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("the disk is on fire")
        return lambda function: function

    monkeypatch.setattr(compiled, "njit", njit)
    with pytest.raises(RuntimeError, match="on fire"):
        compiled.compiled(run)


def test_scratch_memory_may_hold_anything():
    """glibc can fill the memory that it hands out, which is otherwise zero just often enough."""
    code = """
import torch
from lacbook.alignment import numba_kernels, soft_smith_waterman

s = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
for numba_kernels.LINEAR_DOMAIN in (True, False):
    for output in ("score", "table"):
        align = lambda x: getattr(soft_smith_waterman(x, 0.5, 0.1, temperature=0.5), output)
        assert torch.autograd.gradcheck(align, s)
        assert torch.autograd.gradgradcheck(align, s)
"""
    run(code, MALLOC_PERTURB_="191", GLIBC_TUNABLES="glibc.malloc.tcache_count=0")


def test_auto_picks_by_device():
    assert backends.choose("auto", torch.device("cpu")) == "numba"
    assert backends.choose("auto", torch.device("mps")) == "wavefront"
    assert backends.choose("wavefront", torch.device("cpu")) == "wavefront"


def test_auto_falls_back_to_the_wavefront_with_one_warning(monkeypatch):
    """Maghoumi #1, #14, #26, #28, IsaacLab PR 6040: an install without a working numba-cuda still aligns."""
    backends._warn_of_wavefront.cache_clear()
    monkeypatch.setattr(backends, "no_cuda_kernels", lambda: "numba-cuda is missing")
    device, reason = torch.device("cuda", 0), r"numba-cuda is missing.*'wavefront'.*lacbook\[cuda12\]"
    with pytest.warns(RuntimeWarning, match=reason) as caught:
        chosen = [backends.choose("auto", device) for _ in range(3)]
    assert chosen == ["wavefront"] * 3
    assert len(caught) == 1
    monkeypatch.setattr(backends, "no_cuda_kernels", lambda: "")
    assert backends.choose("auto", device) == "cuda"


def test_cuda_where_there_is_none_is_a_clear_error():
    with pytest.raises(ValueError, match=r"backend is 'cuda', but (its kernels cannot|similarity is on cpu)"):
        soft_smith_waterman(torch.zeros(2, 2), 1.0, 0.3, backend="cuda")


def test_cuda_kernels_that_cannot_run_are_named(monkeypatch):
    monkeypatch.setattr(backends, "no_cuda_kernels", lambda: "they fail their self-test")
    with pytest.raises(ValueError, match="cannot run here: they fail their self-test"):
        backends.choose("cuda", torch.device("cuda", 0))


def test_cuda_kernels_take_no_tensor_on_the_cpu(monkeypatch):
    monkeypatch.setattr(backends, "no_cuda_kernels", lambda: "")
    with pytest.raises(ValueError, match="similarity is on cpu; expected a CUDA device"):
        backends.choose("cuda", torch.device("cpu"))


def test_a_numba_without_cuda_is_an_obstacle_and_no_crash():
    code = "import sys; sys.modules['numba.cuda'] = None\n" + (
        "from lacbook.alignment import backends; print(backends.no_cuda_kernels())"
    )
    assert "numba" in run(code).stdout


def test_an_error_in_one_of_the_threads_is_raised():
    def kernel(pairs, similarity):
        assert 3 not in pairs, "pair 3"

    with pytest.raises(AssertionError, match="pair 3"):
        threads.over_pairs(kernel, np.arange(4), 2, np.zeros((4, 200, 200)))


def domains(monkeypatch, similarity, gap_open=1.0, gap_extend=0.3, **options):
    """Which pairs the linear domain refused."""
    seen = []

    def spy(*arguments):
        real(*arguments)
        seen.append(arguments[-1].tolist())

    real = numba_linear.linear_pairs
    monkeypatch.setattr(numba_kernels.numba_linear, "linear_pairs", spy)
    soft_smith_waterman(similarity, gap_open, gap_extend, backend="numba", **options)
    return seen[0]


def test_the_domain_is_chosen_per_pair(monkeypatch):
    s = torch.stack([torch.full((4, 5), v) for v in (0.5, 100.0, -100.0)])
    assert domains(monkeypatch, s, temperature=0.1) == [False, True, True]


def test_negative_penalties_go_to_the_log_domain(monkeypatch):
    s, per_cell = torch.zeros(2, 4, 5), torch.full((2, 4, 5), 0.1)
    per_cell[0, 3, 4] = -0.1
    assert domains(monkeypatch, s, gap_open=torch.tensor([-0.1, 0.1])) == [True, False]
    assert domains(monkeypatch, s, gap_extend=per_cell) == [True, False]
    assert domains(monkeypatch, s, gap_extend=per_cell, lengths=[(3, 5), (4, 5)]) == [False, False]
