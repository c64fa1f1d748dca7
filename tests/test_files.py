"""A file appears whole or not at all."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from lacbook.files import remove_leftovers, whole_file


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


def test_what_was_there_is_kept_under_another_name(tmp_path):
    path, previous = tmp_path / "report.txt", tmp_path / "report.old.txt"
    for text in ("first", "second", "third"):
        with whole_file(path, previous=previous) as temporary:
            temporary.write_text(text)
        assert path.read_text() == text
        assert previous.exists() == (text != "first")
    assert previous.read_text() == "second"
    assert sorted(tmp_path.iterdir()) == [previous, path]


def test_a_block_that_fails_leaves_the_one_before_as_well(tmp_path):
    path, previous = tmp_path / "report.txt", tmp_path / "report.old.txt"
    path.write_text("second")
    previous.write_text("first")
    with pytest.raises(FileNotFoundError), whole_file(path, previous=previous):
        pass
    assert path.read_text() == "second"
    assert previous.read_text() == "first"


def test_the_file_is_synced_before_its_renames_and_the_folder_after_them(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda f: (fsync(f), done.append(os.fstat(f).st_ino)))
    monkeypatch.setattr(os, "replace", lambda a, b: (replace(a, b), done.append(b.name)))
    path, previous = tmp_path / "report.txt", tmp_path / "report.old.txt"
    path.write_text("before")
    with whole_file(path, previous=previous) as temporary:
        temporary.write_text("whole")
    assert done == [path.stat().st_ino, previous.name, path.name, tmp_path.stat().st_ino]


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    fsync = os.fsync

    def only_files(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", only_files)
    with whole_file(tmp_path / "report.txt") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "report.txt").read_text() == "whole"


def test_only_the_leftovers_of_the_named_files_are_removed(tmp_path):
    left = [".12.report.txt", ".4567.report.txt"]
    others = ["report.txt", ".12.report.csv", ".12.reportxtxt", ".mine.report.txt", "12.report.txt"]
    for name in (*left, *others):
        (tmp_path / name).write_text(name)
    remove_leftovers(tmp_path / "report.txt", tmp_path / "none" / "report.txt")
    assert {path.name for path in tmp_path.iterdir()} == set(others)
