"""Training from end to end on a toy: resume, failures, files."""

import json
import time

import jax
import numpy as np
import pytest

from steinflow.rl import checkpoint, memory
from steinflow.rl.adapter import EnvironmentWarning
from steinflow.rl.agent import Learner, Sizes
from steinflow.rl.checkpoint import RunError
from steinflow.rl.config import TrainConfig
from steinflow.rl.evaluate import Evaluator
from steinflow.rl.run import Run, folder_of, load
from steinflow.rl.training import Session, train
from tests.rl.toys import Forgetful, Point, Wide

SMALL = {
    "estimator": "noise", "steps": 600, "warmup": 100, "hidden": (8, 8), "batch_size": 16,
    "num_levels": 2, "num_draws": 2, "flow_steps": 2, "eval_every": 200, "log_every": 100,
    "eval_episodes": 2, "chunk": 8,
}  # fmt: skip


def config(**options):
    return TrainConfig(**SMALL | options)


def content(run):
    """Records without times."""
    return run.metrics().drop("seconds", "eval_seconds").to_dicts()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return train(config(seeds=2), Point, tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.slow
def test_a_resumed_run_says_what_an_undisturbed_one_does(undisturbed, tmp_path):
    out = tmp_path / "run"
    train(config(seeds=2, steps=400), Point, out)
    half = json.loads((out / "manifest.json").read_text())
    resumed = train(config(seeds=2), Point, out, resume=True)
    assert content(resumed) == content(undisturbed)
    for seed in (0, 1):
        mine, whole = (run.arrays(seed, "last") for run in (resumed, undisturbed))
        assert all(np.array_equal(mine[name], whole[name]) for name in whole)
    assert half == json.loads((out / "manifest.json").read_text())


@pytest.mark.slow
def test_statistics_of_rewards_are_resumed_with_several_environments(tmp_path):
    options = {"seeds": 2, "num_envs": 2, "n_step": 3, "policy": "gaussian"}
    whole = train(config(**options), Point, tmp_path / "whole")
    train(config(**options, steps=400), Point, tmp_path / "half")
    resumed = train(config(**options), Point, tmp_path / "half", resume=True)
    for seed in (0, 1):
        mine, other = (run.arrays(seed, "last") for run in (resumed, whole))
        assert {"rewards.square", "rewards.going", "agent.scale"} <= set(mine)
        assert all(np.array_equal(mine[name], other[name]) for name in other)
        assert mine["rewards.steps"] == 600 and mine["rewards.going"].shape == (2,)
    assert mine["agent.scale"] != resumed.arrays(0, "last")["agent.scale"]  # each seed has its own


@pytest.mark.slow
def test_frames_are_counted_where_actions_are_repeated(tmp_path):
    options = {"action_repeat": 4, "steps": 800, "policy": "gaussian", "policy_delay": 2}
    run = train(config(**options), Point, tmp_path / "run")
    rows, arrays = run.metrics(), run.arrays(0, "last")
    assert rows["step"].max() == 800 and rows["eval_return"].drop_nulls().len() == 4
    assert set(rows["episode_length"].drop_nulls()) == {13}  # decisions in 50 frames
    assert arrays["replay.added"] == 200
    assert arrays["agent.updates"] == 176  # of the 200 decisions, after 25, every 8
    assert (run.evaluate(2, 0, "last").lengths == 13).all()


@pytest.mark.slow
def test_an_evaluation_that_a_signal_ended_is_made_by_the_resumed_run(
    undisturbed, tmp_path, monkeypatch
):
    """The first of three evaluations, and then the last one."""
    run, calls = Evaluator.run, []

    def ended(*given):
        calls.append(None)
        if len(calls) in (1, 4):
            raise KeyboardInterrupt
        return run(*given)

    monkeypatch.setattr(Evaluator, "run", ended)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(config(seeds=2), Point, tmp_path / "run", resume=True)
    # this time the evaluation is said, but the process ends before its checkpoint
    save, out = Session.save, tmp_path / "run"
    monkeypatch.setattr(Session, "save", lambda session: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(config(seeds=2), Point, out, resume=True)
    monkeypatch.setattr(Session, "save", save)
    resumed = train(config(seeds=2), Point, out, resume=True, quiet=False)
    assert content(resumed) == content(undisturbed) and len(calls) == 6


@pytest.mark.slow
def test_an_environment_without_a_state_begins_new_episodes(tmp_path, capsys):
    train(config(steps=300), Forgetful, tmp_path / "run", quiet=True)
    with pytest.warns(EnvironmentWarning, match="new episodes begin"):
        train(config(steps=400), Forgetful, tmp_path / "run", resume=True, quiet=False)
    assert "Going on from step 300." in capsys.readouterr().err


@pytest.mark.slow
def test_a_cut_checkpoint_is_refused_and_the_one_before_it_used(undisturbed, tmp_path, capsys):
    out = tmp_path / "run"
    train(config(steps=400), Point, out)
    folder = folder_of(out, 0)
    assert checkpoint.steps_in(folder) == [400, 200]
    newest = checkpoint.path_of(folder, 400)
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    train(config(), Point, out, resume=True, quiet=False)
    output = capsys.readouterr().err
    assert "step-000000000400.safetensors is not a whole checkpoint" in output
    assert "Going on from step 200." in output
    older = checkpoint.path_of(folder, 600)
    damaged = bytearray(older.read_bytes())
    damaged[-5] ^= 1
    older.write_bytes(damaged)
    with pytest.raises(RunError, match="is damaged"):
        checkpoint.read(older)


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        ("nan", "reward that is not finite"),
        ("raises", "OSError: the simulator has hung up"),
        ("hangs", "has not answered for 1 s"),
    ],
)
def test_what_was_learned_survives_a_broken_environment(trouble, sentence, tmp_path):
    out, options = tmp_path / "run", {"trouble": trouble, "when": 250}
    with pytest.raises(RunError, match=sentence) as error:
        train(config(env_timeout=1.0), Point, out, env_kwargs=options)
    assert "At step 249" in str(error.value) and "--resume" in str(error.value)
    assert Run(out).arrays(0, "last")["agent.updates"] > 100
    assert checkpoint.steps_in(folder_of(out, 0))[0] == 249


