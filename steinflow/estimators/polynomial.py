"""The estimator behind `auto`: several Stein terms a dimension, believed as far as they fit."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.nn import softmax
from jaxtyping import Array, Float

from steinflow.checks import require_at_least
from steinflow.diagnostics import effective_sample_size
from steinflow.draws import Draws, weights
from steinflow.estimators.base import AbstractEstimator, Needs
from steinflow.estimators.controlled import controlled
from steinflow.estimators.stein import flattened, noise_terms, stein_terms
from steinflow.levels import Level
from steinflow.supports import AbstractSupport

DOUBT = 0.02  # share of u that a fit to all draws may leave, times ESS, to be half believed
ROUNDING = 32.0  # rounding errors that a product of differences of terms may have
SPARE = 3.0  # draws beyond those that a later term takes before it is believed at all
MANY = 1024  # draws from which on the part of a heavy draw in the fits is taken out of its term:
HEAVY = 0.05  # leverages from which on. Below, Sobol draws err less than taking them out would
LEAST = 0.1  # of a residual that a fit is taken to have left, where a draw decides it
FAR = 1e3  # standard deviations at which the place of a draw is cut off


class SteinPolynomial(AbstractEstimator):
    """Σ_i w_i [u_i + Σ_m C_m h_mi/alpha], a diagonal C_m for each of `order` Stein terms h_m.

    The Stein terms of dimension j are those of phi_j(a_j) z_j^m, z the draws standardised by
    their weights: h_m = z^m h + m z^(m-1) phi/scale. On a box phi = 1 - r^(2p), r the place in
    it from -1 to 1, p = max(1, alpha half-width/sigma): as steep at the walls as the
    likelihood is narrow.

    Approximates: s*(x), on R^d and on a box.
    With: self-normalised weights. C_m is fitted to the weighted draws, one term after another,
        and each fit is shrunk by what it leaves unexplained (docs/formulas.md). A mean beyond
        the u of all draws is moved back, as far as no fit to all of them speaks for it. With 1,024
        draws or more the term of a heavy one is what a fit to the others leaves: where few
        draws hold a far mode, fits that they take part in are biased. With fewer, and a surrogate
        of the draws, their error on its terms is subtracted (`controlled`).
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


def fit(draws: Draws, level: Level, order: int) -> Fit:
    """Fit one Stein term after another to what those before it leave of u.

    By Gram and Schmidt on weighted products of the terms: term m less Σ_j lower[m, j]
    direction j is direction m. A row is a dimension, so that sums run along memory.
    """
    draws, w = flattened(draws, level), weights(draws)
    noise = noise_terms(draws, level).T
    center, scale = standard(draws.action.T, w, level)
    terms = stein_rows(draws, level, center, scale, order)
    u, *rows = [about_the_mean(term, w) for term in (noise, *terms)]

    ess, precision = effective_sample_size(w), ROUNDING * np.finfo(w.dtype).eps
    whole = left = dot(u, u, w)
    lower: dict[tuple[int, int], Array] = {}
    squares: list[Array] = []  # of the directions; their products with u; their shares in it
    products: list[Array] = []
    shares: list[Array] = []
    for m, row in enumerate(rows):
        own, square, product = dot(row, row, w), dot(row, row, w), dot(row, u, w)
        for j in range(m):
            cross = dot(row, rows[j], w)
            cross -= sum(lower[m, i] * lower[j, i] * squares[i] for i in range(j))
            lower[m, j] = jnp.where(squares[j] > 0.0, cross / positive(squares[j]), 0.0)
            square -= lower[m, j] ** 2 * squares[j]
            product -= lower[m, j] * products[j]
        square = jnp.where(square > precision * own, square, 0.0)
        if m == 0:
            c, odds = shrunk_diagonal(u, row, w, softmax(draws.log_prior))
        else:
            freedom = (ess - 1.0 - m - SPARE) * spread(row, own, w)
            least = precision * whole  # what rounding leaves of u
            c = -product / positive(square) * belief(product, square, left, least, freedom)
        left += c * (2.0 * product + c * square)
        squares.append(square)
        products.append(product)
        shares.append(c)
    each = zip(shares, products, squares, strict=True)
    believed = [
        jnp.clip(-c * square / jnp.where(product == 0.0, 1.0, product), 0.0, 1.0)
        for c, product, square in each
    ]
    for m in reversed(range(order)):  # from shares of directions to shares of terms
        for j in range(m):
            shares[j] -= lower[m, j] * shares[m]

    def fitted(noise: Array, terms: list[Array]) -> Array:
        return noise + sum(c[:, None] * term for c, term in zip(shares, terms, strict=True))

    total = fitted(noise, terms)
    if draws.surrogate is not None and w.size < MANY:  # many err less than the known means do
        here = draws._replace(slope=draws.surrogate.slope)
        there = flattened(draws.surrogate.nodes, level)
        own, nodes = (
            fitted(noise_terms(d, level).T, stein_rows(d, level, center, scale, order))
            for d in (here, there)
        )
        total = controlled(total, own, nodes, draws.surrogate, w)
    if w.size >= MANY:
        total = without_itself(total, rows, lower, squares, believed, w)
    return Fit(brought_back(total, noise, w, odds).T, shares[0])


