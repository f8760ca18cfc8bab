"""Kind: arguments of functions in Python that are something else than is asked for."""

import jax
import numpy as np
import pytest

import steinflow as sf
from steinflow.checks import require_key, require_seed
from steinflow.rl.checkpoint import RunError
from steinflow.rl.config import TrainConfig
from steinflow.rl.training import train
from tests.rl.strange import SMALL, Point

pytestmark = pytest.mark.usefixtures("untyped")
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("arguments") / "run"
    return train(TrainConfig(**SMALL), Point, out)


# row 24


@pytest.mark.parametrize(
    ("obs", "said"),
    [
        ((np.zeros(2), {}), "got tuple. Of .obs, info. = env.reset"),
        ({"a": np.zeros(2)}, "got dict.*gymnasium.spaces.flatten"),
        ("words", "got str"),
        (None, "got NoneType"),
        (np.zeros((1, 1, 2)), r"\[2\] or \[b, 2\], got \[1, 1, 2\]"),
        (np.zeros(3), r"got \[3\]"),
        (1.0, r"got \[\]"),
    ],
)
def test_an_observation_of_another_kind_is_a_sentence(run, obs, said):
    """Further: words, None, and other shapes."""
    with pytest.raises(ValueError, match=f"obs must be .*{said}"):
        run.policy(obs, KEY)


@pytest.mark.parametrize("key", [0, None, "0", np.zeros(2), jax.random.split(KEY, 2)])
def test_a_key_of_another_kind_is_a_sentence(run, key):
    with pytest.raises(ValueError, match=r"key must be .* Write jax.random.key\(0\)"):
        run.policy(np.zeros(2), key)


def test_what_is_right_is_taken(run):
    """Further: lists, old keys, and whole numbers."""
    for obs, key in (([0.0, 1.0], KEY), (np.zeros(2, int), jax.random.PRNGKey(0))):
        assert run.policy(obs, key).shape == (1,)
    require_key(KEY), require_seed("seed", np.int64(3))


def test_other_arguments_of_a_run(run):
    """Further."""
    for call in (
        lambda: run.evaluate(episodes=0), lambda: run.evaluate(episodes=1.5),
        lambda: run.evaluate(seed=-1), lambda: run.evaluate(max_steps=-3),
        lambda: run.policy(np.zeros(2), KEY, which=3), lambda: run.q(np.zeros((2, 2)), np.zeros(2)),
        lambda: run.q({}, np.zeros(2)), lambda: sf.load(3),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            call()
    with pytest.raises(RunError, match="There is no run in"):
        sf.load("nowhere")
    several = run.q(np.zeros((3, 2)), np.zeros((3, 1)))
    assert several.shape == (3,)
    one = run.q(np.zeros(2), np.zeros(1))
    assert one.shape == () and np.isclose(one, several[0])


# row 25, as far as it is not about the environment


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"config": {"steps": 100}}, "config must be a TrainConfig, got dict"),
        ({"env_kwargs": ["a=1"]}, "env_kwargs must be a Mapping, got list"),
        ({"callbacks": print}, "callbacks must be a Sequence, got builtin"),
        ({"track": ("wandbb",)}, "Did you mean 'wandb'"),
        ({"out": 3}, "A path must be words"),
    ],
)
def test_arguments_of_train(options, said, tmp_path):
    given = {"config": TrainConfig(**SMALL), "env": Point, "out": tmp_path / "run"} | options
    with pytest.raises(ValueError, match=said):
        train(**given)
    assert not (tmp_path / "run").exists()


# row 18


@pytest.mark.parametrize("seed", [2**63, 2**31, -1, 1.5, True])
def test_seeds_are_below_2_31(run, seed, tmp_path):
    """Further: negative ones, and what is no integer."""
    from steinflow.rl.play import play

    with pytest.raises(ValueError, match=r"seed must be an integer from 0 to 2\^31 - 1"):
        play(run, tmp_path, seed=seed)
    with pytest.raises(ValueError, match="seed must be an integer"):
        run.evaluate(1, seed)
