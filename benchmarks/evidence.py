"""Do the standard errors of `auto` hold, on problems that were made after it was?

    python benchmarks/evidence.py        # finished cells are skipped; --help for smaller runs

Six kinds of Q: linear, quadratic, the sum of |a_j| (whose exp(Q/tau) is a product), mixtures of
forty modes, networks over pairs of coordinates, and fully coupled networks; on a box and on R^d, at
three temperatures in units of Q's spread. Weights, modes and points come from a seed that nothing
else uses. Each problem has five noise levels, alone or sharing their draws, in either precision.

A cell is a problem, a level, a number of draws and a precision, with 128 keys. It counts where the
mean ESS is at least 10, plain noise expectation on as many independent draws is itself beyond three
of its standard errors in at most 5 %, and the truth errs at most a tenth of what `auto` does.
Shares are of components over keys. One CSV has a row a cell.
"""

import argparse
import csv
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float
from provenance import stamp

import steinflow as sf
from steinflow.checks import Numbers, as_leaf
from steinflow.io.files import write_json
from steinflow.levels import cast
from steinflow.sobol import sobol
from steinflow.study.leaderboard.grid import Board, support_of
from steinflow.study.leaderboard.problems import KINDS as BOARD_KINDS
from steinflow.study.leaderboard.problems import Problem, at_temperature, random_mixture, spread
from steinflow.study.leaderboard.reference import referenced
from steinflow.study.leaderboard.versions import ROWS, code_version
from steinflow.targets import random_networks
from steinflow.targets.boltzmann import AbstractTarget

RESULTS = Path(__file__).parent / "results" / "evidence.csv"
KINDS = ("linear", "quadratic", "absolute", "mixture", "pairs", "coupled")
COUPLED = KINDS.index("coupled")
BOARD = Board()  # its five levels
SEED, RESAMPLED, PANELS, NODES, REACH = 7_000_003, 2**14, 256, 8, 12.0
BEYOND, LEAST_ESS, TOO_HARD = 3.0, 10.0, 0.05
COLUMNS = ("support", "dim", "kind", "tau", "num_draws", "levels", "dtype", "alpha", "ess",
           "noise_beyond", "beyond", "median", "reliable", "reliable_beyond", "truth_error",
           "counts")  # fmt: skip


class Absolute(AbstractTarget):
    """Q(a) = -Σ_j s_j |a_j|: pi is a product of Laplace densities, cut to the support."""

    slope: Numbers = eqx.field(converter=as_leaf)
    tau: Numbers = eqx.field(converter=as_leaf)
    support: sf.RealSpace | sf.Box

    @property
    def dim(self) -> int:
        """d, the dimension of an action."""
        return int(self.slope.shape[-1])

    def value(self, action: Float[Array, " d"]) -> Float[Array, ""]:
        return -jnp.sum(self.slope * jnp.abs(action))

    def exact_score(self, x: Float[Array, " d"], level: sf.Level) -> Float[Array, " d"]:
        """s*(x) by Gauss-Legendre panels on either side of the kink, a dimension at a time."""
        node, rule = np.polynomial.legendre.leggauss(NODES)
        place = (np.arange(PANELS)[:, None] + 0.5 * (node + 1.0)).ravel() / PANELS
        mass = np.tile(rule, PANELS)
        low, high = self.support.bounds(self.dim)
        width = level.sigma / level.alpha
        reach = REACH * width + width**2 * self.slope / self.tau  # where the posterior can be
        left = jnp.maximum(low, x / level.alpha - reach)
        right = jnp.minimum(high, x / level.alpha + reach)

        def one(x: Array, left: Array, right: Array, slope: Array) -> Array:
            ends = jnp.stack([left, jnp.clip(0.0, left, right), right])
            a = ends[:-1, None] + jnp.diff(ends)[:, None] * place
            misfit = (x - level.alpha * a) / level.sigma
            log_p = -slope * jnp.abs(a) / self.tau - 0.5 * misfit**2
            p = jnp.exp(log_p - jnp.max(log_p)) * mass * jnp.diff(ends)[:, None]
            return (level.alpha * jnp.sum(p * a) / jnp.sum(p) - x) / level.sigma**2

        return jax.vmap(one)(x, left, right, jnp.asarray(self.slope))


