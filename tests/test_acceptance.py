"""On real motion capture LAC tells phases and events of subjects it has never seen; counting cannot."""

from __future__ import annotations

import numpy as np
import pytest

from lacbook.evaluate import evaluate, wide
from lacbook.train import TrainConfig, fit, load_run

SEEDS = (0, 1, 2)


@pytest.mark.slow
@pytest.mark.shared_data
def test_lac_learns_the_deep_squat_from_poses(tmp_path, ui_prmd):
    tables = []
    for seed in SEEDS:
        config = TrainConfig(data="ui-prmd", root=str(ui_prmd), movement="deep_squat", seed=seed)
        clips = config.load_clips()
        config, learner = load_run(fit(config, tmp_path / str(seed), clips=clips))
        tables.append(wide(evaluate(config, learner.encoder, clips)))
    lac, time_only = (
        {name: np.mean([table.loc[method, name] for table in tables]) for name in tables[0].columns}
        for method in ("lac", "time_only")
    )
    assert lac["acc@10"] >= 0.93
    assert lac["AP@5"] >= 0.93
    assert lac["event_error"] <= time_only["event_error"] / 2
