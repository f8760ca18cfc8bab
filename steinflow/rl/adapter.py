"""An environment as the agent sees it: whatever its reset, step and close give or do.

Observations come as float32 vectors of their own memory, rewards as one number, ends of episodes
as truth values; actions go in as the environment's own; what cannot be understood is a sentence.
"""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from steinflow.io.files import UserNotice
from steinflow.rl.checkpoint import RunError
from steinflow.rl.environment_state import Arrays, given, set_state
from steinflow.rl.signals import guarded
from steinflow.rl.spaces import NUMBERS, actions_of, sizes_of

Floats = NDArray[np.float32]
TRIES = 10  # resets in a row that may give what is not finite
IN_A_ROW = 20  # episodes that may be dropped one after the other
PATIENCE = 10.0  # seconds that an environment may take to close
NAN = (
    "The environment gave {what} that is not finite. Mend it, or add --drop-nan, which drops such "
    "episodes."
)
OLD = "shimmy.GymV21CompatibilityV0 wraps those of the old gym."


class EnvironmentWarning(UserNotice):
    """What an environment does that training can go on with."""


class Adapted(gym.Wrapper[Any, Any, Any, Any]):
    """An environment of vectors with actions in [-1, 1]^d.

    Args:
        env: one whose spaces are supported.
        drop_nan: where a step gives what is not finite, truncate the episode at its last
            observation, with a reward of NaN that marks it, and fail after `IN_A_ROW` such
            episodes in a row; otherwise the first is an error.

    Raises:
        ValueError: a space is not supported.
    """

    def __init__(self, env: "gym.Env[Any, Any]", drop_nan: bool = False) -> None:
        super().__init__(env)
        self.metadata = dict(getattr(env, "metadata", None) or {})
        wide, dim = sizes_of(env)
        self.actions, self.drop_nan = actions_of(env.action_space), drop_nan
        self.dropped, self.dropping = 0, False  # episodes in a row; whether the last one was
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (wide,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (dim,), np.float32)
        self.last_obs = np.zeros(wide, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """A first observation, [o]; the seed is passed on where there is one.

        Raises:
            RunError: what the environment gives is no observation, or is not finite.
        """
        self.dropped, self.dropping = self.dropped * self.dropping, False
        given: dict[str, Any] = {} if seed is None else {"seed": seed}
        given |= {"options": options} if options else {}
        for _ in range(TRIES if self.drop_nan else 1):
            result = self.env.reset(**given)
            if not isinstance(result, tuple) or len(result) != 2:
                raise RunError(
                    f"The environment's reset gave {type(result).__name__}. Return (observation, "
                    f"info); {OLD}"
                )
            self.last_obs = self.vector(result[0], "reset")
            if np.isfinite(self.last_obs).all():
                return self.last_obs, {}
            given.pop("seed", None)
        raise RunError(NAN.format(what="an observation"))

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Observation [o], reward, terminated, truncated, and an empty info.

        Raises:
            RunError: the action is not finite, or what the environment gives is not understood.
        """
        if not np.isfinite(action).all():
            raise RunError("The policy gives actions that are not finite. Train it anew.")
        result: Any = self.env.step(self.actions.scaled(action))
        if not isinstance(result, tuple) or len(result) != 5:
            count = f"{len(result)} values" if isinstance(result, tuple) else type(result).__name__
            raise RunError(
                f"The environment's step gave {count}. Return (observation, reward, terminated, "
                f"truncated, info); {OLD}"
            )
        obs, reward = self.vector(result[0], "step"), number("reward", result[1])
        ends = [truth(name, result[i]) for i, name in ((2, "terminated"), (3, "truncated"))]
        with np.errstate(over="ignore"):
            finite = bool(np.isfinite(np.float32(reward)))
        if finite and np.isfinite(obs).all():
            self.last_obs = obs
            return obs, reward, ends[0], ends[1], {}
        what = "an observation" if finite else "a reward"
        if not self.drop_nan:
            raise RunError(NAN.format(what=what))
        self.dropped, self.dropping = self.dropped + 1, True
        if self.dropped == IN_A_ROW:
            raise RunError(
                f"{IN_A_ROW} episodes in a row were dropped; the last gave {what} that is not "
                "finite. Mend the environment."
            )
        return self.last_obs, float("nan"), False, True, {}

    def vector(self, obs: Any, where: str) -> Floats:
        """An observation as float32 numbers in a row, a copy.

        Raises:
            RunError: it is not of the space that the environment has.
        """
        try:
            with np.errstate(over="ignore"):
                array = np.array(obs, np.float32).reshape(-1)
        except (TypeError, ValueError, OverflowError):
            array = np.zeros(0, np.float32)
        if array.shape != self.last_obs.shape:
            raise RunError(
                f"The environment's {where} gave {kind_of(obs)} as an observation, but its "
                f"observation_space is {self.env.observation_space}. Mend one of the two."
            )
        return array

    def snapshot(self) -> Arrays:
        """Its state as arrays; empty where it cannot give all of it."""
        return given(self.env)

    def put(self, state: Arrays) -> Floats:
        """Go on from a snapshot; raises where that cannot be."""
        set_state(self.env, state)
        return self.last_obs

    def close(self) -> None:
        """Close it; a failure is a warning."""
        closed(self.env)


def number(name: str, value: Any) -> float:
    """One number, whatever it is wrapped in.

    Raises:
        RunError: it is none.
    """
    if isinstance(value, float | int | np.number):
        return float(value)
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in NUMBERS:
        raise RunError(
            f"The environment gave a {name} that is {kind_of(value)}, but it must be one number. "
            "Wrap it in gymnasium.wrappers.TransformReward with a function that gives one."
        )
    return float(array.reshape(())[()])


def kind_of(value: Any) -> str:
    """The type of a value, and its shape where it has one."""
    shape = getattr(value, "shape", None)
    return type(value).__name__ + ("" if shape is None else f" of shape {list(shape)}")


def truth(name: str, value: Any) -> bool:
    """One truth value, whatever it is wrapped in.

    Raises:
        RunError: it is none.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in NUMBERS:
        raise RunError(
            f"The environment gave {name} = {value!r}, but it must be True or False. Mend its step."
        )
    return bool(array.reshape(())[()])


def closed(env: Any) -> None:
    """Close an environment; what has been done is done, so that a failure is a warning."""
    try:
        with guarded("The environment's close", PATIENCE):
            env.close()
    except RunError as error:
        sentence = f"{' '.join(str(error).split())} What was trained is not touched by it."
        warnings.warn(sentence, EnvironmentWarning, stacklevel=2)
