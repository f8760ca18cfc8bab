"""What the study varies: the paper's grid, and presets that change some of it."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from steinflow.checks import lookup, require_at_least
from steinflow.levels import Level
from steinflow.methods import ESTIMATORS
from steinflow.supports import AbstractSupport, Box, RealSpace
from steinflow.targets import Bimodal, Linear, Multimodal, Quadratic, Separable

PAPER_TAUS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
PAPER_DRAWS = (8, 16, 32, 64, 128, 256)

FAMILIES: dict[str, Callable[..., Separable]] = {
    "quadratic": Quadratic,
    "bimodal": Bimodal,
    "multimodal": Multimodal,
    "linear": Linear,
    "quadratic-at-bound": partial(Quadratic, center=1.0),
    "quadratic-outside": partial(Quadratic, center=1.5),
}
PAPER_FAMILIES = ("quadratic", "bimodal", "multimodal", "linear")
BLEND_STEPS = 21
ALWAYS = ("noise", "gradient", "blend", "auto")  # names of ESTIMATORS that every study has rows of


@dataclass(frozen=True)
class StudyConfig:
    """What to run. Options left at None are taken from the preset."""

    preset: str = "paper"
    """paper (the paper's grid), quick, levels (noise levels and dimensions), box, leaderboard
    (every published method and auto at equal cost), prior (the data's policy beside Q, and
    without), or training (small policies)"""
    trials: int | None = None
    """Monte Carlo trials a condition (paper: 100, leaderboard and prior: 16)"""
    query_points: int | None = None
    """noisy points x at which conditions are measured (32; prior: 8); leaderboard: states (16)"""
    taus: tuple[float, ...] | None = None
    """temperatures, in units of Q (paper: eight from 0.01 to 10); leaderboard: of Q's spread"""
    num_draws: tuple[int, ...] | None = None
    """sample sizes N, ascending; the smaller are nested in the largest (paper: 8 ... 256);
    leaderboard and prior: budgets, in evaluations of Q"""
    dims: tuple[int, ...] | None = None
    """dimensions d of an action (2)"""
    alphas: tuple[float, ...] | None = None
    """noise levels: alpha, with sigma = sqrt(1 - alpha^2) (0.8, and again 0.6)"""
    families: tuple[str, ...] | None = None
    """Q-functions by name"""
    seed: int = 0
    """seed of all draws; query points are the same for every seed"""
    estimators: tuple[str, ...] | None = None
    """names of more estimators, your own ones too (steinflow list), each a row beside the others on
    the same draws; not for leaderboard, prior and training"""


@dataclass(frozen=True)
class Grid:
    """A configuration with every option settled."""

    preset: str
    trials: int = 100
    query_points: int = 32
    taus: tuple[float, ...] = PAPER_TAUS
    num_draws: tuple[int, ...] = PAPER_DRAWS
    dims: tuple[int, ...] = (2,)
    alphas: tuple[float, ...] = (0.8, 0.6)
    families: tuple[str, ...] = PAPER_FAMILIES
    seed: int = 0
    box: bool = False
    """actions in [-1, 1]^d instead of R^d"""
    estimators: tuple[str, ...] = ()
    """keys of ESTIMATORS, measured besides those of every study"""


NOISE_LEVELS = tuple(
    float(np.sqrt(square)) for square in (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.99)
)
PRESETS: dict[str, Grid] = {
    "paper": Grid("paper"),
    "quick": Grid("quick", trials=24, query_points=16, num_draws=(8, 64)),
    "levels": Grid(
        "levels",
        trials=25,
        taus=(0.01, 0.1, 1.0, 10.0),
        num_draws=(16, 64, 256),
        dims=(1, 2, 6, 17),
        alphas=NOISE_LEVELS,
    ),
    "box": Grid(
        "box",
        box=True,
        alphas=(0.8, 0.6, 0.95),
        families=(*PAPER_FAMILIES, "quadratic-at-bound", "quadratic-outside"),
    ),
}


class Cell(NamedTuple):
    """One unit of work: a Q, a temperature, a level and a dimension, at every N."""

    family: str
    tau: float
    alpha: float
    dim: int
    box: bool

    @property
    def name(self) -> str:
        """A file name, unique in a study."""
        where = "box" if self.box else "real"
        return f"{self.family}-{where}{self.dim}-tau{self.tau:g}-alpha{self.alpha:.6g}"

    @property
    def compile_group(self) -> str:
        """Cells that share compilations."""
        return f"{self.box} {self.dim}"

    @property
    def level(self) -> Level:
        """The noise level, variance preserving."""
        return Level(self.alpha, float(np.sqrt(1.0 - self.alpha**2)))

    @property
    def support(self) -> AbstractSupport:
        """R^d or [-1, 1]^d."""
        return Box(-1.0, 1.0) if self.box else RealSpace()

    @property
    def target(self) -> Separable:
        """The exact target."""
        return FAMILIES[self.family](self.tau, self.dim, self.support)


def settle(
    config: StudyConfig,
    presets: dict[str, Grid] = PRESETS,
    known: Collection[str] = FAMILIES,
) -> Grid:
    """The preset's grid with the options that were given.

    Args:
        config: the options.
        presets: grids by the name of their preset.
        known: names of Q-functions that the preset takes.

    Raises:
        ValueError: an unknown preset or family, or an option out of range.
    """
    grid: Grid = lookup("preset", config.preset, presets)
    given = {f.name: getattr(config, f.name) for f in fields(config) if f.name != "preset"}
    grid = replace(grid, **{name: value for name, value in given.items() if value is not None})
    require_at_least("trials", grid.trials, 2, "A variance takes at least two.")
    require_at_least("query_points", grid.query_points, 1, "Errors are measured at points.")
    for name in ("taus", "num_draws", "dims", "alphas", "families"):
        if not getattr(grid, name):
            raise ValueError(f"{name} is empty. Give at least one value.")
    if any(not 0 < alpha < 1 for alpha in grid.alphas):
        raise ValueError(f"alphas must lie in (0, 1), got {grid.alphas}.")
    if any(not tau > 0 for tau in grid.taus):
        raise ValueError(f"taus must be positive, got {grid.taus}.")
    if list(grid.num_draws) != sorted(set(grid.num_draws)) or grid.num_draws[0] < 2:
        raise ValueError(f"num_draws must ascend from at least 2, got {grid.num_draws}.")
    for family in grid.families:
        lookup(f"Q-function of preset {grid.preset}", family, dict.fromkeys(known))
    for dim in grid.dims:
        require_at_least("dims", dim, 1, "It is the number of action dimensions.")
        check_estimators(grid, dim)
    return grid


def check_estimators(grid: Grid, dim: int) -> None:
    """Raise unless every estimator that is added is known, new, and applies."""
    support = Box(-1.0, 1.0) if grid.box else RealSpace()
    for place, name in enumerate(grid.estimators):
        method = lookup("estimator", name, ESTIMATORS)
        if name in ALWAYS or name in grid.estimators[:place]:
            raise ValueError(f"{name} has a row already. Leave it out of estimators.")
        method.estimator.check(support, dim, grid.num_draws[-1])


def cells(grid: Grid) -> Iterator[Cell]:
    """All cells of a grid, those that share a compilation next to each other."""
    for dim in grid.dims:
        for alpha in grid.alphas:
            for family in grid.families:
                for tau in grid.taus:
                    yield Cell(family, tau, alpha, dim, grid.box)
