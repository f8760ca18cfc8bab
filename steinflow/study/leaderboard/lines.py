"""What the leaderboard must show: every line with its bar, judged from the rows."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy.special import ndtr

from steinflow.study.leaderboard.compare import (
    RIVALS,
    Ratios,
    against,
    at_equal_time,
    eed_error,
    exp,
    log_eed,
    oracle,
    oracle_of_states,
    pooled,
    tabulate,
    z_scores,
)
from steinflow.study.leaderboard.contest import OURS
from steinflow.study.leaderboard.grid import EASY, MANY

HARD = ~pl.col("q").is_in(EASY)
SCOPES = {"all": pl.lit(True), "hard": HARD}
DISTRIBUTION_TEXT = {"pi": "x from π", "lag": "x from a lagging policy", "uniform": "x uniform"}
BARS = {
    ("auto", "pi"): (0.07, 0.08),
    ("auto", "lag"): (0.1, 0.12),
    ("auto, one level", "pi"): (0.35, 0.35),
    ("auto, one level", "lag"): (0.35, 0.35),
}
AIMS = {("auto", "pi"): 0.05}
EQUAL_TIME = 0.12
COLD = (pl.col("tau") == 0.02) & (pl.col("alpha") <= 0.5) & pl.col("dim").is_in([6, 17])
LARGE = pl.col("budget").is_in([64, 256])


class Result(NamedTuple):
    """What a line says: an estimate with its 95 % interval, and the cells it names."""

    estimate: float
    low: float | None
    high: float | None
    listed: tuple[dict[str, object], ...] = ()


Statistic = Callable[[pl.DataFrame], Result]


class Comparison(NamedTuple):
    """A line before it is measured."""

    id: str
    text: str
    where: pl.Expr
    statistic: Statistic
    bars: tuple[float, float] | None = None  # over all cells, and over the hard ones
    aim: float | None = None
    at_least: bool = False  # whether the bar is a floor


class Line(NamedTuple):
    """A line as measured; met asks the whole interval, and is None without a bar or cells."""

    id: str
    text: str
    scope: str
    cells: int
    estimate: float | None
    low: float | None
    high: float | None
    bar: float | None
    aim: float | None
    at_least: bool
    met: bool | None
    listed: tuple[dict[str, object], ...]


def ratio(ratios: Callable[[pl.DataFrame], Ratios], cells: pl.DataFrame) -> Result:
    """Geometric mean of MSE ratios."""
    return Result(*exp(pooled(cells, *ratios(cells))))


def gain(ratios: Callable[[pl.DataFrame], Ratios], cells: pl.DataFrame) -> Result:
    """Geometric mean of EED ratios, which are the inverse."""
    log, error = ratios(cells)
    return Result(*exp(pooled(cells, -log, error)))


def share_above_one(method: str, cells: pl.DataFrame) -> Result:
    """Share of cells with EED >= 1; a cell's error is that of a coin with P(EED >= 1)."""
    log = log_eed(cells, method)
    chance = ndtr(z_scores(log, eed_error(cells, method)))
    share = pooled(cells, (log >= 0.0).astype(float), np.sqrt(chance * (1.0 - chance)))
    return Result(*np.clip(share, 0.0, 1.0).tolist())


def generality(ours: str, cells: pl.DataFrame) -> Ratios:
    """Ratio on the held-out half of the states over that on the half used for choices."""
    held, choice = (oracle_of_states(cells, ours, part) for part in ("_held", "_choice"))
    return Ratios(held.log - choice.log, np.hypot(held.error, choice.error))


def against_oracle() -> Iterator[Comparison]:
    """auto beside the best published method of each cell, at equal evaluations."""
    for latent, beside in ((True, ""), (False, ", rfm left out on boxes")):
        end = "" if latent else "-without-rfm"
        for ours in OURS:
            for distribution, words in DISTRIBUTION_TEXT.items():
                text = f"{ours} / best published method of each cell, {words}{beside}"
                measure = partial(ratio, partial(oracle, ours=ours, latent=latent))
                bars = BARS.get((ours, distribution)) if latent else None
                aim = AIMS.get((ours, distribution)) if latent else None
                where = pl.col("distribution") == distribution
                yield Comparison(
                    f"1-{slug(ours)}-{distribution}{end}", text, where, measure, bars, aim
                )


