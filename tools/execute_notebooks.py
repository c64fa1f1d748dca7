"""Execute notebooks and store their outputs: python tools/execute_notebooks.py notebooks/*.ipynb.

`jupyter execute --inplace` does nearly this, but also stores at what time each cell ran, so that every run
would change the files.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def execute(path: Path) -> None:
    """Run all cells on a fresh kernel. An error raises and leaves the file as it was."""
    before = path.stat()
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)  # those of the last run
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times of the last run, if another program stored them
    NotebookClient(notebook, record_timing=False, resources={"metadata": {"path": path.parent}}).execute()
    whole = path.with_suffix(".ipynb.new")
    nbformat.write(notebook, whole)
    # With its old date: `jupytext --sync` follows the newer one of a pair. No cell has changed here, but the
    # twin may have been edited in the meantime.
    os.utime(whole, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(whole, path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        started = time.perf_counter()
        execute(Path(name))
        size = Path(name).stat().st_size / 1000
        print(f"{name}: {time.perf_counter() - started:.1f} s, {size:.0f} kB", flush=True)
