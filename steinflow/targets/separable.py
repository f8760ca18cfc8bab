"""Exact targets: Q is a rotated sum of one-dimensional functions.

Isotropic noise keeps the posterior a product in the rotated coordinates b = R a, so the
exact score needs one-dimensional integrals only, in any dimension. The four families of
the paper are data of this one class: f_j(b) = l_j b + q_j b^2 + r_j b^4 + c_j cos(2 pi b).
"""

from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softmax
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Key

from steinflow.checks import Numbers, as_leaf, require_at_least, require_positive
from steinflow.levels import Level
from steinflow.supports import AbstractSupport
from steinflow.targets.boltzmann import AbstractTarget
from steinflow.targets.latent import latent_nodes, log_slope
from steinflow.targets.quadrature import (
    Nodes,
    adapted_mesh,
    first_mesh,
    inverse_cdf,
    moments,
    nodes,
)

Coefficients: TypeAlias = tuple[Numbers, Numbers, Numbers, Numbers]  # each [d]


def rotation(dim: int, support: AbstractSupport) -> Float[np.ndarray, "d d"]:
    """A fixed rotation of R^d, the identity where bounds would break the product."""
    if support.has_bounds or dim == 1:
        return np.eye(dim)
    matrix, triangle = np.linalg.qr(np.random.default_rng(dim).standard_normal((dim, dim)))
    matrix = matrix * np.sign(np.diag(triangle))
    matrix[0] *= np.linalg.det(matrix)
    return matrix