class Posed(NamedTuple):
    """A problem: every kind of Q, the one that counts, and the truths at five levels."""

    number: Any  # of the kind
    members: dict[str, AbstractTarget]
    tau: Any
    xs: Any  # [l, d]
    score: Any  # [l, d]
    truth_error: Any  # [l], squared


def members(seed: int, dim: int, support: Any) -> dict[str, AbstractTarget]:
    """Every kind of Q at temperature one."""
    rng = np.random.default_rng(seed)
    wide: dict[str, Any] = {"width": 256, "block": dim, "dtype": np.float32}
    flat, zero = rng.normal(size=dim), np.zeros(dim)
    bowl = -rng.uniform(0.2, 1.5, dim)
    turn = sf.targets.Quadratic(1.0, dim, support).rotation
    return {
        "linear": sf.targets.Separable(flat, zero, zero, zero, turn, 1.0, support),
        "quadratic": sf.targets.Separable(flat, bowl, zero, zero, turn, 1.0, support),
        "absolute": Absolute(rng.uniform(0.3, 2.0, dim), 1.0, support),
        "mixture": random_mixture(seed, dim, support),
        "pairs": random_networks(seed, 1.0, dim, support),
        "coupled": random_networks(seed + 1, 1.0, dim, support, **wide),
    }


@partial(jax.jit, static_argnames="bounded")
def actions_of(key: Any, target: Any, dim_like: Any, bounded: bool) -> Any:
    """One action of about pi: 2^14 even ones, resampled."""
    choose, numbers = jax.random.split(key)
    uniform = sobol(numbers, RESAMPLED, dim_like.size, jnp.float64)
    action = 2.0 * uniform - 1.0 if bounded else ndtri(uniform)
    log_weight = jax.lax.map(target.value, action, batch_size=1024) / target.tau
    return action[jax.random.categorical(choose, log_weight)]


def pose(support: str, dim: int, kind: str, tau: float, seed: int, log2_reference: int) -> Posed:
    """A problem with its truth, in float64."""
    space = support_of(support)
    every = members(seed + dim, dim, space)
    number = KINDS.index(kind)
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], every[kind])
    tau = tau * float(spread(single)[0])
    every = {k: at_temperature(one, jnp.asarray(tau)) for k, one in every.items()}
    key = jax.random.fold_in(jax.random.key(seed), 1000 * dim + number)
    action = actions_of(key, every[kind], jnp.zeros(dim), support == "box")
    alpha, sigma = (jnp.asarray(leaf)[:, None] for leaf in (BOARD.levels.alpha, BOARD.levels.sigma))
    xs = alpha * action + sigma * jax.random.normal(key, (alpha.size, dim))
    if kind == "coupled":
        score, error = long_run(every[kind], xs, log2_reference)
    else:
        level = jax.tree.map(jnp.asarray, BOARD.levels)
        score = jax.vmap(every[kind].exact_score)(xs, level)
        error = jnp.zeros(alpha.size)
    return Posed(jnp.asarray(number), every, jnp.asarray(tau), xs, score, error)


def long_run(net: Any, xs: Any, log2_reference: int) -> tuple[Any, Any]:
    """Scores of coupled networks by 2^n draws, and their squared errors."""
    first = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], net)
    none, zero = jnp.zeros((1, *xs.shape)), jnp.zeros((1, len(xs)))
    blank = Problem(jnp.asarray(0), {BOARD_KINDS[-1]: first}, first.tau, xs[None], none, zero,
                    xs[None], none, zero, zero, zero)  # fmt: skip
    board = Board(log2_reference=log2_reference)
    reference = referenced(blank, board)
    return reference.score[0], reference.reference_mse[0]


