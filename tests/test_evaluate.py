"""One table for the method and every control, and embeddings from which an outsider recomputes it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from lacbook import evaluate
from lacbook.errors import InputError
from lacbook.evaluate import CONTROLS, METRICS
from lacbook.models.encoder import EncoderConfig
from lacbook.train import Learner, TrainConfig

CONFIGURATION = TrainConfig(
    data="ui-prmd", encoder=EncoderConfig(dim=16, layers=1, heads=2, hidden=16, embedding_dim=8)
)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(7)
    return Learner(CONFIGURATION, 6).encoder.eval()


@pytest.fixture(scope="module")
def table(encoder, toy_clips):
    return evaluate.evaluate(CONFIGURATION, encoder, toy_clips)


def test_the_table_has_every_metric_of_the_method_and_of_all_controls(table):
    wide = evaluate.wide(table)
    assert set(wide.index) == {"lac", *CONTROLS}
    assert tuple(wide.columns) == METRICS
    assert len(table) == len(METRICS) * (1 + len(CONTROLS))
    accuracies = [name for name in METRICS if name.startswith("acc@")]
    assert wide.loc["majority", accuracies].notna().all()
    assert wide.loc["majority"].drop(accuracies).isna().all()
    assert wide.drop("majority").notna().all().all()


def test_counting_frames_passes_tau_and_fails_the_events(table):
    time_only = evaluate.wide(table).loc["time_only"]
    assert time_only["tau"] > 0.98
    assert time_only["event_error"] >= 1


def test_majority_names_the_commonest_training_phase(table, toy_clips):
    train, test = (
        np.concatenate([clip.phase for clip in toy_clips if clip.split == split])
        for split in ("train", "test")
    )
    share = (test == np.bincount(train).argmax()).mean()
    assert evaluate.wide(table).loc["majority", "acc@100"] == pytest.approx(share)


def test_metrics_are_taken_for_each_action_then_averaged(toy_clips):
    half = [dataclasses.replace(clip, action="bend") for clip in toy_clips]
    # Events of one action are found exactly, those of the other are all carried to the first frame.
    good = [np.eye(60)[np.searchsorted(c.events, np.arange(len(c)), side="right")] for c in toy_clips]
    for frames, clip in zip(good, toy_clips, strict=True):
        frames[clip.events] = np.eye(60)[10 : 10 + len(clip.events)]
    bad = [np.ones((len(clip), 60)) for clip in half]
    alone = [evaluate.measure(clips, z)["event_error"] for clips, z in ((toy_clips, good), (half, bad))]
    both = evaluate.measure([*toy_clips, *half], [*good, *bad])["event_error"]
    assert alone[0] == 0
    assert alone[1] > 5
    assert both == pytest.approx(np.mean(alone))


def test_training_clips_come_in_an_order_that_the_seed_decides(toy_clips):
    def order(seed):
        return [clip.video_id for clip in evaluate.in_order(toy_clips[::-1], seed)]

    assert order(0) == order(0)
    assert order(0) != order(1)
    train, test = order(0)[:6], order(0)[6:]
    assert sorted(train) == [f"toy_{k}" for k in range(6)]
    assert test == ["toy_8", "toy_7", "toy_6"]


def test_the_order_does_not_depend_on_the_order_before(toy_clips):
    def names(clips):
        return [clip.video_id for clip in clips]

    once = evaluate.in_order(toy_clips, seed=3)
    assert names(evaluate.in_order(once, seed=3)) == names(once)


def test_embedding_a_clip_alone_gives_unit_vectors_of_every_frame(encoder, toy_clips):
    z = evaluate.embed(encoder, toy_clips)
    assert [frames.shape for frames in z] == [(len(clip), 8) for clip in toy_clips]
    assert all(frames.dtype == np.float32 for frames in z)
    assert np.allclose(np.linalg.norm(np.concatenate(z), axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("features", [evaluate.raw_features, evaluate.time_features])
def test_controls_are_unit_vectors_of_every_frame(features, toy_clips):
    z = features(toy_clips)
    assert [len(frames) for frames in z] == [len(clip) for clip in toy_clips]
    assert np.allclose(np.linalg.norm(np.concatenate(z), axis=1), 1)


def test_raw_frames_are_reduced_by_what_the_training_clips_show(toy_clips):
    rng = np.random.default_rng(0)

    def filmed(clip, bright=256):
        return dataclasses.replace(
            clip, values=rng.integers(0, bright, (len(clip), 20, 20, 3), dtype=np.uint8)
        )

    clips = [filmed(clip) for clip in toy_clips]
    z = evaluate.raw_features(clips)
    assert [frames.shape for frames in z] == [(len(clip), 64) for clip in clips]
    other_test = evaluate.raw_features(clips[:6] + [filmed(clip, 20) for clip in clips[6:]])
    assert all(np.array_equal(one, other) for one, other in zip(z[:6], other_test[:6], strict=True))


def test_time_features_depend_on_the_length_alone(toy_clips):
    changed = [dataclasses.replace(clip, values=-3 * clip.values) for clip in toy_clips]
    for one, other in zip(evaluate.time_features(toy_clips), evaluate.time_features(changed), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("split", ["train", "test"])
def test_too_few_clips_are_refused(encoder, toy_clips, split):
    kept = [clip for clip in toy_clips if clip.split != split]
    with pytest.raises(InputError, match=f"fewer than two {split} clips"):
        evaluate.evaluate(CONFIGURATION, encoder, kept)


def test_an_outside_evaluator_gets_the_tables_accuracy_from_the_saved_embeddings(
    tmp_path, encoder, toy_clips, table
):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    clips = evaluate.in_order(toy_clips, CONFIGURATION.seed)
    evaluate.save_embeddings(tmp_path / "z.npz", clips, evaluate.embed(encoder, clips))
    with np.load(tmp_path / "z.npz", allow_pickle=False) as file:
        saved = dict(file)
    frames = sum(len(clip) for clip in clips)
    assert {name: (array.shape, array.dtype.kind) for name, array in saved.items()} == {
        "embeddings": ((frames, 8), "f"),
        "lengths": ((9,), "i"),
        "labels": ((frames,), "i"),
        "split": ((9,), "U"),
        "video_id": ((9,), "U"),
        "action": ((9,), "U"),
        "active": ((frames,), "b"),
    }
    assert saved["embeddings"].dtype == np.float32
    assert saved["video_id"].tolist() == [clip.video_id for clip in clips]
    assert saved["lengths"].tolist() == [len(clip) for clip in clips]
    assert np.array_equal(saved["active"], np.concatenate([clip.active for clip in clips]))

    expected = evaluate.wide(table).loc["lac"]
    train_videos = np.flatnonzero(saved["split"] == "train")
    video = np.repeat(np.arange(9), saved["lengths"])
    test = np.repeat(saved["split"] == "test", saved["lengths"])
    x, y = saved["embeddings"], saved["labels"]
    for share in (0.1, 0.5, 1.0):
        train = np.isin(video, train_videos[: max(1, int(share * len(train_videos)))])
        scaler = StandardScaler().fit(x[train])
        probe = LogisticRegression(max_iter=1000).fit(scaler.transform(x[train]), y[train])
        accuracy = probe.score(scaler.transform(x[test]), y[test])
        assert accuracy == pytest.approx(expected[f"acc@{round(100 * share)}"], abs=1e-3)


def test_a_saved_table_reads_back(tmp_path, table):
    import pandas as pd

    evaluate.save_table(table, tmp_path / "table.csv")
    read = pd.read_csv(tmp_path / "table.csv")
    assert list(read.columns) == ["method", "metric", "value"]
    assert np.allclose(read["value"], table["value"], atol=1e-4, equal_nan=True)


def test_the_wide_table_is_the_mean_over_seeds(table):
    import pandas as pd

    seeds = pd.concat([table, table.assign(value=table["value"] + 1)])
    assert np.allclose(evaluate.wide(seeds), evaluate.wide(table) + 0.5, equal_nan=True)


def test_markdown_gives_mean_and_deviation_over_seeds():
    import pandas as pd

    rows = [
        ("lac", "acc@10", 0.5, 0),
        ("lac", "acc@10", 0.7, 1),
        ("lac", "tau", 0.25, 0),
        ("lac", "tau", 0.25, 1),
    ]
    rows += [("majority", "acc@10", 0.125, seed) for seed in (0, 1)]
    rows += [("majority", "tau", float("nan"), seed) for seed in (0, 1)]
    table = pd.DataFrame(rows, columns=["method", "metric", "value", "seed"])
    assert evaluate.as_markdown(table).splitlines() == [
        "| metric | lac           | majority      |",
        "|--------|---------------|---------------|",
        "| acc@10 | 0.600 ± 0.141 | 0.125 ± 0.000 |",
        "| tau    | 0.250 ± 0.000 | -             |",
    ]
    assert "| acc@10 | 0.500 |" in evaluate.as_markdown(table[table["seed"] == 0])


def test_pairs_are_a_number_over_all_actions(toy_clips, monkeypatch):
    """So many in total, as many of each action, for tau and for what is measured along paths."""
    half = [dataclasses.replace(clip, action="bend") for clip in toy_clips]
    clips = evaluate.in_order(
        [*toy_clips, *(dataclasses.replace(c, video_id=f"{c.video_id}_bend") for c in half)], 0
    )
    z = [np.random.default_rng(k).standard_normal((len(clip), 4)) for k, clip in enumerate(clips)]
    asked = []
    for name in ("kendall_tau", "path_metrics"):
        real = getattr(evaluate.metrics, name)

        def spy(*args, real=real, **kwargs):
            asked.append(kwargs.get("pairs", args[3] if len(args) > 3 else None))
            return real(*args, **kwargs)

        monkeypatch.setattr(evaluate.metrics, name, spy)
    monkeypatch.setattr(evaluate.metrics, "choose_path_options", lambda *_: evaluate.metrics.PATH_GRID[0])
    evaluate.measure(clips, z, 8)
    assert [len(pairs) for pairs in asked] == [4] * 6
    asked.clear()
    evaluate.measure(clips, z)
    assert [len(pairs) for pairs in asked] == [6] * 6  # all of three test clips
