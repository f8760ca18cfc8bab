"""`steinflow sweep`: a file's cells, their state, what fails, and what is kept."""

import json
import os
from pathlib import Path

import polars as pl
import pytest

from steinflow.cli import main
from steinflow.executors.locks import locked
from steinflow.executors.state import state, summary
from steinflow.sweep import work
from steinflow.sweep.plan import read, words
from steinflow.sweep.work import reason

TOML = """
command = "train"
seeds = 2
[fixed]
env = "Toy-v0"
steps = 10
critic_norm = false
[vary]
estimator = ["noise", "qne", "rfm"]
hidden = [[8, 8], [16]]
"""


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A file, and a command that only pretends to train; returns its path."""
    monkeypatch.setattr(work, "PROGRAM", (str(Path(__file__).parent / "command.py"),))
    monkeypatch.setenv("TOY_MENDED", str(tmp_path / "mended"))
    monkeypatch.setenv("TOY_CALLS", str(tmp_path / "calls"))
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    path = tmp_path / "toy.toml"
    path.write_text(TOML)
    return path


def calls(sweep):
    return sorted((sweep.parent / "calls").read_text().splitlines())


def run(sweep, out, *more):
    return main(["sweep", str(sweep), "--out", str(out), "--quiet", *more])


def test_a_sweep_from_failures_to_the_end(sweep, tmp_path, capfd):
    out = tmp_path / "out"
    assert run(sweep, out, "--status") == 0
    assert capfd.readouterr().out.startswith("0 done, 0 running, 0 failed, 12 to do")
    assert run(sweep, out) == 1
    output = capfd.readouterr().out
    assert "4 done, 0 running, 8 failed, 0 to do; nothing left" in output
    assert "failed  estimator=qne hidden=8,8 seed=0: qne is broken. Mend it." in output
    assert "failed  estimator=rfm hidden=16 seed=1: ArithmeticError: no score today" in output
    assert "--retry-failed" in output
    why = next(iter(w for w in state(out, read(sweep)).failed.values() if "Arith" in w))
    assert "Traceback" in why and "command.py" in why

    assert run(sweep, out) == 1 and len(calls(sweep)) == 4  # neither done nor failed ones again
    (tmp_path / "mended").touch()
    assert run(sweep, out, "--retry-failed", "--executor", "serial") == 0
    assert "12 done, 0 running, 0 failed" in capfd.readouterr().out
    assert len(calls(sweep)) == 12 and run(sweep, out, "--status") == 0
    table = pl.read_csv(out / "cells.csv")
    assert table["estimator"].to_list() == ['"noise"'] * 4 + ['"qne"'] * 4 + ['"rfm"'] * 4
    for cell in read(sweep):
        written = (out / "runs" / cell.name / "words.txt").read_text()
        assert written == " ".join(words(cell, out)[: written.count(" ") + 1])


@pytest.mark.slow
def test_serial_process_and_shards_give_the_same_rows(sweep, tmp_path, capfd):
    (tmp_path / "mended").touch()
    outs = {name: tmp_path / name for name in ("serial", "process", "shards")}
    assert run(sweep, outs["serial"], "--executor", "serial") == 0
    assert run(sweep, outs["process"]) == 0
    for k in range(3):
        assert run(sweep, outs["shards"], "--executor", "serial", "--shard", f"{k}/3") == 0
    tables = {name: (out / "cells.csv").read_bytes() for name, out in outs.items()}
    assert len(set(tables.values())) == 1 and tables["serial"].count(b"\n") == 13
    assert len(calls(sweep)) == 3 * 12
    for out in outs.values():
        for path in (out / "cells").glob("*.shard"):
            assert b"cores 1, flags --xla_cpu_multi_thread_eigen=false" in path.read_bytes()


@pytest.mark.slow
@pytest.mark.ray
def test_a_sweep_by_ray(sweep, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert run(sweep, tmp_path / "ray", "--executor", "ray", "--workers", "1") == 1
    assert "4 done, 0 running, 8 failed" in capfd.readouterr().out
    (tmp_path / "mended").touch()
    assert run(sweep, tmp_path / "serial", "--executor", "serial") == 0
    assert run(sweep, tmp_path / "ray", "--executor", "serial", "--retry-failed") == 0
    serial, ray = (tmp_path / name / "cells.csv" for name in ("serial", "ray"))
    assert serial.read_bytes() == ray.read_bytes()


def test_cells_are_named_by_what_they_depend_on(sweep):
    names = [cell.name for cell in read(sweep)]
    assert len(set(names)) == 12 and names == [cell.name for cell in read(sweep)]
    assert not set(names) & {cell.name for cell in read(sweep, threads=2)}
    sweep.write_text(TOML.replace("seeds = 2", "seeds = [1, 7]"))
    assert len(set(names) & {cell.name for cell in read(sweep)}) == 6  # those of seed 1
    tables = '[[vary]]\nestimator = ["noise"]\n[[vary]]\ntemperature = [0.1, 0.2]\n'
    sweep.write_text(TOML.partition("[vary]")[0] + tables)
    assert [c.label for c in read(sweep)][::2] == [
        "estimator=noise seed=0", "temperature=0.1 seed=0", "temperature=0.2 seed=0",
    ]  # fmt: skip


def test_the_command_line_of_a_cell(sweep):
    expected = "train Toy-v0 --steps 10 --no-critic-norm --estimator noise --hidden 8 8 --resume"
    cell = read(sweep)[0]
    assert " ".join(words(cell, Path("there"))) == f"{expected} --seed 0 --out there --quiet"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("seeds = 2", "sedes = 2", "Did you mean 'seeds'"),
        ('"train"', '"trian"', "Did you mean 'train'"),
        ("steps = 10", "stesp = 10", "Did you mean 'steps'"),
        ("estimator =", "estimatr =", "Did you mean 'estimator'"),
        ("seeds = 2", "seeds = 0", "seeds must be"),
        ("steps = 10", "estimator = 3", "fixed and varied"),
        ("hidden = [[8, 8], [16]]", "hidden = 8", "must be a list of values"),
        ('command = "train"', "", "names no command"),
        ("steps = 10", "steps = 2020-01-01", "Give numbers, words"),
        ("[vary]", "[vary", "Give a TOML file"),
    ],
)
def test_bad_files_are_sentences(sweep, old, new, sentence, capsys):
    sweep.write_text(TOML.replace(old, new))
    assert run(sweep, sweep.parent / "out") == 2
    output = capsys.readouterr().err
    assert sentence in output and "Traceback" not in output


def test_bad_options_are_sentences(sweep, tmp_path, capsys):
    for flags, sentence in {
        ("--executor", "dask"): "Unknown executor",
        ("--shard", "3/3"): "Count i from 0",
        ("--threads", "4096"): "Give fewer",
        ("--executor", "serial", "--time-limit", "3"): "Choose process",
    }.items():
        assert run(sweep, tmp_path / "out", *flags) == 2
        assert sentence in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert run(sweep, tmp_path / "file" / "out") == 2
    assert "Could not write to" in capsys.readouterr().err


def test_a_read_only_folder_gives_a_sentence(sweep, tmp_path, monkeypatch, capsys):
    (tmp_path / "mended").touch()

    def refused(*_):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:  # at once
        patch.setattr("steinflow.executors.campaign.Writer", refused)
        assert run(sweep, tmp_path / "out", "--executor", "serial") == 2
    assert "Could not write to" in capsys.readouterr().err
    with monkeypatch.context() as patch:  # in the middle, in a worker
        patch.setattr("steinflow.executors.campaign.keep", refused)
        assert run(sweep, tmp_path / "out", "--executor", "serial") == 2
    output = capsys.readouterr().err
    assert (
        output.count("\n") == 1 and "Read-only file system. Get the right to write there" in output
    )
    assert run(sweep, tmp_path / "out", "--executor", "serial") == 0


def test_running_cells_are_seen_and_left_alone(sweep, tmp_path, capfd):
    (tmp_path / "mended").touch()
    out, cells = tmp_path / "out", read(sweep)
    (out / "running").mkdir(parents=True)
    (out / "running" / cells[1].name).touch()  # left behind
    with locked(out / "running" / cells[0].name):
        assert "0 done, 1 running, 0 failed, 11 to do" in summary(cells, state(out, cells))
        assert run(sweep, out, "--executor", "serial") == 0
        assert "11 done, 1 running, 0 failed, 0 to do" in capfd.readouterr().out
    assert run(sweep, out, "--executor", "serial") == 0 and len(calls(sweep)) == 12


def test_why_a_command_failed():
    assert reason("warning\nsteinflow: no. Do so.\n", 2) == "no. Do so."
    assert reason("Traceback (most recent call last):\n  File\nKeyError: 3\n", 1) == "KeyError: 3"
    assert reason("╭─ Value error ─╮\n│ Error parsing --x │\n╰──╯", 2) == "Error parsing --x"
    assert reason("", 3) == "the command ended with exit code 3"
    assert reason("", -9) == "the command was ended by SIGKILL: killed, or out of memory"


@pytest.mark.slow
def test_a_real_command(tmp_path, monkeypatch, capfd):
    """Training, for as little as can be compiled; a wrong name is told by the command."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    path, out = tmp_path / "real.toml", tmp_path / "out"
    path.write_text(
        'command = "train"\n[fixed]\nenv = "tests.rl.toys:Point"\npolicy = "gaussian"\n'
        "steps = 20\nwarmup = 10\nhidden = [4]\nbatch_size = 4\nchunk = 2\neval_every = 20\n"
        'eval_episodes = 1\n[vary]\nestimator = ["noise", "niose"]\n'
    )
    assert run(path, out, "--workers", "2") == 1
    assert "1 done, 0 running, 1 failed" in (output := capfd.readouterr().out)
    assert "Unknown estimator 'niose'. Did you mean 'noise'?" in output
    done = state(out, read(path)).done
    manifest = json.loads((out / "runs" / next(iter(done)) / "manifest.json").read_text())
    assert manifest and os.environ["XLA_FLAGS"] == "--xla_backend_optimization_level=0"
