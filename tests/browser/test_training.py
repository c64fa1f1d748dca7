"""Notebook 08 in a real browser: the learning curves grow while the encoder trains, and training ends."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser


def test_curves_grow_while_the_encoder_trains(lab):
    notebook = lab.open("08_train_the_encoder")
    notebook.clear_outputs()
    notebook.restart_and_run_all()
    training = notebook.code_cell("on_epoch=live_learning_curves()")
    states = training.live_pictures(3, seconds=150)
    notebook.screenshot("training", training.box)

    notebook.wait_for_the_end(seconds=400)
    assert notebook.complaints() == []
    assert notebook.cells_not_run() == 0
    busy, pictures = training.look()
    assert not busy
    assert len(pictures) == 1, "one picture, replaced until the end"
    assert pictures[0] not in states, "it went on to grow"
    notebook.screenshot("trained", training.box)
    notebook.screenshots_of_everything()
    assert lab.outside == [], "the course needs no network"
