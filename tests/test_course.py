"""The check cells of the notebooks."""

import pytest

from lacbook.course import check


@pytest.mark.parametrize(
    ("answer", "said"),
    [(4, "solved"), (5, "not solved yet"), (None, "not solved yet"), ("x", "not solved yet: TypeError")],
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
