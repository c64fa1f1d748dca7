"""The standings of a comparison against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lacbook.compare import COLUMNS
from lacbook.summary import FAMILIES, standings, summarise

VALUES = {  # method -> accuracy, event error of three seeds
    "scl": ([0.80, 0.82, 0.81], [3.0, 3.5, 3.2]),
    "lac": ([0.90, 0.93, 0.91], [1.0, 1.2, 1.1]),
    "tcn": ([0.70, 0.73, 0.70], [9.0, 8.0, 7.5]),
    "untrained": ([0.50, 0.45, 0.40], [12.0, 13.0, 14.0]),
    "time_only": ([0.75, 0.75, 0.75], [10.0, 10.0, 10.0]),
    "majority": ([0.30, 0.30, 0.30], [math.nan] * 3),
}


@pytest.fixture(scope="module")
def table():
    rows = [
        (method, "puppets", seed, metric, value, 1.0, "abc")
        for method, both in VALUES.items()
        for metric, values in zip(("acc@10", "event_error"), both, strict=True)
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


@pytest.fixture(scope="module")
def summary(table):
    return summarise(table).set_index(["metric", "method"])


def test_mean_and_deviation_over_seeds(summary):
    row = summary.loc[("acc@10", "lac")]
    assert row["mean"] == pytest.approx(np.mean(VALUES["lac"][0]))
    assert row["std"] == pytest.approx(np.std(VALUES["lac"][0], ddof=1))
    assert row["seeds"] == 3


def test_tests_are_paired_by_seed(table, summary):
    row = summary.loc[("acc@10", "lac")]
    assert row["p_reference"] == pytest.approx(stats.ttest_rel(VALUES["lac"][0], VALUES["scl"][0]).pvalue)
    assert row["p_reference"] != pytest.approx(stats.ttest_ind(VALUES["lac"][0], VALUES["scl"][0]).pvalue)
    shuffled = summarise(table.sample(frac=1, random_state=0)).set_index(["metric", "method"])
    assert shuffled.loc[("acc@10", "lac"), "p_reference"] == pytest.approx(row["p_reference"])


def test_the_best_control_is_chosen_metric_by_metric(summary):
    assert set(summary.loc["acc@10", "control"]) == {"time_only"}
    assert set(summary.loc["event_error", "control"]) == {"time_only"}  # 10 < 13: lower is better


def test_better_is_positive_whichever_way_a_metric_runs(summary):
    assert summary.loc[("acc@10", "lac"), "over_reference"] == pytest.approx(0.10333, abs=1e-4)
    assert summary.loc[("event_error", "lac"), "over_reference"] == pytest.approx(2.13333, abs=1e-4)
    assert summary.loc[("event_error", "tcn"), "over_control"] == pytest.approx(1.83333, abs=1e-4)
    assert summary.loc[("acc@10", "tcn"), "over_control"] < 0


def test_nothing_is_compared_with_itself(summary):
    assert math.isnan(summary.loc[("acc@10", "scl"), "p_reference"])
    assert math.isnan(summary.loc[("acc@10", "time_only"), "p_control"])


def test_the_same_difference_on_every_seed_is_certain():
    rows = [
        (method, "d", seed, "acc@10", value, 0.0, "r")
        for method, value in (("scl", 0.5), ("lac", 0.6), ("tcn", 0.5))
        for seed in range(3)
    ]
    summary = summarise(pd.DataFrame(rows, columns=COLUMNS)).set_index("method")
    assert summary.loc["lac", "p_reference"] == 0
    assert summary.loc["tcn", "p_reference"] == 1
    assert summary["p_control"].isna().all()


def test_seeds_that_only_one_has_are_left_out(table):
    more = table.assign(seed=table["seed"] + 3).assign(value=table["value"] + 0.01 * table["seed"])
    four = pd.concat([table, more[more["seed"] == 3], more[(more["seed"] == 4) & (more["method"] == "scl")]])
    row = summarise(four).set_index(["metric", "method"]).loc[("acc@10", "lac")]
    expected = stats.ttest_rel([*VALUES["lac"][0], 0.90], [*VALUES["scl"][0], 0.80]).pvalue
    assert row["p_reference"] == pytest.approx(expected)
    assert row["seeds"] == 4
    assert "(4 of 5)" in standings(four, "puppets")


def test_two_seeds_are_no_test(table):
    """Even where both differ by the same amount, as medians on a coarse grid often do."""
    two = summarise(table[table["seed"] < 2]).set_index(["metric", "method"])
    assert two["p_reference"].isna().all()
    assert two["p_control"].isna().all()
    assert two.loc[("acc@10", "lac"), "over_reference"] == pytest.approx(0.105)


def test_a_method_that_is_surely_worse_is_not_bold(table):
    """Below the best control, and far from it; and above it, but not surely."""
    rows = [
        (method, "puppets", seed, "acc@10", value, 1.0, "abc")
        for method, values in (("low", [0.5, 0.51, 0.5]), ("perhaps", [0.7, 0.9, 0.8]))
        for seed, value in enumerate(values)
    ]
    more = pd.concat([table, pd.DataFrame(rows, columns=COLUMNS)])
    text = standings(more, "puppets", ("acc@10",))
    marked = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in text.splitlines()}
    assert marked["low"] == "0.503 ± 0.006 ▼"
    assert marked["perhaps"] == "0.800 ± 0.100"


def test_events_along_the_path_are_better_when_lower(table):
    renamed = table.replace({"metric": {"event_error": "path_event_error"}})
    summary = summarise(renamed).set_index(["metric", "method"])
    assert summary.loc[("path_event_error", "lac"), "over_reference"] > 0


def test_the_table_marks_what_is_better(table):
    text = standings(table, "puppets", ("acc@10", "event_error"))
    rows = {
        line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]] for line in text.splitlines()
    }
    assert rows["method"] == ["acc@10", "event_error ↓"]
    assert list(rows)[2:] == ["scl", "lac", "tcn", "untrained", "time_only", "majority"]
    assert rows["lac"] == ["**0.913 ± 0.015** ▲", "**1.100 ± 0.100** ▲"]
    assert rows["tcn"][0].endswith("▼")
    assert not rows["tcn"][0].startswith("**")
    assert rows["time_only"] == ["*0.750 ± 0.000*", "*10.000 ± 0.000*"]
    assert rows["majority"] == ["0.300 ± 0.000", "-"]


def test_families_are_metrics():
    from lacbook.evaluate import METRICS

    assert set(FAMILIES) < set(METRICS)
    assert len(FAMILIES) == 6
