"""What `lacbook bench` measured, as a table in plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from statistics import median
from typing import Any

from lacbook.alignment.bench_contestants import MODES, YARDSTICK

Report = dict[str, Any]
RESOLVED = 1_000_000  # cells from which on memory per cell means something


def as_text(report: Report) -> str:
    """The report as a table with a word on each column."""
    rows = report["rows"]
    device = report["settings"]["device"]
    reference = "cuda" if device == "cuda" else "numba"
    header = [
        "mode",
        "",
        "best ms",
        "median ms",
        "Mcells/s",
        f"x {YARDSTICK}",
        f"x {reference}",
        "MB",
        "B/cell",
    ]
    lines: list[list[str] | str] = [header]
    best = {
        (row["pairs"], row["frames"], row["mode"], row["contestant"]): min(row["seconds"])
        for row in rows
        if row["seconds"]
    }
    last: tuple[object, ...] = ()
    for row in rows:
        size = (row["pairs"], row["frames"])
        cells = row["pairs"] * row["frames"] ** 2
        if last[:2] != size:
            lines.append(f"\n{size[0]} x {size[1]} x {size[1]}")
        shown = "" if last == (*size, row["mode"]) else row["mode"]
        last = (*size, row["mode"])
        if row["error"]:
            lines.append([shown, row["contestant"], row["error"]])
            continue
        took = min(row["seconds"])
        ratios = [best.get((*size, YARDSTICK, YARDSTICK)), best.get((*size, row["mode"], reference))]
        megabytes = row["megabytes"]
        numbers = [took * 1e3, median(row["seconds"]) * 1e3, cells / took / 1e6]
        numbers += [took / other if other else None for other in ratios]
        numbers += [
            megabytes,
            megabytes * 1e6 / cells if megabytes is not None and cells >= RESOLVED else None,
        ]
        lines.append([shown, row["contestant"], *map(_short, numbers)])
    return "\n".join([_heading(report), "", *_aligned(lines), "", _footnotes(report, reference)])


def as_markdown(report: Report) -> str:
    """Best times of every mode as multiples of the yardstick's, one column a size."""
    best = {
        (row["mode"], row["contestant"], row["pairs"], row["frames"]): min(row["seconds"])
        for row in report["rows"]
        if row["seconds"]
    }
    sizes = list(dict.fromkeys((row["pairs"], row["frames"]) for row in report["rows"]))
    names = dict.fromkeys((row["mode"], row["contestant"]) for row in report["rows"])
    lines = [["mode", "", *(f"{pairs} x {frames}" for pairs, frames in sizes)], ["---"] * (2 + len(sizes))]
    for mode, name in names:
        if mode != YARDSTICK:
            took = (best.get((mode, name, *size)) for size in sizes)
            units = (best[YARDSTICK, YARDSTICK, *size] for size in sizes)
            lines.append(
                [mode, name, *(_short(a / b if a else None) for a, b in zip(took, units, strict=True))]
            )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _short(number: float | None) -> str:
    """Three figures."""
    if number is None:
        return "-"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:#.3g}"


def _aligned(lines: Sequence[list[str] | str]) -> list[str]:
    """Names to the left, numbers to the right, errors across the columns."""
    whole = [line for line in lines if isinstance(line, list) and len(line) > 3]
    widths = [max(len(line[k]) for line in whole) for k in range(len(whole[0]))]
    for k in (0, 1):
        widths[k] = max(len(line[k]) for line in lines if isinstance(line, list))
    text = []
    for line in lines:
        if isinstance(line, list):
            names = [cell.ljust(width) for cell, width in zip(line[:2], widths, strict=False)]
            rest = line[2:] if len(line) == 3 else map(str.rjust, line[2:], widths[2:])
            line = "  ".join([*names, *rest])
        text.append(line.rstrip())
    return text


def _heading(report: Report) -> str:
    """Machine, versions and settings."""
    machine, settings = report["machine"], report["settings"]
    device = machine.get("gpu") or f"{machine['cpu']}, {machine['cores']} cores"
    packages = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    pinned = ", pinned" if settings["pin"] else ""
    return f"{device}; threads: {settings['threads']}{pinned}; float32, seed {settings['seed']}\n{packages}"


def _footnotes(report: Report, reference: str) -> str:
    """What the rows and columns are."""
    there = {row["mode"] for row in report["rows"]}
    rounds = [len(row["seconds"]) for row in report["rows"] if row["seconds"]]
    notes = [f"{mode}: {meaning}." for mode, meaning in MODES.items() if mode in there]
    if "soft-dtw" in there:
        notes[-1] += " One state a cell, the affine alignment has three: a simpler task."
    notes += [
        f"best, median: of {min(rounds, default=0)} to {max(rounds, default=0)} calls, in turns with all "
        "others, each after a pause and a call that does not count; the other columns take the best.",
        f"x {YARDSTICK}: times what one float64 exp for every cell takes"
        + (" on one thread." if reference == "numba" else "."),
        f"x {reference}: times what lacbook's {reference} takes for the same mode.",
        "MB: memory of one call at its peak, from before the similarity was made, its gradient included; "
        f"B/cell from {RESOLVED:,} cells on, since it is known to about a megabyte. "
        "-: not measured (on the CPU it can be on Linux only).",
    ]
    return "\n".join(textwrap.fill(note, 110, subsequent_indent="  ") for note in notes)
