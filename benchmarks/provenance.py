"""Which code each published result rests on, and which results are stale.

    python benchmarks/provenance.py            # what is stale, and the command that makes it again
    python benchmarks/provenance.py FILE...    # these were made just now, by a command of steinflow

A benchmark calls `stamp` once it has written a result. versions.json then has, for each result,
the commits that it was made by, with a hash of each part of the code that its numbers rest on. The
site says below a table or a figure which part has changed since.
"""

import ast
import csv
import hashlib
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from steinflow.io.files import write_json
from steinflow.study.leaderboard.versions import dumped, is_text

ROOT = Path(__file__).parent.parent
RESULTS, DOCS = ROOT / "benchmarks" / "results", ROOT / "docs"
VERSIONS = RESULTS / "versions.json"
FOLDERS = ("steinflow", "benchmarks")  # of the code that results rest on

Texts = dict[str, str]  # path -> contents
Version = dict[str, str]  # part -> hash


class Result(NamedTuple):
    """How a result is made, and what its numbers rest on: parts, or files."""

    command: str
    rests_on: tuple[str, ...]
    keeps: bool = False  # a rerun leaves in it what earlier code has made


def but(folder: str, *names: str) -> str:
    """The files of a folder but these, which change no number of its results."""
    return rf"steinflow/{folder}(?!(?:{'|'.join((*names, '__init__'))})\.py)\w+\.py"


SAMPLERS = ("samplers", "sampling", "schedules")
PARTS = {  # names within a sentence, and the paths of their files
    "estimators": "|".join((
        but("", "checks", "cli", "doctor", "losses", *SAMPLERS, "__main__"),
        *(but(f"{folder}/") for folder in ("draws", "estimators", "proposals")),
    )),
    "targets": but("targets/"),
    "samplers": rf"steinflow/({'|'.join(SAMPLERS)})\.py",
    "study": but(
        "study/", "command", "extras", "figures", "more_figures", "pages", "report", "style",
    ),
    "leaderboard": but("study/leaderboard/", "figures", "report", "tables", "versions"),
    "prior preset": but("study/prior/", "figures", "report"),
    "training preset": but("study/training/", "report"),
    "agent": but(
        "rl/", "run_lock", "checkpoint", "commands", "curves", "datasets", "doctor",
        "environment_state", "export", "factories", "files", "frames", "memory", "metrics",
        "multigoal", "play", "record", "run", "signals", "workers",
    ),
    "offline data": r"steinflow/rl/(datasets|record)\.py",
    "MultiGoal": r"steinflow/rl/multigoal\.py",
    "environments": r"steinflow/rl/(adapter|environments|workers)\.py",
    "executors": but("executors/"),
    "package": r"steinflow/.*\.py",
}  # fmt: skip
AGENT = ("agent", "estimators", "samplers")
STUDY = ("study", "estimators", "targets")
TABLE = {  # paths below benchmarks/results or docs
    "ablation.csv": Result("copied from a commit whose script is gone", AGENT),
    "bench-study.json": Result("make bench-study", (*STUDY, "benchmarks/plain_numpy.py")),
    "box-bias.json": Result(
        "make bench-box", ("estimators", "targets", "benchmarks/box_bias.py")
    ),
    "calibration.json": Result("make calibration", (*STUDY, "benchmarks/calibration.py")),
    "claim-seeds.json": Result("make seeds", STUDY, keeps=True),
    "critic_accuracy.csv": Result(
        "python benchmarks/critic_accuracy.py", (*AGENT, "benchmarks/critic_accuracy.py")
    ),
    "env_workers.json": Result(
        "python benchmarks/env_workers.py", ("environments", "benchmarks/env_workers.py")
    ),
    "estimators.json": Result(
        "make bench-estimators", ("estimators", "leaderboard", "benchmarks/estimators.py")
    ),
    "evidence.csv": Result(
        "python benchmarks/evidence.py", ("estimators", "benchmarks/evidence.py")
    ),
    "executors-board.json": Result(
        "python benchmarks/executors_board.py", ("executors", "leaderboard", "estimators")
    ),
    "faults.json": Result("make faults", ("package",), keeps=True),
    "leaderboard.json": Result("make leaderboard", ("leaderboard", "estimators", "targets")),
    "long-run.json": Result(
        "python benchmarks/long_run.py", (*AGENT, "benchmarks/long_run.py")
    ),
    "multigoal.json": Result(
        "python benchmarks/multigoal.py", (*AGENT, "MultiGoal", "benchmarks/multigoal.py")
    ),
    "mutants.json": Result("make mutants-all", ("estimators", "agent"), keeps=True),
    "offline.csv": Result("make bench-offline", (*AGENT, "offline data")),
    "prior.json": Result("steinflow study --preset prior", (*STUDY, "prior preset")),
    "published.csv": Result("copied from the projects that it names", ()),
    "ranges.json": Result("make ranges", ("package",), keeps=True),
    "returns.csv": Result("make bench-returns", AGENT),
    "samplers.csv": Result("make bench-samplers", ("samplers", "benchmarks/samplers.py")),
    "scaling.json": Result(
        "python benchmarks/scaling.py", ("executors", "benchmarks/scaling.py")
    ),
    "seeds_speed.json": Result(
        "python benchmarks/seeds_speed.py", (*AGENT, "benchmarks/seeds_speed.py")
    ),
    "soak.json": Result("make soak", ("estimators", "targets", "samplers")),
    "training.json": Result(
        "steinflow study --preset training", ("training preset", "estimators", "targets")
    ),
    "figures/ablation.svg": Result("copied from a commit whose script is gone", AGENT),
    "figures/leaderboard.svg": Result(
        "make leaderboard", ("leaderboard", "estimators", "targets")
    ),
    "figures/multigoal.svg": Result(
        "python benchmarks/multigoal.py", (*AGENT, "MultiGoal", "benchmarks/multigoal.py")
    ),
    "figures/offline.svg": Result("make bench-offline", (*AGENT, "offline data")),
    "figures/prior.svg": Result("steinflow study --preset prior", (*STUDY, "prior preset")),
    "figures/returns.svg": Result("make bench-returns", AGENT),
    "figures/samplers.svg": Result("make bench-samplers", ("samplers", "benchmarks/samplers.py")),
    "figures/temperature.svg": Result("make study", STUDY),
}  # fmt: skip


