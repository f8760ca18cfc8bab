"""What samplers draw from exact scores, over the number of steps: `make bench-samplers`.

Two densities in two dimensions, a mixture of three normals on R^2 and double wells on a box, whose
E[a|x] is exact. The energy distance (Székely & Rizzo, 2013) to exact samples is without bias, so
that where nothing is left it is as often below zero. It is quadratic in what a density lacks: a
sampler of first order divides it by four where the steps are doubled.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Float
from provenance import stamp

import steinflow as sf
from steinflow.conversions import posterior_mean
from steinflow.io.files import write_atomically
from steinflow.levels import Level
from steinflow.report.style import curve, panels, shared_legend, styled
from steinflow.samplers import SAMPLERS, Steps, denoise, steps_of

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "samplers.csv"
FIGURE = HERE.parent / "docs" / "figures" / "samplers.svg"
STEPS, PARTS, SAMPLES = (4, 8, 16, 32, 64, 128, 256), 10, 2_000
CORRECTOR = 0.16
KINDS = [*((name, 0.0) for name in SAMPLERS), ("sde", CORRECTOR)]
SCHEDULES = [sf.LinearFlow(), sf.VariancePreserving(), sf.VarianceExploding()]
LOOK = {"ode": "noise", "ddpm": "gradient", "sde": "rfm", f"sde, corrector {CORRECTOR}": "blend"}
Predict = Callable[[Array, Level], Array]


def mixture() -> tuple[Predict, Callable[[Array], Array]]:
    """E[a|x] and exact samples of three normals on R^2."""
    target = sf.targets.GaussianMixture(
        mean=np.array([[0.6, 0.5], [-0.5, -0.4], [0.5, -0.7]]),
        precision=np.array([[16.0, 9.0], [25.0, 16.0], [9.0, 25.0]]),
        offset=np.array([0.0, 0.3, -0.2]), tau=1.0,
    )  # fmt: skip

    def predict(x: Array, level: Level) -> Array:
        return posterior_mean(target.exact_score(x, level), x, level)

    return predict, partial(target.sample, num_samples=SAMPLES)


def wells() -> tuple[Predict, Callable[[Array], Array]]:
    """The same for exp(8 a² - 10 a^4 + a) in each dimension of a box, by sums over a grid."""
    grid = (jnp.arange(1_000) + 0.5) / 500 - 1.0
    log_density = 8.0 * grid**2 - 10.0 * grid**4 + grid

    def predict(x: Array, level: Level) -> Array:
        weight = log_density - 0.5 * ((x[:, None] - level.alpha * grid) / level.sigma) ** 2
        return jax.nn.softmax(weight) @ grid

    def draw(key: Array) -> Array:
        return grid[jax.random.categorical(key, log_density, shape=(SAMPLES, 2))]

    return predict, draw


TARGETS = {"three normals on R²": mixture, "double wells on a box": wells}


def energy(a: Float[Array, "n d"], b: Float[Array, "n d"]) -> Float[Array, ""]:
    """The energy distance of two sets of as many samples, without bias."""

    def total(u: Array, v: Array) -> Array:
        return jnp.sum(jnp.linalg.norm(u[:, None] - v[None], axis=-1))

    n = len(a)
    return 2 * total(a, b) / n**2 - (total(a, a) + total(b, b)) / (n**2 - n)


@partial(jax.jit, static_argnames="target")
def distances(target: str, steps: Steps, key: Array) -> Float[Array, " p"]:
    """Of independent parts of samples."""
    predict, draw = TARGETS[target]()

    def part(key: Array) -> Array:
        ours, exact = jax.random.split(key)

        def one(key: Array) -> Array:
            return denoise(key, steps, lambda key, x, level: predict(x, level), 2)

        return energy(jax.vmap(one)(jax.random.split(ours, SAMPLES)), draw(exact))

    return jax.lax.map(part, jax.random.split(key, PARTS))


def main() -> None:
    """All cells, the table and the picture; --draw: the picture alone."""
    if "--draw" in sys.argv:
        draw_figure(pl.read_csv(RESULTS))
        return
    jax.config.update("jax_enable_x64", True)
    rows = []
    for target in TARGETS:
        for schedule in SCHEDULES:
            for sampler, corrector in KINDS:
                for count in STEPS:
                    times = (jnp.arange(count + 1) + 0.5) / (count + 1)
                    steps = steps_of(schedule, times, sampler, corrector)
                    if steps.noise is None:
                        steps = steps._replace(noise=jnp.zeros(count))
                    result = np.asarray(distances(target, steps, jax.random.key(count)))
                    rows.append({
                        "target": target, "schedule": type(schedule).__name__,
                        "sampler": sampler + (f", corrector {corrector}" if corrector else ""),
                        "steps": count, "energy": float(result.mean()),
                        "std_error": float(result.std(ddof=1) / np.sqrt(PARTS)),
                    })  # fmt: skip
                    print(*rows[-1].values(), flush=True)
    table = pl.DataFrame(rows)
    text = table.write_csv(float_precision=6).encode()
    write_atomically(RESULTS, lambda file: file.write(text))
    stamp(RESULTS)
    draw_figure(table)


def draw_figure(table: pl.DataFrame) -> None:
    """Energy distance over steps, a panel a schedule, the mean of both targets; in grey what is
    not told from exact samples, within two standard errors."""
    with styled():
        figure, axes = panels(len(SCHEDULES), width=2.9, height=2.7, sharey=True)
        for ax, schedule in zip(axes, SCHEDULES, strict=True):
            name = type(schedule).__name__
            part = table.filter(pl.col("schedule") == name).group_by(["sampler", "steps"])
            mean = part.agg(pl.col("energy").mean(), pl.col("std_error").max()).sort("steps")
            for sampler in LOOK:
                line = mean.filter(pl.col("sampler") == sampler)
                curve(ax, line["steps"], line["energy"].clip(1e-6), None, LOOK[sampler], sampler)
            floor = 2.0 * mean.filter(pl.col("steps") == STEPS[-1])["std_error"].max()
            ax.axhspan(1e-6, floor, color="#dddddd", linewidth=0)
            ax.set(xscale="log", yscale="log", title=name, xlabel="steps", ylim=(1e-4, 1.0))
            ax.set_xticks(STEPS[::2], [str(n) for n in STEPS[::2]])
        axes[0].set_ylabel("energy distance to exact samples")
        shared_legend(figure, axes[0])
        figure.savefig(FIGURE)
    stamp(FIGURE, RESULTS)


if __name__ == "__main__":
    main()
