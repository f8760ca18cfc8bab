"""What to train with: the best estimator at no greater cost, and what it would save."""

from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.stats import t as student

from steinflow.diagnosis.table import Measured, cost_of
from steinflow.diagnostics import EED_CAP

WORTHWHILE = 1.1  # a smaller gain is not worth a change
ENOUGH = 1.0  # perfect draws that a target should be worth at every level
PLENTY = 10.0  # perfect draws beyond which a cheaper target may do as well
Name = tuple[str, int]  # of a choice: an estimator and its draws a level


class Choice(NamedTuple):
    """An estimator with its number of draws, at the critic's own temperature."""

    estimator: str
    num_draws: int
    cost: int  # critic calls a point: values and gradients
    eed: float  # geometric mean over levels; at least that, where not all are resolved
    worst: float  # the least of a level
    gain: float  # eed over that of the current choice, at levels where that is resolved
    low: float  # simultaneous 95 % interval, over states
    high: float
    resolved: bool  # at every level
    latent: bool  # it estimates the score of the tanh latent


class Recommendation(NamedTuple):
    """The answer."""

    current: Choice
    best: Choice  # the current one, where nothing is significantly better
    verdict: str  # change, keep, or cannot tell
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


def recommend(measured: Measured, rows: pl.DataFrame, current: Name) -> Recommendation:
    """Compare all choices with the current one on the same states.

    EED is compared as geometric means over the levels where the current choice is resolved (an
    unresolved rival counts with the least that it can be worth); intervals are the jackknife's
    over states with Student's quantiles, Bonferroni over the choices. Methods of the tanh
    latent estimate another score and are only compared with one another.
    """
    known = measures(measured)
    rivals = sum(candidate.latent == known[current].latent for candidate in known.values()) - 1
    tail = 0.025 / max(rivals, 1)

    def choice(name: Name) -> Choice:
        candidate = known[name]
        eed = np.minimum(
            candidate.trace.sum(0) / np.maximum(candidate.error.sum(0), 1e-300), EED_CAP
        )
        mean = float(np.exp(np.log(np.maximum(eed, 1e-300)).mean()))
        gain = compared(candidate, known[current], tail)
        sound = bool(candidate.resolved.all())
        return Choice(*name, candidate.cost, mean, float(eed.min()), *gain, sound, candidate.latent)

    choices = {name: choice(name) for name in known}
    now = choices[current]
    able = [c for c in choices.values() if c.cost <= now.cost and c.low > 1.0]
    best = max((c for c in able if c.gain >= WORTHWHILE), key=lambda c: c.gain, default=now)
    cheap = [c for c in choices.values() if c.cost < best.cost and is_fine(c)]
    thrifty = min(cheap, key=lambda c: (c.cost, -c.eed), default=None)
    verdict = "change" if best != now else "keep"
    if not known[current].resolved.any() or not rivals:
        verdict = "cannot tell"
    taus = worth(rows, best)
    ordered = tuple(sorted(choices.values(), key=lambda c: (c.latent, -c.eed, c.cost)))
    text = tuple(sentences(now, best, verdict, thrifty, taus))
    return Recommendation(now, best, verdict, thrifty, taus, ordered, text)


def measures(measured: Measured) -> dict[Name, Measures]:
    """Of every choice."""
    result = {}
    for number, group in enumerate(measured.groups):
        reference = measured.reference(group, 1.0)
        hidden = group.space == "tanh" and measured.support.has_bounds
        for member, (name, method) in enumerate(group.methods):
            mse = measured.errors(number, member, 1.0)
            sound = measured.resolved(number, member, 1.0)
            for n, size in enumerate(measured.sizes):
                result[name, size] = Measures(
                    mse[:, n],
                    np.asarray(reference.trace, float),
                    sound[n],
                    cost_of(method, reference.score.shape[-1], size),
                    hidden,
                )
    return result


def compared(candidate: Measures, current: Measures, tail: float) -> tuple[float, float, float]:
    """EED over the current choice's with its interval; NaN where there is no comparing."""
    at, states = current.resolved, len(candidate.error)
    if not at.any() or candidate.latent != current.latent:
        return float("nan"), float("nan"), float("nan")

    def without(values: np.ndarray) -> np.ndarray:
        """Logarithms of sums over all states, and over all but one, [1 + b, l]."""
        total = values.sum(0)
        return np.log(np.maximum(np.concatenate([total[None], total - values])[:, at], 1e-300))

    ratio = without(candidate.trace) - without(candidate.error)
    ratio = (ratio - without(current.trace) + without(current.error)).mean(axis=1)
    spread = np.sqrt((states - 1) * np.mean((ratio[1:] - ratio[1:].mean()) ** 2))
    half = float(student.ppf(1.0 - tail, states - 1) * spread)
    low, high = (float(np.exp(np.clip(ratio[0] + side * half, -50, 50))) for side in (-1, 1))
    return float(np.exp(np.clip(ratio[0], -50, 50))), low, high


def is_fine(choice: Choice) -> bool:
    """Whether a choice is hardly worse than the current one, significantly, or worth plenty."""
    plenty = choice.gain == choice.gain and choice.worst >= PLENTY
    return choice.low > 1.0 / WORTHWHILE or plenty


def worth(rows: pl.DataFrame, best: Choice) -> tuple[float, ...]:
    """Temperatures at which a choice is worth a perfect draw at every level."""
    subset = rows.filter(
        (pl.col("estimator") == best.estimator) & (pl.col("num_draws") == best.num_draws)
    )
    lowest = subset.group_by("tau", maintain_order=True).agg(pl.col("eed").min())
    return tuple(lowest.filter(pl.col("eed") >= ENOUGH)["tau"].to_list())


def counted(value: float) -> str:
    """A number of draws in words."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def sentences(
    now: Choice, best: Choice, verdict: str, thrifty: Choice | None, taus: tuple[float, ...]
) -> list[str]:
    """The answer in words."""
    qualifier = "" if now.resolved else "at least "
    lines = [
        f"Targets by {now.estimator} with {now.num_draws} draws a level are worth {qualifier}"
        f"{counted(now.eed)} perfect draws (geometric mean over levels), {counted(now.worst)} at "
        "the worst level."
    ]
    if verdict == "change":
        lines.append(
            f"Train with {best.estimator} and {best.num_draws} draws: worth {best.gain:.2g} times "
            f"as much [{best.low:.2g}, {best.high:.2g}] for {best.cost} critic calls a point "
            f"instead of {now.cost}."
        )
    elif verdict == "keep":
        lines.append("Nothing that was measured is significantly better for as many critic calls.")
    else:
        lines.append(
            "Whether another is better cannot be told: the reference resolves no level, or nothing "
            "else works in the same space. Give more reference draws, or more estimators."
        )
    if thrifty is not None:
        lines.append(
            f"To save calls: {thrifty.estimator} with {thrifty.num_draws} draws is worth "
            f"{counted(thrifty.eed)} perfect draws, {counted(thrifty.worst)} at the worst level, "
            f"for {thrifty.cost} calls."
        )
    if taus:
        listed = ", ".join(f"{tau:.3g}" for tau in taus)
        lines.append(f"Temperatures at which every level is worth a perfect draw: {listed}.")
    else:
        lines.append(
            "At no temperature that was measured is every level known to be worth a perfect draw: "
            "raise the temperature or the number of draws."
        )
    return lines
