"""Metrics agree with numbers worked out by hand, and with what a perfect or shuffled embedding must get."""

from __future__ import annotations

import numpy as np
import pytest

from lacbook import metrics
from lacbook.data.clips import Clip
from lacbook.metrics import PathOptions

OPTIONS = PathOptions(margin=0.6, gap_open=0.1, gap_extend=0.05)


def bare_clip(time, events, *, name="clip", action="swing"):
    """A clip known only by its canonical time and key events."""
    time = np.array(time, dtype=np.float64)
    events = np.array(events)
    return Clip(
        video_id=name,
        action=action,
        subject="s",
        split="test",
        values=np.zeros((len(time), 1), np.float32),
        phase=np.searchsorted(events, np.arange(len(time)), side="right").astype(np.int64),
        time=time,
        events=events,
    )


def true_code(clip):
    """Unit vectors that say the canonical time alone: smooth over it, apart before and after the action."""
    after = np.arange(len(clip)) >= clip.events[-1]
    position = np.where(clip.active, clip.time, np.where(after, 2.0, -1.0))
    code = np.exp(-(((position[:, None] - np.linspace(-1.2, 2.2, 80)) / 0.06) ** 2))
    return code / np.linalg.norm(code, axis=1, keepdims=True)


def clock(clip):
    """Unit vectors on a quarter circle that say how many frames have passed, alike in every clip."""
    angle = np.arange(len(clip)) / 100
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def shuffled(z, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.permutation(frames) for frames in z]


def two_moments(length, first, second):
    """One-hot frames that are alike at two moments of all clips and unlike elsewhere."""
    z = np.zeros((length, 3))
    z[:, 0], z[[first, second], 0] = 1, 0
    z[first, 1] = z[second, 2] = 1
    return z


def test_the_truth_gets_every_metric_right(toy_clips):
    train, test = toy_clips[:6], toy_clips[6:]
    z_train, z_test = ([true_code(clip) for clip in clips] for clips in (train, test))
    assert metrics.event_error(test, z_test) == 0
    assert metrics.phase_accuracy(train, z_train, test, z_test) > 0.97
    assert metrics.average_precision(test, z_test, 5) > 0.9
    found = metrics.path_metrics(test, z_test, OPTIONS)
    assert found["alignment_f1"] > 0.95 * metrics.oracle_f1(test)
    assert found["path_event_error"] <= 1


def test_a_shuffled_truth_gets_no_metric_right(toy_clips):
    train, test = toy_clips[:6], toy_clips[6:]
    z_train, z_test = (shuffled([true_code(clip) for clip in clips]) for clips in (train, test))
    assert metrics.event_error(test, z_test) > 4
    assert metrics.phase_accuracy(train, z_train, test, z_test) < 0.5
    assert metrics.average_precision(test, z_test, 5) < 0.5
    assert abs(metrics.kendall_tau(test, z_test)) < 0.3
    assert metrics.path_metrics(test, z_test, OPTIONS)["alignment_f1"] < 0.4


def test_no_path_beats_the_oracle():
    fast, slow = bare_clip(np.linspace(0, 1, 6), [0, 3, 5]), bare_clip(np.linspace(0, 1, 31), [0, 15, 30])
    best = metrics.oracle_f1([fast, slow])
    assert 0.5 < best < 1  # a path matches each frame once at most
    z = [true_code(fast), true_code(slow)]
    for options in metrics.PATH_GRID:
        assert metrics.path_metrics([fast, slow], z, options)["alignment_f1"] <= best + 1e-12


def test_right_matches_of_a_small_example():
    nan = np.nan
    a = bare_clip([nan, 0.0, 0.52, 1.0], [1, 2, 3])
    b = bare_clip([nan, nan, nan, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, nan], [3, 5, 10])
    right = metrics.right_matches(a, b)
    assert right.shape == (4, 11)
    assert not right[0].any()  # outside the action
    assert np.flatnonzero(right[1]).tolist() == [1, 2, 3, 4, 5]
    assert np.flatnonzero(right[2]).tolist() == [6, 7, 8, 9, 10]
    assert np.flatnonzero(right[3]).tolist() == [7, 8, 9, 10]  # cut at the end of the clip


