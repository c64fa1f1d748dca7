"""The course map in the README is what `tools/course_map.py` writes, from notebooks and measured times."""

from __future__ import annotations

import base64
import io
import re
import runpy
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TOOL = runpy.run_path(str(ROOT / "tools" / "course_map.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), dtype=float)


def test_readme_holds_the_map():
    readme = (ROOT / "README.md").read_text()
    printed = readme.split(TOOL["BEGIN"])[1].split(TOOL["END"])[0]
    assert printed == TOOL["course_map"](readme, ROOT), "run: python tools/course_map.py"


@every_notebook
def test_thumbnail_is_the_tagged_figure(path):
    file = ROOT / "docs" / "thumbnails" / f"{path.stem}.jpg"
    assert file.stat().st_size < 20_000
    stored, now = Image.open(file), Image.open(io.BytesIO(TOOL["thumbnail"](TOOL["tagged_image"](path))))
    assert stored.size == now.size == TOOL["SIZE"]
    # Other versions of Pillow may round otherwise; another figure differs by 15 and more.
    assert np.abs(pixels(stored) - pixels(now)).mean() < 1, "run: python tools/course_map.py"


def test_no_thumbnail_nor_time_of_a_notebook_that_is_gone():
    names = [path.stem for path in NOTEBOOKS]
    assert sorted(path.stem for path in (ROOT / "docs" / "thumbnails").iterdir()) == names
    assert sorted(TOOL["seconds_of"](ROOT)) == names


def figure(width: int, height: int) -> str:
    """A black rectangle inside a white margin of 10, as a notebook stores it."""
    image = Image.new("RGB", (width, height), "white")
    image.paste("black", (10, 10, width - 10, height - 10))
    file = io.BytesIO()
    image.save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def write(path: Path, *, tagged: int = 1, images: int = 1, time: str = "reads in about\n25 minutes") -> Path:
    outputs = [new_output("display_data", {"image/png": figure(420, 220)}) for _ in range(images)]
    outputs += [new_output("stream", name="stdout", text="text\n")]
    cells = [
        new_markdown_cell(
            f"# 01 First\n\n**Time**: the notebook runs in about 9 seconds on a CPU and {time}."
        ),
        new_code_cell("plain", outputs=[new_output("display_data", {"image/png": figure(50, 50)})]),
        *(new_code_cell("draw", metadata={"tags": ["thumbnail"]}, outputs=outputs) for _ in range(tagged)),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)
    return path


README = """# A course

<!-- table:course -->
| | # | notebook | what you learn | runs in | reads in | status |
|---|---|---|---|---|---|---|
| | 01 | first | to count; [more](https://example.org) | | | to come |
|  | 02 | second | to read | 99 s | 9 min | here |

<!-- /table:course -->

The rest.
"""


@pytest.fixture
def course(tmp_path):
    """A course that plans two notebooks and has the first."""
    write(tmp_path / "notebooks" / "01_first.ipynb")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "notebook_times.csv").write_text("notebook,seconds\n01_first,12.6\n")
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def test_rows_say_what_the_notebooks_and_times_say(course):
    TOOL["update"](course)
    readme = (course / "README.md").read_text()
    assert readme.startswith("# A course\n\n<!-- table:course -->\n| ")
    assert readme.endswith("<!-- /table:course -->\n\nThe rest.\n")
    first, second = (line.split(" | ") for line in readme.splitlines() if re.search(r"\| 0\d \|", line))
    assert first[0].startswith('| [<img src="docs/thumbnails/01_first.jpg" width="')
    assert first[0].endswith("](notebooks/01_first.ipynb)")
    assert first[1:4] == ["01", "[first](notebooks/01_first.ipynb)", "to count; [more](https://example.org)"]
    assert first[4:] == ["13&nbsp;s", "25&nbsp;min", "here |"]
    assert second == ["| ", "02", "second", "to read", "", "", "to come |"]
    assert "the 1 notebooks run in 13 seconds" in readme

    (card,) = (course / "docs" / "thumbnails").iterdir()
    dark = pixels(Image.open(card))[..., 0] < 128
    assert dark.shape == (150, 240)
    assert np.flatnonzero(dark.any(axis=1)).tolist() == list(range(15, 135)), "half as high as wide, centred"
    assert dark.any(axis=0).all(), "the margin is cut off"

    TOOL["update"](course)
    assert (course / "README.md").read_text() == readme


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"tagged": 0}, r"01_first\.ipynb: 0 cells have the tag `thumbnail`"),
        ({"tagged": 2}, r"01_first\.ipynb: 2 cells have the tag `thumbnail`"),
        ({"images": 0}, r"01_first\.ipynb: its cell `thumbnail` has 0 images"),
        ({"images": 2}, r"01_first\.ipynb: its cell `thumbnail` has 2 images"),
        ({"time": "reads fast"}, r"01_first\.ipynb: the first cell does not say"),
    ],
)
def test_odd_notebooks_are_refused_by_name(course, wrong, said):
    write(course / "notebooks" / "01_first.ipynb", **wrong)
    with pytest.raises(SystemExit, match=said):
        TOOL["update"](course)
    assert (course / "README.md").read_text() == README


def test_notebooks_without_time_or_row_are_refused_by_name(course):
    write(course / "notebooks" / "03_third.ipynb")
    with pytest.raises(SystemExit, match=r"notebook_times\.csv lacks 03_third; run `make notebooks`"):
        TOOL["update"](course)
    with (course / "docs" / "notebook_times.csv").open("a") as times:
        times.write("03_third,1.0\n")
    with pytest.raises(SystemExit, match=r"README\.md has no row for 03_third"):
        TOOL["update"](course)
    assert (course / "README.md").read_text() == README
