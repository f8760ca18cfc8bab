"""Bayesian quadrature: integrate what Q is believed to be, where asking it more is too dear."""

import jax.numpy as jnp
import numpy as np
from jax.nn import softmax
from jaxtyping import Array, Float

from steinflow.diagnostics import effective_sample_size
from steinflow.draws import Draws, weights
from steinflow.estimators.base import AbstractEstimator, Needs
from steinflow.estimators.stein import noise_terms
from steinflow.gaussian_process import fit
from steinflow.levels import Level
from steinflow.supports import AbstractSupport

EQUATIONS = 2, 100  # n (1 + d) may be at most the second; fewer draws than the first tell nothing
DENSE = 64, 2048  # actions a draw, and at most, at which the process is integrated
FEW = 4.0  # effective ones of them tell nothing
CHECKED = 32  # of them, chosen by their weight, where its variance is taken


class BayesianQuadrature(AbstractEstimator):
    """A Gaussian process through Q/tau and its gradients, integrated by many draws that cost no
    Q, beside another estimate, each weighed by what it errs.

    Approximates: s*(x), on R^d and on a box.
    With: s + b (s_GP - s), s the inner estimate and s_GP = E[u] under the posterior in which the
        process stands for Q/tau. b = 1/(1 + v ESS g^(1/4)): v the variance of the process
        over that posterior, times the factor by which it misjudges each draw from all others
        (at least 1), and 1/(ESS - 4) of the many draws; 1/ESS the variance of a weighted mean;
        g the variance of u over that of the inner terms. Beyond 100 equations n (1 + d) it is
        the inner estimate alone.
    Requires: gradients of Q; smooth where it is to gain.
    Cost: no more of Q than the inner estimate; three factorisations of n (1 + d) equations.
    Variance: the reported one is that of the inner estimate, an upper bound.
    Reference: O'Hagan (1991); Rasmussen & Ghahramani (2003).
    """

    inner: AbstractEstimator

    def terms(self, draws: Draws, level: Level) -> Float[Array, "k d"]:
        terms, (count, dim) = self.inner.terms(draws, level), draws.action.shape
        if count < EQUATIONS[0] or count * (1 + dim) > EQUATIONS[1]:
            return terms
        w, noise = weights(draws), noise_terms(draws, level)
        score, variance = integrated(draws, level)
        mean = w @ terms
        gain = jnp.sum(w @ (noise - w @ noise) ** 2) / positive(jnp.sum(w @ (terms - mean) ** 2))
        odds = variance * effective_sample_size(w) * jnp.maximum(gain, 1.0) ** 0.25
        shift = (score - mean) / (1.0 + odds)
        return terms + jnp.where(jnp.isfinite(odds) & jnp.all(jnp.isfinite(score)), shift, 0.0)

    def coefficient(self, draws: Draws, level: Level) -> Float[Array, "*c"]:
        return self.inner.coefficient(draws, level)

    def needs(self, dim: int) -> Needs:
        return self.inner.needs(dim)

    def is_consistent(self, support: AbstractSupport) -> bool:
        return self.inner.is_consistent(support)

    def check(self, support: AbstractSupport, dim: int, num_draws: int) -> None:
        self.inner.check(support, dim, num_draws)


def integrated(draws: Draws, level: Level) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """E[u] under the posterior of the process, and the variance of Q/tau there."""
    process = fit(draws.action, draws.value, draws.slope)
    size = min(DENSE[0] * draws.value.size, DENSE[1])
    action, log_prior = draws.dense(size)
    w = softmax(process.predict(action) + log_prior)
    score = w @ noise_terms(draws._replace(action=action), level)
    middles = (jnp.arange(CHECKED, dtype=w.dtype) + 0.5) / CHECKED
    heavy = jnp.minimum(jnp.searchsorted(jnp.cumsum(w), middles), size - 1)
    variance = jnp.mean(process.uncertainty(action[heavy])) * jnp.maximum(process.doubt, 1.0)
    return score, variance + 1.0 / jnp.maximum(effective_sample_size(w) - FEW, 0.0)


def positive(square: Array) -> Array:
    """A sum of squares to divide by."""
    return jnp.maximum(square, np.finfo(square.dtype).tiny)
