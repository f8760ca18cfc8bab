"""What the leaderboard must show: every line with its bar, judged from the rows."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from steinflow.study.leaderboard.compare import (
    CELL,
    RIVALS,
    Ratios,
    against,
    eed_error,
    exp,
    holm,
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
LAW_TEXT = {"pi": "x from π", "lag": "x from a lagging policy", "uniform": "x uniform"}
BARS = {"auto": {"pi": 0.2, "lag": 0.35}, "auto, one level": {"pi": 0.4, "lag": 0.4}}
AIMS = {("auto", "pi"): 0.07}
LIMITS = 1.5, 1.15  # of the ratio in a single cell, below a budget of 64 and from there on
COLD = (pl.col("tau") == 0.02) & (pl.col("alpha") <= 0.5) & pl.col("dim").is_in([6, 17])
LARGE = pl.col("budget").is_in([64, 256])


class Found(NamedTuple):
    """What a line says: an estimate with its 95 % interval, and the cells it names."""

    estimate: float
    low: float | None
    high: float | None
    listed: tuple[dict[str, object], ...] = ()


Statistic = Callable[[pl.DataFrame], Found]


class Comparison(NamedTuple):
    """A line before it is measured."""

    id: str
    text: str
    where: pl.Expr
    statistic: Statistic
    bar: float | None = None
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


def ratio(ratios: Callable[[pl.DataFrame], Ratios], cells: pl.DataFrame) -> Found:
    """Geometric mean of MSE ratios."""
    return Found(*exp(pooled(cells, *ratios(cells))))


def gain(ratios: Callable[[pl.DataFrame], Ratios], cells: pl.DataFrame) -> Found:
    """Geometric mean of EED ratios, which are the inverse."""
    log, error = ratios(cells)
    return Found(*exp(pooled(cells, -log, error)))


def share_above_one(method: str, cells: pl.DataFrame) -> Found:
    """Share of cells with EED >= 1; a cell's error is that of a coin with P(EED >= 1)."""
    log = log_eed(cells, method)
    chance = ndtr(z_scores(log, eed_error(cells, method)))
    share = pooled(cells, (log >= 0.0).astype(float), np.sqrt(chance * (1.0 - chance)))
    return Found(*np.clip(share, 0.0, 1.0).tolist())


def above(test: Callable[[Ratios], NDArray[np.bool_]], latent: bool, cells: pl.DataFrame) -> Found:
    """Number of cells where the ratio of auto to the oracle is above its limit."""
    log, error = oracle(cells, "auto", latent)
    limit = np.where(cells["budget"].to_numpy() < 64, *LIMITS)
    table = cells.select(CELL).with_columns(ratio=np.exp(log))
    table = table.filter(test(Ratios(log - np.log(limit), error))).sort("ratio", descending=True)
    return Found(float(table.height), None, None, tuple(table.to_dicts()))


def surely(over: Ratios) -> NDArray[np.bool_]:
    """Positive by one-sided z tests at a family-wise level of 5 %."""
    return holm(ndtr(-z_scores(*over)))


def seemingly(over: Ratios) -> NDArray[np.bool_]:
    """Positive as estimated."""
    return over.log > 0.0


def generality(ours: str, cells: pl.DataFrame) -> Ratios:
    """Ratio on the held-out half of the states over that on the half used for choices."""
    held, choice = (oracle_of_states(cells, ours, part) for part in ("_held", "_choice"))
    return Ratios(held.log - choice.log, np.hypot(held.error, choice.error))


def against_oracle() -> Iterator[Comparison]:
    """Must show 1."""
    for latent, beside in ((True, ""), (False, ", rfm left out on boxes")):
        end = "" if latent else "-without-rfm"
        for ours, bars in BARS.items():
            for law, words in LAW_TEXT.items():
                text = f"{ours} / best published method of each cell, {words}{beside}"
                measure = partial(ratio, partial(oracle, ours=ours, latent=latent))
                bar, aim = (bars.get(law), AIMS.get((ours, law))) if latent else (None, None)
                where = pl.col("law") == law
                yield Comparison(f"1-{slug(ours)}-{law}{end}", text, where, measure, bar, aim)
        small, large = LIMITS
        what = f"cells where auto / best is above {large:g} (budget 16: {small:g})"
        for test, how in ((surely, "by Holm's test at 5 %"), (seemingly, "as estimated")):
            count, bar = partial(above, test, latent), 0.0 if latent and test is surely else None
            name, text = f"1-{test.__name__}-above{end}", f"{what}, {how}{beside}"
            yield Comparison(name, text, pl.lit(True), count, bar)


