"""`steinflow study`: its options, and what it prints."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from steinflow.study.conditions import StudyConfig

if TYPE_CHECKING:
    from steinflow.executors.campaign import Engine


@dataclass(frozen=True)
class Study(StudyConfig):
    """Rerun the paper's investigation against exact truth, and judge its claims."""

    out: Path | None = None
    """folder for everything that is written (runs/study-PRESET); a rerun goes on from it"""
    config: Path | None = None
    """a TOML file with these options; flags win over it"""
    style: str = "screen"
    """screen, or paper: figures also as PDF, tables also as CSV and LaTeX"""
    executor: str = ""
    """serial, process or ray: cells on single cores (this process on all cores; presets
    leaderboard, prior and training: process)"""
    workers: int | None = None
    """cells at once by an executor (one a core; on a Ray cluster as many as fit)"""
    shard: str = "0/1"
    """i/n: run every n-th cell only, i from 0; shards share nothing but the folder"""
    quiet: bool = False
    """no progress"""


def study(command: Study) -> int:
    """Run a study with figures and report."""
    import time

    from steinflow.executors.base import Options
    from steinflow.executors.campaign import Engine
    from steinflow.executors.shards import shard_of
    from steinflow.report.pages import is_for_paper
    from steinflow.study.report import write
    from steinflow.study.run import UnfinishedError, run_study

    clock = time.monotonic()
    names = [f.name for f in fields(StudyConfig)]
    config = StudyConfig(**{name: getattr(command, name) for name in names})
    out = command.out or Path("runs") / f"study-{config.preset}"
    paper = is_for_paper(command.style)
    shard, options = shard_of(command.shard), Options(command.workers)
    engine = Engine(command.executor or "process", options, shard)
    for preset, run in BIG.items():
        if config.preset == preset:
            if config.estimators is not None:
                raise ValueError(f"preset {preset} takes no estimators. Choose another preset.")
            return run(config, out, engine, command.quiet, paper)
    local = not command.executor and shard == (0, 1)
    try:
        results = run_study(config, out, command.quiet, shell(config), None if local else engine)
    except UnfinishedError as unfinished:
        print(unfinished)
        return 0
    page = write(results, out, shell(config), paper)
    for claim in results.claims:
        print(f"{claim['verdict']:>11}  {claim['claim']}")
    print(f"{results.rows.height:,} rows in {time.monotonic() - clock:.0f} s. Open {page}")
    return 0


def leaderboard(config: StudyConfig, out: Path, engine: "Engine", quiet: bool, paper: bool) -> int:
    """Run the leaderboard with figures and report."""
    from steinflow.study.leaderboard.grid import board_of
    from steinflow.study.leaderboard.report import write
    from steinflow.study.leaderboard.run import run
    from steinflow.study.leaderboard.times import measured_times
    from steinflow.study.leaderboard.versions import ROWS, code_version, identity

    board = board_of(config)
    results = run(board, out, quiet, engine)
    times = measured_times(board, out, identity(board, code_version(ROWS)))
    page = write(results, times, out, shell(config), paper)
    print(f"{results.rows.height:,} rows. Open {page}")
    return 0


def prior(config: StudyConfig, out: Path, engine: "Engine", quiet: bool, paper: bool) -> int:
    """Run the study of a prior with figures and report."""
    from steinflow.study.prior.lines import judge
    from steinflow.study.prior.report import write
    from steinflow.study.prior.run import grid_of, run

    grid = grid_of(config)
    rows = run(grid, out, quiet, engine)
    results = judge(rows)
    page = write(grid, rows, results, out, shell(config), paper)
    for claim in results["claims"]:
        print(f"{claim['verdict']:>11}  {claim['claim']}")
    print(f"{rows.height:,} rows. Open {page}")
    return 0


def training(config: StudyConfig, out: Path, engine: "Engine", quiet: bool, paper: bool) -> int:
    """Train small policies with figures and report."""
    from steinflow.study.training.lines import compare
    from steinflow.study.training.report import write
    from steinflow.study.training.run import plan_of, run

    results = run(plan_of(config), out, quiet, engine)
    page = write(results, out, shell(config), paper)
    flow = [line for line in compare(results.rows) if line["policy"] == "flow"]
    wins = sum(line["least"] for line in flow)
    print(f"auto ends least, or within its interval of the least, on {wins} of {len(flow)}")
    print(f"{results.rows.height:,} rows. Open {page}")
    return 0


BIG: dict[str, Callable[[StudyConfig, Path, "Engine", bool, bool], int]] = {
    "leaderboard": leaderboard,
    "prior": prior,
    "training": training,
}


def shell(config: StudyConfig) -> str:
    """The exact command for a configuration."""
    default = asdict(StudyConfig())
    words = ["steinflow", "study"]
    for name, value in asdict(config).items():
        if value != default[name]:
            flag = "--" + name.replace("_", "-")
            many = value if isinstance(value, tuple) else (value,)
            words += [flag, *map(str, many)]
    return " ".join(words)
