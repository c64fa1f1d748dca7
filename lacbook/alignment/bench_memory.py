"""Peak memory of one call, for `lacbook bench`: on the CPU measured in a process of its own."""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from lacbook.alignment.bench_contestants import (
    BACKENDS,
    PEERS,
    YARDSTICK,
    Contestant,
    contestants,
    random_similarity,
)

PEAK = Path("/proc/self/clear_refs")  # writing 5 to it sets the peak back
# A short pair, and enough of them for several threads, so that all compiled code is loaded, and little else.
WARM_UP = ((1, 16), (256, 64))


def peak_megabytes(call: Callable[[], object], device: str = "cpu") -> float | None:
    """Memory at the peak of a call, less that before it; None where the platform cannot tell.

    On the CPU the process's resident memory, from Linux's /proc, to within about a megabyte; on a GPU what
    torch has allocated.
    """
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # freed memory that is still resident would be used again, uncounted
    try:
        PEAK.write_text("5")
    except OSError:  # not Linux, or a container that forbids it
        return None
    before = _resident("VmRSS")
    call()
    return (_resident("VmHWM") - before) / 1e6


def _resident(entry: str) -> int:
    """An entry of this process's status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, value = line.split(":", 1)
        if name == entry:
            return 1024 * int(value.split()[0])
    raise OSError(f"/proc/self/status has no {entry}")


def measure(
    contestant: Contestant, size: tuple[int, int], device: str, threads: int, seed: int
) -> float | None:
    """Megabytes at the peak of one call, from before the similarity is made, gradients included.

    The CPU's are measured in a fresh process, of which nothing is left afterwards.

    Returns
    -------
    float or None
        None for the yardstick and where the platform cannot tell.

    Raises
    ------
    RuntimeError
        The process failed; the message is its last line.
    """
    if contestant.mode == YARDSTICK or (device == "cpu" and not PEAK.exists()):
        return None
    if device == "cuda":
        return _measure_here(contestant, size, device, seed)
    wanted = json.dumps([contestant.mode, contestant.name, size, threads, seed])
    command = [sys.executable, "-m", "lacbook.alignment.bench_memory", wanted]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError((ran.stderr.strip() or f"exit code {ran.returncode}").splitlines()[-1])
    megabytes: float | None = json.loads(ran.stdout.splitlines()[-1])
    return megabytes


def _measure_here(contestant: Contestant, size: tuple[int, int], device: str, seed: int) -> float | None:
    """Warm up, then measure one call."""

    def call(pairs: int, frames: int) -> None:
        contestant.prepare(random_similarity(pairs, frames, device, seed))()

    compiled = contestant.name not in ("recursion", "wavefront")  # the others would only take their time
    for pairs, frames in WARM_UP[: 1 + compiled]:
        call(pairs, frames)
    return peak_megabytes(lambda: call(*size), device)


def main() -> None:
    """Print the megabytes of the contestant whose names stand on the command line."""
    mode, name, size, threads, seed = json.loads(sys.argv[1])
    torch.set_num_threads(threads)
    everything = contestants([mode], BACKENDS, list(PEERS), "cpu", threads)
    (contestant,) = [c for c in everything if (c.mode, c.name) == (mode, name)]
    print(json.dumps(_measure_here(contestant, tuple(size), "cpu", seed)))


if __name__ == "__main__":
    main()
