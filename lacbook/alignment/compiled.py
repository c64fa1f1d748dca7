"""How every CPU kernel is compiled: without the GIL, cached on disk where there is somewhere to write."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Any:
    """`numba.njit` for kernels that run in several threads.

    The machine code is kept beside the source, or in the user's cache folder, so that only the first process
    compiles. Where neither can be written (a read-only container without a home), every process compiles
    anew.

    A cached kernel is compiled again only when its own file changes, so a kernel may call compiled functions
    of its own file alone.
    """
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return njit(nogil=True)(function)
