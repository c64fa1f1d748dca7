"""What `fit` takes from Python, a loss and a callback, and what TensorBoard reads of a run."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from test_train import CONFIGURATION, log, same_weights
from torch import nn

from lacbook import cli, train
from lacbook.align import align_embeddings
from lacbook.errors import InputError
from lacbook.evaluate import evaluate
from lacbook.losses.lac import LACLoss
from lacbook.losses.scl import SCLLoss
from lacbook.train import EVENTS, WEIGHTS, TrainConfig, fit, load_run

pytestmark = pytest.mark.usefixtures("one_thread")


class ScaledSCL(nn.Module):
    """A loss with something of its own to learn."""

    def __init__(self):
        super().__init__()
        self.scl, self.scale = SCLLoss(), nn.Parameter(torch.tensor(0.0))

    def forward(self, z_u, z_v, steps_u, steps_v, lengths):
        fitted = self.scl(z_u, z_v, steps_u, steps_v, lengths)["loss"]
        return {"loss": fitted * self.scale.exp() - self.scale, "scale": self.scale}


def logged(run):
    """What TensorBoard shows of a run: name -> [(epoch, value)]."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run)).Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}


def interrupt_after(epochs):
    """A callback that stops the run like Ctrl-C."""

    def stop(rows):
        if len(rows) == epochs:
            raise KeyboardInterrupt

    return stop


def assert_same_log(run):
    rows = log(run)
    shown = logged(run)
    assert set(shown) == set(rows[0]) - {"epoch"}
    for name, points in shown.items():
        assert [step for step, _ in points] == [row["epoch"] for row in rows]
        assert [value for _, value in points] == pytest.approx([row[name] for row in rows], rel=1e-5)


def test_tensorboard_reads_the_log_of_a_run(tmp_path, toy_clips):
    assert_same_log(fit(CONFIGURATION, tmp_path / "run", clips=toy_clips))


def test_tensorboard_reads_a_resumed_run_once(tmp_path, toy_clips, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, on_epoch=interrupt_after(2))
    with monkeypatch.context() as patch:
        patch.setattr(train, "_save", stop)  # after the third epoch is logged, before it is saved
        with pytest.raises(KeyboardInterrupt):
            fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, resume=True)
    fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, resume=True)
    assert len(list((tmp_path / "run").glob(EVENTS))) == 3
    assert_same_log(tmp_path / "run")


def test_overwriting_a_run_forgets_its_events(tmp_path, toy_clips):
    run = fit(CONFIGURATION, tmp_path / "run", clips=toy_clips)
    (before,) = run.glob(EVENTS)
    fit(CONFIGURATION, run, clips=toy_clips, overwrite=True)
    (after,) = run.glob(EVENTS)
    assert before != after
    assert_same_log(run)


def test_resuming_a_finished_run_logs_nothing(tmp_path, toy_clips):
    run = fit(CONFIGURATION, tmp_path / "run", clips=toy_clips)
    fit(CONFIGURATION, run, clips=toy_clips, resume=True)
    assert len(list(run.glob(EVENTS))) == 1


def test_the_callback_sees_every_epoch_once_it_is_saved(tmp_path, toy_clips, capsys):
    seen = []

    def look(rows):
        assert isinstance(rows, pd.DataFrame)
        assert len(log(tmp_path / "run")) == len(rows)
        seen.append(rows)

    fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, on_epoch=look)
    assert [len(rows) for rows in seen] == [1, 2, 3, 4]
    final = pd.DataFrame(log(tmp_path / "run"))
    pd.testing.assert_frame_equal(seen[-1], final, check_dtype=False, rtol=1e-5)
    assert capsys.readouterr().err == ""  # no progress bar


def test_a_run_stopped_by_the_callback_resumes_exactly(tmp_path, toy_clips):
    whole = fit(CONFIGURATION, tmp_path / "whole", clips=toy_clips)
    with pytest.raises(KeyboardInterrupt):
        fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, on_epoch=interrupt_after(2))
    assert same_weights(whole, fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, resume=True))


def test_the_loss_of_the_configuration_can_be_handed_over(tmp_path, toy_clips):
    """The same weights come out, whoever makes the loss."""
    by_name = fit(CONFIGURATION, tmp_path / "by_name", clips=toy_clips)
    given = fit(CONFIGURATION, tmp_path / "given", clips=toy_clips, loss=LACLoss(view_length=12))
    assert same_weights(by_name, given)


def test_a_loss_of_ones_own_is_trained_resumed_and_read_again(tmp_path, toy_clips):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(CONFIGURATION, run, clips=toy_clips, loss=ScaledSCL(), on_epoch=interrupt_after(2))
    mine = ScaledSCL()
    fit(CONFIGURATION, run, clips=toy_clips, loss=mine, resume=True)
    whole = fit(CONFIGURATION, tmp_path / "whole", clips=toy_clips, loss=ScaledSCL())
    assert same_weights(run, whole)
    assert mine.scale != 0
    assert log(run)[-1]["scale"] == pytest.approx(mine.scale.item(), abs=0.02)  # a mean over the epoch
    config, learner = load_run(run)
    assert config.loss == "own"
    assert learner.loss is None
    again = ScaledSCL()
    load_run(run, loss=again)
    assert torch.equal(again.scale, mine.scale)
    weights = load_file(run / WEIGHTS)
    assert torch.equal(learner.encoder.embed.weight, weights["encoder.embed.weight"])


def test_a_run_with_a_loss_of_ones_own_embeds_and_aligns(tmp_path, toy_clips):
    run = fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, loss=ScaledSCL())
    config, learner = load_run(run)
    table = evaluate(config, learner.encoder, toy_clips)
    assert "own" in set(table["method"])
    z = torch.nn.functional.normalize(torch.randn(9, 8), dim=1).numpy()
    assert align_embeddings(z, z, learner, config).path == [(k, k) for k in range(9)]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (torch.tensor(1.0), "returned Tensor; expected a dict with 'loss'"),
        ({"contrast": torch.tensor(1.0)}, "returned a dict of 'contrast'; expected a dict with 'loss'"),
        ({"loss": 1.0}, "'loss' is of float; expected a Tensor with a single number"),
        ({"loss": torch.ones(2)}, r"'loss' is of shape \(2,\); expected a Tensor with a single number"),
    ],
    ids=["tensor", "no loss", "float", "two numbers"],
)
def test_a_loss_that_returns_something_else_is_named(tmp_path, toy_clips, returned, message):
    class Odd(nn.Module):
        def forward(self, *views):
            return returned

    with pytest.raises(InputError, match=f"loss: .*{message}"):
        fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, loss=Odd())


def test_own_without_a_module_is_refused(tmp_path, capsys):
    with pytest.raises(InputError, match="loss: 'own' stands for a module"):
        fit(TrainConfig(loss="own"), tmp_path / "run")
    with pytest.raises(SystemExit):
        cli.main(["train", "--loss", "own", "--out", str(tmp_path / "run")])
    assert "loss: 'own' stands for a module" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_another_loss_does_not_resume_a_run(tmp_path, toy_clips):
    with pytest.raises(KeyboardInterrupt):
        fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, on_epoch=interrupt_after(2))
    with pytest.raises(InputError, match="loss is 'lac' there, 'own' here"):
        fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, loss=ScaledSCL(), resume=True)
