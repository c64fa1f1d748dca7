import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from lacbook.viz import phase_colors, plot_posterior, plot_similarity, plot_table
from lacbook.viz.tables import draw_path, route

PICTURES = np.zeros((17, 8, 8, 3), dtype=np.uint8)
TABLE = np.array([[1.0, -np.inf, 0.25, 2.0], [0.5, 3.0, -0.01, 1.0], [0.0, 0.0, 1.0, 4.0]])


def texts(ax):
    return {(t.get_position()[1], t.get_position()[0]): t.get_text() for t in ax.texts}


def test_table_shows_numbers_labels_and_a_dash():
    _, given = plt.subplots()
    ax = plot_table(TABLE, rows="ABC", cols="WXYZ", ax=given)
    assert ax is given
    assert [t.get_text() for t in ax.get_yticklabels()] == list("ABC")
    assert [t.get_text() for t in ax.get_xticklabels()] == list("WXYZ")
    shown = texts(ax)
    assert len(shown) == 12
    assert (shown[0, 0], shown[0, 1], shown[1, 2]) == ("1.0", "–", "0.0")
    assert ax.images[0].get_array().mask.tolist() == np.isneginf(TABLE).tolist()


def test_whole_numbers_have_no_decimals():
    assert texts(plot_table([[1, -0.0], [-2, 30]])) == {(0, 0): "1", (0, 1): "0", (1, 0): "-2", (1, 1): "30"}


def test_path_runs_through_the_cells_where_gaps_are_charged():
    path = np.array([(0, 0), (1, 1), (4, 4), (5, 5)])
    corners, matched = route(path)
    assert corners.tolist() == [[0, 0], [1, 1], [1, 3], [3, 3], [4, 4], [5, 5]]
    assert corners[matched].tolist() == path.tolist()
    (line,) = plot_table(np.zeros((6, 6)), path=path).lines
    np.testing.assert_array_equal(line.get_xydata(), corners[:, ::-1])  # x is the column
    assert line.get_markevery() == matched


def test_many_to_one_paths_are_drawn_straight():
    assert route(np.array([(0, 0), (1, 0), (2, 0), (2, 3)]))[0].tolist() == [
        [0, 0],
        [1, 0],
        [2, 0],
        [2, 2],
        [2, 3],
    ]
    assert route(np.array([(0, 0), (3, 0)]))[0].tolist() == [[0, 0], [2, 0], [3, 0]]


def test_large_tables_have_no_numbers_but_a_path():
    ax = plot_table(np.zeros((40, 50)), path=[(1, 2), (2, 3)])
    assert not ax.texts
    assert ax.lines[0].get_xydata().tolist() == [[2, 1], [3, 2]]


def test_cells_not_filled_yet_are_blank():
    table = np.array([[1.0, 2.0], [-np.inf, np.nan]])
    ax = plot_table(table)
    assert texts(ax) == {(0, 0): "1", (0, 1): "2", (1, 0): "–", (1, 1): ""}
    assert (np.asarray(ax.images[0].get_alpha()) == 0).tolist() == np.isnan(table).tolist()


def test_numbers_too_small_to_read_are_left_away():
    _, (large, small) = plt.subplots(1, 2, figsize=(9, 4), width_ratios=(8, 1))
    assert plot_table(np.zeros((6, 6)), ax=large).texts
    assert not plot_table(np.zeros((6, 6)), path=[(1, 1)], ax=small).texts
    assert small.lines[0].get_xydata().tolist() == [[1, 1]]


@pytest.mark.parametrize("plot", [plot_table, plot_similarity])
def test_given_limits_make_colours_comparable(plot):
    _, axes = plt.subplots(1, 2)
    images = [
        plot(table, limits=(-4, 2), ax=ax).images[0] for table, ax in zip((TABLE, -TABLE), axes, strict=True)
    ]
    assert {(image.norm.vmin, image.norm.vcenter, image.norm.vmax) for image in images} == {(-4.0, 0.0, 2.0)}


@pytest.mark.parametrize("plot", [plot_posterior, plot_similarity])
def test_phase_strips_have_the_colours_of_their_phases(plot):
    phases = np.array([0, 1, -1]), np.array([0, 1, 2, 3])
    ax = plot(np.zeros((3, 4)), phases=phases)
    strips = {image.get_extent()[0] < -0.6: image for image in ax.images if image.get_array().shape[-1] == 3}
    np.testing.assert_array_equal(strips[True].get_array()[:, 0], [*phase_colors(4)[:2], np.ones(3)])
    np.testing.assert_array_equal(strips[False].get_array()[0], phase_colors(4))
    for image in strips.values():
        left, right, *rest = image.get_extent()
        assert ax.get_xlim()[0] <= left < right <= ax.get_xlim()[1]
        assert ax.get_ylim()[1] <= min(rest) < max(rest) <= ax.get_ylim()[0]
    plot(np.zeros((2, 2)), phases=(np.full(2, -1), np.full(2, -1)))  # no action in either
    for wrong in (-2, 0.5, np.nan):
        with pytest.raises(ValueError, match="phases must be whole numbers from -1"):
            plot(np.zeros((2, 2)), phases=(np.array([wrong, 0]), np.array([0, 1])))


@pytest.mark.parametrize("plot", [plot_posterior, plot_similarity])
def test_colour_bar_can_be_left_away(plot):
    _, axes = plt.subplots(1, 2)
    assert len(plot(np.eye(3), ax=axes[0]).child_axes) == 1
    assert plot(np.eye(3), colorbar=False, ax=axes[1]).child_axes == []


