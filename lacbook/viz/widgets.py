"""Sliders of the notebooks: they connect a control to a drawing of `tables` and `frames`, nothing more."""

from __future__ import annotations

import html
import io
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from lacbook import alignment

from .frames import plot_matched_frames
from .style import as_array, theme
from .tables import draw_path, plot_similarity


def gap_slider(
    similarity: ArrayLike,
    *,
    frames: tuple[ArrayLike, ArrayLike] | None = None,
    gap_open: float = 1.0,
    gap_extend: float = 0.3,
    largest: float = 5.0,
    fps: float = 25.0,
) -> ipywidgets.VBox:
    """Slider for ``gap_open`` with the best path over the similarity, and the matched frames below.

    Parameters
    ----------
    similarity : array_like [N, M]
        Similarity of two videos, 0 = unrelated.
    frames : tuple of two array_like of uint8 [T, H, W, 3], optional
        The two videos; adds a strip of matched frames.
    gap_open, gap_extend : float
        Where the slider starts, and the fixed cost of each further skipped frame.
    largest : float
        Upper end of the slider.
    fps : float
        Frames per second of the videos.

    Returns
    -------
    ipywidgets.VBox
        Children: the slider (works with arrow keys), a line of text that says what came out or went wrong,
        and the figure, a PNG of fixed size whose bytes are replaced: the page neither flickers nor jumps.

    Raises
    ------
    ValueError
        Whatever the first drawing finds wrong; later errors appear in the line of text.
    """
    values = as_array(similarity)
    with theme():
        figure = Figure(figsize=(7.5, 7.2 if frames else 5), layout="constrained")
        grid = figure.add_gridspec(2 if frames else 1, height_ratios=[3, 1.3] if frames else None)
        ax = plot_similarity(values, ax=figure.add_subplot(grid[0]))
        below = [(figure.add_subplot(grid[1]), *frames)] if frames else []
        for strip, a, b in below:  # a full strip, so that the layout leaves room for it
            plot_matched_frames(a, b, [(0, 0)] * 8, fps=fps, ax=strip)
    line = draw_path(ax, [(0, 0), (values.shape[0] - 1, values.shape[1] - 1)], values.shape)
    canvas = FigureCanvasAgg(figure)

    def picture() -> Image.Image:
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")

    canvas.draw()
    palette = picture().quantize(256)  # a quarter of the bytes, on the wire and in a saved notebook
    figure.set_layout_engine("none")
    draw_path(ax, (), values.shape, line)
    for strip, *_ in below:
        strip.set_visible(False)
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)  # everything that the slider does not change, drawn once

    def redraw(opening: float) -> None:
        path = alignment.smith_waterman(values, opening, gap_extend).path()
        draw_path(ax, path, values.shape, line)
        canvas.restore_region(still)
        ax.draw_artist(line)
        for strip, a, b in below:
            strip.clear()
            with theme():
                plot_matched_frames(a, b, path, fps=fps, ax=strip)
            strip.set_visible(True)
            strip.draw(canvas.get_renderer())
        png = io.BytesIO()
        picture().quantize(palette=palette, dither=Image.Dither.NONE).save(png, "png")
        image.value = png.getvalue()
        text.value = f"gap_open {opening:.2f}: {len(path)} matched frames"

    def changed(change: dict[str, Any]) -> None:
        try:
            redraw(change["new"])
        except Exception as error:  # raised in a callback it would end in the server's log, unseen
            text.value = f"<b>{type(error).__name__}</b>: {html.escape(str(error))}"

    slider = ipywidgets.FloatSlider(
        gap_open,
        min=0.0,
        max=max(largest, gap_open),
        step=max(largest, gap_open) / 50,
        description="gap_open",
        continuous_update=False,
    )
    width, height = canvas.get_width_height()
    text = ipywidgets.HTML(layout={"height": "2em"})
    image = ipywidgets.Image(format="png", layout={"width": f"{width}px", "height": f"{height}px"})
    redraw(gap_open)
    slider.observe(changed, names="value")
    return ipywidgets.VBox([slider, text, image])
