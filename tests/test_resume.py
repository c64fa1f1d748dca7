"""A run that was killed, wherever and however often, ends as if it had not been."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from test_train import CONFIGURATION, contents, log
from test_train_hooks import assert_same_log, interrupt_after
from torch import nn

from lacbook.errors import InputError
from lacbook.losses.scl import SCLLoss
from lacbook.train import CONFIG, EVENTS, LOG, PREVIOUS, STATE, WEIGHTS, TrainConfig, fit

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = dataclasses.replace(CONFIGURATION, loss="scl", epochs=3)

# Each process is a fork of one that has already imported what takes seconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        *("lacbook.train", "lacbook.alignment.numba_kernels", "lightning_fabric", "pandas", "pytest"),
        *("torch._dynamo", "torch.utils.tensorboard"),
    ]
)


def draw():
    """A number from each global generator."""
    return random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002 - the old one is meant


class Drawing(nn.Module):
    """A loss that draws from every global generator."""

    def __init__(self):
        super().__init__()
        self.scl = SCLLoss()

    def forward(self, *views):
        drawn = torch.tensor(sum(draw()))
        return {"loss": self.scl(*views)["loss"] * (1 + drawn), "drawn": drawn}


def train(out, config, clips, die_before=None, **options):
    """What a process does: train quietly; `die_before` counts the steps at which files change their state."""
    torch.set_num_threads(1)
    if die_before is not None:
        steps = iter(range(die_before))
        for name in ("fsync", "replace", "unlink"):
            setattr(os, name, dying(getattr(os, name), steps))
    loss = Drawing() if config.loss == "own" else None
    fit(config, out, clips=clips, loss=loss, on_epoch=lambda rows: None, **options)


def dying(function, steps):
    def step(file, *args):
        if (isinstance(file, int) or os.path.lexists(file)) and next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(file, *args)

    return step


def start(*args, **options):
    process = PROCESSES.Process(target=train, args=args, kwargs=options)
    process.start()
    return process


def epochs_in(out):
    """Epochs in the log of a run that may not have one yet."""
    return len(log(out)) if (out / LOG).exists() else 0


def kill_once_logged(process, out, epochs, delay):
    """Kill a training process `delay` seconds after the log has so many epochs, or, at 0, there is a run."""
    patience = time.monotonic() + 60
    while epochs_in(out) < epochs or not (out / CONFIG).exists():
        assert process.is_alive(), f"the process ended by itself before epoch {epochs}"
        assert time.monotonic() < patience
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL  # it was running


def names(run):
    return {EVENTS if path.match(EVENTS) else path.name for path in run.iterdir()}


def same(x, y):
    """Equality, bit for bit, of what a state holds."""
    if isinstance(x, dict):
        return x.keys() == y.keys() and all(same(x[key], y[key]) for key in x)
    if isinstance(x, (list, tuple)):
        return len(x) == len(y) and all(map(same, x, y))
    return torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y


def assert_same_run(run, whole):
    """All that two finished runs leave is the same, but for the seconds that epochs took."""
    assert names(run) == names(whole) == {CONFIG, LOG, STATE, PREVIOUS, WEIGHTS, EVENTS}
    assert (run / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    assert [row | {"seconds": 0} for row in log(run)] == [row | {"seconds": 0} for row in log(whole)]
    for name in (STATE, PREVIOUS):
        first, second = (torch.load(folder / name) for folder in (run, whole))
        for row in (*first["rows"], *second["rows"]):
            del row["seconds"]
        assert same(first, second)
    assert_same_log(run)


def cut(path):
    path.write_bytes(path.read_bytes()[:500])


def damage(path):
    """One wrong bit among the numbers, of which torch.load() says nothing."""
    content = bytearray(path.read_bytes())
    weights = torch.load(path)["learner"]["encoder.embed.weight"]
    content[content.index(weights.numpy().tobytes())] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path)["learner"]["encoder.embed.weight"], weights)


def empty(path):
    path.write_bytes(b"")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, toy_clips):
    """A run that nobody stopped."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(out, QUICK, toy_clips)
    return out


