"""What is not installed by `pip install steinflow` alone, and the sentence where it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

EXTRAS = {
    "jinja2": "study",
    "PIL": "study",
    "markupsafe": "study",
    "matplotlib": "study",
    "optax": "study",
    "polars": "study",
    "rich": "study",
    "tyro": "study",
    "gymnasium": "rl",
    "h5py": "rl",
    "imageio_ffmpeg": "rl",
    "minari": "rl",
    "mujoco": "rl",
    "safetensors": "rl",
    "shimmy": "dmc",
    "ray": "ray",
}  # the extra of each package that we import; rl contains study


class MissingExtraError(ModuleNotFoundError):
    """A sentence about a package that is not installed, and what installs it."""


@contextmanager
def extras_named(needed: str = "study") -> Iterator[None]:
    """Say of a package that is missing which extra brings it.

    Args:
        needed: the extra that is named instead of `study`: `rl`, where an agent is asked for.

    Raises:
        MissingExtraError: a package of an extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        extra = needed if EXTRAS[package] == "study" else EXTRAS[package]
        raise MissingExtraError(
            f"{package} is not installed. In a clone of steinflow run: pip install '.[{extra}]'",
            name=package,
        ) from error
