"""The standard normal on an interval [a, b], accurate far in its tails, in both precisions.

All is written with log M(z), M(z) = sqrt(2/pi) (1 - Phi(z))/phi(z) the scaled Mills
ratio, which varies slowly: log(2 (1 - Phi(z))) = -z^2/2 + log M(z) for z >= 0. Intervals
are flipped so that b >= |a|: what is far out then lies on the right.
"""

import math
from functools import cache

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf, ndtr, ndtri
from jaxtyping import Array, Float

DEGREE = {"float64": 26, "float32": 11}  # of the Chebyshev series, to each rounding error
HALLEY_STEPS = 2


@cache
def mills_series(degree: int) -> tuple[float, ...]:
    """Chebyshev coefficients in 2t - 1 of log(M(z)/t), t = 2/(2 + z/sqrt 2)."""
    from scipy.special import erfcx  # half as long to import as JAX

    node = np.cos(np.pi * (np.arange(4 * degree) + 0.5) / (4 * degree))
    t = 0.5 * (node + 1.0)
    values = np.log(erfcx(2.0 * (1.0 - t) / t) / t)
    return tuple(float(c) for c in np.polynomial.chebyshev.chebfit(node, values, degree))


def log_mills(z: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """log M(z) for z >= 0, elementwise (Clenshaw's recurrence)."""
    t = 2.0 / (2.0 + z / math.sqrt(2.0))
    y = 2.0 * (2.0 * t - 1.0)
    first, second = jnp.zeros_like(z), jnp.zeros_like(z)
    series = mills_series(DEGREE.get(str(z.dtype), 11))
    for coefficient in series[:0:-1]:
        first, second = coefficient + y * first - second, first
    return jnp.log(t) + series[0] + 0.5 * y * first - second


def log_tail_ratio(a: Array, step: Array) -> Array:
    """log of (1 - Phi(a + step))/(1 - Phi(a)) for a, step >= 0, without cancellation."""
    return -step * (a + 0.5 * step) + log_mills(a + step) - log_mills(a)


def log_mass(a: Float[Array, "*n"], b: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """log(Phi(b) - Phi(a)) for a < b, elementwise; right at 100 sigma out."""
    flip = a + b < 0
    a, b = jnp.where(flip, -b, a), jnp.where(flip, -a, b)
    outer = jnp.maximum(a, 0.0)  # the tail beyond the nearer end, if 0 is outside
    log_tail = -0.5 * outer**2 + log_mills(outer) - math.log(2.0)
    beyond = log_tail_ratio(outer, jnp.maximum(b - outer, 0.0))
    one_sided = log_tail + jnp.log(-jnp.expm1(beyond))
    around_zero = jnp.log(
        0.5 * (erf(b / math.sqrt(2.0)) - erf(jnp.minimum(a, 0.0) / math.sqrt(2.0)))
    )
    return jnp.where(a >= 0, one_sided, around_zero)


def quantile(
    uniform: Float[Array, "*n"], a: Float[Array, "*m"], b: Float[Array, "*m"]
) -> Float[Array, "*n"]:
    """The uniform-quantile of N(0, 1) on [a, b], elementwise; always inside [a, b].

    Near the centre by the inverse normal distribution function from the nearer side;
    beyond one sigma by Halley's steps on the distance from the inner end a. What depends on
    a and b alone is computed in their shape, which broadcasts against that of uniform.
    """
    flip = a + b < 0
    left, right = jnp.where(flip, -b, a), jnp.where(flip, -a, b)
    u = jnp.where(flip, 1.0 - uniform, uniform)
    z = jnp.where(left >= 1.0, tail_quantile(u, left, right), central_quantile(u, left, right))
    return jnp.clip(jnp.where(flip, -z, z), a, b)


def central_quantile(u: Array, a: Array, b: Array) -> Array:
    """The quantile for |a| <= b, a < 1: mix the tail masses of both ends, invert one."""
    below = (1.0 - u) * ndtr(a) + u * ndtr(b)
    above = (1.0 - u) * ndtr(-a) + u * ndtr(-b)
    tiny = np.finfo(u.dtype).tiny
    z = ndtri(jnp.maximum(jnp.minimum(below, above), tiny))
    return jnp.where(below < above, z, -z)


def tail_quantile(u: Array, a: Array, b: Array) -> Array:
    """The quantile for 1 <= a < b: solve log tail ratio = log(1 - u (1 - ratio at b))."""
    a = jnp.maximum(a, 1.0)
    width = jnp.maximum(b - a, 0.0)
    log_ratio = log_mills(a)
    goal = jnp.log1p(u * jnp.expm1(log_tail_ratio(a, width)))
    step = -2.0 * goal / (a + jnp.sqrt(a * a - 2.0 * goal))
    for _ in range(HALLEY_STEPS):
        mills = log_mills(a + step)
        hazard = math.sqrt(2.0 / math.pi) * jnp.exp(-mills)
        newton = (mills - log_ratio - step * (a + 0.5 * step) - goal) / hazard
        step = jnp.maximum(step + newton / (1.0 + 0.5 * newton * (hazard - a - step)), 0.0)
    return a + jnp.minimum(step, width)
