"""The command line: one dataclass a command."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from steinflow import __version__
from steinflow.diagnosis.command import Diagnose, diagnose
from steinflow.io.paths import with_expanded_paths
from steinflow.io.words import options_of, require_positional_first, values_of
from steinflow.rl import commands as rl
from steinflow.study.conditions import StudyConfig
from steinflow.sweep.command import Sweep, sweep

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


@dataclass(frozen=True)
class Doctor:
    """Say what this machine has, and what to do about what it lacks; or what training would meet
    in an environment."""

    env: tyro.conf.Positional[str] = ""
    """a Gymnasium id, module:Id, or module:function: made, reset, stepped and drawn"""
    env_kwargs: tuple[str, ...] = ()
    """arguments of the environment, NAME=VALUE each"""


@dataclass(frozen=True)
class List:
    """List estimators, Q-functions and presets."""


Command = (
    Annotated[Study, tyro.conf.subcommand("study")]
    | Annotated[rl.Train, tyro.conf.subcommand("train")]
    | Annotated[rl.Eval, tyro.conf.subcommand("eval")]
    | Annotated[rl.Play, tyro.conf.subcommand("play")]
    | Annotated[rl.Record, tyro.conf.subcommand("record")]
    | Annotated[rl.Plot, tyro.conf.subcommand("plot")]
    | Annotated[rl.Export, tyro.conf.subcommand("export")]
    | Annotated[Diagnose, tyro.conf.subcommand("diagnose")]
    | Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    | Annotated[List, tyro.conf.subcommand("list")]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status. Expected failures are one sentence."""
    for stream in (sys.stdout, sys.stderr):  # what an encoding lacks is replaced
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments in (["--version"], ["-V"]):
        print(f"steinflow {__version__}")
        return 0
    from steinflow.io.files import StudyError, damage_told
    from steinflow.rl.checkpoint import RunError

    command: Any = None
    try:
        with damage_told():
            require_positional_first(arguments, KINDS)
            command = with_expanded_paths(parsed(arguments or ["--help"]))
            command = with_expanded_paths(with_defaults(command, arguments))
            return COMMANDS[type(command)](command)
    except BrokenPipeError:  # what reads our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, StudyError, RunError) as error:
        print(f"steinflow: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in EXTRAS:
            raise
        remedy = f"pip install 'steinflow[{EXTRAS[str(error.name).split('.')[0]]}]'"
        print(f"steinflow: {error.name} is not installed. Run: {remedy}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = "What was finished is kept; the same command goes on."
        own = {
            rl.Train: "What was finished is kept; the same command with --resume goes on.",
            Diagnose: "A diagnosis is written at its end: nothing was kept.",
        }
        print(f"\nsteinflow: stopped. {own.get(type(command), kept)}", file=sys.stderr)
        return 130


EXTRAS = {
    "gymnasium": "rl",
    "mujoco": "rl",
    "imageio_ffmpeg": "rl",
    "minari": "rl",
    "h5py": "rl",
    "shimmy": "dmc",
    "ray": "ray",
}


def parsed(arguments: Sequence[str], default: Any = None) -> Any:
    """The command of a line, over other defaults if they are given."""
    kind: Any = Command if default is None else type(default)
    given = {} if default is None else {"default": default}
    own = arguments if default is None else arguments[1:]
    name = "steinflow" if default is None else f"steinflow {arguments[0]}"
    return tyro.cli(kind, args=own, prog=name, config=(tyro.conf.AvoidSubcommands,), **given)


def with_defaults(command: Any, arguments: Sequence[str]) -> Any:
    """The flags over the options of --config, over those of a training's --preset."""
    if not isinstance(command, Study | rl.Train):
        return command
    options = {} if command.config is None else options_of(type(command), command.config)
    if isinstance(command, rl.Train):
        said = {word.partition("=")[0] for word in arguments}
        name = command.preset if "--preset" in said else options.get("preset", "")
        options = rl.options_of_preset(name) | options
        if command.offline_steps or options.get("offline_steps"):
            options = {"steps": 0} | options  # none in the environment, if nobody asks for them
    base = object.__new__(type(command))  # not checked: flags may mend what does not go together
    for field in fields(command):
        object.__setattr__(base, field.name, options.get(field.name, field.default))
    return parsed(arguments, base)


def study(command: Study) -> int:
    """Run a study with figures and report."""
    import time

    from steinflow.executors.base import Options
    from steinflow.executors.campaign import Engine
    from steinflow.executors.shards import shard_of
    from steinflow.study.pages import is_for_paper
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
    here = not command.executor and shard == (0, 1)
    try:
        found = run_study(config, out, command.quiet, shell(config), None if here else engine)
    except UnfinishedError as unfinished:
        print(unfinished)
        return 0
    page = write(found, out, shell(config), paper)
    for claim in found.claims:
        print(f"{claim['verdict']:>11}  {claim['claim']}")
    print(f"{found.rows.height:,} rows in {time.monotonic() - clock:.0f} s. Open {page}")
    return 0


def leaderboard(config: StudyConfig, out: Path, engine: "Engine", quiet: bool, paper: bool) -> int:
    """Run the leaderboard with figures and report."""
    from steinflow.study.leaderboard.grid import board_of
    from steinflow.study.leaderboard.report import write
    from steinflow.study.leaderboard.run import run
    from steinflow.study.leaderboard.times import measured_times
    from steinflow.study.leaderboard.versions import ROWS, code_version, identity

    board = board_of(config)
    found = run(board, out, quiet, engine)
    times = measured_times(board, out, identity(board, code_version(ROWS)))
    page = write(found, times, out, shell(config), paper)
    print(f"{found.rows.height:,} rows. Open {page}")
    return 0


def prior(config: StudyConfig, out: Path, engine: "Engine", quiet: bool, paper: bool) -> int:
    """Run the study of a prior with figures and report."""
    from steinflow.study.prior.lines import judge
    from steinflow.study.prior.report import write
    from steinflow.study.prior.run import grid_of, run

    grid = grid_of(config)
    rows = run(grid, out, quiet, engine)
    found = judge(rows)
    page = write(grid, rows, found, out, shell(config), paper)
    for claim in found["claims"]:
        print(f"{claim['verdict']:>11}  {claim['claim']}")
    print(f"{rows.height:,} rows. Open {page}")
    return 0


def training(config: StudyConfig, out: Path, engine: "Engine", quiet: bool, paper: bool) -> int:
    """Train small policies with figures and report."""
    from steinflow.study.training.lines import compare
    from steinflow.study.training.report import write
    from steinflow.study.training.run import plan_of, run

    found = run(plan_of(config), out, quiet, engine)
    page = write(found, out, shell(config), paper)
    flow = [line for line in compare(found.rows) if line["policy"] == "flow"]
    least = sum(line["least"] for line in flow)
    print(f"auto ends least, or within its interval of the least, on {least} of {len(flow)}")
    print(f"{found.rows.height:,} rows. Open {page}")
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


STUDY = "steinflow study --preset quick"


def doctor(command: Doctor) -> int:
    """Print the findings; 1 if something essential is missing."""
    from steinflow.doctor import examine

    if command.env:
        from steinflow.rl.doctor import examine_environment

        findings = examine_environment(command.env, values_of(command.env_kwargs))
    else:
        findings = examine()
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        mark = "ok     " if not finding.remedy else "FAILED " if finding.essential else "-      "
        print(f"{mark} {finding.what:{width}} {finding.found}")
        if finding.remedy:
            print(f"{'':16}{finding.remedy}")
    bad = any(finding.remedy and finding.essential for finding in findings)
    given = f" --env-kwargs {shlex.join(command.env_kwargs)}" if command.env_kwargs else ""
    after = f"steinflow train {command.env}{given}" if command.env else STUDY
    print("Mend what FAILED first." if bad else f"Next: {after}")
    return int(bad)


def listing(_: List) -> int:
    """Print what can be chosen by name."""
    from steinflow.methods import ESTIMATORS
    from steinflow.rl.presets import PRESETS as AGENTS
    from steinflow.study.conditions import FAMILIES, PRESETS

    print("estimators   " + ", ".join(ESTIMATORS))
    print("Q-functions  " + ", ".join(FAMILIES))
    print("presets      " + ", ".join([*PRESETS, *BIG]))
    print("agents       " + ", ".join(AGENTS) + " (steinflow train --preset)")
    print("Next: steinflow study --help")
    return 0


KINDS = {
    "train": rl.Train, "eval": rl.Eval, "play": rl.Play, "record": rl.Record,
    "plot": rl.Plot, "export": rl.Export, "diagnose": Diagnose, "sweep": Sweep, "doctor": Doctor,
}  # commands with words that have no option before them # fmt: skip
COMMANDS: dict[type, Callable[[Any], int]] = {
    Study: study,
    rl.Train: rl.train,
    rl.Eval: rl.evaluate,
    rl.Play: rl.play,
    rl.Record: rl.record,
    rl.Plot: rl.plot,
    rl.Export: rl.export,
    Diagnose: diagnose,
    Sweep: sweep,
    Doctor: doctor,
    List: listing,
}
