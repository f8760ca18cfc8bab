"""An environment with four equal goals, in which the Boltzmann policy has four modes."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

GOALS = np.array([[5.0, 0.0], [0.0, 5.0], [-5.0, 0.0], [0.0, -5.0]])


class MultiGoal(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """A point in the plane that starts at the middle of four goals (after Haarnoja et al., 2017).

        position' = position + action + 0.05 noise,   |position_j| <= 7
        reward    = -0.3 - |action|² + 10 [a goal is within 1]

    Observation: the position over 7, [2]. Action: a step in [-1, 1]², [2]. An episode terminates
    at a goal and is truncated after 30 steps; `info["goal"]` is the goal's number, or -1.

    Args:
        render_mode: rgb_array or None.
        spread: standard deviation of the start about the middle.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium's name

    def __init__(self, render_mode: str | None = None, spread: float = 0.05) -> None:
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.render_mode, self.spread = render_mode, spread
        self.position, self.steps = np.zeros(2), 0
        self.path: list[NDArray[np.float64]] = []

    def observation(self) -> NDArray[np.float32]:
        """The observation."""
        return np.asarray(self.position / 7.0, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Back to near the middle."""
        super().reset(seed=seed)
        start = self.spread * self.np_random.standard_normal(2)
        self.position, self.steps = np.clip(start, -7.0, 7.0), 0
        self.path = [self.position]
        return self.observation(), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One step."""
        move = np.clip(np.asarray(action, float), -1.0, 1.0)
        noise = 0.05 * self.np_random.standard_normal(2)
        self.position = np.clip(self.position + move + noise, -7.0, 7.0)
        self.path, self.steps = [*self.path, self.position], self.steps + 1
        distance = np.linalg.norm(GOALS - self.position, axis=1)
        goal = int(np.argmin(distance)) if distance.min() < 1.0 else -1
        reward = -0.3 - float(move @ move) + 10.0 * (goal >= 0)
        return self.observation(), reward, goal >= 0, self.steps >= 30, {"goal": goal}

    def state_dict(self) -> dict[str, NDArray[np.float64]]:
        """For checkpoints."""
        return {"position": self.position, "steps": np.array(self.steps)}

    def load_state_dict(self, state: dict[str, NDArray[np.float64]]) -> None:
        """Go on from a checkpoint."""
        self.position, self.steps = state["position"], int(state["steps"])
        self.path = [self.position]

    def render(self) -> NDArray[np.uint8]:
        """The goals and the path, 280 pixels a side."""
        picture = np.full((280, 280, 3), 255, np.uint8)
        rows, columns = np.mgrid[0:280, 0:280]
        plane = np.stack([columns / 20.0 - 7.0, 7.0 - rows / 20.0], axis=-1)
        for goal in GOALS:
            picture[np.linalg.norm(plane - goal, axis=-1) < 1.0] = (0, 158, 115)
        for where in self.path:
            picture[np.linalg.norm(plane - where, axis=-1) < 0.15] = (0, 0, 0)
        return picture
