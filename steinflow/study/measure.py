"""Where bias, variance and everything else is measured, and nowhere else.

All against the exact score s*, over T trials at X query points; standard errors are over
trials, given the query points.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from steinflow.diagnostics import equivalent_exact_draws

TRUTH_ERROR = 1e-9  # of |s*| + sqrt(trace): how exactly the truth itself is known


class Truth(NamedTuple):
    """What is known exactly at the query points of a cell."""

    score: Float[Array, "x d"]  # s*
    trace: Float[Array, " x"]  # tr Cov[u|x], the MSE of one exact draw
    gram: Float[Array, "xd xd"]  # J J^T of a small policy network at the query points
    prediction: Float[Array, "x d"]  # what that network says


class Measures(NamedTuple):
    """One estimator in one condition, averaged over query points. Units: score squared."""

    bias2: Float[Array, ""]  # |mean error|^2 - tr S/T, unbiased, not clipped at 0
    bias2_se: Float[Array, ""]
    variance: Float[Array, ""]  # tr S, S the sample covariance over trials
    variance_se: Float[Array, ""]
    mse: Float[Array, ""]
    mse_se: Float[Array, ""]
    eed: Float[Array, ""]  # equivalent exact draws, capped at 10^4
    cosine: Float[Array, ""]  # to the exact score
    cosine_se: Float[Array, ""]
    norm_ratio: Float[Array, ""]  # Σ_x mean |estimate| / Σ_x |s*|
    cosine_to_noise: Float[Array, ""]  # to noise expectation on the same draws
    cosine_to_noise_se: Float[Array, ""]
    norm_over_noise: Float[Array, ""]  # mean |estimate| / mean |noise expectation|


def measure(
    estimate: Float[Array, "d t x"], noise: Float[Array, "d t x"], truth: Truth
) -> Measures:
    """Measures of one estimator; noise is noise expectation on the same draws.

    The short axis d comes first, so that everything vectorises over trials and points.
    """
    _, trials, points = estimate.shape
    exact = truth.score.T[:, None]
    error = estimate - exact
    mean = jnp.mean(error, axis=1)
    deviation = error - mean[:, None]
    covariance = jnp.einsum("itx,jtx->ijx", deviation, deviation) / (trials - 1)
    trace = jnp.einsum("iix->x", covariance)

    bias2 = jnp.sum(mean**2, axis=0) - trace / trials
    squared_trace = jnp.sum(covariance**2, axis=(0, 1))  # tr S^2
    along = jnp.einsum("ix,ijx,jx->x", mean, covariance, mean)  # m' S m
    spread = 4.0 * along / trials - 2.0 * squared_trace / trials**2
    spread = jnp.maximum(spread, 2.0 * squared_trace / (trials * (trials - 1)))

    squares = jnp.sum(deviation**2, axis=0) * (trials / (trials - 1))
    losses = jnp.sum(error**2, axis=0)
    length, length_noise = norm(estimate), norm(noise)
    align, align_se = over_trials(cosine(estimate, exact))
    beside, beside_se = over_trials(cosine(estimate, noise))
    return Measures(
        bias2=jnp.mean(bias2),
        bias2_se=jnp.sqrt(jnp.sum(spread)) / points,
        variance=jnp.mean(trace),
        variance_se=conditional_se(squares),
        mse=jnp.mean(losses),
        mse_se=conditional_se(losses),
        eed=equivalent_exact_draws(jnp.sum(truth.trace), jnp.sum(jnp.mean(losses, axis=0))),
        cosine=align,
        cosine_se=align_se,
        norm_ratio=jnp.mean(length) / jnp.mean(norm(exact)),
        cosine_to_noise=beside,
        cosine_to_noise_se=beside_se,
        norm_over_noise=jnp.mean(length) / jnp.mean(length_noise),
    )


def standardised(estimate: Float[Array, "d t x"], truth: Truth) -> Float[Array, "d x"]:
    """Mean error over its standard error, each component: Student's t of T - 1 degrees of freedom
    where there is no bias. An estimate that does not vary is as sure as the truth is."""
    error = estimate - truth.score.T[:, None]
    trials = error.shape[1]
    spread = jnp.std(error, axis=1, ddof=1) / np.sqrt(trials)
    floor = TRUTH_ERROR * (norm(truth.score.T) + jnp.sqrt(truth.trace))
    return jnp.mean(error, axis=1) / jnp.maximum(spread, floor)


def cosine(a: Float[Array, "d ..."], b: Float[Array, "d ..."]) -> Float[Array, "..."]:
    """Cosine of the angle between vectors along the first axis."""
    dot = jnp.sum(a * b, axis=0)
    return dot / jnp.maximum(norm(a) * norm(b), np.finfo(a.dtype).tiny)


def norm(a: Float[Array, "d ..."]) -> Float[Array, "..."]:
    """Euclidean length along the first axis."""
    return jnp.sqrt(jnp.sum(a * a, axis=0))


def over_trials(values: Float[Array, "t x"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean over everything, and its standard error over trials."""
    means = jnp.mean(values, axis=1)
    return jnp.mean(means), jnp.std(means, ddof=1) / jnp.sqrt(means.size)


def conditional_se(values: Float[Array, "t x"]) -> Float[Array, ""]:
    """Standard error of the mean over everything, trials independent at each point."""
    trials, points = values.shape
    return jnp.sqrt(jnp.sum(jnp.var(values, axis=0, ddof=1) / trials)) / points


def network_cosine(
    estimate: Float[Array, "t x d"], noise: Float[Array, "t x d"], truth: Truth
) -> Float[Array, " t"]:
    """Cosine of the parameter gradients that two score-matching losses give one network.

    A loss Σ_x |f(x) - s(x)|^2 has the gradient 2 J^T (f - s), so inner products need only
    the Gram matrix J J^T.
    """
    ours = (truth.prediction - estimate).reshape(estimate.shape[0], -1)
    theirs = (truth.prediction - noise).reshape(noise.shape[0], -1)

    def inner(a: Array, b: Array) -> Array:
        return jnp.sum((a @ truth.gram) * b, axis=1)

    scale = jnp.sqrt(inner(ours, ours) * inner(theirs, theirs))
    return inner(ours, theirs) / jnp.maximum(scale, np.finfo(scale.dtype).tiny)


ESS_EDGES = (1.0, 2.0, 5.0, 10.0, 30.0, 50.0, 100.0, 200.0, jnp.inf)


class Coverage(NamedTuple):
    """Of the nominal 95 % intervals score ± 1.96 std_error, by effective sample size."""

    covered: Float[Array, " bins"]
    total: Float[Array, " bins"]


def coverage(
    estimate: Float[Array, "d t x"],
    std_error: Float[Array, "d t x"],
    ess: Float[Array, "t x"],
    truth: Truth,
) -> Coverage:
    """How many components the intervals cover, in bins of ESS.

    An estimate that is exact has a standard error of zero: it covers the truth if it
    agrees with it to TRUTH_ERROR.
    """
    slack = TRUTH_ERROR * (norm(truth.score.T) + jnp.sqrt(truth.trace))
    hit = jnp.abs(estimate - truth.score.T[:, None]) <= 1.96 * std_error + slack
    hit = jnp.mean(hit, axis=0).ravel()
    edges = jnp.asarray(ESS_EDGES[1:-1])
    which = jax.nn.one_hot(jnp.searchsorted(edges, ess.ravel(), side="right"), len(ESS_EDGES) - 1)
    return Coverage(hit @ which, jnp.sum(which, axis=0))
