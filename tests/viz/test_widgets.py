import io
import itertools
import re
import types

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from lacbook import smith_waterman, soft_smith_waterman
from lacbook.viz import side_by_side
from lacbook.viz.frames import playback
from lacbook.viz.style import PATH

ipywidgets = pytest.importorskip("ipywidgets")
from lacbook.viz import widgets  # noqa: E402 - needs ipywidgets


@pytest.fixture
def similarity():
    """Two diagonals side by side: frames 4 and 5 of B lie between them."""
    table = np.full((8, 10), -1.0)
    table[[1, 2, 3], [1, 2, 3]] = 1.0
    table[[4, 5, 6], [6, 7, 8]] = 1.0
    return table


@pytest.fixture
def frames(coded):
    return coded(8), coded(10, 24, 16)


@pytest.fixture
def noise():
    """Videos that are hard to compress."""
    rng = np.random.default_rng(0)
    return tuple(rng.integers(0, 256, (n, 96, 96, 3), dtype=np.uint8) for n in (8, 10))


@pytest.fixture(params=["gap", "temperature", "browser"])
def box(request, similarity, frames):
    if request.param == "gap":
        return widgets.gap_explorer(similarity, frames=frames, gap_open=0.5, gap_extend=0.25)
    if request.param == "temperature":
        return widgets.temperature_explorer(similarity, gap_open=0.5, gap_extend=0.25)
    return widgets.frame_browser(*frames, [(1, 1), (2, 2), (3, 6)])


def parts(box):
    *sliders, text, picture = box.children
    return sliders, text, picture


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture.value)).convert("RGB"))


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", text)]


def test_each_slider_changes_picture_and_text_and_back(box):
    sliders, text, picture = parts(box)
    height, width = pixels(picture).shape[:2]
    assert (picture.layout.width, picture.layout.height) == (f"{width}px", f"{height}px")
    assert width <= 750
    assert float(text.layout.min_height.removesuffix("em")) > 4  # room for an error, so that the page stays
    for slider in sliders:
        start, before, said = slider.value, picture.value, text.value
        slider.value = slider.max if isinstance(slider, ipywidgets.IntSlider) else 3.0
        assert picture.value != before
        assert text.value != said
        assert pixels(picture).shape == (height, width, 3)
        slider.value = start
        assert picture.value == before  # nothing of the last drawing is left
        assert text.value == said


def test_sliders_can_be_read_and_used_by_keyboard(box):
    sliders, _, picture = parts(box)
    for slider in sliders:
        assert slider.readout
        assert slider.style.description_width in ("initial", "15em")  # never cut
        assert slider.layout.width == picture.layout.width
        floats = not isinstance(slider, ipywidgets.IntSlider)
        assert ("similarity" in slider.description) == floats  # the unit
        assert slider.continuous_update != floats
        assert slider.step <= (slider.max - slider.min) / 50 or slider.step == 1
    names = [slider.description.split()[0] for slider in sliders]
    assert names in (["gap_open", "gap_extend"], ["temperature"], ["step"])


