"""Spaces of an environment: which the agent supports, and what its actions stand for in them."""

from typing import Any, NamedTuple, TypeGuard

import gymnasium as gym
import numpy as np
from jaxtyping import Float32, Shaped
from numpy.typing import NDArray

LARGEST = 1e30  # of a bound: beyond it, a box stands for all real numbers
WHOLE = 2**53  # of a bound of integers, which float64 still counts by ones
NUMBERS = "fiub"  # kinds of dtypes: floats, integers, truth values


class Actions(NamedTuple):
    """The box of an environment's actions, to which [-1, 1]^d is rescaled."""

    low: NDArray[Any]  # of the action's shape
    high: NDArray[Any]
    dtype: "np.dtype[Any]"

    @property
    def is_integer(self) -> bool:
        """Whether actions are integers."""
        return self.dtype.kind != "f"

    def scaled(self, unit: Float32[np.ndarray, "*b d"]) -> Shaped[np.ndarray, "..."]:
        """Actions of the environment, [*b, *action shape], in its dtype: -1 is the low bound, 0
        the middle, and 1 the high bound; integers are rounded."""
        low, high = (np.asarray(side, np.float64) for side in (self.low, self.high))
        unit = np.asarray(unit, np.float64)
        unit = unit.reshape(*unit.shape[:-1], *low.shape)
        values = low + 0.5 * (unit + 1.0) * (high - low)
        if self.is_integer:
            values = np.rint(values)
        return np.clip(values, low, high).astype(self.dtype)

    def unit(self, action: Shaped[np.ndarray, "b ..."]) -> Float32[np.ndarray, "b d"]:
        """What in [-1, 1]^d stands for actions of the environment; 0 where its bounds are equal."""
        low, high = (np.asarray(side, np.float64) for side in (self.low, self.high))
        width = np.where(high > low, high - low, 1.0)
        values = np.where(high > low, 2.0 * (action - low) / width - 1.0, 0.0)
        return values.reshape(len(values), -1).astype(np.float32)

    def described(self) -> dict[str, Any]:
        """For a manifest."""
        sides = {"low": self.low.tolist(), "high": self.high.tolist()}
        return sides | {"dtype": self.dtype.name}


def actions_from(described: dict[str, Any]) -> Actions:
    """The box that a manifest describes.

    Raises:
        ValueError: its bounds or its dtype are none.
        KeyError: it has no bounds.
    """
    low, high = (np.asarray(described[side], np.float64) for side in ("low", "high"))
    name = described.get("dtype", "float32")
    dtype = np.dtype(name) if isinstance(name, str) else np.dtype(object)
    if low.shape != high.shape or dtype.kind not in NUMBERS:
        raise ValueError("bounds or dtype of its actions do not fit")
    return Actions(low, high, dtype)


def is_vector(space: "gym.Space[Any]") -> TypeGuard[gym.spaces.Box]:
    """Whether the agent takes it for numbers in a row; a colour picture has three axes."""
    return isinstance(space, gym.spaces.Box) and len(space.shape) <= 2


def parts_of(space: "gym.Space[Any]") -> "list[gym.Space[Any]]":
    """The spaces that a Dict or a Tuple is made of, however deep; else itself."""
    if isinstance(space, gym.spaces.Dict):
        return [part for child in space.values() for part in parts_of(child)]
    if isinstance(space, gym.spaces.Tuple):
        return [part for child in space for part in parts_of(child)]
    return [space]


def observation_width(space: Any) -> int:
    """Numbers of an observation.

    Raises:
        ValueError: the space is not supported, with what to do about it.
    """
    if not is_vector(space) or space.dtype.kind not in NUMBERS:
        raise ValueError(
            f"Observations are {space}, but the agent takes vectors. Wrap the environment in one "
            "of gymnasium.wrappers' TransformObservation."
        )
    width = int(np.prod(space.shape))
    if not width:
        raise ValueError(f"Observations are {space}, which holds no number. Give it a width.")
    return width


def actions_of(space: Any) -> Actions:
    """The box of actions.

    Raises:
        ValueError: the space is not supported, with what to do about it.
    """
    if not isinstance(space, gym.spaces.Box):
        raise ValueError(
            f"Actions are {space}, but the agent takes a Box of real numbers. Wrap the environment "
            "in gymnasium.wrappers.TransformAction."
        )
    dtype = np.dtype(space.dtype)
    if dtype.kind not in NUMBERS or not space.low.size:
        raise ValueError(f"Actions are {space}, but the agent takes numbers, at least one.")
    low, high = (np.asarray(side, np.float64) for side in (space.low, space.high))
    finite = bool(np.all(np.isfinite(low)) and np.all(np.isfinite(high)))
    most = max(np.abs(low).max(), np.abs(high).max()) if finite else np.inf
    if not most < (LARGEST if dtype.kind == "f" else WHOLE):
        limit = "1e30" if dtype.kind == "f" else "2^53"
        raise ValueError(
            f"The bounds of actions are {space.low} and {space.high}, but both must be finite, "
            f"below {limit}. Wrap the environment in gymnasium.wrappers.TransformAction with a "
            "finite Box."
        )
    return Actions(space.low, space.high, dtype)


def sizes_of(env: "gym.Env[Any, Any]") -> tuple[int, int]:
    """Widths of observation and action.

    Raises:
        ValueError: a space that the agent does not support, with what to do about it.
    """
    for name in ("observation_space", "action_space"):
        if not isinstance(getattr(env, name, None), gym.Space):
            raise ValueError(
                f"{type(env.unwrapped).__name__} has no {name}. Set it in its class or __init__ "
                "to one of gymnasium.spaces."
            )
    return observation_width(env.observation_space), actions_of(env.action_space).low.size
