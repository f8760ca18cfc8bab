"""Videos of a trained policy: mp4 and gif, without a display."""

import os
import socket
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import numpy as np

from steinflow.checks import lookup, require_at_least, require_seed
from steinflow.rl.adapter import Adapted
from steinflow.rl.checkpoint import RunError
from steinflow.rl.factories import DRAWING, NotDrawnError
from steinflow.rl.frames import Frame, film, frame_from, write_gif
from steinflow.rl.run import WHICH, Run
from steinflow.rl.signals import guarded, message_of

LONGEST = 5_000  # steps of a film
X_PORT = 6_000  # of the first display


def play(
    run: Run,
    out: Path,
    seed: int = 10_000,
    which: str = "best",
    max_steps: int = LONGEST,
) -> tuple[Path, Path, float]:
    """Record one episode of the run's first seed.

    Args:
        run: what was trained.
        out: folder of the videos.
        seed: of the environment, below 2^31.
        which: checkpoint, best or last.
        max_steps: the film ends after so many steps, if the episode goes on.

    Returns:
        The mp4, the gif, and the return of what is in them.

    Raises:
        ValueError: an argument is out of range.
        RunError: the environment fails, or cannot be drawn here.
    """
    lookup("checkpoint", which, WHICH)
    require_seed("seed", seed)
    require_at_least("max_steps", max_steps, 1, "It is a count.")
    without_display()
    env, total, patience = drawn(run), 0.0, run.config.env_timeout
    name = f"{which}-seed-{run.seeds[0]}-episode-{seed}"
    movie, picture = out / f"{name}.mp4", out / f"{name}.gif"
    fps = frames_a_second(env) / run.config.action_repeat
    try:
        with guarded("The environment's reset", patience):
            obs, _ = env.reset(seed=seed)
        first = frame_of(env, patience)
        out.mkdir(parents=True, exist_ok=True)
        with film(movie, fps) as growing:
            growing.add(first)
            for count in range(1, max_steps + 1):
                key = jax.random.fold_in(jax.random.key(seed), count)
                unit = run.unit(obs, key, which)
                with guarded("The environment's step", patience):
                    obs, reward, terminated, truncated, _ = env.step(unit)
                total += reward
                growing.add(frame_of(env, patience))
                if terminated or truncated:
                    break
    finally:
        env.close()
    write_gif(picture, movie, fps)
    return movie, picture, total


def frames_a_second(env: "gym.Env[Any, Any]") -> int:
    """What an environment says, or 30."""
    try:
        return min(max(1, round(float(env.metadata.get("render_fps") or 30))), 240)
    except (TypeError, ValueError, OverflowError):
        return 30


def without_display() -> None:
    """Let libraries draw into memory where no display answers."""
    if not sys.platform.startswith("linux") or has_display(os.environ.get("DISPLAY", "")):
        return
    os.environ.setdefault("MUJOCO_GL", "egl")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")


def has_display(display: str) -> bool:
    """Whether an X server answers, by what DISPLAY says: [host]:number[.screen]."""
    host, _, rest = display.rpartition(":")
    digits = rest.partition(".")[0]
    if not digits.isdecimal() or len(digits) > 4:
        return False
    number, places = int(digits), list[tuple[int, Any]]()
    if host in ("", "unix"):
        path = f"/tmp/.X11-unix/X{number}"
        places = [(socket.AF_UNIX, path), (socket.AF_UNIX, f"\0{path}")]
    else:
        places = [(socket.AF_INET, (host.strip("[]"), X_PORT + number))]
    for family, place in places:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as server:
                server.settimeout(2.0)
                server.connect(place)
                return True
        except OSError:
            continue
    return False


def no_screen() -> str:
    """What to do where nothing can be drawn."""
    display = os.environ.get("DISPLAY")
    first = f"DISPLAY is {display}: unset it if no screen is there. " if display else ""
    return (
        f"{first}Without a display, MuJoCo needs MUJOCO_GL=egl and Debian's libegl1 and "
        "libgl1-mesa-dri (apt-get install them); steinflow doctor looks for them."
    )


def drawn(run: Run) -> Adapted:
    """The environment of a run that draws itself into arrays."""
    try:
        return Adapted(run.factory(render_mode="rgb_array")(), run.config.drop_nan)
    except ModuleNotFoundError:
        raise
    except NotDrawnError as error:
        raise RunError(str(error)) from error
    except Exception as error:  # MuJoCo, EGL and pygame fail each in their own way
        raise RunError(
            f"{run.env} cannot be drawn: {error} An environment must take "
            f"render_mode='rgb_array'. {no_screen()}"
        ) from error


def frame_of(env: "gym.Env[Any, Any]", patience: float) -> Frame:
    """A picture of now, [height, width, 3]."""
    try:
        with guarded("The environment's render", patience):
            picture: Any = env.render()
    except RunError as error:
        cause = error.__cause__ or error
        if isinstance(cause, NotImplementedError):
            raise RunError(
                f"The environment does not draw itself: it has no render(). {DRAWING}"
            ) from error
        raise RunError(f"Could not draw: {message_of(cause)}. {no_screen()}") from error
    return np.asarray(frame_from(picture))
