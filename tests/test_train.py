"""A run learns, is logged, resumes exactly, and refuses what it cannot use."""

from __future__ import annotations

import csv
import dataclasses
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lacbook import train
from lacbook.data.sampling import TwoViews
from lacbook.errors import InputError
from lacbook.models.encoder import EncoderConfig
from lacbook.train import CONFIG, EVENTS, LOG, PREVIOUS, STATE, WEIGHTS, TrainConfig, fit, load_run

SMALL = EncoderConfig(dim=16, layers=1, heads=2, hidden=16, embedding_dim=8)
# ui-prmd: poses of three coordinates; the clips are passed, so no root is read.
CONFIGURATION = TrainConfig(
    data="ui-prmd", epochs=4, batch_size=3, view_length=12, lr=1e-3, encoder=SMALL, accelerator="cpu"
)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run(tmp_path, toy_clips):
    """A finished run."""
    return fit(CONFIGURATION, tmp_path / "run", clips=toy_clips)


def log(run):
    with (run / LOG).open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def contents(run):
    return {path.name: path.read_bytes() for path in run.iterdir()}


def same_weights(a, b):
    first, second = load_file(a / WEIGHTS), load_file(b / WEIGHTS)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def interrupt_after(monkeypatch, epochs):
    """Make the run stop like Ctrl-C once it has saved so many epochs."""
    save = train.save_epoch

    def save_and_stop(out, learner, optimizer, schedule, rows):
        save(out, learner, optimizer, schedule, rows)
        if len(rows) == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(train, "save_epoch", save_and_stop)


def test_training_lowers_the_loss(tmp_path, toy_clips):
    longer = dataclasses.replace(CONFIGURATION, epochs=40, lr=3e-3)
    losses = [row["loss"] for row in log(fit(longer, tmp_path / "run", clips=toy_clips))]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@pytest.mark.parametrize(
    "setting", [{"local": "posterior"}, {"penalties": "matrix"}, {"penalties": "content"}], ids=str
)
def test_every_form_of_the_loss_trains_its_penalties(tmp_path, toy_clips, run, setting):
    config = dataclasses.replace(CONFIGURATION, **setting)
    out = fit(config, tmp_path / "form", clips=toy_clips)
    rows = log(out)
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    assert rows[0]["local"] != log(run)[0]["local"] or "penalties" in setting
    assert rows[-1]["gap_open"] != pytest.approx(config.gap_open, abs=1e-5)
    assert load_run(out)[0] == config
    learned, started = load_run(out)[1].loss.penalties, train.Learner(config, 6).loss.penalties
    view = torch.eye(8)
    if config.penalties == "matrix":
        assert learned.shift.shape == (2, config.view_length, config.view_length)
    assert not torch.equal(learned(view, view)[0], started(view, view)[0])


def test_a_run_folder_holds_its_files_and_a_row_an_epoch(run):
    (events,) = run.glob(EVENTS)
    assert set(contents(run)) == {CONFIG, LOG, STATE, PREVIOUS, WEIGHTS, events.name}
    assert [torch.load(run / name)["epoch"] for name in (PREVIOUS, STATE)] == [3, 4]
    rows = log(run)
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert {"loss", "lr", "seconds"} <= set(rows[0])
    assert rows[-1]["lr"] < 1e-6 < rows[0]["lr"]  # the cosine ends at 0


def test_whoever_may_read_one_file_of_a_run_may_read_them_all(run):
    assert len({path.stat().st_mode for path in run.iterdir()}) == 1


def test_the_reloaded_learner_is_the_trained_one(run):
    config, learner = load_run(run)
    assert config == CONFIGURATION
    assert not learner.training
    saved = load_file(run / WEIGHTS)
    assert all(torch.equal(saved[name], value) for name, value in learner.state_dict().items())
    untrained = train.Learner(config, 6).state_dict()
    assert not torch.equal(untrained["encoder.embed.weight"], saved["encoder.embed.weight"])


@pytest.mark.parametrize(
    "setting", [{}, {"loss": "scl"}, {"penalties": "matrix"}, {"penalties": "content", "local": "posterior"}]
)
@pytest.mark.parametrize("epochs", [1, 3])
def test_a_resumed_run_ends_as_if_it_had_not_stopped(tmp_path, toy_clips, monkeypatch, epochs, setting):
    config = dataclasses.replace(CONFIGURATION, **setting)
    whole = fit(config, tmp_path / "whole", clips=toy_clips)
    stopped = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        interrupt_after(patch, epochs)
        with pytest.raises(KeyboardInterrupt):
            fit(config, stopped, clips=toy_clips)
    assert len(log(stopped)) == epochs
    assert not same_weights(whole, stopped)
    fit(config, stopped, resume=True, clips=toy_clips)
    assert same_weights(whole, stopped)
    for first, second in zip(log(whole), log(stopped), strict=True):
        assert first | {"seconds": 0} == second | {"seconds": 0}


def test_resuming_where_there_is_no_run_starts_one(tmp_path, toy_clips, run):
    assert same_weights(run, fit(CONFIGURATION, tmp_path / "new", resume=True, clips=toy_clips))


