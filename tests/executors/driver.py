"""Compute what is missing of forty toy cells: python -m tests.executors.driver FOLDER EXECUTOR."""

import sys
from pathlib import Path

from steinflow.executors import campaign
from steinflow.executors.base import Options
from steinflow.executors.campaign import Engine
from tests.executors.toys import Toy, noted

NAMES = [f"cell-{k}" for k in range(40)]


def cells(folder: Path) -> list[Toy]:
    """All cells."""
    return [Toy(name, k, folder=str(folder)) for k, name in enumerate(NAMES)]


def main(folder: Path, executor: str) -> None:
    engine = Engine(executor, Options(workers=2, retries=3))
    result = campaign.run(noted, cells(folder), folder, engine, quiet=True)
    sys.exit(bool(result.failed or result.running))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
