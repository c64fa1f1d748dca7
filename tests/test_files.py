"""A file appears whole or not at all."""

from __future__ import annotations

import pytest

from lacbook.files import whole_file


def test_a_block_that_ends_well_leaves_the_file_alone_in_its_new_folder(tmp_path):
    path = tmp_path / "new" / "report.txt"
    with whole_file(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "report.txt"
    path.write_text("before")

    def interrupted_write():
        with whole_file(path) as temporary:
            temporary.write_text("half of")
            raise error

    with pytest.raises(error):
        interrupted_write()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "report.txt"):
        pass
    assert not list(tmp_path.iterdir())
