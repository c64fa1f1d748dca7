"""Methods x data sets x seeds: the same encoder, views, budget and protocol for every loss, and one table.

A *cell* is one method on one data set with one seed: a training run and its measurement, or the measurement
of a control. Cells that the table holds are not run again, so an interrupted comparison goes on where it was.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml
from tqdm.auto import tqdm

import lacbook
from lacbook.compare_config import METHODS, Cell, CompareConfig
from lacbook.data.clips import Clip
from lacbook.errors import InputError
from lacbook.evaluate import CONTROLS, METRICS, embed, in_order, measure, measure_control
from lacbook.files import whole_file
from lacbook.train import CONFIG, LOG, TrainConfig, fit, load_run

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METHODS", "CellsFailedError", "CompareConfig", "compare", "read_results"]  # what users need
OF_THE_DATA = ("data", "root", "action", "movement", "idle", "size", "encoder")  # what decides the clips
COLUMNS = ("method", "dataset", "seed", "metric", "value", "seconds", "revision")


class CellsFailedError(InputError):
    """Some cells could not be run; the results of the others are there."""


def compare(
    config: CompareConfig,
    out: Path,
    *,
    cells: Sequence[Cell] | None = None,
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
        Beside it, the configuration as YAML: what it says of a method or data set must not change later, but
        methods, data sets and seeds may be added. One comparison at a time in a table.
    cells : sequence of (method, data set, seed), optional
        Only these of `config.cells`; all when left out.
    root : Path, optional
        Folder of UI-PRMD.
    runs : Path
        Folder for the training runs. One that was interrupted is resumed, a finished one is measured.
    jobs : int, default 1
        Cells at a time, each in a process of its own. Torch has one thread in any case, so that results do
        not depend on it (on a CPU).

    Returns
    -------
    DataFrame
        All of `out`.

    Raises
    ------
    CellsFailedError
        Some cells failed; the others are run first.
    InputError
        `out` belongs to another comparison, data are missing, or a process was killed.
    """
    import pandas as pd

    if jobs < 1:
        raise InputError(f"jobs: expected 1 or more, found {jobs}")
    check_name(out)
    table = read_results(out)
    beside = out.with_suffix(".yaml")
    found = CompareConfig.load(beside) if len(table) else None
    known = config if found is None else _joined(found, config, beside)
    wanted = list(config.cells() if cells is None else cells)
    done = set(table[["method", "dataset", "seed"]].itertuples(index=False, name=None))
    missing = [cell for cell in wanted if cell not in done]
    for dataset in {dataset: None for _, dataset, _ in missing}:  # missing data end it now, not in an hour
        _clips(config.train_config(next(iter(config.methods)), dataset, 0, root), config.train_clips)
    if not beside.exists() or CompareConfig.load(beside) != known:
        known.save(beside)
    failed, commit = [], revision()
    progress = tqdm(total=len(wanted), initial=len(wanted) - len(missing), unit="cell", desc="compare")
    with progress, _pool(jobs) as pool:
        for cell, future in _finished(pool, jobs, missing, config, root, runs):
            progress.set_postfix_str(" ".join(map(str, cell)))
            progress.update()
            try:
                values, seconds = future.result()
            except InputError as error:
                failed.append(f"{' '.join(map(str, cell))}: {error}")
                tqdm.write(f"failed: {failed[-1]}", file=sys.stderr)
                continue
            except BrokenProcessPool as error:
                raise InputError(
                    f"jobs: a process was killed, perhaps for want of memory; what is finished is in {out}, "
                    "and the same command goes on, with fewer --jobs if need be"
                ) from error
            rows = [(*cell, metric, value, seconds, commit) for metric, value in values.items()]
            added = pd.DataFrame(rows, columns=COLUMNS)
            table = pd.concat([table, added], ignore_index=True) if len(table) else added
            with whole_file(out) as temporary:
                table.to_csv(temporary, index=False)
    if failed:
        raise CellsFailedError(f"{len(failed)} cell(s) failed, the others are in {out}: {'; '.join(failed)}")
    return table


def check_name(out: Path) -> None:
    """InputError unless the name of a table ends in .csv."""
    if out.suffix != ".csv":
        raise InputError(f"out: {out}; expected the name of a .csv file")