def test_a_run_stopped_in_its_first_epoch_starts_again(tmp_path, toy_clips, run):
    CONFIGURATION.save(tmp_path / "new" / CONFIG)
    assert same_weights(run, fit(CONFIGURATION, tmp_path / "new", resume=True, clips=toy_clips))


def test_resuming_a_finished_run_changes_nothing(run, toy_clips):
    before = contents(run)
    fit(CONFIGURATION, run, resume=True, clips=toy_clips)
    assert contents(run) == before


def test_an_existing_run_is_refused_and_kept(run, toy_clips):
    before = contents(run)
    with pytest.raises(InputError, match=r"out: .*already holds a run; give --resume"):
        fit(CONFIGURATION, run, clips=toy_clips)
    assert contents(run) == before


def test_resuming_under_other_settings_names_them(run, toy_clips):
    before = contents(run)
    with pytest.raises(InputError, match=r"another configuration: lr is 0\.001 there, 0\.1 here$"):
        fit(dataclasses.replace(CONFIGURATION, lr=0.1), run, resume=True, clips=toy_clips)
    assert contents(run) == before


@pytest.mark.parametrize(("name", "value"), [("local", "posterior"), ("penalties", "matrix")])
def test_resuming_with_another_form_of_the_loss_is_refused(run, toy_clips, name, value):
    with pytest.raises(InputError, match=f"{name} is '.*' there, '{value}' here$"):
        fit(dataclasses.replace(CONFIGURATION, **{name: value}), run, resume=True, clips=toy_clips)


def test_overwriting_replaces_the_run(run, toy_clips):
    short = dataclasses.replace(CONFIGURATION, epochs=1, seed=5)
    fit(short, run, overwrite=True, clips=toy_clips)
    assert load_run(run)[0] == short
    assert len(log(run)) == 1
    assert not (run / PREVIOUS).exists()


def test_unusable_data_or_device_keep_the_run_that_was_to_be_overwritten(run, toy_clips):
    before = contents(run)
    test_only = [clip for clip in toy_clips if clip.split == "test"]
    with pytest.raises(InputError, match="no training clips"):
        fit(CONFIGURATION, run, overwrite=True, clips=test_only)
    with pytest.raises(InputError, match="accelerator or precision"):
        fit(dataclasses.replace(CONFIGURATION, precision="3-bit"), run, overwrite=True, clips=toy_clips)
    assert contents(run) == before


def test_a_file_in_place_of_the_run_folder_is_refused(tmp_path, toy_clips):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(InputError, match=r"out: .* is a file"):
        fit(CONFIGURATION, tmp_path / "run", clips=toy_clips)
    assert (tmp_path / "run").read_text() == "mine"


def test_a_training_clip_of_one_frame_is_named_before_anything_is_written(tmp_path, toy_clips):
    clip = toy_clips[0]
    short = dataclasses.replace(clip, values=clip.values[:1], phase=clip.phase[:1], time=clip.time[:1])
    with pytest.raises(InputError, match=rf"{clip.video_id}: 1 frame"):
        fit(CONFIGURATION, tmp_path / "run", clips=[short, *toy_clips])
    assert not (tmp_path / "run").exists()


def test_a_seed_repeats_and_another_one_differs(tmp_path, toy_clips, run):
    assert same_weights(run, fit(CONFIGURATION, tmp_path / "again", clips=toy_clips))
    other = dataclasses.replace(CONFIGURATION, seed=1)
    assert not same_weights(run, fit(other, tmp_path / "other", clips=toy_clips))


def test_views_depend_on_seed_epoch_and_clip(toy_clips):
    def steps(seed, epoch, index=0):
        views = TwoViews([toy_clips[0]] * 2, 12, seed)
        views.epoch = epoch
        return views[index][0][1].tolist()

    assert steps(0, 0) == steps(0, 0)
    assert len({tuple(s) for s in (steps(0, 0), steps(1, 0), steps(0, 1), steps(0, 0, index=1))}) == 4


def test_views_are_of_mixed_length_but_equal_within_a_pair(toy_clips):
    pairs = TwoViews([toy_clips[0]] * 200, 12, 0)
    lengths = [tuple(len(steps) for _, steps in pairs[k]) for k in range(200)]
    assert all(first == second for first, second in lengths)
    assert {first for first, _ in lengths} == set(range(6, 13))


@pytest.mark.parametrize("loss", ["lac", "scl"])
def test_data_that_are_not_finite_stop_the_run(tmp_path, toy_clips, loss):
    bad = dataclasses.replace(toy_clips[0], values=np.full_like(toy_clips[0].values, np.nan))
    with pytest.raises(InputError, match="the embeddings are no longer finite"):
        fit(dataclasses.replace(CONFIGURATION, loss=loss), tmp_path / "run", clips=[bad, *toy_clips[1:]])
    assert not (tmp_path / "run" / WEIGHTS).exists()


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_epochs_before(
    tmp_path, toy_clips, monkeypatch
):
    save = train.save_epoch

    def save_and_spoil(out, learner, *args):
        save(out, learner, *args)
        learner.loss.forward = lambda *_: {"loss": torch.tensor(float("inf"))}

    monkeypatch.setattr(train, "save_epoch", save_and_spoil)
    with pytest.raises(InputError, match="the loss of epoch 1 is inf; a lower lr may help"):
        fit(CONFIGURATION, tmp_path / "run", clips=toy_clips)
    assert len(log(tmp_path / "run")) == 1
    load_run(tmp_path / "run")


