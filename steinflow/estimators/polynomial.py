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
ROUNDING = 32.0  # rounding errors that a product of differences of terms may have
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


def fit(draws: Draws, level: Level, order: int) -> Fit:
    """Fit one Stein term after another to what those before it leave of u.

    All from one table of weighted products: terms[0] is u, terms[1 + m] is h_m/alpha.
    """
    draws, w = flattened(draws, level), weights(draws)
    noise, first = noise_terms(draws, level), stein_terms(draws, level) / level.alpha
    place, scale = standardised(draws.action, w, level)
    rest = draws.taper / (scale * level.alpha)
    terms = [noise, first]
    terms += [place**m * first + m * place ** (m - 1) * rest for m in range(1, order)]
    rows = [centred(term, w, jnp.argmax(w)) for term in terms]
    table = products(rows, w)
    c = shrunk_diagonal(rows, table, w)
    mix = jnp.zeros((order + 1, noise.shape[1]), noise.dtype).at[0].set(1.0).at[1].set(c)
    basis = [unit(1, mix)]
    for m in range(1, order):
        mix, direction = step(table, mix, basis, m, rows, w)
        basis.append(direction)
    total = sum(share * term for share, term in zip(mix, terms, strict=True))
    return Fit(total, mix[1])


def products(rows: list[Float[Array, "k d"]], w: Float[Array, " k"]) -> Float[Array, "n n d"]:
    """Σ_i w_i a_i b_i of every two rows a and b, for each dimension."""
    weighted = [w[:, None] * row for row in rows]
    half = {
        (i, j): jnp.sum(weighted[i] * rows[j], axis=0)
        for j in range(len(rows))
        for i in range(j + 1)
    }
    return jnp.stack(
        [
            jnp.stack([half[min(i, j), max(i, j)] for j in range(len(rows))])
            for i in range(len(rows))
        ]
    )


def inner(table: Float[Array, "n n d"], a: Float[Array, "n d"], b: Float[Array, "n d"]) -> Array:
    """The product of two mixtures of the terms, [d]."""
    return jnp.sum(a[:, None] * table * b, axis=(0, 1))


def unit(index: int, like: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """The mixture that is one of the terms."""
    return jnp.zeros_like(like).at[index].set(1.0)


def step(
    table: Float[Array, "n n d"],
    mix: Float[Array, "n d"],
    basis: list[Float[Array, "n d"]],
    m: int,
    rows: list[Float[Array, "k d"]],
    w: Float[Array, " k"],
) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
    """Take the m-th Stein term into the mixture, as far as it fits what is left."""
    tiny, precision = np.finfo(w.dtype).tiny, ROUNDING * np.finfo(w.dtype).eps
    direction = unit(1 + m, mix)
    for other in basis:
        share = inner(table, other, direction) / positive(inner(table, other, other))
        direction = direction - share * other
    square, whole = inner(table, direction, direction), table[1 + m, 1 + m]
    product, left = inner(table, direction, mix), inner(table, mix, mix)
    c = -product / positive(square)
    explained = product**2 / positive(square)
    freedom = jnp.maximum((effective_sample_size(w) - 1.0 - m) * spread(rows[1 + m], w), tiny)
    least = precision * table[0, 0]  # what rounding leaves of u
    expected = jnp.maximum(left - explained, least) / freedom  # by chance alone
    belief = 1.0 - expected / (explained + tiny)
    c = jnp.where((square > precision * whole) & (belief > 0.0), belief * c, 0.0)
    return mix + c * direction, direction


def shrunk_diagonal(
    rows: list[Float[Array, "k d"]], table: Float[Array, "n n d"], w: Float[Array, " k"]
) -> Float[Array, " d"]:
    """The coefficient of the first term: dimensions shrunk to a common scalar, that one to 0.

    Both by 1/ESS of what the fit leaves unexplained. Where a fit to all draws alike leaves
    nothing of u, as for linear Q, it is believed however few draws carry the weight.
    """
    ess, dim = effective_sample_size(w), table.shape[-1]
    whole, product, square = table[0, 0], table[0, 1], table[1, 1]
    scalar = -jnp.sum(product) / positive(jnp.sum(square))
    equations = jnp.maximum(dim * (ess - 1.0), 0.0)
    free = 1.0 - 1.0 / jnp.maximum(equations, 1.0)
    doubt = unexplained(jnp.sum(product), jnp.sum(square), jnp.sum(whole), free)
    scalar = scalar * equations / positive(equations + doubt)
    free = (1.0 - 1.5 / ess) * spread(rows[1], w)
    share = jnp.mean(square) / ess * unexplained(product, square, whole, free)
    own = (share * scalar - product) / positive(square + share)

    even = 0.5 * (w + 1.0 / w.size)
    alike = [row - jnp.sum(even[:, None] * row, axis=0) for row in rows[:2]]
    (whole, product), (_, square) = products(alike, even)
    broad = -product / positive(square)
    missed = unexplained(product, square, whole, spread(alike[1], even))
    trust = 1.0 / (1.0 + (missed * ess / DOUBT) ** 2)
    return trust * broad + (1.0 - trust) * own


def unexplained(product: Array, square: Array, whole: Array, free: Array) -> Array:
    """Share of u that a fit leaves, over the share that it was free to leave; at most 1."""
    left = 1.0 - product**2 / positive(square * whole)
    floor, tiny = ROUNDING * np.finfo(left.dtype).eps, np.finfo(left.dtype).tiny
    return jnp.minimum(1.0, jnp.maximum(left, floor) / jnp.maximum(free, tiny))


def spread(row: Float[Array, "k d"], w: Float[Array, " k"]) -> Float[Array, " d"]:
    """1 - 1/n, n the number of draws that a fit on this row rests on: 0 where it is one."""
    square = w[:, None] * row**2
    most = positive(jnp.sum(square, axis=0))
    return jnp.maximum(1.0 - jnp.sum((square / most) ** 2, axis=0), np.finfo(row.dtype).tiny)


def standardised(
    action: Float[Array, "k d"], w: Float[Array, " k"], level: Level
) -> tuple[Float[Array, "k d"], Float[Array, " d"]]:
    """Actions in weighted standard deviations from their weighted mean, and those deviations."""
    mean = jnp.sum(w[:, None] * action, axis=0)
    scale = jnp.sqrt(jnp.sum(w[:, None] * (action - mean) ** 2, axis=0))
    scale = jnp.maximum(scale, level.sigma / level.alpha / FAR)
    return jnp.clip((action - mean) / scale, -FAR, FAR), scale


def positive(square: Array) -> Array:
    """A sum of squares to divide by: 1 where there is nothing to fit."""
    return jnp.where(square > np.finfo(square.dtype).tiny, square, 1.0)
