"""kill -9 at any moment: no process is left behind, and a rerun completes."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steinflow.executors.base import Failed, Options
from steinflow.executors.process import Processes
from steinflow.executors.store import read
from tests.executors.driver import NAMES
from tests.executors.toys import Toy, square

ROOT = Path(__file__).parent.parent.parent
EXPECTED = {name: str(k**2).encode() for k, name in enumerate(NAMES)}
KILLS = int(os.environ.get("STEINFLOW_KILLS", "1"))


def start(folder):
    command = [sys.executable, "-m", "tests.executors.driver", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def workers(folder):
    there = (folder / "pids").glob("*") if (folder / "pids").exists() else []
    return [int(path.name) for path in there if is_alive(int(path.name))]


def is_alive(pid):
    """Whether a process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def eventually(is_so, seconds=20.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until and not is_so():
        time.sleep(0.05)
    assert is_so()


def some_are_done(folder, rng):
    """Wait until a few more cells are done than now."""
    wanted = min(len(read(folder / "cells")) + rng.randrange(1, 8), len(NAMES))
    eventually(lambda: len(read(folder / "cells")) >= wanted, 60.0)


def test_a_killed_driver_leaves_no_process_and_loses_nothing(tmp_path):
    """STEINFLOW_KILLS=30 kills it thirty times."""
    rng = random.Random(0)
    for _ in range(KILLS):
        process = start(tmp_path)
        some_are_done(tmp_path, rng)
        process.kill()
        process.communicate()
        eventually(lambda: not workers(tmp_path))
        if len(read(tmp_path / "cells")) > len(NAMES) - 8:  # once more from the start
            for path in (tmp_path / "cells").iterdir():
                path.unlink()
    left, process = len(NAMES) - len(read(tmp_path / "cells")), start(tmp_path)
    said = process.communicate(timeout=60)[0].split()
    assert process.returncode == 0 and len(said) == left  # what was done is not done again
    assert read(tmp_path / "cells") == EXPECTED


def test_a_killed_worker_costs_a_try_of_one_cell(tmp_path):
    rng = random.Random(1)
    process = start(tmp_path)
    for _ in range(2):
        some_are_done(tmp_path, rng)
        if there := workers(tmp_path):
            os.kill(rng.choice(there), signal.SIGKILL)
    assert sorted(process.communicate(timeout=60)[0].split()) == sorted(NAMES)
    assert process.returncode == 0 and read(tmp_path / "cells") == EXPECTED
    assert not workers(tmp_path)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_what_a_killed_cell_had_started_ends_too():
    cell = Toy("parent", does="leave a child")
    [(_, outcome)] = Processes(Options(workers=1, time_limit=2.0)).run(square, [cell])
    assert isinstance(outcome, Failed) and outcome.kind == "TimeLimit"
    eventually(lambda: not children_left())


def children_left():
    """Processes of this test that sleep on in its name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"import time; time.sleep(600)" in words and is_alive(int(path.parent.name)):
            found.append(int(path.parent.name))
    return found
