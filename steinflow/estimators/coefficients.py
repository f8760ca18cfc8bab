"""Where the coefficient C of the control variate comes from."""

import abc
import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from steinflow.checks import Numbers, as_leaf, is_concrete, lookup, require_at_least, require_shape
from steinflow.diagnostics import effective_sample_size
from steinflow.draws import Draws, weights
from steinflow.estimators.base import Needs
from steinflow.estimators.stein import noise_terms, stein_terms
from steinflow.linear_algebra import centred, least_squares
from steinflow.points import Point

FLOOR = 1e-4  # total weight spread evenly over the draws, for the fit only


class AbstractCoefficient(eqx.Module):
    """A rule for C, given the draws of one point."""

    @abc.abstractmethod
    def fit(self, draws: Draws, point: Point) -> Float[Array, "*c"]:
        """C: a scalar [], a diagonal [d] or a matrix [d, d]."""

    @abc.abstractmethod
    def needs(self, dim: int) -> Needs:
        """What it asks of the draws."""

    @abc.abstractmethod
    def check(self, dim: int, num_draws: int) -> None:
        """Raise ValueError, with the remedy, where the rule does not apply."""


class Constant(AbstractCoefficient):
    """A given C: scalar, [d] or [d, d]. C = 0 is noise; on R^d C = 1 is gradient."""

    c: Numbers = eqx.field(converter=as_leaf)

    def fit(self, draws: Draws, point: Point) -> Float[Array, "*c"]:
        return jnp.asarray(self.c, draws.action.dtype)

    def needs(self, dim: int) -> Needs:
        return Needs(gradient=True)

    def check(self, dim: int, num_draws: int) -> None:
        require_shape("c", self.c, [(), (dim,), (dim, dim)], "One number, or as wide as x.")


class Curvature(AbstractCoefficient):
    """C = alpha^2 (alpha^2 I + sigma^2 P)^-1: exact where Q is quadratic, on R^d.

    Args:
        precision: P = -hessian of Q/tau, a scalar, [d] or [d, d]. None is E[-hessian of Q/tau | x]
            by the weighted draws, the Laplace-Fisher gate: as dear as d more gradients a draw.

    Where Q is convex C leaves [0, 1], as it should; at alpha^2 = -sigma^2 kappa it does
    not exist.

    Reference: Duston (2026), https://arxiv.org/abs/2606.25169.
    """

    precision: Numbers = eqx.field(
        default=None, converter=lambda p: None if p is None else as_leaf(p)
    )

    def fit(self, draws: Draws, point: Point) -> Float[Array, "*c"]:
        if self.precision is not None:
            precision = jnp.asarray(self.precision, draws.action.dtype)
        elif draws.hessian is not None:
            precision = -jnp.tensordot(weights(draws), draws.hessian, 1)
        else:
            raise ValueError("Curvature() needs Hessians of Q at the draws. Give a precision.")
        signal, spread = point.level.alpha**2, point.level.sigma**2
        if precision.ndim < 2:
            return signal / (signal + spread * precision)
        eye = jnp.eye(point.x.size, dtype=point.x.dtype)
        return signal * least_squares(signal * eye + spread * precision, eye)

    def needs(self, dim: int) -> Needs:
        return Needs(gradient=True, hessian=self.precision is None)

    def check(self, dim: int, num_draws: int) -> None:
        if self.precision is not None:
            why = "One number, or as wide as x."
            require_shape("precision", self.precision, [(), (dim,), (dim, dim)], why)


def scalar_fit(stein: Array, noise: Array) -> Array:
    """argmin_c Σ |noise + c stein|^2 over all rows and dimensions, a scalar."""
    return -jnp.sum(stein * noise) / positive(jnp.sum(stein**2))


def diagonal_fit(stein: Array, noise: Array) -> Array:
    """The same for each dimension by itself, [d]."""
    return -jnp.sum(stein * noise, axis=0) / positive(jnp.sum(stein**2, axis=0))


def matrix_fit(stein: Array, noise: Array) -> Array:
    """argmin_C Σ |noise + C stein|^2, [d, d]."""
    return -least_squares(stein, noise).T


def positive(square: Array) -> Array:
    """A sum of squares to divide by: 1 where there is nothing to fit."""
    return jnp.where(square > 0, square, 1.0)


def regression(draws: Draws, point: Point) -> tuple[Array, Array]:
    """Centred rows of h/alpha and u, [k, d] each, times the root of the fit's weights."""
    w = weights(draws)
    v = (w + FLOOR / w.size) / (1.0 + FLOOR)
    root, heaviest = jnp.sqrt(v)[:, None], jnp.argmax(w)
    noise = root * centred(noise_terms(draws, point), v, heaviest)
    return root * centred(stein_terms(draws, point), v, heaviest) / point.level.alpha, noise


class Kind(NamedTuple):
    """A shape of C: how it is fitted, and how many unknowns an equation of one draw has."""

    fit: Callable[[Array, Array], Array]
    unknowns: Callable[[int], float]


KINDS = {
    "scalar": Kind(scalar_fit, lambda dim: 1.0 / dim),
    "diagonal": Kind(diagonal_fit, lambda dim: 1.0),
    "matrix": Kind(matrix_fit, float),
}


class InSample(AbstractCoefficient):
    """C by weighted regression of u on h, with intercept, over the estimate's own draws.

    Args:
        kind: "scalar" (one number for all of a point), "diagonal" (one a dimension) or
            "matrix" (exact for Gaussian targets from d + 1 draws, whatever the weights).
        shrink: s >= 0 in the factor m/(m + s) on C, m the equations that an unknown has,
            d (ESS - 1), ESS - 1 or (ESS - 1)/d by kind. 0 believes every fit.

    The regression weighs draws by v = w + 1e-4/N, so that it has as many rows as there
    are draws; the estimate keeps w. The same draws fit and are estimated from, which
    biases it by O(1/ESS) and hurts where ESS is near 1.
    """

    kind: str = "scalar"
    shrink: Numbers = eqx.field(default=0.0, converter=as_leaf)

    def __check_init__(self) -> None:
        lookup("kind of InSample", self.kind, KINDS)
        if is_concrete(self.shrink) and not np.all(np.asarray(self.shrink) >= 0):
            raise ValueError(f"shrink must be >= 0, got {self.shrink}. 0 believes every fit.")

    def fit(self, draws: Draws, point: Point) -> Float[Array, "*c"]:
        w, (stein, noise) = weights(draws), regression(draws, point)
        kind, tiny = KINDS[self.kind], np.finfo(w.dtype).tiny
        equations = (effective_sample_size(w) - 1.0) / kind.unknowns(draws.action.shape[1])
        equations = jnp.maximum(equations, tiny)
        return kind.fit(stein, noise) * (equations / (equations + self.shrink))

    def needs(self, dim: int) -> Needs:
        return Needs(gradient=True, fitted=math.ceil(KINDS[self.kind].unknowns(dim)))

    def check(self, dim: int, num_draws: int) -> None:
        minimum = 1 + self.needs(dim).fitted
        why = f"A {self.kind} coefficient for d = {dim} is fitted to the draws themselves."
        require_at_least("num_draws", num_draws, minimum, why)
