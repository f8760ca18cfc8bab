"""Offline data: recorded, read, refused, learned from."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import h5py
import jax
import minari
import numpy as np
import pytest
from minari import DataCollector, MinariDataset
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from steinflow.cli import main
from steinflow.io.files import UserNotice
from steinflow.rl.config import TrainConfig
from steinflow.rl.datasets import DataError, returns_of, steps_from
from steinflow.rl.loop import Trainer
from steinflow.rl.normaliser import Normaliser
from steinflow.rl.record import record
from steinflow.rl.reward_normaliser import RewardNormaliser
from steinflow.rl.run import load
from steinflow.rl.spaces import actions_of
from steinflow.rl.training import train
from tests.rl.strange import SMALL
from tests.rl.toys import Point

OFFLINE = SMALL | {
    "policy": "flow", "estimator": "noise", "num_draws": 4, "flow_steps": 2, "steps": 0,
    "offline_steps": 200, "eval_every": 100, "normalise": True, "critic": "mse",
}  # fmt: skip
PENDULUM = actions_of(gym.spaces.Box(-2.0, 2.0, (1,), np.float32))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(TrainConfig(**SMALL), Point, tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def dataset(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "set"
    returns = record(run, out, 6, "random", seed=5)
    return out, returns


@pytest.mark.slow
def test_what_is_recorded_is_a_minari_dataset_and_is_read_again(run, dataset):
    out, returns = dataset
    theirs = MinariDataset(out / "data")
    assert theirs.total_episodes == 6 and len(returns) == 6
    steps = steps_from(str(out), run.learner.sizes.obs, run.actions)
    assert len(steps.reward) == theirs.total_steps
    assert np.allclose(returns_of(steps), returns, rtol=1e-5)
    inside = steps_from(str(out / "data" / "main_data.hdf5"), run.learner.sizes.obs, run.actions)
    assert np.array_equal(inside.obs, steps.obs)
    first = next(iter(theirs.iterate_episodes()))
    count = len(first.actions)
    assert np.allclose(steps.obs[:count], first.observations[:-1])
    assert np.allclose(steps.next_obs[:count], first.observations[1:])
    assert np.allclose(run.actions.scaled(steps.action[:count]), first.actions, atol=1e-6)
    ends = steps.terminated | steps.truncated
    assert ends.sum() == 6 and ends[count - 1]
    again = record(run, out.parent / "again", 6, "random", seed=5)
    assert np.array_equal(again, returns)


def test_a_recording_that_fails_leaves_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setattr(Point, "step", lambda env, action: 1 / 0)
    with pytest.raises(Exception, match="ZeroDivisionError"):
        record(run, tmp_path / "set", 2, "random")
    assert not list(tmp_path.iterdir())
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="is there already"):
        record(run, tmp_path / "there", 2)


def test_what_minari_collects_itself_is_read(tmp_path, monkeypatch):
    """By its folder and by its name."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = DataCollector(gym.make("Pendulum-v1", max_episode_steps=15))
    for seed in range(2):
        env.reset(seed=seed)
        for _ in range(15):
            env.step(env.action_space.sample())
    env.create_dataset(dataset_id="ours/pendulum-v0", eval_env="Pendulum-v1")
    env.close()
    by_name = steps_from("ours/pendulum-v0", 3, PENDULUM)
    by_folder = steps_from(str(tmp_path / "ours" / "pendulum-v0"), 3, PENDULUM)
    assert len(by_name.reward) == 30 and by_name.truncated.sum() == 2
    assert all(np.array_equal(a, b) for a, b in zip(by_name, by_folder, strict=True))


def flat(path, count=12, **changes):
    """A file of D4RL's layout: two episodes, of 5 steps (terminated) and of the rest (cut)."""
    rng = np.random.default_rng(0)
    parts = {
        "observations": rng.normal(size=(count, 3)).astype(np.float32),
        "actions": rng.uniform(-2, 2, (count, 1)).astype(np.float32),
        "rewards": np.arange(count, dtype=np.float32),
        "terminals": np.arange(count) == 4,
        "timeouts": np.arange(count) == count - 1,
    } | changes
    with h5py.File(path, "w") as file:
        for name, values in parts.items():
            if values is not None:
                file[name] = values
    return str(path), parts


