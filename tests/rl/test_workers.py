"""Environments in processes: the same data, sooner; a process that dies, hangs or fails."""

import os
import signal
import time

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from steinflow.cli import main
from steinflow.rl.checkpoint import RunError
from steinflow.rl.config import TrainConfig
from steinflow.rl.environments import factory_of, side_by_side
from steinflow.rl.run import Run
from steinflow.rl.training import train
from tests.rl.strange import SMALL, Giving, Nan, Point, Slow
from tests.rl.toys import Point as Given

pytestmark = pytest.mark.usefixtures("untyped")
SAME = AutoresetMode.SAME_STEP


def config(**options):
    return TrainConfig(**SMALL | {"num_envs": 4, "steps": 160, "eval_every": 80} | options)


def content(run):
    """Records without times."""
    return run.metrics().drop("seconds", "eval_seconds").to_dicts()


@pytest.mark.slow
def test_processes_change_no_number_and_a_resumed_run_goes_on(tmp_path):
    """Three processes for four environments, of two seeds; states come back through them."""
    whole = train(config(seeds=2), Given, tmp_path / "whole")
    train(config(seeds=2, steps=80, env_workers=3), Given, tmp_path / "run")
    run = train(config(seeds=2, env_workers=3), Given, tmp_path / "run", resume=True)
    assert content(run) == content(whole)
    for seed in (0, 1):
        mine, other = (r.arrays(seed, "last") for r in (run, whole))
        assert all(np.array_equal(mine[name], other[name]) for name in other)


def steps_a_second(workers):
    """Of eight environments that sleep 5 ms a step."""
    envs = side_by_side(factory_of(Slow, {"sleep": 0.005}), 8, SAME, workers)
    envs.reset(list(range(8)))
    began = time.monotonic()
    for _ in range(20):
        envs.step(np.zeros((8, 1), np.float32))
    spent = time.monotonic() - began
    envs.close()
    return 160 / spent


def test_environments_that_sleep_are_stepped_at_once():
    ratio = steps_a_second(8) / steps_a_second(0)
    print(f"8 processes: {ratio:.1f} times the steps a second")
    assert ratio > 2.5  # beside other work; benchmarks/env_workers.py measures it alone


@pytest.mark.slow
def test_a_process_that_dies_is_a_sentence_and_what_was_learned_is_kept(tmp_path):
    with pytest.raises(
        RunError, match=r"Process \d of the environments has ended \(exit code 3\)"
    ) as error:
        train(config(env_workers=2), Slow, tmp_path / "run", env_kwargs={"sleep": 0, "dies": 30})
    assert "What was learned is in" in str(error.value) and "--resume" in str(error.value)
    assert Run(tmp_path / "run").arrays(0, "last")["agent.updates"] > 10


def test_a_process_that_is_killed_hangs_or_cannot_start():
    """Further."""
    envs = side_by_side(factory_of(Point), 2, SAME, 2)
    envs.reset([0, 1])
    os.kill(envs.processes[1].pid, signal.SIGKILL)
    with pytest.raises(RunError, match=r"Process 1 of the environments has ended \(SIGKILL\)"):
        envs.step(np.zeros((2, 1), np.float32))
    with pytest.raises(RunError, match="have ended"):
        envs.step(np.zeros((2, 1), np.float32))
    envs.close()
    envs = side_by_side(factory_of(Slow, {"sleep": 60}), 2, SAME, 2, patience=0.5)
    envs.reset([0, 1])
    with pytest.raises(RunError, match=r"has not answered for 0\.5 s"):
        envs.step(np.zeros((2, 1), np.float32))
    envs.close()
    with pytest.raises(ValueError, match="Could not make '<lambda>': TypeError"):
        side_by_side(factory_of(lambda: Giving(no=1)), 2, SAME, 2)


def test_what_an_environment_does_wrong_in_a_process_is_the_same_sentence():
    """Further: a reward, an exception, and a NaN that is dropped."""
    for make, sentence in [
        (factory_of(Giving, {"what": "reward", "value": [1, 2]}), "a reward that is list"),
        (factory_of(Giving, {"what": "exit"}), "step failed: SystemExit: 3"),
    ]:
        envs = side_by_side(make, 2, SAME, 2)
        envs.reset([0, 1])
        with pytest.raises(RunError, match=sentence):
            envs.step(np.zeros((2, 1), np.float32))
        envs.close()
    envs = side_by_side(factory_of(Nan, {"when": [1]}), 2, SAME, 2, drop_nan=True)
    envs.reset([0, 1])
    assert envs.step(np.zeros((2, 1), np.float32)).dropped.all()
    envs.close()


def test_processes_for_one_environment_are_refused(tmp_path, capsys):
    words = ["train", "tests.rl.strange:Point", "--env-workers", "4", "--out", str(tmp_path / "a")]
    assert main(words) == 2
    assert "Add --num-envs 4" in capsys.readouterr().err
    with pytest.raises(ValueError, match="num_envs is 1"):
        TrainConfig(env_workers=1)
