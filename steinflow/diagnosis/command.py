"""`steinflow diagnose RUN`: the critic of a training run, at states of its replay."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro


@dataclass(frozen=True)
class Diagnose:
    """Say which estimator a trained critic needs, with how many draws, and what they are worth."""

    run: tyro.conf.Positional[Path]
    """folder of a run, or of a single seed (RUN/seed-0)"""
    which: str = "last"
    """checkpoint: best or last"""
    states: int = 16
    """states of the replay to look at, at least 8"""
    trials: int = 16
    """repetitions of every estimate"""
    seed: int = 0
    """seed of all random numbers"""
    apply: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """write what is recommended as recommended.toml, which `train --config` takes"""
    out: Path | None = None
    """folder of the report (RUN/diagnosis)"""
    style: str = "screen"
    """screen, or paper: figures also as PDF, the table also as CSV and LaTeX"""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """no progress"""


def diagnose(command: Diagnose) -> int:
    """Diagnose, and print the answer."""
    import shlex

    from steinflow.diagnosis.report import write
    from steinflow.diagnosis.runs import diagnose_run
    from steinflow.report.pages import is_for_paper
    from steinflow.rl.run import load

    paper, run = is_for_paper(command.style), load(command.run)
    diagnosis = diagnose_run(
        run, command.which, command.states, command.trials, command.seed, command.quiet
    )
    out = command.out or run.path / "diagnosis"
    words = [f"--{k.replace('_', '-')}" for k in ("apply", "quiet") if getattr(command, k)]
    for name in ("which", "states", "trials", "seed", "out", "style"):
        if getattr(command, name) != getattr(Diagnose(command.run), name):
            words += [f"--{name}", str(getattr(command, name))]
    shell = shlex.join(["steinflow", "diagnose", str(command.run), *words])
    name = f"{run.env or 'a run'}, seed {run.seeds[0]}, {command.which} checkpoint"
    page = write(diagnosis, out, name, shell, paper)
    print("\n".join(diagnosis.recommendation.sentences))
    if command.apply:
        path = shlex.quote(str(applied(run, diagnosis, out)))
        print(f"Train with it: steinflow train {run.env or 'ENV'} --config {path}")
    print(f"Open {page}")
    return 0


def applied(run: Any, diagnosis: Any, out: Path) -> Path:
    """The run's options with what is recommended, as a file that `train --config` takes."""
    from steinflow.io.files import explained, write_atomically
    from steinflow.rl.files import toml_of

    best = diagnosis.recommendation.best
    config = run.config
    if diagnosis.recommendation.verdict == "change":
        config = replace(config, estimator=best.estimator, num_draws=best.num_draws)
    options = asdict(config)  # all of them, so that no preset comes between
    options["out"] = f"{run.path}-recommended"
    if run.env_kwargs:
        options["env_kwargs"] = [f"{k}={json.dumps(v)}" for k, v in run.env_kwargs.items()]
    text = "# written by steinflow diagnose --apply\n" + toml_of(options)
    path = out / "recommended.toml"
    with explained(out):
        write_atomically(path, lambda file: file.write(text.encode()))
    return path
