"""What is committed of each notebook: its twin, its outputs, and exercises that can be solved.

`make test` also executes the quick notebooks on a fresh kernel (nbmake).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
EXERCISE = re.compile(r"^# exercise (\d+)$", flags=re.MULTILINE)
CHECK = re.compile(r"^check\(", flags=re.MULTILINE)
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def twin(path: Path) -> Path:
    return FOLDER / "src" / f"{path.stem}.py"


def code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_every_notebook_has_its_twin_and_solutions():
    names = {path.stem for path in NOTEBOOKS}
    assert "00_tour" in names
    assert names == {path.stem for path in (FOLDER / "src").glob("*.py")}
    assert names == {path.stem for path in (FOLDER / "solutions").glob("*.py")}


@every_notebook
def test_twin_says_the_same(path):
    cells = [
        [(cell.cell_type, cell.source) for cell in notebook.cells]
        for notebook in (nbformat.read(path, as_version=4), jupytext.read(twin(path)))
    ]
    assert cells[0] == cells[1], "run: jupytext --sync notebooks/*.ipynb"


@every_notebook
def test_outputs_are_those_of_one_clean_run(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs
    assert [output for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    printed = "".join(str(output.get("text", "")) + str(output.get("data", {})) for output in outputs)
    assert not re.search(r"/(home|Users|tmp|root|work)/\w", printed), "an output shows a path of some machine"


@every_notebook
def test_nothing_tells_when_it_ran(path):
    timed = [cell.source for cell in code_cells(path) if "execution" in cell.metadata]
    assert timed == [], "run: make notebooks"


@every_notebook
def test_small_enough_to_keep(path):
    assert path.stat().st_size < 1_000_000


def script(path: Path, solutions: dict[str, str]) -> str:
    """The notebook as one program, run in order, in which each exercise is solved, open, and solved again."""
    cells = [cell.source for cell in code_cells(path)]
    program: list[str] = []
    while cells:
        cell = cells.pop(0)
        if match := EXERCISE.match(cell):
            end = next(n for n, later in enumerate(cells, 1) if CHECK.search(later))
            checking, cells = cells[:end], cells[end:]
            program += [solutions[match[1]], *checking, cell, *checking, solutions[match[1]]]
        else:
            program.append(cell)
    return "\n".join(program)


def read_solutions(path: Path) -> dict[str, str]:
    parts = re.split(
        r"^# %% exercise (\d+)\n", (FOLDER / "solutions" / f"{path.stem}.py").read_text(), flags=re.M
    )
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@every_notebook
def test_exercises_have_solutions(path):
    exercises = [match[1] for cell in code_cells(path) if (match := EXERCISE.match(cell.source))]
    assert list(read_solutions(path)) == exercises


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=pytest.mark.slow if p.stem >= "04" else ()) for p in NOTEBOOKS],
    ids=lambda path: path.stem,
)
def test_exercises_are_open_until_solved(path, tmp_path):
    solutions = read_solutions(path)
    command = [sys.executable, "-m", "IPython", "--colors=NoColor", "-c", script(path, solutions)]
    env = {**os.environ, "MPLBACKEND": "agg"}
    # In a folder of its own, since notebooks store runs, and others look for runs to measure.
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    verdicts = re.findall(r"^(not solved yet|solved)", ran.stdout, flags=re.MULTILINE)
    assert verdicts == ["solved", "not solved yet"] * len(solutions)
