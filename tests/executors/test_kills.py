"""kill -9 at any moment: no process is left behind, and the same command completes."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steinflow.executors.base import Failed, Options
from steinflow.executors.locks import locked
from steinflow.executors.process import Processes
from steinflow.executors.state import SECONDS, contents
from steinflow.executors.store import every
from tests.executors.driver import NAMES, cells
from tests.executors.toys import Toy, square

ROOT = Path(__file__).parent.parent.parent
KILLS = int(os.environ.get("STEINFLOW_KILLS", "0"))  # 30 shows what is promised


def start(folder, executor):
    command = [sys.executable, "-m", "tests.executors.driver", str(folder), executor]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def workers(folder):
    files = (folder / "pids").glob("*") if (folder / "pids").exists() else []
    return [int(path.name) for path in files if is_alive(int(path.name))]


def is_alive(pid):
    """Whether a process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def eventually(is_so, seconds=30.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until and not is_so():
        time.sleep(0.05)
    assert is_so()


def done(folder):
    return contents(folder, cells(folder))


def calls(folder, name):
    return len(list((folder / "calls").glob(f"{name}.*")))


def judge(folder):
    """Every cell is there once, with what it should be; nobody is at work; no lock is held."""
    result = {cell.name: content for cell, content in done(folder).items()}
    assert result == {name: str(k**2).encode() for k, name in enumerate(NAMES)}
    written = [(name, whole[SECONDS.size :]) for name, whole in every(folder / "cells")]
    assert set(written) == set(result.items())  # what was computed twice was computed alike
    assert not list(every(folder / "failures"))
    eventually(lambda: not workers(folder))
    for path in folder.glob("*/*"):
        if path.parent.name in ("cells", "failures", "running"):
            file = locked(path)
            assert file is not None, path
            file.close()


def round_of(folder, executor, what, rng, kill_node=None):
    """One run of all cells in which one thing is killed at a random moment."""
    folder.mkdir()
    process = start(folder, executor)
    try:
        wanted = rng.randrange(len(NAMES) // 2)  # 0: as it starts
        eventually(lambda: len(done(folder)) >= wanted or process.poll() is not None, 120.0)
        time.sleep(rng.uniform(0.0, 0.1))
        assert process.poll() is None, process.communicate()
        if what == "worker":
            eventually(lambda: workers(folder), 60.0)
            os.kill(rng.choice(workers(folder)), signal.SIGKILL)
        if what == "node":
            kill_node()
        if what == "driver":
            process.kill()
            process.communicate(timeout=120)
            eventually(lambda: not workers(folder))
            before = {cell.name: calls(folder, cell.name) for cell in done(folder)}
            process = start(folder, executor)
            process.communicate(timeout=120)
            assert {name: calls(folder, name) for name in before} == before  # done is done
        process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0
    judge(folder)


@pytest.mark.slow
def test_kills_of_workers_and_drivers_lose_nothing(tmp_path):
    """STEINFLOW_KILLS=30 for thirty."""
    rng = random.Random(0)
    for k in range(KILLS or 2):
        round_of(tmp_path / str(k), "process", ("driver", "worker")[k % 2], rng)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_what_a_killed_cell_had_started_ends_too():
    cell = Toy("parent", does="leave a child")
    [(_, outcome)] = Processes(Options(workers=1, time_limit=2.0)).run(square, [cell])
    assert isinstance(outcome, Failed) and outcome.kind == "TimeLimit"
    eventually(lambda: not children_left())


def children_left():
    """Processes of this test that sleep on in its name."""
    results = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"import time; time.sleep(600)" in words and is_alive(int(path.parent.name)):
            results.append(int(path.parent.name))
    return results
