"""Evaluation: whole episodes with the best of M actions, on seeds of their own."""

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode
from jax import numpy as jnp
from numpy.typing import NDArray

from steinflow.rl.adapter import EnvironmentWarning
from steinflow.rl.agent import AgentState, Learner, act
from steinflow.rl.config import TrainConfig
from steinflow.rl.environments import Environments, Factory, side_by_side
from steinflow.rl.normaliser import Normaliser
from steinflow.rl.signals import guarded

LONGEST = 10_000  # steps of an episode, where no other number is given
MOST = 2**31 - 1  # of a seed
FIRST = 1 << 30  # counters of actions start here, apart from those of training


class Returns(NamedTuple):
    """Undiscounted returns and lengths of whole episodes."""

    returns: NDArray[np.float64]  # [k, n]
    lengths: NDArray[np.int64]  # [k, n]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean return of each seed, [k]."""
        return self.returns.mean(axis=1)

    @property
    def standard_error(self) -> NDArray[np.float64]:
        """Its standard error over episodes, [k]; NaN for a single one."""
        seeds, n = self.returns.shape
        if n == 1:
            return np.full(seeds, np.nan)
        return self.returns.std(axis=1, ddof=1) / np.sqrt(n)


def with_error(mean: float, error: float | None) -> str:
    """A mean and its standard error, where that is known."""
    known = error is not None and math.isfinite(error)
    return f"{mean:.1f} ± {error:.1f}" if known else f"{mean:.1f}"


def seeds_of(seed: int, count: int, purpose: int) -> list[int]:
    """Seeds for environments that no other seed or purpose has, below 2^31 as simulators want."""
    numbers = np.random.SeedSequence((seed, purpose)).generate_state(count)
    return [int(number) & MOST for number in numbers]


class Evaluator:
    """Whole episodes of one environment for every seed.

    Args:
        make: what makes an environment; not used where there are some already.
        config: eval_envs, eval_max_steps, env_workers, drop_nan and env_timeout.
        seeds: of agents.
        episodes: of each seed.
        envs: environments that train, which evaluate as well where eval_envs is 1.

    Raises:
        ValueError: an environment cannot be made, or its spaces are not supported.
    """

    def __init__(
        self,
        make: Factory,
        config: TrainConfig,
        seeds: int,
        episodes: int,
        envs: Environments | None = None,
    ) -> None:
        self.config, self.shape = config, (seeds, episodes)
        self.longest = config.eval_max_steps or LONGEST
        self.borrowed = config.eval_envs == 1 and envs is not None
        if self.borrowed and envs is not None:
            self.envs = envs
            return
        count = min(config.eval_envs or seeds * episodes, seeds * episodes)
        self.envs = side_by_side(
            make, count, AutoresetMode.SAME_STEP, config.env_workers, config.drop_nan,
            config.env_timeout,
        )  # fmt: skip

    def run(
        self,
        learner: Learner,
        states: AgentState,
        normaliser: Normaliser | None,
        seed: int,
        stop: Sequence[int] = (),
    ) -> Returns:
        """The episodes, as many at once as there are environments; all seeds of agents see the
        same ones. What an episode gives does not depend on which others go on beside it.

        Raises:
            KeyboardInterrupt: stop has filled.
            RunError: the environment failed.
        """
        agents, episodes = self.shape
        seeds = seeds_of(seed, episodes, 2) * agents
        result = Returns(np.zeros(self.shape), np.zeros(self.shape, np.int64))
        cut = 0
        for first in range(0, len(seeds), self.envs.count):
            rows = np.arange(first, min(first + self.envs.count, len(seeds)))
            some = [seeds[row] for row in rows]
            some += some[:1] * (self.envs.count - len(some))  # those are stepped, not counted
            with guarded("The environment's reset", self.config.env_timeout):
                obs = self.envs.reset(some)
            cut += self.episodes(learner, states, normaliser, rows, obs, result, stop)
        if cut:
            warnings.warn(
                f"{cut} of {len(seeds)} episodes of an evaluation were cut after {self.longest:,} "
                "steps, and count with what they earned. --eval-max-steps sets another limit.",
                EnvironmentWarning,
                stacklevel=2,
            )
        return result

    def episodes(
        self,
        learner: Learner,
        states: AgentState,
        normaliser: Normaliser | None,
        rows: NDArray[np.int64],
        obs: NDArray[np.float32],
        result: Returns,
        stop: Sequence[int],
    ) -> int:
        """One episode of every row, added to `found`; how many were cut."""
        returns, lengths = result.returns.reshape(-1), result.lengths.reshape(-1)
        going = np.ones(len(rows), np.bool_)
        everyone = np.zeros((returns.size, obs.shape[-1]), np.float32)
        for count in range(self.longest):
            if stop:
                raise KeyboardInterrupt
            everyone[rows] = obs[: len(rows)]
            observations = everyone.reshape(*self.shape, -1)
            observations = normaliser(observations) if normaliser else observations
            action = np.asarray(
                act(learner, states, jnp.asarray(FIRST + count), observations, True)
            )
            action = action.reshape(returns.size, -1)[rows]
            idle = np.zeros((self.envs.count - len(rows), action.shape[-1]), np.float32)
            with guarded("The environment's step", self.config.env_timeout):
                step = self.envs.step(np.concatenate([action, idle]))
            active = slice(len(rows))
            returns[rows] += np.where(going, step.reward[active], 0.0)
            lengths[rows] += going
            again = going & step.dropped[active]  # it began anew
            returns[rows[again]], lengths[rows[again]] = 0.0, 0
            going &= ~(step.terminated | step.truncated)[active] | again
            obs = step.obs
            if not going.any():
                return 0
        return int(going.sum())

    def close(self) -> None:
        """Free the environments, where they are its own."""
        if not self.borrowed:
            self.envs.close()
