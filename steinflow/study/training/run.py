"""Preset `training`: every density by every method, at equal cost of estimation."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from steinflow.checks import lookup, require_at_least
from steinflow.executors import campaign
from steinflow.executors.base import Versioned
from steinflow.io.files import packed, unpacked
from steinflow.schedules import AbstractSchedule, LinearFlow, VariancePreserving
from steinflow.study.conditions import StudyConfig
from steinflow.study.leaderboard.versions import code_version
from steinflow.study.training.densities import DENSITIES
from steinflow.study.training.learn import LEVELS, STATES, How, learn_all


class Course(NamedTuple):
    """How targets are made."""

    method: str  # a key of ESTIMATORS
    cost: int  # of a draw, in evaluations of Q
    weighed: bool = False  # by the evidence of their draws; nothing published does that


COURSES = {name: Course(name, cost) for name, cost in
           (("noise", 1), ("gradient", 2), ("blend", 2), ("rfm", 2))}  # fmt: skip
COURSES |= {"noise-weighed": Course("noise", 1, True), "auto": Course("auto", 2, True)}
BUDGET = 8  # evaluations of Q a particle and level; a gradient counts as one more
POLICIES: dict[str, AbstractSchedule] = {"flow": LinearFlow(), "diffusion": VariancePreserving()}
CODE = ("*.py", "estimators/*.py", "proposals/*.py", "targets/*.py", "study/training/*.py",
        "rl/actor.py", "rl/networks.py", "rl/sampling.py")  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What is trained, and how long."""

    densities: tuple[str, ...] = tuple(DENSITIES)
    seeds: int = 3
    """of flow policies; diffusion policies have one"""
    samples: int = 2048
    checkpoints: int = 30
    every: int = 100
    """steps between checkpoints"""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.densities:
            lookup("density", name, dict.fromkeys(DENSITIES))
        for name in ("seeds", "samples", "checkpoints", "every"):
            require_at_least(name, getattr(self, name), 2, "See steinflow study --help.")


def plan_of(config: StudyConfig) -> Plan:
    """The plan with the options that were given: families are densities, trials seeds."""
    given = {"densities": config.families, "seeds": config.trials, "samples": config.query_points}
    return Plan(**{k: v for k, v in given.items() if v is not None}, seed=config.seed)  # type: ignore[arg-type]


class Cell(NamedTuple):
    """One compiled training, of all its seeds."""

    density: str
    method: str
    policy: str

    @property
    def name(self) -> str:
        """A file name."""
        return f"{self.density}-{self.method}-{self.policy}"


class Trained(NamedTuple):
    """A finished preset: a row a checkpoint (docs/columns.md), and samples of the first seed."""

    rows: pl.DataFrame
    samples: dict[Cell, np.ndarray]  # [n, 2]; method "exact" too


def cells(plan: Plan) -> Iterator[Cell]:
    """Flow policies first."""
    for policy in POLICIES:
        for density in plan.densities:
            for method in COURSES:
                yield Cell(density, method, policy)


def compute(plan: Plan, cell: Cell) -> dict[str, np.ndarray]:
    """Train all seeds of a cell."""
    target = DENSITIES[cell.density]()
    seeds = plan.seeds if cell.policy == "flow" else 1
    sample_key, other = jax.random.split(jax.random.key(plan.seed))
    exact = target.sample(sample_key, plan.samples).astype(jnp.float32)
    course = COURSES[cell.method]
    how = How(
        course.method, course.weighed, POLICIES[cell.policy], BUDGET // course.cost,
        plan.checkpoints, plan.every,
    )  # fmt: skip
    result = learn_all(jax.random.split(other, seeds), target, exact, how)
    return {name: np.asarray(array) for name, array in result._asdict().items()} | {
        "exact": np.asarray(exact)
    }


def run(
    plan: Plan,
    out: Path,
    quiet: bool = False,
    engine: campaign.Engine = campaign.HERE,
) -> Trained:
    """Train what is missing.

    Args:
        plan: what to train.
        out: a folder; a rerun goes on from what is finished there.
        quiet: no progress.
        engine: where cells are computed.

    Returns:
        What is finished, the shares of others included.

    Raises:
        StudyError: the folder cannot be written, or a cell failed; what was finished is kept.
    """
    version = hashlib.sha256(f"{plan}{code_version(CODE)}".encode()).hexdigest()[:16]
    todo = [Versioned(cell, version) for cell in cells(plan)]
    outcomes = campaign.study(partial(trained, plan), todo, out, engine, quiet)
    parts = {one.cell: unpacked(content) for one, content in outcomes.items()}
    rows = [row for cell, part in parts.items() for row in rows_of(plan, cell, part)]
    samples = {cell: part["samples"][0] for cell, part in parts.items()}
    samples |= {cell._replace(method="exact"): part["exact"] for cell, part in parts.items()}
    return Trained(pl.DataFrame(rows), samples)


def trained(plan: Plan, one: Versioned[Cell]) -> bytes:
    """What a cell found, as a file."""
    with jax.enable_x64(False):
        return packed(compute(plan, one.cell))


def rows_of(plan: Plan, cell: Cell, part: dict[str, np.ndarray]) -> Iterator[dict[str, object]]:
    """A row a seed and checkpoint."""
    seeds, checkpoints = part["energy"].shape
    for seed in range(seeds):
        for number in range(checkpoints):
            steps = (number + 1) * plan.every
            yield {
                **cell._asdict(), "seed": plan.seed + seed, "steps": steps,
                "evaluations": steps * STATES * LEVELS * BUDGET,
                "sliced_wasserstein": float(part["sliced_wasserstein"][seed, number]),
                "energy": float(part["energy"][seed, number]),
                "squared_mmd": float(part["squared_mmd"][seed, number]),
            }  # fmt: skip
