"""The table of time against budget that follows every run of notebooks as tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
HEAD = "# 42 Title\n\n**Time**: the notebook runs in about\n50 seconds on a CPU and reads in 20 minutes."


@pytest.fixture
def plugin(pytestconfig):
    return pytestconfig.pluginmanager.get_plugin(str(ROOT / "conftest.py"))


def write(path: Path, head: str, code: str = "1 + 1") -> Path:
    nbformat.write(new_notebook(cells=[new_markdown_cell(head), new_code_cell(code)]), path)
    return path


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_promises_a_time(plugin, path):
    assert plugin.promised_seconds(path) > 0


def test_promise_is_read_from_the_first_cell(plugin, tmp_path):
    assert plugin.promised_seconds(write(tmp_path / "a.ipynb", HEAD)) == 50
    assert plugin.promised_seconds(write(tmp_path / "b.ipynb", "# 42 Title", code=f"'''{HEAD}'''")) is None


def test_files_without_a_first_cell_promise_nothing(plugin, tmp_path):
    (tmp_path / "empty.ipynb").write_text('{"cells": []}')
    (tmp_path / "broken.ipynb").write_text("{")
    for name in ("empty", "broken", "missing"):
        assert plugin.promised_seconds(tmp_path / f"{name}.ipynb") is None


def test_table(plugin):
    rows = [("07_long_name", 90.0, 60), ("01_short", 6.04, 15), ("02_no_promise", 1.0, None)]
    assert plugin.time_table(rows) == [
        "notebook       seconds  budget  ratio",
        "01_short           6.0      15   0.40",
        "02_no_promise      1.0       -      -",
        "07_long_name      90.0      60   1.50",
    ]


@pytest.mark.parametrize("processes", ["0", "1"], ids=["plain", "xdist"])
def test_table_follows_a_run(tmp_path, processes):
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    write(tmp_path / "quick.ipynb", HEAD)
    write(tmp_path / "broken.ipynb", HEAD, code="1 / 0")
    (tmp_path / "test_other.py").write_text("def test_other(): pass")
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-n", processes, "--nbmake", ".", "-p", "no:cacheprovider"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command[command.index(".")] = ".."
    ran = subprocess.run(command, cwd=elsewhere, env=outer, capture_output=True, text=True)
    assert "1 failed, 2 passed" in ran.stdout
    table = ran.stdout.split("notebooks: time against budget")[1].splitlines()[2:4]
    assert [line.split()[0] for line in table] == ["broken", "quick"]
    assert "(failed)" in table[0]
    seconds, budget, ratio = map(float, table[1].split()[1:])
    assert budget == 50
    assert 0 < seconds < 50
    assert abs(ratio - seconds / budget) < 0.01
