"""Small parts of the agent against what they should equal."""

import json
import warnings

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from steinflow.io.files import DamageWarning
from steinflow.rl.config import TrainConfig
from steinflow.rl.critic import BACKUPS
from steinflow.rl.curves import interquartile_mean, interval
from steinflow.rl.environment_state import set_state, state_of
from steinflow.rl.files import read_config, toml_of, typed, write_config
from steinflow.rl.heads import Categorical, Scalar
from steinflow.rl.loop import cadence
from steinflow.rl.metrics import line_of, read
from steinflow.rl.multigoal import GOALS, MultiGoal
from steinflow.rl.networks import Critics, Layers, least
from steinflow.rl.normaliser import Normaliser
from steinflow.rl.temperature import ByEss, Fixed, Relative, cold_start, warmed


def test_layer_normalisation_is_that_of_the_textbook():
    layers = Layers(jax.random.key(0), (3, 2), (16, 16), 4, normalised=True)
    a, b = jax.random.normal(jax.random.key(1), (3,)), jnp.array([0.3, -2.0])

    def standardised(h):
        return (h - h.mean()) / jnp.sqrt(h.var() + 1e-5)

    h = a @ layers.first[0] + b @ layers.first[1] + layers.biases[0]
    for weight, bias in zip(layers.weights, layers.biases[1:], strict=True):
        h = jax.nn.relu(standardised(h)) @ weight + bias
    assert np.allclose(layers(a, b), h, atol=1e-5)


@pytest.mark.parametrize("head", [Scalar(), Categorical()])
def test_the_gradient_of_the_least_critic_is_that_of_the_minimum(head):
    critics = Critics(jax.random.key(0), 3, 2, (8, 8), 3, head=head)
    obs, actions = jnp.ones(3), 10.0 * jax.random.uniform(jax.random.key(1), (20, 2)) - 5.0

    def through(action):
        return jnp.min(critics(obs, action))

    found = jax.vmap(jax.value_and_grad(lambda a: 2.0 * least(critics, obs, a)))(actions)
    wanted = jax.vmap(jax.value_and_grad(lambda a: 2.0 * through(a)))(actions)
    for one, other in zip(found, wanted, strict=True):
        assert np.allclose(one, other, atol=1e-5)
    which = np.argmin(jax.vmap(lambda a: critics(obs, a))(actions), axis=1)
    assert np.unique(which).size > 1


def test_backups():
    """Weights of actions, by their values."""
    values, tau = jnp.array([2.0, -2.0, 1.0]), jnp.asarray(2.0)
    weight = np.exp(values / 2.0)
    assert np.allclose(BACKUPS["hard"](values, tau), [1.0, 0.0, 0.0])
    assert np.allclose(BACKUPS["mean"](values, tau), 1.0 / 3.0)
    assert np.allclose(BACKUPS["soft"](values, tau), weight / weight.sum(), atol=1e-6)


def test_temperatures():
    heat, scale = warmed(cold_start(), jnp.asarray(4.0)), jnp.asarray(10.0)
    assert float(Fixed(0.3).tau(heat, scale)) == pytest.approx(0.03)  # it is in units of return
    assert float(Relative(0.05).tau(heat, scale)) == pytest.approx(0.2)
    assert float(warmed(heat, jnp.asarray(8.0)).spread) == pytest.approx(4.04)
    rule, none = ByEss(0.5), jnp.zeros(())
    hotter, colder = (rule.steer(heat, jnp.asarray(ess), none) for ess in (0.1, 0.9))
    taus = [float(rule.tau(one, scale)) for one in (hotter, heat, colder)]
    assert taus[0] > taus[1] > taus[2]


