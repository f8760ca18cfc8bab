"""What has become of cells, read from their folder; any process may ask."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from steinflow.executors import store
from steinflow.executors.base import C, Named, headline
from steinflow.executors.locks import locked
from steinflow.io.texts import parse_json

SECONDS = struct.Struct("<d")  # what a cell took, before its content


class State(NamedTuple):
    """Cells by name: seconds of those that are done, why others failed, and who runs."""

    done: dict[str, float]
    failed: dict[str, str]
    running: set[str]


def state(out: Path, cells: Sequence[Named]) -> State:
    """The state of these cells. A cell that failed once and is done now is done."""
    names = {cell.name for cell in cells}
    done = {
        name: float(SECONDS.unpack_from(content)[0])
        for name, content in store.read(out / "cells").items()
        if name in names and len(content) >= SECONDS.size
    }
    newest: dict[str, dict[str, Any]] = {}
    for name, content in store.every(out / "failures"):
        record = failure_of(content)
        if record is None or name not in names - set(done):
            continue
        if record["at"] >= newest.get(name, record)["at"]:
            newest[name] = record
    failed = {name: record["why"] for name, record in newest.items()}
    return State(done, failed, {n for n in names - set(done) if is_running(out / "running" / n)})


def contents(out: Path, cells: Sequence[C]) -> dict[C, bytes]:
    """What finished cells gave, in the order of the cells."""
    records = store.read(out / "cells")
    stored = ((cell, records.get(cell.name, b"")) for cell in cells)
    return {cell: record[SECONDS.size :] for cell, record in stored if len(record) >= SECONDS.size}


def failure_of(content: bytes) -> dict[str, Any] | None:
    """A record of a failed cell; None if it is not one of ours."""
    try:
        record = parse_json(content.decode())
    except ValueError:
        return None
    sound = isinstance(record, dict) and isinstance(record.get("why"), str)
    return record if sound and isinstance(record.get("at"), float) else None


def is_running(path: Path) -> bool:
    """Whether a process holds the mark of a cell; a mark that was left behind does not count."""
    if not path.exists():
        return False
    file = locked(path)
    if file is None:
        return True
    file.close()
    return False


def summary(cells: Sequence[Named], now: State) -> str:
    """The state in a few lines, with the first line of why for each cell that failed."""
    failed = [cell for cell in cells if cell.name in now.failed and cell.name not in now.running]
    remaining = len(cells) - len(now.done) - len(now.running) - len(failed)
    lines = [
        f"{len(now.done):,} done, {len(now.running):,} running, {len(failed):,} failed, "
        f"{remaining:,} to do; {time_left(now, remaining)}"
    ]
    lines += [f"failed  {cell.label}: {headline(now.failed[cell.name])}" for cell in failed]
    return "\n".join(lines)


def time_left(now: State, remaining: int) -> str:
    """How long it will be at the rate of the cells that are running now."""
    todo = remaining + len(now.running)
    if not todo:
        return "nothing left"
    if not now.done:
        return "time left is not known yet"
    mean = sum(now.done.values()) / len(now.done)
    seconds = mean * todo / max(1, len(now.running))
    return f"about {seconds:,.0f} s left" + ("" if now.running else " on one core once it runs")
