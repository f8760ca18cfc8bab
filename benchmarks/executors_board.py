"""A part of the leaderboard by every executor: the same rows, and what two cores gain.

    python benchmarks/executors_board.py [--states 8] [--trials 16]

An hour, on a quiet machine. All cells of two dimensions: once to compile (not timed; what is
compiled is kept in runs/executors-board), then serial pinned to one core, process, Ray and three
shards at once, each in processes of its own that find all compilations on the disk.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal
from provenance import stamp

from steinflow.executors import campaign
from steinflow.executors.cores import cores_here, pin
from steinflow.executors.shards import shard_of
from steinflow.executors.state import contents, state
from steinflow.io.files import write_json
from steinflow.study.leaderboard.grid import Board
from steinflow.study.leaderboard.run import Cell, cells, compute

RESULTS = Path(__file__).parent / "results" / "executors-board.json"
COMPILED = Path(__file__).parent.parent / "runs" / "executors-board"
SHARDS = 3


def part_of(states: int, trials: int) -> tuple[Board, list[Cell]]:
    """The part; samples of actions, which take half a minute a cell, are left out."""
    board = Board(dims=(2,), states=states, trials=trials)
    return board, [cell for cell in cells(board) if cell.unit.distribution != "actions"]


def rows(out: Path, wanted: list[Cell]) -> list[pl.DataFrame]:
    """What all cells gave."""
    records = contents(out, wanted)
    return [pl.read_parquet(io.BytesIO(records[cell])) for cell in wanted]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=8)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--run", nargs=3, metavar=("EXECUTOR", "SHARD", "OUT"), help="only this")
    given = parser.parse_args()
    board, wanted = part_of(given.states, given.trials)
    if given.run:
        executor, shard, out = given.run
        function, engine = partial(compute, board, Path(out)), campaign.Engine(executor)
        engine = engine._replace(shard=shard_of(shard))
        campaign.study(function, wanted, Path(out), engine, False)
        return

    sizes = ["--states", str(given.states), "--trials", str(given.trials)]
    available = cores_here()
    more = {"JAX_COMPILATION_CACHE_DIR": str(COMPILED / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def start(executor: str, shard: str, cores: list[int], out: str) -> subprocess.Popen[bytes]:
            words = [sys.executable, __file__, *sizes, "--run", executor, shard, str(folder / out)]
            pin(cores)
            process = subprocess.Popen(words, env=os.environ | more)
            pin(available)
            return process

        def seconds(executor: str, cores: list[int], out: str) -> float:
            began = time.monotonic()
            assert start(executor, "0/1", cores, out).wait() == 0
            return time.monotonic() - began

        warm = seconds("process", available, "warm")
        computing = sum(state(folder / "warm", wanted).done.values())
        print(
            f"{len(wanted)} cells; compiling took {warm:.0f} s, {computing:.0f} s of one core. "
            f"Less than {2.7 * computing / 60.0:.0f} minutes for the rest",
            flush=True,
        )
        spent = {"serial": seconds("serial", available[:1], "serial")}
        spent |= {name: seconds(name, available, name) for name in ("process", "ray")}
        began = time.monotonic()
        shares = [
            start("serial", f"{k}/{SHARDS}", [available[k % len(available)]], "shards")
            for k in range(SHARDS)
        ]
        assert [share.wait() for share in shares] == [0] * SHARDS
        spent[f"{SHARDS} shards"] = time.monotonic() - began
        first = rows(folder / "serial", wanted)
        for other in ("process", "ray", "shards", "warm"):
            for one, two in zip(rows(folder / other, wanted), first, strict=True):
                assert_frame_equal(one, two, check_exact=True)
        count = sum(frame.height for frame in first)
    print(f"{count:,} rows, the same by serial, process, ray and {SHARDS} shards")
    for name, time_spent in spent.items():
        print(f"{name:10} {time_spent:6.1f} s, {spent['serial'] / time_spent:.2f} times serial")
    about = {"cells": len(wanted), "states": given.states, "trials": given.trials}
    about |= {"rows": count, "cores": len(available)}
    write_json(RESULTS, about | {"seconds": spent})
    stamp(RESULTS)


if __name__ == "__main__":
    main()