@eqx.filter_jit
def estimates(keys: Any, posed: Posed, support: Any, num_draws: int, shared: bool) -> Any:
    """Errors of auto over their standard errors, and of noise: [keys, l, d] each, and evidence."""
    levels = cast(jax.tree.map(jnp.asarray, BOARD.levels), posed.xs.dtype)

    def q(action: Array, members: Any) -> Array:
        def value_of(name: str) -> Any:
            return lambda action, members: members[name].value(action).astype(action.dtype)

        return jax.lax.switch(posed.number, [value_of(k) for k in KINDS], action, members)

    one = jax.tree.map(lambda leaf: leaf[None], (posed.tau, posed.members))
    if not shared:
        one = jax.tree.map(lambda leaf: jnp.repeat(leaf, len(posed.xs), axis=0), one)
    target = sf.Boltzmann(q, one[0], support, one[1])
    xs = posed.xs[None] if shared else posed.xs

    def trial(key: Any) -> Any:
        def z(method: str) -> Any:
            estimate = sf.score_targets(key, target, xs, levels, method, num_draws=num_draws)
            score, info = (leaf for leaf in estimate)
            shape = posed.xs.shape
            error = score.reshape(shape) - posed.score
            # a linear or quadratic Q can leave nothing: rounding is no error
            size = jnp.abs(posed.score) + 1.0 / levels.sigma[:, None]
            floor = 32 * jnp.finfo(error.dtype).eps * size
            z = jnp.abs(error) / jnp.maximum(info.std_error.reshape(shape), floor)
            return z, error**2, info.ess.reshape(-1), info.reliable.reshape(-1)

        return z("auto"), z("noise")[0]

    return jax.lax.map(trial, keys, batch_size=8)


def rows_of(
    posed: Posed, support: str, num_draws: int, shared: bool, dtype: Any, num_keys: int
) -> list[dict[str, Any]]:
    """A row a level."""
    problem = cast(posed, dtype)
    keys = jax.random.split(jax.random.key(SEED + num_draws), num_keys)
    space = cast(support_of(support), dtype)
    given = (keys, problem, space, num_draws, shared)
    (z, square, ess, reliable), noise = jax.device_get(estimates(*given))
    rows = []
    for i, alpha in enumerate(BOARD.alphas):
        beyond = z[:, i] > BEYOND
        sure = reliable[:, i]
        truth = float(posed.truth_error[i] / max(square[:, i].sum(-1).mean(), 1e-300))
        row = {
            "alpha": alpha, "ess": float(ess[:, i].mean()),
            "noise_beyond": float((noise[:, i] > BEYOND).mean()), "beyond": float(beyond.mean()),
            "median": float(np.median(z[:, i])), "reliable": float(sure.mean()),
            "reliable_beyond": float(beyond[sure].mean()) if sure.any() else 0.0,
            "truth_error": truth,
        }  # fmt: skip
        row["counts"] = bool(
            row["ess"] >= LEAST_ESS and row["noise_beyond"] <= TOO_HARD and truth <= 0.01
        )
        rows.append(row)
    return rows


def grid(given: Any) -> Iterator[tuple[str, int, int, bool, str]]:
    """What is compiled: support, dimension, draws, shared levels, precision."""
    for support in given.supports:
        for dim in given.dims:
            for num_draws in given.num_draws:
                for shared in (False, True):
                    for dtype in given.dtypes:
                        yield support, dim, num_draws, shared, dtype


