"""metrics.jsonl: one JSON object a line; trackers that pass the same records on."""

import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from steinflow.checks import lookup
from steinflow.io.files import tell_damage, write_atomically
from steinflow.io.texts import parse_json

Record = dict[str, Any]
Tracker = Callable[[Record], None]
Starter = Callable[[Path, Mapping[str, Any]], AbstractContextManager[Tracker]]


class Metrics:
    """Appends records to a file, and passes them to trackers and callbacks."""

    def __init__(self, path: Path, listeners: list[Tracker]) -> None:
        self.path, self.listeners = path, listeners

    def say(self, records: list[Record]) -> None:
        """Append; a number that is not finite becomes null."""
        if not records:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(line_of(finite(record)) for record in records)
        for record in records:
            for listener in self.listeners:
                listener(record)

    def forget_after(self, step: int, owed: bool = False) -> None:
        """Keep what was said up to a step, without its evaluation if that is owed: a resumed run
        says the rest again."""
        kept = [record for record in read(self.path) if record["step"] <= step]
        kept = [r for r in kept if not (owed and r["step"] == step and "eval_return" in r)]
        text = "".join(map(line_of, kept))
        write_atomically(self.path, lambda file: file.write(text.encode()))


def finite(record: Mapping[str, Any]) -> Record:
    """JSON has no NaN."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in record.items()
    }


def line_of(record: Record) -> str:
    """A record as a line that ends with its own checksum, the CRC-32 of the rest."""
    text = json.dumps(record)
    return f'{text[:-1]}, "crc": "{zlib.crc32(text.encode()):08x}"}}\n'


def read(path: Path) -> list[Record]:
    """All whole records.

    A line that is not what was written is left out, with a warning; the last one without, if it
    was cut when the process ended.
    """
    text = path.read_text("utf-8", errors="replace") if path.exists() else ""
    lines = text.split("\n")[:-1]  # what follows the last break was cut
    found = [record for line in lines if (record := record_of(line)) is not None]
    if len(found) < len(lines):
        tell_damage(f"{path}: {len(lines) - len(found)} lines are damaged. They are left out.")
    return found


def record_of(line: str) -> Record | None:
    """What a line says, if that is what was written."""
    try:
        record = parse_json(line)
        given = record.pop("crc")
        whole = line_of(record).endswith(f'"{given}"}}\n') and type(record["step"]) is int
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None
    return record if whole else None


def scalars(record: Record) -> dict[str, float]:
    """The numbers of a record under names that carry its seed."""
    return {
        f"seed-{record['seed']}/{name}": value
        for name, value in record.items()
        if name not in ("seed", "step") and isinstance(value, int | float)
    }


@contextmanager
def tensorboard(library: Any, folder: Path, config: Mapping[str, Any]) -> Iterator[Tracker]:
    """Event files for TensorBoard, in the run's folder."""
    writer = library.SummaryWriter(str(folder / "tb"))

    def say(record: Record) -> None:
        for name, value in scalars(record).items():
            writer.add_scalar(name, value, record["step"])

    try:
        yield say
    finally:
        writer.close()


@contextmanager
def hosted(
    failure: Mapping[str, int], library: Any, folder: Path, config: Mapping[str, Any]
) -> Iterator[Tracker]:
    """Weights & Biases, or trackio, which has the same interface but for how a run failed."""
    library.init(project="steinflow", name=folder.name, config=dict(config))
    try:
        yield lambda record: library.log({"step": record["step"], **scalars(record)})
    except BaseException:
        with suppress(Exception):  # what ended the run is what is told
            library.finish(**failure)
        raise
    library.finish()


TRACKERS = {
    "tensorboard": (tensorboard, "tensorboardX", "pip install 'steinflow[rl]'"),
    "wandb": (partial(hosted, {"exit_code": 1}), "wandb", "pip install wandb"),
    "trackio": (partial(hosted, {}), "trackio", "pip install trackio"),
}


def tracker(name: str) -> Starter:
    """What starts a tracker, given a run's folder and options.

    Raises:
        ValueError: the name is unknown, or its package is not installed.
    """
    start, module, remedy = lookup("tracker", name, TRACKERS)
    return partial(start, wanted(module, remedy))


def wanted(module: str, remedy: str) -> Any:
    """A module that not every installation has."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(f"{module} is not installed. Run: {remedy}") from error