def test_frames_stand_beside_their_rows_and_columns(coded):
    ax = plot_table(TABLE, frames=(coded(3, 8, 8), coded(4, 8, 8)))
    pictures = {
        (image.get_extent()[0] + 0.48, image.get_extent()[2] - 0.48): image for image in ax.images[1:]
    }
    assert len(pictures) == 7
    for (x, y), image in pictures.items():
        row, column = round(y), round(x)
        assert (row == -1) != (column == -1)  # on the left or on top
        assert image.get_array()[0, 0, 0] == (row if column == -1 else column)
        low, high = image.get_extent()[0], image.get_extent()[1]
        assert ax.get_xlim()[0] <= low < high <= ax.get_xlim()[1]
        low, high = sorted(image.get_extent()[2:])
        assert ax.get_ylim()[1] <= low < high <= ax.get_ylim()[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": np.zeros(3)}, "table must have shape"),
        ({"table": TABLE, "rows": "AB"}, "rows has 2 labels, the table has 3"),
        ({"table": TABLE, "path": [(0, 4)]}, "path leaves"),
        ({"table": np.zeros((0, 3))}, "table must have shape"),
        ({"table": TABLE, "limits": (2, -4)}, "limits must be two numbers"),
        ({"table": TABLE, "limits": (0, np.nan)}, "limits must be two numbers"),
        ({"table": TABLE, "path": [(0.7, 0.2)]}, "whole numbers"),
        ({"table": TABLE, "path": [(0, 1, 2), (1, 2, 3)]}, "whole numbers"),
        (
            {"table": TABLE, "frames": (PICTURES[:3], PICTURES[:5])},
            "frames has 3 and 5 pictures, table is 3 x 4",
        ),
        ({"table": TABLE, "frames": (PICTURES[:3] * 1.0, PICTURES[:4])}, "frames must be uint8"),
        ({"table": TABLE, "frames": PICTURES[None, :3]}, "frames has 3 pictures"),
        ({"table": np.zeros((1, 17)), "frames": (PICTURES[:1], PICTURES)}, "at most"),
    ],
)
def test_bad_tables_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_table(**arguments)


def test_similarity_carries_everything():
    similarity = torch.randn(6, 9, requires_grad=True)
    posterior = np.zeros((6, 9))
    posterior[2, 3], posterior[3, 4] = 0.5, 0.125
    phases = (np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 1, 1, 2, -1]))
    ax = plot_similarity(
        similarity, posterior=posterior, path=[(2, 3), (3, 4)], events=([2, 4], [3, 7]), phases=phases
    )
    heat, veil, rows, cols = ax.images
    np.testing.assert_allclose(heat.get_array(), similarity.detach())
    assert heat.norm(0.0) == pytest.approx(0.5)
    alpha = veil.get_array()[..., 3]
    assert alpha[3, 4] == pytest.approx(alpha[2, 3] / 2)
    assert np.count_nonzero(alpha) == 2
    np.testing.assert_allclose(rows.get_array()[:, 0], phase_colors(3)[phases[0]])
    np.testing.assert_allclose(cols.get_array()[0, 7:], [phase_colors(3)[2], np.ones(3)])
    drawn = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert drawn == {"key events": [[3, 2], [7, 4]], "path": [[3, 2], [4, 3]]}
    assert ax.get_ylim()[0] == 5.5  # frame 0 is on top
    assert "frame" in ax.get_xlabel()


def test_similarity_greys_what_never_matches():
    ax = plot_similarity([[0.5, -np.inf], [-0.5, 0.0]])
    assert ax.images[0].get_array().mask.tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"posterior": np.zeros((4, 3))}, "posterior has shape"),
        ({"phases": (np.zeros(3, int), np.zeros(3, int))}, "phases have lengths 3 and 3"),
        ({"path": [(0, 0), (3, 0)]}, "path leaves"),
    ],
)
def test_bad_overlays_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_similarity(np.zeros((3, 4)), **arguments)


def test_a_drawn_path_can_be_moved():
    _, ax = plt.subplots()
    line = draw_path(ax, [(0, 0)], (5, 5))
    assert draw_path(ax, [(1, 2), (2, 3)], (5, 5), line) is line
    assert ax.lines[0].get_xydata().tolist() == [[2, 1], [3, 2]]


def test_posterior_keeps_its_colours_from_figure_to_figure():
    phases = (np.array([0, 1]), np.array([0, 1, 1]))
    sure = plot_posterior([[1.0, 0.0, 0.0], [0.0, 0.0, 0.25]], path=[(0, 0), (1, 2)], phases=phases)
    spread = plot_posterior(torch.full((2, 3), 0.01, requires_grad=True))
    heat, rows, cols = sure.images
    assert [image.get_clim() for image in (heat, *spread.images)] == [(0, 1), (0, 1)]
    assert heat.norm(0.25) == pytest.approx(0.5)  # the square root
    light = heat.cmap(np.linspace(0, 1, 50))[:, :3].sum(1)
    assert (np.diff(light) < 0).all()  # the more probable, the darker
    np.testing.assert_allclose(rows.get_array()[:, 0], phase_colors(2))
    assert cols.get_array().shape == (1, 3, 3)
    assert sure.lines[0].get_xydata().tolist() == [[0, 0], [1, 0], [2, 1]]
    assert sure.get_ylim()[0] == 1.5  # frame 0 is on top
    assert sure.child_axes[0].get_ylabel() == "posterior probability of a match"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"posterior": np.zeros(3)}, r"posterior must have shape \[N, M\]"),
        ({"path": [(0, 4)]}, "path leaves"),
        (
            {"phases": (np.zeros(3, int), np.zeros(3, int))},
            "phases have lengths 3 and 3, the matrix is 3 x 4",
        ),
    ],
)
def test_bad_posteriors_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_posterior(**{"posterior": np.zeros((3, 4))} | arguments)