class Separable(AbstractTarget):
    """pi(a) ∝ exp(Σ_j f_j((R a)_j)/tau), with its exact noised score.

    Args:
        linear, quadratic, quartic, cosine: the coefficients of f_j, each [d].
        rotation: R, [d, d].
        tau: temperature, > 0.
        support: on a box R must be the identity.
    """

    linear: Numbers = eqx.field(converter=as_leaf)
    quadratic: Numbers = eqx.field(converter=as_leaf)
    quartic: Numbers = eqx.field(converter=as_leaf)
    cosine: Numbers = eqx.field(converter=as_leaf)
    rotation: Numbers = eqx.field(converter=as_leaf)
    tau: Numbers = eqx.field(converter=as_leaf)
    support: AbstractSupport

    def __check_init__(self) -> None:
        require_positive("tau", self.tau, "Sharper targets take a small tau, never 0.")

    @property
    def dim(self) -> int:
        """d, the dimension of an action."""
        return int(self.linear.shape[-1])

    @property
    def coefficients(self) -> Coefficients:
        """The coefficients of all f_j."""
        return self.linear, self.quadratic, self.quartic, self.cosine

    def value(self, action: Float[Array, " d"]) -> Float[Array, ""]:
        turned = self.rotation @ action
        return jnp.sum(potential(turned, self.coefficients))

    def posterior(self, x: Float[Array, " d"], level: Level) -> Nodes:
        """Quadrature of p(b_j | x), one rule a dimension: points and weights [d, m]."""
        low, high = self.support.bounds(self.dim)

        def one(y: Array, low: Array, high: Array, coefficients: Coefficients) -> Nodes:
            def log_density(b: Array) -> Array:
                misfit = (y - level.alpha * b) / level.sigma
                return potential(b, coefficients) / self.tau - 0.5 * misfit**2

            mesh = first_mesh(y / level.alpha, level.sigma / level.alpha, low, high)
            return nodes(log_density, mesh)

        return jax.vmap(one)(self.rotation @ x, low, high, self.coefficients)

    def posterior_moments(
        self, x: Float[Array, " d"], level: Level
    ) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """Mean and variance of b_j given x: closed form for Gaussians, else quadrature."""
        mean, variance = jax.vmap(moments)(self.posterior(x, level))
        likelihood = (level.alpha / level.sigma) ** 2
        precision = likelihood - 2.0 * self.quadratic / self.tau
        center = (
            level.alpha * (self.rotation @ x) / level.sigma**2 + self.linear / self.tau
        ) / precision
        gaussian = (self.quartic == 0.0) & (self.cosine == 0.0) & (not self.support.has_bounds)
        return (
            jnp.where(gaussian, center, mean),
            jnp.where(gaussian, 1.0 / precision, variance),
        )

    def latent_moments(
        self, x: Float[Array, " d"], level: Level
    ) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """Mean and variance of y = atanh of the rescaled action given its noisy point, [d]."""
        low, high = self.support.bounds(self.dim)

        def one(x: Array, low: Array, high: Array, coefficients: Coefficients) -> Nodes:
            y = latent_nodes(x, level)
            action = 0.5 * (low + high) + 0.5 * (high - low) * jnp.tanh(y)
            misfit = (x - level.alpha * y) / level.sigma
            log_p = potential(action, coefficients) / self.tau + log_slope(y) - 0.5 * misfit**2
            return Nodes(y, softmax(log_p), jnp.max(log_p))

        return jax.vmap(moments)(jax.vmap(one)(x, low, high, self.coefficients))

    def exact_score(self, x: Float[Array, " d"], level: Level) -> Float[Array, " d"]:
        """s*(x) = E[(alpha a - x)/sigma^2 | x], shape [d], to 1e-9 (|s*| + sqrt(trace))."""
        mean, _ = self.posterior_moments(x, level)
        misfit = level.alpha * mean - self.rotation @ x
        return self.rotation.T @ misfit / level.sigma**2

    def exact_trace(self, x: Float[Array, " d"], level: Level) -> Float[Array, ""]:
        """tr Cov[(alpha a - x)/sigma^2 | x]: the MSE of one exact posterior draw."""
        _, variance = self.posterior_moments(x, level)
        return jnp.sum(variance) * (level.alpha / level.sigma**2) ** 2

    def exact_flux(self, x: Float[Array, " d"], level: Level) -> Float[Array, " d"]:
        """(p_j(high_j|x) - p_j(low_j|x))/alpha, [d]: what a gradient that forgets the
        bounds is wrong by (docs/formulas.md); 0 on R^d."""
        rule = self.posterior(x, level)

        def density(bound: Float[Array, " d"]) -> Float[Array, " d"]:
            b = jnp.where(jnp.isfinite(bound), bound, 0.0)
            misfit = (self.rotation @ x - level.alpha * b) / level.sigma
            log_p = potential(b, self.coefficients) / self.tau - 0.5 * misfit**2 - rule.log_mass
            return jnp.where(jnp.isfinite(bound), jnp.exp(log_p), 0.0)

        low, high = self.support.bounds(self.dim)
        return (density(high) - density(low)) / level.alpha

    def quantile(self, uniform: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Actions a ~ pi from uniform numbers, by the inverse distribution function.

        A dimension whose density cannot be normalised (linear Q on R^d) is drawn from
        N(0, 1): its posterior and score still exist.
        """
        low, high = self.support.bounds(self.dim)

        def one(u: Array, low: Array, high: Array, coefficients: Coefficients) -> Array:
            def log_density(b: Array) -> Array:
                return potential(b, coefficients) / self.tau

            mesh = adapted_mesh(log_density, first_mesh(jnp.zeros(()), jnp.ones(()), low, high))
            return inverse_cdf(log_density, mesh, u)

        turned = jax.vmap(one, in_axes=(1, 0, 0, 0), out_axes=1)(
            uniform, low, high, self.coefficients
        )
        confined = (self.quadratic < 0) | (self.quartic < 0) | self.support.has_bounds
        return jnp.where(confined, turned, ndtri(uniform)) @ self.rotation

    def sample(self, key: Key[Array, ""], num_samples: int) -> Float[Array, "n d"]:
        """num_samples actions from pi, shape [n, d]."""
        return self.quantile(jax.random.uniform(key, (num_samples, self.dim), minval=1e-12))


def potential(b: Array, coefficients: Coefficients) -> Array:
    """f(b) = l b + q b^2 + r b^4 + c cos(2 pi b), elementwise."""
    linear, quadratic, quartic, cosine = coefficients
    square = b * b
    wave = jax.lax.cond(  # cosines cost more than all the rest, and most Q have none
        jnp.any(cosine != 0.0),
        lambda b: cosine * jnp.cos(2.0 * jnp.pi * b),
        lambda b: jnp.zeros_like(cosine * b),
        b,
    )
    return linear * b + quadratic * square + quartic * square * square + wave


def separable(
    tau: Numbers, dim: int, support: AbstractSupport, **coefficients: Numbers
) -> Separable:
    """A Separable target from those coefficients that are not zero (scalars or [d])."""
    require_at_least("dim", dim, 1, "It is the number of action dimensions.")
    names = ("linear", "quadratic", "quartic", "cosine")
    full = {name: np.broadcast_to(coefficients.get(name, 0.0), (dim,)) for name in names}
    return Separable(**full, rotation=rotation(dim, support), tau=tau, support=support)
