"""Videos of a trained policy: mp4 and gif, without a display."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import numpy as np
from numpy.typing import NDArray

from steinflow.checks import lookup
from steinflow.rl.checkpoint import RunError
from steinflow.rl.environments import flat
from steinflow.rl.metrics import wanted
from steinflow.rl.run import WHICH, Run
from steinflow.rl.signals import guarded

GIF_WIDTH, GIF_FPS = 240, 15
Frames = list[NDArray[np.uint8]]


def play(run: Run, out: Path, seed: int = 10_000, which: str = "best") -> tuple[Path, Path, float]:
    """Record one episode of the run's first seed.

    Args:
        run: what was trained.
        out: folder of the videos.
        seed: of the environment.
        which: checkpoint, best or last.

    Returns:
        The mp4, the gif, and the return.

    Raises:
        RunError: the environment fails, or cannot be drawn here.
    """
    lookup("checkpoint", which, WHICH)
    if sys.platform.startswith("linux") and "DISPLAY" not in os.environ:
        os.environ.setdefault("MUJOCO_GL", "egl")
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    env, frames, total = drawn(run), [], 0.0
    patience = run.config.env_timeout
    try:
        with guarded("The environment's reset", patience):
            obs, _ = env.reset(seed=seed)
        done = False
        while not done:
            frames.append(frame_of(env))
            key = jax.random.fold_in(jax.random.key(seed), len(frames))
            action = run.policy(flat(np.asarray(obs)[None])[0], key, which)
            with guarded("The environment's step", patience):
                obs, reward, terminated, truncated, _ = env.step(
                    action.astype(env.action_space.dtype)
                )
            total, done = total + float(reward), terminated or truncated
        frames.append(frame_of(env))
        fps = int(env.metadata.get("render_fps") or 30) / run.config.action_repeat
    finally:
        env.close()
    out.mkdir(parents=True, exist_ok=True)
    name = f"{which}-seed-{run.seeds[0]}-episode-{seed}"
    film, picture = out / f"{name}.mp4", out / f"{name}.gif"
    write_mp4(film, frames, fps)
    write_gif(picture, frames, fps)
    return film, picture, total


NO_SCREEN = (
    "Without a display, MuJoCo needs MUJOCO_GL=egl and Debian's libegl1 and libgl1-mesa-dri "
    "(apt-get install them); steinflow doctor looks for them."
)


def drawn(run: Run) -> "gym.Env[Any, Any]":
    """The environment of a run that draws itself into arrays."""
    try:
        return run.factory(render_mode="rgb_array")()
    except ModuleNotFoundError:
        raise
    except Exception as error:  # MuJoCo, EGL and pygame fail each in their own way
        raise RunError(
            f"{run.env} cannot be drawn: {error} An environment must take "
            f"render_mode='rgb_array'. {NO_SCREEN}"
        ) from error


def frame_of(env: "gym.Env[Any, Any]") -> NDArray[np.uint8]:
    """A picture of now, [height, width, 3], both even."""
    try:
        picture: Any = env.render()
    except Exception as error:
        raise RunError(f"Could not draw: {type(error).__name__}: {error}. {NO_SCREEN}") from error
    if not isinstance(picture, np.ndarray):
        raise RunError(f"The environment drew {type(picture).__name__}, not an array of pixels.")
    height, width = (side - side % 2 for side in picture.shape[:2])
    return np.ascontiguousarray(picture[:height, :width, :3], np.uint8)


def write_mp4(path: Path, frames: Frames, fps: float) -> None:
    """H.264, through a temporary file."""
    ffmpeg = wanted("imageio_ffmpeg", "pip install 'steinflow[rl]'")
    half = path.with_name(f".{path.name}")
    height, width = frames[0].shape[:2]
    sink = ffmpeg.write_frames(
        str(half), (width, height), fps=fps, codec="libx264", quality=7, macro_block_size=2,
        output_params=["-f", "mp4"],
    )  # fmt: skip
    with warnings.catch_warnings():  # a process is started, not forked into JAX's threads
        warnings.simplefilter("ignore", RuntimeWarning)
        sink.send(None)
    for frame in frames:
        sink.send(frame)
    sink.close()
    half.replace(path)


def write_gif(path: Path, frames: Frames, fps: float) -> None:
    """A small one, at most 15 pictures a second."""
    from PIL import Image

    every = max(1, round(fps / GIF_FPS))
    height, width = frames[0].shape[:2]
    size = (GIF_WIDTH, round(height * GIF_WIDTH / width))
    small = [Image.fromarray(frame).resize(size) for frame in frames[::every]]
    half = path.with_name(f".{path.name}")
    small[0].save(
        half, format="GIF", save_all=True, append_images=small[1:],
        duration=round(1000 * every / fps), loop=0,
    )  # fmt: skip
    half.replace(path)
