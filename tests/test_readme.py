"""What the README says can be done: its Python runs, its commands, files and notebooks exist."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from lacbook import cli
from lacbook.align import committed_checkpoint
from lacbook.alignment.bench import load
from lacbook.alignment.bench_table import as_markdown as times_as_markdown
from lacbook.compare import read_results
from lacbook.evaluate import as_markdown
from lacbook.summary import standings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = sorted(set(re.findall(r"(?:`|^    )(lacbook [a-z][^`\n]*)", README, flags=re.MULTILINE)))


@pytest.mark.parametrize("code", BLOCKS, ids=["ten lines", "any similarity"])
def test_python_runs_as_printed(code, tmp_path):
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    if "committed_checkpoint" in code:
        assert committed_checkpoint().is_dir()
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"score \d+\.\d, matched frames \[\(\d+, \d+\)|^True$", ran.stdout)
    assert not list(tmp_path.iterdir()), "the code writes nothing"


def test_every_command_is_shown():
    """The README shows every subcommand that `--help` lists, and no other."""
    with contextlib.redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit):
        cli.main(["--help"])
    offered = re.search(r"\{([a-z,]+)\}", out.getvalue())
    assert offered
    assert {shlex.split(command)[1] for command in COMMANDS} == set(offered[1].split(","))


@pytest.mark.parametrize("command", COMMANDS)
def test_command_takes_these_options(command):
    """The help of the subcommand names every option that the README gives it."""
    words = [word for word in shlex.split(command)[1:] if word != "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit) as ended:
        cli.main([*words[: 2 if words[0] == "data" else 1], "--help"])
    assert ended.value.code == 0
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", out.getvalue()), f"{option} is not in the help of {command}"


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^    )make ([a-z]+)", README, flags=re.MULTILINE))
    assert {"demo", "test", "lab"} <= named <= targets


def test_links_lead_to_files():
    found = re.findall(r"\]\(([^)]+)\)", README) + re.findall(r'src="([^"]+)"', README)
    links = [link for link in found if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_map_says_which_notebooks_are_here():
    rows = re.findall(r"^\|.*\| (\d\d) \| \[?(\w+)\b.*\| (here|to come) \|$", README, flags=re.MULTILINE)
    assert [number for number, _, _ in rows] == [f"{n:02}" for n in range(15)]
    here = {f"{number}_{name}" for number, name, status in rows if status == "here"}
    assert here == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}


@pytest.mark.parametrize(("name", "stored"), [("puppets", "puppets.csv"), ("ui-prmd", "ui_prmd.csv")])
def test_tables_are_the_stored_ones(name, stored):
    table = pd.read_csv(ROOT / "data" / "results" / stored)
    assert table["seed"].nunique() >= 3
    printed = README.split(f"<!-- table:{name} -->")[1].split(f"<!-- /table:{name} -->")[0]
    assert printed.strip() == as_markdown(table)


@pytest.mark.parametrize("dataset", ["puppets", "ui-prmd"])
def test_the_main_table_is_the_stored_one(dataset):
    printed = README.split(f"<!-- table:main-{dataset} -->")[1].split(f"<!-- /table:main-{dataset} -->")[0]
    assert printed.strip() == standings(read_results(ROOT / "data" / "results" / "main.csv"), dataset)


def test_the_times_are_the_stored_ones():
    printed = README.split("<!-- table:bench -->")[1].split("<!-- /table:bench -->")[0]
    assert printed.strip() == times_as_markdown(load(ROOT / "data" / "results" / "bench_cpu.json"))
