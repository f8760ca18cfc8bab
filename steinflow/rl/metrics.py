"""metrics.jsonl: one JSON object a line; trackers that pass the same records on."""

import json
import math
import uuid
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from steinflow.checks import lookup
from steinflow.io.files import UserNotice, tell_damage, write_atomically
from steinflow.io.texts import parse_json, read_text
from steinflow.rl.signals import message_of

Record = dict[str, Any]
Tracker = Callable[[Record], None]
Starter = Callable[[Path, Mapping[str, Any], int | None], AbstractContextManager[Tracker]]


class TrackerWarning(UserNotice):
    """A tracker fails; training goes on without it."""


class Host(NamedTuple):
    """A tracker that keeps runs elsewhere."""

    name: str
    failure: Mapping[str, int]  # arguments of `finish` for a run that failed
    has_ids: bool  # whether a run has an id beside its name
    remedy: str  # where it does not start


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
        retained = [record for record in read(self.path) if record["step"] <= step]
        retained = [r for r in retained if not (owed and r["step"] == step and "eval_return" in r)]
        text = "".join(map(line_of, retained))
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
    records = [record for line in lines if (record := record_of(line)) is not None]
    if len(records) < len(lines):
        tell_damage(f"{path}: {len(lines) - len(records)} lines are damaged. They are left out.")
    return records


def record_of(line: str) -> Record | None:
    """What a line says, if that is what was written."""
    try:
        record = parse_json(line)
        given = record.pop("crc")
        intact = line_of(record).endswith(f'"{given}"}}\n') and type(record["step"]) is int
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None
    return record if intact else None


def scalars(record: Record) -> dict[str, float]:
    """The numbers of a record under names that carry its seed."""
    return {
        f"seed-{record['seed']}/{name}": value
        for name, value in record.items()
        if name not in ("seed", "step") and isinstance(value, int | float)
    }


class Reporter:
    """A tracker that may fail: it is left out from then on, and training goes on."""

    def __init__(self, name: str, tracker: Tracker) -> None:
        self.name, self.tracker, self.failed = name, tracker, False

    def __call__(self, record: Record) -> None:
        if self.failed:
            return
        try:
            self.tracker(record)
        except Exception as error:  # noqa: BLE001 - whatever another package raises
            self.failed = True
            tell_failure(self.name, error)


def tell_failure(name: str, error: BaseException) -> None:
    """Warn that a tracker failed."""
    warnings.warn(
        f"{name} failed: {message_of(error)}. Training goes on without it; "
        "metrics.jsonl has everything.",
        TrackerWarning,
        stacklevel=2,
    )


@contextmanager
def tensorboard(
    library: Any, folder: Path, config: Mapping[str, Any], step: int | None = None
) -> Iterator[Tracker]:
    """Event files for TensorBoard, in the run's folder; what a run that goes on from a step says
    again takes the place of what was said after it."""
    purge = {} if step is None else {"purge_step": step + 1}
    writer = library.SummaryWriter(str(folder / "tb"), **purge)

    def say(record: Record) -> None:
        for name, value in scalars(record).items():
            writer.add_scalar(name, value, record["step"])

    try:
        yield say
    finally:
        writer.close()


@contextmanager
def hosted(
    host: Host,
    library: Any,
    folder: Path,
    config: Mapping[str, Any],
    step: int | None = None,
) -> Iterator[Tracker]:
    """Weights & Biases, or trackio, which has nearly the same interface.

    Raises:
        ValueError: it does not start, as without a login.
    """
    about: dict[str, Any] = {"resume": "allow"} if host.has_ids or step is not None else {}
    if host.has_ids:
        about["id"] = identity(folder / f"{host.name}-id")
    try:
        library.init(project="steinflow", name=folder.name, config=dict(config), **about)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"{host.name} does not start: {message_of(error)}. {host.remedy}"
        ) from error
    try:
        yield lambda record: library.log({"step": record["step"], **scalars(record)})
    except BaseException:
        with suppress(Exception):  # what ended the run is what is told
            library.finish(**host.failure)
        raise
    try:
        library.finish()
    except Exception as error:  # noqa: BLE001 - whatever another package raises
        tell_failure(host.name, error)


def identity(path: Path) -> str:
    """The name of a run at its host: made once, and kept in its folder."""
    with suppress(OSError, ValueError):
        if run_id := read_text(path).strip():
            return run_id
    run_id = uuid.uuid4().hex[:12]
    write_atomically(path, lambda file: file.write(run_id.encode()))
    return run_id


WANDB = Host(
    "wandb",
    {"exit_code": 1},
    True,
    "Log in (wandb login), or set WANDB_MODE=offline, or leave out --track wandb.",
)
TRACKIO = Host("trackio", {}, False, "Mend that, or leave out --track trackio.")
TRACKERS = {
    "tensorboard": (tensorboard, "tensorboardX", "pip install '.[rl]'"),
    "wandb": (partial(hosted, WANDB), "wandb", "pip install wandb"),
    "trackio": (partial(hosted, TRACKIO), "trackio", "pip install trackio"),
}


def tracker(name: str) -> Starter:
    """What starts a tracker, given a run's folder, its options, and the step that it goes on from.

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
