"""Gymnasium environments side by side: actions rescaled, ends of episodes told apart.

A transition's next observation is the episode's own last one, whatever the autoreset mode.
"""

import abc
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from steinflow.rl.adapter import Adapted
from steinflow.rl.environment_state import Arrays
from steinflow.rl.factories import Factory, factory_of, time_limit_of
from steinflow.rl.spaces import Actions, sizes_of

__all__ = ["Environments", "Factory", "Step", "factory_of", "side_by_side", "sizes_of"]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


class Step(NamedTuple):
    """One step of e environments."""

    next_obs: Floats  # [e, o], before any reset
    reward: Floats  # [e]
    terminated: Flags  # [e]
    truncated: Flags  # [e]
    obs: Floats  # [e, o], where the next action starts from
    valid: Flags  # [e]; False where the environment only reset itself, or its episode is dropped
    dropped: Flags  # [e]; the episode ends because something was not finite


class About(NamedTuple):
    """What there is to know of an environment."""

    width: int  # of observations
    actions: Actions
    time_limit: int | None  # steps; None where none can be seen
    id: str  # with which Gymnasium knows it; empty where it does not


class Environments(abc.ABC):
    """Environments that take one step each at a time."""

    count: int
    about: About

    @abc.abstractmethod
    def reset(self, seeds: Sequence[int]) -> Floats:
        """First observations, [e, o]."""

    @abc.abstractmethod
    def step(self, action: Floats) -> Step:
        """Take actions in [-1, 1]^d, [e, d]."""

    @abc.abstractmethod
    def snapshots(self) -> list[Arrays]:
        """The state of each; empty where it does not give all of it."""

    @abc.abstractmethod
    def put(self, states: Sequence[Arrays]) -> None:
        """Put back the state of each, after a reset; raises where one cannot be."""

    @abc.abstractmethod
    def close(self) -> None:
        """Free what the environments hold."""


class InTurn(Environments):
    """Environments in this process, stepped one after another.

    Args:
        make: what makes one, a new one at each call.
        count: how many.
        mode: when an episode's end is followed by a reset.
        drop_nan: end episodes in which something is not finite; otherwise that is an error.

    Raises:
        ValueError: one cannot be made, or its spaces are not supported; those before it are closed.
    """

    def __init__(
        self, make: Factory, count: int, mode: AutoresetMode, drop_nan: bool = False
    ) -> None:
        self.count, self.mode, self.members = count, mode, list[Adapted]()
        try:
            for _ in range(count):
                self.members.append(Adapted(make(), drop_nan))
            made = iter(self.members)
            self.envs = SyncVectorEnv([lambda: next(made)] * count, autoreset_mode=mode)
        except RuntimeError as error:
            raise ValueError(
                f"The environments of a run must have the same spaces: {error}"
            ) from error
        except BaseException:
            for env in self.members:
                env.close()
            raise
        first = self.members[0]
        name = getattr(getattr(first.env, "spec", None), "id", "")
        self.about = About(first.last_obs.size, first.actions, time_limit_of(first), name)
        self.ended = np.zeros(count, np.bool_)

    def reset(self, seeds: Sequence[int]) -> Floats:
        obs, _ = self.envs.reset(seed=list(seeds))
        self.ended[:] = False
        return np.asarray(obs)

    def step(self, action: Floats) -> Step:
        obs, rewards, terminated, truncated, info = self.envs.step(action)
        ended = terminated | truncated
        valid = ~self.ended if self.mode == AutoresetMode.NEXT_STEP else np.ones_like(ended)
        next_obs = obs
        if self.mode == AutoresetMode.SAME_STEP and ended.any():
            next_obs = obs.copy()
            for i in np.flatnonzero(ended):
                next_obs[i] = info["final_obs"][i]
        if self.mode == AutoresetMode.DISABLED and ended.any():
            obs = self.envs.reset(options={"reset_mask": ended})[0]
        self.ended, dropped = ended, np.isnan(rewards)
        reward = np.where(dropped, 0.0, rewards).astype(np.float32)
        return Step(next_obs, reward, terminated, truncated, obs, valid & ~dropped, dropped)

    def snapshots(self) -> list[Arrays]:
        return [env.snapshot() for env in self.members]

    def put(self, states: Sequence[Arrays]) -> None:
        for env, state in zip(self.members, states, strict=True):
            env.put(state)

    def close(self) -> None:
        self.envs.close()


def side_by_side(
    make: Factory,
    count: int,
    mode: AutoresetMode,
    workers: int = 0,
    drop_nan: bool = False,
    patience: float = 0.0,
) -> Environments:
    """Environments in this process, or in processes.

    Args:
        make: what makes one, a new one at each call.
        count: how many.
        mode: when an episode's end is followed by a reset.
        workers: processes that share them; 0: this one.
        drop_nan: end episodes in which something is not finite; otherwise that is an error.
        patience: seconds that a process may take for a step; 0 is no limit.

    Raises:
        ValueError: one cannot be made, or its spaces are not supported.
        RunError: a process ended before it had made them.
    """
    if not workers:
        return InTurn(make, count, mode, drop_nan)
    from steinflow.rl.workers import InProcesses

    return InProcesses(make, count, mode, min(workers, count), drop_nan, patience)


def put_back(envs: Environments, states: Sequence[Arrays]) -> bool:
    """Put back the states of environments that have been reset; whether all of it came back."""
    if not all(states):
        return False
    try:
        envs.put(states)
    except Exception:  # noqa: BLE001 - another version of an environment, or its own code
        return False
    return True


def snapshots_of(envs: Environments) -> list[Arrays]:
    """The states of environments; empty where they have failed."""
    with suppress(Exception):
        return envs.snapshots()
    return [{}] * envs.count
