"""Small environments for tests of the training loop."""

import time

import gymnasium as gym
import numpy as np


class Point(gym.Env):
    """A point on a line that should go to 0; it gives its state. `trouble` comes at step `when`."""

    observation_space = gym.spaces.Box(-10.0, 10.0, (2,))
    action_space = gym.spaces.Box(np.float32([-2.0]), np.float32([1.0]))

    def __init__(self, trouble="", when=600, length=50):
        self.trouble, self.when, self.length = trouble, when, length
        self.where, self.t, self.total = 0.0, 0, 0

    def seen(self):
        return np.float32([self.where, self.t / self.length])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.where, self.t = float(self.np_random.uniform(-1.0, 1.0)), 0
        return self.seen(), {}

    def step(self, action):
        self.where = float(np.clip(self.where + 0.3 * action[0], -10.0, 10.0))
        self.t, self.total = self.t + 1, self.total + 1
        reward = -abs(self.where)
        if self.trouble and self.total == self.when:
            reward = TROUBLES[self.trouble]()
        return self.seen(), reward, False, self.t == self.length, {}

    def state_dict(self):
        return {"state": np.array([self.where, self.t, self.total])}

    def load_state_dict(self, state):
        self.where = float(state["state"][0])
        self.t, self.total = map(int, state["state"][1:])


class Forgetful(Point):
    """The same, but it cannot give its state."""

    state_dict = load_state_dict = property(lambda self: (_ for _ in ()).throw(AttributeError))


class Wide(Point):
    """One of 128 actions moves it."""

    action_space = gym.spaces.Box(-np.ones(128, np.float32), np.ones(128, np.float32))


def broken():
    raise OSError("the simulator has hung up")


TROUBLES = {"nan": lambda: float("nan"), "raises": broken, "hangs": lambda: time.sleep(60.0)}
