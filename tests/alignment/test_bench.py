"""`lacbook bench`: who plays when, what is printed and stored, and what happens when something goes wrong."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from lacbook.alignment import bench, bench_contestants, soft_smith_waterman
from lacbook.alignment.bench_contestants import MODES, PEERS, Contestant, Peer, contestants
from lacbook.alignment.bench_memory import measure, peak_megabytes
from lacbook.alignment.bench_table import as_text
from lacbook.cli import main
from lacbook.errors import InputError
from lacbook.viz.bench import plot_bench

QUICK = ["--seconds", "0.001", "--no-memory"]


class Clock:
    """Time that passes only when told to."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def __call__(self):
        return self.now

    def contestant(self, name, *costs, mode="hard"):
        """One whose calls take the seconds given, the last of them for ever."""
        left = list(costs)

        def call():
            self.log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return Contestant(mode, name, lambda similarity: call)


@pytest.fixture
def peers(monkeypatch):
    """Nobody but the peers that a test puts in."""
    monkeypatch.setattr(bench_contestants, "PEERS", {})
    return bench_contestants.PEERS


@pytest.fixture
def report():
    """A stored run of two sizes, the second of them large."""
    times = {("exp", "exp"): 0.001, ("gradient", "numba"): 0.004, ("gradient", "wavefront"): 0.4}
    times |= {("soft-dtw", "numba"): 0.006, ("soft-dtw", "tslearn"): 0.003}
    rows = [
        {
            "pairs": pairs,
            "frames": 1000,
            "mode": mode,
            "contestant": name,
            "seconds": [pairs * best * 1.5, pairs * best, pairs * best * 2],
            "megabytes": None if mode == "exp" else 24.0,
            "error": None,
        }
        for pairs in (1, 2)
        for (mode, name), best in times.items()
    ]
    rows[-1] |= {"seconds": [], "megabytes": None, "error": "RuntimeError: no luck"}
    return {
        "machine": {"cpu": "A Processor", "cores": 2},
        "versions": {"torch": "2.13.0"},
        "settings": {"device": "cpu", "threads": 2, "pin": False, "seconds": 3.0, "seed": 0},
        "rows": rows,
    }


def lines_of(text):
    """Words of each line."""
    return [line.split() for line in text.splitlines()]


def test_everyone_has_a_call_in_every_round():
    clock = Clock()
    players = [clock.contestant(name, cost) for name, cost in (("a", 0.125), ("b", 1.0), ("c", 0.125))]
    times = bench.take_turns({p: p.prepare(None) for p in players}, 3.0, clock)
    assert clock.log[: 6 * bench.FEWEST] == ["a", "a", "b", "b", "c", "c"] * bench.FEWEST  # one to warm up
    assert set(clock.log[6 * bench.FEWEST :]) == {"a", "c"}  # b has used up its second
    assert [len(times[p]) for p in players] == [8, bench.FEWEST, 8]
    assert times[players[1]] == pytest.approx([1.0] * bench.FEWEST)


def test_rounds_are_limited():
    clock = Clock()
    player = clock.contestant("a", 1e-6)
    assert len(bench.take_turns({player: player.prepare(None)}, 3.0, clock)[player]) == bench.MOST


def run(clock, players, sizes):
    settings = {"device": "cpu", "threads": 1, "seed": 0, "seconds": 0.5, "memory": False}
    return list(bench.run(players, sizes, clock=clock, **settings))


def test_a_slow_one_is_left_out_from_there_on_and_the_compiler_is_not_counted():
    clock = Clock()
    players = [clock.contestant("slow", 7.0), clock.contestant("compiles", 7.0, 0.1)]
    rows = run(clock, players, [(1, 8), (1, 4)])
    assert [(row["frames"], row["contestant"], len(row["seconds"])) for row in rows] == [
        (4, "slow", 0),
        (4, "compiles", 5),
        (8, "slow", 0),
        (8, "compiles", 5),
    ]
    assert [row["error"] for row in rows if row["contestant"] == "slow"] == [
        "left out, one call takes 7 s",
        "left out, too slow at a smaller size",
    ]
    assert max(max(row["seconds"]) for row in rows if row["seconds"]) == pytest.approx(0.1)


def test_a_peer_that_fails_is_in_the_table(peers, tmp_path, capsys):
    def prepare(similarity, threads):
        raise RuntimeError("it is broken\nand more")

    peers["broken"] = Peer("hard", "json", prepare)
    bench.main(["--sizes", "1x4", "--modes", "hard", "--json", str(tmp_path / "r.json"), *QUICK])
    assert "broken  RuntimeError: it is broken\n" in capsys.readouterr().out
    rows = json.loads((tmp_path / "r.json").read_text())["rows"]
    assert [row["contestant"] for row in rows] == ["exp", "numba", "broken"]
    assert [bool(row["seconds"]) for row in rows] == [True, True, False]