def without_itself(
    total: Float[Array, "d k"],
    rows: list[Array],
    lower: dict[tuple[int, int], Array],
    squares: list[Array],
    believed: list[Array],
    w: Float[Array, " k"],
) -> Float[Array, "d k"]:
    """The terms of heavy draws by a fit to the others: a residual over 1 less the draw's leverage
    on it, as far as a fit is believed."""
    directions, leverage = list[Array](), w
    for m, (row, square, b) in enumerate(zip(rows, squares, believed, strict=True)):
        directions.append(row - sum(lower[m, j][:, None] * directions[j] for j in range(m)))
        share = b[:, None] * w * directions[m] ** 2 / positive(square)[:, None]
        leverage = leverage + jnp.where(square[:, None] > 0.0, share, 0.0)
    leverage = jnp.where(leverage > HEAVY, leverage, 0.0)
    return total + about_the_mean(total, w) * leverage / jnp.maximum(1.0 - leverage, LEAST)


def brought_back(
    total: Float[Array, "d k"],
    noise: Float[Array, "d k"],
    w: Float[Array, " k"],
    odds: Float[Array, " d"],
) -> Float[Array, "d k"]:
    """The terms, moved where their mean lies outside all draws' u by more than `odds` times their
    range, to there: without a fit to all of them nothing says what is beyond those that were
    drawn."""
    low, high = jnp.min(noise, axis=1), jnp.max(noise, axis=1)
    mean, room = jnp.sum(w * total, axis=1), odds * (high - low)
    bounded = jnp.clip(mean, low - room, high + room)
    moved = about_the_mean(total, w) + bounded[:, None]
    return jnp.where((bounded != mean)[:, None], moved, total)


def about_the_mean(row: Float[Array, "d k"], w: Float[Array, " k"]) -> Float[Array, "d k"]:
    """A row minus its weighted mean, by way of the heaviest draw as in `centred`."""
    offset = row - row[:, jnp.argmax(w)][:, None]
    return offset - jnp.sum(w * offset, axis=1, keepdims=True)


def dot(
    a: Float[Array, "d k"], b: Float[Array, "d k"], w: Float[Array, " k"]
) -> Float[Array, " d"]:
    """Σ_i w_i a_i b_i for each dimension."""
    return jnp.sum(w * a * b, axis=1)


def belief(
    product: Float[Array, " d"],
    square: Float[Array, " d"],
    left: Float[Array, " d"],
    least: Float[Array, " d"],
    freedom: Float[Array, " d"],
) -> Float[Array, " d"]:
    """The positive part of 1 - F0/F: what chance alone explains over what the fit does.

    One quotient: XLA turns (a/b)/c into a/(b c), and b c may underflow.
    """
    explained = product**2 / positive(square)
    chance, earned = jnp.maximum(left - explained, least), freedom * explained
    believed = (square > 0.0) & (earned > chance)
    return jnp.where(believed, 1.0 - chance / positive(earned), 0.0)


