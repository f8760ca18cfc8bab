"""Compute what is missing of forty toy cells: python -m tests.executors.driver FOLDER."""

import sys
from pathlib import Path

from steinflow.executors.base import Options
from steinflow.executors.process import Processes
from steinflow.executors.store import read
from tests.executors.toys import Toy, kept

NAMES = [f"cell-{k}" for k in range(40)]


def main(folder: Path) -> None:
    done = read(folder / "cells")
    todo = [Toy(n, k, folder=str(folder)) for k, n in enumerate(NAMES) if n not in done]
    for cell, _ in Processes(Options(workers=2, retries=3)).run(kept, todo):
        print(cell.name, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
