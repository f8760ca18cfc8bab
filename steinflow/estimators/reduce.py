"""From terms to an estimate: the weighted mean and its evidence."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from steinflow.diagnostics import RELIABLE_ESS, effective_sample_size
from steinflow.draws import Draws, weights
from steinflow.estimators.base import AbstractEstimator
from steinflow.points import Point


class Info(NamedTuple):
    """What an estimate knows about itself."""

    ess: Float[Array, ""]  # 1/Σ w^2, between 1 and k
    max_weight: Float[Array, ""]  # the largest w
    coefficient: Float[Array, "*c"]  # C: a scalar, [d] or [d, d]
    std_error: Float[Array, " d"]  # delta method; a lower bound where ess < 30
    reliable: Bool[Array, ""]  # ess >= 30, consistent on this support, and no invalid draw
    num_invalid: Int[Array, ""]  # NaN or +inf among Q and its gradients
    num_values: Int[Array, ""]  # evaluations of Q that one vmapped call executes
    num_grads: Int[Array, ""]  # evaluations of grad Q, likewise


class Estimate(NamedTuple):
    """An estimated score and its evidence."""

    score: Float[Array, " d"]
    info: Info


def weighted_mean(
    draws: Draws, terms: Float[Array, "k d"], num_fitted: int = 0
) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """Σ w t and its delta-method standard error, each [d] (Owen, 2013, eq. 9.8).

    A coefficient fitted on the same draws takes num_fitted degrees of freedom; with none
    left the standard error is infinite.
    """
    w = weights(draws)
    mean = jnp.sum(w[:, None] * terms, axis=0)
    freedom = terms.shape[0] - 1 - num_fitted
    variance = jnp.sum((w[:, None] * (terms - mean)) ** 2, axis=0)
    if freedom <= 0:
        return mean, jnp.full_like(mean, jnp.inf)
    return mean, jnp.sqrt(variance * (terms.shape[0] / freedom))


def reduce(draws: Draws, point: Point, estimator: AbstractEstimator, consistent: bool) -> Estimate:
    """What an estimator makes of the draws of one point; NaN if any draw is invalid."""
    w, needs = weights(draws), estimator.needs(point.x.size)
    score, _ = weighted_mean(draws, estimator.terms(draws, point))
    _, std_error = weighted_mean(draws, estimator.independent_terms(draws, point), needs.fitted)
    num_invalid = jnp.sum(draws.invalid)
    score = jnp.where(num_invalid > 0, jnp.nan, score)
    ess = effective_sample_size(w)
    info = Info(
        ess=ess,
        max_weight=jnp.max(w),
        coefficient=estimator.coefficient(draws, point),
        std_error=std_error,
        reliable=(ess >= RELIABLE_ESS) & consistent & jnp.all(jnp.isfinite(score)),
        num_invalid=num_invalid,
        num_values=jnp.asarray(w.size),
        num_grads=jnp.asarray(w.size * (needs.gradient + point.x.size * needs.hessian)),
    )
    return Estimate(score, info)
