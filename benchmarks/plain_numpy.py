"""The study in plain NumPy: one trial at a time, the same estimators by hand."""

from collections import namedtuple
from typing import Any

import numpy as np

DIM, TRIALS = 2, 20
ORDER, TINY, EPS = 3, np.finfo(float).tiny, np.finfo(float).eps  # of `auto`
PRECISION, SLOPE = np.linspace(0.5, 2.0, DIM), np.linspace(0.5, 1.5, DIM)
# A cell as NumPy sees it: R [d, d], query points x and their exact scores [x, d].
Problem = namedtuple("Problem", "family tau alpha sigma rotation x score best_c")


def quadratic(b: np.ndarray) -> tuple[np.ndarray, ...]:
    """Q [...] and its slope [..., d] in b = R a, [..., d]."""
    return -0.5 * np.sum(PRECISION * (b - 0.5) ** 2, axis=-1), -PRECISION * (b - 0.5)


def bimodal(b: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same for a double well along b_1."""
    well, slope = b[..., 0] ** 2 - 1.0, -b
    slope[..., 0] = -4.0 * b[..., 0] * well
    return -(well**2) - 0.5 * np.sum(b[..., 1:] ** 2, axis=-1), slope


def multimodal(b: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same for cosines under a wide bowl."""
    turned = 2.0 * np.pi * b
    return np.sum(0.5 * np.cos(turned) - 0.25 * b**2, axis=-1), -0.5 * b - np.pi * np.sin(turned)


def linear(b: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same for a plane."""
    return b @ SLOPE, np.broadcast_to(SLOPE, b.shape)


FAMILIES = {  # value and slope; second derivatives
    "quadratic": (quadratic, lambda b: np.broadcast_to(-PRECISION, b.shape)),
    "bimodal": (bimodal, lambda b: np.where(np.arange(DIM) == 0, 4.0 - 12.0 * b**2, -1.0)),
    "multimodal": (multimodal, lambda b: -0.5 - 2.0 * np.pi**2 * np.cos(2.0 * np.pi * b)),
    "linear": (linear, np.zeros_like),
}


def curvature(problem: Problem, mean: np.ndarray) -> np.ndarray:
    """C = alpha^2 (alpha^2 I + sigma^2 P)^-1, P at the weighted mean [x, d], as [x, d, d]."""
    turn, ratio = problem.rotation, (problem.sigma / problem.alpha) ** 2
    bend = FAMILIES[problem.family][1](mean @ turn.T)[:, None]
    return np.linalg.inv(np.eye(DIM) - ratio * (turn.T * bend) @ turn / problem.tau)


def fits(w: np.ndarray, u: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, ...]:
    """Regressions of u on h [x, k, d]: scalar [x], diagonal [x, d] and matrix [x, d, d]."""
    v = (w + 1e-4 / w.shape[1]) / 1.0001
    root = np.sqrt(v)[:, :, None]
    u, h = root * (u - v[:, None] @ u), root * (h - v[:, None] @ h)
    product, square = np.sum(h * u, axis=1), np.sum(h * h, axis=1)
    matrix = [-np.linalg.lstsq(rows, to, rcond=None)[0].T for rows, to in zip(h, u, strict=True)]
    return -product.sum(axis=1) / square.sum(axis=1), -product / square, np.stack(matrix)


def dot(w: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Weighted products of rows [x, k, d], for each dimension, [x, d]."""
    return np.einsum("xk,xkd,xkd->xd", w, a, b)


def over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a/b, or a where there is nothing to divide by."""
    return a / np.where(b > TINY, b, 1.0)


def spread(w: np.ndarray, row: np.ndarray, square: np.ndarray) -> np.ndarray:
    """1 - 1/n, n the number of draws behind a row of this mean square, [x, d]."""
    share = over(w[..., None] * row**2, square[:, None])
    return np.maximum(1.0 - np.sum(share**2, axis=1), TINY)


def unexplained(product: Any, square: Any, total: Any, degrees_of_freedom: Any) -> np.ndarray:
    """Share of u that a fit leaves over the one that it was free to leave."""
    residual = np.maximum(1.0 - over(product**2, square * total), 32 * EPS)
    return np.minimum(1.0, residual / np.maximum(degrees_of_freedom, TINY))


def first_coefficient(w: np.ndarray, u: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shrunk diagonal of the first term, [x, d], from rows about their means; and the odds."""
    ess, even = 1.0 / np.sum(w**2, axis=1)[:, None], 0.5 * (w + 1.0 / w.shape[1])
    v, g = (row - np.einsum("xk,xkd->xd", even, row)[:, None] for row in (u, h))
    wide, product, square = dot(even, v, v), dot(even, v, g), dot(even, g, g)
    degrees_of_freedom = spread(even, g, square) * max(0.0, 1.0 - 2.0 / w.shape[1])
    residual = unexplained(product, square, wide, degrees_of_freedom)
    odds, broad = (0.02 / (residual * ess)) ** 2, -over(product, square)
    p, s, total = (part.sum(axis=1, keepdims=True) for part in (product, square, wide))
    anywhere = -(over(p**2, s * total) ** 2) * over(p, s)

    variance, product, square = dot(w, u, u), dot(w, u, h), dot(w, h, h)
    near = np.where(variance > TINY, over(variance, np.sum(w * (1.0 - w), axis=1)[:, None]), wide)
    residual = np.minimum(1.0, residual * np.maximum(1.0, over(wide, near)))
    trust = 1.0 / (1.0 + (residual * ess / 0.02) ** 2)
    p, s, total = (part.sum(axis=1, keepdims=True) for part in (product, square, variance))
    anywhere *= np.clip(over(-anywhere * (2.0 * p + anywhere * s), total), 0.0, 1.0)
    equations = np.maximum(DIM * (ess - 1.0), 0.0)
    doubt = unexplained(p, s, total, 1.0 - 1.0 / np.maximum(equations, 1.0))
    scalar = over(anywhere * doubt - over(p, s) * equations, equations + doubt)
    degrees_of_freedom = (1.0 - 1.5 / ess) * spread(w, h, square)
    share = (
        square.mean(axis=1, keepdims=True)
        / ess
        * unexplained(product, square, variance, degrees_of_freedom)
    )
    return trust * broad + (1.0 - trust) * over(share * scalar - product, square + share), odds


def polynomial(
    w: np.ndarray, u: np.ndarray, h: np.ndarray, action: np.ndarray, problem: Problem
) -> np.ndarray:
    """Terms of three Stein terms a dimension on R^d, as far as each is believed, [x, k, d]."""
    away = action - w[:, None] @ action
    scale = np.sqrt(w[:, None] @ away**2)
    scale = np.maximum(scale, problem.sigma / problem.alpha / 1e3)
    place, rest, lower = np.clip(away / scale, -1e3, 1e3), 1.0 / (scale * problem.alpha), {}
    bases = [h] + [place ** (m - 1) * (place * h + m * rest) for m in range(1, ORDER)]
    top = w.argmax(axis=1)[:, None, None]
    offsets = [row - np.take_along_axis(row, top, axis=1) for row in (u, *bases)]
    about, *rows = [row - w[:, None] @ row for row in offsets]
    ess = 1.0 / np.sum(w**2, axis=1)[:, None]
    variance = residual = dot(w, about, about)
    squares, products, shares = [], [], []
    for m, row in enumerate(rows):
        row_variance = square = dot(w, row, row)
        product = dot(w, row, about)
        for j in range(m):
            inner = sum(lower[m, i] * lower[j, i] * squares[i] for i in range(j))
            cross = dot(w, row, rows[j]) - inner
            lower[m, j] = np.where(squares[j] > 0.0, over(cross, squares[j]), 0.0)
            square = square - lower[m, j] ** 2 * squares[j]
            product = product - lower[m, j] * products[j]
        square = np.where(square > 32 * EPS * row_variance, square, 0.0)
        if m == 0:
            c, odds = first_coefficient(w, about, row)
        else:
            explained = over(product**2, square)
            chance = np.maximum(residual - explained, 32 * EPS * variance)
            with np.errstate(over="ignore"):  # no freedom: no belief
                chance /= np.maximum((ess - 4.0 - m) * spread(w, row, row_variance), TINY)
                belief = np.maximum(1.0 - chance / (explained + TINY), 0.0)
            c = -over(product, square) * np.where(square > 0.0, belief, 0.0)
        residual = residual + c * (2.0 * product + c * square)
        squares.append(square)
        products.append(product)
        shares.append(c)
    for m in reversed(range(ORDER)):
        for j in range(m):
            shares[j] = shares[j] - lower[m, j] * shares[m]
    total = u + sum(c[:, None] * term for c, term in zip(shares, bases, strict=True))
    low, high, mean = u.min(axis=1), u.max(axis=1), (w[:, None] @ total)[:, 0]
    slack = odds * (high - low)
    return total + (np.clip(mean, low - slack, high + slack) - mean)[:, None]


def reduced(w: np.ndarray, fitted: int, terms: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weighted mean of terms [x, k, d] and its delta-method standard error, each [x, d]."""
    mean, size = w[:, None] @ terms, terms.shape[1]
    variance = (w**2)[:, None] @ (terms - mean) ** 2
    return mean[:, 0], np.sqrt(variance[:, 0] * size / (size - 1 - fitted))


def numpy_trial(problem: Problem, eps: np.ndarray) -> tuple[np.ndarray, ...]:
    """Estimates and standard errors [8, x, d], and ESS [x], from eps [x, k, d]."""
    alpha, sigma, x = problem.alpha, problem.sigma, problem.x[:, None]
    action = (x + sigma * eps) / alpha
    value, slope = FAMILIES[problem.family][0](action @ problem.rotation.T)
    slope = slope @ problem.rotation / problem.tau
    w = np.exp((value - value.max(axis=1, keepdims=True)) / problem.tau)
    w /= w.sum(axis=1, keepdims=True)
    u = (alpha * action - x) / sigma**2
    h = slope / alpha - u  # the Stein term over alpha
    scalar, diagonal, matrix = fits(w, u, h)
    ess = 1.0 / np.sum(w**2, axis=1)
    bent = curvature(problem, (w[:, None] @ action)[:, 0])  # symmetric
    results = [
        *(reduced(w, 0, terms) for terms in (u, slope / alpha, u + problem.best_c * h)),
        reduced(w, 0, u + h @ bent),
        reduced(w, 1, u + scalar[:, None, None] * h),
        reduced(w, 1, u + diagonal[:, None] * h),
        reduced(w, DIM, u + h @ matrix.swapaxes(1, 2)),
        reduced(w, ORDER, polynomial(w, u, h, action, problem)),  # auto
    ]
    scores, errors = (np.stack(part) for part in zip(*results, strict=True))
    return scores, errors, ess


def numpy_condition(problem: Problem, size: int, trials: int) -> np.ndarray:
    """Estimates of all trials, one at a time, and the 21 blends: [e, t, x, d]."""
    rng, shape = np.random.default_rng(size), (problem.x.shape[0], size, DIM)
    scores = [numpy_trial(problem, rng.standard_normal(shape))[0] for _ in range(trials)]
    every, c = np.stack(scores, axis=1), np.linspace(0.0, 1.0, 21)[:, None, None, None]
    return np.concatenate([every, (1.0 - c) * every[0] + c * every[1]])


def numpy_measures(every: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Every measure of `steinflow.study.measure` but EED, of every estimator, [11, e]."""
    error, (_, trials, points, _) = every - score, every.shape
    mean = error.mean(axis=1)
    deviation = error - mean[:, None]
    covariance = np.einsum("etxi,etxj->exij", deviation, deviation) / (trials - 1)
    trace, square = np.einsum("exii->ex", covariance), np.sum(covariance**2, axis=(2, 3))
    bias2 = np.mean(np.sum(mean**2, axis=-1) - trace / trials, axis=1)
    along = np.einsum("exi,exij,exj->ex", mean, covariance, mean)
    spread = 4.0 * along / trials - 2.0 * square / trials**2
    spread = np.maximum(spread, 2.0 * square / (trials * (trials - 1)))
    losses, squares = np.sum(error**2, axis=-1), np.sum(deviation**2, axis=-1)
    length, exact = np.linalg.norm(every, axis=-1), np.linalg.norm(score, axis=-1)
    cosines = [
        np.sum(every * to, axis=-1) / (length * np.linalg.norm(to, axis=-1))
        for to in (score, every[0])
    ]
    by_point = [np.sqrt(np.sum(v.var(1, ddof=1) / trials, axis=1)) for v in (losses, squares)]
    by_trial = [c.mean(axis=2).std(axis=1, ddof=1) / np.sqrt(trials) for c in cosines]
    means = [np.mean(v, axis=(1, 2)) for v in (losses, *cosines, length)]
    errors = [np.sqrt(np.sum(spread, axis=1)) / points, *(e / points for e in by_point)]
    return np.stack([bias2, trace.mean(1), *means[:3], means[3] / exact.mean(), *errors, *by_trial])


def numpy_study(problems: list[Problem], sizes: tuple[int, ...]) -> None:
    """All problems at all sizes."""
    for problem in problems:
        for size in sizes:
            numpy_measures(numpy_condition(problem, size, TRIALS), problem.score)
