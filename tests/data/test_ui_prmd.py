"""Packed UI-PRMD files become clips that keep the events, fill lost markers and are idle at both ends."""

from __future__ import annotations

import numpy as np
import pytest

from lacbook.data import load_clips
from lacbook.data.ui_prmd import PHASES_FILE, POSITIONS_FILE, TEST_SUBJECTS, load_ui_prmd
from lacbook.errors import InputError

MARKERS = ["CLAV", "C7", "LASI", "RASI"]
HEADER = "movement,subject,repetition,n_frames,event_1,event_2,event_3,event_4,event_5,valid\n"


@pytest.fixture(scope="module")
def squats(ui_prmd):
    return load_ui_prmd(ui_prmd, movement="deep_squat")


@pytest.fixture
def packed(tmp_path):
    """A small packed folder: two repetitions of a nod, four markers, the second repetition without events."""
    positions = np.random.default_rng(0).integers(100, 2000, (30, 4, 3)).astype(np.int16)
    positions[3:5, 0] = 0  # CLAV is lost for two frames of the first repetition
    positions[:20, 2] = 0  # LASI is never seen in it
    arrays = {
        "positions_mm": positions,
        "n_frames": np.array([20, 10], np.int32),
        "movement": np.array([1, 1]),
        "subject": np.array([1, 9]),
        "repetition": np.array([1, 2]),
        "marker_names": np.array(MARKERS),
        "movement_names": np.array(["nod"]),
    }
    np.savez(tmp_path / POSITIONS_FILE, **arrays)
    (tmp_path / PHASES_FILE).write_text(f"{HEADER}1,1,1,20,2,6,9,12,16,1\n1,9,2,10,,,,,,0\n")
    return tmp_path, arrays


def test_phases_of_other_repetitions_are_refused(packed):
    folder, _ = packed
    header, first, second = (folder / PHASES_FILE).read_text().splitlines()
    (folder / PHASES_FILE).write_text("\n".join([header, second, first]))
    with pytest.raises(InputError, match="are not the 2 repetitions"):
        load_ui_prmd(folder)


def test_a_substitute_is_filled_before_it_is_copied(packed):
    folder, arrays = packed
    arrays["positions_mm"][7, 3] = 0  # RASI, which stands in for LASI, is lost for a frame
    np.savez(folder / POSITIONS_FILE, **arrays)
    (clip,) = load_ui_prmd(folder, idle=0)
    lasi, rasi = clip.values.reshape(20, 4, 3)[:, 2:].swapaxes(0, 1)
    assert np.allclose(lasi, rasi)
    assert np.allclose(rasi[7], (rasi[6] + rasi[8]) / 2, atol=1e-6)


def test_a_marker_without_a_substitute_is_refused(packed):
    folder, arrays = packed
    arrays["positions_mm"][:20, 3] = 0  # neither LASI nor RASI is ever seen
    np.savez(folder / POSITIONS_FILE, **arrays)
    with pytest.raises(InputError, match="without marker LASI"):
        load_ui_prmd(folder)


@pytest.mark.shared_data
def test_every_valid_squat_is_read_once(squats):
    assert len(squats) == 99
    assert len({clip.video_id for clip in squats}) == 99
    assert all(clip.action == "deep_squat" for clip in squats)
    assert all(clip.values.dtype == np.float32 and clip.values.shape == (len(clip), 51) for clip in squats)
    assert all(len(clip) == len(clip.phase) == len(clip.time) for clip in squats)


@pytest.mark.shared_data
def test_phases_times_and_events_agree(squats):
    for clip in squats:
        assert set(clip.phase) == set(range(6))
        assert (np.diff(clip.phase) >= 0).all()
        assert np.array_equal(clip.events, [np.argmax(clip.phase == k) for k in range(1, 6)])
        assert np.array_equal(clip.active, (clip.phase > 0) & (clip.phase < 5))
        inside = clip.events[:-1]
        assert np.allclose(clip.time[inside], [0, 0.25, 0.5, 0.75])
        assert (np.diff(clip.time[clip.active]) > 0).all()


@pytest.mark.shared_data
def test_idle_ends_repeat_the_first_and_last_pose_and_keep_their_phases(squats, ui_prmd):
    trimmed = load_ui_prmd(ui_prmd, movement="deep_squat", idle=0)
    heads, tails = [], []
    for clip, bare in zip(squats, trimmed, strict=True):
        head = clip.events[0] - bare.events[0]
        tail = len(clip) - len(bare) - head
        assert np.array_equal(clip.values[head : head + len(bare)], bare.values)
        assert (clip.values[:head] == bare.values[0]).all()
        assert (clip.values[len(clip) - tail :] == bare.values[-1]).all()
        assert (clip.phase[:head] == 0).all()
        assert (clip.phase[len(clip) - tail :] == 5).all()
        heads.append(head)
        tails.append(tail)
    for drawn in (heads, tails):
        assert min(drawn) >= 0
        assert max(drawn) <= 60
        assert len(set(drawn)) > 30


