"""Methods x data sets x seeds: what is run, what is not run again, and what it leaves."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from lacbook import cli, evaluate
from lacbook import compare as module
from lacbook.compare import COLUMNS, METHODS, CompareConfig, compare, read_results, run_cell, training_subset
from lacbook.config import LOSSES, OWN
from lacbook.data import load_clips
from lacbook.errors import InputError
from lacbook.evaluate import METRICS, in_order, measure, measure_control
from lacbook.losses.lac import LOCAL_TERMS

pytestmark = pytest.mark.usefixtures("one_thread")

ENCODER = {"frame_encoder": "pose", "dim": 16, "layers": 1, "heads": 2, "hidden": 16, "embedding_dim": 8}
PUPPETS = {"action": "squat", "epochs": 1, "view_length": 8, "encoder": ENCODER}


def small(*methods: str, seeds=(0,), **changes) -> CompareConfig:
    """A comparison on the squats of Puppets, as poses, that takes about a second a cell."""
    return CompareConfig(
        methods={m: {} for m in methods}, datasets={"puppets": PUPPETS | changes}, seeds=seeds, train_clips=6
    )


def without_seconds(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=["seconds", "revision"]).sort_values(list(COLUMNS[:4])).reset_index(drop=True)


def test_every_loss_and_local_term_has_a_method():
    settings = [CompareConfig().train_config(m, "puppets", 0) for m in METHODS]
    assert {config.loss for config in settings} == set(LOSSES) - {OWN}
    assert {config.local for config in settings if config.loss == "lac"} == set(LOCAL_TERMS)


def test_methods_differ_in_their_loss_and_nothing_else():
    """Nor do data sets ask for other settings of one method than of another."""
    of_the_loss = {"loss", "local", "local_weight", "temperature", "penalties", "gap_open", "gap_extend"}
    assert {key for changes in METHODS.values() for key in changes} == of_the_loss
    for method, changes in METHODS.items():
        assert method == "lac_released" or set(changes) <= {"loss", "local"}
    settings = [vars(CompareConfig().train_config(m, "ui-prmd", 3)) for m in (*METHODS, "untrained")]
    for config in settings:
        assert config["seed"] == 3
        assert all(config[key] == settings[0][key] for key in config.keys() - of_the_loss)


def test_the_released_objective_has_its_published_settings():
    config = CompareConfig().train_config("lac_released", "puppets", 0)
    assert (config.local_weight, config.temperature, config.penalties) == (0.01, 0.8, "matrix")
    assert (config.gap_open, config.gap_extend) == (1, 1)


@pytest.mark.parametrize("method", ["scl", "time_only"])
def test_pairs_reach_what_is_measured(tmp_path, method, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "measure", lambda clips, z, pairs: asked.append(pairs) or {})
    monkeypatch.setattr(evaluate, "measure", lambda clips, z, pairs: asked.append(pairs) or {})
    run_cell(dataclasses.replace(small("scl", "time_only"), pairs=7), (method, "puppets", 0), None, tmp_path)
    assert asked == [7]


def test_each_cell_leaves_a_row_a_metric(tmp_path):
    out = tmp_path / "results.csv"
    table = compare(small("scl", "majority", seeds=(0, 1)), out, runs=tmp_path / "runs")
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 2 * 2 * len(METRICS)
    assert not table.duplicated(["method", "dataset", "seed", "metric"]).any()
    assert (table.loc[table["method"].isin(METHODS), "seconds"] > 0).all()
    assert table["revision"].nunique() == 1
    assert sorted(path.name for path in (tmp_path / "runs" / "puppets").iterdir()) == ["scl_0", "scl_1"]


def test_the_numbers_are_those_of_train_and_evaluate(tmp_path):
    config = small("scl", "untrained", seeds=(3,))
    table = compare(config, tmp_path / "r.csv", runs=tmp_path / "runs").set_index(["method", "metric"])[
        "value"
    ]
    settings = config.train_config("scl", "puppets", 3)
    clips = in_order(training_subset(settings.load_clips(), 6), 3)
    _, learner = module.load_run(tmp_path / "runs" / "puppets" / "scl_3")
    expected = measure(clips, module.embed(learner.encoder, clips))
    assert table["scl"].to_dict() == pytest.approx(expected, abs=1e-4)
    assert table["untrained"].to_dict() == pytest.approx(
        measure_control("untrained", settings, clips), abs=1e-4
    )


def test_finished_cells_are_not_run_again(tmp_path, monkeypatch):
    out, asked = tmp_path / "r.csv", []
    compare(small("scl", "raw"), out, runs=tmp_path / "runs")
    before = out.read_text()
    monkeypatch.setattr(
        module, "run_cell", lambda config, cell, *rest: asked.append(cell) or run_cell(config, cell, *rest)
    )
    compare(small("scl", "raw"), out, runs=tmp_path / "runs")
    assert asked == []
    compare(small("raw", "time_only", seeds=(1,)), out, runs=tmp_path / "runs")
    assert asked == [("raw", "puppets", 1), ("time_only", "puppets", 1)]
    assert out.read_text().startswith(before)
    known = CompareConfig.load(tmp_path / "r.yaml")
    assert list(known.methods) == ["scl", "raw", "time_only"]
    assert known.seeds == (0, 1)


def test_other_settings_are_not_mixed_into_a_table(tmp_path):
    out = tmp_path / "r.csv"
    compare(small("raw"), out, runs=tmp_path / "runs")
    before = out.read_text(), (tmp_path / "r.yaml").read_text()
    given = small("raw")
    mine = dataclasses.replace(given, methods={"mine": {"loss": "scl"}})
    compare(mine, tmp_path / "m.csv", runs=tmp_path / "runs", cells=[("mine", "puppets", 0)])
    with pytest.raises(InputError, match="mine has"):
        compare(
            dataclasses.replace(given, methods={"mine": {"loss": "tcn"}}),
            *(tmp_path / "m.csv",),
            runs=tmp_path / "runs",
        )
    for other in (
        small("raw", epochs=2),
        dataclasses.replace(given, train_clips=7),
        dataclasses.replace(given, pairs=7),
    ):
        with pytest.raises(InputError, match=r"r.yaml is of another comparison: .* there, .* here"):
            compare(other, out, runs=tmp_path / "runs")
    assert (out.read_text(), (tmp_path / "r.yaml").read_text()) == before


@pytest.mark.slow
def test_processes_change_nothing(tmp_path):
    config = small("scl", "lac", seeds=(0,))
    alone = compare(config, tmp_path / "a.csv", runs=tmp_path / "a")
    together = compare(config, tmp_path / "b.csv", runs=tmp_path / "b", jobs=2)
    pd.testing.assert_frame_equal(without_seconds(alone), without_seconds(together), rtol=0, atol=0)


def test_a_failing_cell_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    def fails(config, cell, *rest):
        if cell[0] == "scl":
            raise InputError("the loss of epoch 0 is nan")
        return run_cell(config, cell, *rest)

    monkeypatch.setattr(module, "run_cell", fails)
    with pytest.raises(InputError, match=r"1 cell\(s\) failed, .* scl puppets 0: the loss of epoch 0 is nan"):
        compare(small("scl", "raw"), tmp_path / "r.csv", runs=tmp_path / "runs")
    assert set(read_results(tmp_path / "r.csv")["method"]) == {"raw"}


@pytest.mark.slow
def test_a_killed_comparison_goes_on(tmp_path):
    """SIGKILL while cells are under way: what is finished stays, and the end is as without the kill."""
    settings = tmp_path / "c.yaml"
    small("scl", "tcn", "lac", "raw", "untrained", epochs=4).save(settings)
    out = tmp_path / "r.csv"
    words = ["compare", "--config", settings, "--out", out, "--runs", tmp_path / "runs", "--jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lacbook", *map(str, words)], stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not out.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the kill hit a running comparison"
    finished = read_results(out)
    assert 0 < finished[["method", "seed"]].drop_duplicates().shape[0] < 5
    cli.main([str(word) for word in words])
    whole = compare(CompareConfig.load(settings), tmp_path / "w.csv", runs=tmp_path / "other")
    pd.testing.assert_frame_equal(without_seconds(read_results(out)), without_seconds(whole), atol=1e-4)


def test_a_subset_has_as_many_training_clips_of_each_action():
    clips = load_clips("puppets", modality="poses")
    some = training_subset(clips, 20)
    train = pd.Series([clip.action for clip in some if clip.split == "train"])
    assert train.value_counts().to_dict() == dict.fromkeys(train.unique(), 5)
    assert [c.video_id for c in some if c.split == "test"] == [c.video_id for c in clips if c.split == "test"]
    assert [c.video_id for c in training_subset(clips[::-1], 20)][::-1] == [c.video_id for c in some]
    assert len(training_subset(clips, None)) == len(clips)
    with pytest.raises(InputError, match="train_clips: 3 are fewer than the 4 actions"):
        training_subset(clips, 3)


def test_yaml_may_be_written_by_hand(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "methods:\n  scl:\n  tcn_triplet: {loss: tcn, tcn_form: triplet}\n"
        "datasets: {puppets: {epochs: 2}}\nseeds: [4, 5]\n"
    )
    config = CompareConfig.load(path)
    assert config.cells() == [
        *((method, "puppets", seed) for seed in (4, 5) for method in ("scl", "tcn_triplet")),
    ]
    chosen = config.train_config("tcn_triplet", "puppets", 5)
    assert (chosen.loss, chosen.tcn_form, chosen.epochs, chosen.seed) == ("tcn", "triplet", 2, 5)
    config.save(path)
    assert CompareConfig.load(path) == config
    path.write_text("methods: [scl, raw]\ndatasets: [puppets]\n")
    assert CompareConfig.load(path).methods == {"scl": {}, "raw": {}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("methods: [sloth]", "'sloth' is unknown and changes nothing; choose from tcn, tcc"),
        ("methods: {raw: {epochs: 1}}", "'raw' is a control; found settings for it"),
        ("methods: [scl]\ndatasets: {puppets: {epoch: 3}}", "unexpected keyword argument 'epoch'"),
        ("methods: [scl]\ndatasets: {puppets: {epochs: 0}}", "epochs: expected a number above 0, found 0"),
        ("methods: [scl]\ndatasets: [kinetics]", "'kinetics' is unknown; choose from puppets"),
        ("train_clips: 0", "train_clips: expected a whole number, 1 or more, found 0"),
        ("pairs: 10.5", "pairs: expected a whole number, 1 or more, found 10.5"),
        ("seeds: [0, 0]", "seeds: expected different whole numbers, found [0, 0]"),
        ("seeds: [1.7]", "seeds: expected different whole numbers"),
        ("methods: {0.1: {loss: scl}}", "methods: 0.1 is no text; put it in quotes"),
        ("methods: {mine: {loss: own}}", "'own' stands for a module"),
        ("seeds: []", "expected at least one of each"),
        ("seed: [1]", "unexpected keyword argument 'seed'"),
        ("- scl", "is not the YAML of a comparison"),
        ("methods: [", "is not the YAML of a comparison"),
    ],
)
def test_wrong_settings_are_named(tmp_path, text, complaint):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        CompareConfig.load(path)
    assert complaint in str(caught.value)
    assert "c.yaml" in str(caught.value)


def test_wrong_arguments_are_named(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for arguments, complaint in (
        ((tmp_path / "r.csv",), "jobs: expected 1 or more"),
        ((tmp_path / "r.txt",), "expected the name of a .csv file"),
        ((tmp_path / "other.csv",), "its columns are a, b; expected method, dataset"),
    ):
        with pytest.raises(InputError, match=complaint):
            compare(small("raw"), *arguments, runs=tmp_path / "runs", jobs=0 if "jobs" in complaint else 1)
    with pytest.raises(InputError, match="root: --data ui-prmd needs --root"):
        compare(CompareConfig(methods={"raw": {}}, datasets={"ui-prmd": {}}), tmp_path / "r.csv")
    assert not (tmp_path / "r.csv").exists()


def test_the_command_goes_on_with_the_settings_beside_the_table(tmp_path, capsys):
    settings, out = tmp_path / "c.yaml", tmp_path / "r.csv"
    small("scl", "raw", "time_only").save(settings)
    cli.main(["compare", "--config", str(settings), "--out", str(out), "--runs", str(tmp_path / "runs")])
    first = capsys.readouterr().out
    cli.main(["compare", "--out", str(out), "--runs", str(tmp_path / "runs")])
    assert capsys.readouterr().out == first
    assert "| scl" in first
    assert yaml.safe_load((tmp_path / "r.yaml").read_text())["train_clips"] == 6


def test_the_command_takes_a_part_of_the_comparison(tmp_path, capsys):
    settings, out = tmp_path / "c.yaml", tmp_path / "r.csv"
    small("scl", "raw", "majority", seeds=(0, 1)).save(settings)
    words = ["compare", "--config", settings, "--out", out, "--runs", tmp_path / "runs"]
    cli.main([*map(str, words), "--methods", "raw", "majority", "--seeds", "1", "--datasets", "puppets"])
    found = read_results(out)[["method", "seed"]].drop_duplicates().values.tolist()
    assert found == [["raw", 1], ["majority", 1]]
    assert CompareConfig.load(tmp_path / "r.yaml") == CompareConfig.load(settings), "the whole is kept"
    with pytest.raises(SystemExit):
        cli.main([*map(str, words), "--methods", "sloth"])
    assert "methods: 'sloth' is not in the comparison, which has scl" in capsys.readouterr().err


def test_a_whole_table_is_printed_without_its_data(tmp_path, monkeypatch, capsys):
    settings, out = tmp_path / "c.yaml", tmp_path / "r.csv"
    small("raw", "majority").save(settings)
    words = ["compare", "--config", str(settings), "--out", str(out), "--runs", str(tmp_path / "runs")]
    cli.main(words)
    first = capsys.readouterr().out
    yaml_text = "# mine\n" + (tmp_path / "r.yaml").read_text()
    (tmp_path / "r.yaml").write_text(yaml_text)
    monkeypatch.setattr(module, "_clips", lambda *_: pytest.fail("no clips are needed"))
    cli.main(["compare", "--out", str(out)])
    assert capsys.readouterr().out == first
    assert (tmp_path / "r.yaml").read_text() == yaml_text, "nothing to write, comments stay"


def test_what_succeeded_is_printed_when_a_cell_failed(tmp_path, monkeypatch, capsys):
    def fails(config, cell, *rest):
        if cell[0] == "scl":
            raise InputError("the loss of epoch 0 is nan")
        return run_cell(config, cell, *rest)

    monkeypatch.setattr(module, "run_cell", fails)
    settings = tmp_path / "c.yaml"
    small("scl", "majority").save(settings)
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", "--config", str(settings), "--out", str(tmp_path / "r.csv")])
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert "| majority" in shown.out
    assert "1 cell(s) failed" in shown.err


def test_a_run_on_other_clips_is_not_taken(tmp_path):
    compare(small("scl"), tmp_path / "a.csv", runs=tmp_path / "runs")
    other = dataclasses.replace(small("scl"), train_clips=8)
    with pytest.raises(InputError, match=r"runs: .*scl_0 was trained on other clips"):
        compare(other, tmp_path / "b.csv", runs=tmp_path / "runs")


def test_a_table_cut_by_hand_is_mended(tmp_path):
    out = tmp_path / "r.csv"
    whole = compare(small("majority", "time_only"), out, runs=tmp_path / "runs")
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:-5]))
    with pytest.warns(UserWarning, match="7 rows of cells that are not whole"):
        again = compare(small("majority", "time_only"), out, runs=tmp_path / "runs")
    pd.testing.assert_frame_equal(without_seconds(again), without_seconds(whole))
    for broken in (lines[-1][:12], lines[-1].replace("0.", "none", 1)):
        out.write_text("".join(lines[:-1]) + broken)
        with pytest.raises(InputError, match="is not the table of a comparison"):
            read_results(out)


def test_what_is_printed_first_is_what_the_table_holds(tmp_path):
    table = compare(small("time_only", "raw"), tmp_path / "r.csv", runs=tmp_path / "runs")
    pd.testing.assert_frame_equal(read_results(tmp_path / "r.csv"), table, rtol=0, atol=0)


def test_a_killed_process_is_said_in_a_line(tmp_path, monkeypatch):
    def broken(*_):
        future = Future()
        future.set_exception(BrokenProcessPool("terminated abruptly"))
        yield ("majority", "puppets", 0), future

    monkeypatch.setattr(module, "_finished", broken)
    with pytest.raises(InputError, match=r"a process was killed, .* the same command goes on"):
        compare(small("majority"), tmp_path / "r.csv", runs=tmp_path / "runs")


@pytest.mark.slow
def test_processes_end_with_the_one_that_started_them(tmp_path):
    """Or else they would train on, beside those of the command that goes on."""
    settings = tmp_path / "c.yaml"
    small("scl", "tcn", epochs=2000).save(settings)
    words = [
        "compare",
        "--config",
        settings,
        "--out",
        tmp_path / "r.csv",
        "--runs",
        tmp_path / "runs",
        "--jobs",
        2,
    ]
    process = subprocess.Popen([sys.executable, "-m", "lacbook", *map(str, words)], stderr=subprocess.DEVNULL)
    logs = [tmp_path / "runs" / "puppets" / f"{m}_0" / "metrics.csv" for m in ("scl", "tcn")]
    deadline = time.monotonic() + 120
    while not all(log.exists() for log in logs) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    time.sleep(2)
    before = [len(log.read_text().splitlines()) for log in logs]
    time.sleep(3)
    assert [len(log.read_text().splitlines()) for log in logs] == before
    assert all(rows < 2000 for rows in before)


def test_threads_are_given_back():
    torch.set_num_threads(2)
    with module._one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_ui_prmd_takes_its_folder_from_the_command(ui_prmd):
    config = CompareConfig(
        methods={"time_only": {}}, datasets={"ui-prmd": {}}, seeds=(0,), train_clips=20, pairs=20
    )
    values, seconds = run_cell(config, ("time_only", "ui-prmd", 0), ui_prmd, ui_prmd)
    assert seconds == 0
    assert values["tau"] > 0.99
    assert np.isfinite(list(values.values())).all()
