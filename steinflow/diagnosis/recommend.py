"""What to train with: the best estimator at no greater cost, and what it would save."""

from typing import NamedTuple

import jax
import numpy as np
import polars as pl
from jaxtyping import Array, Key

from steinflow.diagnosis.table import Measured, cost_of
from steinflow.diagnostics import EED_CAP

RESAMPLES = 2000
WORTHWHILE = 1.1  # a smaller gain is not worth a change
ENOUGH = 1.0  # perfect draws that a target should be worth at every level
PLENTY = 10.0  # perfect draws beyond which a cheaper target may do as well
Name = tuple[str, int]  # of a choice: an estimator and its draws a level


class Choice(NamedTuple):
    """An estimator with its number of draws, at the critic's own temperature."""

    estimator: str
    num_draws: int
    cost: int  # critic calls a point: values and gradients
    eed: float  # geometric mean over levels
    worst: float  # the least of a level
    gain: float  # eed over that of the current choice, where both are resolved
    low: float  # simultaneous 95 % interval, over states
    high: float


class Recommendation(NamedTuple):
    """The answer."""

    current: Choice
    best: Choice  # the current one, where nothing is surely better
    changes: bool
    thrifty: Choice | None  # the cheapest that is no worse, or worth PLENTY at every level
    taus: tuple[float, ...]  # of those measured, where the best is worth a draw at every level
    choices: tuple[Choice, ...]  # all, the best first
    sentences: tuple[str, ...]


class Measures(NamedTuple):
    """Of a choice, at the critic's own temperature."""

    error: np.ndarray  # [b, l]
    trace: np.ndarray  # [b, l]
    resolved: np.ndarray  # [l]
    cost: int
    latent: bool


def recommend(
    found: Measured, rows: pl.DataFrame, current: Name, key: Key[Array, ""]
) -> Recommendation:
    """Compare all choices with the current one on the same states.

    EED is compared as geometric means over the levels that both resolve; intervals are
    bootstraps over states, Bonferroni over the choices. Methods of the tanh latent estimate
    another score and are only compared with one another.
    """
    known = measures(found, rows)
    states = known[current].error.shape[0]
    picks = np.asarray(jax.random.randint(key, (RESAMPLES, states), 0, states))
    tail = 2.5 / max(len(known) - 1, 1)

    def choice(name: Name) -> Choice:
        mine = known[name]
        eed = np.minimum(mine.trace.sum(0) / np.maximum(mine.error.sum(0), 1e-300), EED_CAP)
        mean = float(np.exp(np.log(np.maximum(eed, 1e-300)).mean()))
        gains = compared(mine, known[current], picks)
        if gains is None:
            return Choice(*name, mine.cost, mean, float(eed.min()), *[float("nan")] * 3)
        low, high = np.percentile(gains[1:], [tail, 100.0 - tail])
        gain = float(gains[0]), float(low), float(high)
        return Choice(*name, mine.cost, mean, float(eed.min()), *gain)

    choices = {name: choice(name) for name in known}
    now = choices[current]
    able = [c for c in choices.values() if c.cost <= now.cost and c.low > 1.0]
    best = max((c for c in able if c.gain >= WORTHWHILE), key=lambda c: c.gain, default=now)
    cheap = [c for c in choices.values() if c.cost < best.cost and is_fine(c, known)]
    thrifty = min(cheap, key=lambda c: (c.cost, -c.eed), default=None)
    taus = worth(rows, best)
    ordered = tuple(sorted(choices.values(), key=lambda c: (-c.eed, c.cost)))
    text = tuple(sentences(now, best, thrifty, taus))
    return Recommendation(now, best, best != now, thrifty, taus, ordered, text)


def measures(found: Measured, rows: pl.DataFrame) -> dict[Name, Measures]:
    """Of every choice."""
    kept = {}
    for number, group in enumerate(found.groups):
        own = found.reference(group, 1.0)
        hidden = group.space == "tanh" and found.support.has_walls
        for member, (name, method) in enumerate(group.methods):
            mse = found.errors(number, member, 1.0)
            here = rows.filter((pl.col("factor") == 1.0) & (pl.col("estimator") == name))
            for n, size in enumerate(found.sizes):
                kept[name, size] = Measures(
                    mse[:, n],
                    np.asarray(own.trace, float),
                    here.filter(pl.col("num_draws") == size)["resolved"].to_numpy(),
                    size * cost_of(method, own.score.shape[-1]),
                    hidden,
                )
    return kept


def compared(mine: Measures, current: Measures, picks: np.ndarray) -> np.ndarray | None:
    """EED over the current choice's, [1 + r]: of all states, then of resampled ones."""
    both = mine.resolved & current.resolved
    if not both.any() or mine.latent != current.latent:
        return None

    def total(values: np.ndarray) -> np.ndarray:
        sums = np.concatenate([values.sum(0)[None], values[picks].sum(1)])
        return np.asarray(np.log(np.maximum(sums[:, both], 1e-300)))

    ratio = total(mine.trace) - total(mine.error) - total(current.trace) + total(current.error)
    return np.asarray(np.exp(ratio.mean(axis=1)))


def is_fine(choice: Choice, known: dict[Name, Measures]) -> bool:
    """Whether a choice is surely hardly worse than the current one, or worth plenty."""
    resolved = bool(known[choice.estimator, choice.num_draws].resolved.all())
    plenty = resolved and choice.gain == choice.gain and choice.worst >= PLENTY
    return choice.low > 1.0 / WORTHWHILE or plenty


def worth(rows: pl.DataFrame, best: Choice) -> tuple[float, ...]:
    """Temperatures at which a choice is worth a perfect draw at every resolved level."""
    own = rows.filter(
        (pl.col("estimator") == best.estimator)
        & (pl.col("num_draws") == best.num_draws)
        & pl.col("resolved")
    )
    least = own.group_by("tau", maintain_order=True).agg(pl.col("eed").min())
    return tuple(least.filter(pl.col("eed") >= ENOUGH)["tau"].to_list())


def counted(value: float) -> str:
    """A number of draws in words."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def sentences(
    now: Choice, best: Choice, thrifty: Choice | None, taus: tuple[float, ...]
) -> list[str]:
    """The answer in words."""
    found = [
        f"Targets by {now.estimator} with {now.num_draws} draws a level are worth "
        f"{counted(now.eed)} perfect draws (geometric mean over levels), {counted(now.worst)} at "
        "the worst level."
    ]
    if best != now:
        found.append(
            f"Train with {best.estimator} and {best.num_draws} draws: worth {best.gain:.2g} times "
            f"as much [{best.low:.2g}, {best.high:.2g}] for {best.cost} critic calls a point "
            f"instead of {now.cost}."
        )
    else:
        found.append("Nothing that was measured is surely better for as many critic calls.")
    if thrifty is not None:
        found.append(
            f"To save calls: {thrifty.estimator} with {thrifty.num_draws} draws is worth "
            f"{counted(thrifty.eed)} perfect draws, {counted(thrifty.worst)} at the worst level, "
            f"for {thrifty.cost} calls."
        )
    if taus:
        low, high = (f"{tau:.3g}" for tau in (min(taus), max(taus)))
        span = f"{low} to {high}" if low != high else low
        found.append(f"Every level is worth a perfect draw at temperatures {span}.")
    else:
        found.append(
            "At no temperature that was measured is every level worth a perfect draw: raise the "
            "temperature or the number of draws."
        )
    return found
