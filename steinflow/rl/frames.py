"""What an environment draws: pictures of any kind made alike, and films written as they come."""

import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from steinflow.rl.checkpoint import RunError
from steinflow.rl.metrics import wanted

GIF_WIDTH, GIF_FPS = 240, 15
CHANNELS = (1, 3, 4)  # grey, colours, colours with opacity
Frame = NDArray[np.uint8]


def frame_from(picture: Any) -> UInt8[np.ndarray, "height width 3"]:
    """A picture as bytes of three colours.

    Args:
        picture: [height, width] or [height, width, 1, 3 or 4]; bytes, other integers up to 255 (of
            16 bits: up to 65,535), truth values, or floats in [0, 1] or [0, 255].

    Raises:
        RunError: it is no picture.
    """
    array = np.asarray(picture) if picture is not None else np.zeros(0)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in CHANNELS or array.dtype.kind not in "buif":
        kind = type(picture).__name__
        kind += f" of shape {list(array.shape)}" if array.size else ""
        raise RunError(
            f"The environment's render gave {kind}, not a picture [height, width, 3]. It must draw "
            "with render_mode='rgb_array'."
        )
    if not array.size:
        raise RunError("The environment's render gave an empty picture. Mend it.")
    return np.repeat(bytes_of(array), 3, axis=-1) if array.shape[-1] == 1 else bytes_of(array)


def bytes_of(values: NDArray[Any]) -> Frame:
    """Brightness from 0 to 255, without opacity."""
    values = values[..., :3]
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype.kind == "b":
        return np.where(values, 255, 0).astype(np.uint8)
    if values.dtype == np.uint16:
        return (values // 257).astype(np.uint8)
    numbers = np.nan_to_num(values.astype(np.float64), posinf=255.0)
    if values.dtype.kind == "f" and numbers.max() <= 1.0:
        numbers = 255.0 * numbers
    return np.rint(np.clip(numbers, 0.0, 255.0)).astype(np.uint8)


def even(frame: Frame, height: int, width: int) -> Frame:
    """A picture of a height and width: those of a film are even, and do not change in it."""
    if frame.shape[:2] == (height, width):
        return frame
    if abs(frame.shape[0] - height) > 1 or abs(frame.shape[1] - width) > 1:
        from PIL import Image

        return np.asarray(Image.fromarray(frame).resize((width, height)))
    more = [(0, max(0, height - frame.shape[0])), (0, max(0, width - frame.shape[1])), (0, 0)]
    return np.pad(frame, more, mode="edge")[:height, :width]


class Film:
    """An mp4 that grows by one picture at a time; nothing but the newest is in memory."""

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self.fps = path, fps
        self.size = (0, 0)
        self.sink: Any = None

    def add(self, frame: Frame) -> None:
        """One more picture."""
        if self.sink is None:
            height, width = (side + side % 2 for side in frame.shape[:2])
            self.size, self.sink = (height, width), self.opened(height, width)
        self.sink.send(np.ascontiguousarray(even(frame, *self.size)))

    def opened(self, height: int, width: int) -> Any:
        """H.264 by ffmpeg."""
        ffmpeg = wanted("imageio_ffmpeg", "pip install '.[rl]'")
        sink = ffmpeg.write_frames(
            str(self.path), (width, height), fps=self.fps, codec="libx264", quality=7,
            macro_block_size=2, output_params=["-f", "mp4"],
        )  # fmt: skip
        with warnings.catch_warnings():  # a process is started, not forked into JAX's threads
            warnings.simplefilter("ignore", RuntimeWarning)
            sink.send(None)
        return sink

    def close(self) -> None:
        """Nothing more comes."""
        if self.sink is not None:
            self.sink.close()


@contextmanager
def film(path: Path, fps: float) -> Iterator[Film]:
    """A film that is there when it is whole, and not before."""
    half = path.with_name(f".{path.name}")
    growing = Film(half, fps)
    try:
        yield growing
        growing.close()
        half.replace(path)
    finally:
        growing.close()
        half.unlink(missing_ok=True)


def write_gif(path: Path, source: Path, fps: float) -> None:
    """A small animation of a film, at most 15 pictures a second.

    Raises:
        RunError: ffmpeg fails.
    """
    ffmpeg = wanted("imageio_ffmpeg", "pip install '.[rl]'")
    half = path.with_name(f".{path.name}")
    how = (
        f"fps={min(fps, GIF_FPS)},scale={GIF_WIDTH}:-1,split[a][b];"
        "[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1"
    )
    words = [ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-i", str(source), "-vf", how]
    with warnings.catch_warnings():  # as above
        warnings.simplefilter("ignore", RuntimeWarning)
        done = subprocess.run(
            [*words, "-loop", "0", "-f", "gif", str(half)], capture_output=True, text=True,
            errors="replace", stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    if done.returncode:
        half.unlink(missing_ok=True)
        raise RunError(f"ffmpeg could not write {path}: {' '.join(done.stderr.split())}")
    half.replace(path)
