import matplotlib.pyplot as plt
import numpy as np
import pytest

from lacbook.viz import plot_alignment, plot_matched_frames, side_by_side
from lacbook.viz.frames import playback, show_matched_frames


def shown_in(image, columns):
    """Number coded in the middle of each column of a strip's row."""
    row = image.get_array()
    assert row.shape[1] % columns == 0
    return row[row.shape[0] // 2, row.shape[1] // columns // 2 :: row.shape[1] // columns, 0].tolist()


def test_strip_shows_matched_frames_with_their_times(videos):
    a, b, path = videos
    _, given = plt.subplots()
    ax = plot_matched_frames(a, b, path, n=3, fps=10.0, ax=given)
    assert ax is given
    above, below = ax.images
    assert shown_in(above, 3) == [3, 5, 8]
    assert shown_in(below, 3) == [5, 7, 11]
    (left, right, low, high), (_, _, _, top_of_b) = above.get_extent(), below.get_extent()
    assert (left, right) == (0, 3)
    assert low > top_of_b  # A on top
    assert 0.92 / (high - low) == pytest.approx(30 / 20)
    assert [t.get_text() for t in ax.texts][:2] == ["0.30 s", "0.50 s"]
    assert len(ax.lines) == 3


def test_short_and_empty_paths(videos):
    a, b, path = videos
    for image, frames in zip(plot_matched_frames(a, b, path, n=8).images, np.transpose(path), strict=True):
        assert shown_in(image, 8) == [*frames, 255, 255, 255]
    assert plot_matched_frames(a, b, []).texts[0].get_text() == "no frames matched"


def test_other_matches_in_a_strip(videos):
    a, b, path = videos
    ax = plot_matched_frames(a, b, path, n=4, fps=10.0)
    show_matched_frames(ax, a, b, path[:2], fps=10.0)
    assert [shown_in(image, 4) for image in ax.images] == [[3, 4, 255, 255], [5, 6, 255, 255]]
    times = [text.get_text() for text in ax.texts]
    assert times == ["0.30 s", "0.50 s", "0.40 s", "0.60 s", "", "", "", "", "A", "B"]
    assert [tick.get_visible() for tick in ax.lines] == [True, True, False, False]
    show_matched_frames(ax, a, b, path, fps=(10.0, 5.0))
    assert [shown_in(image, 4) for image in ax.images] == [[3, 4, 7, 8], [5, 6, 10, 11]]
    assert ax.texts[7].get_text() == "2.20 s"
    assert all(tick.get_visible() for tick in ax.lines)
    show_matched_frames(ax, a, b, [], fps=10.0)
    assert all((image.get_array() == 255).all() for image in ax.images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames_a": np.zeros((4, 8, 8))}, r"frames_a must be uint8 \[T, H, W, 3\].*float64 \(4, 8, 8\)"),
        ({"n": 0}, "n must be"),
        ({"path": [(0, 99)]}, "path leaves the 12 x 15"),
    ],
)
def test_bad_strips_are_refused(videos, arguments, message):
    a, b, path = videos
    with pytest.raises(ValueError, match=message):
        plot_matched_frames(**{"frames_a": a, "frames_b": b, "path": path} | arguments)


def test_alignment_figure(videos):
    a, b, path = videos
    figure = plot_alignment(a, b, np.zeros((12, 15)), path, posterior=np.eye(12, 15), fps=5.0, title="both")
    figure.canvas.draw()
    assert figure.get_size_inches()[0] * 100 == 900
    main, side, above, strip = figure.axes[:4]
    assert main.lines[0].get_xydata()[0].tolist() == [5, 3]
    numbers = [t.get_text() for t in main.texts]
    assert numbers == list("12345")
    assert shown_in(strip.images[0], 8) == [i for i, _ in path] + [255] * 3
    assert side.get_ylabel() == "video A, time (s)"
    assert "2" in [t.get_text() for t in side.get_yticklabels()]  # frame 10 at 5 frames per second
    for film, axis in ((side, 1), (above, 0)):  # a thumbnail lies at its own frame
        for image in film.images:
            low, high = sorted(image.get_extent()[2:] if axis else image.get_extent()[:2])
            assert abs((low + high) / 2 - image.get_array().max()) <= 0.5
    assert figure.get_suptitle() == "both"
    rates = plot_alignment(a, b, np.zeros((12, 15)), path, fps=(5.0, 10.0))
    rates.canvas.draw()
    side, above, strip = rates.axes[1:4]
    assert side.yaxis.get_major_formatter()(10, None) == "2"
    assert above.xaxis.get_major_formatter()(10, None) == "1"
    (i, j), times = path[0], [text.get_text() for text in strip.texts]
    assert times[:2] == [f"{i / 5:.2f} s", f"{j / 10:.2f} s"]
    with pytest.raises(ValueError, match="similarity has shape"):
        plot_alignment(a, b, np.zeros((12, 14)), path)