@pytest.mark.parametrize("name", [CONFIG, LOG, STATE, PREVIOUS, WEIGHTS])
def test_any_file_of_a_run_protects_its_folder(tmp_path, toy_clips, run, name):
    left = tmp_path / "left" / name
    left.parent.mkdir()
    shutil.copy(run / name, left)
    with pytest.raises(InputError, match="already holds a run"):
        fit(CONFIGURATION, left.parent, clips=toy_clips)
    if name in (STATE, PREVIOUS):
        with pytest.raises(InputError, match=f"{CONFIG} is missing"):
            fit(CONFIGURATION, left.parent, resume=True, clips=toy_clips)
    assert left.read_bytes() == (run / name).read_bytes()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"data": "nope"}, "data: 'nope' is unknown; choose from puppets, ui-prmd"),
        ({"loss": "nope"}, "loss: 'nope' is unknown; choose from lac, scl"),
        ({"local": "nope"}, "local: 'nope' is unknown; choose from structured, posterior"),
        ({"penalties": "nope"}, "penalties: 'nope' is unknown; choose from scalar, matrix, content"),
        ({"epochs": 0}, "epochs: expected a number above 0, found 0"),
        ({"lr": float("nan")}, "lr: expected a number above 0, found nan"),
        ({"view_length": 1}, "view_length: expected at least 2 frames, found 1"),
        ({"seed": -1}, "seed: expected 0 or above, found -1"),
        ({"seed": 10**20}, "seed: expected 0 or above, found 1"),
        ({"temperature": float("inf")}, "temperature: expected a number above 0, found inf"),
        ({"margin": float("nan")}, "margin: expected a cosine from -1 to 1, found nan"),
        ({"weight_decay": -1.0}, "weight_decay: expected 0 or above, found -1.0"),
        ({"idle": -1}, "idle: expected 0 or above, found -1"),
    ],
)
def test_a_setting_out_of_range_is_named(setting, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**setting)


def test_a_configuration_survives_the_file(tmp_path):
    config = dataclasses.replace(CONFIGURATION, root="somewhere", lr=3e-4)
    config.save(tmp_path / CONFIG)
    assert TrainConfig.load(tmp_path / CONFIG) == config


def test_a_configuration_from_before_the_choice_of_loss_forms_is_still_read(tmp_path):
    config = dataclasses.replace(CONFIGURATION, lr=3e-4)
    config.save(tmp_path / CONFIG)
    lines = (tmp_path / CONFIG).read_text().splitlines()
    older = [line for line in lines if not line.startswith(("local:", "penalties:"))]
    assert len(older) == len(lines) - 2
    (tmp_path / CONFIG).write_text("\n".join(older))
    assert TrainConfig.load(tmp_path / CONFIG) == config


@pytest.mark.parametrize(
    "text",
    [
        "",
        "epochs: [",
        "- 1",
        "epochs: 3",
        "encoder: {}\nspeed: 3",
        "encoder: {size: 3}",
        "encoder: {}\nlr: x",
    ],
)
def test_a_broken_configuration_is_refused(tmp_path, text):
    (tmp_path / CONFIG).write_text(text)
    with pytest.raises(InputError, match="is not a lacbook configuration"):
        TrainConfig.load(tmp_path / CONFIG)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_run_without_one_of_its_files_is_refused(run, name):
    (run / name).unlink()
    with pytest.raises(InputError, match=rf"checkpoint: .*{name} is missing"):
        load_run(run)


def test_cut_weights_are_refused(run):
    whole = (run / WEIGHTS).read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        (run / WEIGHTS).write_bytes(content)
        with pytest.raises(InputError, match="is not a whole safetensors file"):
            load_run(run)


@pytest.mark.parametrize(
    "other",
    [
        {"encoder": dataclasses.replace(SMALL, dim=32)},
        {"encoder": dataclasses.replace(SMALL, layers=2)},
        {"encoder": dataclasses.replace(SMALL, frame_encoder="conv"), "data": "puppets"},
        {"loss": "scl"},
        {"penalties": "matrix"},
        {"penalties": "content"},
    ],
)
def test_weights_of_another_configuration_are_refused(run, other):
    dataclasses.replace(CONFIGURATION, **other).save(run / CONFIG)
    with pytest.raises(InputError, match="holds weights of another configuration"):
        load_run(run)


def test_weights_of_something_else_are_refused(run):
    save_file({"encoder.frames.layers.0.weight": torch.zeros(3)}, run / WEIGHTS)
    with pytest.raises(InputError, match="holds weights of another configuration"):
        load_run(run)
