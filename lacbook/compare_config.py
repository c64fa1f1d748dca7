"""What decides a comparison: methods, data sets, seeds; also importable from `lacbook.compare`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lacbook.errors import InputError
from lacbook.evaluate import CONTROLS
from lacbook.files import whole_file
from lacbook.models.encoder import EncoderConfig
from lacbook.train import TrainConfig, refuse_own

# What each method changes of the settings that all share.
METHODS: dict[str, dict[str, Any]] = {
    "tcn": {"loss": "tcn"},
    "tcc": {"loss": "tcc"},
    "lav": {"loss": "lav"},
    "gta": {"loss": "gta"},
    "scl": {"loss": "scl"},
    "lac": {"loss": "lac"},
    "lac_posterior": {"loss": "lac", "local": "posterior"},
    "lac_released": {
        "loss": "lac",
        "local": "released",
        "local_weight": 0.01,
        "temperature": 0.8,
        "penalties": "matrix",
        "gap_open": 1.0,
        "gap_extend": 1.0,
    },
}
Cell = tuple[str, str, int]  # method, data set, seed


@dataclass(frozen=True)
class CompareConfig:
    """All that decides a comparison.

    Parameters
    ----------
    methods : dict
        Settings of `TrainConfig` that a method changes, by its name. Those of `METHODS` add to what is given
        there; the name of a control stands for it.
    datasets : dict
        Settings of `TrainConfig` for all methods on a data set, by the data set's name.
    seeds : tuple of int
        Of weights, views, augmentation, order; and of the order in which training clips label the probes.
    train_clips : int, optional
        Most training clips of a data set, as many of each action; all when left out.
    pairs : int, optional
        Most pairs of test clips that tau and paths are measured on, as many of each action; all when left
        out.

    Raises
    ------
    InputError
        A method is unknown and changes nothing, or a setting is not one of `TrainConfig`.
    """

    methods: dict[str, dict[str, Any]] = field(default_factory=lambda: {m: {} for m in (*METHODS, *CONTROLS)})
    datasets: dict[str, dict[str, Any]] = field(default_factory=lambda: {"puppets": {}, "ui-prmd": {}})
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    train_clips: int | None = 200
    pairs: int | None = 500

    def __post_init__(self) -> None:
        for name, settings in self.methods.items():
            if not isinstance(name, str):
                raise InputError(f"methods: {name!r} is no text; put it in quotes")
            if name not in METHODS and name not in CONTROLS and not settings:
                known = ", ".join((*METHODS, *CONTROLS))
                raise InputError(f"methods: {name!r} is unknown and changes nothing; choose from {known}")
            if name in CONTROLS and settings:
                raise InputError(f"methods: {name!r} is a control; found settings for it")
        for name in ("train_clips", "pairs"):
            if (value := getattr(self, name)) is not None and (not isinstance(value, int) or value < 1):
                raise InputError(f"{name}: expected a whole number, 1 or more, found {value!r}")
        if not self.methods or not self.datasets or not self.seeds:
            raise InputError("methods, datasets, seeds: expected at least one of each")
        if any(type(s) is not int for s in self.seeds) or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds: expected different whole numbers, found {list(self.seeds)}")
        for cell in self.cells():
            refuse_own(self.train_config(*cell))

    def cells(
        self, methods: Sequence[str] = (), datasets: Sequence[str] = (), seeds: Sequence[int] = ()
    ) -> list[Cell]:
        """(method, data set, seed) of what there is to run, of some methods, data sets and seeds, or of all.

        Seed by seed, so that all methods have as many. InputError if one is not in the comparison.
        """
        for name, some in (("methods", methods), ("datasets", datasets), ("seeds", seeds)):
            every = tuple(getattr(self, name))
            if unknown := [one for one in some if one not in every]:
                raise InputError(
                    f"{name}: {unknown[0]!r} is not in the comparison, which has {', '.join(map(str, every))}"
                )
        return [
            (method, dataset, seed)
            for seed in seeds or self.seeds
            for dataset in datasets or self.datasets
            for method in methods or self.methods
        ]

    def train_config(self, method: str, dataset: str, seed: int, root: Path | None = None) -> TrainConfig:
        """Settings of one training run; a control has those that every method shares."""
        changes = {**self.datasets[dataset], **METHODS.get(method, {}), **self.methods[method]}
        if dataset == "ui-prmd" and root is not None:
            changes["root"] = str(root)
        try:
            if "encoder" in changes:
                changes["encoder"] = EncoderConfig(**changes["encoder"])
            return TrainConfig(data=dataset, seed=seed, **changes)
        except TypeError as error:
            raise InputError(f"{method} on {dataset}: {error}; see lacbook train --help") from error

    def save(self, path: Path) -> None:
        """Write as YAML."""
        with whole_file(path) as temporary:
            values = {**dataclasses.asdict(self), "seeds": list(self.seeds)}
            temporary.write_text(yaml.safe_dump(values, sort_keys=False))

    @classmethod
    def load(cls, path: Path) -> CompareConfig:
        """Read what `save` wrote, or what someone did; methods and datasets may be plain lists of names.

        Raises
        ------
        InputError
            The file is missing or is not such a configuration.
        """
        if not path.is_file():
            raise InputError(f"config: {path} is missing; expected the YAML of a comparison")
        try:
            values = yaml.safe_load(path.read_text())
            for name in {"methods", "datasets"} & values.keys():
                named = values[name]
                values[name] = {key: (named[key] if isinstance(named, dict) else None) or {} for key in named}
            if "seeds" in values:
                values["seeds"] = tuple(values["seeds"])
            return cls(**values)
        except InputError as error:
            raise InputError(f"config: {path}: {error}") from error
        except (OSError, yaml.YAMLError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"config: {path} is not the YAML of a comparison ({error})") from error
