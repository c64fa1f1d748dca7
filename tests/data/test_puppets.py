"""The embedded clips: the same from the same seed, annotated as drawn, refused when broken."""

import shutil

import numpy as np
import pytest

from lacbook.data.clips import data_dir
from lacbook.data.puppet_motion import (
    ACTIONS,
    DISTRACTORS,
    JOINTS,
    STAND,
    Body,
    channels_at,
    mirrored,
    skeleton,
)
from lacbook.data.puppet_scene import joints_in_picture, plan_clip, render_clip
from lacbook.data.puppets import load_puppets, render_dataset
from lacbook.data.video import read_video, video_info, write_video
from lacbook.errors import InputError

ROOT = data_dir() / "puppets"


@pytest.fixture(scope="module")
def poses():
    return load_puppets(modality="poses")


@pytest.fixture(scope="module")
def notes():
    with np.load(ROOT / "annotations.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Two clips, rendered twice; the second time over an earlier rendering of another seed."""
    folders = [tmp_path_factory.mktemp("first") / "puppets", tmp_path_factory.mktemp("second") / "puppets"]
    render_dataset(folders[1], 1, subjects=[3], actions=["throw"], progress=False)
    for folder in folders:
        render_dataset(folder, 0, subjects=[12], actions=["squat"], progress=False)
    return folders


@pytest.fixture
def copy(tmp_path, rendered):
    shutil.copytree(rendered[0], tmp_path / "puppets")
    return tmp_path / "puppets"


# --- the embedded data -------------------------------------------------------------------------------------


def test_counts_and_size(poses):
    assert len(poses) == 208
    assert len({clip.video_id for clip in poses}) == 208
    assert {clip.action for clip in poses} == set(ACTIONS)
    subjects = {split: {c.subject for c in poses if c.split == split} for split in ("train", "test")}
    assert len(subjects["train"]) == 20
    assert len(subjects["test"]) == 6
    assert not subjects["train"] & subjects["test"]
    for subject in subjects["train"] | subjects["test"]:
        assert sorted(c.action for c in poses if c.subject == subject) == sorted(2 * list(ACTIONS))
    assert sum(path.stat().st_size for path in ROOT.iterdir()) <= 5_000_000
    assert {path.name for path in ROOT.glob("*")} == {
        "annotations.npz",
        *(f"{c.video_id}.mp4" for c in poses),
    }


def test_every_video_is_as_long_as_its_annotations(poses):
    for clip in poses:
        info = video_info(ROOT / f"{clip.video_id}.mp4")
        assert (info.width, info.height, info.fps, info.frames) == (96, 96, 25.0, len(clip))


def test_phase_time_and_events_agree(poses):
    for clip in poses:
        begin, end = clip.events[0], clip.events[-1]
        inside = np.arange(len(clip)) >= begin
        inside &= np.arange(len(clip)) < end
        np.testing.assert_array_equal(clip.active, inside)
        u = clip.time[inside]
        assert (u[0], u[-1]) == (0, 1)
        assert (np.diff(u) >= 0).all()
        assert 20 <= len(u) <= 56
        assert 5 <= begin <= 40
        assert 5 <= len(clip) - end <= 40
        assert set(np.diff(clip.phase)) == {0, 1}  # no phase is left out, none comes back
        assert (clip.phase[0], clip.phase[-1]) == (0, 5)
        np.testing.assert_array_equal(clip.events, np.flatnonzero(np.diff(clip.phase)) + 1)
        at = np.array(list(ACTIONS[clip.action].events.values()))
        assert (clip.time[clip.events[:-1]] >= at - 1e-6).all()
        assert (clip.time[clip.events[1:-1] - 1] < at[1:] + 1e-6).all()


def test_tempo_and_pauses_vary(poses):
    inside = [clip.time[clip.active] for clip in poses]
    paused = [(np.diff(u) == 0).sum() for u in inside]
    assert 0.3 < np.mean([p > 0 for p in paused]) < 0.7
    moving = np.array([len(u) - p for u, p in zip(inside, paused, strict=True)])
    assert moving.min() >= 20
    assert moving.max() <= 46
    assert moving.std() > 2
    bend = [np.abs(u - np.linspace(0, 1, len(u))).max() for u in inside]
    assert np.median(bend) > 0.05


def test_poses_are_centred_and_scaled(poses):
    for clip in poses:
        assert clip.values.dtype == np.float32
        joints = clip.values.reshape(len(clip), 17, 2)
        assert not joints[:, JOINTS.index("pelvis")].any()
        still = joints[clip.phase == 0][0]
        above = still[JOINTS.index("l_ankle"), 1] - still[JOINTS.index("head"), 1]
        assert 0.7 < above < 1.0  # y points down, one body height is about 1


def test_selection(poses):
    some = load_puppets(split="test", action="throw", modality="poses")
    expected = [c.video_id for c in poses if c.split == "test" and c.action == "throw"]
    assert [clip.video_id for clip in some] == expected
    assert len(some) == 12


# --- the same from the same seed ---------------------------------------------------------------------------


def test_rendering_is_reproducible(rendered):
    first, second = (sorted(folder.iterdir()) for folder in rendered)
    assert [path.name for path in first] == ["annotations.npz", "squat_s13_1.mp4", "squat_s13_2.mp4"]
    assert [path.name for path in first] == [path.name for path in second]
    for a, b in zip(first[1:], second[1:], strict=True):
        np.testing.assert_array_equal(read_video(a)[0], read_video(b)[0])


def test_rendering_gives_the_embedded_annotations(rendered, notes):
    with np.load(rendered[0] / "annotations.npz") as file:
        fresh = dict(file)
    assert set(fresh) == set(notes)
    ends = np.cumsum(notes["n_frames"])
    (chosen,) = np.nonzero(np.isin(notes["video_id"], fresh["video_id"]))
    frames = np.concatenate([np.arange(ends[k] - notes["n_frames"][k], ends[k]) for k in chosen])
    for key in ("video_id", "action", "subject", "split", "n_frames"):
        np.testing.assert_array_equal(fresh[key], notes[key][chosen])
    np.testing.assert_array_equal(fresh["phase"], notes["phase"][frames])
    np.testing.assert_allclose(fresh["time"], notes["time"][frames], atol=1e-6)
    np.testing.assert_allclose(fresh["joints"], notes["joints"][frames], atol=1)  # sixteenths of a pixel


def test_all_embedded_annotations_follow_from_the_code(notes):
    ends = np.cumsum(notes["n_frames"])
    for k in range(0, 208, 7):
        action, subject, take = notes["video_id"][k].rsplit("_", 2)
        plan = plan_clip(int(subject[1:]) - 1, action, int(take) - 1)
        frames = slice(ends[k] - notes["n_frames"][k], ends[k])
        np.testing.assert_array_equal(plan.phase, notes["phase"][frames])
        np.testing.assert_allclose(joints_in_picture(plan), notes["joints"][frames] / 16, atol=0.1)


def test_embedded_frames_are_what_the_code_draws():
    frames, _ = read_video(ROOT / "pour_s21_1.mp4")
    drawn = render_clip(plan_clip(20, "pour", 0))
    assert np.abs(frames.astype(int) - drawn).mean() < 5


def test_another_seed_gives_another_clip():
    a, b = plan_clip(0, "pour", 0, seed=0), plan_clip(0, "pour", 0, seed=1)
    assert len(a.time) != len(b.time) or not np.allclose(a.camera.jitter, b.camera.jitter)


# --- joints are where the puppet is drawn ------------------------------------------------------------------


def test_joints_lie_on_the_limbs():
    tones = np.linspace(0.75, 1.12, 12)[:, None]
    on, beside = [], []
    for subject in range(15):
        plan = plan_clip(subject, "jumping_jack", 0)
        frames, _ = read_video(ROOT / f"{plan.video_id}.mp4")
        look, joints = plan.look, np.floor(joints_in_picture(plan)).astype(int)
        for name, colours in (("elbow", (look.shirt, look.skin)), ("knee", (look.trousers, look.skin))):
            palette = np.concatenate([tones * colour for colour in colours])
            for side, outward in (("l", 30), ("r", -30)):
                x, y = joints[:, JOINTS.index(f"{side}_{name}")].T
                for dx, share in ((0, on), (outward, beside)):
                    pixels = frames[np.arange(len(frames)), y, np.clip(x + dx, 0, 95)]
                    share.append((np.abs(pixels[:, None] - palette).sum(-1).min(1) < 75).mean())
    assert np.mean(on) > 0.93
    assert np.min(on) > 0.5
    assert np.mean(beside) < 0.2


def test_the_right_hand_throws():
    for plan in (plan_clip(s, "throw", t) for s in range(15) for t in (0, 1)):
        release = joints_in_picture(plan)[plan.phase == 4][0]
        down = {s: release[JOINTS.index(f"{s}_wrist"), 1] for s in "lr"}
        assert min(down, key=down.get) == "r"  # the throwing hand is up


# --- motion ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("movement", [*(a.movement for a in ACTIONS.values()), *DISTRACTORS.values()])
def test_movements_begin_and_end_standing_and_keep_bones(movement):
    body = Body()
    channels = channels_at(movement, np.linspace(0, 1, 601))
    for name, rest in STAND.items():
        assert channels[name][[0, -1]] == pytest.approx([rest, rest])
    joints, face = skeleton(channels, body)
    for side in "rl":
        for a, b, length in (
            ("shoulder", "elbow", body.upper_arm),
            ("elbow", "wrist", body.forearm),
            ("hip", "knee", body.thigh),
            ("knee", "ankle", body.shin),
        ):
            bone = joints[:, JOINTS.index(f"{side}_{a}")] - joints[:, JOINTS.index(f"{side}_{b}")]
            np.testing.assert_allclose(np.linalg.norm(bone, axis=-1), length, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(face, axis=-1), 1)
    assert np.abs(np.diff(joints, axis=0)).max() < 0.025  # nothing jumps


def test_mirroring_a_movement_mirrors_the_skeleton():
    movement = ACTIONS["throw"].movement
    u = np.linspace(0, 1, 40)
    joints, _ = skeleton(channels_at(movement, u), Body())
    reflected, _ = skeleton(channels_at(mirrored(movement), u), Body())
    swap = [
        JOINTS.index({"r": "l", "l": "r"}[j[0]] + j[1:]) if j[1] == "_" else k for k, j in enumerate(JOINTS)
    ]
    np.testing.assert_allclose(reflected[:, swap] * [-1, 1, 1], joints, atol=1e-12)


# --- loading frames, and what is refused -------------------------------------------------------------------


def test_frames_at_both_sizes(copy, monkeypatch, tmp_path):
    monkeypatch.setenv("LACBOOK_CACHE", str(tmp_path / "cache"))
    whole = load_puppets(copy)
    small = load_puppets(copy, size=64)
    assert [clip.video_id for clip in whole] == ["squat_s13_1", "squat_s13_2"]
    for a, b in zip(whole, small, strict=True):
        assert a.values.shape == (len(a.phase), 96, 96, 3)
        assert b.values.shape == (len(a.phase), 64, 64, 3)
    uncached = load_puppets(copy, size=64, cache=False)
    np.testing.assert_array_equal(small[1].values, uncached[1].values)
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 4


@pytest.mark.parametrize("wrong", [{"split": "val"}, {"action": "dance"}, {"modality": "sound"}])
def test_unknown_choices(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"{name} must be one of"):
        load_puppets(**wrong)


@pytest.mark.parametrize("size", [0, 97])
def test_size_out_of_range(size):
    with pytest.raises(ValueError, match="size must be"):
        load_puppets(size=size)


def test_missing_and_broken_files(copy, tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        load_puppets(tmp_path / "nowhere")
    (tmp_path / "hollow").mkdir()
    with pytest.raises(InputError, match=r"annotations\.npz: no such file"):
        load_puppets(tmp_path / "hollow")
    video = copy / "squat_s13_2.mp4"
    whole = video.read_bytes()
    video.write_bytes(whole[:2000])
    with pytest.raises(InputError, match=r"squat_s13_2\.mp4: cannot be decoded"):
        load_puppets(copy, cache=False)
    write_video(video, np.zeros((7, 96, 96, 3), np.uint8))
    with pytest.raises(InputError, match=r"squat_s13_2\.mp4: has 7 frames, expected the \d+"):
        load_puppets(copy, cache=False)
    video.unlink()
    with pytest.raises(InputError, match=r"squat_s13_2\.mp4: no such file"):
        load_puppets(copy, cache=False)
    assert len(load_puppets(copy, modality="poses")) == 2


def test_broken_annotations(copy):
    path = copy / "annotations.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"phase": arrays["phase"][:-1]})
    with pytest.raises(InputError, match="differ in length"):
        load_puppets(copy, modality="poses")
    del arrays["joints"]
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=r"cannot be read as annotations.*joints"):
        load_puppets(copy, modality="poses")
    path.write_bytes(b"rubbish")
    with pytest.raises(InputError, match="cannot be read as annotations"):
        load_puppets(copy, modality="poses")


def test_rendering_spares_other_files(copy, tmp_path):
    (copy / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match=r"holds mine\.txt"):
        render_dataset(copy, progress=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "holiday.mp4").touch()
    with pytest.raises(InputError, match=r"holds holiday\.mp4"):
        render_dataset(tmp_path / "other", progress=False)
    with pytest.raises(InputError, match="is a file"):
        render_dataset(copy / "mine.txt", progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {"puppets", "other"}
    assert len(list(copy.iterdir())) == 4


def test_failed_rendering_leaves_nothing(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("lacbook.data.puppets.write_video", broken)
    with pytest.raises(OSError, match="disk full"):
        render_dataset(tmp_path / "puppets", subjects=[0], actions=["squat"], progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"subjects": [26]}, {"subjects": []}, {"actions": ["dance"]}])
def test_render_refuses_unknown_choices(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"must be some of"):
        render_dataset(tmp_path / "x", progress=False, **wrong)
