"""What the leaderboard varies, and how it is cut into units of work."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from steinflow.checks import lookup, require_at_least
from steinflow.levels import Level
from steinflow.study.conditions import StudyConfig
from steinflow.supports import AbstractSupport, Box, RealSpace

FAMILIES = ("quadratic", "bimodal", "multimodal", "linear", "mixture", "pairs", "coupled")
EASY = ("quadratic", "linear")  # every line is shown again without these
MANY = ("mixture", "pairs", "coupled")  # each state has a Q of its own
DISTRIBUTIONS = {
    "pi": 1.0,
    "lag": 5.0,
    "uniform": float("inf"),
}  # temperature of the distribution behind x
VALUE, GRADIENT = 1, 2  # what an evaluation of Q costs; a gradient includes its value
COUPLED_TAUS = 0.5  # beyond pairs a coupled network has a reference from here on


@dataclass(frozen=True)
class Board:
    """The grid of the leaderboard; temperatures are in units of the spread of Q."""

    supports: tuple[str, ...] = ("box", "real")
    dims: tuple[int, ...] = (2, 6, 17)
    families: tuple[str, ...] = FAMILIES
    taus: tuple[float, ...] = (0.02, 0.1, 0.5, 2.0)
    distributions: tuple[str, ...] = ("pi", "lag")
    budgets: tuple[int, ...] = (16, 64, 256)
    alphas: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    states: int = 16
    trials: int = 16
    seed: int = 0
    log2_reference: int = 21
    """draws behind the truth of coupled networks, as a power of two"""

    def __post_init__(self) -> None:
        require_at_least("trials", self.trials, 4, "Half of them choose, half of them judge.")
        require_at_least("query_points", self.states, 1, "They are the states of a problem.")
        for name in ("dims", "families", "taus", "distributions", "budgets", "alphas"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty. Give at least one value.")
        for family in self.families:
            lookup("Q-function", family, dict.fromkeys(FAMILIES))
        for dim in self.dims:
            require_at_least("dims", dim, 2, "Networks take pairs of coordinates.")
        for budget in self.budgets:
            require_at_least("num_draws", budget, 2 * GRADIENT, "A gradient costs two.")
        if any(not 0 < alpha < 1 for alpha in self.alphas):
            raise ValueError(f"alphas must lie in (0, 1), got {self.alphas}.")
        if any(not tau > 0 for tau in self.taus):
            raise ValueError(f"taus must be positive, got {self.taus}.")

    @property
    def levels(self) -> Level:
        """The noise levels, on the linear flow."""
        alpha = np.array(self.alphas)
        return Level(alpha, 1.0 - alpha)


OPTIONS = {"query_points": "states", "num_draws": "budgets"}  # a study's names for the same


def board_of(config: StudyConfig) -> Board:
    """The leaderboard's grid with the options that were given.

    Raises:
        ValueError: an option is out of range.
    """
    given = {f.name: getattr(config, f.name) for f in fields(config) if f.name != "preset"}
    given = {OPTIONS.get(k, k): v for k, v in given.items() if v is not None}
    return Board(**given)


class Unit(NamedTuple):
    """A piece of work with one file: a support, a dimension and a distribution."""

    support: str
    dim: int
    distribution: str

    @property
    def name(self) -> str:
        """A file name."""
        return f"{self.support}-d{self.dim}-{self.distribution}"


class Group(NamedTuple):
    """What is computed at once within a unit: a Q and a temperature, at all levels."""

    family: str
    tau: float


def units(board: Board) -> list[Unit]:
    """All units, the longest first."""
    units = [
        Unit(s, d, distribution)
        for s in board.supports
        for d in board.dims
        for distribution in board.distributions
    ]
    return sorted(units, key=lambda unit: (-unit.dim, unit.support))


def groups(board: Board, unit: Unit) -> Iterator[Group]:
    """The groups of a unit that have a truth."""
    for family in board.families:
        for tau in board.taus:
            if family != "coupled" or unit.dim == 2 or tau >= COUPLED_TAUS:
                yield Group(family, tau)


def support_of(name: str) -> AbstractSupport:
    """The support by its name."""
    return Box(-1.0, 1.0) if name == "box" else RealSpace()
