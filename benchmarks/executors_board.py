"""A part of the leaderboard by every executor: the same rows, and what two cores gain.

    python benchmarks/executors_board.py [--states 4] [--trials 8]

All problems of two dimensions, 525 cells: once to compile (not timed), then serial pinned to one
core, process, Ray and three shards, each in a process of its own that finds all compilations on
the disk.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from steinflow.executors import store
from steinflow.executors.campaign import Engine
from steinflow.executors.cores import cores_here, pin
from steinflow.executors.state import SECONDS
from steinflow.io.files import write_json
from steinflow.study.leaderboard.grid import Board
from steinflow.study.leaderboard.run import cells, run

RESULTS = Path(__file__).parent / "results" / "executors-board.json"
SHARDS = 3


def board_of(states: int, trials: int) -> Board:
    """The part."""
    return Board(dims=(2,), states=states, trials=trials)


def rows(out: Path) -> dict[str, pl.DataFrame]:
    """All that was collected."""
    return {path.name: pl.read_parquet(path) for path in sorted((out / "parts").glob("*.parquet"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=4)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--run", nargs=3, metavar=("EXECUTOR", "SHARD", "OUT"), help="only this")
    given = parser.parse_args()
    board = board_of(given.states, given.trials)
    if given.run:
        executor, shard, out = given.run
        own, number = map(int, shard.split("/"))
        run(board, Path(out), False, Engine(executor, shard=(own, number)))
        return

    sizes = ["--states", str(given.states), "--trials", str(given.trials)]
    here = cores_here()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        more = {"JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}  # fmt: skip

        def seconds(executor: str, shard: str, out: str) -> float:
            words = [sys.executable, __file__, *sizes, "--run", executor, shard]
            began = time.monotonic()
            pin(here[:1] if executor == "serial" else here)
            subprocess.run([*words, str(folder / out)], check=True, env=os.environ | more)
            pin(here)
            return time.monotonic() - began

        warm = seconds("process", "0/1", "warm")
        done = store.read(folder / "warm" / "cells").values()
        whole = sum(SECONDS.unpack_from(content)[0] for content in done)
        print(
            f"{len(cells(board))} cells; compiling took {warm:.0f} s, {whole:.0f} s of one core. "
            f"Less than {3.0 * whole / 60.0:.0f} minutes for the rest",
            flush=True,
        )
        spent = {name: seconds(name, "0/1", name) for name in ("serial", "process", "ray")}
        for k in range(SHARDS):
            spent[f"shard {k}/{SHARDS}"] = seconds("serial", f"{k}/{SHARDS}", "shards")
        first = rows(folder / "serial")
        for other in ("process", "ray", "shards", "warm"):
            found = rows(folder / other)
            assert list(found) == list(first)
            for part, frame in found.items():
                assert_frame_equal(frame, first[part], check_exact=True)
        count = sum(frame.height for frame in first.values())
    print(f"{count:,} rows, the same by serial, process, ray and {SHARDS} shards")
    for name, time_spent in spent.items():
        print(f"{name:10} {time_spent:6.1f} s, {spent['serial'] / time_spent:.2f} times serial")
    about = {"cells": len(cells(board)), "rows": count, "cores": len(here)}
    write_json(RESULTS, about | {"seconds": spent})


if __name__ == "__main__":
    main()
