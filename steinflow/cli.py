"""The command line: one dataclass a command."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any

import tyro

from steinflow.diagnosis.command import Diagnose, diagnose
from steinflow.io.paths import with_expanded_paths
from steinflow.io.words import options_of, require_positional_first, values_of
from steinflow.rl import commands as rl
from steinflow.study.command import BIG, Study, study
from steinflow.sweep.command import Sweep, sweep


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
    | Annotated[rl.TrainLine, tyro.conf.subcommand("train")]
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


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit status. Expected failures are one sentence.

    Raises:
        ModuleNotFoundError: it needs an extra that is not installed.
    """
    for stream in (sys.stdout, sys.stderr):  # what an encoding lacks is replaced
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    from steinflow.io.files import StudyError, damage_reported
    from steinflow.rl.checkpoint import RunError

    command: Any = None
    try:
        with damage_reported():
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
    except KeyboardInterrupt:
        default = "What was finished is kept; the same command goes on."
        sentences = {
            rl.Train: "What was finished is kept; the same command with --resume goes on.",
            Diagnose: "A diagnosis is written at its end: nothing was kept.",
        }
        print(f"\nsteinflow: stopped. {sentences.get(type(command), default)}", file=sys.stderr)
        return 130


def parsed(arguments: Sequence[str], default: Any = None) -> Any:
    """The command of a line, over other defaults if they are given."""
    kind: Any = Command if default is None else type(default)
    given = {} if default is None else {"default": default}
    options = arguments if default is None else arguments[1:]
    name = "steinflow" if default is None else f"steinflow {arguments[0]}"
    return tyro.cli(kind, args=options, prog=name, config=(tyro.conf.AvoidSubcommands,), **given)


def with_defaults(command: Any, arguments: Sequence[str]) -> Any:
    """The flags over the options of --config, over those of a training's --preset, over those of
    the run that is resumed."""
    if isinstance(command, rl.TrainLine):
        options = defaults_of_training(command, arguments)
        line = parsed(arguments, rl.line_of(options))
        if line.run.resume:
            line = parsed(arguments, rl.line_of(rl.options_of_run(line) | options))
        return rl.train_of(line)
    if not isinstance(command, Study) or command.config is None:
        return command
    options = options_of(Study, command.config)
    base = object.__new__(Study)  # not checked: flags may mend what does not go together
    for field in fields(Study):
        object.__setattr__(base, field.name, options.get(field.name, field.default))
    return parsed(arguments, base)


def defaults_of_training(line: rl.TrainLine, arguments: Sequence[str]) -> dict[str, Any]:
    """What --config and --preset say."""
    options = {} if line.run.config is None else options_of(rl.Train, line.run.config)
    flags = {word.partition("=")[0] for word in arguments}
    name = line.run.preset if "--preset" in flags else options.get("preset", "")
    options = rl.options_of_preset(name) | options
    if line.data.offline_steps or options.get("offline_steps"):
        return {"steps": 0} | options  # none in the environment, if nobody asks for them
    return options


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
        print(f"{mark} {finding.what:{width}} {finding.result}")
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
