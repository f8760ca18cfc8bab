"""The two ingredients of every estimator: the noise term u and the Stein term h.

With the posterior score g(a) = grad log pi(a) + alpha (x - alpha a)/sigma^2,

    u(a) = (alpha a - x)/sigma^2           E[u|x] = s*(x)
    h(a) = phi(a) ⊙ g(a) + ∂phi(a)         E[h|x] = 0 where phi p = 0 on the boundary

and s_C = E[u + C h/alpha] for every matrix C (Oates, Girolami & Chopin, 2017,
https://arxiv.org/abs/1410.2392).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from steinflow.draws import Draws
from steinflow.points import Point


def noise_terms(draws: Draws, point: Point) -> Float[Array, "k d"]:
    """u(a) = (alpha a - x)/sigma^2, [k, d]; E[u|x] is the score on any support."""
    return (point.level.alpha * draws.action - point.x) / point.level.sigma**2


def posterior_score(draws: Draws, point: Point) -> Float[Array, "k d"]:
    """g(a) = grad log p(a|x) = grad log pi(a) + alpha (x - alpha a)/sigma^2, [k, d]."""
    return draws.gradient - point.level.alpha * noise_terms(draws, point)


def stein_terms(draws: Draws, point: Point) -> Float[Array, "k d"]:
    """h(a) = phi ⊙ g + ∂phi, [k, d]; E[h|x] = 0 on R^d and on a box."""
    boundary_weight, weight_gradient = point.support.boundary_weight(draws.action)
    return boundary_weight * posterior_score(draws, point) + weight_gradient


def apply(coefficient: Float[Array, "*c"], terms: Float[Array, "k d"]) -> Float[Array, "k d"]:
    """C h for every draw; C is a scalar, a diagonal [d] or a matrix [d, d]."""
    coefficient = jnp.asarray(coefficient)
    return terms @ coefficient.T if coefficient.ndim == 2 else coefficient * terms


def unified_terms(
    draws: Draws, point: Point, coefficient: Float[Array, "*c"]
) -> Float[Array, "k d"]:
    """u + C h/alpha, [k, d]: the unified estimator's term for every draw."""
    stein = apply(coefficient, stein_terms(draws, point))
    return noise_terms(draws, point) + stein / point.level.alpha
