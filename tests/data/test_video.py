"""Decoding, encoding and the cache of decoded frames."""

import wave

import numpy as np
import pytest

from lacbook.data import video
from lacbook.data.video import read_video, read_video_cached, video_info, write_video
from lacbook.errors import InputError


def moving_square(frames=12, height=48, width=64):
    """A bright square that moves right over a dark slope."""
    values = np.zeros((frames, height, width, 3), np.uint8)
    values[:] = np.linspace(20, 60, width, dtype=np.uint8)[:, None]
    for t in range(frames):
        values[t, 16:32, 4 * t : 4 * t + 16] = (200, 120, 40)
    return values


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, moving_square(), 12.5, crf=10)
    return path


def test_round_trip(clip):
    frames, fps = read_video(clip)
    assert frames.dtype == np.uint8
    assert frames.shape == (12, 48, 64, 3)
    assert fps == 12.5
    error = np.abs(frames.astype(int) - moving_square())
    assert error.mean() < 4
    assert np.abs(frames[3].astype(int) - moving_square()[6]).mean() > 10  # order is kept


def test_info(clip):
    info = video_info(clip)
    assert (info.width, info.height, info.fps, info.frames) == (64, 48, 12.5, 12)


@pytest.mark.parametrize(("height", "width"), [(33, 64), (32, 65), (33, 65)])
def test_odd_sizes_are_padded(tmp_path, height, width):
    write_video(tmp_path / "odd.mp4", moving_square(3, height, width), crf=5)
    frames, _ = read_video(tmp_path / "odd.mp4")
    assert frames.shape == (3, height + height % 2, width + width % 2, 3)
    assert np.abs(frames[:, -1].astype(int) - frames[:, -2]).mean() < 4


def test_shrinks_the_shorter_side_by_area(clip):
    frames, _ = read_video(clip, size=24)
    assert frames.shape == (12, 24, 32, 3)
    whole, _ = read_video(clip)
    areas = whole.reshape(12, 24, 2, 32, 2, 3).mean((2, 4))
    assert np.abs(frames - areas).mean() < 2


def test_never_enlarges(clip):
    assert read_video(clip, size=500)[0].shape == (12, 48, 64, 3)


def test_phone_rotation_is_undone(tmp_path):
    image = np.zeros((8, 32, 64, 3), np.uint8)
    image[:, :, :32, 0] = 255  # left half red: above, once turned clockwise
    write_video(tmp_path / "phone.mp4", image, crf=5)
    data = (tmp_path / "phone.mp4").read_bytes()
    upright = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    clockwise = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 32 << 16, 0, 1 << 30], ">i4").tobytes()
    at = data.index(upright, data.index(b"tkhd"))
    (tmp_path / "phone.mp4").write_bytes(data[:at] + clockwise + data[at + len(upright) :])
    frames, _ = read_video(tmp_path / "phone.mp4")
    assert frames.shape == (8, 64, 32, 3)
    assert frames[0, 8, 16, 0] > 200
    assert frames[0, 56, 16, 0] < 50
    info = video_info(tmp_path / "phone.mp4")
    assert (info.width, info.height) == (32, 64)


def test_equal_frames_give_equal_files(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, moving_square())
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def _sound_only(path):
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))


@pytest.mark.parametrize("read", [read_video, video_info, read_video_cached])
def test_broken_files_are_named(tmp_path, monkeypatch, clip, read):
    monkeypatch.setenv("LACBOOK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:900])
    _sound_only(tmp_path / "sound.wav")
    for name, expected in [
        ("missing.mp4", "no such file"),
        (".", "is a folder"),
        ("text.mp4", "cannot be decoded"),
        ("empty.mp4", "cannot be decoded"),
        ("cut.mp4", "cannot be decoded"),
        ("sound.wav", "no picture stream"),
    ]:
        with pytest.raises(InputError, match=expected) as caught:
            read(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    "frames",
    [np.zeros((4, 8, 8), np.uint8), np.zeros((4, 8, 8, 3), np.float32), np.zeros((0, 8, 8, 3), np.uint8)],
)
def test_write_refuses_other_arrays(tmp_path, frames):
    with pytest.raises(ValueError, match="frames must be uint8"):
        write_video(tmp_path / "x.mp4", frames)
    assert not list(tmp_path.iterdir())


def test_failed_write_leaves_the_old_file(tmp_path, clip):
    before = clip.read_bytes()
    with pytest.raises(Exception, match=r".+"):
        write_video(clip, moving_square(), crf=10, preset="no such preset")
    assert clip.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("size", [0, -3])
def test_size_must_be_positive(clip, size):
    with pytest.raises(ValueError, match="size must be"):
        read_video(clip, size=size)


@pytest.fixture
def decodings(tmp_path, monkeypatch):
    """An empty cache, and the list of sizes that were really decoded."""
    monkeypatch.setenv("LACBOOK_CACHE", str(tmp_path / "cache"))
    calls = []

    def counted(path, *, size=None):
        calls.append(size)
        return read_video(path, size=size)

    monkeypatch.setattr(video, "read_video", counted)
    return calls


def test_cache_hits_by_content_and_size(clip, decodings):
    first, _ = read_video_cached(clip, size=24)
    again, fps = read_video_cached(clip, size=24)
    assert decodings == [24]
    np.testing.assert_array_equal(first, again)
    assert fps == 12.5
    assert read_video_cached(clip)[0].shape == (12, 48, 64, 3)
    write_video(clip, moving_square()[::-1], 12.5, crf=10)
    assert not np.array_equal(read_video_cached(clip, size=24)[0], first)
    assert decodings == [24, None, 24]


@pytest.mark.parametrize("damage", [b"", b"rubbish", "cut", "flipped"])
def test_broken_cache_is_decoded_anew(clip, decodings, tmp_path, damage):
    first, _ = read_video_cached(clip)
    (entry,) = (tmp_path / "cache").rglob("*.npz")
    whole = entry.read_bytes()
    middle = len(whole) // 2
    cut, flipped = whole[:middle], whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    entry.write_bytes({"cut": cut, "flipped": flipped}.get(damage, damage))
    np.testing.assert_array_equal(read_video_cached(clip)[0], first)
    assert len(decodings) == 2
    read_video_cached(clip)
    assert len(decodings) == 2  # mended


def test_unwritable_cache_only_costs_time(clip, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LACBOOK_CACHE", str(tmp_path / "file"))
    assert len(read_video_cached(clip)[0]) == 12
