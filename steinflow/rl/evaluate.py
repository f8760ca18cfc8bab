"""Evaluation: whole episodes with the best of M actions, on seeds of their own."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode
from jax import numpy as jnp
from numpy.typing import NDArray

from steinflow.rl.agent import AgentState, Learner, act
from steinflow.rl.checkpoint import RunError
from steinflow.rl.environments import Environments, Factory, side_by_side
from steinflow.rl.normaliser import Normaliser
from steinflow.rl.signals import guarded

LONGEST = 100_000  # steps of an episode
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


def seeds_of(seed: int, count: int, purpose: int) -> list[int]:
    """Seeds for environments, that no other seed or purpose has."""
    found = np.random.SeedSequence((seed, purpose)).generate_state(count)
    return [int(number) for number in found]


class Evaluator:
    """Episodes of one environment for every seed, side by side."""

    def __init__(self, make: Factory, seeds: int, episodes: int, patience: float = 0.0) -> None:
        self.seeds, self.episodes, self.patience = seeds, episodes, patience
        self.envs: Environments = side_by_side(make, seeds * episodes, AutoresetMode.SAME_STEP)

    def run(
        self,
        learner: Learner,
        states: AgentState,
        normaliser: Normaliser | None,
        seed: int,
        stop: Sequence[int] = (),
    ) -> Returns:
        """One episode in each environment; all seeds of agents see the same ones.

        Raises:
            KeyboardInterrupt: stop has filled.
            RunError: the environment failed, or an episode has no end.
        """
        shape = (self.seeds, self.episodes)
        with guarded("The environment's reset", self.patience):
            obs = self.envs.reset(seeds_of(seed, self.episodes, 2) * self.seeds)
        returns, lengths = np.zeros(shape), np.zeros(shape, np.int64)
        going, count = np.ones(shape, np.bool_), 0
        while going.any():
            if stop:
                raise KeyboardInterrupt
            if count == LONGEST:
                raise RunError(
                    f"An episode has not ended after {LONGEST:,} steps. Give the environment a "
                    "time limit: --env-kwargs max_episode_steps=1000."
                )
            seen = obs.reshape(*shape, -1)
            seen = normaliser(seen) if normaliser else seen
            action = np.asarray(act(learner, states, jnp.asarray(FIRST + count), seen, True))
            with guarded("The environment's step", self.patience):
                step = self.envs.step(action.reshape(seen.shape[0] * seen.shape[1], -1))
            returns += np.where(going, step.reward.reshape(shape), 0.0)
            lengths += going
            going &= ~(step.terminated | step.truncated).reshape(shape)
            obs, count = step.obs, count + 1
        return Returns(returns, lengths)

    def close(self) -> None:
        """Free the environments."""
        self.envs.close()
