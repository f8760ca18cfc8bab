"""The two ingredients of every estimator: the noise term u and the Stein term h.

With the posterior score g(a) = grad log pi(a) + alpha (x - alpha a)/sigma^2,

    u(a) = (alpha a - x)/sigma^2           E[u|x] = s*(x)
    h(a) = phi(a) ⊙ g(a) + ∂phi(a)         E[h|x] = 0 where phi p = 0 on the boundary

and s_C = E[u + C h/alpha] for every matrix C (Oates, Girolami & Chopin, 2017).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from steinflow.draws import Draws
from steinflow.levels import Level


def noise_terms(draws: Draws, level: Level) -> Float[Array, "k d"]:
    """u(a) = (alpha a - x)/sigma^2, [k, d]; E[u|x] is the score on any support."""
    return (level.alpha * draws.action - draws.x) / level.sigma**2


def stein_terms(draws: Draws, level: Level) -> Float[Array, "k d"]:
    """h(a) = phi ⊙ g + ∂phi, [k, d]; E[h|x] = 0 on R^d and on a box."""
    posterior_score = draws.slope - level.alpha * noise_terms(draws, level)
    return draws.taper * posterior_score + draws.taper_slope


def flattened(draws: Draws, level: Level) -> Draws:
    """The draws with a taper as steep at the walls as the likelihood is narrow.

    phi = 1 - r^(2p), r the place in the box from -1 to 1, p = max(1, alpha half-width/sigma).
    """
    power = jnp.where(jnp.isfinite(draws.half_width), draws.half_width, 0.0)
    power = jnp.maximum(1.0, power * level.alpha / level.sigma)
    square = jnp.maximum(1.0 - draws.taper, np.finfo(draws.taper.dtype).eps ** 2)
    rest = jnp.exp((power - 1.0) * jnp.log(square))
    return draws._replace(taper=1.0 - rest * square, taper_slope=power * rest * draws.taper_slope)


def apply(coefficient: Float[Array, "*c"], terms: Float[Array, "k d"]) -> Float[Array, "k d"]:
    """C h for every draw; C is a scalar, a diagonal [d] or a matrix [d, d]."""
    coefficient = jnp.asarray(coefficient)
    return terms @ coefficient.T if coefficient.ndim == 2 else coefficient * terms


def unified_terms(
    draws: Draws, level: Level, coefficient: Float[Array, "*c"]
) -> Float[Array, "k d"]:
    """u + C h/alpha, [k, d]: the unified estimator's term for every draw."""
    return noise_terms(draws, level) + apply(coefficient, stein_terms(draws, level)) / level.alpha
