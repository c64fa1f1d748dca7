"""What the notebooks share: the running example, and the check cells."""

import numpy as np
import pytest

from lacbook.course import check, squat_pair


def test_squat_pair_is_two_squats_late_and_early():
    a, b, similarity = squat_pair()
    assert similarity.shape == (len(a), len(b)) == (11, 12)
    assert len(a.values) == len(a.phase) == len(a.time) == 11
    assert a.subject != b.subject
    assert a.events[0] > 3 > b.events[0]
    assert (a.phase[a.events - 1] < a.phase[a.events]).all()
    assert similarity.min() == -3
    assert similarity.max() < 3
    lowest = [int(np.nanargmin(abs(clip.time - 0.5))) for clip in (a, b)]
    assert similarity[tuple(lowest)] > 0  # both at the lowest point
    assert similarity[lowest[0], -1] == -3  # one there, the other standing


def test_squat_pair_thins_the_same_frames():
    every, _, full = squat_pair(step=1)
    thin, _, similarity = squat_pair(step=6)
    assert np.array_equal(full[::6, ::6], similarity)
    assert np.array_equal(every.values[::6], thin.values)
    assert thin.fps == every.fps / 6
    with pytest.raises(ValueError, match="step must be at least 1, got 0"):
        squat_pair(step=0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (4, "solved\n"),
        (5, "not solved yet: this answer is not right\n"),
        (None, "not solved yet\n"),
        ("x", "not solved yet: TypeError"),
    ],
)
def test_check_prints_and_goes_on(answer, said, capsys, monkeypatch):
    monkeypatch.delenv("LACBOOK_STRICT", raising=False)
    check(answer, lambda a: a - 4 == 0)
    assert capsys.readouterr().out.startswith(said)


def test_check_is_strict_when_asked(capsys, monkeypatch):
    monkeypatch.setenv("LACBOOK_STRICT", "1")
    for answer in (None, 5, "x"):
        with pytest.raises(AssertionError, match="not solved yet"):
            check(answer, lambda a: a - 4 == 0)
    check(4, lambda a: a - 4 == 0)
    assert capsys.readouterr().out == "solved\n"
