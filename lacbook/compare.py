"""Methods x data sets x seeds: the same encoder, views, budget and protocol for every loss, and one table.

A *cell* is one method on one data set with one seed: a training run and its measurement, or the measurement
of a control. Cells that the table holds are not run again, so an interrupted comparison goes on where it was.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml
from tqdm.auto import tqdm

import lacbook
from lacbook.data.clips import Clip
from lacbook.errors import InputError
from lacbook.evaluate import CONTROLS, embed, in_order, measure, measure_control
from lacbook.files import whole_file
from lacbook.models.encoder import EncoderConfig
from lacbook.train import TrainConfig, fit, load_run

if TYPE_CHECKING:
    import pandas as pd

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
OF_THE_DATA = ("data", "root", "action", "movement", "idle", "size", "encoder")  # what decides the clips
COLUMNS = ("method", "dataset", "seed", "metric", "value", "seconds", "revision")


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
            if name not in METHODS and name not in CONTROLS and not settings:
                known = ", ".join((*METHODS, *CONTROLS))
                raise InputError(f"methods: {name!r} is unknown and changes nothing; choose from {known}")
            if name in CONTROLS and settings:
                raise InputError(f"methods: {name!r} is a control; found settings for it")
        for name in ("train_clips", "pairs"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"{name}: expected 1 or more, found {value}")
        if not self.methods or not self.datasets or not self.seeds:
            raise InputError("methods, datasets, seeds: expected at least one of each")
        for cell in self.cells():
            self.train_config(*cell)

    def cells(self) -> list[tuple[str, str, int]]:
        """(method, data set, seed) of everything to run; seed by seed, so that all methods have as many."""
        return [(m, d, s) for s in self.seeds for d in self.datasets for m in self.methods]

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

    def only(
        self, methods: Sequence[str] = (), datasets: Sequence[str] = (), seeds: Sequence[int] = ()
    ) -> CompareConfig:
        """The part of the comparison with these methods, data sets and seeds; all where none are named."""
        return dataclasses.replace(
            self,
            methods={m: self.methods.get(m, {}) for m in methods} or self.methods,
            datasets={d: self.datasets.get(d, {}) for d in datasets} or self.datasets,
            seeds=tuple(seeds) or self.seeds,
        )

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
        try:
            values = yaml.safe_load(path.read_text())
            for name in {"methods", "datasets"} & values.keys():
                named = values[name]
                values[name] = {key: (named[key] if isinstance(named, dict) else None) or {} for key in named}
            if "seeds" in values:
                values["seeds"] = tuple(int(seed) for seed in values["seeds"])
            return cls(**values)
        except InputError as error:
            raise InputError(f"config: {path}: {error}") from error
        except (OSError, yaml.YAMLError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"config: {path} is not the YAML of a comparison ({error})") from error


def compare(
    config: CompareConfig,
    out: Path,
    *,
    root: Path | None = None,
    runs: Path = Path("runs/compare"),
    jobs: int = 1,
) -> pd.DataFrame:
    """Run what is missing of a comparison, and append each result as it comes.

    Parameters
    ----------
    config : CompareConfig
    out : Path
        Tidy CSV with the columns `COLUMNS`: a row for each metric of a cell; seconds are those of training.
        Beside it, the configuration as YAML: the same must be given again to go on, but for methods, data
        sets and seeds, of which there may be more or fewer.
    root : Path, optional
        Folder of UI-PRMD.
    runs : Path
        Folder for the training runs. One that was interrupted is resumed.
    jobs : int, default 1
        Cells at a time, each in a process and a thread of its own, so that results do not depend on it.

    Returns
    -------
    DataFrame
        All of `out`.

    Raises
    ------
    InputError
        `out` belongs to another comparison, data are missing, or cells failed (the others are run first).
    """
    import pandas as pd

    if jobs < 1:
        raise InputError(f"jobs: expected 1 or more, found {jobs}")
    if out.suffix != ".csv":
        raise InputError(f"out: {out}; expected the name of a .csv file")
    table = read_results(out)
    beside = out.with_suffix(".yaml")
    known = _joined(CompareConfig.load(beside), config, beside) if len(table) else config
    for dataset in config.datasets:  # missing data end it now and not in an hour
        _clips(config.train_config(next(iter(config.methods)), dataset, 0, root), config.train_clips)
    known.save(beside)
    done = set(table[["method", "dataset", "seed"]].itertuples(index=False, name=None))
    missing = [cell for cell in config.cells() if cell not in done]
    failed = []
    progress = tqdm(
        total=len(config.cells()), initial=len(config.cells()) - len(missing), unit="cell", desc="compare"
    )
    with progress, _pool(jobs) as pool:
        for cell, future in _finished(pool, jobs, missing, config, root, runs):
            try:
                values, seconds = future.result()
            except InputError as error:
                failed.append(f"{' '.join(map(str, cell))}: {error}")
                tqdm.write(f"failed: {failed[-1]}", file=sys.stderr)
                continue
            rows = [(*cell, metric, value, seconds, revision()) for metric, value in values.items()]
            added = pd.DataFrame(rows, columns=COLUMNS)
            table = pd.concat([table, added], ignore_index=True) if len(table) else added
            with whole_file(out) as temporary:
                table.to_csv(temporary, index=False, float_format="%.4f")
            progress.update()
            progress.set_postfix_str(" ".join(map(str, cell)))
    if failed:
        raise InputError(f"{len(failed)} cell(s) failed, the others are in {out}: {'; '.join(failed)}")
    return table


def run_cell(
    config: CompareConfig, cell: tuple[str, str, int], root: Path | None, runs: Path
) -> tuple[dict[str, float], float]:
    """Train and measure one cell, in one thread; its metrics and the seconds of training."""
    method, dataset, seed = cell
    train_config = config.train_config(method, dataset, seed, root)
    with _one_thread():
        clips = _clips(train_config, config.train_clips)
        ordered = in_order(clips, seed)
        if method in CONTROLS:
            return measure_control(method, train_config, ordered, config.pairs), 0.0
        run = fit(train_config, runs / dataset / f"{method}_{seed}", resume=True, clips=clips)
        _, learner = load_run(run)
        z = embed(learner.encoder, ordered, desc=f"embed {method}")
        return measure(ordered, z, config.pairs), _seconds(run)


def read_results(path: Path) -> pd.DataFrame:
    """Read the CSV of a comparison, empty where there is none yet; InputError if it is something else."""
    import pandas as pd

    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    try:
        table = pd.read_csv(path, dtype={"revision": str})
    except (ValueError, OSError) as error:
        raise InputError(f"out: {path} is not the table of a comparison ({error})") from error
    if tuple(table.columns) != COLUMNS:
        raise InputError(f"out: {path} has columns {', '.join(table.columns)}; expected {', '.join(COLUMNS)}")
    return table


def training_subset(clips: Sequence[Clip], most: int | None) -> list[Clip]:
    """At most so many training clips, as many of each action, drawn with seed 0; and all test clips."""
    train = sorted((clip for clip in clips if clip.split == "train"), key=lambda clip: clip.video_id)
    if most is None or len(train) <= most:
        return list(clips)
    actions = sorted({clip.action for clip in train})
    if most < len(actions):
        raise InputError(f"train_clips: {most} are fewer than the {len(actions)} actions")
    rng = np.random.default_rng(0)
    chosen = set()
    for action in actions:
        names = [clip.video_id for clip in train if clip.action == action]
        chosen |= set(rng.permutation(names)[: most // len(actions)])
    return [clip for clip in clips if clip.split == "test" or clip.video_id in chosen]


def revision() -> str:
    """Commit of the checkout that lacbook runs from, with ``+`` if files differ from it; else its version."""
    here = Path(lacbook.__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True
        ).stdout

    try:
        return git("rev-parse", "--short", "HEAD").strip() + (
            "+" if git("status", "--porcelain", "--", ".") else ""
        )
    except (subprocess.CalledProcessError, OSError):
        return lacbook.__version__


def _clips(config: TrainConfig, most: int | None) -> list[Clip]:
    """Clips of a data set, read once a process and not once a cell."""
    return _read(TrainConfig(**{name: getattr(config, name) for name in OF_THE_DATA}), most)


@lru_cache(maxsize=2)
def _read(config: TrainConfig, most: int | None) -> list[Clip]:
    return training_subset(config.load_clips(), most)


def _seconds(run: Path) -> float:
    """Seconds of training that a run's log adds up to."""
    import pandas as pd

    return float(pd.read_csv(run / "metrics.csv")["seconds"].sum())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread: several would sum in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes for several cells at a time; none for one."""
    if jobs == 1:
        yield None
        return
    # Spawned: a fork would inherit locks of threads that it has not.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _finished(
    pool: ProcessPoolExecutor | None,
    jobs: int,
    cells: Sequence[tuple[str, str, int]],
    *task: Any,
) -> Iterator[tuple[tuple[str, str, int], Future[tuple[dict[str, float], float]]]]:
    """Run cells and yield each as it ends."""
    config, root, runs = task
    if pool is None:
        for cell in cells:
            future: Future[tuple[dict[str, float], float]] = Future()
            try:
                future.set_result(run_cell(config, cell, root, runs))
            except InputError as error:
                future.set_exception(error)
            yield cell, future
        return
    under_way: dict[Future[tuple[dict[str, float], float]], tuple[str, str, int]] = {}
    waiting = list(cells)
    while waiting or under_way:
        while waiting and len(under_way) < jobs:
            cell = waiting.pop(0)
            under_way[pool.submit(run_cell, config, cell, root, runs)] = cell
        for future in wait(under_way, return_when=FIRST_COMPLETED).done:
            yield under_way.pop(future), future


def _joined(found: CompareConfig, given: CompareConfig, path: Path) -> CompareConfig:
    """Both comparisons in one; InputError where they set the same thing differently."""
    differing = [
        f"{name} is {getattr(found, name)!r} there, {getattr(given, name)!r} here"
        for name in ("train_clips", "pairs")
        if getattr(found, name) != getattr(given, name)
    ]
    for before, now in ((found.methods, given.methods), (found.datasets, given.datasets)):
        differing += [
            f"{key} has {before[key]} there, {now[key]} here"
            for key in now
            if key in before and before[key] != now[key]
        ]
    if differing:
        raise InputError(f"out: {path} is of another comparison: {'; '.join(differing)}")
    return dataclasses.replace(
        found,
        methods={**found.methods, **given.methods},
        datasets={**found.datasets, **given.datasets},
        seeds=tuple(dict.fromkeys((*found.seeds, *given.seeds))),
    )
