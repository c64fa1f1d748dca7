"""The stored tables show what the project claims of LAC, on subjects that never trained."""

from __future__ import annotations

import pandas as pd
import pytest

from lacbook.compare import METHODS, CompareConfig, read_results
from lacbook.data.clips import data_dir
from lacbook.evaluate import CONTROLS, METRICS, wide


def stored(name: str) -> pd.DataFrame:
    table = pd.read_csv(data_dir() / "results" / name)
    assert set(table["method"]) == {"lac", *CONTROLS}
    assert table["seed"].nunique() >= 3
    assert set(table["metric"]) == set(METRICS)
    return wide(table)


@pytest.mark.parametrize(("metric", "least"), [("acc@100", 0.90), ("alignment_f1", 0.85)])
def test_lac_beats_every_control_on_puppets(metric, least):
    scores = stored("puppets.csv")[metric]
    assert scores["lac"] >= least
    assert scores["lac"] >= scores[list(CONTROLS)].max() + 0.10


def test_lac_knows_the_deep_squat():
    table = stored("ui_prmd.csv")
    assert table.loc["lac", "acc@10"] >= 0.93
    assert table.loc["lac", "AP@5"] >= 0.93
    assert table.loc["lac", "event_error"] <= table.loc["time_only", "event_error"] / 2


def test_the_main_table_is_whole():
    """Every method, data set and seed of its settings, every metric, once."""
    path = data_dir() / "results" / "main.csv"
    table, settings = read_results(path), CompareConfig.load(path.with_suffix(".yaml"))
    assert set(settings.methods) == {*METHODS, *CONTROLS}
    assert set(settings.datasets) == {"puppets", "ui-prmd"}
    assert len(settings.seeds) == 5
    cells = set(table[["method", "dataset", "seed"]].itertuples(index=False, name=None))
    assert cells == set(settings.cells())
    assert len(table) == len(cells) * len(METRICS)
    assert not table.duplicated(["method", "dataset", "seed", "metric"]).any()
    assert not any("root" in changes for changes in settings.datasets.values()), "no folder of this machine"
