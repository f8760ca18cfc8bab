"""Steps a second of eight environments that sleep, in this process and in eight: env_workers.json.

python benchmarks/env_workers.py
"""

import argparse
import json
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from provenance import stamp

from steinflow.rl.environments import factory_of, side_by_side

COUNT, SLEEP = 8, 0.005  # environments, seconds a step
HERE = Path(__file__).parent


class Sleeping(gym.Env[np.ndarray, np.ndarray]):
    """Sleeps a while a step; nothing else happens."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (17,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (6,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(17, np.float32), {}

    def step(self, action):
        time.sleep(SLEEP)
        return np.zeros(17, np.float32), 0.0, False, False, {}


def steps_a_second(workers: int, steps: int) -> float:
    """Of all environments together, without the start of processes."""
    envs = side_by_side(factory_of(Sleeping), COUNT, AutoresetMode.SAME_STEP, workers)
    try:
        envs.reset(list(range(COUNT)))
        began = time.monotonic()
        for _ in range(steps):
            envs.step(np.zeros((COUNT, 6), np.float32))
        return COUNT * steps / (time.monotonic() - began)
    finally:
        envs.close()


def main() -> None:
    """Measure in turns, and write the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    results: dict[str, list[float]] = {"0": [], "8": []}
    for _ in range(options.turns):
        for workers, speeds in results.items():
            speeds.append(round(steps_a_second(int(workers), options.steps), 1))
    medians = {workers: float(np.median(speeds)) for workers, speeds in results.items()}
    ratio = round(medians["8"] / medians["0"], 2)
    about = {"environments": COUNT, "sleep": SLEEP, "steps_a_second": results, "ratio": ratio}
    path = HERE / "results" / "env_workers.json"
    path.write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    stamp(path)
    print(f"{medians}: {ratio} times ({path})")


if __name__ == "__main__":
    main()
