import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from lacbook.compare import COLUMNS
from lacbook.viz import plot_comparison
from lacbook.viz.style import ACCENT, INK, MUTED

VALUES = {  # accuracy and event error of two seeds
    "raw": ([0.5, 0.5], [12.0, 12.0]),
    "lac": ([0.8, 0.9], [2.0, 1.0]),
    "scl": ([0.7, 0.8], [3.0, 2.0]),
    "time_only": ([0.6, 0.6], [14.0, 14.0]),
    "majority": ([0.3, 0.3], [np.nan, np.nan]),
}


@pytest.fixture
def table():
    rows = [
        (method, dataset, seed, metric, value, 1.0, "abc")
        for dataset, shift in (("puppets", 0.0), ("ui-prmd", 0.05))
        for method, both in VALUES.items()
        for metric, values in zip(("acc@10", "event_error"), both, strict=True)
        for seed, value in enumerate(np.add(values, shift))
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def draw(table, **options):
    return plot_comparison(table, "puppets", metrics=["acc@10", "event_error"], **options)


def dots(ax):
    """Seeds of each row, [row] -> values, from the faint dots."""
    found = [np.asarray(c.get_offsets()) for c in ax.collections]
    seeds = {}
    for x, y in np.concatenate([f for f in found if len(f)]):
        seeds.setdefault(round(y), []).append(round(float(x), 6))
    return {row: sorted(values) for row, values in seeds.items()}


def means(ax):
    """Mean of each row and the colour it is drawn in, from the large dots."""
    return {
        round(y): (x, to_hex(line.get_color()))
        for line in ax.lines
        if line.get_marker() == "o"
        for x, y in line.get_xydata()
        if np.isfinite(x)
    }


def test_every_seed_mean_and_spread_with_controls_last(table):
    accuracy, error = draw(table)
    labels = [t.get_text() for t in accuracy.get_yticklabels()]
    assert labels == ["lac", "scl", "raw", "time only", "majority"]  # as in CONTROLS
    assert dots(accuracy) == {0: [0.8, 0.9], 1: [0.7, 0.8], 2: [0.5, 0.5], 3: [0.6, 0.6], 4: [0.3, 0.3]}
    found = means(accuracy)
    assert [found[row][0] for row in range(5)] == pytest.approx([0.85, 0.75, 0.5, 0.6, 0.3])
    assert [found[row][1] for row in range(3)] == [ACCENT, INK, MUTED]
    bars = [
        line.get_xdata() for line in accuracy.lines if len(line.get_xdata()) == 2 and line.get_lw() == 1.6
    ]
    spread = np.std([0.8, 0.9], ddof=1)
    assert bars[0] == pytest.approx([0.85 - spread, 0.85 + spread])
    assert 4 not in dots(error)  # majority has nothing but an accuracy


def test_the_best_control_is_a_line_and_controls_are_set_apart(table):
    for ax, best in zip(draw(table), (0.6, 12.0), strict=True):
        upright = [line for line in ax.lines if line.get_linestyle() == "--"]
        assert [line.get_xdata()[0] for line in upright] == pytest.approx([best])
        assert 1.5 in [y for line in ax.lines for y in line.get_ydata()]  # below the two methods
        assert ax.get_ylim() == (4.5, -0.5)
    assert "↓" in draw(table)[1].get_title()
    assert "↓" not in draw(table)[0].get_title()


def test_a_control_far_off_is_an_arrow(table):
    table.loc[(table["method"] == "raw") & (table["metric"] == "acc@10"), "value"] = -5.0
    accuracy, error = draw(table)
    assert [(t.get_text(), t.get_position()[1]) for t in accuracy.texts] == [("← -5.0", 2)]
    low, high = accuracy.get_xlim()
    assert 0.2 < low < 0.3  # majority is shown
    assert 0.9 < high < 1
    assert [t.get_text() for t in error.texts] == []


def test_one_seed_and_one_method_will_do(table):
    single = table[(table["seed"] == 0) & (table["method"] == "scl")]
    (ax,) = plot_comparison(single, "ui-prmd", metrics=["acc@10"])
    assert dots(ax) == {0: [0.75]}
    assert [line for line in ax.lines if line.get_linestyle() == "--"] == []


def test_axes_and_names_can_be_given(table):
    _, given = plt.subplots(1, 2)
    axes = draw(table, axes=given, names={"scl": "SCL, two views"})
    assert axes.tolist() == given.tolist()
    assert [t.get_text() for t in axes[0].get_yticklabels()][1] == "SCL, two views"


def test_what_the_table_lacks_is_refused(table):
    with pytest.raises(ValueError, match=r"'penn' is not in the table, found \['puppets', 'ui-prmd'\]"):
        plot_comparison(table, "penn")
    with pytest.raises(ValueError, match=r"\['speed'\] are not in the table"):
        plot_comparison(table, "puppets", metrics=["speed"])
    with pytest.raises(ValueError, match="found 1, expected one for each of 2 metrics"):
        draw(table, axes=[plt.figure().subplots()])
