"""The demo leaves what it says, measured by the same protocol as every run, and replaces it the next time."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lacbook.cli import main
from lacbook.data.video import video_info
from lacbook.evaluate import in_order
from lacbook.train import EVENTS, TrainConfig

TINY = ["--action", "squat", "--size", "32", "--view-length", "8", "--epochs", "1", "--batch-size", "16"]
TINY += ["--dim", "32", "--hidden", "32", "--layers", "1", "--embedding-dim", "16", "--accelerator", "cpu"]
LEFT = {
    *("config.yaml", "metrics.csv", "state.pt", "model.safetensors"),
    *("evaluation.csv", "embeddings.npz", "alignment.json", "alignment.png", "aligned.mp4"),
    *("figures/learning_curves.png", "figures/metrics.png"),
}


pytestmark = pytest.mark.usefixtures("one_thread")


def files(folder):
    """Names of all files but the one event file."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.match(EVENTS) for path in found) == 1
    return {str(path.relative_to(folder)) for path in found if not path.match(EVENTS)}


@pytest.mark.slow
def test_the_demo_leaves_its_files_and_replaces_them(tmp_path, capsys):
    out = tmp_path / "demo"
    main(["demo", *TINY, "--out", str(out)])
    printed = capsys.readouterr().out
    assert files(out) == LEFT
    table = pd.read_csv(out / "evaluation.csv")
    assert f"{table['value'][0]:.3f}" in printed
    assert video_info(out / "aligned.mp4").frames > 0
    names = json.loads((out / "alignment.json").read_text())["videos"]
    assert names[0][:9] != names[1][:9]  # squat_s21 and squat_s22: two people

    # The file holds the order that the table was measured in.
    with np.load(out / "embeddings.npz") as saved:
        ordered = in_order(TrainConfig(action="squat", size=32).load_clips(), seed=0)
        assert saved["video_id"].tolist() == [clip.video_id for clip in ordered]
    main(["evaluate", "--checkpoint", str(out)])
    again = pd.read_csv(out / "evaluation.csv")
    pd.testing.assert_frame_equal(again.drop(columns="seed"), table)

    main(["demo", *TINY, "--seed", "1", "--out", str(out)])
    assert files(out) == LEFT
    assert not pd.read_csv(out / "evaluation.csv").equals(table)


@pytest.mark.parametrize("wrong", [["--frame-encoder", "pose"], ["--data", "ui-prmd", "--root", "nowhere"]])
def test_the_demo_refuses_poses_before_it_trains(tmp_path, capsys, wrong):
    with pytest.raises(SystemExit) as stop:
        main(["demo", *TINY[2:], *wrong, "--out", str(tmp_path / "demo")])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "lacbook: demo: shows videos; for poses use lacbook train and lacbook evaluate\n"
    )
    assert not (tmp_path / "demo").exists()


def test_the_demo_spares_a_folder_of_something_else(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit) as stop:
        main(["demo", *TINY, "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert "holds files and no run" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
