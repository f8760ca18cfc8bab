"""What is known of one condition of the paper's claims, and the numbers that claims are about."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from steinflow.study.uncertainty import (
    Floats,
    Statistics,
    change_error,
    least_variance,
    statistics,
)

Condition = tuple[Any, ...]  # (Q-function, tau), or (Q-function, tau, estimator)
Pair = tuple[Floats, Floats]  # scores of noise and gradient expectation, [T, X, d] each
EVERY_TAU = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
MODERATE = (0.5, 1.0, 2.0)
BIAS_TOLERANCE = 0.05  # of |s*|: a bias that nobody would notice


class Evidence(NamedTuple):
    """What is known of one (Q, tau) at one noise level and in one scale convention."""

    most: Statistics  # at the largest N
    least: Statistics  # at the smallest N
    exact_ratio: float  # |E noise expectation| / |E gradient expectation|, by quadrature
    # of the squared bias at the smallest N minus that at the largest
    change_error_noise: Floats = np.zeros(1)
    change_error_gradient: Floats = np.zeros(1)


Table = Mapping[Condition, Evidence]


def evidence(
    least: Pair, most: Pair, score: Floats, how: Floats, limits: tuple[float, float], ratio: float
) -> Evidence:
    """Statistics of both numbers of draws, whose trials are the same, against limits x score."""
    noise, gradient = (
        change_error(one - limit * score, other - limit * score, how)
        for one, other, limit in zip(least, most, limits, strict=True)
    )
    known = [statistics(*pair, score, how, limits) for pair in (most, least)]
    return Evidence(known[0], known[1], ratio, noise, gradient)


def cosine(table: Table, at: Condition) -> Floats:
    """Cosine of the two estimates on the same draws."""
    return table[at].most.cosine


def degradation(table: Table, at: Condition) -> Floats:
    """Mean cosine over moderate temperatures minus the cosine here."""
    family, _ = at
    moderate = np.mean([table[family, tau].most.cosine for tau in MODERATE], axis=0)
    return np.asarray(moderate - table[at].most.cosine)


def noise_excess(table: Table, at: Condition) -> Floats:
    """(V_noise - V_gradient)/(V_noise + V_gradient), in [-1, 1]."""
    s = table[at].most
    total = s.variance_noise + s.variance_gradient
    return (s.variance_noise - s.variance_gradient) / np.maximum(total, 1e-300)


def gradient_excess(table: Table, at: Condition) -> Floats:
    """(V_gradient - V_noise)/(V_noise + V_gradient), in [-1, 1]."""
    return -noise_excess(table, at)


def best_c(table: Table, at: Condition) -> Floats:
    """argmin over c in [0, 1] of Var[(1-c) noise + c gradient]."""  # clipped by `judge`
    s = table[at].most
    return least_variance(s.variance_noise, s.variance_gradient, s.covariance)


def saving(table: Table, at: Condition) -> Floats:
    """1 - least variance over c in [0, 1] / the better of c = 0 and c = 1."""
    s, c = table[at].most, np.clip(best_c(table, at), 0.0, 1.0)
    minimum = (1 - c) ** 2 * s.variance_noise + c**2 * s.variance_gradient
    minimum = minimum + 2 * c * (1 - c) * s.covariance
    better = np.minimum(s.variance_noise, s.variance_gradient)
    nothing_left = better <= 1e-24 * s.score_norm2
    return np.where(nothing_left, 0.0, 1.0 - minimum / np.where(nothing_left, 1.0, better))


def exact_ratio_change(table: Table, at: Condition) -> Floats:
    """max/min - 1 over temperatures of the ratio of the exact expectations' norms."""
    ratios = [table[at[0], tau].exact_ratio for tau in EVERY_TAU]
    return np.full_like(table[at].most.cosine, max(ratios) / min(ratios) - 1.0)


def finite_ratio_change(table: Table, at: Condition) -> Floats:
    """The same of the estimates at the largest N."""
    ratios = [table[at[0], tau].most for tau in EVERY_TAU]
    values = np.stack([s.norm_noise / s.norm_gradient for s in ratios])
    return np.asarray(values.max(axis=0) / values.min(axis=0) - 1.0)


def consistency(table: Table, at: Condition) -> Floats:
    """Margin in units of |s*|², of each estimator: positive where its squared bias is
    either below .05² at the largest N or smaller there than at the least."""
    known, estimator = table[at[:2]], at[2]

    def bias2(s: Statistics) -> Floats:  # unbiased, so it may be negative
        return np.asarray(getattr(s, f"bias2_{estimator}") / s.score_norm2)

    return np.asarray(np.maximum(BIAS_TOLERANCE**2, bias2(known.least)) - bias2(known.most))


def consistency_error(table: Table, at: Condition) -> Floats:
    """Its standard error in each resample: the larger one of both cases."""
    known, estimator = table[at[:2]], at[2]
    bias_error = getattr(known.most, f"bias2_{estimator}_error")
    change = getattr(known, f"change_error_{estimator}")
    return np.asarray(np.maximum(bias_error, change) / known.most.score_norm2)


def best_c_error(table: Table, at: Condition) -> Floats:
    """The standard error of `best_c` in each resample."""
    return table[at].most.best_c_error
