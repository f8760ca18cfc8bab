"""Environments that do what real ones do: everything that Gymnasium does not forbid, and more."""

import os
import time

import gymnasium as gym
import numpy as np

FAST = "--policy gaussian --hidden 8 8 --batch-size 16 --warmup 64 --eval-episodes 2 --quiet"
SMALL = {
    "policy": "gaussian", "hidden": (8, 8), "batch_size": 16, "warmup": 64, "eval_episodes": 2,
    "steps": 100, "eval_max_steps": 100, "policy_delay": 2,
}  # fmt: skip


class Point(gym.Env):
    """A point on a line, that should go to 0."""

    observation_space = gym.spaces.Box(-10, 10, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, length=20, render_mode=None):
        self.length, self.render_mode = length, render_mode

    def seen(self):
        return np.float32([self.x, self.t / 20])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t = float(self.np_random.uniform(-1, 1)), 0
        return self.seen(), {}

    def step(self, action):
        self.x += 0.3 * float(action[0])
        self.t += 1
        return self.seen(), -abs(self.x), False, self.t >= self.length, {}

    def render(self):
        return np.zeros((64, 64, 3), np.uint8)


class Reused(Point):
    """Counts its steps in one and the same array; with writes=True it writes into actions too."""

    observation_space = gym.spaces.Box(0, 100, (1,), np.float32)

    def __init__(self, length=3, writes=False):
        super().__init__(length)
        self.array, self.writes = np.zeros(1, np.float32), writes

    def reset(self, *, seed=None, options=None):
        self.array[:] = self.t = 0
        return self.array, {}

    def step(self, action):
        self.t += 1
        self.array[:] = self.t
        reward = float(action[0])
        if self.writes:
            action[:] = 99.0
        return self.array, reward, False, self.t == self.length, {}


class Acting(Point):
    """Keeps the actions that it is given."""

    def __init__(self, space=None):
        super().__init__()
        self.action_space, self.given = space, []

    def step(self, action):
        self.given.append(np.array(action))
        return self.seen(), 0.0, False, False, {}


class Hidden(Point):
    """Has an attribute `state`, and velocities beside it that are a part of its state."""

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        self.state, self.speed = np.array([self.x]), 0.0
        return obs, info

    def step(self, action):
        self.speed += float(action[0])
        self.state = self.state + self.speed
        return super().step(action)


class Giving(Point):
    """Gives something of its own as observation, reward, ends or picture."""

    def __init__(self, what="", value=None, length=20, render_mode=None):
        super().__init__(length, render_mode)
        self.what, self.value, self.steps = what, value, 0

    def reset(self, *, seed=None, options=None):
        result = super().reset(seed=seed)
        return result[0] if self.what == "old reset" else result

    def step(self, action):
        self.steps += 1
        obs, reward, terminated, truncated, info = super().step(action)
        parts = {"obs": obs, "reward": reward, "terminated": terminated, "truncated": truncated}
        if self.what in parts:
            parts[self.what] = self.value
        if self.what == "exit":
            raise SystemExit(3)
        result = (*parts.values(), info)
        return result[:4] if self.what == "old step" else result

    def render(self):
        if self.what == "no render":
            raise NotImplementedError
        return self.value if self.what == "picture" else super().render()


class Plain(Point):
    """Takes no render_mode."""

    def __init__(self, length=20):
        super().__init__(length)


class Nan(Point):
    """Its reward, observation or reset is NaN at its n-th step or reset."""

    def __init__(self, what="reward", when=(90,), length=20):
        super().__init__(length)
        self.what, self.when, self.count, self.resets = what, when, 0, 0

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        self.resets += 1
        bad = self.what == "reset" and self.resets in self.when
        return (obs * np.float32("nan") if bad else obs), info

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        self.count += 1
        if self.count in self.when and self.what == "reward":
            reward = float("nan")
        if self.count in self.when and self.what == "obs":
            obs = obs + np.float32("inf")
        return obs, reward, terminated, truncated, info


class Single(Point):
    """Only one can be open in this process, as with a port or a licence."""

    opened = most = 0

    def __init__(self, length=20):
        super().__init__(length)
        if Single.opened:
            raise OSError(98, "Address already in use")
        Single.opened += 1
        Single.most = max(Single.most, Single.opened)

    def close(self):
        Single.opened -= 1


class Closing(Point):
    """Its close raises."""

    def close(self):
        raise RuntimeError("the simulator is gone")


class Choosy(Point):
    """Refuses seeds from 2^31 on, as simulators with 32-bit integers do."""

    def reset(self, *, seed=None, options=None):
        if seed is not None and not 0 <= seed < 2**31:
            raise ValueError(f"seed {seed} is no int32")
        return super().reset(seed=seed)


class Picture(Point):
    """A grey picture of 84 x 84 as observation."""

    observation_space = gym.spaces.Box(0, 255, (84, 84), np.uint8)

    def seen(self):
        return np.zeros((84, 84), np.uint8)


class Slow(Point):
    """Sleeps a while a step; with dies > 0 its process ends at that step."""

    def __init__(self, sleep=0.005, dies=0, length=20):
        super().__init__(length)
        self.sleep, self.dies, self.count = sleep, dies, 0

    def step(self, action):
        time.sleep(self.sleep)
        self.count += 1
        if self.count == self.dies:
            os._exit(3)
        return super().step(action)


class Spaceless(gym.Env):
    """Has no spaces."""


class Duck:
    """Has all of it, but is none of Gymnasium's."""

    observation_space, action_space = Point.observation_space, Point.action_space


THE_ONE = Point()


def the_one():
    """The same environment at each call."""
    return THE_ONE
