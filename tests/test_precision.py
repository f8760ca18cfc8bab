"""float32 beside float64 on the same draws, and no NaN at the ends of every range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import steinflow as sf
from steinflow.draws import weights
from steinflow.levels import cast
from steinflow.points import Point
from steinflow.score import shared_draws
from steinflow.study.conditions import FAMILIES
from tests.helpers import noised

ALPHAS = jnp.array([0.1, 0.5, 0.9])
LEVELS = sf.Level(ALPHAS, 1.0 - ALPHAS)
METHODS = ("noise", "gradient", "blend", "idem", "cvsi", "lfgi", "auto", "matrix")
TOLERANCE = 1e-3


def estimators(dim, bounded):
    """Name -> (estimator, least ESS at which precisions must agree)."""
    rules = {name: (sf.ESTIMATORS[name].estimator, 2.0) for name in METHODS[:-1]}
    if dim > 2:
        del rules["lfgi"]
    return rules | {"matrix": (sf.ControlVariate(sf.InSample("matrix")), 2.0 * dim)}


@pytest.mark.parametrize(("dim", "bounded"), [(2, False), (6, True)])
def test_float32_agrees_with_float64_on_the_same_draws(dim, bounded):
    """Every family, four temperatures, three levels, each method: to 1e-3 (|s| + sqrt trace)."""
    support = sf.Box(-1.0, 1.0) if bounded else sf.RealSpace()
    table = estimators(dim, bounded)

    @jax.jit
    def at(key, target):
        xs = jnp.stack([noised(key, target, sf.Level(alpha, 1.0 - alpha)) for alpha in ALPHAS])
        # Hessians of six coordinates are dear, and lfgi is judged in two
        draws, points = shared_draws(key, target, xs, LEVELS, sf.auto(), 16, hessian=dim == 2)

        def one(log_prior, x, level):
            draws_here, point = draws._replace(log_prior=log_prior), Point(x, level, support)
            top = jnp.max(draws_here.log_weight)
            draws_here = draws_here._replace(value=draws_here.value - top)
            result = []
            for estimator, _ in table.values():
                exact = weights(draws_here) @ estimator.terms(draws_here, point)
                low = cast((draws_here, point, estimator), jnp.float32)
                rough = weights(low[0]) @ low[2].terms(low[0], low[1])
                result.append((exact, rough.astype(exact.dtype), rough.dtype == jnp.float32))
            scale = jnp.linalg.norm(target.exact_score(x, level))
            scale = scale + target.exact_trace(x, level) ** 0.5
            return result, scale, 1.0 / jnp.sum(weights(draws_here) ** 2)

        return jax.vmap(one)(draws.log_prior, points.x, points.level)

    tested = 0
    for number, family in enumerate(FAMILIES):
        for tau in (0.02, 0.1, 0.5, 2.0):
            result, scale, ess = at(jax.random.key(number), FAMILIES[family](tau, dim, support))
            for name, (exact, rough, is_low) in zip(table, result, strict=True):
                assert np.all(is_low), name
                resolved = ess > table[name][1]
                gap = jnp.linalg.norm(rough - exact, axis=-1) / scale
                assert jnp.all(jnp.where(resolved, gap, 0.0) < TOLERANCE), (family, tau, name, gap)
                tested += int(resolved.sum())
    assert tested > 250


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", sorted(sf.ESTIMATORS))
def test_nothing_is_nan_at_the_ends(name, dtype):
    """tau and alpha at 1e-3, alpha at 1 - 1e-3, x ten sigma outside the box, Q of ±1e6."""
    box = sf.Box(jnp.array([-1.0, 0.0], dtype), jnp.array([1.0, 3.0], dtype))

    @jax.jit
    def score(key, tau, alpha, size, x):
        target = sf.Boltzmann(lambda a: size * jnp.sum(jnp.cos(a)), tau, box)
        level = sf.Level(alpha, 1.0 - alpha)
        return sf.score_target(key, target, x, level, name, num_draws=8).score

    for tau in (1e-3, 1.0):
        for alpha in (1e-3, 0.5, 1.0 - 1e-3):
            for size in (1.0, 1e6, -1e6):
                for reach in (0.0, 10.0, -10.0):
                    x = jnp.array([alpha, 3.0 * alpha], dtype) + reach * (1.0 - alpha)
                    numbers = (jnp.asarray(v, dtype) for v in (tau, alpha, size))
                    result = score(jax.random.key(0), *numbers, x.astype(dtype))
                    assert result.dtype == dtype
                    assert jnp.all(jnp.isfinite(result)), (tau, alpha, size, reach)
