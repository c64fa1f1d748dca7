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


def write_times(path: Path) -> Path:
    path.write_text("notebook,seconds\n0,7.5\n2,1000.0\n3,3.0\n")
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Four notebooks, the third of which fails; what they held before, and how the tool ended."""
    folder = tmp_path_factory.mktemp("course") / "notebooks"
    folder.mkdir()
    paths = [
        write(folder / "1.ipynb", "import os", "print(os.path.basename(os.getcwd()))"),
        write(folder / "2.ipynb", "import ipywidgets", "ipywidgets.IntSlider(7)"),
        write(folder / "3.ipynb", "print('one')", "1 / 0"),
        write(folder / "4.ipynb", "print('never reached')"),
    ]
    before = [path.read_bytes() for path in paths]
    command = [sys.executable, TOOL, *paths, "--times", write_times(folder.parent / "times.csv")]
    ended = subprocess.run(command, capture_output=True, text=True)
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


def test_only_times_of_what_ran_change(ran):
    paths, _, ended = ran
    header, *rows = (paths[0].parents[1] / "times.csv").read_text().splitlines()
    assert header == "notebook,seconds"
    times = dict(row.split(",") for row in rows)
    assert list(times) == ["0", "1", "2", "3"], "of 4, which never ran, none"
    assert (times["0"], times["3"]) == ("7.5", "3.0")
    for number in (1, 2):
        assert f"{number}.ipynb: {times[str(number)]} s" in ended.stdout
        assert 0 < float(times[str(number)]) < 1000


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="only Linux can keep a program to some cores"
)
def test_times_are_those_of_two_cores(tmp_path):
    path = write(tmp_path / "1.ipynb", "import os; print(len(os.sched_getaffinity(0)))")
    cores = min(2, len(os.sched_getaffinity(0)))
    command = [sys.executable, TOOL, path, "--times", tmp_path / "times.csv"]
    subprocess.run(command, capture_output=True, check=True)
    assert nbformat.read(path, as_version=4).cells[0].outputs[0].text == f"{cores}\n"
    assert (tmp_path / "times.csv").read_text().startswith("notebook,seconds\n1,")