def shrunk_diagonal(
    u: Float[Array, "d k"],
    h: Float[Array, "d k"],
    w: Float[Array, " k"],
    prior: Float[Array, " k"],
) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """The coefficient of the first term: dimensions shrunk to a common scalar, by 1/ESS of what
    the fit leaves unexplained, and that one likewise to the scalar of a broad fit. And the odds
    of the broad fit, (DOUBT/(share left ESS))²: how sure it is among all draws.

    The broad fit weighs draws half by w and half as if Q were flat. Its scalar counts as far as
    it explains u, there and among the weighted draws. Where it leaves nothing of u, as for
    linear Q, it is believed however few draws carry the weight; but what it leaves is measured
    by the variance of u among the weighted draws where that is less: far draws, whose u and h
    are large, make up nearly all of the other, and say nothing about near ones.
    """
    ess, dim = effective_sample_size(w), u.shape[0]
    even = 0.5 * (w + prior)
    v, g = (row - jnp.sum(even * row, axis=1, keepdims=True) for row in (u, h))
    wide, product, square = dot(v, v, even), dot(v, g, even), dot(g, g, even)
    broad = -product / positive(square)
    free = spread(g, square, even) * max(0.0, 1.0 - 2.0 / w.size)  # two draws are on a line
    missed = unexplained(product, square, wide, free)
    odds = (DOUBT / (missed * ess)) ** 2
    total, everything = jnp.sum(square), jnp.sum(wide)
    met = jnp.sum(product) ** 2 / positive(total * everything)
    anywhere = -(met**2) * jnp.sum(product) / positive(total)

    whole, product, square = dot(u, u, w), dot(u, h, w), dot(h, h, w)
    others = jnp.sum(w * (1.0 - w))  # 1 - 1/ESS: the bias of a weighted variance
    near = jnp.where(whole > np.finfo(w.dtype).tiny, whole / positive(others), wide)
    missed = jnp.minimum(1.0, missed * jnp.maximum(1.0, wide / positive(near)))
    trust = 1.0 / (1.0 + (missed * ess / DOUBT) ** 2)
    scalar = -jnp.sum(product) / positive(jnp.sum(square))
    equations = jnp.maximum(dim * (ess - 1.0), 0.0)
    free = 1.0 - 1.0 / jnp.maximum(equations, 1.0)
    doubt = unexplained(jnp.sum(product), jnp.sum(square), jnp.sum(whole), free)
    gain = -anywhere * (2.0 * jnp.sum(product) + anywhere * jnp.sum(square))
    anywhere *= jnp.clip(gain / positive(jnp.sum(whole)), 0.0, 1.0)  # among the weighted draws
    scalar = (scalar * equations + anywhere * doubt) / positive(equations + doubt)
    free = (1.0 - 1.5 / ess) * spread(h, square, w)
    share = jnp.mean(square) / ess * unexplained(product, square, whole, free)
    own = (share * scalar - product) / positive(square + share)
    return trust * broad + (1.0 - trust) * own, odds


def unexplained(product: Array, square: Array, whole: Array, free: Array) -> Array:
    """Share of u that a fit leaves, over the share that it was free to leave; at most 1."""
    left = 1.0 - product**2 / positive(square * whole)
    floor, tiny = ROUNDING * np.finfo(left.dtype).eps, np.finfo(left.dtype).tiny
    return jnp.minimum(1.0, jnp.maximum(left, floor) / jnp.maximum(free, tiny))


def spread(
    row: Float[Array, "d k"], square: Float[Array, " d"], w: Float[Array, " k"]
) -> Float[Array, " d"]:
    """1 - 1/n, n the number of draws that a fit on a row of this mean square rests on."""
    share = w * row**2 / positive(square)[:, None]
    return jnp.maximum(1.0 - jnp.sum(share**2, axis=1), np.finfo(row.dtype).tiny)


def standard(
    action: Float[Array, "d k"], w: Float[Array, " k"], level: Level
) -> tuple[Float[Array, "d 1"], Float[Array, "d 1"]]:
    """The weighted mean of actions, and their weighted standard deviation."""
    center = jnp.sum(w * action, axis=1, keepdims=True)
    scale = jnp.sqrt(jnp.sum(w * (action - center) ** 2, axis=1, keepdims=True))
    return center, jnp.maximum(scale, level.sigma / level.alpha / FAR)


def stein_rows(
    draws: Draws, level: Level, center: Array, scale: Array, order: int
) -> list[Float[Array, "d k"]]:
    """The Stein terms of z^m phi over alpha, z the actions in `scale` from `center`."""
    first = stein_terms(draws, level).T / level.alpha
    place = jnp.clip((draws.action.T - center) / scale, -FAR, FAR)
    rest = draws.taper.T / (scale * level.alpha)
    return [first] + [place ** (m - 1) * (place * first + m * rest) for m in range(1, order)]


def positive(square: Array) -> Array:
    """A sum of squares to divide by: 1 where there is nothing to fit."""
    return jnp.where(square > np.finfo(square.dtype).tiny, square, 1.0)
