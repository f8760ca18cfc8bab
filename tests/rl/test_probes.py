"""Probe environments: what is wrong with the critic, the backup, the policy, or truncation."""

from dataclasses import replace

import gymnasium as gym
import jax
import numpy as np
import pytest

from steinflow.rl.config import TrainConfig
from steinflow.rl.training import train
from tests.rl.probes import Constant, Delayed, Done, Endless, Matched, Seen

pytestmark = pytest.mark.slow

GAMMA = 0.5
CONFIG = TrainConfig(
    steps=3_000, warmup=1_000, hidden=(32, 32), batch_size=64, num_draws=8, flow_steps=3,
    gamma=GAMMA, polyak=0.05, chunk=100, critic_lr=3e-3, actor_lr=3e-3, eval_every=3_000,
    eval_episodes=2, log_every=3_000, num_envs=10,
)  # fmt: skip
EDGE, FULL = np.float32([[-1], [1]]), np.linspace(-1.0, 1.0, 9)


@pytest.fixture
def learned(tmp_path):
    return lambda env: train(CONFIG, env, tmp_path / "run")


def q_of(run, obs, action):
    return run.q(np.float32(obs).reshape(-1, 1), np.float32(action).reshape(-1, 1), "last")


def test_constant_reward(learned):
    assert np.allclose(q_of(learned(Constant), [0] * 9, FULL), 1.0, atol=0.05)


def test_reward_that_is_the_observation(learned):
    run = learned(Seen)
    for obs in (-1.0, 1.0):
        assert np.allclose(q_of(run, [obs] * 9, FULL), obs, atol=0.1)


def test_delayed_reward(learned):
    run = learned(Delayed)
    assert np.allclose(q_of(run, [0] * 9, FULL), GAMMA, atol=0.07)
    assert np.allclose(q_of(run, [1] * 9, FULL), 1.0, atol=0.07)


def test_reward_that_is_the_action(learned):
    run = learned(Done)
    assert np.allclose(q_of(run, [0] * 9, FULL), FULL, atol=0.1)
    assert run.policy(np.zeros((64, 1)), jax.random.key(0), "last").mean() > 0.9


def test_reward_for_matching_the_observation(learned):
    run = learned(Matched)
    actions = run.policy(np.repeat(EDGE, 64, axis=0), jax.random.key(0), "last")
    assert np.allclose(actions.reshape(2, 64).mean(axis=1), [-1.0, 1.0], atol=0.1)
    assert np.allclose(q_of(run, [1] * 9, FULL), FULL - 1.0, atol=0.15)


def test_a_truncated_episode_is_worth_what_would_follow(learned):
    value = q_of(learned(Endless), [0] * 9, FULL)
    assert np.allclose(value, 1.0 / (1.0 - GAMMA), atol=0.1)  # 1 if it were a termination


@pytest.mark.parametrize("scale", [1e-3, 1e3])
@pytest.mark.parametrize(
    ("env", "obs", "value"), [(Seen, -1.0, -1.0), (Delayed, 0.0, GAMMA), (Endless, 0.0, 2.0)]
)
def test_the_unit_of_rewards_does_not_matter(scale, env, obs, value, tmp_path):
    def scaled():
        return gym.wrappers.TransformReward(env(), lambda reward: scale * reward)

    run = train(replace(CONFIG, estimator="noise"), scaled, tmp_path / "run")
    assert np.allclose(q_of(run, [obs] * 9, FULL) / scale, value, atol=0.1)
