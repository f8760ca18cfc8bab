"""From this machine to 10,000 workers: measured costs of a cell, and a simulation with them.

    python benchmarks/scaling.py

Measured here: what a worker needs to start, to append a cell, and to read finished ones. Measured
elsewhere: a scheduler's time for a cell (benchmarks/executors.py), compilation (the leaderboard's).
Assumed: a cell computes for 2 s, compiled code loads in 1 s, and a shared file system opens 20,000
files a second for all who ask. What to change first is the cost without which the whole would end
soonest.
"""

import argparse
import heapq
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from provenance import stamp

from steinflow.executors.store import Writer, read
from steinflow.io.files import write_json

RESULTS = Path(__file__).parent / "results" / "scaling.json"
SIZES = ((10**2, 10), (10**4, 100), (10**4, 1_000), (10**6, 1_000), (10**6, 10_000))


@dataclass(frozen=True)
class Costs:
    """Seconds."""

    cell: float = 2.0
    start: float = 3.0
    """until a worker can take cells"""
    compile: float = 40.0
    """the first cell of a kind, once for all; the leaderboard's contests take 30 to 50"""
    load: float = 1.0
    """the same from the disk, once a worker"""
    hand: float = 0.005
    """of the scheduler, a cell (Ray)"""
    append: float = 0.002
    """a finished cell"""
    record: float = 5e-6
    """reading one"""
    opening: float = 5e-5
    """opening a file of them, where nobody else does"""
    crowd: float = 1 / 20_000
    """opening a file, of all the file system's time"""


def measured() -> Costs:
    """Costs of this machine."""

    def lasts(code: str) -> float:
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.monotonic() - began

    start = min(lasts("import steinflow.executors.campaign") for _ in range(3))
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder, content = Path(name), b"x" * 4_000
        writer = Writer(folder)
        began = time.monotonic()
        for number in range(500):
            writer.append(f"cell-{number}", content)
        append = (time.monotonic() - began) / 500
        writer.close()
        (path,) = folder.iterdir()
        for number in range(1_000):
            (folder / f"{number}.shard").write_bytes(path.read_bytes()[: 4_000 * 10])
        began = time.monotonic()
        read(folder)
        both = time.monotonic() - began
        began = time.monotonic()
        for file in folder.glob("*.shard"):
            file.read_bytes()
        opening = (time.monotonic() - began) / 1_001
    record = max((both - 1_001 * opening) / (1_000 * 9 + 500), 1e-7)
    return Costs(start=start, append=append, record=record, opening=opening)


def reading(costs: Costs, done: int, files: int, readers: int) -> float:
    """Until all readers have read all finished cells."""
    return max(files * costs.opening + done * costs.record, readers * files * costs.crowd)


def central(costs: Costs, cells: int, workers: int) -> float:
    """One scheduler hands cells out one by one (process, Ray)."""
    ready = [costs.start + costs.compile + costs.load] * workers  # all wait for the first
    driver, last = costs.start + reading(costs, 0, 0, 1), 0.0
    for _ in range(cells):
        at = heapq.heappop(ready)
        driver = max(driver, at) + costs.hand
        end = driver + costs.cell + costs.append
        heapq.heappush(ready, end)
        last = max(last, end)
    return last + reading(costs, cells, workers, 1)


def shards(costs: Costs, cells: int, workers: int) -> float:
    """Every worker knows its own cells, and looks once at what is finished: half of it, say."""
    before = reading(costs, cells // 2, workers, workers)
    compute = math.ceil(cells / workers) * (costs.cell + costs.append)
    return (
        costs.start
        + before
        + costs.compile
        + costs.load
        + compute
        + reading(costs, cells, workers, 1)
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    costs = measured()
    print(", ".join(f"{name} {value:.3g} s" for name, value in asdict(costs).items()))
    rows = []
    for way in (central, shards):
        for cells, workers in SIZES:
            total, ideal = way(costs, cells, workers), cells * costs.cell / workers
            without = {
                name: way(replace(costs, **{name: 0.0}), cells, workers)
                for name in asdict(costs)
                if name != "cell"
            }
            first = min(without, key=without.__getitem__)
            row = {"way": way.__name__, "cells": cells, "workers": workers, "seconds": total}
            rows.append(row | {"efficiency": ideal / total, "first": first})
            print(
                f"{way.__name__:8} {cells:9,} cells {workers:6,} workers {total:9,.0f} s, "
                f"{100 * ideal / total:5.1f} % computing; without {first} {without[first]:,.0f} s"
            )
    write_json(RESULTS, {"costs": asdict(costs), "rows": rows})
    stamp(RESULTS)


if __name__ == "__main__":
    main()