def test_alignment_figure_without_matches(videos):
    a, b, _ = videos
    figure = plot_alignment(a, b, np.full((12, 15), -1.0), [])
    assert "no frames matched" in [t.get_text() for t in figure.axes[3].texts]


def test_playback_order(videos):
    _, _, path = videos
    order = playback(path, 12, 15).tolist()
    assert order[:6] == [[0, 0, 0], [0, 1, 0], [0, 2, 0], [1, 3, 0], [2, 4, 0], [3, 5, 1]]  # A waits for B
    assert [5, 7, 1] in order
    gap = order.index([5, 7, 1])
    assert order[gap + 1 : gap + 5] == [[5, 8, 0], [5, 9, 0], [6, 9, 0], [7, 10, 1]]
    assert order[-3:] == [[9, 12, 0], [10, 13, 0], [11, 14, 0]]
    assert [(i, j) for i, j, matched in order if matched] == path


def test_every_frame_is_played_in_order(videos):
    _, _, path = videos
    for matches in (path, [], [(0, 0)], [(11, 14)], [(2, 2), (3, 2), (3, 3)]):
        order = playback(matches, 12, 15)
        assert np.all(np.diff(order[:, :2], axis=0) >= 0)
        assert set(order[:, 0]) == set(range(12))
        assert set(order[:, 1]) == set(range(15))


def test_matched_frames_are_shown_together(videos):
    a, b, path = videos
    video = side_by_side(a, b, path)
    assert video.dtype == np.uint8
    assert video.shape[1] % 2 == video.shape[2] % 2 == 0
    assert video.shape[0] == len(playback(path, 12, 15))
    shown = [
        (int(frame[12, 18, 0]), int(frame[12, 36 + 4 + 8, 0])) for frame in video
    ]  # A is 36 wide at height 24
    assert shown == [(i, j) for i, j, _ in playback(path, 12, 15).tolist()]
    seam = [tuple(frame[5, 37].tolist()) for frame in video]
    matched = playback(path, 12, 15)[:, 2] == 1
    assert len({color for color, lit in zip(seam, matched, strict=True) if lit}) == 1
    assert {color for color, lit in zip(seam, matched, strict=True) if not lit} == {(255, 255, 255)}


def test_timeline_marks_matched_frames_and_the_present(coded):
    a = coded(10, 40, 100)
    video = side_by_side(a, a, [(2, 2), (3, 3)])
    bar = video[-1, 43]  # the play head is at the end
    assert bar[25].tolist() == bar[35].tolist() != bar[15].tolist()
    assert bar[45].tolist() == bar[15].tolist()
    heads = [int(np.flatnonzero(frame[43, :100].sum(axis=1) < 150)[0]) for frame in video]
    assert heads[0] == 0
    assert heads[-1] == 98
    assert sorted(heads) == heads


def test_playback_of_matches_only(videos):
    a, b, path = videos
    assert len(side_by_side(a, b, path, hold=False)) == len(path)
    with pytest.raises(ValueError, match="path is empty"):
        side_by_side(a, b, [], hold=False)


@pytest.mark.parametrize("height", [10, 24, 51])
def test_odd_and_other_sizes_become_even(coded, height):
    video = side_by_side(coded(4, 21, 13), coded(5, 24, 17), [(1, 2)], height=height)
    assert video.shape[1] % 2 == video.shape[2] % 2 == 0
    assert video[2, height // 2, 1, 0] == 1
