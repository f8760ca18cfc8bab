"""Rewards as environments give them: learning goes on, and the best action is found."""

import gymnasium as gym
import jax
import numpy as np
import pytest

from steinflow.rl.config import TrainConfig
from steinflow.rl.training import train
from tests.rl.probes import Probe

pytestmark = pytest.mark.slow

STEPS = 1_600
CONFIG = TrainConfig(
    steps=STEPS, warmup=200, estimator="noise", hidden=(32, 32), batch_size=64, num_draws=8,
    flow_steps=3, gamma=0.5, polyak=0.05, chunk=100, critic_lr=3e-3, actor_lr=3e-3,
    eval_every=STEPS, eval_episodes=1, log_every=STEPS,
)  # fmt: skip


class Aimed(Probe):
    """Pays for an action near obs/2, where obs is -1 or 1, in episodes of one step."""

    random = True

    def __init__(self):
        self.total = 0

    def step(self, action):
        self.total += 1
        distance = abs(float(action[0]) - 0.5 * self.obs)
        return np.float32([self.obs]), self.paid(distance), True, False, {}


class Plain(Aimed):
    """In proportion to the distance."""

    def paid(self, distance):
        return 1.0 - distance


class Huge(Plain):
    """Once, 10^6."""

    def paid(self, distance):
        return 1e6 if self.total == 1_100 else super().paid(distance)


class Growing(Plain):
    """Ten times as much at the end."""

    def paid(self, distance):
        return super().paid(distance) * (1.0 + 9.0 * self.total / STEPS)


class Sparse(Aimed):
    """0 or 1."""

    def paid(self, distance):
        return float(distance < 0.25)


class Same(Aimed):
    """Always -3."""

    def paid(self, distance):
        return -3.0


@pytest.mark.parametrize("env", [Plain, Huge, Growing, Sparse])
def test_the_best_action_is_found(env, tmp_path):
    run = train(CONFIG, env, tmp_path / "run")
    obs = np.repeat(np.float32([[-1.0], [1.0]]), 32, axis=0)
    actions = run.policy(obs, jax.random.key(0), "last").reshape(2, 32)
    assert np.allclose(actions.mean(axis=1), [-0.5, 0.5], atol=0.2)


def test_nothing_to_choose_between(tmp_path):
    run = train(CONFIG, Same, tmp_path / "run")
    actions = np.linspace(-1.0, 1.0, 9, dtype=np.float32)[:, None]
    assert np.allclose(run.q(np.ones((9, 1)), actions, "last"), -3.0, atol=0.2)


@pytest.mark.parametrize("power", [-10, 10])
def test_the_unit_of_rewards_changes_nothing(power, tmp_path):
    """A power of two, so that nothing is rounded: not a bit of the networks differs."""
    factor, config = 2.0**power, TrainConfig(**vars(CONFIG) | {"steps": 400, "eval_every": 400})
    one = train(config, Plain, tmp_path / "one")
    other = train(
        config,
        lambda: gym.wrappers.TransformReward(Plain(), lambda reward: factor * reward),
        tmp_path / "other",
    )
    mine, its = one.arrays(0, "last"), other.arrays(0, "last")
    networks = [
        n for n in mine if n.startswith(("agent.policy", "agent.critics", "agent.temperature"))
    ]
    assert all(np.array_equal(mine[name], its[name]) for name in networks) and len(networks) > 9
    assert its["agent.scale"] == factor * mine["agent.scale"]
    where = np.ones((1, 1), np.float32)
    assert other.q(where, where) == factor * one.q(where, where)
    rows = [run.metrics().drop_nulls("q") for run in (one, other)]
    for name in ("q", "tau"):
        assert np.array_equal(rows[1][name].to_numpy(), factor * rows[0][name].to_numpy())
