"""What an executor is: a function over named cells, whose failures are values."""

import math
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from steinflow.checks import require_at_least


@runtime_checkable
class HasName(Protocol):
    """What has a name."""

    @property
    def name(self) -> str:
        """Different for different ones."""
        ...


@runtime_checkable
class Named(HasName, Protocol):
    """A picklable cell: its name is its identity."""

    @property
    def label(self) -> str:
        """The same for people."""
        ...


C = TypeVar("C", bound=Named)

N = TypeVar("N", bound=HasName)


@dataclass(frozen=True)
class Versioned(Generic[N]):
    """A cell whose name alone does not say everything that its content depends on."""

    cell: N
    version: str
    """a hash of the rest"""

    @property
    def label(self) -> str:
        """For people."""
        return self.cell.name

    @property
    def name(self) -> str:
        """Its identity."""
        return f"{self.cell.name}-{self.version}"

    @property
    def compile_group(self) -> Any:
        """Cells that share compilations, if the cell says so."""
        return getattr(self.cell, "compile_group", None)


class Done(NamedTuple):
    """What a cell gave."""

    value: Any
    tries: int
    seconds: float
    """of the try that succeeded"""


class Failed(NamedTuple):
    """Why a cell gave nothing, at its last try."""

    why: str
    """a traceback, or a sentence"""
    kind: str
    """name of the exception"""
    tries: int
    seconds: float


Outcome = Done | Failed


class CellError(Exception):
    """A failure whose text says everything: no traceback is kept."""


@dataclass(frozen=True)
class Options:
    """How cells are computed; no option but `threads` may change what they give."""

    workers: int | None = None
    """cells at once; None is as many as there are cores"""
    threads: int = 1
    """cores a cell: it is pinned to them, since bits differ between one core and two"""
    retries: int = 0
    """further tries of a cell that fails"""
    time_limit: float | None = None
    """seconds a try may take"""
    gpus: float = 0.0
    """GPUs a cell, or a fraction of one (Ray)"""

    def __post_init__(self) -> None:
        if self.workers is not None:
            require_at_least("workers", self.workers, 1, "Leave it out for one a core.")
        require_at_least("threads", self.threads, 1, "It is the number of cores a cell.")
        require_at_least("retries", self.retries, 0, "It is a count.")
        limit = 1.0 if self.time_limit is None else self.time_limit
        if not (math.isfinite(limit) and limit > 0.0):
            raise ValueError(f"time limit must be positive, got {limit}. Leave it out for none.")
        if not (math.isfinite(self.gpus) and self.gpus >= 0.0):
            raise ValueError(f"gpus must not be negative, got {self.gpus}.")


@runtime_checkable
class Executor(Protocol):
    """Computes cells somewhere."""

    @property
    def options(self) -> Options:
        """How."""
        ...

    def run(
        self, function: Callable[[C], Any], cells: Sequence[C]
    ) -> Generator[tuple[C, Outcome], None, None]:
        """Every cell with its outcome, as they are finished.

        Args:
            function: picklable: of a module, or a partial of one.
            cells: picklable, with different names.
        """
        ...


def attempt(function: Callable[[C], Any], cell: C) -> Outcome:
    """One try of a cell, here."""
    clock = time.monotonic()
    try:
        return Done(function(cell), 1, time.monotonic() - clock)
    except Exception as error:  # noqa: BLE001 - whatever a cell raises is its outcome
        why = str(error) if isinstance(error, CellError) else traceback.format_exc()
        return Failed(why, type(error).__name__, 1, time.monotonic() - clock)


def is_final(outcome: Outcome, tries: int, options: Options) -> bool:
    """Whether a cell is through after so many tries."""
    return isinstance(outcome, Done) or tries > options.retries


def require_no_gpus(options: Options) -> None:
    """Raise where nobody would share out GPUs."""
    if options.gpus:
        raise ValueError("Only ray shares out GPUs. Choose --executor ray, or leave --gpus out.")


def headline(why: str) -> str:
    """The line that says most: the last of a traceback, else the first."""
    lines = [line.strip() for line in why.splitlines() if line.strip()]
    if not lines:
        return "no reason was given"
    return lines[-1] if any(line.startswith("Traceback") for line in lines) else lines[0]
