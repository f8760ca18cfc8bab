"""Kind: from an id, a name, a function or anything else to an environment."""

import functools
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env

from steinflow.cli import main
from steinflow.rl.config import TrainConfig
from steinflow.rl.factories import factory_of, time_limit_of
from steinflow.rl.multigoal import MultiGoal
from steinflow.rl.spaces import sizes_of
from steinflow.rl.training import train
from tests.rl.strange import FAST, SMALL, Duck, Point, Single, Spaceless

ROOT = Path(__file__).parent.parent.parent
HERE = "tests.rl.strange"

pytestmark = pytest.mark.usefixtures("untyped")


def said(arguments, capsys):
    """The sentence of a command that is refused."""
    assert main(arguments) == 2
    lines = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("steinflow: ")
    ]
    assert len(lines) == 1
    return lines[0]


# row 14: the current folder


def test_modules_of_the_current_folder_are_found(tmp_path):
    (tmp_path / "mine.py").write_text((ROOT / "tests/rl/strange.py").read_text())
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "raising.py").write_text("1 / 0\n")
    code = (
        f"import sys; sys.path[:] = [{str(ROOT)!r}] + [p for p in sys.path if p];"
        "from steinflow.rl.factories import factory_of; print(type(factory_of('mine:Point')()));"
    )
    code += """
for name in ("broken:Point", "raising:Point", "mine:Pont", "mine:FAST"):
    try:
        factory_of(name)()
    except ValueError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "<class 'mine.Point'>"
    assert "No module named 'nowhere_to_be_found'" in lines[1]  # further: what it imports
    assert "ZeroDivisionError: division by zero" in lines[2]  # further: what it raises
    assert "Did you mean mine:Point" in lines[3] and "has no function" in lines[4]


# row 15: names and functions get what ids get


def test_ids_of_a_module_may_have_a_namespace_or_no_version(monkeypatch):
    """Further: as gym_pusht's and gymnasium_robotics' have."""
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    monkeypatch.setattr(gym, "registry", gym.envs.registration.registry)
    gym.register("strange/Point-v2", entry_point=Point, max_episode_steps=9)
    for name in ("strange/Point-v2", "strange/Point"):
        assert time_limit_of(factory_of(f"{HERE}:{name}")()) == 9


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("mine.Cart", "is written mine:Cart"), ("some/mine.py:Cart", "Write some.mine:Cart"),
     ("gymnasium.envs.Nothing-v9", "is written gymnasium.envs:Nothing-v9")],
)  # fmt: skip
def test_a_path_to_a_class_is_told_how_it_is_written(name, sentence):
    """Further: with a point, or as a file."""
    with pytest.raises(ValueError, match=sentence):
        factory_of(name)


@pytest.mark.parametrize("name", [f"{HERE}:Point", "Pendulum-v1"])
def test_an_unknown_argument_is_named(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = said(["train", name, *FAST.split(), "--env-kwargs", "lenght=5"], capsys)
    assert "lenght" in text and "--env-kwargs" in text
    assert ("Did you mean 'length'" in text) == (name != "Pendulum-v1")
    assert list(tmp_path.iterdir()) == []


def test_an_environment_without_spaces_or_of_another_kind_is_a_sentence():
    for make, sentence in [
        (Spaceless, "has no observation_space. Set it"),
        (Duck, "which is no gymnasium.Env. Derive it"),
        (lambda: None, "gives NoneType, which is no gymnasium.Env"),
        (lambda: gym.make_vec("Pendulum-v1", 2), "several environments at once"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            sizes_of(factory_of(make)())


def test_functions_and_classes_have_time_limits():
    env = factory_of(Point, {"max_episode_steps": 7, "length": 9})()
    assert time_limit_of(env) == 7 and env.unwrapped.length == 9
    assert time_limit_of(factory_of("Pendulum-v1", {"max_episode_steps": 3})()) == 3
    assert time_limit_of(factory_of(functools.partial(Point, length=3))()) is None
    assert time_limit_of(factory_of(lambda **more: gym.make("Pendulum-v1", **more))()) == 200
    with pytest.raises(ValueError, match="max_episode_steps must be a positive integer"):
        factory_of(Point, {"max_episode_steps": "7"})
    with pytest.raises(ValueError, match=r"needs 'size'. Give --env-kwargs size=VALUE"):
        factory_of(lambda size: Point(size))  # further: one that is lacking


# row 16: an environment of which one can be open


@pytest.mark.slow
def test_one_that_can_be_open_is_trained_with_eval_envs_1(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Single, "opened", 0)
    monkeypatch.setattr(Single, "most", 0)
    command = ["train", f"{HERE}:Single", *FAST.split(), "--steps", "100", "--out"]
    text = said([*command, str(tmp_path / "two")], capsys)
    assert "Address already in use" in text and "1 open to train and 2 to evaluate" in text
    assert "--eval-envs 1" in text and "free some space" not in text
    assert not (tmp_path / "two").exists() and Single.opened == 0
    command += [str(tmp_path / "one"), "--eval-envs", "1", "--eval-every", "40"]
    assert main(command) == 0
    assert main(["eval", str(tmp_path / "one"), "--episodes", "3"]) == 0
    assert (Single.most, Single.opened) == (1, 0)


def test_an_oserror_of_a_constructor_is_never_the_disks(tmp_path):
    """Further: of a function, whatever it raises."""

    def licence():
        raise PermissionError(13, "no licence left")

    with pytest.raises(ValueError, match=r"PermissionError: .* no licence left"):
        train(TrainConfig(**SMALL), licence, tmp_path / "run")


# row 25: what is no function


@pytest.mark.parametrize(
    "env",
    [gym.make("Pendulum-v1"), gym.make_vec("Pendulum-v1", 2), gym.spec("Pendulum-v1"), None, 3],
    ids=["env", "vector", "spec", "none", "number"],
)
def test_what_is_no_name_and_no_function_is_a_sentence(env, tmp_path):
    """Further: an EnvSpec, None and a number."""
    with pytest.raises(ValueError, match="a function that makes the environment, such as lambda"):
        train(TrainConfig(**SMALL), env, tmp_path / "run")


def test_observations_in_nested_parts_are_joined():
    """Further: a Tuple, and a Dict in a Dict."""
    box, spaces = Point.observation_space, gym.spaces
    for space in (
        spaces.Tuple([box, box]),
        spaces.Dict(a=spaces.Dict(b=box), c=spaces.Box(0, 9, (3,), int)),
    ):
        env = Point()
        env.observation_space = space
        env.seen = space.sample
        made = factory_of(lambda env=env: env)()
        made.unwrapped.x = made.unwrapped.t = 0
        assert sizes_of(made)[0] == (4 if isinstance(space, spaces.Tuple) else 5)
        assert made.reset(seed=0)[0].shape == made.observation_space.shape


def test_gymnasiums_own_check_passes_for_multi_goal(recwarn):
    check_env(MultiGoal(render_mode="rgb_array"))
    texts = [str(warning.message) for warning in recwarn if "WARN" in str(warning.message)]
    assert all("spec" in text for text in texts), texts
