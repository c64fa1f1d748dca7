"""Execute notebooks and store their outputs: python tools/execute_notebooks.py notebooks/*.ipynb.

`jupyter execute --inplace` does nearly this, but also stores at what time each cell ran, so that every run
would change the files. With `--times FILE` the seconds that each notebook took, on two CPU cores however many
there are, go into a table of that name; its other rows stay.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from lacbook.files import whole_file

COLUMNS = ["notebook", "seconds"]


def execute(path: Path) -> None:
    """Run all cells on a fresh kernel. An error raises and leaves the file as it was."""
    before = path.stat()
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)  # those of the last run
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times of the last run, if another program stored them
    NotebookClient(notebook, record_timing=False, resources={"metadata": {"path": path.parent}}).execute()
    with whole_file(path) as whole:
        nbformat.write(notebook, whole)
        # With its old date: `jupytext --sync` follows the newer one of a pair. No cell has changed here, but
        # the twin may have been edited in the meantime.
        os.utime(whole, ns=(before.st_atime_ns, before.st_mtime_ns))


def store_time(table: Path, name: str, seconds: float) -> None:
    """Put one row into the table, in place of an earlier one; rows are sorted by name."""
    rows = {}
    if table.exists():
        with table.open(newline="", encoding="utf-8") as file:
            rows = {row["notebook"]: row["seconds"] for row in csv.DictReader(file)}
    rows[name] = f"{seconds:.1f}"
    with whole_file(table) as whole, whole.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *sorted(rows.items())])


def use_two_cores() -> None:
    """Keep this process and its kernels to two cores, where the system can (Linux)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--times", type=Path, metavar="FILE", help="CSV table of seconds to bring up to date")
    options = parser.parse_args()
    if options.times:
        use_two_cores()
    for path in options.notebooks:
        started = time.perf_counter()
        execute(path)
        seconds = time.perf_counter() - started
        if options.times:
            store_time(options.times, path.stem, seconds)
        print(f"{path}: {seconds:.1f} s, {path.stat().st_size / 1000:.0f} kB", flush=True)
