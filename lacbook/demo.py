"""The main job: train LAC on Puppets, measure it against the controls, and show what it learned."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from lacbook.data.clips import Clip
from lacbook.errors import InputError
from lacbook.files import whole_file
from lacbook.train import CONFIG, LOG, TrainConfig, fit, load_run, refuse_own


def demo(config: TrainConfig, out: Path) -> None:
    """Train, evaluate, embed and draw; a run in `out` is replaced.

    Leaves in `out` what `lacbook.train.fit` leaves, and ``evaluation.csv``, ``embeddings.npz``,
    ``figures/*.png``, ``alignment.json``, ``alignment.png`` and ``aligned.mp4``.

    Parameters
    ----------
    config : TrainConfig
    out : Path

    Raises
    ------
    InputError
        `out` is a file, or a folder that holds something other than a run; the data are no videos, or show no
        action by two test subjects.
    """
    import matplotlib.pyplot as plt
    import pandas as pd

    from lacbook.align import align_embeddings, save_alignment
    from lacbook.evaluate import (
        as_markdown,
        embed,
        embed_values,
        evaluate,
        in_order,
        save_embeddings,
        save_table,
    )
    from lacbook.viz.curves import plot_learning_curves, plot_metrics
    from lacbook.viz.style import theme

    if out.is_dir() and any(out.iterdir()) and not (out / CONFIG).exists():
        raise InputError(
            f"out: {out} holds files and no run; expected an empty folder, an earlier demo, or a new name"
        )
    refuse_own(config)
    if config.modality != "frames":
        raise InputError("demo: shows videos; for poses use lacbook train and lacbook evaluate")
    print("1/4  decode the clips")
    clips = config.load_clips()
    pair = _two_subjects(clips)
    train, test = ([clip for clip in clips if clip.split == split] for split in ("train", "test"))
    actions = len({clip.action for clip in clips})
    print(f"     {len(train)} training and {len(test)} test clips of {actions} actions, no subject in both")
    print(f"2/4  train {config.loss} for {config.epochs} epochs")
    fit(config, out, overwrite=True, clips=clips)
    config, learner = load_run(out)
    print("3/4  measure it against the controls, on subjects it has never seen")
    table = evaluate(config, learner.encoder, clips)
    save_table(table, out / "evaluation.csv")
    print(as_markdown(table))
    print("4/4  embeddings, figures and a video")
    ordered = in_order(clips, config.seed)
    save_embeddings(out / "embeddings.npz", ordered, embed(learner.encoder, ordered))
    z_a, z_b = (embed_values(learner.encoder, clip.values) for clip in pair)
    save_alignment(
        align_embeddings(z_a, z_b, learner, config),
        [clip.values for clip in pair],
        [clip.fps for clip in pair],
        (pair[0].video_id, pair[1].video_id),
        out,
        phases=(pair[0].phase, pair[1].phase),
    )
    log = pd.read_csv(out / LOG)
    for name, draw in (
        ("learning_curves", lambda: plot_learning_curves(log)),
        ("metrics", lambda: plot_metrics(table)),
    ):
        with theme(), whole_file(out / "figures" / f"{name}.png") as temporary:
            draw()
            plt.savefig(temporary, format="png")
            plt.close()
    print(f"\nIn {out}: the checkpoint, metrics.csv, evaluation.csv, embeddings.npz,")
    print("     alignment.json, alignment.png, figures/ and aligned.mp4")


def _two_subjects(clips: Sequence[Clip]) -> tuple[Clip, Clip]:
    """Two clips of one action by two people who never trained."""
    for a, b in combinations([clip for clip in clips if clip.split == "test"], 2):
        if a.action == b.action and a.subject != b.subject:
            return a, b
    raise InputError("data: no action is done by two test subjects; the demo aligns two of them")