def test_a_run_loads_with_its_policy_metrics_and_evaluation(undisturbed):
    run = load(undisturbed.path)
    assert list(run.seeds) == [0, 1] and list(load(undisturbed.path / "seed-1").seeds) == [1]
    import jax

    actions = run.policy(np.zeros((5, 2)), jax.random.key(0))
    assert actions.shape == (5, 1) and (actions >= -2).all() and (actions <= 1).all()
    assert run.policy(np.zeros(2), jax.random.key(0)).shape == (1,)
    with pytest.raises(ValueError, match="obs must be"):
        run.policy(np.zeros(3), jax.random.key(0))
    evaluation = run.evaluate(episodes=3, seed=5)
    assert evaluation.returns.shape == (2, 3) and (evaluation.lengths == 50).all()
    assert np.array_equal(evaluation.returns, run.evaluate(episodes=3, seed=5).returns)


def test_options_that_do_not_fit_a_run(undisturbed):
    with pytest.raises(ValueError, match="has a run already"):
        train(config(seeds=2), Point, undisturbed.path)
    with pytest.raises(ValueError, match="began with other options: gamma"):
        train(config(seeds=2, gamma=0.9), Point, undisturbed.path, resume=True)
    with pytest.raises(RunError, match="There is no run in"):
        load(undisturbed.path.parent)


@pytest.mark.slow
def test_dotfiles_of_others_stay(tmp_path):
    mine = tmp_path / ".pre-commit-config.yaml"
    mine.write_text("x")
    train(config(steps=120, eval_every=120), Point, tmp_path)
    assert mine.read_text() == "x"


class Poisoned(Point):
    """Gives an observation that is not finite when it is reset for the fourth time."""

    resets = 0

    def reset(self, *, seed=None, options=None):
        self.resets += 1
        obs, info = super().reset(seed=seed)
        return (obs * np.float32("nan") if self.resets == 4 else obs), info


@pytest.mark.slow
def test_a_bad_observation_of_a_reset_never_reaches_the_networks(tmp_path):
    with pytest.raises(RunError, match="observation that is not finite"):
        train(config(), Poisoned, tmp_path / "run")
    kept = Run(tmp_path / "run").arrays(0, "last")
    assert all(np.isfinite(array).all() for name, array in kept.items() if "agent" in name)


@pytest.mark.slow
def test_a_kill_between_seeds_leaves_a_common_step(tmp_path):
    out = tmp_path / "run"
    train(config(seeds=2, steps=400, keep=1), Point, out)
    first, second = (folder_of(out, seed) for seed in (0, 1))
    train(config(seeds=2, steps=600, keep=2), Point, out, resume=True)
    checkpoint.path_of(second, 600).unlink()  # as if killed after the first seed had written
    train(config(seeds=2, steps=500, keep=1), Point, out, resume=True)
    assert checkpoint.steps_in(first) == checkpoint.steps_in(second) == [500]


def test_a_header_that_was_changed_is_damage(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, {"x": np.ones(3)}, {"step": 1, "best": 2.0})
    path.write_bytes(path.read_bytes().replace(b"best", b"cest"))
    with pytest.raises(RunError, match="is damaged"):
        checkpoint.read(path)


@pytest.mark.slow
def test_a_kill_between_the_first_checkpoints_of_two_seeds_begins_anew(undisturbed, tmp_path):
    out = tmp_path / "run"
    train(config(seeds=2, steps=200), Point, out)
    for path in folder_of(out, 1).glob("step-*"):
        path.unlink()
    assert content(train(config(seeds=2), Point, out, resume=True)) == content(undisturbed)


def test_an_update_that_cannot_fit_is_said_beforehand(tmp_path, monkeypatch):
    """128 actions, 4,096 states, 1,024 draws: in the time that it takes to count."""
    monkeypatch.setattr(memory, "free", lambda: 2**30)
    began = time.monotonic()
    large = TrainConfig(num_draws=1024, batch_size=4096, actor_batch=4096, steps=2_000)
    with pytest.raises(RunError, match=r"would take about .* GiB .* Lower --num-draws \(1024"):
        train(large, Wide, tmp_path, quiet=True)
    assert time.monotonic() - began < 20.0
    assert not (tmp_path / "config.toml").exists()


@pytest.mark.slow
def test_the_count_of_memory_is_near_the_compilers():
    some = TrainConfig(num_draws=64, batch_size=256, actor_batch=256, hidden=(64, 64))
    learner = Learner(some, Sizes(3, 8))
    with jax.enable_x64(False):
        assert 0.3 < memory.needed(learner, 1) / memory.rough(learner) < 3.0
