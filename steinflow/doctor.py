"""`steinflow doctor`: what this machine has, and what to do about what it lacks."""

import ctypes.util
import platform
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import NamedTuple


class Finding(NamedTuple):
    """One line of the doctor: what was looked at, what was found, and the remedy."""

    what: str
    result: str
    remedy: str  # empty where nothing is wrong
    essential: bool = False


def python() -> Finding:
    """The interpreter."""
    good = sys.version_info >= (3, 11)
    remedy = "" if good else "Install Python 3.11 or newer and make a new environment."
    return Finding("Python", platform.python_version(), remedy, essential=True)


def jax_version() -> Finding:
    """JAX, in the supported range."""
    try:
        installed = version("jax")
    except PackageNotFoundError:
        return Finding("jax", "missing", "pip install 'jax>=0.10.2,<0.13'", essential=True)
    numbers = tuple(int(part) for part in installed.split(".")[:3])
    good = (0, 10, 2) <= numbers < (0, 13)
    return Finding("jax", installed, "" if good else "pip install 'jax>=0.10.2,<0.13'", True)


def device() -> Finding:
    """Where JAX computes."""
    try:
        import jax

        names = ", ".join(str(d) for d in jax.devices())
    except Exception as error:  # noqa: BLE001 - any failure of a backend is a finding
        remedy = "Set JAX_PLATFORMS=cpu, or mend the accelerator's driver."
        return Finding("device", f"none ({error})", remedy, essential=True)
    return Finding("device", names, "")


def library(name: str, what: str, remedy: str) -> Callable[[], Finding]:
    """A shared library, by the name the linker knows."""

    def look() -> Finding:
        path = ctypes.util.find_library(name)
        return Finding(what, path or "missing", "" if path else remedy)

    return look


def ffmpeg() -> Finding:
    """An encoder for videos: imageio-ffmpeg's own, or the system's."""
    if find_spec("imageio_ffmpeg"):
        return Finding("ffmpeg", f"imageio-ffmpeg {version('imageio-ffmpeg')}", "")
    path = shutil.which("ffmpeg")
    return Finding("ffmpeg", path or "missing", "" if path else "pip install '.[rl]'")


def ray() -> Finding:
    """Ray, for clusters."""
    if find_spec("ray"):
        return Finding("ray", version("ray"), "")
    return Finding("ray", "missing", "Only clusters need it: pip install '.[ray]'")


LOOKS: tuple[Callable[[], Finding], ...] = (
    python,
    jax_version,
    device,
    library("EGL", "GL", "Only videos need it: apt-get install libegl1 libgl1-mesa-dri"),
    ffmpeg,
    ray,
)


def examine() -> list[Finding]:
    """All findings."""
    return [look() for look in LOOKS]
