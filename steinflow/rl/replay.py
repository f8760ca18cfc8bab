"""The replay buffer: NumPy rings of steps, one for each environment of each seed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


class Steps(NamedTuple):
    """One step of n environments."""

    obs: Floats  # [n, o]
    action: Floats  # [n, d], in [-1, 1]
    reward: Floats  # [n]
    next_obs: Floats  # [n, o], the episode's own last one where it ends
    terminated: Flags  # [n]
    truncated: Flags  # [n]

    def each(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> "Steps":
        """The same change of every part."""
        return Steps(*map(change, self))


class Replay:
    """The last steps of every environment, with sums of n rewards before the bootstrap.

    Arrays have the axes [ring, place, ...]; the rings of seed k are k e to k e + e - 1. What a
    batch holds depends on the seed, the number of the call and its purpose alone, so that a resumed
    run samples what an undisturbed one does.
    """

    def __init__(self, seeds: int, envs: int, capacity: int, obs_dim: int, action_dim: int) -> None:
        self.seeds, self.envs, self.length = seeds, envs, max(capacity // envs, 1)
        rings, wide = (seeds * envs, self.length), np.float32
        self.steps = Steps(
            np.zeros((*rings, obs_dim), wide),
            np.zeros((*rings, action_dim), wide),
            np.zeros(rings, wide),
            np.zeros((*rings, obs_dim), wide),
            np.zeros(rings, np.bool_),
            np.zeros(rings, np.bool_),
        )
        self.added = np.zeros(seeds * envs, np.int64)  # steps ever added to each ring
        self.held = np.zeros(seeds * envs, np.int64)  # of these, the newest that it still has

    @classmethod
    def of(cls, steps: Steps, seeds: int) -> "Replay":
        """One that holds steps of others, [n] each, the same for every seed; nothing is copied, and
        nothing can be added."""
        replay = cls(seeds, 1, 1, steps.obs.shape[-1], steps.action.shape[-1])
        replay.length = len(steps.reward)
        replay.steps = steps.each(lambda part: np.broadcast_to(part, (seeds, *part.shape)))
        replay.added[:] = replay.held[:] = replay.length
        return replay

    def add(self, steps: Steps, valid: Flags | None = None) -> None:
        """A step of every environment, or of those that are marked."""
        rows = np.arange(self.added.size) if valid is None else np.flatnonzero(valid)
        places = self.added[rows] % self.length
        for ring, values in zip(self.steps, steps, strict=True):
            ring[rows, places] = values[rows]
        self.added[rows] += 1
        self.held[rows] = np.minimum(self.held[rows] + 1, self.length)

    def drop(self, ring: int, count: int) -> None:
        """Forget the newest steps of a ring, as many as it has of these."""
        self.added[ring] -= min(count, self.added[ring])
        self.held[ring] -= min(count, self.held[ring])

    def end(self) -> None:
        """Mark the newest steps as truncated: the next ones begin episodes."""
        rows = np.flatnonzero(self.held)
        places = (self.added[rows] - 1) % self.length
        self.steps.truncated[rows, places] |= ~self.steps.terminated[rows, places]

    def sample(
        self,
        seed: int,
        call: int,
        shape: tuple[int, ...],
        n: int = 1,
        gamma: float = 0.99,
        purpose: tuple[int, ...] = (),
    ) -> dict[str, Any]:
        """The parts of a `Batch` of n-step transitions drawn uniformly with replacement, each
        [seed, *shape, ...].

        A sum of rewards stops where its episode ends, or at the newest step, and carries the
        discount gamma^k of its own length k, or 0 where the episode terminated.
        """
        places = [self.places(k, np.random.default_rng((seed + k, call, *purpose)), shape)
                 for k in range(self.seeds)]  # fmt: skip
        rows, first = (np.stack(parts) for parts in zip(*places, strict=True))
        start, newest = first % self.length, self.added[rows] - 1
        total = self.steps.reward[rows, start].astype(np.float32)
        last, discount = first.copy(), np.full(first.shape, gamma, np.float32)
        for _ in range(n - 1):
            at = last % self.length
            ended = self.steps.terminated[rows, at] | self.steps.truncated[rows, at]
            on = ~ended & (last < newest)
            last = last + on
            total += on * discount * self.steps.reward[rows, last % self.length]
            discount = np.where(on, discount * np.float32(gamma), discount)
        final = last % self.length
        discount = discount * ~self.steps.terminated[rows, final]
        return {
            "obs": self.steps.obs[rows, start],
            "action": self.steps.action[rows, start],
            "reward": total,
            "next_obs": self.steps.next_obs[rows, final],
            "discount": discount,
        }

    def places(
        self, seed: int, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rings of a seed, and numbers of steps that they still hold."""
        filled = np.flatnonzero(self.held[seed * self.envs : (seed + 1) * self.envs])
        rows = seed * self.envs + filled[rng.integers(filled.size, size=shape)]
        return rows, self.added[rows] - 1 - rng.integers(self.held[rows])

    @property
    def fewest(self) -> int:
        """Steps that every seed can sample from, at least."""
        return int(self.held.reshape(self.seeds, self.envs).sum(axis=1).min())

    def of_seed(self, seed: int) -> dict[str, NDArray[Any]]:
        """What a checkpoint of one seed keeps: its rings, as far as they are filled."""
        rows = slice(seed * self.envs, (seed + 1) * self.envs)
        filled = int(min(self.added[rows].max(), self.length))
        rings = {name: ring[rows, :filled] for name, ring in self.steps._asdict().items()}
        return rings | {"added": self.added[rows], "held": self.held[rows]}

    def restore(self, seed: int, saved: dict[str, NDArray[Any]]) -> None:
        """Take back what `of_seed` gave."""
        rows = slice(seed * self.envs, (seed + 1) * self.envs)
        for name, ring in self.steps._asdict().items():
            ring[rows, : saved[name].shape[1]] = saved[name]
        self.added[rows] = saved["added"]
        self.held[rows] = saved.get("held", np.minimum(saved["added"], self.length))
