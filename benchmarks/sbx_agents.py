"""SBX's SAC and CrossQ, in their own environment, on request: answers are JSON lines.

Run by benchmarks/train_speed.py and benchmarks/returns.py; not by hand.
"""

import json
import sys
import time

import gymnasium as gym
import numpy as np
from sbx import SAC, CrossQ

UPDATES, STEPS = 200, 1_000
NARROW = {"net_arch": {"pi": [256, 256], "qf": [256, 256]}}  # CrossQ's own critics are 1,024 wide
AGENTS = {
    "sbx-sac": (SAC, {}),
    "sbx-sac-5000": (SAC, {"learning_starts": 5_000}),
    "sbx-crossq": (CrossQ, {}),
    "sbx-crossq-256": (CrossQ, {"policy_kwargs": NARROW}),
}


def updates(model: SAC) -> float:
    """Milliseconds an update, many in one call."""
    began = time.perf_counter()
    model.train(batch_size=256, gradient_steps=UPDATES)
    return 1e3 * (time.perf_counter() - began) / UPDATES


def steps(model: SAC) -> float:
    """Environment steps a second, one update each."""
    began = time.perf_counter()
    model.learn(STEPS, reset_num_timesteps=False)
    return STEPS / (time.perf_counter() - began)


def acting(model: SAC, env: gym.Env) -> float:
    """Milliseconds an action for one environment."""
    obs, _ = env.reset(seed=0)
    for _ in range(20):
        model.predict(obs)
    began = time.perf_counter()
    for _ in range(500):
        model.predict(obs)
    return 1e3 * (time.perf_counter() - began) / 500


def speed(env_id: str) -> None:
    """Answer until the input ends."""
    model = SAC("MlpPolicy", env_id, learning_starts=500, seed=0)
    model.learn(1_500)
    env = gym.make(env_id)
    updates(model)
    asked = {"update": lambda: updates(model), "steps": lambda: steps(model),
             "act": lambda: acting(model, env)}  # fmt: skip
    for line in sys.stdin:
        print(json.dumps(asked[line.strip()]()), flush=True)


def returns(agent: str, env_id: str, steps: int, every: int, episodes: int, seed: int) -> None:
    """Train, and print an evaluation a line: step, seconds, mean return."""
    kind, options = AGENTS[agent]
    model, env = kind("MlpPolicy", env_id, seed=seed, **options), gym.make(env_id)
    began, evaluating = time.perf_counter(), 0.0
    for step in range(every, steps + 1, every):
        model.learn(every, reset_num_timesteps=False)
        paused, totals = time.perf_counter(), []
        for episode in range(episodes):
            obs, _ = env.reset(seed=20_000 + seed * 100 + episode)
            total, done = 0.0, False
            while not done:
                action, _ = model.predict(obs, deterministic=True)
                obs, reward, terminated, truncated, _ = env.step(action)
                total, done = total + float(reward), terminated or truncated
            totals.append(total)
        evaluating += time.perf_counter() - paused
        seconds = time.perf_counter() - began - evaluating
        entry = {"step": step, "seconds": seconds, "eval_return": float(np.mean(totals))}
        print(json.dumps(entry), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "speed":
        speed(sys.argv[2])
    else:
        returns(*sys.argv[2:4], *map(int, sys.argv[4:8]))