@pytest.mark.shared_data
def test_the_seed_alone_decides_the_idle_ends(squats, ui_prmd):
    of_all = [clip for clip in load_ui_prmd(ui_prmd) if clip.action == "deep_squat"]
    assert [len(clip) for clip in of_all] == [len(clip) for clip in squats]
    other = load_ui_prmd(ui_prmd, movement="deep_squat", seed=1)
    assert [len(clip) for clip in other] != [len(clip) for clip in squats]


@pytest.mark.shared_data
def test_a_marker_never_seen_takes_its_neighbours_place(ui_prmd):
    clips = load_ui_prmd(ui_prmd, movement="shoulder_extension", idle=0)
    with np.load(ui_prmd / POSITIONS_FILE) as file:
        left, right = (list(file["marker_names"]).index(name) for name in ("LASI", "RASI"))
    lost = [clip for clip in clips if clip.subject == "s10"]
    assert any(
        np.array_equal(joints[:, left], joints[:, right])
        for joints in (clip.values.reshape(len(clip), 17, 3) for clip in lost)
    )


@pytest.mark.shared_data
def test_no_marker_stays_lost(ui_prmd):
    # A lost marker would jump to the room's origin, wherever that lies from the pelvis.
    for clip in load_ui_prmd(ui_prmd, idle=0):
        joints = clip.values.reshape(len(clip), 17, 3)
        assert np.abs(joints).max() < 2.2, clip.video_id
        assert np.abs(np.diff(joints, axis=0)).max() < 0.6, clip.video_id


@pytest.mark.shared_data
def test_no_subject_is_in_both_splits(squats):
    subjects = {
        split: {clip.subject for clip in squats if clip.split == split} for split in ("train", "test")
    }
    assert subjects["test"] == {f"s{s:02d}" for s in TEST_SUBJECTS}
    assert len(subjects["train"]) == 7
    assert not subjects["train"] & subjects["test"]


def test_a_packed_folder_is_read_with_lost_markers_filled(packed):
    root, arrays = packed
    (clip,) = load_ui_prmd(root, idle=0)
    assert (clip.video_id, clip.action, clip.subject, clip.split) == ("m01_s01_e01", "nod", "s01", "train")
    metres = arrays["positions_mm"][:20].astype(float) / 1000
    metres[:, 2] = metres[:, 3]  # LASI from RASI
    metres[3:5, 0] = metres[2, 0] + np.array([[1], [2]]) / 3 * (metres[5, 0] - metres[2, 0])
    expected = metres - metres[0, 2:].mean(0)
    assert np.allclose(clip.values.reshape(20, 4, 3), expected, atol=1e-5)


@pytest.mark.parametrize("missing", [POSITIONS_FILE, PHASES_FILE])
def test_a_missing_file_is_named(packed, missing):
    root, _ = packed
    (root / missing).unlink()
    with pytest.raises(InputError, match=rf"root: .*{missing} is missing"):
        load_ui_prmd(root)


def test_an_unknown_movement_is_refused_with_the_known_ones(packed):
    with pytest.raises(InputError, match=r"movement: 'jig' is not in .*; choose from nod"):
        load_ui_prmd(packed[0], movement="jig")


@pytest.mark.parametrize("content", [b"", b"no archive", None], ids=["empty", "text", "half"])
def test_a_broken_archive_is_refused(packed, content):
    path = packed[0] / POSITIONS_FILE
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
    with pytest.raises(InputError, match=r"root: .*is not in the packed UI-PRMD form"):
        load_ui_prmd(packed[0])


def test_an_archive_without_an_array_is_refused(packed):
    root, arrays = packed
    del arrays["n_frames"]
    np.savez(root / POSITIONS_FILE, **arrays)
    with pytest.raises(InputError, match="n_frames"):
        load_ui_prmd(root)


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n1,2\n",
        f"{HEADER}1,1,1,20,2,6,nine,12,16,1\n1,9,2,10,,,,,,0\n",
        "movement,valid,event_1,event_2,event_3,event_4,event_5\n1,1,2,6\n1,0\n",
    ],
    ids=["other columns", "not a number", "cut row"],
)
def test_a_broken_table_of_phases_is_refused(packed, text):
    (packed[0] / PHASES_FILE).write_text(text)
    with pytest.raises(InputError, match=r"root: .*is not a table of UI-PRMD phases"):
        load_ui_prmd(packed[0])


def test_a_table_of_another_length_is_refused(packed):
    path = packed[0] / PHASES_FILE
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(InputError, match=r"the 1 rows of .* are not the 2 repetitions"):
        load_ui_prmd(packed[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "nope"}, "data: 'nope' is unknown; choose from puppets, ui-prmd"),
        ({"data": "puppets", "movement": "nod"}, "movement: 'nod' belongs to --data ui-prmd"),
        ({"data": "ui-prmd", "root": ".", "action": "squat"}, "action: 'squat' belongs to --data puppets"),
        ({"data": "ui-prmd", "modality": "poses"}, "root: --data ui-prmd needs --root"),
        ({"data": "ui-prmd", "root": ".", "modality": "frames"}, "frame_encoder: UI-PRMD has poses"),
    ],
)
def test_an_option_of_the_other_data_set_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        load_clips(**options)
