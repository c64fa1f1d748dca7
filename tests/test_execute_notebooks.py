"""What `make notebooks` stores, and that a notebook that fails stays as it was."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

TOOL = Path(__file__).resolve().parents[1] / "tools" / "execute_notebooks.py"
LONG_AGO = 1_000_000_000


def write(path: Path, *code: str) -> Path:
    notebook = new_notebook(cells=[new_code_cell(source) for source in code])
    notebook.cells[0].metadata["execution"] = {"iopub.execute_input": "2020-01-01T00:00:00.000000Z"}
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {"gone": {}}}}
    nbformat.write(notebook, path)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Four notebooks, the third of which fails; what they held before, and how the tool ended."""
    folder = tmp_path_factory.mktemp("notebooks")
    paths = [
        write(folder / "1.ipynb", "import os", "print(os.path.basename(os.getcwd()))"),
        write(folder / "2.ipynb", "import ipywidgets", "ipywidgets.IntSlider(7)"),
        write(folder / "3.ipynb", "print('one')", "1 / 0"),
        write(folder / "4.ipynb", "print('never reached')"),
    ]
    before = [path.read_bytes() for path in paths]
    ended = subprocess.run([sys.executable, TOOL, *paths], capture_output=True, text=True)
    return paths, before, ended


def test_outputs_are_stored_without_the_time_of_day(ran):
    (path, *_), _, _ = ran
    notebook = nbformat.read(path, as_version=4)
    assert [cell.execution_count for cell in notebook.cells] == [1, 2]
    assert notebook.cells[1].outputs[0].text == f"{path.parent.name}\n"
    assert [dict(cell.metadata) for cell in notebook.cells] == [{}, {}]
    assert "widgets" not in notebook.metadata
    assert path.stat().st_mtime == LONG_AGO, "an edit of the twin in the meantime has to count as newer"


def test_second_run_stores_the_same(ran):
    (path, *_), _, _ = ran
    first = path.read_bytes()
    subprocess.run([sys.executable, TOOL, path], capture_output=True, check=True)
    assert path.read_bytes() == first


def test_widgets_are_those_of_this_run(ran):
    (stored,) = nbformat.read(ran[0][1], as_version=4).metadata.widgets.values()
    assert 7 in [model["state"].get("value") for model in stored["state"].values()]
    assert "gone" not in stored["state"]


def test_a_write_that_ends_half_way_changes_nothing(tmp_path, monkeypatch):
    tool = runpy.run_path(str(TOOL))
    path = write(tmp_path / "1.ipynb", "1 + 1")
    before = path.read_bytes()

    def full_disk(notebook, to):
        Path(to).write_text('{"cells": [')
        raise OSError("no space left")

    monkeypatch.setattr(nbformat, "write", full_disk)
    with pytest.raises(OSError, match="no space left"):
        tool["execute"](path)
    assert path.read_bytes() == before


def test_failure_stops_and_changes_nothing(ran):
    paths, before, ended = ran
    assert ended.returncode != 0
    assert "ZeroDivisionError" in ended.stderr
    assert [path.read_bytes() for path in paths[2:]] == before[2:]
    assert sorted(paths[0].parent.iterdir()) == paths
