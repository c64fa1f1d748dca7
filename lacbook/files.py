"""Files are written whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from lacbook.errors import InputError


@contextlib.contextmanager
def whole_file(path: Path, previous: Path | None = None) -> Iterator[Path]:
    """Yield a temporary name beside `path`; a block that ends well syncs it to disk and names it `path`.

    An error or a kill inside the block leaves whatever `path` held before; a kill also leaves the temporary
    file (see `remove_leftovers`). Folders are made where there are none; InputError where none can be made or
    written to.

    Parameters
    ----------
    path : Path
    previous : Path, optional
        A name in the same folder for what `path` held before; a kill between the two renames leaves only it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: its folder cannot be made ({error.strerror})") from error
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: cannot be written; expected a file in a folder that you may write to")
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(*paths: Path) -> None:
    """Remove the temporary files of killed processes that were writing `paths`.

    Whose they were is not asked, since a process number says nothing about another machine or container that
    shares the folder: call it only for files that nobody else is writing.
    """
    for path in paths:
        for leftover in path.parent.glob(f".[0-9]*.{glob.escape(path.name)}"):
            leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename outlast a power cut, where the system can: Windows and some network drives cannot."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
