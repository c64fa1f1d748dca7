"""Videos in and out through PyAV: decode to arrays, shrink while decoding, cache, encode."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from lacbook.errors import InputError
from lacbook.files import whole_file


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header says: size in pixels as shown, frames per second, frames (0 if not told)."""

    width: int
    height: int
    fps: float
    frames: int


@contextlib.contextmanager
def _open_video(path: Path) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """Open a video and its first picture stream; whatever is wrong with the file becomes an InputError."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected a video file")
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a video")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path}: has no picture stream (audio only?), expected a video")
            yield container, container.streams.video[0]
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{path}: cannot be decoded as a video ({error})") from error


def _frame_rate(stream: av.video.stream.VideoStream) -> float:
    """Frames per second; 25 where the header does not say."""
    return float(stream.average_rate or stream.guessed_rate or 25)


def _shrunk(height: int, width: int, size: int | None) -> tuple[int, int]:
    """Height and width after the shorter side is shrunk to size; never enlarged."""
    scale = 1.0 if size is None else min(1.0, size / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def read_video(path: str | Path, *, size: int | None = None) -> tuple[NDArray[np.uint8], float]:
    """Decode a whole video.

    Parameters
    ----------
    path : path
        Any file that FFmpeg reads.
    size : int, optional
        Length in pixels to which the shorter side is shrunk (area interpolation, aspect ratio kept). Frames
        are shrunk one by one while they are decoded, so memory is 3 T H W bytes at the *shrunk* size, twice
        that at the end. Smaller videos keep their size.

    Returns
    -------
    frames : ndarray of uint8 [T, H, W, 3]
        RGB, turned upright where the file says how it was held.
    fps : float
        Frames per second; 25 where the file does not say.

    Raises
    ------
    InputError
        The file is missing, a folder, not a video, truncated, without pictures or without frames.
    ValueError
        `size` is below 1.
    """
    path = Path(path)
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    frames = []
    reformatter = VideoReformatter()  # one for all frames: setting it up costs more than a small frame
    with _open_video(path) as (container, stream):
        fps = _frame_rate(stream)
        for frame in container.decode(stream):
            height, width = _shrunk(frame.height, frame.width, size)
            image = reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA").to_ndarray()
            frames.append(np.rot90(image, frame.rotation // 90) if frame.rotation else image)
    if not frames:
        raise InputError(f"{path}: holds no frame, expected a video")
    return np.stack(frames), fps


def video_info(path: str | Path) -> VideoInfo:
    """Size, frame rate and number of frames without decoding more than one frame.

    Parameters
    ----------
    path : path
        Any file that FFmpeg reads.

    Returns
    -------
    VideoInfo

    Raises
    ------
    InputError
        As `read_video`.
    """
    path = Path(path)
    with _open_video(path) as (container, stream):
        first = next(container.decode(stream), None)
        if first is None:
            raise InputError(f"{path}: holds no frame, expected a video")
        width, height = (first.height, first.width) if first.rotation % 180 else (first.width, first.height)
        return VideoInfo(width, height, _frame_rate(stream), stream.frames)


def write_video(
    path: str | Path,
    frames: NDArray[np.uint8],
    fps: float = 25.0,
    *,
    crf: float = 23.0,
    preset: str = "medium",
) -> None:
    """Encode frames as H.264 (yuv420p, one thread, so that equal frames give equal files on one machine).

    Parameters
    ----------
    path : path
        An .mp4 file; written whole or not at all.
    frames : ndarray of uint8 [T, H, W, 3]
        RGB. Odd heights and widths are padded by one repeated row or column, which the codec needs.
    fps : float, default 25
        Frames per second.
    crf : float, default 23
        Constant rate factor: 0 is lossless, 51 the worst.
    preset : str, default "medium"
        x264's trade of time for size.

    Raises
    ------
    ValueError
        `frames` has another shape or type, or holds nothing.
    """
    path = Path(path)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise ValueError(
            f"frames must be uint8 [T, H, W, 3] and not empty, got {frames.dtype} {frames.shape}"
        )
    if not fps > 0:
        raise ValueError(f"fps must be positive, got {fps}")
    height, width = frames.shape[1:3]
    frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    options = {"crf": str(crf), "preset": preset, "threads": "1"}
    with whole_file(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def cache_dir() -> Path:
    """Folder of the cache: ``$LACBOOK_CACHE``, else ``lacbook`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    if chosen := os.environ.get("LACBOOK_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lacbook"


def read_video_cached(path: str | Path, *, size: int | None = None) -> tuple[NDArray[np.uint8], float]:
    """`read_video` that keeps the decoded frames in `cache_dir`, 3 T H W bytes a video.

    The key is the content of the file and the size, so a changed file is decoded anew. A cache that cannot be
    read or written only costs time.

    Parameters
    ----------
    path : path
        Any file that FFmpeg reads.
    size : int, optional
        As for `read_video`.

    Returns
    -------
    frames, fps
        As `read_video`.

    Raises
    ------
    InputError, ValueError
        As `read_video`.
    """
    path = Path(path)
    if not path.is_file():
        return read_video(path, size=size)  # says what is wrong
    key = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    cached = cache_dir() / "frames" / f"{key}_{size or 'full'}.npz"
    # Any damage to the entry shows as one of these.
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        with np.load(cached, allow_pickle=False) as entry:
            frames, fps = entry["frames"], float(entry["fps"])
        if frames.ndim == 4 and frames.dtype == np.uint8:
            return frames, fps
    frames, fps = read_video(path, size=size)
    with (
        contextlib.suppress(OSError, InputError),
        whole_file(cached) as temporary,
        temporary.open("wb") as file,
    ):
        np.savez(file, frames=frames, fps=fps)
    return frames, fps
