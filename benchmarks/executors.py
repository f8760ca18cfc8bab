"""What an executor costs: time a cell, cells of two seconds, and the merge of a million records.

    python benchmarks/executors.py [--cells 500] [--seconds 2] [--merge]

A cell burns the processor's time of one core for so long; serial is pinned to one core as well.
"""

import argparse
import resource
import tempfile
import time
import zlib
from pathlib import Path
from typing import NamedTuple

from steinflow.executors.base import Options
from steinflow.executors.process import Processes
from steinflow.executors.ray import Ray
from steinflow.executors.serial import Serial
from steinflow.executors.store import HEADER, PREFIX, read

EXECUTORS = {"serial": Serial, "process": Processes, "ray": Ray}


class Cell(NamedTuple):
    """So many seconds of one core."""

    name: str
    seconds: float

    @property
    def label(self) -> str:
        """The same for people."""
        return self.name


def burn(cell: Cell) -> int:
    """Count until the processor has worked for so long."""
    until, count = time.process_time() + cell.seconds, 0
    while time.process_time() < until:
        count += 1
    return count


def timed(name: str, cells: list[Cell]) -> tuple[float, float]:
    """Seconds until the first cell (workers start), and those after it."""
    began, first, last = time.monotonic(), 0.0, 0.0
    for _ in EXECUTORS[name](Options()).run(burn, cells):
        last = time.monotonic()
        first = first or last
    return first - began, last - first


def costs(count: int, seconds: float) -> None:
    """Print what cells cost by each executor."""
    print(
        "executor  first cell    a cell of 0 s    8 cells of", f"{seconds:g} s, from the first on"
    )
    for name in EXECUTORS:
        start, rest = timed(name, [Cell(str(k), 0.0) for k in range(count)])
        _, long = timed(name, [Cell(str(k), seconds) for k in range(9)])
        print(f"{name:8} {start:9.2f} s {1e3 * rest / (count - 1):12.2f} ms {long:12.2f} s")


def merge(files: int = 10_000, each: int = 100) -> None:
    """Print how long a million records take to read, and how much memory."""
    with tempfile.TemporaryDirectory() as name:
        for k in range(files):
            data = [HEADER]
            for i in range(each):
                body = f"{k * each + i:020x}\n".encode() + b"x" * 200
                data.append(PREFIX.pack(len(body), zlib.crc32(body)) + body)
            (Path(name) / f"{k:05d}.shard").write_bytes(b"".join(data))
        clock = time.monotonic()
        records = read(Path(name))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{len(records):,} records of {files:,} files: {time.monotonic() - clock:.1f} s")
        print(f"{memory:.2f} GiB at most in this process")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--merge", action="store_true", help="only the million records")
    given = parser.parse_args()
    if given.merge:
        merge()
    else:
        costs(given.cells, given.seconds)


if __name__ == "__main__":
    main()
