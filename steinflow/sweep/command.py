"""`steinflow sweep FILE`: its options, and what it prints."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Sweep:
    """Run a command over lists of options and seeds; what is finished is never run again."""

    file: tyro.conf.Positional[Path]
    """TOML: command, [fixed], [vary] and seeds (docs/sweeps.md)"""
    executor: str = "process"
    """serial, process (this machine), or ray (RAY_ADDRESS, or a local one)"""
    workers: int | None = None
    """cells at once (one a core; on a Ray cluster as many as fit)"""
    threads: int = 1
    """cores a cell is pinned to; part of a cell's identity"""
    shard: str = "0/1"
    """i/n: run every n-th cell only, i from 0; shards share nothing but the folder"""
    retries: int = 0
    """further tries of a cell that fails"""
    time_limit: float | None = None
    """seconds a try may take (process and ray)"""
    gpus: float = 0.0
    """GPUs a cell, or a fraction of one (ray)"""
    status: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """only say what is done, running, failed and why, and the time left"""
    retry_failed: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """run those again that failed"""
    out: Path | None = None
    """folder for everything that is written (runs/sweep-FILE); a rerun goes on from it"""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """no progress"""


def sweep(command: Sweep) -> int:
    """Run a sweep, or tell its state; 1 if a cell has failed."""
    from steinflow.executors.base import Options
    from steinflow.executors.campaign import Engine
    from steinflow.executors.shards import shard_of, share
    from steinflow.executors.state import state, summary
    from steinflow.sweep.plan import read
    from steinflow.sweep.run import run

    options = Options(
        command.workers, command.threads, command.retries, command.time_limit, command.gpus
    )
    engine = Engine(command.executor, options, shard_of(command.shard))
    cells = read(command.file, command.threads)
    out = command.out or Path("runs") / f"sweep-{command.file.stem}"
    in_shard = share(cells, engine.shard)
    if command.status:
        print(summary(in_shard, state(out, in_shard)))
        return 0
    outcome = run(cells, out, engine, command.retry_failed, command.quiet)
    print(summary(in_shard, outcome))
    if outcome.failed:
        print("The same command with --retry-failed runs those again.")
    print(f"Finished cells: {out / 'cells.csv'}; what each wrote: {out / 'runs'}")
    return int(bool(outcome.failed))
