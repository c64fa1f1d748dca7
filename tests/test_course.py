"""What the notebooks share: the running example, and the check cells."""

import numpy as np
import pytest

from lacbook.course import check, squat_pair
from lacbook.data.puppets import load_puppets


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


def test_squat_pair_counts_fiftieths_of_a_body_height():
    clips = load_puppets(action="squat", split="test", modality="poses")
    a, b = (next(c for c in clips if c.video_id == name) for name in ("squat_s22_1", "squat_s24_1"))
    x, y = a.values[2 + 6 * 7].reshape(17, 2), b.values[2 + 6 * 3].reshape(17, 2)
    distance = np.mean([np.hypot(*(p - q)) for p, q in zip(x, y, strict=True)])
    assert squat_pair()[2][7, 3] == pytest.approx(3 - distance / (1 / 50))


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


@pytest.mark.parametrize("kind", [ValueError, NameError, ZeroDivisionError])
def test_check_survives_any_error_of_the_answer(kind, capsys, monkeypatch):
    def answer():
        raise kind("of the reader's own making")

    monkeypatch.setenv("LACBOOK_STRICT", "0")
    check(answer, lambda f: f())
    assert capsys.readouterr().out == f"not solved yet: {kind.__name__}: of the reader's own making\n"


def test_check_is_strict_when_asked(capsys, monkeypatch):
    monkeypatch.setenv("LACBOOK_STRICT", "1")
    for answer in (None, 5, "x"):
        with pytest.raises(AssertionError, match="not solved yet"):
            check(answer, lambda a: a - 4 == 0)
    check(4, lambda a: a - 4 == 0)
    assert capsys.readouterr().out == "solved\n"
