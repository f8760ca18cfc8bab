"""The scale that rewards are divided by, from running statistics of the discounted return."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
SMALLEST = -160  # exponent of a class of magnitudes; float32 ends at 2^-149
CLASSES = 320  # powers of two
ORDINARY = 0.999  # share of nonzero rewards that outliers are told by
FAR = 128.0  # times that quantile, where a reward is cut


class Running(NamedTuple):
    """What the statistics have seen, with a leading axis of seeds."""

    going: Floats  # G of every environment now, [k, e]
    steps: Floats  # all of them, [k]
    mean: Floats  # [k]
    square: Floats  # sum of squared distances from the mean, [k]
    largest: Floats  # |G|, [k]
    magnitudes: NDArray[np.int64]  # rewards with 2^(i - 1) <= |r| 2^-SMALLEST < 2^i, [k, i]


class RewardNormaliser:
    """max(std G, max |G|/bound) over all steps of a seed's environments, where

        G <- gamma G + r,   and G <- 0 once an episode has terminated

    (Engstrom et al., 2020; the second term is SimbaV2's, Lee et al., 2025). A truncated episode
    goes on in G as it does in its value. It is 1 until a reward is not zero; units are those of
    rewards. A reward far beyond all others, above 128 times the quantile .999 of the nonzero |r| so
    far (rounded up to a power of two), counts as that much: one of 10^6 once in 10^4 steps leaves
    the scale to the others. Among the first thousand it counts in full.
    """

    def __init__(self, seeds: int, envs: int, gamma: float, bound: float) -> None:
        self.gamma, self.bound = gamma, bound
        zeros = np.zeros(seeds)
        sizes = np.zeros((seeds, CLASSES), np.int64)
        going = np.zeros((seeds, envs))
        self.running = Running(going, zeros, zeros.copy(), zeros.copy(), zeros.copy(), sizes)

    def update(self, reward: NDArray[np.float32], ended: Flags, valid: Flags) -> None:
        """Take in a step of every environment, or of those that are valid, [k, e] each; where one
        has ended, terminated or dropped, G begins anew."""
        now = self.running
        limit = self.limit(reward, valid)[:, None]
        taken = np.where(valid, reward, 0.0).astype(np.float64)
        going = self.gamma * now.going + np.clip(taken, -limit, limit)
        new = valid.sum(axis=1)
        fresh = np.sum(going * valid, axis=1) / np.maximum(new, 1)
        total, away = now.steps + new, fresh - now.mean
        share = new / np.maximum(total, 1.0)
        spread = np.sum((going - fresh[:, None]) ** 2 * valid, axis=1)
        largest = np.max(np.abs(going) * valid, axis=1)
        self.running = Running(
            np.where(valid, going, now.going) * ~ended,
            total,
            now.mean + away * share,
            now.square + spread + away**2 * now.steps * share,
            np.maximum(now.largest, largest),
            now.magnitudes,
        )

    def absorb(self, reward: NDArray[np.float32], terminated: Flags) -> None:
        """Take in steps of others, [n] each, one after another, the same for every seed."""
        one = RewardNormaliser(1, 1, self.gamma, self.bound)
        limit = one.limit(reward[None], np.ones((1, len(reward)), bool))[0]
        self.running.magnitudes[:] += one.running.magnitudes
        taken = np.clip(reward.astype(np.float64), -limit, limit)
        ends = np.flatnonzero(terminated) + 1
        parts = np.split(taken, ends)
        going = np.concatenate([lfilter([1.0], [1.0, -self.gamma], part) for part in parts])
        now, fresh = self.running, going.mean()
        total = now.steps + going.size
        away = fresh - now.mean
        spread = np.sum((going - fresh) ** 2) + away**2 * now.steps * going.size / total
        self.running = now._replace(
            steps=total, mean=now.mean + away * going.size / total, square=now.square + spread,
            largest=np.maximum(now.largest, np.abs(going).max()),
        )  # fmt: skip

    def limit(self, reward: NDArray[np.float32], valid: Flags) -> Floats:
        """Where rewards are cut, [k], these ones included in what is ordinary."""
        seeds, places = np.nonzero(valid & (reward != 0.0))
        classes = np.frexp(reward[seeds, places])[1] - SMALLEST
        np.add.at(self.running.magnitudes, (seeds, classes), 1)
        below = np.cumsum(self.running.magnitudes, axis=1)
        ordinary = np.argmax(below >= ORDINARY * below[:, -1:], axis=1)
        return FAR * 2.0 ** (ordinary + SMALLEST)

    @property
    def scale(self) -> Floats:
        """What rewards are divided by, [k]."""
        now = self.running
        std = np.sqrt(now.square / np.maximum(now.steps, 1.0))
        scale = np.maximum(std, now.largest / self.bound) if self.bound else std
        return np.where(scale > 0.0, scale, 1.0)

    def of_seed(self, seed: int) -> dict[str, NDArray[Any]]:
        """What a checkpoint keeps."""
        return {name: array[seed] for name, array in self.running._asdict().items()}

    def restore(self, seed: int, saved: dict[str, NDArray[Any]]) -> None:
        """Take back what `of_seed` gave."""
        for name, array in self.running._asdict().items():
            array[seed] = saved[name]