def kill_again_and_again(tmp_path, config, clips, kills, seed):
    """Kill a training at random moments from its first epoch to its last ones, and let it end."""
    rng = random.Random(seed)
    whole, run = tmp_path / "whole", tmp_path / "run"
    start(whole, config, clips).join()
    epoch = np.mean([row["seconds"] for row in log(whole)])
    for kill in range(kills):
        # At least an epoch more than the last process saved, so that it is this one that trains.
        target = max(kill * (config.epochs - 8) // kills, epochs_in(run) + 1 if kill else 0)
        kill_once_logged(start(run, config, clips, resume=True), run, target, rng.uniform(0, 2 * epoch))
        assert epochs_in(run) < config.epochs
    last = start(run, config, clips, resume=True)
    last.join()
    assert last.exitcode == 0
    assert_same_run(run, whole)


@pytest.mark.parametrize("setting", [{}, {"loss": "own"}], ids=str)
def test_a_run_killed_at_random_moments_ends_the_same(tmp_path, toy_clips, setting):
    config = dataclasses.replace(CONFIGURATION, epochs=24, **setting)
    kill_again_and_again(tmp_path, config, toy_clips, kills=3, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", [{}, {"penalties": "matrix"}, {"penalties": "content", "local": "posterior"}], ids=str
)
def test_a_run_killed_a_dozen_times_ends_the_same(tmp_path, toy_clips, setting):
    config = dataclasses.replace(CONFIGURATION, epochs=60, **setting)
    kill_again_and_again(tmp_path, config, toy_clips, kills=12, seed=1)


def test_every_step_of_a_run_survives_a_kill(tmp_path, toy_clips):
    """Kill before the first change of a file, before the second, and so on to the end of two epochs."""
    config, whole = dataclasses.replace(QUICK, epochs=2), tmp_path / "whole"
    train(whole, config, toy_clips)
    older = []
    for step in range(100):
        run = tmp_path / str(step)
        process = start(run, config, toy_clips, die_before=step)
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        with warnings.catch_warnings(record=True) as caught:
            # Without a configuration it is no run, and the folder is as good as new.
            warnings.simplefilter("always")
            train(run, config, toy_clips, resume=(run / CONFIG).exists())
        older += [step for warning in caught if "an epoch earlier" in str(warning.message)]
        assert_same_run(run, whole)
    # Of each file: sync, rename, sync the folder. The state renames the one before, too, and in between there
    # is only that one.
    assert step == 3 + 2 * 3 * 3 + 1
    assert older == [step - 2]


@pytest.mark.slow
def test_every_step_of_going_on_from_the_older_state_survives_a_kill(tmp_path, toy_clips, whole):
    for step in range(18):
        run = shutil.copytree(whole, tmp_path / str(step))
        cut(run / STATE)
        process = start(run, QUICK, toy_clips, die_before=step, resume=True)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            train(run, QUICK, toy_clips, resume=True)
        assert_same_run(run, whole)
    assert step == 1 + 2 * 3 + 1 + 3 * 3 + 1 - 1


@pytest.mark.slow
def test_every_step_of_overwriting_survives_a_kill(tmp_path, toy_clips, whole):
    """The folder holds the old run, to be started again if need be, until the new configuration is there."""
    other = dataclasses.replace(QUICK, seed=5)
    old = tmp_path / "old"
    train(old, other, toy_clips)
    for step in range(4 + 3 + 1 + 3):
        run = shutil.copytree(old, tmp_path / str(step))
        process = start(run, QUICK, toy_clips, die_before=step, overwrite=True)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        kept = TrainConfig.load(run / CONFIG)
        assert kept == (other if step < 4 + 2 else QUICK)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one of the two states may be left
            train(run, kept, toy_clips, resume=True)
        assert_same_run(run, old if kept == other else whole)


@pytest.mark.slow
def test_the_command_is_killed_and_resumed(tmp_path):
    command = [sys.executable, "-m", "lacbook", "train", "--action", "squat", "--frame-encoder", "pose"]
    command += ["--view-length", "12", "--dim", "16", "--hidden", "16", "--layers", "1", "--heads", "2"]
    command += ["--embedding-dim", "8", "--epochs", "12", "--batch-size", "16", "--accelerator", "cpu"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    subprocess.run([*command, "--out", whole], check=True, capture_output=True)
    with subprocess.Popen([*command, "--out", run], stderr=subprocess.DEVNULL) as process:
        while epochs_in(run) < 4:
            assert process.poll() is None
            time.sleep(0.001)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert epochs_in(run) < 12
    subprocess.run([*command, "--out", run, "--resume"], check=True, capture_output=True)
    assert_same_run(run, whole)


@pytest.mark.parametrize("broken", [cut, damage, empty, os.unlink])
def test_a_broken_state_costs_one_epoch_and_is_told(tmp_path, toy_clips, whole, broken):
    run = shutil.copytree(whole, tmp_path / "run")
    broken(run / STATE)
    with pytest.warns(UserWarning, match=r"going on from state\.previous\.pt, an epoch earlier"):
        train(run, QUICK, toy_clips, resume=True)
    assert_same_run(run, whole)


@pytest.mark.parametrize("older", [None, empty, os.unlink])
def test_the_older_state_is_not_asked_while_the_newer_is_whole(tmp_path, toy_clips, whole, older):
    run = shutil.copytree(whole, tmp_path / "run")
    if older is not None:
        older(run / PREVIOUS)
    before = contents(run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(run, QUICK, toy_clips, resume=True)
    assert contents(run) == before


@pytest.mark.parametrize("older", [cut, damage, empty, os.unlink])
@pytest.mark.parametrize("newer", [cut, damage, empty])
def test_broken_states_alone_are_refused_and_kept(tmp_path, toy_clips, whole, newer, older):
    run = shutil.copytree(whole, tmp_path / "run")
    newer(run / STATE)
    older(run / PREVIOUS)
    before = contents(run)
    with pytest.raises(InputError, match=r"state\.pt cannot be resumed from \(.*; remove .* to start afresh"):
        train(run, QUICK, toy_clips, resume=True)
    assert contents(run) == before


def test_resuming_puts_the_folder_back_to_the_state(tmp_path, toy_clips):
    """Weights and log of an epoch whose state was never written do not stay, and half files neither."""

    class Stopping(Drawing):
        def forward(self, *views):
            raise KeyboardInterrupt

    config = dataclasses.replace(QUICK, loss="own")
    train(tmp_path / "whole", config, toy_clips)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(config, run, clips=toy_clips, loss=Drawing(), on_epoch=interrupt_after(2))
    before = contents(run)
    for name in (WEIGHTS, LOG):
        shutil.copy(tmp_path / "whole" / name, run / name)
    for name in (CONFIG, WEIGHTS, LOG, STATE):
        (run / f".123456.{name}").write_text("half")
    (run / ".123456.mine").write_text("of something else")
    with pytest.raises(KeyboardInterrupt):
        fit(config, run, clips=toy_clips, loss=Stopping(), resume=True, on_epoch=print)
    (run / ".123456.mine").unlink()
    assert names(run) == {CONFIG, LOG, STATE, PREVIOUS, WEIGHTS, EVENTS}
    assert {name: contents(run)[name] for name in (WEIGHTS, LOG)} == {
        name: before[name] for name in (WEIGHTS, LOG)
    }
    assert_same_log(run)
    train(run, config, toy_clips, resume=True)
    assert_same_run(run, tmp_path / "whole")


def draw_and_stop(rows):
    draw()
    interrupt_after(2)(rows)


@pytest.mark.parametrize("callback", [interrupt_after(2), draw_and_stop])
def test_a_loss_may_draw_from_every_global_generator(tmp_path, toy_clips, callback):
    config = dataclasses.replace(QUICK, loss="own")
    train(tmp_path / "whole", config, toy_clips)
    draw()
    with pytest.raises(KeyboardInterrupt):
        fit(config, tmp_path / "run", clips=toy_clips, loss=Drawing(), on_epoch=callback)
    draw()
    train(tmp_path / "run", config, toy_clips, resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    drawn = [row["drawn"] for row in log(tmp_path / "whole")]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("which", range(3))
def test_each_generator_follows_from_seed_and_epoch(tmp_path, toy_clips, which):
    """As told by what a callback draws after an epoch."""

    def drawn(seed):
        numbers = []
        config = dataclasses.replace(QUICK, seed=seed)
        fit(
            config,
            tmp_path / "run",
            clips=toy_clips,
            overwrite=True,
            on_epoch=lambda _: numbers.append(draw()),
        )
        return [number[which] for number in numbers]

    first = drawn(1)
    draw()
    assert first == drawn(1)
    assert len({*first, *drawn(2)}) == 6
    drawn(2**32 - 1)  # the largest seed is one for all


@pytest.mark.parametrize("stop", [1, 99])
def test_the_numbers_that_a_caller_draws_are_not_changed_by_training(tmp_path, toy_clips, stop):
    def seed():
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        torch.manual_seed(3)

    seed()
    expected = [draw(), draw()]
    seed()
    found = [draw()]
    try:
        fit(QUICK, tmp_path / "run", clips=toy_clips, on_epoch=interrupt_after(stop))
    except KeyboardInterrupt:
        assert stop == 1
    found.append(draw())
    assert found == expected
