"""How fast the alignments are on this machine, beside other packages: `lacbook bench`.

Everything takes turns, one call each in every round, so that whatever slows the machine down hits all alike.
Nothing but torch, NumPy and lacbook is imported, so that `python -m lacbook.alignment.bench` runs on a bare
machine.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from lacbook.alignment.bench_contestants import (
    BACKENDS,
    MODES,
    PEERS,
    Call,
    Contestant,
    contestants,
    installed_peers,
    random_similarity,
    versions,
)
from lacbook.alignment.bench_memory import measure
from lacbook.alignment.bench_table import RESOLVED, Report, as_text
from lacbook.errors import InputError
from lacbook.files import whole_file

SIZES = ((1, 64), (4, 64), (16, 128), (32, 240), (8, 512), (1, 2048))  # pairs, frames of each video
FEWEST, MOST = 5, 200  # rounds
PAUSE = 0.005  # seconds before each call: OpenMP's threads spin on a core for a while after their work
LONGEST = 5.0  # seconds; what takes more for a call is left out
Clock = Callable[[], float]


def take_turns(
    calls: Mapping[Contestant, Call], seconds: float, clock: Clock
) -> dict[Contestant, list[float]]:
    """Seconds of each call: round by round, every contestant once a round, after a call that does not count.

    A contestant leaves when it has used up its share of the seconds, but not before `FEWEST` rounds, and
    after `MOST` in any case.
    """
    times: dict[Contestant, list[float]] = {contestant: [] for contestant in calls}
    playing = list(calls)
    gc.collect()
    gc.disable()
    try:
        while playing:
            for contestant in playing:
                time.sleep(PAUSE)
                calls[contestant]()  # the pause, and whoever was on before, left the caches cold
                begin = clock()
                calls[contestant]()
                times[contestant].append(clock() - begin)
            playing = [
                contestant
                for contestant in playing
                if (rounds := len(times[contestant])) < FEWEST
                or (rounds < MOST and sum(times[contestant]) < seconds / len(calls))
            ]
    finally:
        gc.enable()
    return times


def run(
    taking_part: Sequence[Contestant],
    sizes: Sequence[tuple[int, int]],
    *,
    device: str,
    threads: int,
    seed: int,
    seconds: float,
    memory: bool,
    clock: Clock = time.perf_counter,
) -> Iterator[dict[str, Any]]:
    """Measure size by size.

    Yields
    ------
    dict
        Of each contestant at each size: pairs, frames, mode, contestant, seconds of its calls, megabytes or
        None, and error: None, or why there are no seconds.
    """
    slow: set[Contestant] = set()
    for pairs, frames in sorted(sizes, key=lambda size: size[0] * size[1] ** 2):
        print(f"timing {pairs} x {frames} x {frames} ...", file=sys.stderr)
        similarity = random_similarity(pairs, frames, device, seed)
        calls: dict[Contestant, Call] = {}
        errors: dict[Contestant, str] = {}
        for contestant in taking_part:
            if contestant in slow:
                errors[contestant] = "left out, too slow at a smaller size"
                continue
            try:
                call = _synchronised(contestant.prepare(similarity), device)
                if (took := _warm_up(call, clock)) > LONGEST:
                    slow.add(contestant)
                    errors[contestant] = f"left out, one call takes {took:.0f} s"
                else:
                    calls[contestant] = call
            except Exception as error:  # whatever another package raises
                errors[contestant] = _first_line(error)
        times = take_turns(calls, seconds, clock)
        del similarity
        calls.clear()
        for contestant in taking_part:
            megabytes = None
            if memory and contestant in times and pairs * frames**2 >= RESOLVED:
                try:
                    megabytes = measure(contestant, (pairs, frames), device, threads, seed)
                except (RuntimeError, OSError) as error:
                    print(f"memory of {contestant.mode} {contestant.name}: {error}", file=sys.stderr)
            yield {
                "pairs": pairs,
                "frames": frames,
                "mode": contestant.mode,
                "contestant": contestant.name,
                "seconds": [float(f"{t:.4g}") for t in times.get(contestant, [])],
                "megabytes": None if megabytes is None else round(megabytes, 2),
                "error": errors.get(contestant),
            }


def _synchronised(call: Call, device: str) -> Call:
    """The call and, on a GPU, the wait for it."""
    if device == "cpu":
        return call

    def wait() -> None:
        call()
        torch.cuda.synchronize()

    return wait


def _warm_up(call: Call, clock: Clock) -> float:
    """Seconds of a call; of a second one if the first, which may compile, took too long."""
    took = 0.0
    for _ in range(2):
        begin = clock()
        call()
        took = clock() - begin
        if took <= LONGEST:
            break
    return took


def _first_line(error: Exception) -> str:
    """Kind and first line of an error."""
    return f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0]}"


def machine(device: str) -> dict[str, Any]:
    """What the times belong to: processor, cores, system, and the GPU where it is used."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        cpu = next(iter(re.findall(r"model name\s*: (.*)", info.read_text())), cpu)
    found = {"cpu": cpu, "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"}
    return found | ({"gpu": torch.cuda.get_device_name()} if device == "cuda" else {})


