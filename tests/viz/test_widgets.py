import io
import types

import numpy as np
import pytest
from PIL import Image

ipywidgets = pytest.importorskip("ipywidgets")
widgets = pytest.importorskip("lacbook.viz.widgets")


@pytest.fixture
def similarity():
    """Two diagonals side by side: one frame of B lies between them."""
    table = np.full((8, 9), -1.0)
    table[[1, 2, 3], [1, 2, 3]] = 1.0
    table[[4, 5, 6], [5, 6, 7]] = 1.0
    return table


def test_slider_changes_path_and_picture(similarity, videos):
    frames = (videos[0][:8], videos[1][:9])
    box = widgets.gap_slider(similarity, frames=frames, gap_open=0.5)
    slider, text, picture = box.children
    before = picture.value
    size = Image.open(io.BytesIO(before)).size
    assert picture.layout.width == f"{size[0]}px"
    assert picture.layout.height == f"{size[1]}px"
    assert "6 matched" in text.value
    slider.value = 4.0  # dearer than the second diagonal is worth
    assert "3 matched" in text.value
    assert picture.value != before
    assert Image.open(io.BytesIO(picture.value)).size == size
    slider.value = 0.5
    assert picture.value == before  # nothing of the last drawing is left


def test_slider_can_be_read_and_used_by_keyboard(similarity):
    slider = widgets.gap_slider(similarity).children[0]
    assert slider.description == "gap_open"
    assert slider.continuous_update is False
    assert slider.readout


def test_errors_reach_the_reader_and_the_slider_recovers(similarity, monkeypatch):
    def picky(values, gap_open, gap_extend):
        if gap_open > 2:
            raise ValueError("gap_open <too large>")
        return types.SimpleNamespace(path=lambda: [(0, 0)])

    monkeypatch.setattr(widgets.alignment, "smith_waterman", picky)
    slider, text, picture = widgets.gap_slider(similarity).children
    before = picture.value
    slider.value = 3.0
    assert "ValueError" in text.value
    assert "&lt;too large&gt;" in text.value
    assert picture.value == before
    slider.value = 1.5
    assert "1 matched" in text.value
    with pytest.raises(ValueError, match="too large"):
        widgets.gap_slider(similarity, gap_open=3.0)
