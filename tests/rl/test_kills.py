"""A training run that is killed again and again ends like one that never was.

    STEINFLOW_KILLS=20 pytest tests/rl/test_kills.py

kills it twenty times; without that it is killed three times.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from steinflow.rl.run import load

ROOT = Path(__file__).parent.parent.parent
COMMAND = (
    "-m steinflow train tests.rl.toys:Point --estimator noise --steps 2000 --warmup 100 "
    "--hidden 8 8 --batch-size 16 --num-levels 2 --num-draws 2 --flow-steps 2 --eval-every 400 "
    "--log-every 200 --eval-episodes 2 --resume --seeds 2"
)
KILLS = int(os.environ.get("STEINFLOW_KILLS", "3"))


def start(out, cache):
    flags = {"JAX_COMPILATION_CACHE_DIR": str(cache),
             "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
             "JAX_PLATFORMS": "cpu"}  # fmt: skip
    return subprocess.Popen(
        [sys.executable, *COMMAND.split(), "--out", str(out)],
        cwd=ROOT, env=os.environ | flags, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def content(run):
    return run.metrics().drop("seconds", "eval_seconds").to_dicts()


@pytest.mark.slow
def test_kills_change_nothing(tmp_path):
    whole, killed, cache = (tmp_path / name for name in ("whole", "killed", "cache"))
    assert start(whole, cache).wait() == 0
    began = time.monotonic()
    assert start(tmp_path / "warm", cache).wait() == 0
    full = time.monotonic() - began
    rng, kills, said = random.Random(0), 0, ""
    while kills < KILLS:
        process = start(killed, cache)
        time.sleep(rng.uniform(0.0, full))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        elif load(killed).metrics()["step"].max() == 2000:  # it came through: from the start
            subprocess.run(["rm", "-r", str(killed)], check=True)
        said += process.communicate()[1]
    assert start(killed, cache).wait() == 0
    assert "Traceback" not in said and "Going on from step" in said
    assert content(load(killed)) == content(load(whole))
    for seed in (0, 1):
        mine, other = (load(path).arrays(seed, "last") for path in (killed, whole))
        assert all(np.array_equal(mine[name], other[name]) for name in other)