def test_every_mode_runs_and_the_stored_report_prints_the_same(peers, tmp_path, capsys):
    path = tmp_path / "new" / "r.json"
    bench.main(["--sizes", "2x6", "1x4", "--json", str(path), "--threads", "1", *QUICK])
    printed = capsys.readouterr().out
    bench.main(["--from", str(path)])
    assert capsys.readouterr().out == printed
    report = json.loads(path.read_text())
    assert [row["error"] for row in report["rows"]] == [None] * len(report["rows"])
    here = [(row["mode"], row["contestant"]) for row in report["rows"] if row["frames"] == 6]
    both = [(mode, name) for mode in MODES if mode != "hard" for name in ("numba", "wavefront")]
    assert sorted(here) == sorted([("exp", "exp"), ("hard", "numba"), *both])
    assert [row["frames"] for row in report["rows"]] == [4] * len(here) + [6] * len(here)
    assert all(len(row["seconds"]) >= bench.FEWEST for row in report["rows"])
    assert report["settings"] == {"device": "cpu", "pin": False, "seconds": 0.001, "seed": 0, "threads": 1}
    assert report["versions"]["torch"] == torch.__version__
    assert report["machine"]["cores"] >= 1


def test_the_calls_do_what_their_mode_says(monkeypatch):
    """Penalties have the mode's shape, and gradients are new each time."""
    seen = []

    def spy(*inputs, **options):
        seen.append((inputs, options))
        return soft_smith_waterman(*inputs, **options)

    monkeypatch.setattr(bench_contestants, "soft_smith_waterman", spy)
    similarity = bench_contestants.random_similarity(2, 5, "cpu", 0)
    for mode, shape in (("gradient", ()), ("per-cell", (2, 5, 5)), ("table", ()), ("hessian", ())):
        (_, player) = contestants([mode], ["wavefront"], [], "cpu", 1)
        call = player.prepare(similarity)
        call()
        call()
        inputs, options = seen[-1]
        assert options == {"temperature": 0.8, "backend": "wavefront"}
        assert [tuple(x.shape) for x in inputs] == [(2, 5, 5), shape, shape]
        gradients = [x.grad for x in inputs]
        if mode == "hessian":
            assert gradients == [None] * 3
            continue
        assert [g.shape for g in gradients] == [x.shape for x in inputs]
        alike = torch.allclose(gradients[0], soft_smith_waterman(*inputs, **options).posterior)
        assert alike == (mode != "table")
    assert len(seen) == 8


def test_the_table_compares_with_exp_and_numba_of_the_same_mode(report):
    text = as_text(report)
    assert "A Processor, 2 cores; threads: 2; float32, seed 0\ntorch 2.13.0" in text
    small, large = (text.index(f"\n{pairs} x 1000 x 1000\n") for pairs in (1, 2))
    rows = lines_of(text[small:large])
    assert ["gradient", "numba", "4.00", "6.00", "250", "4.00", "1.00", "24.0", "24.0"] in rows
    assert ["wavefront", "400", "600", "2.50", "400", "100", "24.0", "24.0"] in rows
    assert ["tslearn", "3.00", "4.50", "333", "3.00", "0.500", "24.0", "24.0"] in rows
    assert ["exp", "exp", "1.00", "1.50", "1,000", "1.00", "-", "-", "-"] in rows
    rows = lines_of(text[large:])
    assert ["gradient", "numba", "8.00", "12.0", "250", "4.00", "1.00", "24.0", "12.0"] in rows
    assert ["tslearn", "RuntimeError:", "no", "luck"] in rows
    assert "One state a cell" in text
    assert "hessian" not in text


def test_memory_per_cell_only_where_it_can_be_told(report):
    for row in report["rows"]:
        row["frames"] = 100
    assert ["wavefront", "400", "600", "0.0250", "400", "100", "24.0", "-"] in lines_of(as_text(report))


def test_the_peak_counts_what_was_freed_and_nothing_from_before():
    before = np.ones(50_000_000, np.uint8)
    assert peak_megabytes(lambda: np.ones(40_000_000, np.uint8)) == pytest.approx(40, rel=0.2)
    assert peak_megabytes(lambda: None) == pytest.approx(0, abs=4)
    assert before.all()


