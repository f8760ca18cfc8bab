"""Every estimator at every noise level and temperature on a given critic, against a reference."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Key

from steinflow.checks import lookup, require_at_least, require_positive, require_shape
from steinflow.diagnosis.errors import Group, Losses, grouped, measured
from steinflow.diagnosis.recommend import Recommendation, recommend
from steinflow.diagnosis.reference import Reference, refer
from steinflow.diagnosis.setting import Critic, Setting, able, acted, prepared
from steinflow.diagnosis.shape import Shape, look
from steinflow.diagnosis.table import Measured, tabulate, tabulate_boundary
from steinflow.io.progress import Progress
from steinflow.levels import Level
from steinflow.methods import ESTIMATORS, Method
from steinflow.schedules import LinearFlow
from steinflow.score import check_problem
from steinflow.supports import AbstractSupport
from steinflow.targets.boltzmann import Boltzmann
from steinflow.targets.latent import latent

FACTORS = (0.25, 1.0, 4.0)  # of the temperature
TIMES = (0.125, 0.375, 0.625, 0.875)  # of the linear flow, one a quarter
LEAST = 8  # states that an interval over them takes


class Diagnosis(NamedTuple):
    """What was found on a critic (docs/diagnosis.md)."""

    rows: pl.DataFrame  # a row an estimator, number of draws, level and temperature
    boundary: pl.DataFrame  # a row a level and temperature
    shape: Shape  # of Q over actions, by state
    measured: Measured  # by state, and the references
    recommendation: Recommendation
    tau: float
    settings: dict[str, Any]


class Options(NamedTuple):
    """What `diagnose` is asked to measure, as its arguments."""

    methods: dict[str, Method]
    current: tuple[str, int]
    num_draws: tuple[int, ...]
    levels: Level | None
    factors: tuple[float, ...]
    trials: int
    clip: bool
    reference_draws: int
    chunks: int
    seed: int
    quiet: bool


def diagnose(
    q: Critic,
    observations: Any,
    tau: float,
    support: AbstractSupport,
    *,
    dim: int | None = None,
    actions: Any = None,
    methods: Mapping[str, Method] | None = None,
    current: tuple[str, int] = ("auto", 16),
    num_draws: tuple[int, ...] = (4, 16, 64),
    levels: Level | None = None,
    factors: tuple[float, ...] = FACTORS,
    trials: int = 16,
    clip: bool = False,
    reference_draws: int = 512,
    chunks: int = 16,
    seed: int = 0,
    quiet: bool = True,
) -> Diagnosis:
    """Which estimator suits this critic, with how many draws, and what its targets are worth.

    Every method estimates the score at noised copies of one action a state, whose levels share
    their draws as in `score_targets`, and is held against a reference of its own space.

    Args:
        q: a critic of one action and one observation: ([d], [*o]) -> []. JAX takes its
            gradients; docs/diagnosis.md wraps a PyTorch critic.
        observations: states to look at, [b, *o], at least 8; 16 are enough to choose by.
        tau: temperature, in units of Q.
        support: of actions.
        dim: d, where neither actions nor the support know it.
        actions: what is noised, an action a state, [b, d]; None samples pi(a|s) by estimated
            scores.
        methods: by name; None is all of `ESTIMATORS`.
        current: estimator and draws a level that others are compared with.
        num_draws: draws a level to measure, ascending; those of `current` are added.
        levels: [l]; None is four of the linear flow.
        factors: temperatures to measure, in units of tau; 1 is added.
        trials: repetitions of every estimate.
        clip: bring estimates of E[a|x] back into the box before they are judged, as the agent does.
        reference_draws, chunks: the reference takes so many draws a level, so many times.
        seed: of all random numbers.
        quiet: no progress.

    Returns:
        A Diagnosis; `steinflow.diagnosis.report.write` makes its page.

    Raises:
        ValueError: arguments that do not fit, in a sentence with the remedy.
    """
    options = Options(
        dict(ESTIMATORS if methods is None else methods), current, num_draws, levels, factors,
        trials, clip, reference_draws, chunks, seed, quiet,
    )  # fmt: skip
    return diagnosed(q, jnp.asarray(observations), tau, support, dim, actions, options)


def diagnosed(
    q: Critic,
    observations: Array,
    tau: float,
    support: AbstractSupport,
    dim: int | None,
    actions: Any,
    options: Options,
) -> Diagnosis:
    """`diagnose`, its options as one record."""
    options, levels = settled(options, tau)
    if observations.ndim < 1 or len(observations) < LEAST:
        raise ValueError(
            f"observations must be [b, ...] with b >= {LEAST}, for intervals over states; got "
            f"shape {list(observations.shape)}. Give more states."
        )
    keys = jax.random.split(jax.random.key(options.seed), 5)
    where = acted(keys[0], q, observations, tau, support, dim, actions)
    first = Boltzmann(q=q, tau=jnp.full(1, tau), support=support, context=observations[:1])
    check_problem(first, where[:1])
    setting = prepared(keys[1], q, observations, where, support, levels)
    sizes, factors = options.num_draws, options.factors
    methods, left_out = able(options.methods, setting, tau, sizes[0], options.current[0])
    groups = grouped(methods)
    spaces = sorted({space_of(group, support) for group in groups})
    total = len(factors) * (len(spaces) + len(groups)) + 1
    with Progress(total, 0, options.quiet, "diagnose", "parts") as progress:
        work = Work(setting, progress)
        shape = work.shape(keys[2], tau)
        references = work.references(
            keys[3], tau, factors, spaces, options.reference_draws, options.chunks
        )
        losses = work.losses(
            keys[4], tau, factors, groups, references, sizes, options.trials, options.clip
        )
    measurements = Measured(
        groups, sizes, factors, levels, references, losses, support, setting.points
    )
    rows, boundary = tabulate(measurements, tau), tabulate_boundary(measurements, tau)
    advice = recommend(measurements, rows, options.current)
    settings = {
        "states": len(observations), "trials": options.trials, "chunks": options.chunks,
        "reference_draws": options.reference_draws, "seed": options.seed,
        "current": list(options.current), "dim": where.shape[-1],
        "support": "box" if support.has_bounds else "real", "num_draws": sizes,
        "factors": factors, "left_out": left_out,
    }  # fmt: skip
    return Diagnosis(rows, boundary, shape, measurements, advice, float(tau), settings)


def settled(options: Options, tau: float) -> tuple[Options, Level]:
    """The options with what is left open, and the levels; or a ValueError."""
    require_shape("tau", tau, [()], "One temperature; others are given by factors.")
    require_positive("tau", tau, "It is the temperature of pi(a) ∝ exp(Q(a)/tau).")
    require_positive("factors", np.asarray([1.0, *options.factors]), "They multiply tau.")
    require_at_least("trials", options.trials, 2, "Errors are means over trials.")
    require_at_least("chunks", options.chunks, 4, "Their spread is the reference's error.")
    lookup("estimator", options.current[0], options.methods)
    sizes = tuple(sorted({*options.num_draws, options.current[1]}))
    require_at_least("num_draws", sizes[0], 2, "One draw has no weights to compare.")
    factors = tuple(sorted({*options.factors, 1.0}))
    levels = options.levels
    levels = jax.vmap(LinearFlow())(jnp.asarray(TIMES)) if levels is None else levels
    levels = jax.tree.map(jnp.asarray, levels)
    if levels.alpha.ndim != 1:
        raise ValueError(
            f"levels must be [l], got shape {list(levels.alpha.shape)}. Give one value a level."
        )
    return options._replace(num_draws=sizes, factors=factors), levels


def space_of(group: Group, support: AbstractSupport) -> str:
    """The space whose truth a group is held against."""
    return "tanh" if group.space == "tanh" and support.has_bounds else "action"


class Work:
    """The measurements, each compiled once and two at a time."""

    def __init__(self, setting: Setting, progress: Progress) -> None:
        self.setting, self.progress = setting, progress
        self.double = bool(jax.config.read("jax_enable_x64"))  # type: ignore[no-untyped-call]

    def target(self, obs: Array, tau: Array) -> Boltzmann:
        """Of one state."""
        q = self.setting.q
        return Boltzmann(q=lambda a: q(a, obs), tau=tau, support=self.setting.support)

    def shape(self, key: Key[Array, ""], tau: float) -> Shape:
        """Q over actions, by state."""
        at = self.setting

        @jax.jit
        def every(tau: Array) -> Shape:
            def one(given: tuple[Array, Array, Array]) -> Shape:
                key, obs, action = given
                return look(key, lambda a: at.q(a, obs), tau, at.support, action)

            keys = jax.random.split(key, len(at.observations))
            return jax.lax.map(one, (keys, at.observations, at.actions))

        shapes: Shape = jax.tree.map(np.asarray, every(jnp.asarray(tau)))
        self.progress.advance("shape of Q")
        return shapes

    def references(
        self, key: Key[Array, ""], tau: float, factors: tuple[float, ...], spaces: list[str],
        num_draws: int, chunks: int,
    ) -> dict[tuple[str, float], Reference]:  # fmt: skip
        """By space and factor, [b, l]."""

        def every(space: str, tau: Array) -> Reference:
            def one(given: tuple[Array, Array, Array]) -> Reference:
                key, obs, xs = given
                target = self.target(obs, tau)
                posed = latent(target) if space == "tanh" else target
                return refer(key, posed, xs, self.setting.levels, num_draws, chunks)

            at = self.setting
            keys = jax.random.split(key, len(at.observations))
            return jax.lax.map(one, (keys, at.observations, at.points[space]))

        compiled = {space: jax.jit(partial(every, space)) for space in spaces}
        tasks = [(space, factor) for factor in factors for space in spaces]

        def run(task: tuple[str, float]) -> Reference:
            return compiled[task[0]](jnp.asarray(tau * task[1]))

        references = dict(zip(tasks, self.together(run, tasks, "reference"), strict=True))
        bad = sum(~np.isfinite(ref.score).all(axis=(1, 2)) for ref in references.values())
        if np.any(bad):
            raise ValueError(
                f"Q or its gradient is NaN or infinite over the actions of {np.sum(bad > 0)} of "
                f"{bad.size} states. Check q there."
            )
        return references

    def losses(
        self, key: Key[Array, ""], tau: float, factors: tuple[float, ...], groups: list[Group],
        references: dict[tuple[str, float], Reference], sizes: tuple[int, ...], trials: int,
        clip: bool,
    ) -> dict[tuple[int, float], Losses]:  # fmt: skip
        """By number of the group and factor, [b, ...]."""
        at = self.setting

        def every(group: Group, tau: Array, truth: Array) -> Losses:
            def one(given: tuple[Array, Array, Array, Array]) -> Losses:
                key, obs, xs, truth = given
                target = self.target(obs, tau)
                return measured(key, group, target, xs, at.levels, truth, sizes, trials, clip)

            keys = jax.random.split(key, len(at.observations))
            points = at.points[space_of(group, at.support)]
            return jax.lax.map(one, (keys, at.observations, points, truth))

        compiled = [jax.jit(partial(every, group)) for group in groups]
        tasks = [(number, factor) for factor in factors for number in range(len(groups))]

        def run(task: tuple[int, float]) -> Losses:
            number, factor = task
            space = space_of(groups[number], at.support)
            truth = jnp.asarray(references[space, factor].score)
            return compiled[number](jnp.asarray(tau * factor), truth)

        return dict(zip(tasks, self.together(run, tasks, "estimators"), strict=True))

    def together(self, run: Callable[[Any], Any], tasks: list[Any], what: str) -> list[Any]:
        """Run tasks two at a time: compiling takes one core."""

        def one(task: Any) -> Any:
            with jax.enable_x64(self.double):
                result = jax.tree.map(np.asarray, run(task))
            self.progress.advance(what)
            return result

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(one, tasks))
