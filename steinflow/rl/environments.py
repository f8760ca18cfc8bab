"""Gymnasium environments side by side: actions rescaled, ends of episodes told apart.

A transition's next observation is the episode's own last one, whatever the autoreset mode.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

Factory = Callable[[], "gym.Env[Any, Any]"]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


class Step(NamedTuple):
    """One step of e environments."""

    next_obs: Floats  # [e, o], before any reset
    reward: Floats  # [e]
    terminated: Flags  # [e]
    truncated: Flags  # [e]
    obs: Floats  # [e, o], where the next action starts from
    valid: Flags  # [e]; False where the environment only reset itself


class ActionRepeat(gym.Wrapper[Any, Any, Any, Any]):
    """Each action is taken for `count` frames, fewer where the episode ends (Mnih et al., 2015).

    The reward is the sum of theirs; all else is the last frame's.
    """

    def __init__(self, env: "gym.Env[Any, Any]", count: int) -> None:
        super().__init__(env)
        self.count = count

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """`count` frames."""
        total = 0.0
        for _ in range(self.count):
            obs, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return obs, total, terminated, truncated, info


def factory_of(
    env: str | Factory, kwargs: Mapping[str, Any] | None = None, repeat: int = 1
) -> Factory:
    """A function that makes the environment of an id, `module:Id`, `module:function` or factory.

    Observations that are a Dict of vectors, as DeepMind Control's, are joined to one; actions are
    repeated for `repeat` frames.

    Raises:
        ValueError: here, its module cannot be imported; from the factory, Gymnasium knows no
            such id. Both in a sentence with the remedy.
    """
    make = maker_of(env, dict(kwargs or {}))
    if repeat > 1:
        return lambda: ActionRepeat(joined(make()), repeat)
    return lambda: joined(make())


def joined(env: "gym.Env[Any, Any]") -> "gym.Env[Any, Any]":
    """The environment, its observations one vector where they are a Dict of them."""
    seen = env.observation_space
    if isinstance(seen, gym.spaces.Dict) and all(map(is_vector, seen.values())):
        return gym.wrappers.FlattenObservation(env)
    return env


def is_vector(space: "gym.Space[Any]") -> TypeGuard[gym.spaces.Box]:
    """Whether the agent takes it for numbers in a row; a picture has three axes."""
    return isinstance(space, gym.spaces.Box) and len(space.shape) <= 2


def maker_of(env: str | Factory, options: dict[str, Any]) -> Factory:
    """Makes the environment as it is."""
    if callable(env):
        return lambda: env(**options)
    if ":" in env:
        module, name = env.split(":", 1)
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError as error:
            raise ValueError(
                f"Could not import {module!r} for {env!r}: {error}. Install it, or mend its name."
            ) from error
        if callable(found):
            return lambda: found(**options)
    if env.startswith("dm_control/"):
        try:
            importlib.import_module("shimmy")  # tells Gymnasium what there is
        except ModuleNotFoundError:
            raise
        except Exception as error:  # dm_control loads what draws
            raise ValueError(f"DeepMind Control cannot be loaded: {error}") from error

    def make() -> "gym.Env[Any, Any]":
        try:
            return gym.make(env, **options)
        except Exception as error:  # Gymnasium's, or the environment's own
            raise ValueError(f"Could not make {env!r}: {error}") from error

    return make


def sizes_of(env: "gym.Env[Any, Any]") -> tuple[int, int]:
    """Widths of observation and action.

    Raises:
        ValueError: a space that the agent does not support, with what to do about it.
    """
    seen, done = env.observation_space, env.action_space
    if not is_vector(seen):
        raise ValueError(
            f"Observations are {seen}, but the agent takes vectors. Wrap the environment in one "
            "of gymnasium.wrappers' TransformObservation."
        )
    if not isinstance(done, gym.spaces.Box):
        raise ValueError(f"Actions are {done}, but the agent takes a Box of real numbers.")
    if not (np.all(np.isfinite(done.low)) and np.all(np.isfinite(done.high))):
        raise ValueError(
            f"The bounds of actions are {done.low} and {done.high}, but both must be finite. "
            "Wrap the environment in gymnasium.wrappers.TransformAction with a finite Box."
        )
    return int(np.prod(seen.shape)), int(np.prod(done.shape))


class Environments:
    """Environments of any autoreset mode behind one `step`."""

    def __init__(self, envs: "VectorEnv[Any, Any, Any]") -> None:
        self.envs = envs
        self.mode = envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        space = envs.single_action_space
        assert isinstance(space, gym.spaces.Box)
        self.low, self.high, self.shape = space.low, space.high, space.shape
        self.ended = np.zeros(envs.num_envs, np.bool_)

    def reset(self, seeds: list[int]) -> Floats:
        """First observations, [e, o]."""
        obs, _ = self.envs.reset(seed=seeds)  # type: ignore[arg-type]  # a seed each
        self.ended[:] = False
        return flat(obs)

    def step(self, action: Floats) -> Step:
        """Take actions in [-1, 1]^d, [e, d]."""
        scaled = action.reshape(-1, *self.shape)
        scaled = self.low + 0.5 * (scaled + 1.0) * (self.high - self.low)
        scaled = np.clip(scaled, self.low, self.high).astype(self.low.dtype)
        seen, reward, terminated, truncated, info = self.envs.step(scaled)
        ended, obs = terminated | truncated, flat(seen)
        valid = ~self.ended if self.mode == AutoresetMode.NEXT_STEP else np.ones_like(ended)
        next_obs = obs
        if self.mode == AutoresetMode.SAME_STEP and ended.any():
            next_obs = obs.copy()
            for i in np.flatnonzero(ended):
                next_obs[i] = np.ravel(info["final_obs"][i])
        if self.mode == AutoresetMode.DISABLED and ended.any():
            obs = flat(self.envs.reset(options={"reset_mask": ended})[0])
        self.ended = ended
        return Step(next_obs, reward.astype(np.float32), terminated, truncated, obs, valid)

    @property
    def members(self) -> "Sequence[gym.Env[Any, Any]]":
        """The single environments, where they live in this process."""
        return getattr(self.envs, "envs", ())

    def close(self) -> None:
        """Free what the environments hold."""
        self.envs.close()


def side_by_side(make: Factory, count: int, mode: AutoresetMode) -> Environments:
    """count environments in this process."""
    return Environments(SyncVectorEnv([make] * count, autoreset_mode=mode))


def flat(obs: Any) -> Floats:
    """Observations as float32 vectors, a copy."""
    return np.array(obs, np.float32).reshape(len(obs), -1)
