import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

from lacbook.viz import live_learning_curves, plot_learning_curves, plot_metrics
from lacbook.viz.style import ACCENT, MUTED


@pytest.fixture
def log():
    return pd.DataFrame(
        {"epoch": [0, 0, 1, 2], "loss": [4.0, 2.0, 2.0, 1.0], "gap_open": [1.0, 1.0, 1.1, 1.2]}
    )


@pytest.fixture
def table():
    rows = [
        ("untrained", "acc", 0.5, 0),
        ("lac", "acc", 0.8, 0),
        ("lac", "acc", 0.9, 1),
        ("scl", "acc", 0.7, 0),
    ]
    rows += [("lac", "event_error", 3.0, 0), ("untrained", "event_error", 9.0, 0)]
    return pd.DataFrame(rows, columns=["method", "metric", "value", "seed"])


def test_learning_curves_average_and_tolerate_missing_columns(log):
    figure, given = plt.subplots()
    ax = plot_learning_curves(log, ax=given)
    assert ax is given
    (loss,) = ax.lines
    assert loss.get_xydata().tolist() == [[0, 3], [1, 2], [2, 1]]
    right = figure.axes[1]
    assert [line.get_label() for line in right.lines] == ["gap open"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["loss", "gap open"]
    assert ax.get_xlabel() == "epoch"


def test_learning_curves_skip_gaps_and_count_rows_without_epochs():
    ax = plot_learning_curves(pd.DataFrame({"loss": [3.0, np.nan, 1.0], "local": [np.nan] * 3}))
    assert [line.get_xydata().tolist() for line in ax.lines] == [[[0, 3], [2, 1]]]
    assert len(ax.figure.axes) == 1
    with pytest.raises(ValueError, match=r"none of the columns.*\['speed'\]"):
        plot_learning_curves(pd.DataFrame({"speed": [1.0]}))


def test_metrics_put_controls_last_and_highlight_lac(table):
    figure = plot_metrics(table)
    accuracy, error = figure.axes
    assert [t.get_text() for t in accuracy.get_yticklabels()] == ["lac", "scl", "untrained"]
    means = {line.get_ydata()[0]: line for line in accuracy.lines if line.get_markersize() == 7}
    assert means[0].get_xdata()[0] == pytest.approx(0.85)
    assert (means[0].get_color(), means[2].get_color()) == (ACCENT, MUTED)
    seeds = next(line for line in accuracy.lines if line.get_markersize() == 4)
    assert seeds.get_xdata().tolist() == [0.8, 0.9]
    assert "lower is better" in error.get_xlabel()
    assert "lower" not in accuracy.get_xlabel()


def test_the_worse_side_of_the_best_control_is_shaded(table):
    for ax, metric in zip(plot_metrics(table).axes, ("acc", "event_error"), strict=True):
        low, high = ax.patches[0].get_extents().transformed(ax.transData.inverted()).intervalx
        assert (high if metric == "acc" else low) == pytest.approx(0.5 if metric == "acc" else 9.0)


def test_metrics_can_be_chosen(table):
    given = plt.figure()
    figure = plot_metrics(table.drop(columns="seed"), metrics=["event_error"], fig=given)
    assert figure is given
    assert [ax.get_title() for ax in figure.axes] == ["event error"]
    with pytest.raises(ValueError, match=r"metrics \['speed'\] are not in the table"):
        plot_metrics(table, metrics=["speed"])
    with pytest.raises(ValueError, match=r"lacks the columns \['metric'\]"):
        plot_metrics(table.drop(columns="metric"))


def test_live_curves_are_one_output_that_is_replaced(monkeypatch):
    shown = []

    class Handle:
        def update(self, figure):
            shown.append(("update", figure))

    def display(figure, *, display_id):
        assert display_id is True
        shown.append(("display", figure))
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    draw = live_learning_curves()
    log = pd.DataFrame({"epoch": [0, 1, 2], "loss": [3.0, 2.0, 1.0], "margin": [0.5, 0.4, 0.3]})
    for epochs in (1, 2, 3):
        draw(log[:epochs])
    assert [how for how, _ in shown] == ["display", "update", "update"]
    for epochs, (_, figure) in enumerate(shown, start=1):
        losses, learned = figure.axes
        assert losses.lines[0].get_ydata().tolist() == log["loss"][:epochs].tolist()
        assert not losses.spines["top"].get_visible()  # the look of the course
        assert learned.lines[0].get_ydata().tolist() == log["margin"][:epochs].tolist()
    assert plt.get_fignums() == []


def test_live_curves_are_pictures_in_a_fresh_notebook():
    code = """
import pandas as pd
from lacbook.viz import live_learning_curves
draw = live_learning_curves()
for epochs in (1, 2):
    draw(pd.DataFrame({"loss": [2.0, 1.0]})[:epochs])
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook).execute()
    (output,) = notebook.cells[0].outputs
    assert "image/png" in output["data"]
