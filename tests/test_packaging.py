"""The lists of dependencies agree, and importing lacbook stays light."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def declared() -> dict[str, Requirement]:
    """Every requirement of the package, its notebooks and its development."""
    lines = PROJECT["dependencies"] + EXTRAS["notebooks"] + EXTRAS["dev"]
    return {r.name.lower(): r for r in map(Requirement, lines) if r.name != "lacbook"}


def test_environment_follows_pyproject():
    text = (ROOT / "environment.yml").read_text()
    python, pip, packages = yaml.safe_load(text)["dependencies"]
    assert python == f"python{PROJECT['requires-python']}"
    assert pip == "pip"
    *named, lacbook = packages["pip"]
    assert lacbook == "-e .[notebooks]"
    found = {r.name: r for r in map(Requirement, named)}
    assert set(found) == {"torch", "jupyterlab", "numba", "ipywidgets", "seaborn", "scikit-learn"}
    for name, requirement in found.items():
        assert requirement.specifier == declared()[name].specifier, name
    entries = [line for line in text.splitlines() if re.match(r"\s+- (?!conda-forge|pip:)", line)]
    assert all("#" in line for line in entries), "every dependency says what it is for"


def test_constraints_pin_every_dependency_inside_its_range():
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    )
    assert set(pins) == set(declared())
    assert pins["torch"] == "2.13.0"
    for name, requirement in declared().items():
        assert requirement.specifier.contains(pins[name]), (
            f"{name}=={pins[name]} is outside {requirement.specifier}"
        )


def test_torch_range_is_the_promised_one():
    torch = declared()["torch"].specifier
    assert all(torch.contains(version) for version in ("2.11.0", "2.12.1", "2.13.0"))


def test_what_a_wheel_takes_from_outside_the_package_is_there():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert [path for path in wheel["force-include"] if not (ROOT / path).exists()] == []


def test_extras_are_there():
    assert set(EXTRAS) == {"notebooks", "video-backbones", "cuda12", "cuda13", "peers", "dev"}


@pytest.mark.parametrize("module", ["lacbook", "lacbook.cli", "lacbook.alignment.bench"])
def test_import_is_light(module):
    heavy = ("torch._dynamo", "numba", "matplotlib", "seaborn", "ipywidgets", "pandas", "sklearn", "kornia")
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
