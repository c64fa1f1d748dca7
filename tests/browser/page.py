"""JupyterLab as its reader sees it: menus, cells, outputs, sliders and pictures of the page."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Request

PROMPT = ".jp-CodeCell .jp-InputPrompt"  # "[ ]:", then "[*]:" while the cell waits or runs, then "[7]:"
RAN = f"""() => {{
    const prompts = [...document.querySelectorAll('{PROMPT}')].map(prompt => prompt.innerText);
    return prompts.some(text => /\\d/.test(text)) && !prompts.some(text => text.includes('*'));
}}"""
RUNNING = """cell => [
    cell.querySelector('.jp-InputPrompt').innerText.includes('*'),
    [...cell.querySelectorAll('.jp-OutputArea-output img')].map(image => image.src),
]"""
# What is drawn on the page, whatever the address of the image.
PIXELS = """image => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext('2d').drawImage(image, 0, 0);
    return canvas.toDataURL();
}"""


class Lab:
    """One window of the browser. Screenshots are named by the notebook and what they show."""

    def __init__(self, page: Page, address: str, screenshots: Path) -> None:
        self.page, self.address, self.screenshots = page, address, screenshots
        self.outside: list[str] = []
        page.on("request", self._note_outside)

    def _note_outside(self, request: Request) -> None:
        host = urlsplit(request.url).hostname  # None for data: and blob:
        if host not in (None, "127.0.0.1"):
            self.outside.append(request.url)

    def open(self, name: str) -> Notebook:
        self.page.goto(self.address.format(name=name))
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
        self.page.get_by_text(re.compile(r"^Python 3.* \| Idle$")).wait_for(timeout=60_000)
        return Notebook(self, name)


class Notebook:
    def __init__(self, lab: Lab, name: str) -> None:
        self.lab, self.page, self.name = lab, lab.page, name

    def choose(self, menu: str, entry: str) -> None:
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=entry).click()

    def clear_outputs(self) -> None:
        self.choose("Edit", "Clear Outputs of All Cells")
        assert self.outputs() == []

    def restart_and_run_all(self) -> None:
        """Begin, and do not wait for the end."""
        self.choose("Run", "Restart Kernel and Run All Cells")
        self.page.get_by_role("button", name="Confirm Kernel Restart").click()

    def wait_for_the_end(self, *, seconds: float) -> None:
        """Wait until the kernel rests: every cell has run, or one has failed and the rest will not run."""
        self.page.wait_for_function(RAN, timeout=1000 * seconds)
        self.page.get_by_text(re.compile(r"^Python 3.* \| Idle$")).wait_for()

    def outputs(self) -> list[str]:
        return self.page.locator(".jp-OutputArea-output").all_inner_texts()

    def complaints(self) -> list[str]:
        """What was written to stderr, such as warnings; JupyterLab shows errors in the same way."""
        return self.page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').all_inner_texts()

    def cells_not_run(self) -> int:
        return sum(not re.search(r"\d", text) for text in self.page.locator(PROMPT).all_inner_texts())

    def code_cell(self, code: str) -> CodeCell:
        """The one cell whose code holds these words."""
        return CodeCell(self.page.locator(".jp-CodeCell", has_text=code))

    def explorers(self) -> list[Explorer]:
        """Every output with sliders above a picture, from top to bottom."""
        image = self.page.locator("img.widget-image")
        boxes = self.page.locator(".jp-OutputArea-output .widget-vbox").filter(has=image)
        return [Explorer(box) for box in boxes.all()]

    def screenshot(self, what: str, of: Locator | None = None) -> None:
        (of or self.page).screenshot(path=self.lab.screenshots / f"{self.name}_{what}.png")

    def screenshots_of_everything(self) -> None:
        """The whole notebook, a screenshot for each height of the window."""
        panel = self.page.locator(".jp-WindowedPanel-outer")
        seen, height = panel.evaluate("panel => [panel.clientHeight, panel.scrollHeight]")
        for number, top in enumerate(range(0, height, seen), start=1):
            panel.evaluate("(panel, top) => { panel.scrollTop = top; }", top)
            self.screenshot(f"page_{number:02}")


class CodeCell:
    """A cell that may still be running."""

    def __init__(self, box: Locator) -> None:
        self.box = box

    def look(self) -> tuple[bool, list[str]]:
        """At one moment: whether it waits or runs, and the pictures below it."""
        busy, pictures = self.box.evaluate(RUNNING)
        return busy, pictures

    def live_pictures(self, count: int, *, seconds: float) -> list[str]:
        """So many different states of the one picture that the cell shows and replaces while it runs."""
        states: list[str] = []
        deadline = time.monotonic() + seconds
        while len(states) < count:
            busy, pictures = self.look()
            assert busy or not pictures, f"the cell ended after {len(states)} states of its picture"
            assert len(pictures) <= 1, "pictures pile up"
            assert time.monotonic() < deadline, f"{len(states)} states of the picture in {seconds:.0f} s"
            states += [picture for picture in pictures if picture not in states]
            time.sleep(0.1)
        return states


class Explorer:
    """Sliders, a text that says what came out or went wrong, and a picture."""

    def __init__(self, box: Locator) -> None:
        self.box, self.image = box, box.locator("img.widget-image")

    def text(self) -> str:
        return self.box.locator(".widget-html-content").inner_text()

    def pixels(self) -> str:
        return self.image.evaluate(PIXELS)

    def settled(self) -> str:
        """The pixels, once they have stayed the same for a while."""
        pixels = [self.pixels()]
        while len(pixels) < 4 or len(set(pixels[-4:])) > 1:
            assert len(pixels) < 100, "the picture never comes to rest"
            time.sleep(0.2)
            pixels.append(self.pixels())
        return pixels[-1]

    def layout(self) -> list[float]:
        """Where the picture lies in the output, and the height of all."""
        box, image = self.box.bounding_box(), self.image.bounding_box()
        return [image["x"] - box["x"], image["y"] - box["y"], image["width"], image["height"], box["height"]]

    def redrawn(self, before: str) -> str:
        """The pixels, once they are others than before and have come to rest."""
        deadline = time.monotonic() + 20
        while self.pixels() == before:
            assert time.monotonic() < deadline, "the same picture"
            time.sleep(0.1)
        return self.settled()

    def sliders(self) -> Iterator[Slider]:
        for row in self.box.locator(".widget-slider").all():
            yield Slider(row)

    def press_until_redrawn(self, slider: Slider, keys: Sequence[str]) -> Sequence[str]:
        """Press one key after the other until the picture differs; gives those that were pressed."""
        before = self.settled()
        for count, key in enumerate(keys, start=1):
            slider.press(key)
            time.sleep(0.2)
            if self.pixels() != before:
                return keys[:count]
        assert self.settled() != before, f"{slider.name}: {len(keys)} keys pressed, and the same picture"
        return keys


class Slider:
    def __init__(self, row: Locator) -> None:
        self.handle, self.readout = row.get_by_role("slider"), row.locator(".widget-readout")
        self.name = row.locator(".widget-label").inner_text().split()[0]  # without its unit

    def press(self, *keys: str) -> None:
        for key in keys:
            self.handle.press(key)

    def value(self) -> float:
        """The number that is shown beside the slider."""
        return float(self.readout.inner_text())
