"""Bootstrap over trials, and simultaneous intervals from it.

Query points are a design, the same for every seed, and are not resampled: what is said holds for
their mean. All cells share their random numbers, so all share the resampling.
"""

import math
from collections.abc import Mapping
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
    norm_noise: Floats
    norm_gradient: Floats
    score_norm2: Floats


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
    T/(T-1), once more within a resample; a squared mean loses its own variance.
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

    def bias2(i: int) -> Floats:
        """|mean|² less its own variance, which is sum over pairs of different trials.

        A resampled mean strays from the mean as that does from the truth. So replicates are the
        same sum about a mean shrunk to the length that was found, pairs of different trials again.
        """
        centre = means[i][:1]
        own = over_points(np.sum((errors[i] - centre) ** 2, axis=-1))
        square = float(np.mean(np.sum(centre**2, axis=-1)))
        found = square - float(np.mean(own)) / (trials - 1.0)
        kept = math.sqrt(max(found, 0.0) / square) if square > 0.0 else 0.0
        moved = over_points(np.sum((means[i] - (1.0 - kept) * centre) ** 2, axis=-1))
        again = moved - (how - 1.0 / trials) ** 2 @ own + min(found, 0.0)
        return np.concatenate([[found], again[1:]])

    norm2 = np.mean(np.sum(score**2, axis=-1))
    return Statistics(
        variance_noise=over_points(variances[0]),
        variance_gradient=over_points(variances[1]),
        covariance=over_points(moment(0, 1)),
        cosine=over_points(mean(angle)),
        bias2_noise=bias2(0),
        bias2_gradient=bias2(1),
        norm_noise=over_points(mean(lengths[0])),
        norm_gradient=over_points(mean(lengths[1])),
        score_norm2=np.full(how.shape[0], norm2),
    )


def simultaneous(
    values: Mapping[Key, Floats], trials: int, bounds: tuple[float, float] | None = None
) -> dict[Key, Interval]:
    """Simultaneous intervals for several statistics [1 + B] by the bootstrap of max |t|.

    The variance of replicates is (T - 1)/T of what it should be, and their quantile a normal one:
    both are put right as for a mean, the quantile by Student's t of T - 1 degrees. Statistics with
    bounds are taken on the arcsine scale, where their spread depends less on where they are.
    """
    if not values:
        return {}
    table = np.stack(list(values.values()))
    found = table[:, 0]
    varies = np.nanstd(table, axis=1) > 1e-12 * (1.0 + np.abs(found))
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
    return {  # rounding must not leave the estimate outside
        key: Interval(float(e), min(float(e), float(least)), max(float(e), float(most)))
        for key, e, least, most in zip(values, found, *ends, strict=True)
    }
