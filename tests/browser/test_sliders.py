"""Notebooks with sliders in a real browser: all cells run, and every slider redraws its picture."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.browser
# A small step need not change a path, so larger ones follow, up to the end of the slider.
FORTH = ["ArrowRight"] * 5 + ["PageUp"] * 20
BACK = {"ArrowRight": "ArrowLeft", "PageUp": "PageDown"}


@pytest.mark.parametrize(
    ("name", "sliders"),
    [
        ("02_affine_gaps_numba", {"gap_open", "gap_extend"}),
        ("03_smoothing_and_gradients", {"temperature"}),
        ("09_linear_probes", {"step"}),
    ],
)
def test_sliders_redraw(lab, name, sliders):
    notebook = lab.open(name)
    notebook.screenshot("opened")
    notebook.clear_outputs()
    notebook.restart_and_run_all()
    notebook.wait_for_the_end(seconds=150)
    assert notebook.complaints() == []
    assert notebook.cells_not_run() == 0
    notebook.screenshots_of_everything()

    moved = set()
    for number, explorer in enumerate(notebook.explorers(), start=1):
        notebook.screenshot(f"explorer_{number}", explorer.box)
        for slider in explorer.sliders():
            value, layout, first = slider.value(), explorer.layout(), explorer.settled()
            pressed = explorer.press_until_redrawn(slider, FORTH)
            assert slider.value() > value
            assert explorer.layout() == pytest.approx(layout, abs=0.5), "the page jumps"
            assert not re.search(r"Error|Exception|Warning", explorer.text())
            notebook.screenshot(f"explorer_{number}_{slider.name}", explorer.box)

            redrawn = explorer.settled()
            slider.press(*(BACK[key] for key in pressed))
            assert explorer.redrawn(redrawn)
            if slider.value() == value:  # an end of the slider may have swallowed a key
                assert explorer.settled() == first
            moved.add(slider.name)
    assert sliders <= moved
    assert notebook.complaints() == []
    assert lab.outside == [], "the course needs no network"