def test_a_picture_is_small_enough_to_be_saved(similarity, noise):
    box = widgets.gap_explorer(similarity, frames=noise, phases=(np.arange(8) // 2, np.arange(10) // 3))
    assert len(box.children[-1].value) < 80_000


@pytest.mark.parametrize(("gap_open", "gap_extend"), [(0.5, 0.25), (0.5, 3.0), (4.0, 0.25), (0.0, 0.0)])
def test_gap_explorer_says_what_the_path_is_made_of(similarity, gap_open, gap_extend):
    sliders, text, _ = parts(widgets.gap_explorer(similarity))
    for slider, value in zip(sliders, (gap_open, gap_extend), strict=True):
        slider.value = value
    found = smith_waterman(similarity, gap_open, gap_extend)
    score, matches, openings, extensions, skipped = numbers(text.value)
    assert score == pytest.approx(float(found.score), abs=0.005)
    assert matches == len(found.path())
    collected = sum(similarity[i, j] for i, j in found.path())
    assert score == pytest.approx(collected - openings * gap_open - extensions * gap_extend, abs=0.005)
    assert skipped == openings + extensions
    assert (openings, extensions) == ((1, 1) if matches == 6 else (0, 0))


def test_gaps_on_both_sides_are_two_openings(similarity):
    similarity[:] = -9
    similarity[[1, 2, 5, 6], [1, 2, 6, 7]] = 5.0  # skips 3 of B, then 2 of A
    text = widgets.gap_explorer(similarity, gap_open=0.5, gap_extend=0.25).children[-2]
    assert numbers(text.value) == [20 - 2 * 0.5 - 3 * 0.25, 4, 2, 3, 5]


def test_gap_explorer_draws_the_path_and_its_frames(similarity, frames, monkeypatch):
    drawn = {}
    for name in ("draw_path", "show_matched_frames"):
        function = getattr(widgets, name)

        def spy(*arguments, name=name, function=function, **options):
            drawn[name] = arguments, options
            return function(*arguments, **options)

        monkeypatch.setattr(widgets, name, spy)
    sliders, _, _ = parts(widgets.gap_explorer(similarity, frames=frames, gap_open=0.5, fps=(10.0, 5.0)))
    sliders[0].value = 4.0
    path = smith_waterman(similarity, 4.0, 0.3).path()
    assert len(path) == 3
    assert drawn["draw_path"][0][1] == path
    (_, *videos, shown), options = drawn["show_matched_frames"]
    assert shown == path
    assert options == {"fps": (10.0, 5.0)}
    assert [len(video) for video in videos] == [8, 10]


def test_gap_explorer_without_matches(frames):
    _, text, _ = parts(widgets.gap_explorer(np.full((8, 10), -1.0), frames=frames))
    assert numbers(text.value) == [0, 0, 0, 0, 0]


def test_sliders_reach_where_they_start(similarity):
    sliders, text, _ = parts(widgets.gap_explorer(similarity, gap_open=7.0, gap_extend=-0.5, largest=2.0))
    assert [(slider.min, slider.value, slider.max) for slider in sliders] == [(0, 7, 7), (-0.5, -0.5, 2)]
    assert "matches" in text.value
    (slider,), _, _ = parts(
        widgets.temperature_explorer(similarity, gap_open=1, gap_extend=1, temperature=20)
    )
    assert slider.value == pytest.approx(20)
    assert slider.base**slider.min == pytest.approx(0.01)


@pytest.mark.parametrize("temperature", [0.01, 1.0, 10.0])
def test_temperature_explorer_compares_the_best_path_with_all(similarity, temperature):
    (slider,), text, _ = parts(widgets.temperature_explorer(similarity, gap_open=0.5, gap_extend=0.25))
    slider.value = temperature
    hard = smith_waterman(similarity, 0.5, 0.25)
    soft = soft_smith_waterman(similarity, 0.5, 0.25, temperature=temperature)
    best, everything = text.value.split("<br>")
    assert numbers(best) == pytest.approx([float(hard.score), 6, 1, 1, 2], abs=0.005)
    expected = [soft.score, soft.posterior.sum(), *soft.expected_gaps]
    assert numbers(everything) == pytest.approx([temperature, *map(float, expected)], abs=0.005)


def test_a_hot_posterior_is_paler_and_wider(similarity):
    (slider,), _, picture = parts(widgets.temperature_explorer(similarity, gap_open=0.5, gap_extend=0.25))

    def posterior():
        return pixels(picture)[40:290, 420:660].astype(int).sum(2)  # inside the right panel

    slider.value = 0.01
    cold = posterior()
    slider.value = 10.0
    hot = posterior()
    assert hot.min() > cold.min() + 100
    pale = cold.max()
    assert (hot < pale - 30).mean() > 1.5 * (cold < pale - 30).mean()


def test_frame_browser_shows_the_frames_of_its_step(frames):
    path = [(1, 3), (2, 4), (3, 7), (6, 8)]
    (slider,), text, picture = parts(widgets.frame_browser(*frames, path, fps=(10.0, 5.0), height=60))
    steps, video = playback(path, 8, 10), side_by_side(*frames, path, height=60)
    assert (slider.min, slider.max) == (0, len(steps) - 1)
    assert steps[slider.value].tolist() == [1, 3, 1]  # starts at the first match
    first, last = np.flatnonzero(steps[:, 2])[[0, -1]]
    for step, (i, j, matched) in enumerate(steps.tolist()):
        slider.value = step
        assert np.abs(pixels(picture).astype(int) - video[step]).mean() < 3
        assert numbers(text.value) == [i, i / 10, j, j / 5]
        assert ("matched" in text.value) == bool(matched)
        assert ("outside" in text.value) == (not first <= step <= last)
        if not matched and first < step < last:
            assert f"frame of {'A' if i != steps[step - 1, 0] else 'B'} skipped" in text.value


def test_frame_browser_without_matches(frames):
    (slider,), text, picture = parts(widgets.frame_browser(*frames, [], height=60))
    assert (slider.value, slider.max) == (0, 9)
    before = picture.value
    slider.value = 9
    assert numbers(text.value) == [7, 0.28, 9, 0.36]
    assert "outside" in text.value
    assert picture.value != before


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, IndexError])
def test_errors_reach_the_reader_and_the_slider_recovers(similarity, monkeypatch, kind):
    def picky(values, gap_open, gap_extend):
        if gap_open > 2:
            raise kind("gap_open <too large>")
        return types.SimpleNamespace(score=1.0, path=lambda: [(0, 0)])

    monkeypatch.setattr(widgets.alignment, "smith_waterman", picky)
    (slider, _), text, picture = parts(widgets.gap_explorer(similarity))
    before, said = picture.value, text.value
    slider.value = 3.0
    assert kind.__name__ in text.value
    assert "&lt;too large&gt;" in text.value
    assert "still the former" in text.value
    assert picture.value == before
    slider.value = 1.5
    assert text.value == said
    with pytest.raises(kind, match="too large"):
        widgets.gap_explorer(similarity, gap_open=3.0)


