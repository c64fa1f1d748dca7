"""The `lacbook` command. Wrong input becomes one line and exit code 2; everything else is a real error."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import OmitArgPrefixes, Positional
from tyro.extras import SubcommandApp

import lacbook
from lacbook.errors import InputError
from lacbook.train import TrainConfig

Config = Annotated[TrainConfig, tyro.conf.arg(name="")]
DEMO = TrainConfig(epochs=12)

app, data_app = SubcommandApp(), SubcommandApp()


@app.command
def demo(config: Config = DEMO, out: Path = Path("runs/demo")) -> None:
    """Watch LAC learn to align the embedded Puppets videos, in a few minutes on a laptop.

    Trains, prints the metrics beside the controls', and leaves in the run folder what train leaves there,
    evaluation.csv, embeddings.npz, figures, alignment.png and aligned.mp4. A run that is there is replaced.

    For example:
      lacbook demo
      lacbook demo --epochs 5 --out runs/quick

    Args:
        config: Settings of the run.
        out: Run folder.
    """
    from lacbook.demo import demo as run

    run(config, out)


@app.command
def train(config: Config = TrainConfig(), *, out: Path, resume: bool = False) -> None:  # noqa: B008 - tyro shows it
    """Train an encoder and leave a run folder: config.yaml, metrics.csv, state.pt, model.safetensors.

    The log is there for TensorBoard, too: tensorboard --logdir runs.

    For example:
      lacbook train --out runs/puppets
      lacbook train --data ui-prmd --root DIR --movement deep_squat --epochs 40 --out runs/squat
      lacbook train --loss scl --seed 1 --out runs/scl_1 --resume

    Args:
        config: Settings of the run.
        out: Run folder; refused when it already holds a run, unless --resume is given.
        resume: Continue the run there, exactly as if it had not stopped. Where there is none it starts; a
            finished one is left as it is.
    """
    from lacbook.train import fit

    fit(config, out, resume=resume)
    print(f"trained: {out}")


@app.command
def evaluate(checkpoint: tuple[Path, ...], root: Path | None = None, out: Path | None = None) -> None:
    """Print and save the table of a trained run beside every control (evaluation.csv in the run folder).

    Each number is measured on subjects that never trained, per action, then averaged. Several runs, of
    several seeds, give means and standard deviations.

    For example:
      lacbook evaluate --checkpoint runs/puppets
      lacbook evaluate --checkpoint runs/squat_0 runs/squat_1 runs/squat_2 --out squat.csv

    Args:
        checkpoint: Run folders that `lacbook train` left.
        root: Folder of the data, when they have moved since training.
        out: Table of all runs together, as CSV; each run's own is in its folder anyway.
    """
    import pandas as pd

    from lacbook.evaluate import as_markdown, save_table
    from lacbook.evaluate import evaluate as measure

    if not checkpoint:
        raise InputError("checkpoint: expected one run folder or more, found none")
    if out is not None and out.is_dir():
        raise InputError(f"out: {out} is a folder; expected the name of a .csv file")
    runs = [_load(run, root) for run in checkpoint]  # all are read before the first is measured
    for run, (config, _) in zip(checkpoint[1:], runs[1:], strict=True):
        if dataclasses.replace(config, seed=runs[0][0].seed) != runs[0][0]:
            raise InputError(f"checkpoint: {run} differs from {checkpoint[0]} in more than its seed")
    if len({config.seed for config, _ in runs}) < len(runs):
        raise InputError("checkpoint: two runs have the same seed; expected one run a seed")
    tables = []
    for run, (config, learner) in zip(checkpoint, runs, strict=True):
        tables.append(measure(config, learner.encoder).assign(seed=config.seed))
        save_table(tables[-1], run / "evaluation.csv")
    table = pd.concat(tables)
    print(as_markdown(table))
    if out is not None:
        save_table(table, out)
    print(f"saved: {', '.join(str(run / 'evaluation.csv') for run in checkpoint)}{f', {out}' if out else ''}")


@app.command
def embed(checkpoint: Path, out: Path, root: Path | None = None) -> None:
    """Write the embeddings of all clips of a run's data to one .npz file, for an evaluator of your own.

    Arrays: embeddings [sum T, E] float32, lengths [V], labels [sum T] (-1 = none), split [V], video_id [V],
    action [V], active [sum T]. Training videos come in the seeded order whose first 10 and 50 % label the
    probes.

    For example:
      lacbook embed --checkpoint runs/puppets --out embeddings.npz

    Args:
        checkpoint: Run folder that `lacbook train` left.
        out: The file to write.
        root: Folder of the data, when they have moved since training.
    """
    from lacbook.evaluate import embed as embed_clips
    from lacbook.evaluate import in_order, save_embeddings

    if out.is_dir():
        raise InputError(f"out: {out} is a folder; expected the name of a .npz file")
    config, learner = _load(checkpoint, root)
    clips = in_order(config.load_clips(), config.seed)
    save_embeddings(out, clips, embed_clips(learner.encoder, clips))
    print(f"saved: {out} ({len(clips)} clips)")


@app.command
def align(
    a: Positional[Path],
    b: Positional[Path],
    *,
    out: Path,
    checkpoint: Path | None = None,
    margin: float | None = None,
    gap_open: float | None = None,
    gap_extend: float | None = None,
) -> None:
    """Align two videos: score, matched segments, a figure and a video in which matched frames play together.

    For example:
      lacbook align a.mp4 b.mp4 --out aligned
      lacbook align a.mp4 b.mp4 --checkpoint runs/puppets --gap-open 2 --out aligned

    Args:
        a: First video.
        b: Second video.
        out: Folder for alignment.json, alignment.png and aligned.mp4.
        checkpoint: Run folder of an encoder that reads frames; the one that comes with lacbook when left out.
        margin: Cosine at which two frames count as unrelated; as learned when left out.
        gap_open: Cost of the first skipped frame of a run, in units of similarity; as learned when left out.
        gap_extend: Cost of each further one; as learned when left out.
    """
    from lacbook.align import align_videos, committed_checkpoint, save_alignment
    from lacbook.train import load_run

    if out.exists() and not out.is_dir():
        raise InputError(f"out: {out} is a file; expected a folder")
    config, learner = load_run(checkpoint or committed_checkpoint())
    alignment, frames, fps = align_videos(
        a, b, learner, config, margin=margin, gap_open=gap_open, gap_extend=gap_extend
    )
    save_alignment(alignment, frames, fps, (a.name, b.name), out)
    print(f"score {alignment.score:.2f}, {len(alignment.path)} matched frames")
    for i0, i1, j0, j1, score in alignment.segments:
        print(
            f"  {a.name} {i0 / fps[0]:.2f}-{i1 / fps[0]:.2f} s  matches  "
            f"{b.name} {j0 / fps[1]:.2f}-{j1 / fps[1]:.2f} s  (score {score:.2f})"
        )
    if not alignment.segments:
        print("  nothing alike: no pair of frames scores above 0")
    print(f"saved: {out / 'alignment.json'}, alignment.png, aligned.mp4")


@app.command
def compare(
    out: Path = Path("runs/compare/results.csv"),
    config: Path | None = None,
    methods: tuple[str, ...] = (),
    datasets: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    root: Path | None = None,
    runs: Path = Path("runs/compare"),
    jobs: int = 1,
) -> None:
    """Train and measure every method on every data set with several seeds, and print where each stands.

    Results are appended to one tidy CSV as they come: method, dataset, seed, metric, value, seconds of
    training, revision of the code. What it holds is not run again, and a training run that was interrupted
    is resumed, so the same command goes on after a stop.

    For example:
      lacbook compare --methods scl lac time_only --datasets puppets --seeds 0 1 2
      lacbook compare --config my.yaml --out results.csv
      lacbook compare --out data/results/main.csv --root DIR --jobs 2

    Args:
        out: Table to write, or to go on with. Its settings stand beside it, in a .yaml of the same name.
        config: YAML of methods, datasets, seeds, train_clips, pairs; when left out, the settings beside out,
            or if there are none, the default comparison.
        methods: Only these of its methods; all when left out.
        datasets: Only these of its data sets.
        seeds: Only these of its seeds.
        root: Folder of UI-PRMD.
        runs: Folder for the training runs.
        jobs: Cells to run at a time, each in a process with one thread; results do not depend on it.
    """
    from lacbook.compare import CellsFailedError, CompareConfig, check_name, read_results
    from lacbook.compare import compare as run
    from lacbook.summary import standings

    check_name(out)
    beside = out.with_suffix(".yaml")
    settings = CompareConfig.load(config or beside) if config or beside.exists() else CompareConfig()
    cells = settings.cells(methods, datasets, seeds)
    failure = None
    try:
        run(settings, out, cells=cells, root=root, runs=runs, jobs=jobs)
    except CellsFailedError as error:  # what there is, is worth seeing
        failure = error
    table = read_results(out)
    for dataset in dict.fromkeys(table["dataset"]):
        print(f"\n{dataset}\n\n{standings(table, dataset)}")
    print("\nbold: better than the best control (italics); ▲ ▼: better, worse than scl;")
    print("p < 0.05 in a paired t-test over seeds, not corrected for the number of comparisons")
    if failure is not None:
        raise failure
    print(f"saved: {out}")


@app.command
def bench() -> None:
    """Time the alignments on this machine, beside other packages (options: lacbook bench --help)."""
    raise AssertionError("main hands its arguments to lacbook.alignment.bench")


@data_app.command
def render(out: Path, seed: int = 0) -> None:
    """Draw the Puppets data set anew: H.264 clips and annotations.npz.

    The same seed gives the same annotations, and on one machine the same frames.

    For example:
      lacbook data render --out my_puppets
      lacbook data render --out other_puppets --seed 7

    Args:
        out: Folder to make.
        seed: Of everything random.
    """
    from lacbook.data.puppets import render_dataset

    if seed < 0:
        raise InputError(f"seed: expected 0 or above, found {seed}")
    render_dataset(out, seed)
    print(f"rendered: {out}")


app.command(data_app, name="data", help="Make data sets: lacbook data render --help.")


def _load(checkpoint: Path, root: Path | None):  # type: ignore[no-untyped-def]
    """A run and its configuration, the latter with another root where one is given."""
    from lacbook.train import load_run

    config, learner = load_run(checkpoint)
    return (config if root is None else dataclasses.replace(config, root=str(root))), learner


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; exits 0, or 2 after one line on what was wrong with the input."""
    words = list(sys.argv[1:] if args is None else args)
    try:
        try:
            if words[:1] == ["bench"]:  # with a parser of its own, to run where little is installed
                from lacbook.alignment.bench import main as run_bench

                run_bench(words[1:])
                return
            app.cli(prog="lacbook", description=lacbook.__doc__, args=words, config=(OmitArgPrefixes,))
        finally:
            sys.stdout.flush()  # here, where a closed pipe can still be dealt with
    except BrokenPipeError:  # whoever reads, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except InputError as error:
        print("lacbook:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("lacbook: interrupted; compare goes on as it is, train with --resume", file=sys.stderr)
        sys.exit(130)
