"""The replay buffer: NumPy rings of transitions, one for each seed, all of the same length."""

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steinflow.rl.critic import Batch

Floats = NDArray[np.float32]


class Replay:
    """The last `capacity` transitions of every seed; every array has the axes [seed, place, ...].

    What a batch holds depends on the seed and the number of the call alone, so that a resumed run
    samples what an undisturbed one does.
    """

    def __init__(self, seeds: int, capacity: int, obs_dim: int, action_dim: int) -> None:
        shapes = {"obs": (obs_dim,), "action": (action_dim,), "reward": (),
                  "next_obs": (obs_dim,), "discount": ()}  # fmt: skip
        self.arrays: dict[str, Floats] = {
            name: np.zeros((seeds, capacity, *shape), np.float32) for name, shape in shapes.items()
        }
        self.capacity, self.size, self.place = capacity, 0, 0

    def add(self, transitions: Batch) -> None:
        """One transition a seed, [seed, ...]."""
        for name, values in transitions._asdict().items():
            self.arrays[name][:, self.place] = values
        self.place = (self.place + 1) % self.capacity
        self.size = min(self.size + 1, self.capacity)

    def sample(self, seed: int, call: int, shape: tuple[int, ...]) -> Batch:
        """Transitions drawn uniformly with replacement, [seed, *shape, ...]."""
        seeds = self.arrays["reward"].shape[0]
        places = np.stack(
            [np.random.default_rng((seed + k, call)).integers(self.size, size=shape)
             for k in range(seeds)]
        )  # fmt: skip
        which = np.arange(seeds).reshape(-1, *(1,) * len(shape))
        found: dict[str, Any] = {name: array[which, places] for name, array in self.arrays.items()}
        return Batch(**found)


class NSteps:
    """Sums the rewards of n steps of one environment before the bootstrap.

    After the last step of an episode the shorter sums follow: each carries the discount
    gamma^k, or 0 where the episode terminated.
    """

    def __init__(self, n: int, gamma: float) -> None:
        self.n, self.gamma = n, gamma
        self.waiting: deque[tuple[Floats, Floats, float]] = deque()

    def step(
        self,
        obs: Floats,
        action: Floats,
        reward: float,
        next_obs: Floats,
        terminated: bool,
        truncated: bool,
    ) -> list[Batch]:
        """The transitions that are complete with this step."""
        self.waiting.append((obs, action, reward))
        ended = terminated or truncated
        found = []
        while self.waiting and (ended or len(self.waiting) == self.n):
            total = sum(self.gamma**k * r for k, (_, _, r) in enumerate(self.waiting))
            discount = 0.0 if terminated else self.gamma ** len(self.waiting)
            first, taken, _ = self.waiting.popleft()
            parts: tuple[Any, ...] = (
                first,
                taken,
                np.float32(total),
                next_obs,
                np.float32(discount),
            )
            found.append(Batch(*parts))
        return found
