"""From a TOML file to cells: each is a command with options, named by all it depends on."""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from steinflow.checks import lookup
from steinflow.io.texts import read_toml
from steinflow.io.words import pairs_of

MOST = 100_000  # cells of a file
KEYS = ("command", "fixed", "vary", "seeds")
POSITIONAL = {"study": (), "train": ("env",), "diagnose": ("run",)}  # the commands there are
OURS = (
    "out",
    "config",
    "quiet",
    "resume",
    "seed",
    "executor",
    "workers",
    "shard",
)  # the sweep's own


class Cell(NamedTuple):
    """One call of a command."""

    name: str
    """a hash of everything below and of the code"""
    label: str
    """what is varied, for people"""
    command: str
    options: dict[str, Any]
    seed: int
    threads: int


def read(path: Path, threads: int = 1) -> list[Cell]:
    """The cells of a file, in its order.

    Raises:
        ValueError: it cannot be read, or a key or a value is not known.
    """
    try:
        content = read_toml(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"Could not read {path}: {error}. Give a TOML file.") from error
    for key in content:
        lookup("key of a sweep", key, dict.fromkeys(KEYS))
    if not isinstance(content.get("command"), str):
        raise ValueError(f'{path} names no command. Write command = "train" at its top.')
    return list(cells(content, threads))


def cells(content: dict[str, Any], threads: int) -> Iterator[Cell]:
    """The product of seeds and every table of [vary]; [[vary]] twice is two products."""
    command, seen, every = content["command"], set(), 0
    known = options_of(command)
    fixed = checked("fixed", content.get("fixed", {}), known)
    tables, seeds = content.get("vary", {}), seeds_of(content.get("seeds", 1))
    for table in tables if isinstance(tables, list) else [tables]:
        vary = checked("vary", table, known)
        both = sorted(set(fixed) & set(vary))
        if both:
            raise ValueError(f"{both[0]} is fixed and varied. Leave one out.")
        for name, values in vary.items():
            if not isinstance(values, list) or not values:
                raise ValueError(f"{name} under [vary] must be a list of values, got {values!r}.")
        every += len(seeds) * math.prod(map(len, vary.values()))
        if every > MOST:
            raise ValueError(f"These are over {MOST:,} cells. Make several sweeps of them.")
        for values in product(*vary.values()):
            varied = dict(zip(vary, values, strict=True))
            for seed in seeds:
                cell = made(command, fixed, varied, seed, threads)
                if cell.name not in seen:
                    seen.add(cell.name)
                    yield cell


def options_of(command: str) -> dict[str, Any]:
    """Names of the options of a command."""
    from steinflow.diagnosis.command import Diagnose
    from steinflow.rl.commands import Train
    from steinflow.study.command import Study

    lookup("command", command, POSITIONAL)
    record: Any = {"study": Study, "train": Train, "diagnose": Diagnose}[command]
    return {field.name: field.name for field in fields(record) if field.name not in OURS}


def checked(where: str, table: Any, known: dict[str, Any]) -> dict[str, Any]:
    """A table whose keys are options."""
    if not isinstance(table, dict):
        raise ValueError(f"{where} must be a table. Write [{where}] and a line an option.")
    return {lookup("option", key.replace("-", "_"), known): table[key] for key in table}


def seeds_of(given: Any) -> list[int]:
    """A list of seeds, or the first so many."""
    seeds = list(range(min(given, MOST + 1))) if type(given) is int else given
    if not isinstance(seeds, list) or not seeds or any(type(s) is not int or s < 0 for s in seeds):
        raise ValueError(f"seeds must be a count or a list of them, got {given!r}.")
    return seeds


def made(
    command: str, fixed: dict[str, Any], varied: dict[str, Any], seed: int, threads: int
) -> Cell:
    """A cell and its name."""
    from steinflow.study.run import code_version

    options = fixed | varied
    content = {"command": command, "options": options, "seed": seed, "threads": threads}
    try:
        text = json.dumps(content | {"code": code_version()}, sort_keys=True)
    except TypeError as error:
        raise ValueError(f"{error}. Give numbers, words, true, false and lists.") from error
    label = " ".join(f"{k}={shown(v)}" for k, v in {**varied, "seed": seed}.items())
    name = hashlib.sha256(text.encode()).hexdigest()[:20]
    return Cell(name, label, command, options, seed, threads)


def shown(value: Any) -> str:
    """A value on one line."""
    return ",".join(map(shown, value)) if isinstance(value, list) else str(value)


def words(cell: Cell, out: Path) -> list[str]:
    """The command line of a cell."""
    first, flags = [cell.command], []
    for name, value in cell.options.items():
        if name in POSITIONAL[cell.command]:
            first.append(str(value))
        else:
            flags += flag("--" + name.replace("_", "-"), value)
    if cell.command == "train":
        flags.append("--resume")  # a cell that was interrupted goes on
    return [*first, *flags, "--seed", str(cell.seed), "--out", str(out), "--quiet"]


def flag(name: str, value: Any) -> list[str]:
    """An option as words."""
    if isinstance(value, bool):
        return [name if value else name.replace("--", "--no-", 1)]
    if isinstance(value, dict):
        return [name, *pairs_of(value)]
    return [name, *map(str, value)] if isinstance(value, list) else [name, str(value)]
