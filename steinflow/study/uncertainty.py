"""Bootstrap over trials, and simultaneous intervals from it.

Query points are a design, the same for every seed, and are not resampled: what is said holds for
their mean. All cells share their random numbers, so all share the resampling.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

Floats = NDArray[np.float64]
Key = TypeVar("Key")
REPLICATES = 1000
CONFIDENCE = 0.95


class Statistics(NamedTuple):
    """What two estimators do on the same draws: [1 + B] each, row 0 the estimate."""

    variance_noise: Floats
    variance_gradient: Floats
    covariance: Floats
    cosine: Floats
    bias2_noise: Floats
    bias2_gradient: Floats
    bias2_noise_error: Floats
    bias2_gradient_error: Floats
    norm_noise: Floats
    norm_gradient: Floats
    score_norm2: Floats
    best_c_error: Floats


class Interval(NamedTuple):
    """An estimate with a simultaneous 95 % interval."""

    estimate: float
    low: float
    high: float


def resampling(trials: int, seed: int) -> Floats:
    """Weights [1 + REPLICATES, T] of resamples (with replacement) of trials; rows sum to 1, and
    row 0 is the data itself."""
    rng = np.random.default_rng([seed, 20260113])
    drawn = rng.multinomial(trials, np.full(trials, 1.0 / trials), size=REPLICATES) / trials
    return np.vstack([np.full(trials, 1.0 / trials), drawn])


def statistics(
    noise: Floats, gradient: Floats, score: Floats, how: Floats, limits: tuple[float, float]
) -> Statistics:
    """Statistics of two estimators [T, X, d] against limits x the exact score [X, d].

    Variances, covariance and squared biases are unbiased: a sample variance is scaled by
    T/(T-1), once more within a resample.
    """
    trials, points, _ = noise.shape
    errors = noise - limits[0] * score, gradient - limits[1] * score

    def mean(values: Floats) -> Floats:  # [T, X, ...] -> [1 + B, X, ...]
        flat = how @ values.reshape(trials, -1)
        return flat.reshape(-1, points, *values.shape[2:])

    def over_points(values: Floats) -> Floats:
        return np.asarray(np.mean(values, axis=1))

    means = [mean(error) for error in errors]
    twice = np.full(how.shape[0], trials / (trials - 1.0))
    twice[1:] **= 2

    def moment(i: int, j: int) -> Floats:
        raw = mean(np.sum(errors[i] * errors[j], axis=-1))
        return (raw - np.sum(means[i] * means[j], axis=-1)) * twice[:, None]

    lengths = [np.linalg.norm(estimate, axis=-1) for estimate in (noise, gradient)]
    angle = np.sum(noise * gradient, axis=-1) / np.maximum(lengths[0] * lengths[1], 1e-300)
    variances = moment(0, 0), moment(1, 1)

    norm2 = np.mean(np.sum(score**2, axis=-1))
    biases = [squared_bias(error, how) for error in errors]
    products = over_points(variances[0]), over_points(variances[1]), over_points(moment(0, 1))
    return Statistics(
        variance_noise=products[0],
        variance_gradient=products[1],
        covariance=products[2],
        cosine=over_points(mean(angle)),
        bias2_noise=biases[0].value,
        bias2_gradient=biases[1].value,
        bias2_noise_error=standard_error(biases[0].influence, how),
        bias2_gradient_error=standard_error(biases[1].influence, how),
        norm_noise=over_points(mean(lengths[0])),
        norm_gradient=over_points(mean(lengths[1])),
        score_norm2=np.full(how.shape[0], norm2),
        best_c_error=best_c_error(errors, how, least_variance(*products)),
    )


class SquaredBias(NamedTuple):
    """[1 + B], and the influences of trials on it [1 + B, T]."""

    value: Floats
    influence: Floats


def squared_bias(errors: Floats, how: Floats) -> SquaredBias:
    """|mean|² over query points of errors [T, X, d] less its own variance, which is a sum over
    pairs of different trials.

    A resampled mean strays from the mean as that does from the truth. So replicates are the same
    sum about a mean shrunk to the length that was found, pairs of different trials again.
    """
    trials, flat = len(errors), flattened(errors)
    mean = np.mean(flat, axis=0)
    square, squares = float(mean @ mean), np.sum((flat - mean) ** 2, axis=1)
    estimate = square - float(np.mean(squares)) / (trials - 1.0)
    lost = 1.0 - math.sqrt(max(estimate, 0.0) / square) if square > 0.0 else 1.0
    shrunk = flat - lost * mean
    again = (how @ shrunk) @ shrunk.T
    value = np.sum(how * again, axis=1) - (how - 1.0 / trials) ** 2 @ squares + min(estimate, 0.0)
    value[0], again[0] = estimate, flat @ mean
    return SquaredBias(value, 2.0 * again)


def flattened(errors: Floats) -> Floats:
    """[T, X, d] -> [T, X d], so that a product is a mean over query points."""
    return errors.reshape(len(errors), -1) / math.sqrt(errors.shape[1])


def standard_error(influence: Floats, how: Floats) -> Floats:
    """[1 + B], of what trials influence so much [1 + B, T]. Where a square is nothing but noise it
    is up to sqrt(2) too long, in the data as in each resample, so that their quotient is right."""
    mean = np.sum(how * influence, axis=1)
    square = np.sum(how * influence**2, axis=1) - mean**2
    return np.asarray(np.sqrt(np.maximum(square, 0.0) / (how.shape[1] - 1.0)))


def change_error(least: Floats, most: Floats, how: Floats) -> Floats:
    """Standard error [1 + B] of the squared bias of errors [T, X, d] at the least N minus that
    at the largest, from the same trials."""
    one, other = (squared_bias(errors, how).influence for errors in (least, most))
    return standard_error(one - other, how)


def least_variance(noise: Floats, gradient: Floats, both: Floats) -> Floats:
    """The c at which (1-c) noise + c gradient has the least variance, of their two variances and
    covariance."""
    return (noise - both) / np.maximum(noise + gradient - 2.0 * both, 1e-300)


def best_c_error(errors: tuple[Floats, Floats], how: Floats, c: Floats) -> Floats:
    """Standard error [1 + B] of c = A/B, B the variance of gradient - noise and A minus its
    covariance with noise, by the influences (A_i - c B_i)/B; 0 where nothing varies."""
    noise, gap = flattened(errors[0]), flattened(errors[1] - errors[0])
    means, gaps = how @ noise, how @ gap

    def about_means(a: Floats, b: Floats, mean_a: Floats, mean_b: Floats) -> Floats:  # [1 + B, T]
        middle = np.sum(mean_a * mean_b, axis=1)[:, None]
        return np.sum(a * b, axis=1) - mean_b @ a.T - mean_a @ b.T + middle

    square = about_means(gap, gap, gaps, gaps)
    bend = np.sum(how * square, axis=1)
    known = (bend > np.maximum(1e-12 * bend[0], 1e-300)) & (np.abs(c) < 1e9)  # more than rounding
    influence = about_means(noise, gap, means, gaps) + np.where(known, c, 0.0)[:, None] * square
    return np.where(known, standard_error(influence, how) / np.where(known, bend, 1.0), 0.0)


def simultaneous(
    values: Mapping[Key, Floats],
    trials: int,
    bounds: tuple[float, float] | None = None,
    errors: Mapping[Key, Floats] | None = None,
) -> dict[Key, Interval]:
    """Simultaneous intervals for several statistics [1 + B] by the bootstrap of max |t|.

    The variance of replicates is (T - 1)/T of what it should be, and their quantile a normal one:
    both are put right as for a mean, the quantile by Student's t of T - 1 degrees. Statistics with
    bounds are taken on the arcsine scale, where their spread depends less on where they are.
    Those whose standard error in each resample is known are studentized by it instead, with a
    quantile for either side (Hall 1988): it sees that a resample without a rare trial errs more
    than it says.
    """
    if not values:
        return {}
    table = np.stack(list(values.values()))
    estimates = table[:, 0]
    varies = np.nanstd(table, axis=1) > 1e-12 * (1.0 + np.abs(estimates))
    if errors is not None:
        ends = studentized(table, np.stack([errors[key] for key in values]), varies)
        low, high = bounds or (-np.inf, np.inf)
        return intervals(values, np.clip(estimates, low, high), np.clip(ends, low, high))
    if bounds is not None:
        low, high = bounds
        table = np.arcsin(np.sqrt(np.clip((table - low) / (high - low), 0.0, 1.0)))
    estimate, replicates = table[:, 0], table[:, 1:]
    spread = np.where(varies, np.nanstd(replicates, axis=1, ddof=1), 0.0)
    t = np.abs(replicates - estimate[:, None]) / np.where(varies, spread, np.inf)[:, None]
    quantile = -stdtrit(trials - 1, ndtr(-np.quantile(np.max(t, axis=0), CONFIDENCE)))
    width = quantile * np.sqrt(trials / (trials - 1.0)) * spread
    ends = np.stack([estimate - width, estimate + width])
    if bounds is not None:
        ends = low + (high - low) * np.sin(np.clip(ends, 0.0, np.pi / 2)) ** 2
    return intervals(values, estimates, ends)


def studentized(table: Floats, errors: Floats, varies: NDArray[np.bool_]) -> Floats:
    """Ends [2, K] of statistics [K, 1 + B]: (replicate - estimate)/its error, in place of
    (estimate - truth)/error; the least and the greatest of all statistics."""
    away, error = table[:, 1:] - table[:, :1], errors[:, 1:]
    alike = error <= 1e-9 * errors[:, :1]  # a resample in which nothing varies errs at will
    t = np.where(alike, np.copysign(np.inf, away), away / np.where(alike, 1.0, error))
    t = np.where(varies[:, None] & (away != 0.0), t, 0.0)
    tail = 0.5 * (1.0 - CONFIDENCE)
    high = np.quantile(np.max(t, axis=0), 1.0 - tail, method="higher")
    low = np.quantile(np.min(t, axis=0), tail, method="lower")
    width = np.where(varies, errors[:, 0], 0.0)
    with np.errstate(invalid="ignore"):  # no end is known: infinity times zero
        ends = [np.where(varies, quantile * width, 0.0) for quantile in (high, low)]
    return np.stack([table[:, 0] - end for end in ends])


def intervals(keys: Iterable[Key], estimate: Floats, ends: Iterable[Floats]) -> dict[Key, Interval]:
    """An interval for each key."""
    low, high = ends
    # rounding leaves it inside
    rows = estimate, np.minimum(estimate, low), np.maximum(estimate, high)
    return {key: Interval(*map(float, row)) for key, *row in zip(keys, *rows, strict=True)}