def load(path: Path) -> Report:
    """Read what `--json` wrote; InputError if it is something else."""
    try:
        report: Report = json.loads(path.read_text())
        as_text(report)
    except OSError as error:
        raise InputError(f"from: {path} cannot be read ({error.strerror})") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"from: {path} is not a report that lacbook bench --json wrote") from error
    return report


def _size(text: str) -> tuple[int, int]:
    """4x64 as (4, 64)."""
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; expected pairs x frames, such as 4x64")
    return int(found[1]), int(found[2])


def _above_zero(kind: type) -> Callable[[str], Any]:
    """A whole number or a float above 0."""

    def convert(text: str) -> Any:
        try:
            if (value := kind(text)) > 0:
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")

    return convert


def _figure_path(text: str) -> Path:
    """A name that matplotlib can write."""
    if Path(text).suffix not in (".png", ".svg", ".pdf"):
        raise argparse.ArgumentTypeError(f"expected the name of a .png, .svg or .pdf file, found {text!r}")
    return Path(text)


class _Parser(argparse.ArgumentParser):
    """Wrong options are what all wrong input is, an InputError."""

    def error(self, message: str) -> Any:
        raise InputError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="lacbook bench",
        description="Time the alignments on this machine, beside other packages that are installed.",
        epilog="For example:\n  lacbook bench\n"
        "  lacbook bench --sizes 1x64 32x240 --modes gradient --no-memory\n"
        "  lacbook bench --json cpu.json --figure cpu.png\n  lacbook bench --from cpu.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sizes = " ".join(f"{pairs}x{frames}" for pairs, frames in SIZES)
    add = parser.add_argument
    add(
        "--sizes",
        nargs="+",
        type=_size,
        default=SIZES,
        metavar="BxT",
        help=f"pairs x frames (default {sizes})",
    )
    add("--modes", nargs="+", choices=MODES, default=list(MODES), help="what to compute (default all)")
    add(
        "--backends",
        nargs="+",
        choices=BACKENDS,
        help="of lacbook (default those of the device, no recursion)",
    )
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where (default cpu)")
    add("--threads", type=_above_zero(int), metavar="N", help="on the CPU (default torch's)")
    add("--pin", action="store_true", help="pin lacbook's threads to cores")
    add("--seconds", type=_above_zero(float), default=3.0, metavar="S", help="for each size (default 3)")
    add("--seed", type=int, default=0, metavar="N", help="of the similarities (default 0)")
    add("--no-peers", action="store_true", help=f"lacbook alone, without {', '.join(PEERS)}")
    add(
        "--no-memory",
        action="store_true",
        help="do not measure memory, which takes a process for each number",
    )
    add("--json", type=Path, metavar="PATH", help="file to write everything to, each call's time too")
    add("--figure", type=_figure_path, metavar="PATH", help="file to draw time against cells to")
    add("--from", type=Path, metavar="PATH", dest="stored", help="run nothing; show what --json wrote")
    return parser


def _measured(options: argparse.Namespace) -> tuple[Report, bool]:
    """A new report, and whether it is whole or was interrupted."""
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda is not available here; expected cpu")
    if options.threads:
        torch.set_num_threads(options.threads)
    threads = torch.get_num_threads()
    if options.pin:
        importlib.import_module("lacbook").pin_threads()
    backends = options.backends or (
        ["cuda", "wavefront"] if options.device == "cuda" else ["numba", "wavefront"]
    )
    peers = [] if options.no_peers else installed_peers()
    taking_part = contestants(options.modes, backends, peers, options.device, threads)
    settings = {name: getattr(options, name) for name in ("device", "pin", "seconds", "seed")}
    report: Report = {
        "machine": machine(options.device),
        "versions": {"python": platform.python_version(), **versions()},
        "settings": settings | {"threads": threads},
        "rows": [],
    }
    measuring = {name: settings[name] for name in ("device", "seconds", "seed")} | {"threads": threads}
    try:
        for row in run(taking_part, options.sizes, memory=not options.no_memory, **measuring):
            report["rows"].append(row)
    except KeyboardInterrupt:
        return report, False
    return report, True


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, those of the process by default.

    Raises
    ------
    InputError
        For arguments that are wrong, files that cannot be written, a report that cannot be read.
    SystemExit
        130 when interrupted: what was measured is printed, nothing is saved.
    """
    options = _parser().parse_args(arguments)
    if options.figure:
        from lacbook.viz.bench import plot_bench  # now, lest a missing library shows after minutes only
    with ExitStack() as stack:  # likewise: opened before the first measurement, named when all is written
        written = stack.enter_context(whole_file(options.json)) if options.json else None
        drawn = stack.enter_context(whole_file(options.figure)) if options.figure else None
        report, whole = (load(options.stored), True) if options.stored else _measured(options)
        print(as_text(report))
        if not whole:
            print(
                "lacbook: interrupted; the table holds what was measured, nothing is saved", file=sys.stderr
            )
            sys.exit(130)
        if written:
            rows = ",\n".join(json.dumps(row) for row in report["rows"])  # a row a line, for diffs
            head = json.dumps({**report, "rows": []}, indent=1)
            written.write_text(head.replace('"rows": []', f'"rows": [\n{rows}\n]') + "\n")
        if drawn:
            plot_bench(report)[0].figure.savefig(drawn)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print("lacbook:", error, file=sys.stderr)
        sys.exit(2)
