"""Small clips that any test can train on, and the motion-capture data where they lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lacbook.data.clips import Clip

UI_PRMD = Path(__file__).resolve().parents[2] / "shared" / "data" / "ui_prmd"


@pytest.fixture(scope="session")
def ui_prmd() -> Path:
    if not UI_PRMD.is_dir():
        pytest.skip("the UI-PRMD motion-capture data are not beside this checkout")
    return UI_PRMD


@pytest.fixture
def one_thread():
    """Thread pools of several test processes would get in each other's way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_clip(
    subject: int, *, split: str, head: int = 8, action: int = 24, tail: int = 8, pose_dim: int = 6
) -> Clip:
    """A pose that goes out and comes back between two idle stretches, drawn for one subject."""
    rng = np.random.default_rng(subject)
    length = head + action + tail
    time = np.full(length, np.nan)
    time[head : head + action] = np.linspace(0, 1, action)
    swing = np.sin(np.pi * np.nan_to_num(time))
    direction, scale = np.linspace(-1, 1, pose_dim), 1 + 0.1 * rng.standard_normal()
    values = swing[:, None] * direction * scale + 0.01 * rng.standard_normal((length, pose_dim))
    events = head + np.array([0, action // 2, action])
    return Clip(
        video_id=f"toy_{subject}",
        action="swing",
        subject=f"s{subject}",
        split=split,
        values=values.astype(np.float32),
        phase=np.searchsorted(events, np.arange(length), side="right").astype(np.int64),
        time=time,
        events=events,
    )


@pytest.fixture(scope="session")
def toy_clips() -> list[Clip]:
    """Six training and three test clips of one action, of different lengths."""
    return [
        make_clip(
            s, split="train" if s < 6 else "test", head=6 + s % 5, action=20 + 2 * (s % 3), tail=5 + s % 4
        )
        for s in range(9)
    ]