def test_memory_of_a_contestant_holds_its_input_and_little_else():
    (_, hard) = contestants(["hard"], ["numba"], [], "cpu", 1)
    found = measure(hard, (8, 512), "cpu", 1, 0)
    assert 8.4 <= found <= 30  # 2.1 million similarities of 4 bytes; at most 2 bytes a cell and some slack


def test_interrupted_it_prints_what_is_there_and_saves_nothing(peers, tmp_path, capsys):
    def prepare(similarity, threads):
        if similarity.shape[1] > 4:
            raise KeyboardInterrupt
        return lambda: None

    peers["waits"] = Peer("hard", "json", prepare)
    with pytest.raises(SystemExit) as stop:
        main(
            ["bench", "--sizes", "1x4", "1x8", "--modes", "hard", "--json", str(tmp_path / "r.json"), *QUICK]
        )
    printed = capsys.readouterr()
    assert stop.value.code == 130
    assert "1 x 4 x 4" in printed.out
    assert "1 x 8 x 8" not in printed.out
    assert "nothing is saved" in printed.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "4by64"], "'4by64' is not a size; expected pairs x frames, such as 4x64"),
        (["--sizes", "0x64"], "'0x64' is not a size"),
        (["--modes", "nope"], "argument --modes: invalid choice: 'nope'"),
        (["--backends", "nope"], "argument --backends: invalid choice: 'nope'"),
        (["--threads", "0"], "argument --threads: expected a number above 0, found '0'"),
        (["--seconds", "soon"], "argument --seconds: expected a number above 0, found 'soon'"),
        (["--figure", "times.txt"], "expected the name of a .png, .svg or .pdf file, found 'times.txt'"),
        (["--from", "nowhere.json"], "from: nowhere.json cannot be read"),
        (["--from", __file__], "is not a report that lacbook bench --json wrote"),
        (["--json", __file__ + "/r.json"], "its folder cannot be made"),
        (["--nope"], "unrecognized arguments: --nope"),
    ],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_named_before_anything_runs(monkeypatch, arguments, message):
    monkeypatch.setattr(bench, "run", None)
    with pytest.raises(InputError) as refused:
        bench.main(arguments)
    assert message in str(refused.value)


def test_json_of_another_kind_is_refused(tmp_path):
    for text in ("[]", "{}", '{"rows": [{}], "settings": {"device": "cpu"}}'):
        (tmp_path / "r.json").write_text(text)
        with pytest.raises(InputError, match="is not a report"):
            bench.main(["--from", str(tmp_path / "r.json")])


def test_a_missing_gpu_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="device: cuda is not available here"):
        bench.main(["--device", "cuda"])


def test_on_a_gpu_the_compiled_kernels_come_first():
    found = contestants(["gradient", "hard", "soft-dtw"], ["cuda", "wavefront"], list(PEERS), "cuda", 1)
    assert [(c.mode, c.name) for c in found[1:]] == [
        ("gradient", "cuda"),
        ("gradient", "wavefront"),
        ("hard", "auto"),
        ("hard", "ginfinity-sw"),
        ("soft-dtw", "wavefront"),
        ("soft-dtw", "tslearn"),
        ("soft-dtw", "pysdtw"),
    ]


def test_the_figure_has_a_line_for_each_contestant(report):
    gradient, dtw = plot_bench(report)
    assert [ax.get_title() for ax in (gradient, dtw)] == ["gradient", "soft-dtw"]
    for ax, names in ((gradient, ["exp", "numba", "wavefront"]), (dtw, ["exp", "numba", "tslearn"])):
        assert [line.get_label() for line in ax.lines] == names
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert gradient.lines[1].get_xydata().tolist() == [[1e6, 4.0], [2e6, 8.0]]
    assert dtw.lines[2].get_xydata().tolist() == [[1e6, 3.0]]  # it failed at the other size
    (legend,) = gradient.figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["exp", "numba", "wavefront", "tslearn"]
    _, ax = plt.subplots()
    assert plot_bench(report, modes=["soft-dtw"], axes=[ax])[0] is ax
    assert len(ax.get_legend().get_texts()) == 3
    with pytest.raises(ValueError, match=r"\['hard'\] have no times in the report"):
        plot_bench(report, modes=["hard"])
    with pytest.raises(ValueError, match="found 1, expected one for each of 2 modes"):
        plot_bench(report, axes=[ax])
    plt.close("all")


def test_the_figure_is_drawn_from_a_stored_report(report, tmp_path, capsys):
    (tmp_path / "r.json").write_text(json.dumps(report))
    bench.main(["--from", str(tmp_path / "r.json"), "--figure", str(tmp_path / "r.png")])
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    assert "A Processor" in capsys.readouterr().out
