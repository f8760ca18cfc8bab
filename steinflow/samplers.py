"""Samplers: from noise to an action by E[a|x] at falling noise levels.

Every step of every sampler here is linear in the point and in the posterior mean,

    x <- keep x + mean E[a|x] + noise z,   z ~ N(0, I),

so that a sampler is a table of three numbers a step. The last step ends at E[a|x], inside a box.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from steinflow.checks import lookup
from steinflow.levels import Level
from steinflow.schedules import AbstractSchedule

Step = tuple[Array, Array, Array]  # keep, mean, noise


class Steps(NamedTuple):
    """The steps of a sampler, [k], where they start and where they end."""

    start: Float[Array, ""]  # standard deviation of the first x
    level: Level  # [k], where E[a|x] of a step is taken
    keep: Float[Array, " k"]
    mean: Float[Array, " k"]
    noise: Float[Array, " k"] | None  # None where no step has any
    last: Level


def ode(schedule: AbstractSchedule, t: Array, to: Array) -> Step:
    """The probability flow, x' = alpha' E[a|x] + sigma' E[eps|x] (DDIM: Song, Meng & Ermon, 2021,
    eq. 12 with sigma_t = 0)."""
    level, next_level = schedule(t), schedule(to)
    keep = next_level.sigma / level.sigma
    return keep, next_level.alpha - keep * level.alpha, jnp.zeros_like(keep)


def ddpm(schedule: AbstractSchedule, t: Array, to: Array) -> Step:
    """Ancestral sampling: x' ~ p(x'|x, a) at a = E[a|x], with its own variance (Ho, Jain & Abbeel,
    2020, eq. 6 and 7, for any alpha and sigma)."""
    level, next_level = schedule(t), schedule(to)
    ratio = level.alpha / next_level.alpha
    share = (ratio * next_level.sigma / level.sigma) ** 2  # of x's noise that x' had already
    keep = share / ratio
    noise = next_level.sigma * jnp.sqrt(jnp.maximum(1.0 - share, 0.0))
    return keep, next_level.alpha - keep * level.alpha, noise


def sde(schedule: AbstractSchedule, t: Array, to: Array) -> Step:
    """The reverse-time SDE by Euler-Maruyama (Song et al., 2021, eq. 6), with the schedule's rates:

    dx = (alpha'/alpha x + g² s) dt + g dw,   g² = 2 sigma (sigma alpha'/alpha - sigma').
    """
    level = schedule(t)
    alpha_rate, sigma_rate = schedule.rates(t)
    growth = alpha_rate / level.alpha
    squared = 2.0 * level.sigma * (level.sigma * growth - sigma_rate)
    pull = (to - t) * squared / level.sigma**2  # of the score (alpha E[a|x] - x)/sigma²
    return 1.0 + (to - t) * growth - pull, pull * level.alpha, jnp.sqrt((to - t) * squared)


SAMPLERS: dict[str, Callable[[AbstractSchedule, Array, Array], Step]] = {
    "ode": ode, "ddpm": ddpm, "sde": sde,
}  # fmt: skip


def steps_of(
    schedule: AbstractSchedule,
    times: Float[Array, " n"],
    sampler: str = "ode",
    corrector: float = 0.0,
) -> Steps:
    """The steps between times, from noise to data.

    Args:
        schedule: from noise (t = 0) to data (t = 1).
        times: rising, inside (0, 1), [n]; the first x is sigma z at the first of them.
        sampler: ode, ddpm or sde.
        corrector: the signal-to-noise ratio r of a Langevin step after each step, with the step
            size 2 (r sigma)² (Song et al., 2021, algorithms 4 and 5, whose norms of noise and score
            are here the expected ones); .16 there, 0 is none.

    Raises:
        ValueError: no sampler has that name, or r is not in [0, 1).
    """
    if not 0.0 <= corrector < 1.0:
        raise ValueError(f"corrector must lie in [0, 1), got {corrector}. Write 0.16.")
    rule, times = lookup("sampler", sampler, SAMPLERS), jnp.asarray(times)
    levels = jax.vmap(schedule)(times)
    steps = jax.vmap(lambda t, to: rule(schedule, t, to))(times[:-1], times[1:])
    level, next_level, last = (part_of(levels, at) for at in (slice(-1), slice(1, None), -1))
    if corrector:
        size = jnp.full_like(next_level.alpha, 2.0 * corrector**2)  # in units of sigma²
        after = 1.0 - size, size * next_level.alpha, jnp.sqrt(2.0 * size) * next_level.sigma
        steps, level = jax.tree.map(in_turn, (steps, level), (after, next_level))
    keep, mean, noise = steps
    quiet = sampler == "ode" and not corrector
    return Steps(levels.sigma[0], level, keep, mean, None if quiet else noise, last)


def in_turn(first: Float[Array, " k"], second: Float[Array, " k"]) -> Float[Array, " 2*k"]:
    """One of the first, one of the second, and so on."""
    return jnp.stack([first, second], axis=1).reshape(-1)


def denoise(
    key: Key[Array, ""],
    steps: Steps,
    predict: Callable[[Key[Array, ""], Float[Array, " d"], Level], Float[Array, " d"]],
    dim: int,
    unroll: bool = False,
) -> Float[Array, " d"]:
    """One sample.

    Args:
        key: consumed once.
        steps: of a sampler.
        predict: E[a|x], or an estimate of it, from a key, x and a level.
        dim: d.
        unroll: write the steps out: XLA then computes once what they have in common.
    """
    first, *each, ending = jax.random.split(key, steps.keep.size + 2)
    x = steps.start * jax.random.normal(first, (dim,))

    def step(x: Array, now: Any) -> tuple[Array, None]:
        key, level, keep, mean, noise = now
        x = keep * x + mean * predict(key, x, level)
        if noise is None:
            return x, None
        return x + noise * jax.random.normal(jax.random.fold_in(key, 1), (dim,)), None

    if each:
        rows = jnp.stack(each), steps.level, steps.keep, steps.mean, steps.noise
        x, _ = jax.lax.scan(step, x, rows, unroll=unroll or 1)
    return predict(ending, x, steps.last)


def part_of(levels: Level, at: slice | int) -> Level:
    """Some of the levels."""
    return jax.tree.map(lambda leaf: leaf[at], levels)
