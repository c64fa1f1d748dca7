"""Embeddings become an alignment with what the loss learned, unless the caller says otherwise."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from lacbook.align import VideoAlignment, align_embeddings, align_videos, save_alignment
from lacbook.alignment import soft_smith_waterman
from lacbook.errors import InputError
from lacbook.models.encoder import EncoderConfig
from lacbook.train import Learner, TrainConfig

CONFIGURATION = TrainConfig(
    data="ui-prmd",
    margin=0.4,
    gap_open=0.8,
    gap_extend=0.2,
    encoder=EncoderConfig(dim=16, layers=1, heads=2, hidden=16, embedding_dim=8),
)


@pytest.fixture
def learner():
    return Learner(CONFIGURATION, 6).eval()


@pytest.fixture
def embeddings():
    """Moments 0 to 9 after two idle frames in a; b starts with them and waits two frames after the fifth."""
    moments = np.eye(12, dtype=np.float32)
    return moments[[10, 10, *range(10)]], moments[[*range(5), 11, 11, *range(5, 10)]]


MATCHES = [(i + 2, i if i < 5 else i + 2) for i in range(10)]


def test_the_path_follows_the_moments(embeddings, learner):
    found = align_embeddings(*embeddings, learner, CONFIGURATION)
    assert found.path == MATCHES
    # Ten matches at 1 - margin; a gap of two frames costs gap_open + gap_extend.
    assert found.score == pytest.approx(10 * 0.6 - (0.8 + 0.2), abs=1e-5)
    (i0, i1, j0, j1, score), *_ = found.segments
    assert (i0, i1, j0, j1) == (2, 12, 0, 12)
    assert score == pytest.approx(found.score)
    assert found.similarity.shape == found.posterior.shape == (12, 12)
    assert found.similarity.max() == pytest.approx(0.6)
    assert found.posterior[tuple(np.transpose(MATCHES))].min() > 0.5
    assert found.posterior.sum() < 12


def test_learned_values_are_used_and_given_ones_instead_of_them(embeddings, learner):
    with torch.no_grad():
        learner.loss.margin.fill_(0.3)
    assert align_embeddings(*embeddings, learner, CONFIGURATION).score == pytest.approx(
        10 * 0.7 - 1, abs=1e-5
    )
    given = {"margin": 0.1, "gap_open": 0.5, "gap_extend": 0.0}
    assert align_embeddings(*embeddings, learner, CONFIGURATION, **given).score == pytest.approx(
        10 * 0.9 - 0.5, abs=1e-5
    )


def unsettled(**settings):
    """A learner whose penalties differ from cell to cell, and its configuration."""
    config = TrainConfig(**{**vars(CONFIGURATION), **settings})
    learner = Learner(config, 6).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in learner.loss.penalties.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return learner, config


def test_the_mean_of_matrix_penalties_serves_videos_of_any_length(embeddings):
    learner, config = unsettled(penalties="matrix", view_length=8)  # the videos are longer
    view = torch.zeros(8, 8)
    gap_open, gap_extend = (matrix.mean().item() for matrix in learner.loss.penalties(view, view))
    assert gap_open != pytest.approx(0.8, abs=1e-3)
    assert gap_extend != pytest.approx(0.2, abs=1e-3)
    found = align_embeddings(*embeddings, learner, config)
    assert found.score == pytest.approx(10 * 0.6 - (gap_open + gap_extend), abs=1e-5)
    found = align_embeddings(*embeddings, learner, config, gap_open=0.5)
    assert found.score == pytest.approx(10 * 0.6 - (0.5 + gap_extend), abs=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_content_penalties_are_those_of_the_embeddings(embeddings, dtype):
    learner, config = unsettled(
        penalties="content", encoder=dataclasses.replace(CONFIGURATION.encoder, embedding_dim=12)
    )
    gap_open, gap_extend = learner.loss.penalties(*map(torch.from_numpy, embeddings))
    a, b = (z.astype(dtype) for z in embeddings)
    found = align_embeddings(a, b, learner, config)
    assert found.path == MATCHES
    # b waits in frames 5 and 6, while a is in frame 6.
    cost = (gap_open[6, 5] + gap_extend[6, 6]).item()
    assert cost != pytest.approx(0.8 + 0.2, abs=0.05)
    assert found.score == pytest.approx(10 * 0.6 - cost, abs=1e-5)
    posterior = soft_smith_waterman(
        torch.from_numpy(a @ b.T - 0.4), gap_open.detach(), gap_extend.detach(), temperature=0.1
    ).posterior
    assert np.allclose(found.posterior, posterior, atol=1e-4)
    found = align_embeddings(a, b, learner, config, gap_extend=0.25)
    assert found.score == pytest.approx(10 * 0.6 - (gap_open[6, 5].item() + 0.25), abs=1e-5)


def test_learned_penalties_that_are_not_finite_are_named(embeddings):
    learner, config = unsettled(penalties="matrix")
    with torch.no_grad():
        learner.loss.penalties.shift[1, 3, 3] = torch.nan
    with pytest.raises(InputError, match="gap_extend: expected a finite number, found nan"):
        align_embeddings(*embeddings, learner, config)


def test_a_loss_that_learned_none_takes_the_configurations(embeddings):
    config = TrainConfig(**{**vars(CONFIGURATION), "loss": "scl"})
    found = align_embeddings(*embeddings, Learner(config, 6).eval(), config)
    assert found.score == pytest.approx(10 * 0.6 - 1, abs=1e-5)


def test_an_expensive_gap_splits_the_alignment(embeddings, learner):
    found = align_embeddings(*embeddings, learner, CONFIGURATION, gap_open=50.0)
    assert found.path in (MATCHES[:5], MATCHES[5:])


@pytest.mark.parametrize("name", ["margin", "gap_open", "gap_extend"])
def test_values_that_are_not_finite_are_named(embeddings, learner, name):
    with pytest.raises(InputError, match=f"{name}: expected a finite number, found nan"):
        align_embeddings(*embeddings, learner, CONFIGURATION, **{name: float("nan")})


def test_nothing_alike_is_an_empty_alignment(embeddings, learner):
    found = align_embeddings(*embeddings, learner, CONFIGURATION, margin=1.5)
    assert (found.path, found.segments, found.score) == ([], [], 0)


def test_a_run_on_poses_cannot_align_videos(tmp_path, learner):
    with pytest.raises(InputError, match="reads poses"):
        align_videos(tmp_path / "a.mp4", tmp_path / "b.mp4", learner, CONFIGURATION)


def test_a_failed_figure_leaves_no_half_written_file(tmp_path):
    frames = [np.zeros((4, 16, 16, 3), np.uint8)] * 2
    wrong = VideoAlignment(np.zeros((4, 9)), np.zeros((4, 9)), [(0, 0)], [(0, 1, 0, 1, 1.0)], 1.0)
    with pytest.raises(ValueError, match="similarity"):
        save_alignment(wrong, frames, [25.0, 25.0], ("a", "b"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["alignment.json"]
    assert json.loads((tmp_path / "alignment.json").read_text())["path"] == [[0, 0]]
