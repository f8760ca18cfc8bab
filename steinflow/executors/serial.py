"""Cells one after another, in this process."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from steinflow.executors.base import C, Options, Outcome, attempt, is_final, require_no_gpus
from steinflow.executors.cores import on_cores, slots


@dataclass(frozen=True)
class Serial:
    """No process is started: for debugging, and where nothing may be.

    A cell that ends its process ends everything; a rerun goes on from what was kept.
    """

    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        if self.options.time_limit is not None:
            raise ValueError("serial cannot stop a cell at a time limit. Choose process.")
        require_no_gpus(self.options)

    def run(
        self, function: Callable[[C], Any], cells: Sequence[C]
    ) -> Generator[tuple[C, Outcome], None, None]:
        """Every cell with its outcome, in the order given."""
        for cell in cells:
            for tries in count(1):
                with on_cores(slots(1, self.options.threads)[0]):
                    outcome = attempt(function, cell)
                if is_final(outcome, tries, self.options):
                    yield cell, outcome._replace(tries=tries)
                    break