def test_right_matches_admit_every_frame_as_near_in_time_as_the_nearest():
    paused = bare_clip([0, 0.5, 0.5, 0.5, 0.5, 1], [0, 1, 5])
    moment = bare_clip([0, 0.5, 1], [0, 1, 2])
    assert np.flatnonzero(metrics.right_matches(moment, paused)[1]).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.flatnonzero(metrics.right_matches(moment, paused)[0]).tolist() == [0, 1, 2]


def test_f1_of_a_small_path():
    right = np.eye(4, dtype=bool)
    active = np.array([False, True, True, True])
    path = np.array([[0, 0], [1, 1], [2, 3]])  # outside both actions, right, wrong
    right[0, 0] = False
    precision, recall = 1 / 2, 1 / 3
    expected = 2 * precision * recall / (precision + recall)
    assert metrics._f1(path, right, active, active) == pytest.approx(expected)
    assert metrics._f1(path[:0], right, active, active) == 0
    assert metrics._f1(path[2:], right, active, active) == 0


def test_carry_interpolates_between_matches_and_knows_nothing_beyond_them():
    path = np.array([[2, 10], [4, 11], [8, 19]])
    carried = metrics.carry(np.array([1, 2, 3, 4, 5, 8, 9]), path)
    assert np.array_equal(carried, [np.nan, 10, 10.5, 11, 13, 19, np.nan], equal_nan=True)
    assert np.isnan(metrics.carry(np.array([1, 2]), path[:0])).all()


def test_events_off_the_path_count_thirty():
    clips = [bare_clip(np.linspace(0, 1, 20), [2, 9, 18], name=name) for name in "ab"]
    nothing_alike = [np.eye(2)[[k] * 20] for k in range(2)]
    assert metrics.path_metrics(clips, nothing_alike, OPTIONS) == {
        "alignment_f1": 0,
        "path_event_error": metrics.OFF_PATH,
    }


def test_path_event_error_is_the_distance_in_frames():
    a, b = (bare_clip(np.linspace(0, 1, 20), [2, 9, 16], name=name) for name in "ab")
    z = [np.eye(25)[:20], np.eye(25)[3:23]]  # the same moment comes three frames earlier in b
    found = metrics.path_metrics([a, b], z, OPTIONS)
    assert found["path_event_error"] == 3


def test_event_error_is_the_median_distance_of_the_nearest_neighbours():
    a, b = (bare_clip(np.linspace(0, 1, 10), events) for events in ([2, 6], [3, 7]))
    z = [two_moments(10, 2, 6), two_moments(10, 4, 8)]  # a's land 1 late in b, both of b's on a's frame 0
    assert metrics.event_error([a, b], z) == np.median([1, 1, 2, 6])


def test_a_clock_has_tau_one_and_a_reversed_clock_minus_one(toy_clips):
    forward = [clock(clip) for clip in toy_clips[:2]]
    for active in (False, True):
        assert metrics.kendall_tau(toy_clips[:2], forward, active=active) == pytest.approx(1, abs=0.05)
        backward = [forward[0], forward[1][::-1]]
        assert metrics.kendall_tau(toy_clips[:2], backward, active=active) == pytest.approx(-1, abs=0.2)


def test_active_tau_asks_only_frames_inside_the_action(toy_clips):
    clips = toy_clips[:2]
    z = [clock(clip) for clip in clips]
    for frames, clip in zip(z, clips, strict=True):  # disorder outside the action, far from it
        frames[~clip.active] = -np.random.default_rng(0).permutation(frames[~clip.active])
    assert metrics.kendall_tau(clips, z, active=True, stride=1) > 0.95
    assert metrics.kendall_tau(clips, z, stride=1) < 0.9


def test_tau_of_a_constant_embedding_is_undefined(toy_clips):
    assert np.isnan(metrics.kendall_tau(toy_clips[:2], [np.ones((len(clip), 2)) for clip in toy_clips[:2]]))


def test_progression_is_one_for_an_embedding_linear_in_the_targets(toy_clips):
    z = [(np.arange(len(c))[:, None] - (c.events - 1)) / len(c) for c in toy_clips]
    assert metrics.progression(toy_clips[:6], z[:6], toy_clips[6:], z[6:]) == pytest.approx(1)
    noise = [np.random.default_rng(k).standard_normal((len(c), 2)) for k, c in enumerate(toy_clips)]
    assert metrics.progression(toy_clips[:6], noise[:6], toy_clips[6:], noise[6:]) < 0.2