def at_the_same_time() -> Iterator[Comparison]:
    """The same at equal time; cells are those of `compare.at_equal_time`."""
    for distribution, words in DISTRIBUTION_TEXT.items():
        text = f"auto / best published method of each cell at equal time, {words}"
        measure = partial(ratio, partial(oracle, ours="auto"))
        bars = (EQUAL_TIME, EQUAL_TIME) if distribution in ("pi", "lag") else None
        yield Comparison(
            f"4-equal-time-{distribution}",
            text,
            pl.col("distribution") == distribution,
            measure,
            bars,
        )


def against_each() -> Iterator[Comparison]:
    """Must show 2."""
    boxes = pl.col("support") == "box"
    for rival in RIVALS:
        measure = partial(ratio, partial(against, ours="auto", rival=rival))
        yield Comparison(f"2-{rival}", f"auto / {rival}", pl.lit(True), measure, (0.15, 0.15))
        yield Comparison(f"2-{rival}-box", f"auto / {rival}, on boxes", boxes, measure, (0.1, 0.1))


def at_low_temperature() -> Iterator[Comparison]:
    """Must show 3."""
    measure = partial(gain, partial(oracle, ours="auto"))
    text = f"EED of auto / EED of the best published method, {DISTRIBUTION_TEXT['lag']}"
    where = COLD & LARGE & (pl.col("distribution") == "lag")
    yield Comparison("3-gain-lag", text, where, measure, (3.0, 3.0), 10.0, at_least=True)
    for distribution in ("pi", "lag"):
        for method in (*OURS, *RIVALS):
            bars = (0.9, 0.9) if (method, distribution) == ("auto", "pi") else None
            text = f"share of cells with EED ≥ 1: {method}, {DISTRIBUTION_TEXT[distribution]}"
            where, measure = (
                COLD & LARGE & (pl.col("distribution") == distribution),
                partial(share_above_one, method),
            )
            yield Comparison(
                f"3-share-{slug(method)}-{distribution}", text, where, measure, bars, at_least=True
            )


def held_out() -> Iterator[Comparison]:
    """Must show 5."""
    parts = {"_choice": "used for choices", "_held": "held out"}
    many = pl.col("q").is_in(MANY) & (pl.col("trace_held:auto") > 0.0)  # where states are left
    for ours in OURS:
        for distribution in DISTRIBUTION_TEXT:
            where = many & (pl.col("distribution") == distribution)
            name, what = (
                f"5-{slug(ours)}-{distribution}",
                f"{ours} / best published, {DISTRIBUTION_TEXT[distribution]}",
            )
            for part, words in parts.items():
                measure = partial(ratio, partial(oracle_of_states, ours=ours, part=part))
                yield Comparison(
                    f"{name}{part.replace('_', '-')}", f"{what}: {words}", where, measure
                )
            text = f"{what}: held out / used for choices"
            measure = partial(ratio, partial(generality, ours))
            yield Comparison(name, text, where, measure, (1.5, 1.5))


def slug(name: str) -> str:
    """A method's name within an id."""
    return name.replace("auto, one level", "one-level")


def measured(comparison: Comparison, scope: str, cells: pl.DataFrame) -> Line:
    """A comparison over the cells of a scope."""
    name, text, where, statistic, bars, aim, at_least = comparison
    bar = None if bars is None else bars[list(SCOPES).index(scope)]
    cells = cells.filter(where, SCOPES[scope])
    name = name if scope == "all" else f"{name}-{scope}"
    if cells.is_empty():
        return Line(name, text, scope, 0, None, None, None, bar, aim, at_least, None, ())
    result = statistic(cells)
    met = None if bar is None else meets(result, bar, at_least)
    return Line(
        name, text, scope, cells.height, *result[:3], bar, aim, at_least, met, result.listed
    )  # fmt: skip


def meets(result: Result, bar: float, at_least: bool) -> bool:
    """Whether the whole interval is on the right side of the bar."""
    edge = result.low if at_least else result.high
    edge = result.estimate if edge is None else edge
    return edge >= bar if at_least else edge <= bar


def judge(rows: pl.DataFrame, actions: pl.DataFrame, times: pl.DataFrame) -> list[dict[str, Any]]:
    """The lines over all cells and over the hard ones; held-out Q are hard."""
    cells = tabulate(rows, actions)
    twice = [*against_oracle(), *against_each(), *at_low_temperature()]
    lines = [measured(line, scope, cells) for line in twice for scope in SCOPES]
    if not times.is_empty() and not cells.is_empty():
        same = at_equal_time(cells, times)
        lines += [measured(line, scope, same) for line in at_the_same_time() for scope in SCOPES]
    lines += [measured(line, "all", cells) for line in held_out()]
    return [line._asdict() for line in lines]
