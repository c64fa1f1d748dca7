"""How every CPU kernel is compiled: without the GIL, cached on disk where there is somewhere to write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

# Without the GIL, so that pairs may run in threads; products and sums may be fused; division by zero gives
# an infinity, since a check for it would keep LLVM from vectorising.
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
# What only compiled code calls needs no reference counts and nothing to be called by Python with; numba knows
# these flags, but promises nothing.
LEAN: dict[str, Any] = {"_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
# Functions of these files may call each other, and are then compiled into one another.
SHARED = [*sorted(Path(__file__).parent.glob("numba_*.py")), Path(__file__).with_name("vector_math.py")]


def _stamp(path: Path) -> tuple[int, int]:
    """What changes with a file."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def compiled(function: Callable[..., Any]) -> Any:
    """`numba.njit` for what Python calls.

    The machine code is kept beside the source, or in the user's cache folder, so that only the first process
    compiles. Where neither can be written (a read-only container without a home), every process compiles
    anew.

    A cached kernel is compiled again when its own file, another ``numba_*.py`` or `vector_math` changes, so a
    kernel may call compiled functions of these alone.
    """
    try:
        dispatcher = njit(cache=True, **OPTIONS)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return njit(**OPTIONS)(function)
    index = dispatcher._cache._cache_file  # numba looks at the kernel's own file only
    index._source_stamp = (index._source_stamp, *(_stamp(path) for path in (*SHARED, Path(__file__))))
    return dispatcher


def inner(function: Callable[..., Any]) -> Any:
    """`numba.njit` for what only kernels call: without reference counts, so it may make views but no arrays.

    It lives in the caches of the kernels.
    """
    return njit(**OPTIONS, **LEAN)(function)