def run_cell(
    config: CompareConfig, cell: Cell, root: Path | None, runs: Path
) -> tuple[dict[str, float], float]:
    """Train and measure one cell, in one thread; its metrics and the seconds of training."""
    method, dataset, seed = cell
    train_config = config.train_config(method, dataset, seed, root)
    with _one_thread():
        clips = _clips(train_config, config.train_clips)
        ordered = in_order(clips, seed)
        if method in CONTROLS:
            return measure_control(method, train_config, ordered, config.pairs), 0.0
        run = runs / dataset / f"{method}_{seed}"
        _check_same_clips(run, clips)
        fit(train_config, run, resume=True, clips=clips)
        _, learner = load_run(run)
        z = embed(learner.encoder, ordered, desc=f"embed {method}")
        return measure(ordered, z, config.pairs), _seconds(run)


def read_results(path: Path) -> pd.DataFrame:
    """Read the CSV of a comparison, empty where there is none yet; InputError if it is something else.

    Cells that lack some of `METRICS` are left out, with a warning: someone has cut the file by hand.
    """
    import pandas as pd

    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    kinds = {"seed": int, "value": float, "seconds": float}
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values={"value": [""]})
        if tuple(table.columns) != COLUMNS:
            raise ValueError(f"its columns are {', '.join(table.columns)}; expected {', '.join(COLUMNS)}")
        table = table.astype(kinds)
    except (ValueError, OSError) as error:
        raise InputError(f"out: {path} is not the table of a comparison ({error})") from error
    whole = table.groupby(["method", "dataset", "seed"])["metric"].transform("nunique") == len(METRICS)
    if not whole.all():
        warnings.warn(f"{path}: {(~whole).sum()} rows of cells that are not whole are left out", stacklevel=2)
    return table[whole].reset_index(drop=True)


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
    here = Path(lacbook.__file__)

    def git(*words: str) -> str:
        command = ["git", "-C", str(here.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    try:
        git("ls-files", "--error-unmatch", here.name)  # or else it is the repository of something around us
        changed = git("status", "--porcelain", "--", ".")
        return git("rev-parse", "--short", "HEAD").strip() + ("+" if changed else "")
    except (subprocess.CalledProcessError, OSError):
        return lacbook.__version__


def _clips(config: TrainConfig, most: int | None) -> list[Clip]:
    """Clips of a data set, read once a process and not once a cell."""
    return _read(TrainConfig(**{name: getattr(config, name) for name in OF_THE_DATA}), most)


@lru_cache(maxsize=2)
def _read(config: TrainConfig, most: int | None) -> list[Clip]:
    return training_subset(config.load_clips(), most)


def _check_same_clips(run: Path, clips: Sequence[Clip]) -> None:
    """Note which clips a run is trained on; InputError if it was begun with others."""
    names = sorted(clip.video_id for clip in clips if clip.split == "train")
    note = run / "clips.yaml"
    if (run / CONFIG).exists() and (not note.is_file() or yaml.safe_load(note.read_text()) != names):
        raise InputError(f"runs: {run} was trained on other clips; remove it, or give another folder")
    with whole_file(note) as temporary:
        temporary.write_text(yaml.safe_dump(names))


def _seconds(run: Path) -> float:
    """Seconds of training that a run's log adds up to."""
    import pandas as pd

    return float(pd.read_csv(run / LOG)["seconds"].sum())


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
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_end_with_parent)
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"  # read when a process starts: several bars would overwrite ours
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        if before is None:
            del os.environ["TQDM_DISABLE"]
        else:
            os.environ["TQDM_DISABLE"] = before


def _end_with_parent() -> None:
    """Let this process end as soon as the one that started it is gone, however that was killed."""

    def wait_for_the_end() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait_for_the_end, daemon=True).start()


def _finished(
    pool: ProcessPoolExecutor | None,
    jobs: int,
    cells: Sequence[Cell],
    *task: Any,
) -> Iterator[tuple[Cell, Future[tuple[dict[str, float], float]]]]:
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
    under_way: dict[Future[tuple[dict[str, float], float]], Cell] = {}
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
