"""What the notebooks of the course share: the cell that checks an exercise."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any


def check(answer: Any, right: Callable[[Any], object]) -> None:
    """Print whether an exercise is solved; an unsolved one does not stop the notebook.

    Parameters
    ----------
    answer : object
        What the reader found; None is an exercise that nobody has tried.
    right : callable
        Takes the answer and says whether it is right. An exception means that it is not.

    Raises
    ------
    AssertionError
        The answer is not right and the environment variable ``LACBOOK_STRICT`` is 1, as in the tests.
    """
    reason = ""
    try:
        solved = answer is not None and bool(right(answer))
    except Exception as error:  # an answer of the wrong kind is a wrong answer
        solved, reason = False, f": {type(error).__name__}: {error}"
    if not solved and os.environ.get("LACBOOK_STRICT") == "1":
        raise AssertionError(f"not solved yet{reason}")
    print("solved" if solved else f"not solved yet{reason}")