def test_the_first_path_does_not_stay_in_the_picture(similarity):
    def path_pixels(picture):
        return np.count_nonzero(np.abs(pixels(picture) - np.array(to_rgb(PATH)) * 255).sum(2) < 60)

    sliders, _, picture = parts(widgets.gap_explorer(similarity, gap_open=0.5, gap_extend=0.25))
    long = path_pixels(picture)
    sliders[0].value = 4.0  # half as many matches
    assert 0 < path_pixels(picture) < 0.7 * long
    assert (
        path_pixels(widgets.temperature_explorer(similarity, gap_open=0.5, gap_extend=0.25).children[-1]) > 50
    )


@pytest.mark.parametrize("explorer", ["gap", "temperature"])
def test_redraw_at_64_frames(benchmark, explorer):
    """How long a reader waits for a new picture; shown, not asserted."""
    rng = np.random.default_rng(0)
    similarity = rng.normal(-0.5, 1.0, (64, 64))
    similarity[:28, :28] += 3 * np.eye(28)
    similarity[28:, 36:] += 3 * np.eye(36, 28)  # after a gap, so that the path depends on its price
    videos = tuple(rng.integers(0, 256, (64, 96, 96, 3), dtype=np.uint8) for _ in "AB")
    if explorer == "gap":
        box = widgets.gap_explorer(similarity, frames=videos)
    else:
        box = widgets.temperature_explorer(similarity, gap_open=1.0, gap_extend=0.3)
    (slider, *_), text, _ = parts(box)
    said, values = text.value, itertools.cycle((1.5, 0.5))
    benchmark.pedantic(lambda: setattr(slider, "value", next(values)), rounds=5, iterations=1)
    assert text.value != said  # it has been drawn anew


def hotter(similarity, **ends):
    return widgets.temperature_explorer(similarity, gap_open=1, gap_extend=1, **ends)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s, a, b: widgets.gap_explorer(s[0]), r"similarity must have shape \[N, M\]"),
        (lambda s, a, b: widgets.gap_explorer(s, frames=(a, a)), r"similarity has shape \(8, 10\), frames"),
        (lambda s, a, b: widgets.gap_explorer(s, phases=(np.zeros(8), np.zeros(8))), "phases have lengths"),
        (
            lambda s, a, b: widgets.temperature_explorer(s, gap_open=1, gap_extend=1, temperature=0),
            "temperature is 0",
        ),
        (lambda s, a, b: widgets.temperature_explorer(s, gap_open=np.nan, gap_extend=1), "gap_open"),
        (lambda s, a, b: hotter(s, coldest=0), "coldest must be above 0 and finite, got 0"),
        (
            lambda s, a, b: hotter(s, coldest=10, hottest=0.01),
            "hottest must be above 10 and finite, got 0.01",
        ),
        (lambda s, a, b: hotter(s, hottest=np.inf), "hottest must be above 0.01 and finite, got inf"),
        (lambda s, a, b: widgets.gap_explorer(s, largest=0), "largest must be above 0 and finite, got 0"),
        (
            lambda s, a, b: widgets.gap_explorer(s, largest=np.nan),
            "largest must be above 0 and finite, got nan",
        ),
        (
            lambda s, a, b: widgets.gap_explorer(s, frames=(a, b), fps=0),
            "fps must be one or two numbers above 0",
        ),
        (lambda s, a, b: widgets.frame_browser(a, b, [], fps=(1, 2, 3)), "fps must be one or two numbers"),
        (
            lambda s, a, b: widgets.frame_browser(a, b, [], height=0),
            "height must be a whole number of pixels",
        ),
        (lambda s, a, b: widgets.frame_browser(a, b, [(0, 10)]), "path leaves the 8 x 10"),
        (lambda s, a, b: widgets.frame_browser(a[0], b, []), "frames_a must be uint8"),
    ],
)
def test_bad_arguments_are_refused_at_once(similarity, frames, make, message):
    with pytest.raises(ValueError, match=message):
        make(similarity, *frames)