def texts_now() -> Texts:
    """The code as it is on the disk."""
    paths = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}


def texts_of(commit: str) -> Texts:
    """The code of a commit; nothing where it is not there."""
    words = ["git", "archive", commit, *FOLDERS]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        return {}
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        files = [each for each in archive if each.isfile() and each.name.endswith(".py")]
        read = [(each.name, archive.extractfile(each)) for each in files]
        return {name: file.read().decode() for name, file in read if file}


def commit_now() -> str:
    """The short name of the commit that is checked out."""
    words = ["git", "rev-parse", "--short=7", "HEAD"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


TEXTS, COMMIT = texts_now(), commit_now()  # when a benchmark starts, not when it ends


@cache
def digest(text: str) -> str:
    """A hash of what code computes: comments, docstrings, imports and errors do not count."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not is_silent(line)]  # type: ignore[attr-defined]
    return hashlib.sha256(dumped(tree).encode()).hexdigest()


def is_silent(line: ast.AST) -> bool:
    """Whether a statement computes nothing."""
    call = getattr(line, "value", None)
    records = isinstance(call, ast.Call) and getattr(call.func, "id", "") == "stamp"
    nothing = isinstance(line, ast.Import | ast.ImportFrom | ast.Raise)
    return nothing or records or is_text(line)


def version(rests_on: Iterable[str], texts: Texts) -> Version:
    """A hash of each part. Files count by what is in them: one that is moved changes nothing."""
    hashes = {}
    for part in rests_on:
        pattern = PARTS.get(part, re.escape(part))
        each = sorted(digest(text) for path, text in texts.items() if re.fullmatch(pattern, path))
        hashes[part] = hashlib.sha256("".join(each).encode()).hexdigest()[:12]
    return hashes


def name_of(path: Path) -> str:
    """What a file is called in the table; empty where it is none of the published results."""
    for folder in (RESULTS, DOCS):
        if path.resolve().is_relative_to(folder.resolve()):
            return path.resolve().relative_to(folder.resolve()).as_posix()
    return ""


def row(name: str) -> Result:
    """The row of a result.

    Raises:
        ValueError: there is none.
    """
    entry = TABLE.get(name)
    if entry is None:
        raise ValueError(f"{name} is not in the table of benchmarks/provenance.py. Add it there.")
    return entry


def recorded() -> dict[str, dict[str, Version]]:
    """The versions of every result, by commit."""
    versions: dict[str, dict[str, Version]] = json.loads(VERSIONS.read_text("utf-8"))
    return versions


def stamp(path: Path, *drawn_from: Path) -> None:
    """Say in versions.json that a result was made by the code that this process has started with.

    Args:
        path: the result, written already. Nothing happens where it is none of the published ones.
        drawn_from: of a figure, the results that it shows; it is as old as these.
    """
    name = name_of(path)
    if not name:
        return
    known = recorded()
    if drawn_from:
        known[name] = {k: v for each in drawn_from for k, v in known[name_of(each)].items()}
    else:
        known[name] = made(path, row(name), known.get(name, {}))
    write_json(VERSIONS, dict(sorted(known.items())))


def made(path: Path, result: Result, known: dict[str, Version]) -> dict[str, Version]:
    """The versions of a result that has just been written. Rows may name their own commits."""
    now = version(result.rests_on, TEXTS)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file)) if path.suffix == ".csv" else []
    if rows and "commit" in rows[0]:
        return {
            commit: known.get(commit)
            or (now if commit == COMMIT else version(result.rests_on, texts_of(commit)))
            for commit in sorted({each["commit"] for each in rows})
        }
    if result.keeps and now in known.values():
        return known
    return (known if result.keeps else {}) | {COMMIT: now}


def changed(name: str, known: dict[str, dict[str, Version]], texts: Texts) -> dict[str, list[str]]:
    """The parts of a result's code that are not what they were, by the commit that made it."""
    now = version(row(name).rests_on, texts)
    parts_by_commit = {
        commit: [part for part in now if then.get(part) != now[part]]
        for commit, then in known[name].items()
    }
    return {commit: parts for commit, parts in parts_by_commit.items() if parts}


def published() -> list[str]:
    """The names of all results that are there."""
    files = [*RESULTS.rglob("*.json"), *RESULTS.rglob("*.csv"), *(DOCS / "figures").glob("*.svg")]
    return sorted(name_of(path) for path in files if path != VERSIONS)


def problems(known: dict[str, Any], texts: Texts) -> list[str]:
    """Results of which nothing is known, and rows of the table that name no code."""
    sentences = []
    for name in published():
        if name not in TABLE:
            sentences.append(
                f"{name} is not in the table of benchmarks/provenance.py. Add it there."
            )
        elif name not in known:
            sentences.append(f"versions.json has no {name}. Call stamp where it is written.")
    sentences += [
        f"versions.json has {name}, which is gone." for name in set(known) - set(published())
    ]
    for part in {part for result in TABLE.values() for part in result.rests_on}:
        if not any(re.fullmatch(PARTS.get(part, re.escape(part)), path) for path in texts):
            sentences.append(
                f"No file is {part} of the table of benchmarks/provenance.py. Mend it."
            )
    return sorted(sentences)


def main() -> int:
    """Record what is named, or list what is stale."""
    for name in sys.argv[1:]:
        stamp(Path(name))
    known = recorded()
    stale = {name: older for name in sorted(known) if (older := changed(name, known, TEXTS))}
    for name, commits in {} if sys.argv[1:] else stale.items():
        for commit, parts in commits.items():
            print(f"{name} ({commit}) is older than {', '.join(parts)}: {row(name).command}")
    sentences = problems(known, TEXTS)
    print("\n".join(sentences) or f"{len(stale)} of {len(known)} results are of earlier code.")
    return int(bool(sentences))


if __name__ == "__main__":
    raise SystemExit(main())
