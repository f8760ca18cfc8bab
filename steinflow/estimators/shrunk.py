"""The estimator of `auto`: a diagonal Stein control variate, shrunk, with a cross-fitted error."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from steinflow.checks import require_at_least
from steinflow.draws import Draws, weights
from steinflow.estimators.base import AbstractEstimator, Needs
from steinflow.estimators.stein import noise_terms, posterior_score
from steinflow.points import Point
from steinflow.supports import AbstractSupport

ROUNDING = 32.0  # rounding errors that a sum of squares may have


class ShrunkControlVariate(AbstractEstimator):
    """Σ_i w_i [u_i + C h_i/alpha] with a diagonal C, regressed and shrunk.

    C is a regression of u on h under the weights: first one number for all dimensions, then what
    each dimension adds to it. Both are shrunk by the positive part of 1 - 1/F, F what the
    regression explains of u over what chance would. On a box h is that of
    phi = 1 - r^(2p), r the place in the box from -1 to 1, p = max(1, alpha half-width/sigma): as
    steep at the bounds as the likelihood is narrow.

    Approximates: s*(x), on R^d and on a box.
    With: self-normalised weights w ∝ exp(Q/tau).
    Requires: gradients of Q; Q absolutely continuous.
    Cost: N values and N gradients.
    Variance: the share of u that h does not explain. The standard error is from residuals of
        fits to the other folds of the draws, with C reduced by 1/sqrt(ESS): so much of u may
        follow another C in a region that no draw has met.
    Reference: control functionals, Oates, Girolami & Chopin (2017),
        https://arxiv.org/abs/1410.2392; positive-part shrinkage in the manner of
        James & Stein (1961).

    Args:
        folds: of the draws, for the standard error; >= 2.
    """

    folds: int = eqx.field(default=4, static=True)

    def __check_init__(self) -> None:
        require_at_least("folds", self.folds, 2, "A fold is judged by a fit to the others.")

    def terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        u, h = noise_terms(draws, point), steep_stein_terms(draws, point)
        return u + regressed(u, h, weights(draws)[None])[0] * h

    def independent_terms(self, draws: Draws, point: Point) -> Float[Array, "k d"]:
        w, u, h = weights(draws), noise_terms(draws, point), steep_stein_terms(draws, point)
        fold = np.arange(w.size) % self.folds
        coefficient = regressed(u, h, without_folds(w, fold, self.folds))
        return u + (1.0 - jnp.sqrt(jnp.sum(w**2))) * coefficient[fold] * h

    def coefficient(self, draws: Draws, point: Point) -> Float[Array, " d"]:
        u, h = noise_terms(draws, point), steep_stein_terms(draws, point)
        return regressed(u, h, weights(draws)[None])[0]

    def needs(self, dim: int) -> Needs:
        return Needs(gradient=True)

    def is_consistent(self, support: AbstractSupport) -> bool:
        return True

    def check(self, support: AbstractSupport, dim: int, num_draws: int) -> None:
        pass


def steep_stein_terms(draws: Draws, point: Point) -> Float[Array, "k d"]:
    """h/alpha, [k, d], with phi = 1 - r^(2p) on a box; r² is 1 less the support's own phi."""
    boundary_weight, gradient = point.support.boundary_weight(draws.action)
    if point.support.has_bounds:
        low, high = point.support.bounds(point.x.size)
        power = jnp.maximum(1.0, 0.5 * (high - low) * point.level.alpha / point.level.sigma)
        square = jnp.maximum(1.0 - boundary_weight, np.finfo(boundary_weight.dtype).eps ** 2)
        rest = jnp.exp((power - 1.0) * jnp.log(square))
        boundary_weight, gradient = 1.0 - rest * square, power * rest * gradient
    return (boundary_weight * posterior_score(draws, point) + gradient) / point.level.alpha


def without_folds(w: Float[Array, " k"], fold: np.ndarray, folds: int) -> Float[Array, "f k"]:
    """Normalised weights of all draws but each fold."""
    shares = jnp.asarray(fold != np.arange(folds)[:, None], w.dtype) * w
    total = jnp.sum(shares, axis=1, keepdims=True)
    return shares / jnp.maximum(total, np.finfo(w.dtype).tiny)


def regressed(
    u: Float[Array, "k d"], h: Float[Array, "k d"], shares: Float[Array, "f k"]
) -> Float[Array, "f d"]:
    """The shrunk coefficients of u on h, one regression with intercept for each row of weights:
    first one coefficient for all dimensions, then what each dimension adds to it.

    Sums are of differences to the heaviest draw, times the root of its weight, in units of their
    largest: its small distance to the mean stays exact, and no square overflows or vanishes.
    """
    w = jnp.mean(shares, axis=0)
    root, heaviest = jnp.sqrt(w), jnp.argmax(w)
    u, h = (root[:, None] * (row - row[heaviest]) for row in (u, h))
    size_u, size_h = (jnp.max(jnp.abs(row)) for row in (u, h))
    size_u, size_h = (jnp.where(size > 0, size, 1.0) for size in (size_u, size_h))
    u, h = u / size_u, h / size_h
    parts = shares / jnp.where(w > 0, w, 1.0)
    mean_u, mean_h = (parts * root) @ u, (parts * root) @ h
    square_u, square_h = parts @ u**2, parts @ h**2
    product = parts @ (u * h) - mean_u * mean_h
    floor = ROUNDING * np.finfo(u.dtype).eps
    variance_u = jnp.maximum(square_u - mean_u**2, floor * square_u)
    variance_h = square_h - mean_h**2
    variance_h = jnp.where(variance_h > floor * square_h, variance_h, 0.0)
    count = 1.0 / jnp.maximum(jnp.sum(shares**2, axis=1, keepdims=True), np.finfo(w.dtype).tiny)

    total = [jnp.sum(v, axis=1, keepdims=True) for v in (product, variance_u, variance_h)]
    common = shrunk(total[0], total[1], total[2], u.shape[1] * (count - 1.0) - 1.0)
    rest = variance_u + common * (2.0 * product + common * variance_h)
    rest = jnp.maximum(rest, floor * square_u)
    per_dimension = shrunk(product + common * variance_h, rest, variance_h, count - 2.0)
    return (common + per_dimension) * (size_u / size_h)


def shrunk(
    product: Float[Array, "f d"],
    variance_u: Float[Array, "f d"],
    variance_h: Float[Array, "f d"],
    freedom: Float[Array, "f 1"],
) -> Float[Array, "f d"]:
    """-product/variance_h, times the positive part of 1 - unexplained/(freedom explained)."""
    usable = variance_h > 0
    inverse = jnp.where(usable, 1.0 / jnp.where(usable, variance_h, 1.0), 0.0)
    explained = product**2 * inverse
    evidence = jnp.maximum(freedom, 0.0) * explained
    unexplained = jnp.maximum(
        variance_u - explained, ROUNDING * np.finfo(product.dtype).eps * variance_u
    )
    believed = evidence > unexplained
    belief = jnp.where(believed, 1.0 - unexplained / jnp.where(believed, evidence, 1.0), 0.0)
    return -belief * product * inverse
