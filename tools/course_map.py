"""Bring the course map in README.md up to date: python tools/course_map.py.

Numbers, names and what is learned are the README's own words. The rest of a row comes from the notebook: its
picture from the one cell that is tagged `thumbnail`, the minutes of reading from its first cell, and the
seconds from docs/notebook_times.csv, where `make notebooks` stores them.
"""

from __future__ import annotations

import base64
import csv
import io
import re
from pathlib import Path

import nbformat
from PIL import Image, ImageChops

from lacbook.files import whole_file

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- table:course -->\n", "<!-- /table:course -->"
SIZE = (240, 150)  # of every thumbnail, in pixels
SHOWN = 150  # their width in the README, so that they stay sharp on a fine screen
SPACE = "&nbsp;"  # no line ends here; in a title, as many as keep GitHub from shrinking the pictures
TITLES = [34 * SPACE, "#", "notebook", "what you learn", "runs in", "reads in", "status"]
READING = re.compile(r"\breads in about (\d+) minutes\b")


def tagged_image(notebook: Path) -> Image.Image:
    """The image that the cell tagged `thumbnail` put out; SystemExit where there is not exactly one."""
    cells = nbformat.read(notebook, as_version=4).cells
    tagged = [cell for cell in cells if "thumbnail" in cell.metadata.get("tags", ())]
    if len(tagged) != 1:
        raise SystemExit(f"{notebook.name}: {len(tagged)} cells have the tag `thumbnail`; expected one")
    outputs = [output.get("data", {}) for output in tagged[0].get("outputs", ())]
    images = [data[kind] for data in outputs for kind in ("image/png", "image/jpeg") if kind in data]
    if len(images) != 1:
        raise SystemExit(f"{notebook.name}: its cell `thumbnail` has {len(images)} images; expected one")
    return Image.open(io.BytesIO(base64.b64decode(images[0]))).convert("RGB")


def thumbnail(image: Image.Image) -> bytes:
    """JPEG of the image without its empty margin, as large as fits, in the middle of a white card."""
    card = Image.new("RGB", SIZE, "white")
    empty = Image.new("RGB", image.size, "white")
    image = image.crop(ImageChops.difference(image, empty).getbbox())
    image.thumbnail(SIZE, Image.Resampling.LANCZOS)
    card.paste(image, ((SIZE[0] - image.width) // 2, (SIZE[1] - image.height) // 2))
    file = io.BytesIO()
    card.save(file, "jpeg", quality=85, optimize=True)
    return file.getvalue()


def minutes_of_reading(notebook: Path) -> str:
    """What the first cell says; SystemExit where it says nothing."""
    head = nbformat.read(notebook, as_version=4).cells[0].source
    if not (promise := READING.search(" ".join(head.split()))):
        raise SystemExit(f"{notebook.name}: the first cell does not say `reads in about ... minutes`")
    return promise[1]


def seconds_of(root: Path) -> dict[str, float]:
    """Measured seconds by name of the notebook."""
    with (root / "docs" / "notebook_times.csv").open(newline="") as file:
        return {row["notebook"]: float(row["seconds"]) for row in csv.DictReader(file)}


def course_map(readme: str, root: Path) -> str:
    """The map as the README should hold it, with the words that it has there now."""
    here = {path.stem: path for path in sorted((root / "notebooks").glob("*.ipynb"))}
    seconds = seconds_of(root)
    if unmeasured := sorted(here.keys() - seconds):
        raise SystemExit(f"docs/notebook_times.csv lacks {', '.join(unmeasured)}; run `make notebooks`")
    _, _, *lines = readme.split(BEGIN)[1].split("\n\n")[0].splitlines()
    rows, mapped = [TITLES, ["---"] * len(TITLES)], set()
    for line in lines:
        _, number, name, learned, *_ = (cell.strip() for cell in line.strip("|").split("|"))
        title = name.strip("[").split("]")[0]  # in brackets where it is a link
        stem = f"{number}_{title}"
        if path := here.get(stem):
            link = path.relative_to(root).as_posix()
            picture = f'[<img src="docs/thumbnails/{stem}.jpg" width="{SHOWN}" alt="">]({link})'
            times = [f"{seconds[stem]:.0f}{SPACE}s", f"{minutes_of_reading(path)}{SPACE}min"]
            rows.append([picture, number, f"[{title}]({link})", learned, *times, "here"])
            mapped.add(stem)
        else:
            rows.append(["", number, title, learned, "", "", "to come"])
    if missing := sorted(here.keys() - mapped):
        raise SystemExit(f"the map in README.md has no row for {', '.join(missing)}")
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    total = sum(seconds[stem] for stem in here)
    together = f"together the {len(here)} notebooks run in {total:.0f} seconds"
    return f"{table}\n\nMeasured on two CPU cores; {together}.\n"


def update(root: Path = ROOT) -> None:
    """Write the thumbnails, then the map."""
    for notebook in sorted((root / "notebooks").glob("*.ipynb")):
        with whole_file(root / "docs" / "thumbnails" / f"{notebook.stem}.jpg") as file:
            file.write_bytes(thumbnail(tagged_image(notebook)))
    path = root / "README.md"
    readme = path.read_text(encoding="utf-8")
    before, after = readme.split(BEGIN)[0], readme.split(END)[1]
    with whole_file(path) as file:
        file.write_text(before + BEGIN + course_map(readme, root) + END + after, encoding="utf-8")


if __name__ == "__main__":
    update()
