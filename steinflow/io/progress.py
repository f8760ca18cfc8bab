"""Progress of long work: a bar with the time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections import deque
from types import TracebackType

from jax import monitoring
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

MARKS = 12  # lines that the speed is taken over: a minute or more, so that compilation is soon out
COMPILED = "/jax/core/compile/backend_compile_duration"


class Compilations:
    """Counts compilations longer than 0.1 s while it is entered."""

    def __init__(self) -> None:
        self.count = 0

    def listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        self.count += event == COMPILED and duration_secs > 0.1

    def __enter__(self) -> "Compilations":
        monitoring.register_event_duration_secs_listener(self.listen)
        return self

    def __exit__(self, *_: object) -> None:
        monitoring.unregister_event_duration_listener(self.listen)


class Progress:
    """Progress over a number of cells, or of another unit; prints to standard error."""

    def __init__(
        self, total: int, done: int, quiet: bool, name: str = "study", unit: str = "cells"
    ) -> None:
        self.total, self.done = total, done
        self.name, self.unit = name, unit
        self.quiet, self.printed_at = quiet, time.monotonic()
        self.marks: deque[tuple[float, int]] = deque(maxlen=MARKS)
        self.bar: RichProgress | None = None

    def __enter__(self) -> "Progress":
        if self.quiet or self.done == self.total:
            return self
        if sys.stderr.isatty():
            self.bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self.bar.start()
            self.task = self.bar.add_task("compiling", total=self.total, completed=self.done)
        else:
            before = f", {self.done:,} finished before" if self.done else ""
            self.line(f"{self.total:,} {self.unit}{before}; compiling first")
        return self

    def advance(self, what: str, count: int = 1, note: str = "") -> None:
        """So many more are done; `note` is printed beside them where there is no bar."""
        self.done += count
        if self.bar is not None:
            self.bar.update(self.task, advance=count, description=what)
            return
        now = time.monotonic()
        if not self.marks:  # compilation is over
            self.marks.append((now, self.done))
        if not self.quiet and (now - self.printed_at > 5 or self.done == self.total):
            since, before = self.marks[0]
            remaining = (now - since) / max(self.done - before, 1) * (self.total - self.done)
            known = self.done > before or self.done == self.total
            time_left = f"about {remaining:.0f} s left" if known else "time left not known yet"
            self.line(f"{self.done:,}/{self.total:,} {self.unit}, {note}{time_left}")
            self.printed_at = now
            self.marks.append((now, self.done))

    def line(self, text: str) -> None:
        """A plain line."""
        print(f"steinflow {self.name}: {text}", file=sys.stderr, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
