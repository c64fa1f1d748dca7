"""The commands do what their help says, and answer wrong input with one line and exit code 2."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from lacbook.cli import main
from lacbook.data.video import read_video, write_video
from lacbook.train import CONFIG, EVENTS, LOG, STATE, WEIGHTS
from lacbook.viz.frames import playback

TINY = ["--dim", "32", "--hidden", "32", "--layers", "1", "--embedding-dim", "16"]
TINY += ["--epochs", "1", "--batch-size", "16", "--accelerator", "cpu"]
POSES = ["--action", "squat", "--frame-encoder", "pose", "--view-length", "24", *TINY]
FRAMES = ["--action", "squat", "--size", "32", "--view-length", "8", *TINY]
RESULTS = ("alignment.json", "alignment.png", "aligned.mp4")


pytestmark = pytest.mark.usefixtures("one_thread")


def run(*args):
    main([str(arg) for arg in args])


@pytest.fixture(scope="module")
def poses(tmp_path_factory):
    """A run on poses."""
    out = tmp_path_factory.mktemp("runs") / "poses"
    run("train", *POSES, "--out", out)
    return out


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """A run on frames."""
    out = tmp_path_factory.mktemp("runs") / "frames"
    run("train", *FRAMES, "--out", out)
    return out


@pytest.fixture
def videos(tmp_path):
    """A square that crosses the picture, sooner and faster in b than in a."""
    paths = []
    for name, wait, speed, length in (("a.mp4", 12, 2, 40), ("b.mp4", 4, 3, 30)):
        values = np.full((length, 48, 64, 3), 40, np.uint8)
        for t in range(length):
            left = min(max(0, speed * (t - wait)), 48)
            values[t, 16:32, left : left + 16] = (220, 90, 30)
        write_video(tmp_path / name, values, fps=20 if name == "a.mp4" else 10)
        paths.append(tmp_path / name)
    return paths


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refused(capsys, tmp_path):
    """Run a command that must be refused; returns its one line on stderr."""

    def check(*args):
        before = snapshot(tmp_path)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run(*args)
        printed = capsys.readouterr()
        assert stop.value.code == 2
        assert printed.err.startswith("lacbook: ")
        assert len(printed.err.splitlines()) == 1
        assert snapshot(tmp_path) == before
        assert not (tmp_path / "out").exists()
        return printed.err

    return check


@pytest.mark.parametrize(
    "command",
    [["demo"], ["train"], ["evaluate"], ["embed"], ["align"], ["bench"], ["data", "render"]],
    ids=" ".join,
)
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*command, "--help")
    assert stop.value.code == 0
    name = " ".join(command)
    assert f"For example:\n  lacbook {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--data", "nope"], "data: 'nope' is unknown; choose from puppets, ui-prmd"),
        (["--loss", "nope"], "loss: 'nope' is unknown; choose from lac, scl"),
        (["--local", "nope"], "local: 'nope' is unknown; choose from structured, posterior"),
        (["--penalties", "nope"], "penalties: 'nope' is unknown; choose from scalar, matrix, content"),
        (["--epochs", "0"], "epochs: expected a number above 0, found 0"),
        (["--positions", "nope"], "positions: 'nope' is unknown; choose from rotary, sinusoidal, none"),
        (["--frame-encoder", "nope"], "frame_encoder: 'nope' is unknown; choose from auto, conv, pose"),
        (["--dim", "33"], "dim: 33 is not a multiple of twice the 4 heads"),
        (["--heads", "0"], "heads: expected 1 or more, found 0"),
        (["--margin", "nan"], "margin: expected a cosine from -1 to 1, found nan"),
        (["--accelerator", "tpu"], "accelerator or precision: cannot be used here"),
        (["--size", "200"], "size must be from 1 to 96 pixels, got 200"),
        (["--action", "dance"], "dance"),
        (["--root", "nowhere"], "nowhere"),
        (["--data", "ui-prmd"], "root: --data ui-prmd needs --root"),
        (["--data", "ui-prmd", "--root", "nowhere"], "nowhere"),
        (["--data", "ui-prmd", "--root", "nowhere", "--frame-encoder", "conv"], "frame_encoder"),
        (["--movement", "deep_squat"], "movement: 'deep_squat' belongs to --data ui-prmd"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_train_refuses(refused, tmp_path, args, message):
    assert message in refused("train", *args, "--out", tmp_path / "out")


def test_train_refuses_a_file_as_its_folder(refused, videos):
    assert "is a file" in refused("train", *POSES, "--out", videos[0])
    assert "its folder cannot be made" in refused("train", *POSES, "--out", videos[0] / "run")


@pytest.fixture
def copied(poses, tmp_path):
    """A copy of the run on poses, to spoil."""
    return shutil.copytree(poses, tmp_path / "run")


def test_train_refuses_an_existing_run_and_another_configuration(refused, copied):
    assert "give --resume" in refused("train", *POSES, "--out", copied)
    other = refused("train", *POSES, "--seed", "3", "--resume", "--out", copied)
    assert "another configuration: seed is 0 there, 3 here" in other
    other = refused(
        "train", *POSES, *("--local", "posterior", "--penalties", "content"), "--resume", "--out", copied
    )
    assert (
        "local is 'structured' there, 'posterior' here; penalties is 'scalar' there, 'content' here" in other
    )


def test_resuming_a_finished_run_ends_well_and_changes_nothing(copied, capsys):
    before = snapshot(copied)
    run("train", *POSES, "--resume", "--out", copied)
    assert capsys.readouterr().out == f"trained: {copied}\n"
    assert snapshot(copied) == before
    events = {path.name for path in before if path.match(EVENTS)}
    assert {path.name for path in before} == {CONFIG, LOG, STATE, WEIGHTS, *events}
    assert len(events) == 1


@pytest.mark.parametrize("command", ["evaluate", "embed", "align"])
class TestCheckpoints:
    """Every command that reads a run refuses a missing or wrong one."""

    @pytest.fixture
    def args(self, command, tmp_path, videos):
        return {
            "evaluate": [],
            "embed": ["--out", tmp_path / "out"],
            "align": [*videos, "--out", tmp_path / "out"],
        }[command]

    def test_missing(self, refused, command, args, tmp_path):
        assert "config.yaml is missing" in refused(command, *args, "--checkpoint", tmp_path / "none")

    def test_cut(self, refused, command, args, copied):
        (copied / WEIGHTS).write_bytes(b"cut")
        assert "is not a whole safetensors file" in refused(command, *args, "--checkpoint", copied)

    def test_another_configuration(self, refused, command, args, copied):
        text = (copied / CONFIG).read_text()
        for old, new in (("  dim: 32", "  dim: 64"), ("frame_encoder: pose", "frame_encoder: conv")):
            assert old in text
            (copied / CONFIG).write_text(text.replace(old, new))
            assert "weights of another configuration" in refused(command, *args, "--checkpoint", copied)


def test_evaluate_and_embed_refuse_data_that_are_not_there(refused, copied, tmp_path):
    for command in (["evaluate"], ["embed", "--out", tmp_path / "out"]):
        assert "nowhere" in refused(*command, "--checkpoint", copied, "--root", tmp_path / "nowhere")


def test_embed_refuses_a_folder_as_its_file(refused, copied):
    assert "is a folder" in refused("embed", "--checkpoint", copied, "--out", copied)


@pytest.mark.slow
def test_evaluate_prints_and_saves_the_table(copied, capsys):
    import pandas as pd

    run("evaluate", "--checkpoint", copied)
    printed = capsys.readouterr().out
    table = pd.read_csv(copied / "evaluation.csv")
    for name in {*table["method"], *table["metric"]}:
        assert name in printed
    assert {"lac", "majority", "raw", "time_only", "untrained"} == set(table["method"])


def test_evaluate_refuses_what_cannot_be_joined(refused, copied, frames, tmp_path):
    assert "expected one run folder or more" in refused("evaluate", "--checkpoint")
    assert "is a folder" in refused("evaluate", "--checkpoint", copied, "--out", tmp_path)
    other = shutil.copytree(frames, tmp_path / "other")
    assert "in more than its seed" in refused("evaluate", "--checkpoint", copied, other)
    assert "the same seed" in refused("evaluate", "--checkpoint", copied, copied)


def test_a_refusal_is_one_line_whatever_a_library_says(refused, copied):
    (copied / CONFIG).write_text("epochs: [")
    assert "is not a lacbook configuration" in refused("embed", "--checkpoint", copied, "--out", "z.npz")


def test_a_reader_that_stops_early_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", "from lacbook.cli import main; main(['--help'])"]
    found = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (found.returncode, found.stderr) == (141, "")


def test_bench_refuses_what_it_does_not_know(refused):
    assert "--sizes: 'big' is not a size" in refused("bench", "--sizes", "big")
    assert "nowhere.json cannot be read" in refused("bench", "--from", "nowhere.json")


def test_render_refuses_a_bad_seed_or_place(refused, videos, tmp_path):
    assert "seed: expected 0" in refused("data", "render", "--seed", "-1", "--out", tmp_path / "out")
    assert "cannot be made" in refused("data", "render", "--out", videos[0] / "puppets")


@pytest.mark.slow
def test_evaluate_joins_runs_of_several_seeds(poses, tmp_path, capsys):
    import pandas as pd

    run("train", *POSES, "--seed", "1", "--out", tmp_path / "one")
    shutil.copytree(poses, tmp_path / "zero")
    capsys.readouterr()
    run("evaluate", "--checkpoint", tmp_path / "zero", tmp_path / "one", "--out", tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    assert set(table["seed"]) == {0, 1}
    each = [pd.read_csv(tmp_path / name / "evaluation.csv") for name in ("zero", "one")]
    pd.testing.assert_frame_equal(table, pd.concat(each, ignore_index=True))
    lac = table[(table["method"] == "lac") & (table["metric"] == "acc@100")]["value"]
    assert f"{lac.mean():.3f} ± {lac.std():.3f}" in capsys.readouterr().out


def test_embed_writes_every_clip(copied, capsys):
    run("embed", "--checkpoint", copied, "--out", copied / "z.npz")
    with np.load(copied / "z.npz") as file:
        assert set(file["action"]) == {"squat"}
        assert file["embeddings"].shape == (file["lengths"].sum(), 16)
        assert f"({len(file['lengths'])} clips)" in capsys.readouterr().out


def test_align_writes_an_ordered_path_a_figure_and_a_video(frames, videos, tmp_path, capsys):
    out = tmp_path / "aligned"
    run("align", *videos, "--checkpoint", frames, "--margin", "0.2", "--out", out)
    assert sorted(path.name for path in out.iterdir()) == sorted(RESULTS)
    report = json.loads((out / "alignment.json").read_text())
    assert report["videos"] == ["a.mp4", "b.mp4"]
    path = np.array(report["path"])
    assert len(path) > 5
    assert (np.diff(path, axis=0) > 0).all()
    assert path.min() >= 0
    assert path[-1, 0] < 40
    assert path[-1, 1] < 30
    assert report["segments"]
    for segment in report["segments"]:
        assert np.allclose(np.array(segment["frames"]) / [[20], [10]], segment["seconds"])
    best = report["segments"][0]
    assert best["frames"][0][0] <= path[0, 0] < path[-1, 0] < best["frames"][0][1]
    assert report["score"] == pytest.approx(best["score"], rel=1e-4)
    assert (out / "alignment.png").read_bytes().startswith(b"\x89PNG")
    shown, fps = read_video(out / "aligned.mp4")
    assert (len(shown), fps) == (len(playback(path, 40, 30)), 20)
    printed = capsys.readouterr().out
    assert f"{len(path)} matched frames" in printed
    assert f"a.mp4 {best['seconds'][0][0]:.2f}-" in printed


def test_align_says_when_nothing_is_alike(frames, videos, tmp_path, capsys):
    run("align", *videos, "--checkpoint", frames, "--margin", "1.5", "--out", tmp_path / "aligned")
    assert "nothing alike" in capsys.readouterr().out
    assert json.loads((tmp_path / "aligned" / "alignment.json").read_text())["path"] == []
    assert len(read_video(tmp_path / "aligned" / "aligned.mp4")[0]) == 40


def test_align_refuses_a_file_as_its_folder(refused, frames, videos):
    assert "is a file" in refused("align", *videos, "--checkpoint", frames, "--out", videos[0])


def test_align_refuses_a_run_on_poses(refused, poses, videos, tmp_path):
    message = refused("align", *videos, "--checkpoint", poses, "--out", tmp_path / "out")
    assert "this run reads poses" in message


@pytest.mark.parametrize("kind", ["missing", "broken", "empty folder", "one frame"])
@pytest.mark.parametrize("place", [0, 1])
def test_align_refuses_a_bad_video_and_names_it(refused, frames, videos, tmp_path, kind, place):
    bad = tmp_path / "bad.mp4"
    if kind == "broken":
        bad.write_bytes(videos[0].read_bytes()[:600])
    elif kind == "empty folder":
        bad.mkdir()
    elif kind == "one frame":
        write_video(bad, np.zeros((1, 48, 64, 3), np.uint8))
    videos[place] = bad
    assert "bad.mp4" in refused("align", *videos, "--checkpoint", frames, "--out", tmp_path / "out")
