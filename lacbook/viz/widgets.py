"""Sliders of the notebooks: they connect controls to a drawing of `tables` and `frames`, nothing more."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from lacbook import alignment

from .frames import playback, plot_matched_frames, show_matched_frames, side_by_side
from .style import as_array, as_rates, as_video, theme
from .tables import draw_path, plot_posterior, plot_similarity

COLUMNS = 8  # of the strip of matched frames
WHOLE_NAME: dict[str, Any] = {"description_width": "initial"}  # a control's name is never cut


def gap_explorer(
    similarity: ArrayLike,
    *,
    frames: tuple[ArrayLike, ArrayLike] | None = None,
    gap_open: float = 1.0,
    gap_extend: float = 0.3,
    largest: float = 5.0,
    fps: float | tuple[float, float] = 25.0,
    phases: tuple[ArrayLike, ArrayLike] | None = None,
) -> ipywidgets.VBox:
    """Sliders for both gap penalties, the best path over the similarity, and the matched frames below.

    Parameters
    ----------
    similarity : array_like [N, M]
        Similarity of two videos, 0 = unrelated.
    frames : tuple of two array_like of uint8 [T, H, W, 3], optional
        The two videos; adds a strip of matched frames.
    gap_open, gap_extend : float
        Where the sliders start: cost of the first skipped frame of a run, and of each further one.
    largest : float
        Upper end of both sliders, in units of the similarity.
    fps : float or (float, float)
        Frames per second of both videos, or of each.
    phases : tuple of array_like of int [N] and [M], optional
        As in `plot_similarity`.

    Returns
    -------
    ipywidgets.VBox
        Children: the two sliders, a text that says what came out or went wrong, and the picture.

    Raises
    ------
    ValueError
        largest is not above 0, or the first drawing finds something wrong; later errors appear in the text.
    """
    _check_ends(largest=(0, largest))
    values = as_array(similarity)
    videos = [] if frames is None else [as_video(video, "frames") for video in frames]
    if videos and values.shape != tuple(map(len, videos)):
        raise ValueError(f"similarity has shape {values.shape}, frames {[video.shape for video in videos]}")
    with theme():
        figure = Figure(figsize=(7.5, 6.6 if videos else 4.6), layout="constrained")
        grid = figure.add_gridspec(2 if videos else 1, height_ratios=[3, 1.45] if videos else None)
        ax = plot_similarity(values, phases=phases, ax=figure.add_subplot(grid[0]))
        if videos:
            strip = figure.add_subplot(grid[1])
            a, b = videos
            # a full strip, so that the layout leaves room for it
            plot_matched_frames(a, b, [(0, 0)] * COLUMNS, n=COLUMNS, fps=fps, ax=strip)
    line = draw_path(ax, (), values.shape)
    pixels = _redrawn(figure, [line, strip] if videos else [line])

    def draw(go: float, ge: float) -> tuple[NDArray[np.uint8], str]:
        found = alignment.smith_waterman(values, go, ge)
        draw_path(ax, found.path(), values.shape, line)
        if videos:
            show_matched_frames(strip, a, b, found.path(), fps=fps)
        return pixels(), _best(found)

    sliders = [
        ipywidgets.FloatSlider(
            float(start),
            min=min(0.0, float(start)),
            max=max(largest, float(start)),
            step=(max(largest, float(start)) - min(0.0, float(start))) / 100,
            readout_format=".3g",
            description=f"{name} (in units of similarity)",
            continuous_update=False,
            style={"description_width": "15em"},  # both sliders begin at the same place
        )
        for name, start in (("gap_open", gap_open), ("gap_extend", gap_extend))
    ]
    return _wired(sliders, draw)


def temperature_explorer(
    similarity: ArrayLike,
    *,
    gap_open: float,
    gap_extend: float,
    temperature: float = 0.1,
    coldest: float = 0.01,
    hottest: float = 10.0,
) -> ipywidgets.VBox:
    """Slider for the temperature: the posterior beside the similarity with the best path.

    Parameters
    ----------
    similarity : array_like [N, M]
        Similarity of two videos, 0 = unrelated.
    gap_open, gap_extend : float
        Cost of the first skipped frame of a run, and of each further one.
    temperature : float
        Where the slider starts.
    coldest, hottest : float
        Ends of the slider, which is logarithmic.

    Returns
    -------
    ipywidgets.VBox
        Children: the slider, a text that compares the best path with all paths or says what went wrong, and
        the picture.

    Raises
    ------
    ValueError
        coldest and hottest are not 0 < coldest < hottest, or the first drawing finds something wrong; later
        errors appear in the text.
    """
    _check_ends(coldest=(0, coldest), hottest=(coldest, hottest))
    values = as_array(similarity)
    best = alignment.smith_waterman(values, gap_open, gap_extend)
    first = alignment.soft_smith_waterman(values, gap_open, gap_extend, temperature=temperature)
    with theme():
        figure = Figure(figsize=(7.5, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.07})
        plot_similarity(values, path=best.path(), ax=left).set_title("similarity and best path")
        plot_posterior(first.posterior, ax=right).set(title="posterior of all paths", ylabel="")
        right.tick_params(labelleft=False)  # the rows are those of the left panel
    (image,) = right.images
    pixels = _redrawn(figure, [image])

    def draw(t: float) -> tuple[NDArray[np.uint8], str]:
        soft = alignment.soft_smith_waterman(values, gap_open, gap_extend, temperature=t)
        image.set_data(as_array(soft.posterior))
        openings, extensions = soft.expected_gaps
        expected = (
            f"soft score {soft.score:.2f} · expected matches {soft.posterior.sum():.2f} · "
            f"openings {openings:.2f} · extensions {extensions:.2f}"
        )
        return pixels(), f"{_best(best)}<br><b>all paths</b> at temperature {t:.3g}: {expected}"

    low, high = np.log10([min(coldest, temperature), max(hottest, temperature)])
    slider = ipywidgets.FloatLogSlider(
        temperature,
        min=low,
        max=high,
        step=0.05,
        readout_format=".3g",
        description="temperature (in units of similarity)",
        continuous_update=False,
        style=WHOLE_NAME,
    )
    return _wired([slider], draw)


def frame_browser(
    frames_a: ArrayLike,
    frames_b: ArrayLike,
    path: ArrayLike,
    *,
    fps: float | tuple[float, float] = 25.0,
    height: int = 288,
) -> ipywidgets.VBox:
    """Slider through two videos along their alignment: matched frames together, skipped ones one by one.

    Parameters
    ----------
    frames_a, frames_b : array_like of uint8 [T, H, W, 3]
        The two videos; their sizes may differ.
    path : array_like of int [L, 2]
        Matches (i, j); when empty, both videos simply play.
    fps : float or (float, float)
        Frames per second of both videos, or of each.
    height : int
        Height of the pictures in pixels.

    Returns
    -------
    ipywidgets.VBox
        Children: the slider, which starts at the first match, a text that says which frames these are and
        whether they are matched, and the picture, as in `side_by_side`, whose whole video stays in memory:
        3 T' H' W' bytes.

    Raises
    ------
    ValueError
        The frames are no videos, the path leaves them, or fps or height is not above 0.
    """
    rates = as_rates(fps)
    video = side_by_side(frames_a, frames_b, path, height=height)
    steps = playback(path, len(as_array(frames_a)), len(as_array(frames_b)))
    matched = np.flatnonzero(steps[:, 2])
    first, last = (matched[0], matched[-1]) if len(matched) else (len(steps), -1)

    def draw(step: int) -> tuple[NDArray[np.uint8], str]:
        i, j, together = steps[step].tolist()
        if together:
            what = "matched"
        elif not first < step < last:
            what = "outside the alignment"
        else:
            what = "frame of B skipped, A waits" if i == steps[step - 1, 0] else "frame of A skipped, B waits"
        shown = (f"{s}: frame {t} ({t / rate:.2f} s)" for s, t, rate in zip("AB", (i, j), rates, strict=True))
        return video[step], f"{' · '.join(shown)} · <b>{what}</b>"

    slider = ipywidgets.IntSlider(
        int(first) if len(matched) else 0,
        min=0,
        max=len(steps) - 1,
        description="step of the playback",
        style=WHOLE_NAME,
    )
    return _wired([slider], draw)


def _check_ends(**ends: tuple[float, float]) -> None:
    """Refuse ends of sliders, name=(bound, value), that are not above their bound and finite."""
    for name, (bound, value) in ends.items():
        if not bound < value < np.inf:
            raise ValueError(f"{name} must be above {bound:g} and finite, got {value}")


def _redrawn(figure: Figure, moving: Sequence[Artist]) -> Callable[[], NDArray[np.uint8]]:
    """Draw a figure, and return a function that draws only `moving` anew; it gives all pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    figure.set_layout_engine("none")  # all stays where it is
    for artist in moving:
        artist.set_animated(True)  # left out by draw()
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)

    def pixels() -> NDArray[np.uint8]:
        canvas.restore_region(still)
        for artist in moving:
            artist.draw(canvas.get_renderer())
        return np.asarray(canvas.buffer_rgba())

    return pixels