def test_average_precision_leaves_the_query_video_out():
    clips = [bare_clip(np.linspace(0, 1, 12), [4, 8], name=name) for name in "abc"]
    assert metrics.average_precision(clips, [np.eye(3)[clip.phase] for clip in clips], 4) == 1
    wrong = [np.eye(3)[(clip.phase + k) % 3] for k, clip in enumerate(clips)]
    assert metrics.average_precision(clips, wrong, 4) == 0  # each clip's own frames would have been right


def test_average_precision_of_a_small_example():
    a, b = bare_clip([0, 0, 1, 1], [2], name="a"), bare_clip([0, 1, 1, 1], [1], name="b")
    z = [np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([[0.0], [2.0], [10.0], [12.0]])]
    # Two nearest: a0, a1 find b0, b1, of which one is right; a2, a3 find b2, b3, both right.
    # b0 finds a0, a1, both right; b1 finds them too, both wrong; b2, b3 find a2, a3, both right.
    expected = np.mean([np.mean([0.5, 0.5, 1, 1]), np.mean([1, 0, 1, 1])])
    assert metrics.average_precision([a, b], z, 2, stride=1) == pytest.approx(expected)


def test_more_neighbours_than_frames_take_them_all():
    a, b = bare_clip([0, 0, 1, 1], [2], name="a"), bare_clip([0, 1, 1, 1], [1], name="b")
    z = [np.zeros((4, 1))] * 2
    expected = np.mean([np.mean([0.25, 0.25, 0.75, 0.75]), 0.5])
    assert metrics.average_precision([a, b], z, 15, stride=1) == pytest.approx(expected)


def test_unlabelled_frames_are_left_out_of_the_probe(toy_clips):
    z = [true_code(clip) for clip in toy_clips]
    hidden = [c.phase.copy() for c in toy_clips]
    for phase in hidden:
        phase[:4] = -1
    unlabelled = [Clip(**{**vars(c), "phase": phase}) for c, phase in zip(toy_clips, hidden, strict=True)]
    x, y = metrics._labelled(unlabelled, z)
    assert len(x) == len(y) == sum(len(c) - 4 for c in toy_clips)
    assert y.min() == 0


def test_path_options_are_chosen_on_pairs_of_one_action(toy_clips, monkeypatch):
    clips = [Clip(**{**vars(c), "action": "swing" if k % 2 else "bend"}) for k, c in enumerate(toy_clips)]
    asked = []
    measure = metrics.path_metrics

    def record(clips, z, options, pairs):
        asked.append(list(pairs))
        return measure(clips, z, options, pairs)

    monkeypatch.setattr(metrics, "path_metrics", record)
    z = [true_code(clip) for clip in clips]
    chosen = metrics.choose_path_options(clips, z, pairs=12)
    assert len(asked) == len(metrics.PATH_GRID)
    assert all(pairs == asked[0] for pairs in asked)
    assert len(set(asked[0])) == 12
    assert all(clips[a].action == clips[b].action and a != b for a, b in asked[0])
    scores = [measure(clips, z, options, asked[0])["alignment_f1"] for options in metrics.PATH_GRID]
    assert chosen == metrics.PATH_GRID[int(np.argmax(scores))]
    assert min(scores) < max(scores)


def test_batches_of_pairs_give_the_paths_that_single_pairs_give(toy_clips, monkeypatch):
    z = [true_code(clip) for clip in toy_clips[:3]]
    pairs = [(0, 1), (1, 2), (2, 0)]
    together = metrics.hard_paths(z, pairs, OPTIONS)
    monkeypatch.setattr(metrics, "PAIRS_AT_ONCE", 1)
    for one, other in zip(together, metrics.hard_paths(z, pairs, OPTIONS), strict=True):
        assert len(one) > 10
        assert np.array_equal(one, other)


def test_some_pairs_are_different_ordered_pairs_and_always_the_same():
    pairs = metrics.some_pairs(10, 30)
    assert len(set(pairs)) == len(pairs) == 30
    assert all(a != b and 0 <= a < 10 and 0 <= b < 10 for a, b in pairs)
    assert any(a > b for a, b in pairs)
    assert pairs == metrics.some_pairs(10, 30)
    assert pairs != metrics.some_pairs(10, 30, seed=1)
    assert len(metrics.some_pairs(10, None)) == len(metrics.some_pairs(10, 1000)) == 90
