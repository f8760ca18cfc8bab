"""Kind: what an environment's reset and step give, and what its step is given."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from steinflow.rl.adapter import EnvironmentWarning
from steinflow.rl.checkpoint import RunError
from steinflow.rl.config import TrainConfig
from steinflow.rl.environments import InTurn, factory_of, put_back, side_by_side
from steinflow.rl.evaluate import seeds_of
from steinflow.rl.spaces import actions_from, sizes_of
from steinflow.rl.training import train
from tests.rl.strange import (
    SMALL,
    Acting,
    Choosy,
    Closing,
    Giving,
    Hidden,
    Nan,
    Point,
    Reused,
    the_one,
)

pytestmark = pytest.mark.usefixtures("untyped")
MODES = list(AutoresetMode)


def config(**options):
    return TrainConfig(**SMALL | options)


def one(make, **kwargs):
    """One environment as the agent meets it, reset."""
    envs = side_by_side(factory_of(make, kwargs), 1, AutoresetMode.SAME_STEP)
    envs.reset([0])
    return envs


def stepped(make, action=0.0, **kwargs):
    return one(make, **kwargs).step(np.float32([[action]]))


# row 1: an environment that reuses its array


@pytest.mark.parametrize("mode", MODES)
def test_an_array_that_an_environment_uses_again_is_copied(mode):
    envs = side_by_side(Reused, 1, mode)
    obs, result = envs.reset([0]), []
    for _ in range(3):
        step = envs.step(np.zeros((1, 1), np.float32))
        result.append((float(obs[0, 0]), float(step.next_obs[0, 0])))
        obs = step.obs
    assert result == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]


def test_an_environment_that_writes_into_its_action_changes_nothing_of_ours():
    """Further: the action of the replay stays; a read-only one would raise."""
    action = np.float32([[0.25]])
    step = one(Reused, writes=True).step(action)
    assert action[0, 0] == 0.25 and step.reward[0] == 0.25


def test_an_observation_of_another_kind_is_numbers_and_of_another_shape_a_sentence():
    """Further: lists are numbers in a row; three numbers are not two."""
    assert stepped(Giving, what="obs", value=[1, 2]).obs.tolist() == [[1.0, 2.0]]
    for value in (np.zeros(3), None, {"a": 1.0}, [[1.0], [2.0, 3.0]]):
        with pytest.raises(RunError, match="observation_space is Box"):
            stepped(Giving, what="obs", value=value)


# row 2: one environment given several times


@pytest.mark.parametrize(
    "make", [the_one, lambda: gym.wrappers.TimeLimit(the_one(), 5), "tests.rl.strange:the_one"]
)
def test_one_environment_for_several_is_refused(make, tmp_path):
    """Further: behind a new wrapper each time, and by name."""
    with pytest.raises(ValueError, match="must make a new one at each call"):
        train(config(), make, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# rows 3 and 4: boxes of integers, and bounds that stand for none


BOXES = [
    (np.int8, -128, 127, [-128, 0, 127]),
    (np.uint8, 0, 255, [0, 128, 255]),
    (np.int32, -(2**31), 2**31 - 1, [-(2**31), 0, 2**31 - 1]),
    (np.int64, -3, 4, [-3, 0, 4]),
    (np.float16, -6e4, 6e4, [-60000.0, 0.0, 60000.0]),
    (np.float64, -1e20, 1e20, [-1e20, 0.0, 1e20]),
]


@pytest.mark.parametrize(("dtype", "low", "high", "right"), BOXES)
def test_low_middle_and_high_of_a_box_are_reached(dtype, low, high, right):
    """Further: int64, and a float16 whose width is no float16."""
    space = gym.spaces.Box(low, high, (1,), dtype)
    envs = one(lambda: Acting(space))
    for action in (-1.0, 0.0, 1.0):
        envs.step(np.float32([[action]]))
    given = envs.members[0].unwrapped.given
    assert [action.dtype for action in given] == [dtype] * 3
    middle = right[1] + (np.rint(0.5 * (float(low) + float(high))) if dtype == np.int64 else 0)
    assert [action.item() for action in given] == [right[0], middle, right[2]]
    kept = actions_from(envs.about.actions.described())  # what `policy` goes by
    for action, own in zip((-1.0, 0.0, 1.0), given, strict=True):
        result = kept.scaled(np.float32([action]))
        assert result.dtype == own.dtype and result == own


@pytest.mark.slow
def test_a_policy_gives_the_integers_that_training_gave(tmp_path):
    space = gym.spaces.Box(-128, 127, (2,), np.int8)
    made = []

    def make():
        made.append(Acting(space))
        return gym.wrappers.TimeLimit(made[-1], 10)

    run = train(config(), make, tmp_path / "run")
    seen = np.concatenate([env.given for env in made])
    assert seen.dtype == np.int8 and len(np.unique(seen)) > 20
    import jax

    actions = run.policy(np.zeros((5, 2)), jax.random.key(0))
    assert actions.dtype == np.int8 and space.contains(actions[0])
    unit = run.unit(np.zeros((5, 2)), jax.random.key(0))
    assert np.array_equal(actions, np.clip(np.rint(127.5 * unit - 0.5), -128, 127))


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Box(-np.finfo(np.float32).max, np.finfo(np.float32).max, (1,), np.float32),
        gym.spaces.Box(-np.finfo(np.float64).max, np.finfo(np.float64).max, (1,), np.float64),
        gym.spaces.Box(-(2**62), 2**62, (1,), np.int64),
        gym.spaces.Box(-1.0, np.inf, (1,), np.float32),
    ],
)
def test_bounds_that_stand_for_none_are_refused(space):
    """Further: of float64, and of integers that float64 does not count."""
    with pytest.raises(ValueError, match="both must be finite"):
        sizes_of(Acting(space))


def test_nothing_that_is_not_finite_reaches_a_step():
    envs = one(lambda: Acting(Point.action_space))
    with pytest.raises(RunError, match="actions that are not finite"):
        envs.step(np.float32([[np.nan]]))
    assert envs.members[0].unwrapped.given == []


def test_a_box_with_equal_bounds_has_one_action():
    """Further: a dimension that cannot move."""
    box = gym.spaces.Box(np.float32([1.0, -1.0]), np.float32([1.0, 1.0]))
    actions = InTurn(lambda: Acting(box), 1, AutoresetMode.SAME_STEP).about.actions
    assert actions.scaled(np.float32([0.5, 0.5])).tolist() == [1.0, 0.5]
    assert actions.unit(np.float32([[1.0, 0.5]])).tolist() == [[0.0, 0.5]]


# row 19: rewards and ends


@pytest.mark.parametrize(
    "value", [np.array([2.5]), np.float16(2.5), np.array(2.5), [2.5], np.array([[2.5]])]
)
def test_one_number_is_a_number(value):
    assert stepped(Giving, what="reward", value=value).reward.tolist() == [2.5]


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.zeros(2), r"ndarray of shape \[2\]"), (None, "NoneType"), ("1.5", "str"), ({}, "dict")],
)
def test_a_reward_that_is_no_number_is_named(value, said):
    with pytest.raises(RunError, match=f"a reward that is {said}"):
        stepped(Giving, what="reward", value=value)


@pytest.mark.parametrize("value", [np.True_, np.array([True]), 1])
def test_ends_are_truth_values_however_they_are_wrapped(value):
    """Further."""
    assert stepped(Giving, what="terminated", value=value).terminated.tolist() == [True]
    with pytest.raises(RunError, match="terminated = None"):
        stepped(Giving, what="terminated", value=None)


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("old step", "step gave 4 values. Return .observation, reward, terminated"),
        ("old reset", "reset gave ndarray. Return .observation, info."),
    ],
)
def test_the_old_gym_is_named(what, sentence):
    """Further: the interface before Gymnasium."""
    with pytest.raises(RunError, match=f"{sentence}.*shimmy"):
        stepped(Giving, what=what)


def test_an_environment_that_ends_python_leaves_a_checkpoint(tmp_path):
    """Further: SystemExit is no end of the run without a word."""
    with pytest.raises(RunError, match=r"SystemExit: 3\. Mend the environment"):
        train(config(), Giving, tmp_path / "run", env_kwargs={"what": "exit"})


# row 18: seeds


@pytest.mark.slow
def test_seeds_given_to_environments_are_below_2_31(tmp_path):
    assert all(0 <= s < 2**31 for seed in range(50) for s in seeds_of(seed, 20, 16))
    assert train(config(), Choosy, tmp_path / "run").metrics().height


# row 17: close


def test_a_close_that_raises_is_a_warning(tmp_path):
    with pytest.warns(
        EnvironmentWarning, match="close failed: RuntimeError: the simulator is gone"
    ):
        run = train(config(), Closing, tmp_path / "run")
    assert run.metrics()["step"].max() == 100


# row 6: a state of which only a part is known


def test_a_part_of_a_state_is_none(tmp_path):
    envs = one(Hidden)
    assert envs.snapshots() == [{}] and not put_back(envs, envs.snapshots())
    train(config(), Hidden, tmp_path / "run")
    with pytest.warns(EnvironmentWarning, match="new episodes begin"):  # also where it is quiet
        train(config(steps=120), Hidden, tmp_path / "run", resume=True)


class Counting(gym.Wrapper):
    """Has a state of its own; with gives=True it gives it."""

    def __init__(self, env, gives=False):
        super().__init__(env)
        self.count = 0
        if gives:
            self.state_dict = lambda: {"count": np.array(self.count)}
            self.load_state_dict = lambda state: setattr(self, "count", int(state["count"]))

    def step(self, action):
        self.count += 1
        return super().step(action)


def test_a_wrapper_with_a_state_gives_it_or_nothing_is_given():
    """Further: a state outside of the environment, and one that does not come back as it was."""
    assert one(lambda: gym.wrappers.TimeAwareObservation(gym.make("Pendulum-v1"))).snapshots() == [
        {}
    ]
    assert one(lambda: Counting(gym.make("Pendulum-v1"))).snapshots() == [{}]
    envs = one(lambda: Counting(gym.make("Pendulum-v1"), gives=True))
    envs.step(np.zeros((1, 1), np.float32))
    states = envs.snapshots()
    envs.reset([3])
    assert put_back(envs, states) and envs.members[0].env.count == 1
    envs.members[0].env.load_state_dict = lambda state: None
    envs.step(np.zeros((1, 1), np.float32))
    assert not put_back(envs, states)


# row 40: what is not finite


@pytest.mark.parametrize("what", ["reward", "obs"])
def test_an_episode_with_a_nan_is_dropped_told_and_counted(what, tmp_path):
    options = {"what": what, "when": [70, 71, 95]}
    with pytest.raises(RunError, match="--drop-nan"):
        train(config(), Nan, tmp_path / "ends", env_kwargs=options)
    with pytest.warns(EnvironmentWarning, match="an episode of seed 0 was dropped"):
        run = train(config(drop_nan=True), Nan, tmp_path / "run", env_kwargs=options)
    counts = run.metrics()["dropped_episodes"].drop_nulls().to_list()
    assert counts == [1, 2, 3]
    kept = run.arrays(0, "last")
    # of the steps, 61 to 71 and 92 to 95 are of episodes with a NaN
    assert kept["replay.added"].tolist() == kept["replay.held"].tolist() == [85]
    assert np.isfinite(kept["replay.reward"]).all() and np.isfinite(kept["replay.next_obs"]).all()


@pytest.mark.parametrize("what", ["reward", "observation"])
def test_where_every_episode_is_dropped_the_run_ends_and_says_why(what, tmp_path, recwarn):
    """Further: once with a word at the first and the tenth, and nothing was learned."""
    options = {"what": {"observation": "obs"}.get(what, what), "when": list(range(2000))}
    with pytest.raises(RunError, match=f"20 episodes in a row were dropped.* an? {what}") as error:
        train(config(drop_nan=True), Nan, tmp_path / "run", env_kwargs=options)
    assert "The steps until then are in" in str(error.value)
    counts = [str(w.message).split()[-1] for w in recwarn if w.category is EnvironmentWarning]
    assert counts == ["1.", "10."]


def test_a_nan_of_a_reset_is_reset_again_and_the_count_goes_on():
    """Further: NaN at a reset, and in an evaluation."""
    envs = InTurn(factory_of(Nan, {"what": "reset", "when": [1, 2]}), 1, MODES[0], drop_nan=True)
    assert np.isfinite(envs.reset([0])).all()
    with pytest.raises(RunError, match="observation that is not finite"):
        one(Nan, what="reset", when=[1])
    always = InTurn(factory_of(Nan, {"what": "reset", "when": range(99)}), 1, MODES[0], True)
    with pytest.raises(RunError, match="observation that is not finite"):
        always.reset([0])


def test_an_evaluation_does_a_dropped_episode_again(tmp_path):
    run = train(config(drop_nan=True), Point, tmp_path / "run")
    with warnings.catch_warnings(action="error"):
        result = run.evaluate(2, 5, env=lambda: Nan("reward", (7,)))
    assert (result.lengths == 20).all() and np.isfinite(result.returns).all()
    with pytest.raises(RunError, match="20 episodes in a row were dropped"):
        run.evaluate(2, 5, env=lambda: Nan("reward", range(10**6)))