def report(cells: dict[str, Any]) -> None:
    """The bars of the issue, and the tables by kind and by number of draws."""
    rows = [row for cell in cells.values() for row in cell]
    counted = [row for row in rows if row["counts"]]
    print(f"\n{len(counted)} of {len(rows)} cells count")
    if not counted:
        return
    share = lambda some, name: float(np.mean([row[name] for row in some]))  # noqa: E731
    sure = [row for row in counted if row["reliable"] > 0]
    weight = np.array([row["reliable"] for row in sure])
    sure_beyond = np.array([row["reliable_beyond"] for row in sure]) @ weight / max(weight.sum(), 1)
    medians = [row["median"] for row in counted]
    print(f"beyond three standard errors: {share(counted, 'beyond'):.2%} (bar 3 %), "
          f"worst cell {max(row['beyond'] for row in counted):.1%} (bar 10 %)")  # fmt: skip
    print(f"where reliable: {sure_beyond:.2%} (bar 1 %), in {share(counted, 'reliable'):.0%}")
    print(f"median |error|/std_error over all: {np.median(medians):.2f} (bar .1 to 1.2)")
    print("\n| | cells | beyond | worst | median | plain noise beyond |\n|---|---|---|---|---|---|")
    for name in ("kind", "num_draws", "levels", "dtype", "support", "dim", "alpha"):
        for value in dict.fromkeys(row[name] for row in counted):
            some = [row for row in counted if row[name] == value]
            middle = np.median([row["median"] for row in some])
            print(f"| {name} {value} | {len(some)} | {share(some, 'beyond'):.2%} | "
                  f"{max(row['beyond'] for row in some):.1%} | {middle:.2f} | "
                  f"{share(some, 'noise_beyond'):.2%} |")  # fmt: skip
    print("\nthe ten worst cells")
    for row in sorted(counted, key=lambda row: -row["beyond"])[:10]:
        place = ", ".join(f"{k} {row[k]}" for k in COLUMNS[:8])
        noise = f"noise {row['noise_beyond']:.1%}"
        print(f"{row['beyond']:.1%}: {place}; ESS {row['ess']:.0f}, {noise}")


def write_csv(path: Path, cells: dict[str, Any]) -> None:
    """A row a cell."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for cell in cells.values():
            for row in cell:
                shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()}
                writer.writerow(shown)


def main() -> None:
    """Run what is missing, print the tables, and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=7200.0, help="stop after so long")
    parser.add_argument("--keys", type=int, default=128)
    parser.add_argument("--supports", nargs="+", default=["box", "real"])
    parser.add_argument("--dims", nargs="+", type=int, default=[2, 5, 17])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--taus", nargs="+", type=float, default=[0.1, 0.5, 2.0])
    parser.add_argument("--num-draws", nargs="+", type=int, default=[16, 64, 256])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--log2-reference", type=int, default=21)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    store = Path("runs") / "evidence" / f"{given.out.stem}.json"
    about = {"code": code_version(ROWS), "keys": given.keys, "seed": given.seed}
    results: dict[str, Any] = json.loads(store.read_text()) if store.exists() else {}
    if results.get("about") != about:
        results = {"about": about, "cells": {}}
    cells, problems, until = results["cells"], {}, time.monotonic() + given.seconds
    every = [(g, kind, tau) for g in grid(given) for kind in given.kinds for tau in given.taus
             if kind != "coupled" or g[1] == 2 or tau >= 0.5]  # fmt: skip
    name_of = lambda at: "-".join(map(str, (*at[0], *at[1:])))  # noqa: E731
    todo = [at for at in every if name_of(at) not in cells]
    begun, previous = time.monotonic(), None
    for number, at in enumerate(todo):
        if time.monotonic() > until:
            print(f"{len(todo) - number} problems are left")
            break
        (support, dim, num_draws, shared, dtype), kind, tau = at
        if previous not in (None, at[0]):
            jax.clear_caches()
        previous, where = at[0], (support, dim, kind, tau)
        if where not in problems:
            problems[where] = pose(*where, given.seed, given.log2_reference)
        rows = rows_of(problems[where], support, num_draws, shared, jnp.dtype(dtype), given.keys)
        fixed = {"support": support, "dim": dim, "kind": kind, "tau": tau, "num_draws": num_draws,
                 "levels": 5 if shared else 1, "dtype": dtype}  # fmt: skip
        cells[name_of(at)] = [fixed | row for row in rows]
        store.parent.mkdir(parents=True, exist_ok=True)
        write_json(store, results)
        spent = time.monotonic() - begun
        if number in (20, 60) or number % 200 == 199:
            total = spent * len(todo) / (number + 1) / 60
            print(f"{number + 1} of {len(todo)}; about {total:.0f} minutes in all", flush=True)
    report(cells)
    write_csv(given.out, cells)
    stamp(given.out)


if __name__ == "__main__":
    main()
