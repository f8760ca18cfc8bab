"""Ends of episodes, under every autoreset mode; spaces and names that do not fit."""

import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from steinflow.__main__ import main
from steinflow.rl.environments import factory_of, side_by_side, sizes_of


class Counter(gym.Env):
    """Counts its steps; terminates after `end` of them, or is truncated after `limit`."""

    observation_space = gym.spaces.Box(0.0, 100.0, (1,))
    action_space = gym.spaces.Box(np.float32([0.0]), np.float32([10.0]))

    def __init__(self, end=100, limit=100):
        self.end, self.limit = end, limit

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        obs = np.full(1, self.t, np.float32)
        return obs, float(action[0]), self.t == self.end, self.t == self.limit, {}


def transitions(mode, **options):
    envs = side_by_side(lambda: Counter(**options), 2, mode)
    obs, result = envs.reset([0, 1]), []
    for _ in range(9):
        step = envs.step(np.zeros((2, 1), np.float32))
        for i in np.flatnonzero(step.valid):
            parts = (obs[i, 0], step.next_obs[i, 0], step.terminated[i], step.truncated[i])
            result.append((int(i), *map(float, parts)))
        assert np.all(step.reward[step.valid] == 5.0)  # the middle of [0, 10]
        obs = step.obs
    return result


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("ends", [(1.0, 0.0), (0.0, 1.0)])
def test_the_last_observation_of_an_episode_is_its_own(mode, ends):
    options = {"end": 3} if ends[0] else {"limit": 3}
    result = transitions(mode, **options)
    for i in (0, 1):
        steps = [step[1:] for step in result if step[0] == i]
        cycle = [(0.0, 1.0, 0.0, 0.0), (1.0, 2.0, 0.0, 0.0), (2.0, 3.0, *ends)]
        assert steps == (cycle * 3)[: len(steps)]
        assert len(steps) == (7 if mode == AutoresetMode.NEXT_STEP else 9)


def test_actions_are_repeated_until_an_episode_ends():
    env = factory_of(lambda: Counter(end=5), repeat=3)()
    assert env.reset()[0] == 0.0
    obs, reward, terminated, truncated, _ = env.step(np.float32([2.0]))
    assert (obs, reward, terminated, truncated) == (3.0, 6.0, False, False)
    obs, reward, terminated, truncated, _ = env.step(np.float32([2.0]))
    assert (obs, reward, terminated, truncated) == (5.0, 4.0, True, False)
    env = factory_of(lambda: Counter(limit=4), repeat=3)()
    env.reset(), env.step(np.float32([1.0]))
    assert env.step(np.float32([1.0]))[1:4] == (1.0, False, True)


def test_environments_by_id_module_and_factory():
    assert sizes_of(factory_of("Pendulum-v1")()) == (3, 1)
    assert factory_of(Counter, {"end": 5})().end == 5
    assert factory_of(f"{__name__}:Counter", {"end": 7})().end == 7
    with pytest.raises(ValueError, match="Could not import 'nowhere'"):
        factory_of("nowhere:Thing-v0")
    with pytest.raises(ValueError, match="Could not make 'Pendulumm-v1'"):
        factory_of("Pendulumm-v1")()


def test_spaces_that_do_not_fit_are_refused_with_a_remedy():
    with pytest.raises(ValueError, match="takes a Box of real numbers"):
        sizes_of(gym.make("CartPole-v1"))
    env = Counter()
    env.action_space = gym.spaces.Box(0.0, np.inf, (1,))
    with pytest.raises(ValueError, match="both must be finite"):
        sizes_of(env)
    env.observation_space = gym.spaces.Discrete(3)
    with pytest.raises(ValueError, match="takes vectors"):
        sizes_of(env)


def test_observations_in_parts_are_joined():
    pytest.importorskip("shimmy", reason="needs the extra dmc")
    env = factory_of("dm_control/cartpole-swingup-v0")()
    assert sizes_of(env) == (5, 1)
    seen = env.reset(seed=0)[0]
    parts = env.unwrapped.task.get_observation(env.unwrapped.physics)
    np.testing.assert_array_equal(seen, np.concatenate([*parts.values()]))


def test_pictures_among_the_parts_are_refused():
    picture = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    env = Counter()
    env.observation_space = gym.spaces.Dict({"a": Counter.observation_space, "b": picture})
    with pytest.raises(ValueError, match="takes vectors"):
        sizes_of(factory_of(lambda: env)())


def test_what_an_environment_needs_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shimmy", None)
    assert main(["train", "dm_control/cartpole-swingup-v0"]) == 2
    assert "pip install '.[dmc]'" in capsys.readouterr().err
