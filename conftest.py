"""After pytest ran notebooks (`--nbmake`): how long each took, beside the time that its first cell promises.

The table is for reading. No test fails for time, which depends on what else the machine does.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

PROMISE = re.compile(r"\*\*Time\*\*: the notebook runs in about (\d+) seconds on a CPU\b")


def promised_seconds(notebook: Path) -> int | None:
    """Seconds that the first cell of a notebook promises; None where it promises nothing."""
    try:
        head = json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]["source"]
    except (OSError, ValueError, LookupError):  # what is wrong with the file, its test has said
        return None
    promise = PROMISE.search(" ".join("".join(head).split()))
    return int(promise[1]) if promise else None


def time_table(rows: Iterable[tuple[str, float, int | None]]) -> list[str]:
    """Lines of a table, by name: notebook, seconds taken, seconds promised, and their ratio."""
    rows = sorted(rows)
    width = max(len("notebook"), *(len(name) for name, *_ in rows))
    lines = [f"{'notebook':{width}}  seconds  budget  ratio"]
    for name, seconds, budget in rows:
        allowed, ratio = (str(budget), f"{seconds / budget:.2f}") if budget else ("-", "-")
        lines.append(f"{name:{width}}  {seconds:7.1f}  {allowed:>6}  {ratio:>5}")
    return lines


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Print the table; under pytest-xdist too, whose controller gets the reports of all processes."""
    rows = []
    for report in itertools.chain(*terminalreporter.stats.values()):
        path = Path(getattr(report, "nodeid", "").split("::")[0])
        if path.suffix == ".ipynb" and getattr(report, "when", None) == "call":
            name = path.stem if report.passed else f"{path.stem} (failed)"
            rows.append((name, report.duration, promised_seconds(config.rootpath / path)))
    if rows:
        terminalreporter.section("notebooks: time against budget")
        terminalreporter.write_line("\n".join(time_table(rows)))