def test_a_file_of_d4rl_is_read(tmp_path):
    source, parts = flat(tmp_path / "a.hdf5")
    steps = steps_from(source, 3, PENDULUM)
    # without next observations the last step of the episode that was cut is not known
    assert steps.reward.tolist() == list(range(11))
    assert np.flatnonzero(steps.terminated).tolist() == [4]
    assert np.flatnonzero(steps.truncated).tolist() == [10]
    assert np.array_equal(steps.next_obs[:4], parts["observations"][1:5])
    assert np.array_equal(steps.next_obs[5:], parts["observations"][6:])
    # with them, as d4rl.qlearning_dataset writes it, an episode ends where the next one begins
    after = np.concatenate([parts["observations"][1:], np.ones((1, 3), np.float32)])
    after[[4, 8]] = 7.0
    source, _ = flat(tmp_path / "b.hdf5", next_observations=after, timeouts=None)
    whole = steps_from(source, 3, PENDULUM)
    assert np.array_equal(whole.next_obs, after) and len(whole.reward) == 12
    assert np.flatnonzero(whole.truncated).tolist() == [8, 11]
    assert np.flatnonzero(whole.terminated).tolist() == [4]


NAN = np.full(12, np.nan, np.float32)
REFUSED = {
    "another width": (4, {}, "have 4 numbers"),
    "beyond the bounds": (3, {"actions": np.full((12, 1), 2.5, np.float32)}, "outside of the"),
    "another action": (3, {"actions": np.zeros((12, 2), np.float32)}, r"actions \[2\]"),
    "a NaN reward": (3, {"rewards": NAN}, "Step 0 .* reward that is not finite"),
    "no end": (3, {"timeouts": None}, "neither timeouts nor next_observations"),
    "no actions": (3, {"actions": None}, "has no actions"),
    "parts of two lengths": (3, {"rewards": NAN[:11]}, "different lengths"),
    "words": (3, {"observations": np.full((12, 3), b"x")}, "observations .* Give the environment"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_data_that_does_not_fit_is_a_sentence(kind, tmp_path):
    width, changes, sentence = REFUSED[kind]
    source, _ = flat(tmp_path / "a.hdf5", **changes)
    with pytest.raises(DataError, match=sentence):
        steps_from(source, width, PENDULUM)


def minari_of(path, episodes):
    box = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    path.mkdir(parents=True)
    storage = MinariStorage.new(path / "data", box, gym.spaces.Box(-2.0, 2.0, (1,), np.float32))
    for number, (observations, many) in enumerate(episodes):
        full = max(many, 1)  # Minari writes none that is empty
        storage.update_episodes([EpisodeBuffer(
            observations=np.zeros((observations, 3), np.float32),
            actions=np.zeros((full, 1), np.float32), rewards=np.ones(full),
            terminations=np.zeros(full, bool), truncations=np.arange(full) == full - 1,
        )])  # fmt: skip
        if not many:
            with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
                for name in ("actions", "rewards", "terminations", "truncations"):
                    own = file[f"episode_{number}/{name}"]
                    own.resize((0, *own.shape[1:]))
    storage.update_metadata({"dataset_id": "a/b-v0", "minari_version": minari.__version__})
    return path


def test_missing_observations_and_empty_episodes(tmp_path):
    with pytest.raises(DataError, match="5 actions and 5 observations"):
        steps_from(str(minari_of(tmp_path / "a", [(5, 5)])), 3, PENDULUM)
    some = minari_of(tmp_path / "b", [(6, 5), (1, 0), (4, 3)])
    with pytest.warns(UserNotice, match="1 of 3 episodes .* no step"):
        assert len(steps_from(str(some), 3, PENDULUM).reward) == 8
    with pytest.raises(DataError, match="has no step"):
        steps_from(str(minari_of(tmp_path / "c", [(1, 0)])), 3, PENDULUM)


def test_what_is_cut_or_missing_is_a_sentence_and_writes_nothing(dataset, tmp_path):
    out, _ = dataset
    source, _ = flat(tmp_path / "a.hdf5")
    content = (tmp_path / "a.hdf5").read_bytes()
    (tmp_path / "a.hdf5").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cannot be read: .*copy or record it again"):
        steps_from(source, 3, PENDULUM)
    with pytest.raises(DataError, match="There is no dataset nobody/knows-v3"):
        steps_from("nobody/knows-v3", 3, PENDULUM)
    with pytest.raises(DataError, match=r"no metadata\.json"):
        steps_from(str(tmp_path), 3, PENDULUM)
    command = ["train", "Pendulum-v1", "--data", str(out), "--offline-steps", "99"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 2
    assert not (tmp_path / "run").exists()


def test_statistics_of_data_are_those_of_steps_one_by_one():
    rng = np.random.default_rng(3)
    reward = rng.normal(1.0, 2.0, 500).astype(np.float32)
    ends, obs = rng.random(500) < 0.05, rng.normal(3.0, 2.0, (500, 4)).astype(np.float32)
    at_once, one_by_one = (RewardNormaliser(2, 1, 0.9, 5.0) for _ in range(2))
    at_once.absorb(reward, ends)
    for r, end in zip(reward, ends, strict=True):
        one_by_one.update(np.full((2, 1), r), np.full((2, 1), end), np.ones((2, 1), bool))
    assert np.allclose(at_once.scale, one_by_one.scale, rtol=1e-6)
    assert np.array_equal(at_once.running.steps, one_by_one.running.steps)
    together, apart = Normaliser(1, 4), Normaliser(1, 4)
    together.absorb(obs)
    for row in obs:
        apart.update(row[None, None])
    assert np.allclose(together.mean, apart.mean) and np.allclose(together.square, apart.square)


@pytest.mark.slow
def test_learning_offline_takes_no_step_and_then_goes_online(dataset, tmp_path):
    out, _ = dataset
    config = TrainConfig(**OFFLINE, data=str(out))
    offline = train(config, Point, tmp_path / "run")
    kept = offline.arrays(0, "last")
    assert kept["agent.updates"] == 200 - 200 % 16 and kept["replay.added"].tolist() == [0]
    assert offline.metrics()["step"].max() == 200
    online = train(replace(config, steps=48), Point, tmp_path / "run", resume=True)
    kept = online.arrays(0, "last")
    assert kept["replay.added"].tolist() == [48] and kept["agent.updates"] == 240
    at_once = train(replace(config, steps=48), Point, tmp_path / "once")
    for name, array in at_once.arrays(0, "last").items():
        assert np.array_equal(array, kept[name]), name


def test_a_batch_has_its_share_of_the_data(dataset):
    """After the switch it falls to its share over the `warmup` steps of the environment, 64."""
    out, _ = dataset
    config = TrainConfig(**OFFLINE | {"steps": 64}, data=str(out), data_share=0.25)
    trainer = Trainer(config, Point)
    recorded = {tuple(row) for row in trainer.data.steps.obs[0]}
    expected = {100: 1.0, 232: 0.625, 264: 0.25}
    while trainer.step < 264:
        trainer.advance()
        if trainer.step in expected:
            obs = trainer.batch()["obs"][0].reshape(-1, config.batch_size, trainer.obs.shape[-1])
            known = np.array([[tuple(row) in recorded for row in rows] for rows in obs])
            first = known[:, : config.policy_states // 2]  # the policy is trained at the first ones
            assert np.mean(known) == np.mean(first) == expected[trainer.step]
    trainer.envs.close()


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["cloning", "weighted", "diffusion-ql"])
def test_each_objective_learns_from_data(objective, tmp_path):
    """Half of the actions are near 1.2, with reward 1, half near -1.2, with none: cloning keeps
    both, the others take the good one."""
    rng = np.random.default_rng(0)
    good = rng.random(1_000) < 0.5
    action = np.where(good, 1.2, -1.2)[:, None] + rng.normal(0.0, 0.05, (1_000, 1))
    source, _ = flat(
        tmp_path / "a.hdf5", 1_000, observations=np.zeros((1_000, 3), np.float32),
        actions=action.astype(np.float32), rewards=good.astype(np.float32),
        terminals=np.ones(1_000, bool), timeouts=np.zeros(1_000, bool),
    )  # fmt: skip
    config = TrainConfig(**OFFLINE | {
        "objective": objective, "offline_steps": 3_000, "hidden": (64, 64), "batch_size": 64,
        "flow_steps": 5, "eval_every": 10**6, "temperature": 0.2, "temperature_mode": "fixed",
        "acting_particles": 1, "eval_envs": 1, "eval_episodes": 1, "eval_max_steps": 2,
        "actor_lr": 3e-3, "policy_delay": 1, "particles": 4, "q_weight": 0.02,
    }, data=source)  # fmt: skip
    run = train(config, "Pendulum-v1", tmp_path / "run")
    drawn = run.policy(np.zeros((400, 3)), jax.random.key(1), "last", greedy=False)[:, 0]
    share = np.mean(drawn > 0.0)
    if objective != "diffusion-ql":  # whose Q moves them along its slope
        assert np.mean(np.abs(np.abs(drawn) - 1.2) < 0.5) > 0.75
    assert abs(share - 0.5) < 0.12 if objective == "cloning" else share > 0.8


@pytest.mark.slow
def test_several_seeds_environments_and_rewards_learn_from_data(dataset, tmp_path):
    """And a resume in the middle of the offline part goes on as an undisturbed run."""
    out, _ = dataset
    more = {"seeds": 2, "num_envs": 2, "n_step": 3, "offline_steps": 96, "steps": 32}
    config = TrainConfig(**OFFLINE | more, data=str(out))
    whole = train(config, Point, tmp_path / "whole")
    train(replace(config, steps=0), Point, tmp_path / "parts")
    parts = train(config, Point, tmp_path / "parts", resume=True)
    for seed in (0, 1):
        kept = parts.arrays(seed, "last")
        for name, array in whole.arrays(seed, "last").items():
            assert np.array_equal(array, kept[name]), name


@pytest.mark.slow
def test_data_of_another_environment_is_named(run, tmp_path):
    """Also where its widths are the same."""
    pendulum = train(TrainConfig(**SMALL), "Pendulum-v1", tmp_path / "run")
    record(pendulum, tmp_path / "set", 1, "random", max_steps=5)
    with pytest.raises(DataError, match=r"is of Pendulum-v1, not of Other-v0\. Give"):
        steps_from(str(tmp_path / "set"), 3, pendulum.actions, "Other-v0")
    steps_from(str(tmp_path / "set"), 3, pendulum.actions, "Pendulum-v1")


def test_data_that_has_changed_is_not_resumed(run, tmp_path):
    record(run, tmp_path / "set", 4, "random", seed=5)
    config = TrainConfig(**OFFLINE, data=str(tmp_path / "set"))
    train(config, Point, tmp_path / "run")
    shutil.rmtree(tmp_path / "set")
    record(run, tmp_path / "set", 4, "random", seed=6)
    with pytest.raises(ValueError, match="has changed since it began"):
        train(replace(config, steps=48), Point, tmp_path / "run", resume=True)


def test_random_actions_are_not_the_numbers_of_the_environment(tmp_path):
    pendulum = train(TrainConfig(**SMALL), "Pendulum-v1", tmp_path / "run")
    record(pendulum, tmp_path / "set", 8, "random", max_steps=2)
    steps = steps_from(str(tmp_path / "set"), 3, pendulum.actions)
    first = steps.obs[::2]
    angle = np.arctan2(first[:, 1], first[:, 0])
    assert np.abs(steps.action[::2, 0] - angle / np.pi).max() > 0.1


def test_data_and_options_that_do_not_go_together(tmp_path):
    with pytest.raises(ValueError, match="Add --data"):
        train(TrainConfig(offline_steps=10), Point, tmp_path / "run")
    with pytest.raises(ValueError, match=r"Raise --offline-steps\."):
        train(TrainConfig(offline_steps=10, data="x"), Point, tmp_path / "run")
    with pytest.raises(ValueError, match="temperature_mode ess"):
        TrainConfig(objective="cloning", temperature_mode="ess")
    with pytest.raises(ValueError, match="Add temperature_mode ess"):
        TrainConfig(objective="weighted")
    with pytest.raises(ValueError, match="Choose flow or diffusion"):
        TrainConfig(objective="cloning", policy="gaussian")
    for name in ("rfm", "sdac"):
        with pytest.raises(ValueError, match="in their box"):
            TrainConfig(objective="cloning", estimator=name)
    with pytest.raises(ValueError, match="With 0 steps nothing is learned"):
        train(TrainConfig(steps=0), Point, tmp_path / "run")


@pytest.mark.slow
def test_the_command_line_records_and_learns(run, tmp_path, monkeypatch, capsys):
    """Into a folder that is given relative to this one."""
    monkeypatch.chdir(tmp_path)
    out = Path("set")
    assert main(["record", str(run.path), "--episodes", "3", "--out", str(out), "--quiet"]) == 0
    output = capsys.readouterr().out
    assert "Mean return" in output and "(3 episodes)" in output and "--offline-steps" in output
    options = ["--hidden", "8", "8", "--batch-size", "16", "--estimator", "noise", "--quiet"]
    options += ["--num-draws", "4", "--flow-steps", "2", "--eval-episodes", "1"]
    command = ["train", "tests.rl.toys:Point", "--data", str(out), "--offline-steps", "64"]
    assert main([*command, *options, "--out", str(tmp_path / "run")]) == 0
    assert load(tmp_path / "run").config.steps == 0
    assert json.loads((out / "data" / "metadata.json").read_text())["total_episodes"] == 3


LOADING = """
import sys, time
from pathlib import Path
import numpy as np
import gymnasium as gym
import h5py, minari
from steinflow.rl.datasets import steps_from
from steinflow.rl.normaliser import Normaliser
from steinflow.rl.reward_normaliser import RewardNormaliser
from steinflow.rl.spaces import actions_of

def most():  # memory that this process has had, in bytes
    line = next(li for li in Path("/proc/self/status").open() if li.startswith("VmHWM"))
    return 1024 * int(line.split()[1])

actions = actions_of(gym.spaces.Box(-2.0, 2.0, (6,), np.float32))
before = most()
began = time.monotonic()
steps = steps_from(sys.argv[1], 17, actions)
RewardNormaliser(1, 1, 0.99, 5.0).absorb(steps.reward, steps.terminated)
Normaliser(1, 17).absorb(steps.obs)
spent = time.monotonic() - began
print(len(steps.reward), spent, most() - before, sum(array.nbytes for array in steps))
"""


@pytest.mark.slow
def test_a_million_steps_are_read_in_seconds_and_three_times_their_memory(tmp_path):
    count = 1_000_000
    rng = np.random.default_rng(0)
    source, _ = flat(
        tmp_path / "a.hdf5", count, observations=rng.normal(size=(count, 17)).astype(np.float32),
        actions=rng.uniform(-2, 2, (count, 6)).astype(np.float32),
        timeouts=np.arange(1, count + 1) % 1_000 == 0, rewards=rng.random(count, np.float32),
        terminals=np.zeros(count, bool),
    )  # fmt: skip
    words = [sys.executable, "-c", LOADING, source]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    read, spent, peak, size = map(float, done.stdout.split())
    print(f"{spent:.1f} s, {peak / 2**20:.0f} MiB for {size / 2**20:.0f} MiB of steps")
    assert read == 999_000 and spent < 10.0
    assert peak < 3.0 * Path(source).stat().st_size
