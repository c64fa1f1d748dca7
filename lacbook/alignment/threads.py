"""Threads for the compiled kernels: Python's own, since the kernels release the GIL.

An OpenMP pool of numba's would spin while it waits, beside the one of torch, which does too.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARALLEL_CELLS = 100_000  # about 1 ms of work; with less, waking threads costs more than it saves


class _Pool:
    """The threads beside the calling one, started when they are first needed."""

    def __init__(self) -> None:
        self.pinned = False
        self.begin()

    def begin(self) -> None:
        """Forget all threads; a forked process has not got those of its parent, nor who held the lock."""
        self.lock = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None
        self.size = 0

    def get(self, size: int) -> ThreadPoolExecutor:
        """At least so many threads."""
        with self.lock:
            if self.executor is None or self.size < size:  # the threads of an old one end with it
                start = _pinning() if self.pinned else None
                self.executor, self.size = ThreadPoolExecutor(size, "lacbook", start), size
            return self.executor


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.begin)


def _pinning() -> Callable[[], None]:
    """What a thread does first: take the next processor after the first one."""
    processors, numbers = sorted(os.sched_getaffinity(0)), count(1)

    def pin() -> None:
        os.sched_setaffinity(0, {processors[next(numbers) % len(processors)]})  # 0 is the calling thread

    return pin


def pin_threads() -> None:
    """Bind each of lacbook's worker threads to a processor of its own.

    Some virtual machines put threads that wake up on one processor, so that two take as long as one. The
    calling thread stays free, and so do those of torch. Meant for measuring, and for machines of one's own:
    two programs that pin themselves to the same processors share these, whatever else is idle.

    Raises
    ------
    RuntimeError
        Where the operating system binds no threads (macOS, Windows).
    """
    if not hasattr(os, "sched_setaffinity"):
        raise RuntimeError("pin_threads: this operating system cannot bind a thread to a processor")
    with _pool.lock:
        _pool.pinned, _pool.executor, _pool.size = True, None, 0


def over_pairs(
    kernel: Callable[..., None], pairs: NDArray[np.integer], threads: int, *arguments: Any
) -> None:
    """Call a kernel on some pairs, every threads-th in each thread when there is enough work.

    Parameters
    ----------
    kernel : callable
        Takes pairs, then the arguments.
    pairs : int ndarray
        Which of the batch.
    threads : int
        At most so many, the calling one included.
    *arguments
        The first is the similarity [B, N, M].
    """
    if len(pairs) == 0:
        return  # and compile nothing
    threads = min(threads, len(pairs)) if len(pairs) * arguments[0][0].size > PARALLEL_CELLS else 1
    shares = [pairs[first::threads].copy() for first in range(threads)]
    running: list[Future[None]] = []
    try:
        for share in shares[1:]:
            running.append(_pool.get(threads - 1).submit(kernel, share, *arguments))
        kernel(shares[0], *arguments)
    finally:
        wait(running)  # they use the arrays of this call
    for each in running:
        each.result()
