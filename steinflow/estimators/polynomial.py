"""The estimator behind `auto`: several Stein terms a dimension, believed as far as they fit."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from steinflow.checks import require_at_least
from steinflow.diagnostics import effective_sample_size
from steinflow.draws import Draws, weights
from steinflow.estimators.base import AbstractEstimator, Needs
from steinflow.estimators.stein import flattened, noise_terms, stein_terms
from steinflow.levels import Level
from steinflow.linear_algebra import centred
from steinflow.supports import AbstractSupport

DOUBT = 0.02  # share of u that a fit to all draws may leave, times ESS, to be half believed
FAR = 1e3  # standard deviations at which the place of a draw is cut off


class SteinPolynomial(AbstractEstimator):
    """Σ_i w_i [u_i + Σ_m C_m h_mi/alpha], a diagonal C_m for each of `order` Stein terms h_m.

    The Stein terms of dimension j are those of phi_j(a_j) z_j^m, z the draws standardised by
    their weights: h_m = z^m h + m z^(m-1) phi/scale. On a box phi = 1 - r^(2p), r the place in
    it from -1 to 1, p = max(1, alpha half-width/sigma): as steep at the walls as the
    likelihood is narrow.

    Approximates: s*(x), on R^d and on a box.
    With: self-normalised weights. C_m is fitted to the weighted draws, one term after another,
        and each fit is shrunk by what it leaves unexplained (docs/formulas.md).
    Requires: gradients of Q; Q absolutely continuous.
    Cost: N values and N gradients.
    Variance: what a polynomial of degree order + 1 in each action leaves of u.
    Reference: zero-variance control variates, Mira, Solgi & Imparato (2013); positive-part
        shrinkage, James & Stein (1961).

    Args:
        order: number of Stein terms a dimension; 1 is the diagonal control variate.
    """

    order: int = 3

    def __check_init__(self) -> None:
        require_at_least("order", self.order, 1, "It is the number of Stein terms.")

    def terms(self, draws: Draws, level: Level) -> Float[Array, "k d"]:
        return fit(draws, level, self.order).terms

    def coefficient(self, draws: Draws, level: Level) -> Float[Array, " d"]:
        return fit(draws, level, self.order).coefficient

    def needs(self, dim: int) -> Needs:
        return Needs(slope=True, fitted=self.order)

    def is_consistent(self, support: AbstractSupport) -> bool:
        return True

    def check(self, support: AbstractSupport, dim: int, num_draws: int) -> None:
        pass


class Fit(NamedTuple):
    """Terms of the estimate, and the coefficient of the first Stein term."""

    terms: Float[Array, "k d"]
    coefficient: Float[Array, " d"]


class Column(NamedTuple):
    """A Stein term: at the draws, and centred rows of it times the roots of the weights."""

    term: Float[Array, "k d"]
    row: Float[Array, "k d"]


def fit(draws: Draws, level: Level, order: int) -> Fit:
    """Fit one Stein term after another to what those before it leave of u."""
    draws = flattened(draws, level)
    w = weights(draws)
    ess, heaviest, root = effective_sample_size(w), jnp.argmax(w), jnp.sqrt(w)[:, None]
    tiny, precision = np.finfo(w.dtype).tiny, np.finfo(w.dtype).eps ** 1.25

    def column(term: Float[Array, "k d"]) -> Column:
        return Column(term, root * centred(term, w, heaviest))

    noise = column(noise_terms(draws, level))
    first = column(stein_terms(draws, level) / level.alpha)
    coefficient = shrunk_diagonal(first, noise, w)
    left = Column(noise.term + coefficient * first.term, noise.row + coefficient * first.row)
    before = [first]
    place, scale = standardised(draws.action, w, level)
    for m in range(1, order):
        term = place**m * first.term + m * place ** (m - 1) * draws.taper / (scale * level.alpha)
        now = column(term)
        whole = total(now.row, now.row)
        for other in before:
            share = total(other.row, now.row) / positive(total(other.row, other.row))
            now = Column(now.term - share * other.term, now.row - share * other.row)
        square = total(now.row, now.row)
        c = -total(now.row, left.row) / positive(square)
        rest = left.row + c * now.row
        freedom = jnp.maximum((ess - 1.0 - m) * spread(now.row), tiny)
        expected = total(rest, rest) / freedom  # by chance alone
        belief = 1.0 - expected / (c**2 * square + tiny)
        c = jnp.where((square > precision * whole) & (belief > 0.0), belief * c, 0.0)
        left = Column(left.term + c * now.term, left.row + c * now.row)
        before.append(now)
    return Fit(left.term, coefficient)


def shrunk_diagonal(stein: Column, noise: Column, w: Float[Array, " k"]) -> Float[Array, " d"]:
    """The coefficient of the first term: dimensions shrunk to a common scalar, that one to 0.

    Both by 1/ESS of what the fit leaves unexplained. Where a fit to all draws alike leaves
    nothing of u, as for linear Q, it is believed however few draws carry the weight.
    """
    ess, dim = effective_sample_size(w), noise.row.shape[1]
    product, square = total(stein.row, noise.row), total(stein.row, stein.row)
    whole = total(noise.row, noise.row)
    scalar = -jnp.sum(product) / positive(jnp.sum(square))
    equations = jnp.maximum(dim * (ess - 1.0), 0.0)
    free = 1.0 - 1.0 / jnp.maximum(equations, 1.0)
    doubt = unexplained(jnp.sum(product), jnp.sum(square), jnp.sum(whole), free)
    scalar = scalar * equations / positive(equations + doubt)
    free = (1.0 - 1.5 / ess) * spread(stein.row)
    share = jnp.mean(square) / ess * unexplained(product, square, whole, free)
    own = (share * scalar - product) / positive(square + share)

    even = 0.5 * (w + 1.0 / w.size)
    root, heaviest = jnp.sqrt(even)[:, None], jnp.argmax(w)
    rows = [root * centred(column.term, even, heaviest) for column in (stein, noise)]
    broad = -total(*rows) / positive(total(rows[0], rows[0]))
    left = rows[1] + broad * rows[0]
    missed = total(left, left) / positive(total(rows[1], rows[1])) / spread(rows[0])
    trust = 1.0 / (1.0 + (missed * ess / DOUBT) ** 2)
    return trust * broad + (1.0 - trust) * own


def unexplained(product: Array, square: Array, whole: Array, free: Array) -> Array:
    """Share of u that a fit leaves, over the share that it was free to leave; at most 1."""
    left = 1.0 - product**2 / positive(square * whole)
    floor, tiny = 32.0 * np.finfo(left.dtype).eps, np.finfo(left.dtype).tiny
    return jnp.minimum(1.0, jnp.maximum(left, floor) / jnp.maximum(free, tiny))


def spread(row: Float[Array, "k d"]) -> Float[Array, " d"]:
    """1 - 1/n, n the number of draws that a fit on these rows rests on: 0 where it is one."""
    square = row**2
    share = square / positive(jnp.sum(square, axis=0))
    return jnp.maximum(1.0 - jnp.sum(share**2, axis=0), np.finfo(row.dtype).tiny)


def standardised(
    action: Float[Array, "k d"], w: Float[Array, " k"], level: Level
) -> tuple[Float[Array, "k d"], Float[Array, " d"]]:
    """Actions in weighted standard deviations from their weighted mean, and those deviations."""
    mean = jnp.sum(w[:, None] * action, axis=0)
    scale = jnp.sqrt(jnp.sum(w[:, None] * (action - mean) ** 2, axis=0))
    scale = jnp.maximum(scale, level.sigma / level.alpha / FAR)
    return jnp.clip((action - mean) / scale, -FAR, FAR), scale


def total(a: Float[Array, "k d"], b: Float[Array, "k d"]) -> Float[Array, " d"]:
    """Σ_i a_i b_i, [d]."""
    return jnp.sum(a * b, axis=0)


def positive(square: Array) -> Array:
    """A sum of squares to divide by: 1 where there is nothing to fit."""
    return jnp.where(square > np.finfo(square.dtype).tiny, square, 1.0)