def _wired(
    controls: Sequence[ipywidgets.ValueWidget], draw: Callable[..., tuple[NDArray[np.uint8], str]]
) -> ipywidgets.VBox:
    """Controls above a text and a picture; `draw` turns the values of the controls into pixels and HTML.

    The picture has a fixed size and only its bytes are replaced: the page neither flickers nor jumps.
    """

    def redraw() -> tuple[int, int]:
        pixels, words = draw(*(control.value for control in controls))
        webp = io.BytesIO()  # half the bytes of a JPEG, on the wire and in a saved notebook
        Image.fromarray(pixels).convert("RGB").save(webp, "webp", quality=85, method=0)
        picture.value, text.value = webp.getvalue(), words
        return pixels.shape[:2]

    def changed(_: dict[str, Any]) -> None:
        try:
            redraw()
        except Exception as error:  # raised in a callback it would end in the server's log, unseen
            what = html.escape(str(error))
            text.value = f"<b>{type(error).__name__}</b>: {what}<br>The picture is still the former one."

    text, picture = ipywidgets.HTML(), ipywidgets.Image(format="webp")
    height, width = redraw()
    for child in (*controls, text, picture):
        child.layout.width = f"{width}px"
    text.layout.min_height, picture.layout.height = "4.4em", f"{height}px"
    for control in controls:
        control.observe(changed, names="value")
    return ipywidgets.VBox([*controls, text, picture])


def _best(found: alignment.HardAlignment) -> str:
    """What a best path is worth and made of."""
    path = np.array(found.path(), dtype=np.int64).reshape(-1, 2)
    skipped = np.diff(path, axis=0) - 1
    openings = np.count_nonzero(skipped)
    return (
        f"<b>best path</b>: score {found.score:.2f} · matches {len(path)} · openings {openings} · "
        f"extensions {skipped.sum() - openings} (skipped frames: {skipped.sum()})"
    )