def against_each() -> Iterator[Comparison]:
    """Must show 2."""
    boxes = pl.col("support") == "box"
    for rival in RIVALS:
        measure = partial(ratio, partial(against, ours="auto", rival=rival))
        yield Comparison(f"2-{rival}", f"auto / {rival}", pl.lit(True), measure, 0.15)
        yield Comparison(f"2-{rival}-box", f"auto / {rival}, on boxes", boxes, measure, 0.1)


def at_low_temperature() -> Iterator[Comparison]:
    """Must show 3."""
    measure = partial(gain, partial(oracle, ours="auto"))
    text = f"EED of auto / EED of the best published method, {LAW_TEXT['lag']}"
    where = COLD & LARGE & (pl.col("law") == "lag")
    yield Comparison("3-gain-lag", text, where, measure, 3.0, 10.0, at_least=True)
    for law in ("pi", "lag"):
        for method in (*OURS, *RIVALS):
            bar = 0.9 if (method, law) == ("auto", "pi") else None
            text = f"share of cells with EED ≥ 1: {method}, {LAW_TEXT[law]}"
            where, measure = COLD & LARGE & (pl.col("law") == law), partial(share_above_one, method)
            yield Comparison(
                f"3-share-{slug(method)}-{law}", text, where, measure, bar, at_least=True
            )


def held_out() -> Iterator[Comparison]:
    """Must show 5."""
    parts = {"_choice": "used for choices", "_held": "held out"}
    many = pl.col("q").is_in(MANY) & (pl.col("trace_held:auto") > 0.0)  # where states are left
    for ours in OURS:
        for law in LAW_TEXT:
            where = many & (pl.col("law") == law)
            name, what = f"5-{slug(ours)}-{law}", f"{ours} / best published, {LAW_TEXT[law]}"
            for part, words in parts.items():
                measure = partial(ratio, partial(oracle_of_states, ours=ours, part=part))
                yield Comparison(
                    f"{name}{part.replace('_', '-')}", f"{what}: {words}", where, measure
                )
            text = f"{what}: held out / used for choices"
            measure = partial(ratio, partial(generality, ours))
            yield Comparison(name, text, where, measure, 1.5)


def slug(name: str) -> str:
    """A method's name within an id."""
    return name.replace("auto, one level", "one-level")


def measured(comparison: Comparison, scope: str, cells: pl.DataFrame) -> Line:
    """A comparison over the cells of a scope."""
    name, text, where, statistic, bar, aim, at_least = comparison
    cells = cells.filter(where, SCOPES[scope])
    name = name if scope == "all" else f"{name}-{scope}"
    if cells.is_empty():
        return Line(name, text, scope, 0, None, None, None, bar, aim, at_least, None, ())
    found = statistic(cells)
    met = None if bar is None else meets(found, bar, at_least)
    return Line(
        name, text, scope, cells.height, *found[:3], bar, aim, at_least, met, found.listed
    )  # fmt: skip


def meets(found: Found, bar: float, at_least: bool) -> bool:
    """Whether the whole interval is on the right side of the bar."""
    edge = found.low if at_least else found.high
    edge = found.estimate if edge is None else edge
    return edge >= bar if at_least else edge <= bar


def judge(rows: pl.DataFrame, actions: pl.DataFrame) -> list[dict[str, Any]]:
    """leaderboard.json: every line over all cells and over the hard ones; held-out Q are hard."""
    cells = tabulate(rows, actions)
    twice = [*against_oracle(), *against_each(), *at_low_temperature()]
    lines = [measured(line, scope, cells) for line in twice for scope in SCOPES]
    lines += [measured(line, "all", cells) for line in held_out()]
    return [line._asdict() for line in lines]
