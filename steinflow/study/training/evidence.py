"""Targets weighed by the evidence of their draws, so that a regression on them is hardly biased.

A target n/z of few draws is biased, n and z alone are not: E[n] = p(x) E[a|x] and E[z] = p(x), up
to one constant. The regression whose errors are weighed by z, over anything that x alone decides,
ends at E[n]/E[z] = E[a|x] however few the draws are, where no coefficient is fitted to them and no
weight is cut. What x decides here is a network's prediction
of log z, which makes the weights nearly one wherever draws agree.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.nn import logsumexp
from jaxtyping import Array, Float, Key

from steinflow.draws import Draws
from steinflow.estimators import AbstractEstimator
from steinflow.estimators.base import Needs
from steinflow.levels import Level
from steinflow.points import Point
from steinflow.rl.networks import OCTAVES, Layers, features
from steinflow.supports import AbstractSupport

HIDDEN, SCALE = (64, 64), 10.0  # of the network that predicts log z
MOST = 3.0  # weight at the most
LEAST = -200.0  # log z that is worth telling apart
OUTLIER = 5.0  # error of a prediction from which on it counts linearly


class Evidenced(AbstractEstimator):
    """The same estimate; its `info.coefficient` is log z, z the sum of its unnormalised weights."""

    inner: AbstractEstimator

    def terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        return self.inner.terms(draws, point)

    def independent_terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        return self.inner.independent_terms(draws, point)

    def coefficient(self, draws: Draws, point: Point) -> Float[Array, ""]:
        return logsumexp(draws.log_weight)

    def needs(self, dim: int) -> Needs:
        return self.inner.needs(dim)

    def is_consistent(self, support: AbstractSupport) -> bool:
        return self.inner.is_consistent(support)

    def check(self, support: AbstractSupport, dim: int, num_draws: int) -> None:
        self.inner.check(support, dim, num_draws)


class Evidence(eqx.Module):
    """The prediction of log z at a noisy action and a level."""

    layers: Layers

    def __init__(self, key: Key[Array, ""], dim: int) -> None:
        self.layers = Layers(key, (dim, 2 * OCTAVES), HIDDEN, 1)

    def __call__(self, x: Float[Array, " d"], level: Level) -> Float[Array, ""]:
        return SCALE * self.layers(x, features(level))[0]


def weighed(
    evidence: Evidence,
    errors: Float[Array, "b l"],
    x: Float[Array, "b l d"],
    levels: Level,
    log_z: Float[Array, "b l"],
) -> Float[Array, ""]:
    """Mean of the errors, each times z over the prediction of it, and how far the predictions miss.

    Args:
        evidence: the prediction; no gradient of the errors reaches it.
        errors: squared, of E[a|x].
        x, levels: where, [b, l].
        log_z: of the draws behind each target.
    """
    log_z = jnp.maximum(log_z, LEAST)
    surprise = log_z - jax.vmap(jax.vmap(evidence))(x, levels)
    more = jax.lax.stop_gradient(surprise - jnp.median(surprise))  # predictions start far off
    weight = jnp.exp(jnp.minimum(more, jnp.log(MOST)))
    return jnp.mean(weight * errors) + jnp.mean(optax.huber_loss(surprise, delta=OUTLIER))
