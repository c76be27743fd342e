"""Video files, written frame by frame: mp4 with PyAV, animated WebP with Pillow."""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from i2i_core.data.pictures import MOST_SIDE
from i2i_core.disk.files import write_file, writing
from i2i_core.errors import UsageError

MOST = MOST_SIDE[".webp"]
"""Maximum number of pixels on a side; the limit of libx264 is hardly higher."""


def check(path: Path) -> None:
    """Raise UsageError for a file that cannot be written as a video, before its frames are computed."""
    if path.suffix.lower() not in (".mp4", ".webp"):
        raise UsageError(f"{path} must end in .mp4 or .webp")
    if path.suffix.lower() == ".mp4" and importlib.util.find_spec("av") is None:
        raise UsageError('mp4 needs PyAV; pip install "i2i-gan[video]", or write a .webp file')


def write(path: Path, frames: Iterator[Image.Image], count: int, fps: int) -> None:
    """Write `count` RGB frames of one size, with one frame in memory at a time. Raises UsageError, DiskError."""
    (_write_mp4 if path.suffix.lower() == ".mp4" else _write_webp)(path, _fitting(path, frames), count, fps)


def _fitting(path: Path, frames: Iterator[Image.Image]) -> Iterator[Image.Image]:
    for frame in frames:
        if max(frame.size) > MOST:
            raise UsageError(
                f"{path} would be {frame.width} x {frame.height} pixels, but a side of a video can have at most "
                f"{MOST}; use fewer pictures"
            )
        yield frame


def _write_mp4(path: Path, frames: Iterator[Image.Image], count: int, fps: int) -> None:
    import av

    beside = path.with_name(f".{path.name}.new")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with av.open(str(beside), "w", format="mp4") as file:
                stream = file.add_stream("libx264", rate=fps, options={"crf": "16", "preset": "medium"})
                for number, picture in enumerate(frames):
                    if not number:
                        stream.width, stream.height = (
                            side + side % 2 for side in picture.size
                        )  # yuv420p needs even sides
                        stream.pix_fmt = "yuv420p"  # all players support it
                    file.mux(stream.encode(av.VideoFrame.from_image(_even(picture))))
                file.mux(stream.encode())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)


def _even(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    return picture.crop((0, 0, width + width % 2, height + height % 2))


def _write_webp(path: Path, frames: Iterator[Image.Image], count: int, fps: int) -> None:
    file = io.BytesIO()
    _Stream(frames, count).save(file, "webp", save_all=True, duration=1000 / fps, loop=0, quality=90, method=4)
    write_file(path, file.getvalue())


class _Stream(Image.Image):
    """An animation that computes each frame when Pillow seeks to it, in order."""

    def __init__(self, frames: Iterator[Image.Image], count: int) -> None:
        super().__init__()
        self.frames, self.n_frames, self.at = frames, count, 0
        self._show(next(frames))

    def _show(self, frame: Image.Image) -> None:
        self.im, self._mode, self._size = frame.im, frame.mode, frame.size

    def seek(self, frame: int) -> None:
        if frame > self.at:
            self._show(next(self.frames))
            self.at = frame
