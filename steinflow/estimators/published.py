"""Coefficients as published: reverse flow matching, and the control variate score identity.

Both are fitted to the draws that they are used on. Settings are those of the public code
(docs/estimators.md), but for the number of draws.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from steinflow.draws import Draws, weights
from steinflow.estimators.base import Needs
from steinflow.estimators.coefficients import AbstractCoefficient
from steinflow.estimators.stein import noise_terms, stein_terms
from steinflow.points import Point


class ReverseFlow(AbstractCoefficient):
    """RFM's Λ_j = -Σ w²(a - ā)(h - h̄)/(Σ w²(h - h̄)² + ridge), within ±limit; C = alpha² Λ.

    Reference: Li, Tang & Azizan (arXiv 2601.08136). ā and h̄ are means under w. In units of
    the posterior mean, E[a|x] + Λ h̄; hence C = alpha² Λ/sigma².
    """

    ridge: float = 1e-4
    limit: float = 2.0

    def fit(self, draws: Draws, point: Point) -> Float[Array, "*c"]:
        w, stein = weights(draws)[:, None], stein_terms(draws, point)
        action = draws.action - jnp.sum(w * draws.action, axis=0)
        stein = stein - jnp.sum(w * stein, axis=0)
        product, square = jnp.sum(w**2 * action * stein, 0), jnp.sum((w * stein) ** 2, 0)
        gain = jnp.clip(-product / (square + self.ridge), -self.limit, self.limit)
        return point.level.alpha**2 * gain / point.level.sigma**2

    def needs(self, dim: int) -> Needs:
        return Needs(gradient=True, fitted=1)

    def check(self, dim: int, num_draws: int) -> None:
        pass


class VarianceRatio(AbstractCoefficient):
    """CVSI's c = (V_D - Cov)/(V_T + V_D - 2 Cov), one number for a point.

    V_D, V_T and Cov are traces of the sample covariances, without the weights, of the noise
    terms D = u and the gradient terms T = u + h/alpha. Where it is not a number, 0: noise.

    Reference: arXiv 2512.20003, whose coefficient is that of the noise term, 1 - c.
    """

    def fit(self, draws: Draws, point: Point) -> Float[Array, "*c"]:
        noise, gap = noise_terms(draws, point), stein_terms(draws, point) / point.level.alpha
        noise, gap = noise - jnp.mean(noise, axis=0), gap - jnp.mean(gap, axis=0)
        c = -jnp.sum(noise * gap) / jnp.sum(gap**2)
        return jnp.where(jnp.isfinite(c), c, 0.0)

    def needs(self, dim: int) -> Needs:
        return Needs(gradient=True, fitted=1)

    def check(self, dim: int, num_draws: int) -> None:
        pass
