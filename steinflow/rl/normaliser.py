"""Running means and standard deviations of observations."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 10.0  # standard deviations
BLOCK = 65_536  # observations that are taken in at once


class Normaliser:
    """(obs - mean)/std of all observations so far, one for each seed, within ±10.

    Mean and variance of batches are joined exactly (Chan, Golub & LeVeque, 1979).
    """

    def __init__(self, seeds: int, obs_dim: int) -> None:
        self.count = np.zeros((seeds, 1))
        self.mean = np.zeros((seeds, obs_dim))
        self.square = np.zeros((seeds, obs_dim))  # sum of squared distances from the mean

    def update(self, obs: NDArray[np.float32]) -> None:
        """Take in observations, [seed, env, o]."""
        new, fresh = obs.shape[1], obs.mean(axis=1, dtype=np.float64)
        total, away = self.count + new, fresh - self.mean
        self.square += ((obs - fresh[:, None]) ** 2).sum(axis=1)
        self.square += away**2 * self.count * new / total
        self.mean += away * new / total
        self.count = total

    def absorb(self, obs: NDArray[np.float32]) -> None:
        """Take in observations of others, [n, o], the same for every seed."""
        for part in np.array_split(obs, -(-len(obs) // BLOCK)):
            self.update(np.broadcast_to(part, (len(self.count), *part.shape)))

    def __call__(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised observations, [seed, ..., o]."""
        apart = (-1, *(1,) * (obs.ndim - 2), obs.shape[-1])
        std = np.sqrt(self.square / np.maximum(self.count, 1.0)) + 1e-4
        scaled = (obs - self.mean.reshape(apart)) / std.reshape(apart)
        return np.clip(scaled, -LARGEST, LARGEST).astype(np.float32)

    def of_seed(self, seed: int) -> dict[str, NDArray[Any]]:
        """What a checkpoint keeps."""
        return {name: array[seed] for name, array in vars(self).items()}

    def restore(self, seed: int, saved: dict[str, NDArray[Any]]) -> None:
        """Take back what `of_seed` gave."""
        for name, array in saved.items():
            getattr(self, name)[seed] = array
