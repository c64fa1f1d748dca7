"""What two views of a clip promise, for every length of clip and view."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lacbook.data.sampling import TwoViews, two_views, whole_view
from lacbook.errors import InputError

SEEDS = st.integers(0, 2**32 - 1)


class Recorder:
    """A generator that remembers the blocks whose frames the views are drawn from."""

    def __init__(self, seed: int) -> None:
        self.rng, self.blocks = np.random.default_rng(seed), []

    def uniform(self, *args, **kwargs):
        return self.rng.uniform(*args, **kwargs)

    def integers(self, *args, **kwargs):
        return self.rng.integers(*args, **kwargs)

    def choice(self, options, **kwargs):
        if "replace" in kwargs:
            self.blocks.append(options)
        return self.rng.choice(options, **kwargs)


@given(length=st.integers(2, 400), view_length=st.integers(2, 100), seed=SEEDS)
def test_views_are_sorted_frames_of_the_clip(length, view_length, seed):
    for view in two_views(length, view_length, np.random.default_rng(seed)):
        assert len(view) == max(1, min(view_length, math.floor(length / 1.25)))
        assert view.dtype == np.int64
        assert view[0] >= 0
        assert view[-1] < length
        assert (np.diff(view) > 0).all()


@given(length=st.integers(2, 400), view_length=st.integers(2, 100), seed=SEEDS)
def test_the_views_span_overlapping_blocks_of_bounded_size(length, view_length, seed):
    rng = Recorder(seed)
    views = two_views(length, view_length, rng)
    n = len(views[0])
    assert len(rng.blocks) == 2
    assert all(n <= block <= min(length, math.ceil(1.5 * n)) for block in rng.blocks)
    # Two blocks that share at least half of the longer lie within this span.
    span = max(view[-1] for view in views) - min(view[0] for view in views) + 1
    assert span <= sum(rng.blocks) - math.ceil(max(rng.blocks) / 2)


@pytest.mark.parametrize("length", [2, 3, 4])
def test_short_clips_have_two_views(length):
    u, v = two_views(length, 64, np.random.default_rng(0))
    assert len(u) == len(v) == {2: 1, 3: 2, 4: 3}[length]


@pytest.mark.parametrize("length", [0, 1])
def test_a_clip_without_a_step_in_time_is_refused(length):
    with pytest.raises(InputError, match=rf"{length} frame\(s\).*at least 2"):
        two_views(length, 64, np.random.default_rng(0))


def test_every_part_of_a_clip_is_seen_by_either_view():
    rng = np.random.default_rng(0)
    seen = np.zeros((2, 100))
    starts = []
    for _ in range(500):
        for row, view in zip(seen, two_views(100, 20, rng), strict=True):
            row[view] += 1
            starts.append(view[0])
    assert (seen > 0).all()
    assert seen[:, 60:].sum() > 0.25 * seen.sum()  # the end is not neglected
    assert len(set(starts)) > 60


def test_views_of_one_clip_differ_and_follow_the_generator():
    u, v = two_views(100, 20, np.random.default_rng(3))
    assert not np.array_equal(u, v)
    again = two_views(100, 20, np.random.default_rng(3))
    assert np.array_equal(u, again[0])
    assert np.array_equal(v, again[1])


@given(length=st.integers(1, 400), view_length=st.integers(1, 100), seed=SEEDS)
def test_a_whole_view_is_sorted_frames_of_the_clip(length, view_length, seed):
    view = whole_view(length, view_length, np.random.default_rng(seed))
    assert len(view) == max(1, min(view_length, math.floor(length / 1.25)))
    assert (np.diff(view) > 0).all()
    assert view[0] >= 0
    assert view[-1] < length


def test_a_whole_view_comes_from_the_whole_clip():
    rng = np.random.default_rng(0)
    counts = np.bincount(np.concatenate([whole_view(50, 10, rng) for _ in range(2000)]), minlength=50)
    assert counts.min() > 0.8 * counts.mean()
    assert counts.max() < 1.2 * counts.mean()


def pairs_of(clips, pairs, epochs=3):
    """(clip, index of the clip each view is from) of some epochs; frames say where they are from."""
    marked = [dataclasses.replace(clip, values=np.full_like(clip.values, k)) for k, clip in enumerate(clips)]
    dataset = TwoViews(marked, 12, 0, pairs)
    for dataset.epoch in range(epochs):
        for index in range(len(clips)):
            yield index, [int(values[0, 0]) for values, _ in dataset[index]]


def two_actions(toy_clips):
    return [dataclasses.replace(clip, action="ab"[k % 2]) for k, clip in enumerate(toy_clips)]


def test_two_views_are_of_the_clip_itself(toy_clips):
    assert all(sources == [index, index] for index, sources in pairs_of(toy_clips, "two_views"))


def test_pairs_of_an_action_are_two_clips_of_it(toy_clips):
    clips = two_actions(toy_clips)
    partners = {}
    for index, (own, other) in pairs_of(clips, "same_action", epochs=60):
        assert own == index
        assert other != index
        assert clips[other].action == clips[index].action
        partners.setdefault(index, set()).add(other)
    for index, seen in partners.items():
        assert seen == {k for k in range(len(clips)) if k != index and k % 2 == index % 2}


def test_pairs_follow_from_seed_epoch_and_clip(toy_clips):
    dataset, again = (TwoViews(toy_clips, 12, 5, "same_action") for _ in range(2))
    dataset.epoch = again.epoch = 4
    dataset[1]  # what was asked before does not matter
    for (_, one), (_, other) in zip(dataset[0], again[0], strict=True):
        assert (one == other).all()
    again.epoch = 5
    assert any(
        len(a) != len(b) or (a != b).any() for (_, a), (_, b) in zip(dataset[0], again[0], strict=True)
    )


def test_an_action_of_one_clip_has_no_pairs(toy_clips):
    clips = [*toy_clips[:3], dataclasses.replace(toy_clips[3], action="alone")]
    with pytest.raises(InputError, match="alone has one training clip"):
        TwoViews(clips, 12, 0, "same_action")
    with pytest.raises(ValueError, match="pairs: 'any' is unknown; choose from two_views, same_action"):
        TwoViews(clips, 12, 0, "any")
