"""The cache of compiled kernels: used, but not where a file that a kernel was made of has changed."""

import os
import shutil
import subprocess
import sys

import pytest

from lacbook.alignment import compiled

KERNEL = """
from compiled import compiled
from vector_math import number

@compiled
def kernel():
    return number()
"""
INNER = """
from compiled import inner

@inner
def number():
    return {}
"""
CALL = "from numba_kernel import kernel; print(kernel(), sum(kernel.stats.cache_hits.values()))"


@pytest.fixture
def folder(tmp_path):
    """A kernel beside its own copy of `compiled`, that calls a function of `vector_math`."""
    shutil.copy(compiled.__file__, tmp_path / "compiled.py")
    (tmp_path / "vector_math.py").write_text(INNER.format(1))
    (tmp_path / "numba_kernel.py").write_text(KERNEL)
    (tmp_path / "numba_other.py").write_text("")
    return tmp_path


def call(folder):
    """What the kernel returns in a new process, and whether it came from the cache."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-B", "-c", CALL]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    number, hits = done.stdout.split()
    return int(number), hits == "1"


def test_the_next_process_finds_the_kernel(folder):
    assert call(folder) == (1, False)
    (folder / "notes.py").write_text("")  # this cannot be part of a kernel
    assert call(folder) == (1, True)


@pytest.mark.parametrize("age", [0, 3600], ids=["new", "of an old date"])
def test_a_kernel_is_compiled_again_when_what_it_calls_changes(folder, age):
    """Which numba itself would not see. What an archive or another version brings may be older."""
    assert call(folder) == (1, False)
    changed = folder / "vector_math.py"
    date = changed.stat().st_mtime - age
    changed.write_text(INNER.format(23))
    if age:
        os.utime(changed, (date, date))
    assert call(folder) == (23, False)


def test_a_kernel_is_compiled_again_when_another_file_of_kernels_changes(folder):
    assert call(folder) == (1, False)
    (folder / "numba_other.py").write_text("# changed")
    assert call(folder) == (1, False)


def test_every_file_of_kernels_is_watched():
    """Except one whose kernels call only each other."""
    folder = compiled.SHARED[0].parent
    alone = folder / "dtw_kernels.py"
    files = {path for path in folder.glob("*.py") if "lacbook.alignment.compiled import" in path.read_text()}
    assert alone in files
    assert files - {alone} <= set(compiled.SHARED)
    assert not any(path.stem in alone.read_text() for path in compiled.SHARED)
