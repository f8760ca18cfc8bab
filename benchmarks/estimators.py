"""What each part of `auto` is worth: the default with one field changed.

    make bench-estimators        # finished cells are skipped; --help for smaller runs

Networks over pairs of coordinates, fully coupled networks and mixtures (the leaderboard's, d = 6, a
Q for each of sixteen states), x around an exact action of the policy (pi) or of one five times too
warm (lag). A number is the geometric mean, over problems and noise levels, of a variant's mean
squared error over the default's:

- at equal evaluations: a value counts 1 and a gradient 1 more, so that values alone buy twice the
  draws;
- at equal time: the variant has as many draws as fit into the default's time. The time is that of
  the whole jitted call with a 2x256 ReLU critic, measured in turn with the default's. The error at
  that number of draws is interpolated, in logarithms, between two numbers that are measured.

Choices are made on states 0 to 7 ("choice") and reported on 8 to 15 ("held out").
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from provenance import stamp

import steinflow as sf
from steinflow.diagnostics import EED_CAP
from steinflow.io.files import write_json
from steinflow.study.leaderboard.grid import Board, Group, Unit, groups, support_of
from steinflow.study.leaderboard.problems import Problem, boltzmann_of
from steinflow.study.leaderboard.run import seed_of
from steinflow.study.leaderboard.versions import ROWS, cached_problem, code_version

RESULTS = Path(__file__).parent / "results" / "estimators.json"
TRUTHS = Path("runs") / "bench-estimators"  # kept, by a hash of their code
DIM, OBSERVATION, WIDTH, ROUNDS, CHOICE = 6, 17, 256, 15, 8
AUTO = sf.auto()


class Size(NamedTuple):
    """A call: how many states, levels a state, and draws a level."""

    states: int
    levels: int
    draws: int

    @property
    def name(self) -> str:
        """For people, and for files."""
        return f"{self.states}x{self.levels}x{self.draws}"


class Variant(NamedTuple):
    """A method, and whether the levels of a state share their draws."""

    method: sf.Method
    shared: bool = True

    @property
    def per_evaluation(self) -> float:
        """Draws that the price of a value with its gradient buys."""
        fitted = isinstance(self.method.proposal, sf.FittedProposal)
        return 1.0 if self.method.estimator.needs(DIM).gradient or fitted else 2.0


class Options(NamedTuple):
    """How much is computed."""

    states: int
    trials: int
    supports: tuple[str, ...]
    taus: tuple[float, ...]
    distributions: tuple[str, ...]


SIZES = (Size(256, 4, 8), Size(24, 2, 48))
ALPHAS = {4: (0.2, 0.45, 0.7, 0.95), 2: (0.4, 0.8)}


def with_fit(**changed: Any) -> Variant:
    """The default with other fields of its proposal."""
    return Variant(replace(AUTO, proposal=replace(AUTO.proposal, **changed)))


def with_estimator(estimator: Any) -> Variant:
    """The default with another estimator."""
    return Variant(replace(AUTO, estimator=estimator))


def variants() -> dict[str, Variant]:
    """The default first, then each change of one part that is not the default already."""
    result = {
        "default": Variant(AUTO),
        "no fit": Variant(replace(AUTO, proposal=None)),
        "independent draws": Variant(replace(AUTO, quasi=False)),
        "levels alone": Variant(AUTO, shared=False),
        "no control variate": with_estimator(sf.NoiseExpectation()),
        "not shrunk": with_estimator(sf.ControlVariate(sf.InSample("diagonal"))),
        **{f"ess_share={s:g}": with_fit(ess_share=s) for s in (0.1, 0.3, 0.6)},
        **{f"temperatures={n}": with_fit(temperatures=n) for n in (4, 8, 16, 32, 64)},
        **{f"folds={n}": with_estimator(sf.ShrunkControlVariate(folds=n)) for n in (2, 4, 8)},
        "values only": Variant(sf.Method(None, sf.NoiseExpectation(), quasi=True)),
    }
    same = repr(AUTO)
    return {k: v for k, v in result.items() if k == "default" or repr(v.method) != same
            or not v.shared}  # fmt: skip


def board_of(size: Size, options: Options) -> Board:
    """The problems of a size: its number of levels."""
    return Board(
        supports=options.supports, dims=(DIM,), families=("mixture", "pairs", "coupled"),
        taus=options.taus, distributions=options.distributions, alphas=ALPHAS[size.levels],
        states=options.states, trials=options.trials, log2_reference=19,
    )  # fmt: skip


def places(board: Board) -> Iterator[tuple[Unit, Group]]:
    """All problems of a board."""
    for support in board.supports:
        for distribution in board.distributions:
            unit = Unit(support, DIM, distribution)
            yield from ((unit, group) for group in groups(board, unit))


@cache
def posed(size: Size, options: Options, unit: Unit, group: Group) -> Problem:
    """A problem with its truth."""
    board = board_of(size, options)
    key = jax.random.split(seed_of(board, unit, group))[0]
    return cached_problem(TRUTHS / size.name, board, unit, group, key)


def scores(key: Any, target: Any, xs: Any, levels: sf.Level, variant: Variant, draws: int) -> Any:
    """Scores [b, l, d] of b states at l levels, which share their draws or not."""
    if variant.shared:
        estimates = sf.score_targets(key, target, xs, levels, variant.method, num_draws=draws)
        return estimates.score
    (batch, count), repeated = xs.shape[:2], eqx.filter(target.context, eqx.is_array)
    repeated = jax.tree.map(lambda leaf: jnp.repeat(leaf, count, axis=0), repeated)
    context = eqx.combine(repeated, target.context)
    tau = jnp.repeat(jnp.broadcast_to(target.tau, (batch,)), count)
    single = sf.Boltzmann(target.q, tau, target.support, context)
    tiled = jax.tree.map(lambda leaf: jnp.tile(leaf, batch), levels)
    flat = xs.reshape(-1, xs.shape[-1])
    estimates = sf.score_targets(key, single, flat, tiled, variant.method, num_draws=draws)
    return estimates.score.reshape(xs.shape)


@eqx.filter_jit
def errors(
    key: Any, problem: Problem, levels: sf.Level, support: Any, variant: Variant, draws: int,
    trials: int,
) -> Any:  # fmt: skip
    """Mean squared errors over trials, [states, levels]."""

    def state(at: Any) -> Any:
        key, tau, members, x, score = at
        tau, members = jax.tree.map(lambda leaf: leaf[None], (tau, members))
        target = boltzmann_of(problem.kind, tau, members, support)

        def trial(key: Any) -> Any:
            estimate = scores(key, target, x[None], levels, variant, draws)[0]
            return jnp.sum((estimate - score) ** 2, axis=-1)

        return jnp.mean(jax.lax.map(trial, jax.random.split(key, trials), batch_size=4), axis=0)

    keys = jax.random.split(key, problem.tau.size)
    return jax.lax.map(state, (keys, problem.tau, problem.members, problem.x, problem.score))


def squared_errors(
    size: Size, options: Options, unit: Unit, group: Group, variant: Variant, draws: int
) -> dict[str, list[float]]:
    """A cell: errors summed over either half of the states, by level."""
    board, problem = board_of(size, options), posed(size, options, unit, group)
    key = jax.random.split(seed_of(board, unit, group))[1]
    levels = jax.tree.map(jnp.asarray, board.levels)
    support = support_of(unit.support)
    mse = errors(key, problem, levels, support, variant, draws, options.trials)
    mse = np.maximum(mse, np.asarray(problem.trace) / EED_CAP)
    return {"choice": mse[:CHOICE].sum(0).tolist(), "held out": mse[CHOICE:].sum(0).tolist()}


def time_ratio(size: Size, variant: Variant) -> float:
    """Median over rounds of the variant's time over the default's, one after the other."""
    key = jax.random.key(0)
    critic = eqx.nn.MLP(OBSERVATION + DIM, "scalar", WIDTH, 2, jax.nn.relu, key=key)
    critic = jax.tree.map(lambda a: a.astype(jnp.float32) if eqx.is_array(a) else a, critic)
    alpha = jnp.asarray(ALPHAS[size.levels], jnp.float32)
    levels, support = sf.Level(alpha, 1.0 - alpha), sf.Box(-1.0, 1.0)
    observations = jax.random.normal(key, (size.states, OBSERVATION), jnp.float32)
    xs = jax.random.normal(key, (size.states, size.levels, DIM), jnp.float32)
    target = sf.Boltzmann(
        lambda a, s: critic(jnp.concatenate([s, a])), np.float32(0.1), support, observations
    )
    runs = [
        jax.jit(lambda key, v=v: scores(key, target, xs, levels, v, size.draws))
        for v in (Variant(AUTO), variant)
    ]
    seconds: list[list[float]] = []
    for _ in range(ROUNDS + 1):
        row = []
        for run in runs:
            begun = time.perf_counter()
            jax.block_until_ready(run(key))
            row.append(time.perf_counter() - begun)
        seconds.append(row)
    rows = np.array(seconds[1:])
    return float(np.median(rows[:, 1] / rows[:, 0]))


def work(
    sizes: tuple[Size, ...], options: Options, every: dict[str, Variant]
) -> Iterator[tuple[str, Any]]:
    """The name of each cell and what computes it; cells that share a compilation in a row."""
    for size in sizes:
        for name, variant in every.items():
            if name != "default":
                yield f"time {size.name} {name}", (time_ratio, size, variant)
            for draws in (size.draws, 2 * size.draws):
                for unit, group in places(board_of(size, options)):
                    at = f"{unit.support} {unit.distribution} {group.family} {group.tau:g}"
                    cell = f"mse {size.name} {name} {draws} {at}"
                    yield cell, (squared_errors, size, options, unit, group, variant, draws)


def compiled_with(name: str) -> str:
    """Cells of one such name share their compilation: distribution, Q and tau are left out."""
    return " ".join(name.split(" ")[:-3]) if name.startswith("mse") else name


def run(todo: list[tuple[str, Any]], kept_cells: dict[str, Any], save: Any, until: float) -> None:
    """Compute what is missing; say first about how long all of it takes."""
    begun = time.monotonic()
    seen: set[Any] = set()
    first: list[float] = []
    later: list[float] = []
    for number, (name, (function, *given)) in enumerate(todo):
        if time.monotonic() > until:
            print(f"{len(todo) - number} cells are left", flush=True)
            return
        at = time.monotonic()
        if function is time_ratio:
            jax.clear_caches()  # of the variant before
        kept_cells[name] = function(*given)
        save()
        kind = compiled_with(name)
        (later if kind in seen else first).append(time.monotonic() - at)
        seen.add(kind)
        if len(later) == 3:
            kinds = len({compiled_with(n) for n, _ in todo})
            total = kinds * np.mean(first) + (len(todo) - kinds) * np.mean(later)
            print(f"{len(todo)} cells: about {total / 60:.0f} minutes in all", flush=True)
        if number % 20 == 19:
            print(f"{number + 1} of {len(todo)}, {time.monotonic() - begun:.0f} s", flush=True)


def interpolated(low: Any, high: Any, factor: float) -> Any:
    """log MSE at factor times as many draws, from those at once and at twice as many."""
    slope = np.minimum((np.log(high) - np.log(low)) / np.log(2.0), 0.0)
    return np.log(low) + slope * np.log(factor)


def ratios(
    cells: dict[str, Any], size: Size, options: Options, name: str, variant: Variant
) -> dict[str, Any] | None:
    """Geometric means of a variant's MSE over the default's, by half, at both costs."""
    ratio = 1.0 if name == "default" else cells.get(f"time {size.name} {name}")
    if ratio is None:
        return None
    logs_of: dict[str, list[Any]] = {}
    for unit, group in places(board_of(size, options)):
        at = f"{unit.support} {unit.distribution} {group.family} {group.tau:g}"
        names = [f"mse {size.name} {n} {k} {at}" for n in ("default", name)
                 for k in (size.draws, 2 * size.draws)]  # fmt: skip
        if any(one not in cells for one in names):
            continue
        for half in ("choice", "held out"):
            if not any(cells[names[0]][half]):
                continue
            base, _, low, high = (np.array(cells[one][half]) for one in names)
            for cost, factor in (("evaluations", variant.per_evaluation), ("time", 1.0 / ratio)):
                log = interpolated(low, high, factor) - np.log(base)
                logs_of.setdefault(f"{cost}, {half}", []).append(log)
    means = {key: float(np.exp(np.mean(logs))) for key, logs in logs_of.items()}
    if "evaluations, held out" in logs_of:
        means["worst cell"] = float(np.exp(np.max(logs_of["evaluations, held out"])))
    return {"time over the default's": ratio, **means}


def table(
    cells: dict[str, Any], sizes: tuple[Size, ...], options: Options, every: dict[str, Variant]
) -> None:
    """A table a size."""
    columns = ("time over the default's", "evaluations, choice", "evaluations, held out",
               "time, choice", "time, held out", "worst cell")  # fmt: skip
    for size in sizes:
        print(f"\n{size.states} states, {size.levels} levels, {size.draws} draws a level\n")
        print(f"| variant | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
        for name, variant in every.items():
            row = ratios(cells, size, options, name, variant)
            if row:
                shown = [f"{row[c]:.3g}" if c in row else "-" for c in columns]
                print(f"| {name} | {' | '.join(shown)} |")


def main() -> None:
    """Run what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop after so long")
    parser.add_argument("--states", type=int, default=16)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--supports", nargs="+", default=["box", "real"])
    parser.add_argument("--taus", nargs="+", type=float, default=[0.02, 0.1, 0.5])
    parser.add_argument("--distributions", nargs="+", default=["pi", "lag"])
    parser.add_argument("--sizes", nargs="+", default=[size.name for size in SIZES])
    parser.add_argument("--variants", nargs="+", default=None, help="only these; default always")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    options = Options(given.states, given.trials, tuple(given.supports), tuple(given.taus),
                      tuple(given.distributions))  # fmt: skip
    sizes = tuple(size for size in SIZES if size.name in given.sizes)
    every = {k: v for k, v in variants().items()
             if k == "default" or given.variants is None or k in given.variants}  # fmt: skip
    about = {"code": code_version(ROWS), "states": given.states, "trials": given.trials}
    results: dict[str, Any] = (
        json.loads(given.results.read_text()) if given.results.exists() else {}
    )
    if results.get("about") != about:
        results = {"about": about, "cells": {}}
    cells: dict[str, Any] = results["cells"]
    todo = [one for one in work(sizes, options, every) if one[0] not in cells]
    print(f"{len(todo)} cells to compute; the first few say how long it takes", flush=True)
    run(todo, cells, lambda: write_json(given.results, results), time.monotonic() + given.seconds)
    stamp(given.results)
    table(cells, sizes, options, every)


if __name__ == "__main__":
    main()
