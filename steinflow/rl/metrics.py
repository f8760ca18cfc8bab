"""metrics.jsonl: one JSON object a line; trackers that pass the same records on."""

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from steinflow.checks import lookup
from steinflow.io.files import write_atomically
from steinflow.io.texts import parse_json

Record = dict[str, Any]
Tracker = Callable[[Record], None]
Starter = Callable[[Path, Mapping[str, Any]], Tracker]


class Metrics:
    """Appends records to a file, and passes them to trackers and callbacks."""

    def __init__(self, path: Path, listeners: list[Tracker]) -> None:
        self.path, self.listeners = path, listeners

    def say(self, records: list[Record]) -> None:
        """Append; a number that is not finite becomes null."""
        if not records:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(finite(record)) + "\n" for record in records)
        for record in records:
            for listener in self.listeners:
                listener(record)

    def forget_after(self, step: int) -> None:
        """Keep what was said up to a step: a resumed run says the rest again."""
        kept = [record for record in read(self.path) if record["step"] <= step]
        text = "".join(json.dumps(record) + "\n" for record in kept)
        write_atomically(self.path, lambda file: file.write(text.encode()))


def finite(record: Mapping[str, Any]) -> Record:
    """JSON has no NaN."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in record.items()
    }


def read(path: Path) -> list[Record]:
    """All whole records; a line that is cut or damaged is left out."""
    found = []
    for line in path.read_text("utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            record = parse_json(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            found.append(record)
    return found


def scalars(record: Record) -> dict[str, float]:
    """The numbers of a record under names that carry its seed."""
    return {
        f"seed-{record['seed']}/{name}": value
        for name, value in record.items()
        if name not in ("seed", "step") and isinstance(value, int | float)
    }


def tensorboard(library: Any, folder: Path, config: Mapping[str, Any]) -> Tracker:
    """Event files for TensorBoard, in the run's folder."""
    writer = library.SummaryWriter(str(folder / "tb"))

    def say(record: Record) -> None:
        for name, value in scalars(record).items():
            writer.add_scalar(name, value, record["step"])

    return say


def hosted(library: Any, folder: Path, config: Mapping[str, Any]) -> Tracker:
    """Weights & Biases, or trackio, which has the same interface."""
    library.init(project="steinflow", name=folder.name, config=dict(config))
    return lambda record: library.log({"step": record["step"], **scalars(record)})


TRACKERS = {
    "tensorboard": (tensorboard, "tensorboardX", "pip install 'steinflow[rl]'"),
    "wandb": (hosted, "wandb", "pip install wandb"),
    "trackio": (hosted, "trackio", "pip install trackio"),
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
