"""The main job: train LAC on Puppets, measure it against the controls, and show what it learned."""

from __future__ import annotations

from pathlib import Path

from lacbook.errors import InputError
from lacbook.files import whole_file
from lacbook.train import CONFIG, LOG, TrainConfig, fit, load_run


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
        `out` is a file, or a folder that holds something other than a run.
    """
    import matplotlib.pyplot as plt
    import pandas as pd

    from lacbook.align import align_embeddings, save_alignment
    from lacbook.data.clips import Clip
    from lacbook.evaluate import as_markdown, embed, evaluate, in_order, save_embeddings, save_table
    from lacbook.viz.curves import plot_learning_curves, plot_metrics
    from lacbook.viz.style import use_theme

    if out.is_dir() and any(out.iterdir()) and not (out / CONFIG).exists():
        raise InputError(
            f"out: {out} holds files and no run; expected an empty folder, an earlier demo, or a new name"
        )
    print("1/4  decode the clips")
    clips = in_order(config.load_clips(), config.seed)
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
    z = embed(learner.encoder, clips)
    save_embeddings(out / "embeddings.npz", clips, z)

    def of_action(action: str) -> list[int]:
        return [k for k, clip in enumerate(clips) if clip.split == "test" and clip.action == action]

    # Two people who never trained, doing the same thing.
    first, *others = of_action(test[0].action)
    second = next(k for k in others if clips[k].subject != clips[first].subject)
    pair: list[Clip] = [clips[first], clips[second]]
    save_alignment(
        align_embeddings(z[first], z[second], learner, config),
        [clip.values for clip in pair],
        [clip.fps for clip in pair],
        (pair[0].video_id, pair[1].video_id),
        out,
        phases=(pair[0].phase, pair[1].phase),
    )
    use_theme()
    log = pd.read_csv(out / LOG)
    for name, draw in (
        ("learning_curves", lambda: plot_learning_curves(log)),
        ("metrics", lambda: plot_metrics(table)),
    ):
        draw()
        with whole_file(out / "figures" / f"{name}.png") as temporary:
            plt.savefig(temporary)
        plt.close()
    print(f"\nIn {out}: the checkpoint, metrics.csv, evaluation.csv, embeddings.npz,")
    print("     alignment.json, alignment.png, figures/ and aligned.mp4")
