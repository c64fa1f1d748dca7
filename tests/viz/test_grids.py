import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from lacbook.data.puppet_motion import JOINTS
from lacbook.viz import PUPPET_EDGES, plot_frame_grid, plot_poses

POSES = np.array([[[0, 0], [0, 2], [1, 3]], [[0, 1], [2, 2], [1, 4]]], dtype=float)  # two of three joints
EDGES = [(0, 1), (1, 2)]


def box(image):
    """Left, right, top and bottom of a picture."""
    left, right, bottom, top = image.get_extent()
    return left, right, top, bottom


def borders(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def bones(ax):
    """Both ends of each line that is no joint's dot."""
    return [line.get_xydata() for line in ax.lines if line.get_linestyle() != "None"]


def test_each_row_shows_its_frames_in_order(coded):
    _, given = plt.subplots()
    ax = plot_frame_grid([coded(4)[1:], coded(9, 24, 16)[7:]], ax=given)
    assert ax is given
    assert [image.get_array().max() for image in ax.images] == [1, 2, 3, 7, 8]
    boxes = [box(image) for image in ax.images]
    for (_, right, top, _), (left, _, same_top, _) in itertools.pairwise(boxes[:3]):
        assert left > right
        assert same_top == top
    assert boxes[3][2] > boxes[0][3]  # the second row lies below the first, y being down
    assert boxes[3][0] == boxes[0][0] == 0
    for (left, right, top, bottom), ratio in zip(boxes, [2 / 3] * 3 + [1.5] * 2, strict=True):
        assert right - left == 1
        assert bottom - top == pytest.approx(ratio)
    low, high = ax.get_ylim()
    assert low > boxes[-1][3]
    assert high < 0
    assert ax.get_xlim()[1] > boxes[2][1]
    assert not ax.texts
    assert not borders(ax)


def test_names_captions_and_borders_belong_to_their_pictures(coded):
    ax = plot_frame_grid(
        [coded(2), coded(1)],
        names=["first", "second"],
        captions=[["a", "b"], ["c"]],
        colors=[["#ff0000", None], ["#0000ff"]],
    )
    ax.figure.canvas.draw()
    at = {text.get_text(): text.get_position() for text in ax.texts}
    assert list(at) == ["a", "b", "first", "c", "second"]
    for caption, image in zip("abc", ax.images, strict=True):
        left, right, _, bottom = box(image)
        assert at[caption][0] == (left + right) / 2
        assert bottom < at[caption][1] < bottom + 0.1
    assert at["b"][1] < box(ax.images[2])[2]  # a caption ends before the next row
    for name, image in (("first", ax.images[0]), ("second", ax.images[2])):
        assert at[name][0] < 0
        assert at[name][1] == sum(box(image)[2:]) / 2
    drawn = {to_hex(border.get_edgecolor()): border for border in borders(ax)}
    assert list(drawn) == ["#ff0000", "#0000ff"]
    for border, image in zip(drawn.values(), (ax.images[0], ax.images[2]), strict=True):
        left, right, top, bottom = box(image)
        corner = border.get_bbox()
        assert (corner.x0, corner.x1, corner.y0, corner.y1) == pytest.approx((left, right, top, bottom))
        assert not border.get_fill()


def test_a_border_stays_within_its_picture(coded):
    ax = plot_frame_grid([coded(2) + 255], colors=[["#ff0000", None]])
    figure = ax.figure
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    red = np.flatnonzero((pixels[..., 0] - pixels[..., 1] > 60).any(axis=0))
    left, right, top, _ = box(ax.images[0])
    edges = ax.transData.transform([(left, top), (right, top)])[:, 0]
    assert edges[0] - 1 <= red.min() <= edges[0] + 1
    assert edges[1] - 1.5 <= red.max() <= edges[1] + 0.5


@pytest.mark.parametrize("columns", [1, 3, 14])
def test_a_line_of_text_fits_under_pictures_of_any_size(coded, columns):
    ax = plot_frame_grid([coded(columns, 20, 20)] * 2, captions=[["0.12 s"] * columns] * 2, names=["A", "B"])
    figure = ax.figure
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    assert figure.get_size_inches()[0] <= 9.01
    caption, below = ax.texts[0].get_window_extent(renderer), ax.images[columns].get_window_extent(renderer)
    assert caption.y0 >= below.y1  # pixels, y up
    last = ax.texts[columns + 1].get_window_extent(renderer)
    assert last.y0 >= 0
    names = [ax.texts[columns].get_window_extent(renderer), ax.texts[-1].get_window_extent(renderer)]
    assert all(name.x0 >= 0 for name in names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": []}, "at least one row"),
        ({"rows": [np.zeros((2, 4, 4, 3))]}, r"rows\[0\] must be uint8 \[T, H, W, 3\].*float64"),
        ({"rows": [np.zeros((0, 4, 4, 3), np.uint8)]}, r"rows\[0\] must be uint8 .* T, H, W > 0"),
        ({"names": ["one"]}, "names must be 2, one a row, got 1"),
        ({"captions": [["a", "b"]]}, r"captions must fit the rows, of lengths \[2, 3\], got \[2\]"),
        ({"captions": [["a"], ["b"] * 3]}, r"captions must fit .* got \[1, 3\]"),
        (
            {"colors": [[None] * 2, [None] * 2]},
            r"colors must fit the rows, of lengths \[2, 3\], got \[2, 2\]",
        ),
    ],
)
def test_bad_grids_are_refused(coded, arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_frame_grid(**{"rows": [coded(2), coded(3)]} | arguments)
    assert not plt.get_fignums()


def test_stick_figures_stand_side_by_side():
    _, given = plt.subplots()
    ax = plot_poses(POSES, edges=EDGES, ax=given)
    assert ax is given
    drawn = bones(ax)
    assert len(drawn) == 4
    for pose, figure in zip(POSES, (drawn[:2], drawn[2:]), strict=True):
        offset = figure[0][0] - pose[0]
        assert offset[1] == 0  # heights are kept
        for (a, b), line in zip(EDGES, figure, strict=True):
            np.testing.assert_allclose(line, pose[[a, b]] + offset)
    dots = [line.get_xydata() for line in ax.lines if line.get_linestyle() == "None"]
    assert [len(points) for points in dots] == [3, 3]
    moved = dots[1][0, 0] - dots[0][0, 0]
    assert moved > np.ptp(POSES[..., 0])  # a slot is wider than all that the poses reach
    bottom, top = ax.get_ylim()
    assert bottom > 4
    assert top < 0  # y is down
    assert ax.get_aspect() == 1


def test_poses_have_captions_and_colours_of_their_own():
    ax = plot_poses(POSES, edges=EDGES, captions=["u 0.1", "u 0.9"], colors=["#ff0000", "#0000ff"])
    assert [to_hex(line.get_color()) for line in ax.lines] == ["#ff0000"] * 3 + ["#0000ff"] * 3
    assert [text.get_text() for text in ax.texts] == ["u 0.1", "u 0.9"]
    (first, low), (second, same) = (text.get_position() for text in ax.texts)
    assert low == same > POSES[..., 1].max()
    shift = bones(ax)[2][0, 0] - bones(ax)[0][0, 0]
    assert second - first == pytest.approx(shift)
    assert ax.get_ylim()[0] > low


def test_other_edges_can_be_drawn_over_the_same_poses():
    ax = plot_poses(POSES, edges=EDGES)
    limits = ax.get_xlim(), ax.get_ylim()
    plot_poses(POSES, edges=EDGES[:1], colors=["#ff0000"] * 2, ax=ax)
    assert (ax.get_xlim(), ax.get_ylim()) == limits
    np.testing.assert_allclose(bones(ax)[4:], bones(ax)[0:4:2])


def test_unseen_joints_are_left_out():
    poses = POSES.copy()
    poses[0, 2] = np.nan
    ax = plot_poses(poses, edges=EDGES)
    assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()
    assert np.isnan(bones(ax)[1]).any()
    np.testing.assert_allclose(np.diff(bones(ax)[3], axis=0), np.diff(POSES[1, 1:], axis=0))


@pytest.mark.filterwarnings("error")
def test_level_poses_have_a_figure():
    for poses in (np.zeros((2, 3, 2)), POSES * [1, 0], POSES * [0, 1]):
        ax = plot_poses(poses, edges=EDGES)
        ax.figure.canvas.draw()
        assert (np.array(ax.figure.get_size_inches()) > 0.05).all()


def test_puppets_have_bones_between_all_their_joints():
    joined = {joint for edge in PUPPET_EDGES for joint in edge}
    assert joined == set(range(len(JOINTS)))
    assert len(PUPPET_EDGES) == len(JOINTS) - 1  # a tree
    named = {(JOINTS[a], JOINTS[b]) for a, b in PUPPET_EDGES}
    assert ("r_elbow", "r_wrist") in named
    assert ("l_knee", "l_ankle") in named
    assert all(a[:2] == b[:2] for a, b in named if "_" in a and "_" in b)  # no bone crosses over
    assert len(bones(plot_poses(np.random.default_rng(0).random((2, 17, 2))))) == 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"poses": np.zeros((2, 6))}, r"poses must have shape \[T, J, 2\].*\(2, 6\)"),
        ({"poses": np.zeros((2, 3, 3))}, r"poses must have shape .*\(2, 3, 3\)"),
        ({"poses": np.zeros((0, 3, 2))}, "T, J > 0"),
        ({"poses": np.full((1, 3, 2), np.nan)}, "at least one joint that is not NaN"),
        ({"edges": [(0, 3)]}, "edges must join some of 3 joints, got 0 to 3"),
        ({"edges": [(-1, 0)]}, "edges must join some of 3 joints, got -1 to 0"),
        ({"captions": ["one"]}, "captions must be 2, one a pose, got 1"),
        ({"colors": ["red"] * 3}, "colors must be 2, one a pose, got 3"),
    ],
)
def test_bad_poses_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_poses(**{"poses": POSES, "edges": EDGES} | arguments)
    assert not plt.get_fignums()


def test_one_call_makes_at_most_one_figure(coded):
    plot_frame_grid([coded(2)])
    plot_poses(POSES, edges=EDGES)
    assert len(plt.get_fignums()) == 2
    _, ax = plt.subplots()
    plot_frame_grid([coded(2)], ax=ax)
    plot_poses(POSES, edges=EDGES, ax=ax)
    assert len(plt.get_fignums()) == 3