def test_running_moments_are_those_of_all_observations():
    normaliser, rng = Normaliser(2, 3), np.random.default_rng(0)
    parts = [rng.normal(5.0, 3.0, (2, n, 3)).astype(np.float32) for n in (1, 4, 7)]
    for part in parts:
        normaliser.update(part)
    whole = np.concatenate(parts, axis=1)
    wanted = (whole - whole.mean(axis=1, keepdims=True)) / whole.std(axis=1, keepdims=True)
    assert np.allclose(normaliser(whole), wanted, atol=1e-3)


@pytest.mark.parametrize("name", ["Pendulum-v1", "Hopper-v5", "HalfCheetah-v5"])
def test_an_environment_goes_on_from_its_state(name):
    one, other = gym.make(name), gym.make(name)
    one.reset(seed=1), other.reset(seed=2)
    one.action_space.seed(0)
    for _ in range(7):
        one.step(one.action_space.sample())
    set_state(other, state_of(one))
    for _ in range(60):
        action = one.action_space.sample()
        mine, its = one.step(action), other.step(action)
        assert np.array_equal(mine[0], its[0]) and mine[1:4] == its[1:4]
        if mine[2] or mine[3]:
            assert np.array_equal(one.reset()[0], other.reset()[0])
    assert state_of(gym.make("CartPole-v1")) is None  # its state is not there before a reset


def test_multi_goal_is_an_environment_and_its_goals_end_episodes():
    env = MultiGoal(render_mode="rgb_array")
    check_env(env, skip_render_check=True)
    for number, goal in enumerate(GOALS):
        env.reset(seed=0)
        done, info = False, {}
        while not done:
            _, reward, done, _, info = env.step(np.float32(goal / 5.0))
        assert info["goal"] == number and reward > 8.0
    assert env.render().shape == (280, 280, 3)


def test_options_come_back_from_their_file(tmp_path):
    config = TrainConfig(hidden=(8,), actor_hidden=(4, 4), gamma=0.5, normalise=True)
    write_config(tmp_path / "config.toml", config, "A-v0", {"x": 1, 'q"': [True]})
    assert read_config(tmp_path / "config.toml") == (config, "A-v0", {"x": 1, 'q"': [True]})
    assert toml_of({"a": (1, 2)}) == "a = [1, 2]\n"
    with pytest.raises(ValueError, match="Did you mean 'gamma'"):
        typed({"gama": 1.0})
    with pytest.raises(ValueError, match="must be a float"):
        typed({"gamma": "x"})


@pytest.mark.parametrize("chunk", [1, 16, 50])
@pytest.mark.parametrize("envs", [1, 5, 8])
@pytest.mark.parametrize("delay", [1, 2, 3])
@pytest.mark.parametrize("updates", [0.01, 0.123, 0.25, 1.0, 3.0, 3.7])
def test_updates_a_step_are_kept_to(chunk, envs, delay, updates):
    config = TrainConfig(
        updates_per_step=updates, policy_delay=delay, num_envs=envs, chunk=chunk
    )  # fmt: skip
    steps, rounds = cadence(config)
    exact = updates in (1.0, 3.0)
    assert rounds * delay / (steps * envs) == pytest.approx(updates, rel=1e-9 if exact else 1 / 31)
    assert steps < max(chunk, 32) + chunk or rounds == 1


def test_lines_that_are_cut_are_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    record = {"step": 1, "seed": 0, "episode_return": -1.5e-7}
    path.write_text(line_of(record) + line_of(record)[:20])
    with warnings.catch_warnings(action="error"):
        assert read(path) == [record]  # cut as a process ended
    other = line_of(record | {"step": 2})
    lines = [line_of(record), other.replace("-1.5", "-1.6"), "[1]\n", json.dumps(record) + "\n"]
    path.write_text("".join(lines))
    with pytest.warns(DamageWarning, match="3 lines are damaged"):
        assert read(path) == [record]


def test_interquartile_means_and_their_intervals():
    values = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [100.0, 1.0]])
    assert np.allclose(interquartile_mean(values), [1.5, 1.0])
    low, high = interval(values)
    assert low[0] < 1.5 < high[0] and low[1] == high[1] == 1.0
