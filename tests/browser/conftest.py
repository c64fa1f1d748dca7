"""A real browser on a real JupyterLab: Debian's Chromium, driven by Playwright.

Screenshots go to the folder that the environment variable LACBOOK_SCREENSHOTS names, else to a temporary one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from page import Lab
from server import copy_course, jupyterlab

NOTEBOOKS = [
    "02_affine_gaps_numba",
    "03_smoothing_and_gradients",
    "08_train_the_encoder",
    "09_linear_probes",
]
QUIET = [
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def missing(what: str) -> None:
    """Skip; in CI, where it has been installed, fail."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what} is not installed")


@pytest.fixture(scope="session")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright (extra dev)")
    executable = shutil.which("chromium")
    if executable is None:
        missing("Chromium (Debian's package chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def address(browser, tmp_path_factory):  # no browser, no server
    folder = tmp_path_factory.mktemp("jupyter")
    with jupyterlab(folder, copy_course(folder, NOTEBOOKS)) as address:
        yield address


@pytest.fixture
def lab(request, browser, address, tmp_path):
    screenshots = Path(os.environ.get("LACBOOK_SCREENSHOTS", tmp_path))
    screenshots.mkdir(parents=True, exist_ok=True)
    with browser.new_page(viewport={"width": 1280, "height": 1600}) as page:
        yield Lab(page, address, screenshots)
        page.screenshot(path=screenshots / f"{request.node.name}_end.png")  # what a failed test saw last
