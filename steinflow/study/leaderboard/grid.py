"""What the leaderboard varies, and how it is cut into units of work."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from steinflow.levels import Level
from steinflow.supports import AbstractSupport, Box, RealSpace

FAMILIES = ("quadratic", "bimodal", "multimodal", "linear", "mixture", "pairs", "coupled")
EASY = ("quadratic", "linear")  # every line is shown again without these
MANY = ("mixture", "pairs", "coupled")  # each state has a Q of its own
LAWS = {"pi": 1.0, "lag": 5.0, "uniform": float("inf")}  # temperature of the law behind x
VALUE, GRADIENT = 1, 2  # what an evaluation of Q costs; a gradient includes its value
COUPLED_TAUS = 0.5  # beyond pairs a coupled network has a reference from here on


@dataclass(frozen=True)
class Board:
    """The grid of the leaderboard; temperatures are in units of the spread of Q."""

    supports: tuple[str, ...] = ("box", "real")
    dims: tuple[int, ...] = (2, 6, 17)
    families: tuple[str, ...] = FAMILIES
    taus: tuple[float, ...] = (0.02, 0.1, 0.5, 2.0)
    laws: tuple[str, ...] = tuple(LAWS)
    budgets: tuple[int, ...] = (16, 64, 256)
    alphas: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    states: int = 16
    trials: int = 64
    seed: int = 0
    log2_reference: int = 21
    """draws behind the truth of coupled networks, as a power of two"""

    @property
    def levels(self) -> Level:
        """The noise levels, on the linear flow."""
        alpha = np.array(self.alphas)
        return Level(alpha, 1.0 - alpha)


class Unit(NamedTuple):
    """A piece of work with one file: a support, a dimension and a law."""

    support: str
    dim: int
    law: str

    @property
    def name(self) -> str:
        """A file name."""
        return f"{self.support}-d{self.dim}-{self.law}"


class Group(NamedTuple):
    """What is computed at once within a unit: a Q and a temperature, at all levels."""

    family: str
    tau: float


def units(board: Board) -> list[Unit]:
    """All units, the longest first."""
    found = [Unit(s, d, law) for s in board.supports for d in board.dims for law in board.laws]
    return sorted(found, key=lambda unit: (-unit.dim, unit.support))


def groups(board: Board, unit: Unit) -> Iterator[Group]:
    """The groups of a unit that have a truth."""
    for family in board.families:
        for tau in board.taus:
            if family != "coupled" or unit.dim == 2 or tau >= COUPLED_TAUS:
                yield Group(family, tau)


def support_of(name: str) -> AbstractSupport:
    """The support by its name."""
    return Box(-1.0, 1.0) if name == "box" else RealSpace()
