"""Kind: terminals, encodings and displays."""

import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from steinflow.cli import main
from steinflow.io.files import StudyError, explained
from steinflow.rl import play
from tests.rl.strange import FAST

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.usefixtures("untyped")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("terminals") / "run"
    words = ["train", "tests.rl.strange:Point", *FAST.split(), "--steps", "80", "--out", str(out)]
    assert main(words) == 0
    return out


def on(encoding, *words):
    """A command whose output has an encoding."""
    return subprocess.run(
        [sys.executable, "-m", "steinflow", *words], cwd=ROOT, capture_output=True, check=False,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )  # fmt: skip


# row 27


@pytest.mark.slow
def test_characters_that_a_terminal_lacks_are_replaced(run):
    """Further: latin-1 has ± but no frames."""
    done = on("cp1252", "train", "--help")
    assert done.returncode == 0 and b"--env-workers" in done.stdout
    done = on("ascii", "eval", str(run), "--episodes", "2")
    assert done.returncode == 0 and b"mean return -" in done.stdout and b" ? " in done.stdout
    assert len(json.loads((run / "eval.json").read_text())["best"]["returns"][0]) == 2
    assert on("latin-1", "list").returncode == 0


def test_results_are_written_before_they_are_printed(run, monkeypatch):
    """Further: what reads the output has gone."""

    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def fileno(self):
            return os.open(os.devnull, os.O_WRONLY)

    (run / "eval.json").unlink(missing_ok=True)
    monkeypatch.setattr(sys, "stdout", Gone())
    assert main(["eval", str(run), "--episodes", "2"]) == 141
    assert (run / "eval.json").exists()


# row 32


def test_one_episode_has_no_error(run, tmp_path, capsys):
    """In what is printed, and on the card; further: two episodes have one."""
    assert main(["eval", str(run), "--episodes", "1", "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert "±" not in out and "nan" not in out and "(1 episodes, seed 3)" in out
    assert main(["export", str(run), "--out", str(tmp_path)]) == 0
    card = (tmp_path / "README.md").read_text()
    assert "not evaluated yet" not in card and "(1 episodes, seed 3)" in card and "±" not in card
    assert main(["eval", str(run), "--episodes", "2"]) == 0
    assert "±" in capsys.readouterr().out


# row 44


def test_an_exported_program_is_for_a_cpu_and_a_gpu(run, tmp_path):
    assert main(["export", str(run), "--out", str(tmp_path)]) == 0
    program = jax.export.deserialize((tmp_path / "policy.stablehlo").read_bytes())
    assert program.platforms == ("cpu", "cuda")
    assert "cpu and cuda" in (tmp_path / "README.md").read_text()
    assert program.call(np.zeros((3, 2), np.float32), np.int32(0)).shape == (3, 1)


# row 30


def test_a_display_that_does_not_answer_is_none(monkeypatch, tmp_path):
    """Further: one of a host, words that are none, and one that does answer."""
    for display in (":99", "localhost:77.0", "", "nonsense", ":x", "host.invalid:0"):
        assert not play.has_display(display)
    monkeypatch.setenv("DISPLAY", ":99")
    for name in ("MUJOCO_GL", "SDL_VIDEODRIVER", "SDL_AUDIODRIVER"):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    play.without_display()
    assert os.environ["MUJOCO_GL"] == "egl" and "unset it" in play.no_screen()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0/tmp/.X11-unix/X4711")
        server.listen()
        assert play.has_display(":4711.0")


# errors of the file system


def test_the_remedy_fits_the_error(tmp_path):
    """Further: only a full disk is told to be freed."""
    for error, said in [
        (OSError(28, "No space left on device"), "free some space"),
        (PermissionError(13, "Permission denied"), "choose another --out"),
        (FileExistsError(17, "File exists"), "is a file"),
        (NotADirectoryError(20, "Not a directory"), "is a file"),
    ]:
        with pytest.raises(StudyError, match=said) as result, explained(tmp_path):
            raise error
        assert ("free some space" in str(result.value)) == (error.errno == 28)
