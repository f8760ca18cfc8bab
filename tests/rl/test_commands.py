"""The commands that train, evaluate, show and export, on real environments."""

import errno
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from dataclasses import fields

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

import steinflow as sf
from steinflow.cli import main, parsed, with_defaults
from steinflow.io.files import unlike_sums
from steinflow.rl.checkpoint import RunError
from steinflow.rl.commands import Train, values_of
from steinflow.rl.config import TrainConfig
from steinflow.rl.environments import factory_of
from steinflow.rl.metrics import TRACKERS
from steinflow.rl.presets import PRESETS
from steinflow.rl.run_lock import HELD, run_lock
from steinflow.rl.training import Session, default_name

TEXT = """--estimator noise --steps 400 --warmup 100 --hidden 8 8 --batch-size 16 --num-levels 2
--num-draws 2 --flow-steps 2 --eval-every 200 --eval-episodes 2 --acting-particles 2
--eval-particles 2 --quiet"""
SMALL = TEXT.split()
SIDES = {"hidden": (8, 8), "batch_size": 16, "num_levels": 2, "num_draws": 2}


@pytest.fixture(scope="module")
def pendulum(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "pendulum"
    arguments = ["train", "Pendulum-v1", *SMALL, "--seeds", "2", "--normalise", "--out", str(out)]
    assert main([*arguments, "--track", "tensorboard"]) == 0
    return out


@pytest.mark.slow
def test_a_run_holds_what_it_promises(pendulum):
    names = {path.name for path in pendulum.iterdir()}
    assert {"manifest.json", "config.toml", "metrics.jsonl", "seed-0", "seed-1"} <= names
    about = json.loads((pendulum / "manifest.json").read_text())
    assert {"versions", "host", "command", "device"} <= set(about)
    assert list((pendulum / "tb").glob("events*"))
    rows = sf.load(pendulum).metrics()
    assert {"episode_return", "critic_loss", "ess", "eval_return"} <= set(rows.columns)


@pytest.mark.slow
def test_eval_prints_its_protocol_and_writes_it(pendulum, capsys):
    assert main(["eval", str(pendulum), "--episodes", "3", "--seed", "7"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert re.fullmatch(r"mean return -\d+\.\d ± \d+\.\d \(3 episodes, seed 7\)", first)
    content = json.loads((pendulum / "eval.json").read_text())
    assert np.shape(content["best"]["returns"]) == np.shape(content["last"]["returns"]) == (2, 3)
    assert main(["eval", str(pendulum / "seed-1"), "--episodes", "3", "--seed", "7"]) == 0
    one = json.loads((pendulum / "seed-1" / "eval.json").read_text())
    assert np.allclose(one["best"]["returns"][0], content["best"]["returns"][1])


@pytest.mark.slow
@pytest.mark.parametrize("env", ["pendulum", "Hopper-v5"])
def test_play_makes_videos_without_a_display(env, pendulum, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    run = pendulum
    if env != "pendulum":
        run = tmp_path / "hopper"
        assert main(["train", env, *SMALL, "--out", str(run)]) == 0
    assert main(["play", str(run), "--out", str(tmp_path / "videos")]) == 0
    assert "return" in capsys.readouterr().out
    film, picture = (next((tmp_path / "videos").glob(f"*.{kind}")) for kind in ("mp4", "gif"))
    assert film.read_bytes()[4:8] == b"ftyp" and picture.read_bytes()[:4] == b"GIF8"


@pytest.mark.slow
@pytest.mark.parametrize("library", ["glfw", "osmesa", "nonsense"])
def test_no_gl_is_a_sentence(library, tmp_path):
    """A MuJoCo that cannot draw here: what to install and to set."""
    run = tmp_path / "pole"
    assert main(["train", "InvertedPendulum-v5", *SMALL, "--steps", "150", "--out", str(run)]) == 0
    without = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    words = [sys.executable, "-m", "steinflow", "play", str(run)]
    done = subprocess.run(
        words, env=without | {"MUJOCO_GL": library}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if line.startswith("steinflow: ")]
    assert len(said) == 1 and "MUJOCO_GL=egl" in said[0] and "libegl1" in said[0]


def test_plot_draws_several_runs(pendulum, tmp_path, capsys):
    assert main(["plot", str(pendulum), str(pendulum / "seed-0"), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "learning-curves.svg").read_text().count("pendulum") > 0
    assert (tmp_path / "learning-curves.png").stat().st_size > 10_000


def test_an_exported_policy_acts_like_the_run(pendulum, tmp_path):
    assert main(["export", str(pendulum), "--out", str(tmp_path)]) == 0
    weights = load_file(tmp_path / "policy.safetensors")
    assert any(name.startswith("policy") for name in weights)
    assert weights["scale"] == sf.load(pendulum).agents("best")[0].scale[0] > 1.0
    assert json.loads((tmp_path / "config.json").read_text())["spaces"]["low"] == [-2.0]
    assert "A flow policy for `Pendulum-v1`" in (tmp_path / "README.md").read_text()
    program = jax.export.deserialize((tmp_path / "policy.stablehlo").read_bytes())
    obs = np.float32([[1.0, 0.0, 0.3], [0.0, 1.0, -2.0], [-1.0, 0.1, 4.0]])
    result = program.call(obs, np.int32(5))
    assert np.allclose(result, sf.load(pendulum).policy(obs, jax.random.key(5)), atol=1e-5)


def test_a_damaged_export_is_told_and_made_again(pendulum, tmp_path, capsys):
    assert main(["export", str(pendulum), "--out", str(tmp_path)]) == 0
    path = tmp_path / "policy.stablehlo"
    whole = path.read_bytes()
    assert "is not what its SHA256SUMS says" not in capsys.readouterr().err
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (tmp_path / "SHA256SUMS").open("a").write(f"{64 * '0'}  ../elsewhere\nnonsense\n")
    assert main(["export", str(pendulum), "--out", str(tmp_path)]) == 0
    output = capsys.readouterr().err
    assert output.count("policy.stablehlo is not what its SHA256SUMS says. It is made again.") == 1
    assert "elsewhere" not in output and unlike_sums(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "Pendulum-v2"], "Could not make 'Pendulum-v2'"),
        (["train", "CartPole-v1"], "Actions are Discrete"),
        (["train", "nowhere:Thing"], "Could not import 'nowhere'"),
        (["train", "Pendulum-v1", "--estimator", "rmf"], "Did you mean 'rfm'"),
        (["train", "Pendulum-v1", "--preset", "rmf"], "Did you mean 'rfm'"),
        (["train", "Pendulum-v1", "--gamma", "1.5"], "gamma must lie in"),
        (["train", "Pendulum-v1", "--data-share", ".3"], "Add --data"),
        (["train", "--policy", "gaussian", "--corrector", ".2"], "(--corrector 0.0)"),
        (["train", "Pendulum-v1", "--env-kwargs", "g"], "is no NAME=VALUE"),
        (["train", "Pendulum-v1", "--track", "tensorbord"], "Did you mean 'tensorboard'"),
        (["train", "Pendulum-v1", "--track", "wandb"], "pip install wandb"),
        (["eval", "nowhere"], "There is no run in nowhere"),
        (["plot", "nowhere"], "There is no run in nowhere"),
    ],
)
def test_what_does_not_fit_is_a_sentence(arguments, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(arguments)
    except SystemExit as error:  # tyro's own, for an option
        status = error.code
    assert status == 2
    assert sentence in capsys.readouterr().err


def given(*flags):
    return with_defaults(parsed(["train", *flags]), ["train", *flags])


def test_options_of_a_preset_yield_to_those_of_a_file_and_these_to_flags(tmp_path):
    plain, file = Train(), tmp_path / "options.toml"
    for name, options in PRESETS.items():
        command = given("--preset", name, "--batch-size", "8")
        assert {n: getattr(command, n) for n in options} == options
        assert command.batch_size == 8
    as_ever = given("--preset", "rfm", "--num-draws", str(plain.num_draws), "Hopper-v5")
    assert (as_ever.num_draws, as_ever.env) == (plain.num_draws, "Hopper-v5")
    file.write_text('preset = "rfm"\nparticles = 3\nflow-steps = 7\nenv = "Hopper-v5"\n')
    mixed = given("--config", str(file), "--flow-steps", str(plain.flow_steps), "--no-resume")
    assert (mixed.estimator, mixed.particles, mixed.env) == ("rfm", 3, "Hopper-v5")
    assert (mixed.flow_steps, mixed.config) == (plain.flow_steps, file)
    assert given("--config", str(file), "--preset", "sdac").estimator == "sdac"
    assert given("--config", str(file), "--preset", "").estimator == plain.estimator
    file.write_text('estimator = "rfm"\n')  # which cannot go with qne's points, but with others
    mixed = given("--config", str(file), "--preset", "qne", "--actor-points", "policy")
    assert (mixed.estimator, mixed.actor_points, mixed.num_draws) == ("rfm", "policy", 500)
    with pytest.raises(ValueError, match="Choose next or policy"):
        given("--config", str(file), "--preset", "qne")
    assert given() == plain
    with pytest.raises(ValueError, match="Did you mean 'rfm'"):
        given("--preset", "rfn")


def test_help_is_in_groups_and_the_options_that_change_first_lead(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    output = capsys.readouterr().out
    titles = re.findall(r"(?m)^\W*([a-z]+ options|positional arguments)(?:\W|$)", output)
    assert titles[:3] == ["positional arguments", "main options", "run options"]
    assert "critic options" in titles and "logging options" in titles
    first = output[output.index("main options") : output.index("run options")]
    assert len(re.findall(r"(?m)^\W*--[a-z]", first)) == 10 and "--num-draws" in first
    assert all("--" + field.name.replace("_", "-") in output for field in fields(TrainConfig))


def test_what_a_file_asks_for_is_judged_with_the_flags(tmp_path):
    file = tmp_path / "options.toml"
    file.write_text('data = "set"\n')
    assert given("--config", str(file), "--offline-steps", "5", "--data-share", ".2").steps == 0
    file.write_text('sampler = "ddpm"\n')
    with pytest.raises(ValueError, match="Leave it out"):
        given("--config", str(file), "--policy", "gaussian")
    assert given("--config", str(file), "--policy", "gaussian", "--sampler", "ode")


def test_the_default_folder_says_what_is_learned_and_from_what():
    assert default_name("Hopper-v5", TrainConfig()) == "Hopper-v5-flow-auto"
    data = {"objective": "cloning", "data": "set", "offline_steps": 5}
    assert default_name("a:B", TrainConfig(**data)) == "a-B-flow-cloning"
    assert default_name("B", TrainConfig(**data, steps=0)) == "B-flow-cloning-offline"


def test_values_are_json_or_words():
    assert values_of(("a=1", "b=x", "c=[2]")) == {"a": 1, "b": "x", "c": [2]}


@pytest.mark.slow
def test_a_tracker_is_told_of_every_record_and_of_the_end(tmp_path, monkeypatch):
    said = []
    library = types.ModuleType("trackio")
    library.init = lambda **about: said.append(("init", about["name"]))
    library.log = said.append
    library.finish = lambda exit_code=0: said.append("failed" if exit_code else "finish")
    monkeypatch.setitem(sys.modules, "trackio", library)
    arguments = ["train", "Pendulum-v1", *SMALL, "--out", str(tmp_path / "run")]
    assert main([*arguments, "--steps", "200", "--track", "trackio"]) == 0
    assert said[0] == ("init", "run") and said[-1] == "finish" and said.count("finish") == 1
    assert any("seed-0/eval_return" in record for record in said[1:-1])
    with pytest.raises(ValueError, match="torn"), TRACKERS["wandb"][0](library, tmp_path, {}):
        raise ValueError("torn")
    assert said[-1] == "failed"


@pytest.mark.slow
def test_a_folder_is_trained_in_by_one_process(tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    arguments = ["train", "Pendulum-v1", *SMALL, "--out", str(run), "--resume", "--steps"]
    assert main([*arguments, "200"]) == 0
    with (run / ".lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main([*arguments, "400"]) == 2
        assert f"Another process trains in {run}." in capsys.readouterr().err

    def without(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr("steinflow.rl.run_lock.locked", without)
        assert main([*arguments, "400"]) == 0
    with (
        pytest.raises(RunError, match="Another process has begun"),
        run_lock(tmp_path / "new") as it,
    ):
        sides = TrainConfig(**SIDES), "Pendulum-v1", {}, factory_of("Pendulum-v1")
        late = Session(*sides, tmp_path / "new", False, True)
        shutil.copytree(run, tmp_path / "new")
        late.begin(False, it)


@pytest.mark.filterwarnings("ignore:os.fork")
def test_a_child_that_is_forked_keeps_no_folder(tmp_path):
    with run_lock(tmp_path):
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
    try:
        with run_lock(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_folder_is_free_though_a_child_just_forked_has_the_lock_open(tmp_path):
    with run_lock(tmp_path):
        (file,) = HELD
        copy = os.dup(file.fileno())  # what a child has before it closes its own
    try:
        with run_lock(tmp_path):
            pass
    finally:
        os.close(copy)
