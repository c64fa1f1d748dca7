"""What `fit` takes from Python, a loss and a callback, and what TensorBoard reads of a run."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from test_train import CONFIGURATION, contents, log, same_weights
from torch import nn

from lacbook import cli
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


@pytest.mark.parametrize("left", ["whole", "cut", "none"])
def test_tensorboard_reads_a_resumed_run_whole(tmp_path, toy_clips, left):
    """Whatever a stopped run has left of its event file."""
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(CONFIGURATION, run, clips=toy_clips, on_epoch=interrupt_after(2))
    (events,) = run.glob(EVENTS)
    if left == "cut":
        events.write_bytes(events.read_bytes()[:-9])
    elif left == "none":
        events.unlink()
    fit(CONFIGURATION, run, clips=toy_clips, resume=True)
    assert len(list(run.glob(EVENTS))) == 1
    assert_same_log(run)


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
        assert_same_log(tmp_path / "run")
        seen.append(rows)

    fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, on_epoch=look)
    assert [len(rows) for rows in seen] == [1, 2, 3, 4]
    final = pd.DataFrame(log(tmp_path / "run"))
    pd.testing.assert_frame_equal(seen[-1], final, check_dtype=False, rtol=1e-5)
    assert capsys.readouterr().err == ""  # no progress bar


def test_without_a_callback_a_bar_shows_the_progress(tmp_path, toy_clips, capsys):
    fit(CONFIGURATION, tmp_path / "run", clips=toy_clips)
    assert "train lac" in capsys.readouterr().err


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


FINE = torch.tensor(1.0, requires_grad=True)


class Returning(nn.Module):
    """A loss that returns what it is told to."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, *views):
        return self.result


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (FINE, "returned Tensor; expected a dict with 'loss'"),
        ({"contrast": FINE}, "returned a dict of 'contrast'; expected a dict with 'loss'"),
        ({"loss": 1.0}, "'loss' is of float; expected a Tensor with a single number"),
        ({"loss": FINE, "contrast": 1.0}, "'contrast' is of float; expected a Tensor with a single number"),
        ({"loss": torch.ones(2)}, r"'loss' is of shape \(2,\); expected a Tensor with a single number"),
        ({"loss": FINE, "lr": FINE}, "a part is called 'lr'; expected a word other than epoch, lr, seconds"),
        ({"loss": FINE, "a,b": FINE}, "a part is called 'a,b'; expected a word"),
        ({"loss": FINE, 0: FINE}, "a part is called 0; expected a word"),
        ({"loss": torch.tensor(1.0)}, "'loss' has no gradient"),
    ],
)
def test_a_loss_that_returns_something_else_is_named(tmp_path, toy_clips, returned, message):
    with pytest.raises(InputError, match=f"loss: .*{message}"):
        fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, loss=Returning(returned))


@pytest.mark.parametrize("same", [1, 2, 3])
def test_parts_have_to_stay_the_same(tmp_path, toy_clips, same):
    """Two batches an epoch: the change comes within one, or between two."""

    class Changing(nn.Module):
        batches = 0

        def forward(self, z_u, *others):
            self.batches += 1
            loss = z_u.square().mean()
            return {"loss": loss} if self.batches <= same else {"loss": loss, "extra": loss}

    epoch = same // 2
    with pytest.raises(InputError, match=f"parts in epoch {epoch} are extra, loss; expected loss as before"):
        fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, loss=Changing())
    if epoch:
        assert len(log(tmp_path / "run")) == epoch


def test_a_gradient_that_is_not_finite_stops_the_run(tmp_path, toy_clips):
    class Steep(nn.Module):
        def forward(self, z_u, *others):
            return {"loss": (z_u.sum() * 0).sqrt()}

    with pytest.raises(InputError, match="the gradient of epoch 0 cannot be used"):
        fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, loss=Steep())


@pytest.mark.parametrize("given", [ScaledSCL, "scl"])
def test_what_is_no_module_is_refused_before_a_run_is_overwritten(tmp_path, toy_clips, given):
    run = fit(CONFIGURATION, tmp_path / "run", clips=toy_clips)
    before = contents(run)
    with pytest.raises(InputError, match="loss: expected a torch Module, found"):
        fit(CONFIGURATION, run, clips=toy_clips, loss=given, overwrite=True)
    with pytest.raises(InputError, match="loss: expected a torch Module, found"):
        load_run(run, loss=given)
    assert contents(run) == before


def test_resuming_and_overwriting_exclude_each_other(tmp_path, toy_clips):
    run = fit(CONFIGURATION, tmp_path / "run", clips=toy_clips)
    before = contents(run)
    with pytest.raises(InputError, match="resume, overwrite: expected one of them"):
        fit(CONFIGURATION, run, clips=toy_clips, resume=True, overwrite=True)
    assert contents(run) == before


def test_a_run_is_not_read_with_another_loss(tmp_path, toy_clips):
    run = fit(CONFIGURATION, tmp_path / "run", clips=toy_clips)
    with pytest.raises(InputError, match="was trained with lac; a module is only for a run with own"):
        load_run(run, loss=ScaledSCL())
    own = fit(CONFIGURATION, tmp_path / "own", clips=toy_clips, loss=ScaledSCL())
    with pytest.raises(InputError, match="or of another loss than the one given"):
        load_run(own, loss=LACLoss())
    _, learner = load_run(own)
    with pytest.raises(InputError, match="loss: this run has one of its own"):
        learner(torch.zeros(2, 3, 6), torch.arange(3).expand(2, 3), torch.tensor([3, 3]))


def test_a_stopped_run_is_not_resumed_with_another_module(tmp_path, toy_clips):
    with pytest.raises(KeyboardInterrupt):
        fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, loss=ScaledSCL(), on_epoch=interrupt_after(2))
    with pytest.raises(InputError, match=r"cannot be resumed from \(Unexpected key.*loss.scale"):
        fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, loss=SCLLoss(), resume=True)


def test_own_without_a_module_is_refused(tmp_path, capsys):
    with pytest.raises(InputError, match="loss: 'own' stands for a module"):
        fit(TrainConfig(loss="own"), tmp_path / "run")
    with pytest.raises(SystemExit):
        cli.main(["train", "--loss", "own", "--out", str(tmp_path / "run")])
    assert "loss: 'own' stands for a module" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["demo", "--loss", "own", "--out", str(tmp_path / "run")])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "loss: 'own' stands for a module" in captured.err
    assert not (tmp_path / "run").exists()


def test_another_loss_does_not_resume_a_run(tmp_path, toy_clips):
    with pytest.raises(KeyboardInterrupt):
        fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, on_epoch=interrupt_after(2))
    with pytest.raises(InputError, match="loss is 'lac' there, 'own' here"):
        fit(CONFIGURATION, tmp_path / "run", clips=toy_clips, loss=ScaledSCL(), resume=True)
