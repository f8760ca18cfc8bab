"""Kind: how long runs, episodes, films and buffers are, and what is said of it beforehand."""

import numpy as np
import pytest

from steinflow.cli import main
from steinflow.rl import memory
from steinflow.rl.adapter import EnvironmentWarning
from steinflow.rl.agent import Sizes
from steinflow.rl.checkpoint import RunError
from steinflow.rl.config import TrainConfig
from steinflow.rl.files import read_config
from steinflow.rl.frames import Film
from steinflow.rl.loop import require_updates
from steinflow.rl.training import train
from tests.rl.strange import FAST, SMALL, Point

HERE = "tests.rl.strange"

pytestmark = pytest.mark.usefixtures("untyped")


def command(out, *more, env="Point"):
    return ["train", f"{HERE}:{env}", *FAST.split(), "--out", str(out), *map(str, more)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 102 steps whose environment never ends an episode of an evaluation in time."""
    out = tmp_path_factory.mktemp("lengths") / "run"
    options = ["--num-envs", 3, "--steps", 100, "--eval-max-steps", 30]
    assert main(command(out, *options, "--env-kwargs", "length=1000000000")) == 0
    return out


# row 9


@pytest.mark.slow
def test_a_run_never_becomes_shorter_and_its_rates_do_not_rise_again(tmp_path, capsys):
    """Further: the refusal leaves config.toml as it was."""
    out = tmp_path / "run"
    fit = ["--eval-every", 1000, "--anneal", 0.5]
    assert main(command(out, "--steps", 100, *fit)) == 0
    before = (out / "config.toml").read_text()
    assert main(command(out, "--steps", 200, "--resume", *fit)) == 2
    assert "fall to 0 at step 100" in capsys.readouterr().err
    assert main(command(out, "--steps", 90, "--resume", *fit)) == 2
    assert "has 100 steps already" in capsys.readouterr().err
    assert (out / "config.toml").read_text() == before
    assert main(["train", "--resume", "--out", str(out)]) == 0  # its own options: nothing to do
    assert (out / "config.toml").read_text() == before


def test_a_resumed_run_has_its_own_options_and_flags_change_some(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(command(out, "--steps", 100, "--env-kwargs", "length=7", "--eval-every", 1000)) == 0
    assert main(["train", "--resume", "--out", str(out), "--steps", "150"]) == 0
    config, env, env_kwargs = read_config(out / "config.toml")
    assert (config.steps, env, env_kwargs) == (150, f"{HERE}:Point", {"length": 7})
    assert main(["train", "--resume", "--out", str(out), "--hidden", "4"]) == 2
    error = capsys.readouterr().err
    assert "began with other options: hidden" in error and "Leave out what sets them" in error


# row 10


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ({"steps": 500}, "1,005"),
        ({"steps": 1_004, "warmup": 1_000}, "1,005"),
        ({"steps": 100, "warmup": 90, "num_envs": 8}, "120"),
    ],
)
def test_a_run_in_which_nothing_is_learned_is_refused(options, first, tmp_path, capsys):
    """Further: the warm-up fits, but not the chunk after it; several environments."""
    with pytest.raises(ValueError, match=f"the first update follows step {first}"):
        require_updates(TrainConfig(**options))
    require_updates(TrainConfig(**options | {"steps": 1_005}))
    if len(options) == 1:
        assert main(["train", "Pendulum-v1", "--steps", "500", "--out", str(tmp_path / "run")]) == 2
        assert "nothing is learned" in capsys.readouterr().err
        assert not (tmp_path / "run").exists()


# row 41


@pytest.mark.slow
def test_the_steps_that_are_done_are_said(tmp_path, capsys):
    assert main(command(tmp_path / "run", "--num-envs", 3, "--steps", 100)) == 0
    assert "Trained 102 steps." in capsys.readouterr().out
    result = [TrainConfig(steps=n, num_envs=e).whole_steps for n, e in [(100, 1), (8, 8), (9, 8)]]
    assert result == [100, 8, 16]  # further


# row 21


@pytest.mark.slow
def test_episodes_without_an_end_are_told_cut_and_counted(run, tmp_path, capsys):
    """Further: an environment that has a limit is silent, and so is a limit that is given."""
    eternal = ["--env-kwargs", "length=1000000000"]
    with pytest.warns(EnvironmentWarning, match="20 of 20 episodes|2 of 2 episodes"):
        train(TrainConfig(**SMALL), Point, tmp_path / "a", env_kwargs={"length": 10**9})
    assert main(["eval", str(run), "--episodes", "2"]) == 0
    assert "were cut after 30 steps" in capsys.readouterr().err
    assert main(["eval", str(run), "--episodes", "2", "--eval-max-steps", "7"]) == 0
    assert "were cut after 7 steps" in capsys.readouterr().err
    out = tmp_path / "b"
    assert main([*command(out, "--steps", 80), *eternal, "max_episode_steps=10"]) == 0
    assert "No time limit" not in capsys.readouterr().err
    assert main(command(tmp_path / "c", "--steps", 80)) == 0
    assert "No time limit of tests.rl.strange:Point can be seen" in capsys.readouterr().err


@pytest.mark.slow
def test_a_film_has_a_limit_and_grows_as_it_is_drawn(run, tmp_path, monkeypatch):
    seen, add = [], Film.add

    def counted(film, frame):
        add(film, frame)
        seen.append(film.path.exists())

    monkeypatch.setattr(Film, "add", counted)
    words = ["play", str(run), "--out", str(tmp_path), "--max-steps", "12"]
    assert main(words) == 0
    assert len(seen) == 13 and any(seen[:3])
    (film,) = tmp_path.glob("*.mp4")
    import imageio_ffmpeg

    assert imageio_ffmpeg.count_frames_and_secs(str(film))[0] == 13
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".gif", ".mp4"]


@pytest.mark.slow
def test_evaluation_in_turn_gives_what_all_at_once_give(run):
    """Further: two at once, of which one is idle at the end."""
    import steinflow as sf

    assert repr(sf.load(run)).startswith(f"Run({str(run)!r}: ")
    whole = sf.load(run).evaluate(3, 5, max_steps=9)
    for envs in (1, 2):
        result = sf.load(run).evaluate(3, 5, max_steps=9, envs=envs)
        assert np.array_equal(result.returns, whole.returns)


# row 22


def test_a_replay_that_cannot_fit_is_said_beforehand(tmp_path, capsys, monkeypatch):
    """Further: the number that is said does fit."""
    monkeypatch.setattr(memory, "host_free", lambda: 8 * 2**30)
    assert main(command(tmp_path / "a", "--buffer-size", 10_000_000_000, "--steps", 100)) == 2
    text = capsys.readouterr().err
    assert "needs 242.1 GiB of memory" in text and "--buffer-size to at most 297,343,889" in text
    assert main(command(tmp_path / "b", "--steps", 100, env="Picture")) == 2
    assert "7,056 numbers an observation" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    memory.require_replay_room(TrainConfig(buffer_size=297_343_889), Sizes(2, 1))
    with pytest.raises(RunError, match=r"for 2 seed\(s\)"):
        memory.require_replay_room(TrainConfig(buffer_size=297_343_889, seeds=2), Sizes(2, 1))
