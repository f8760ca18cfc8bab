"""A mixture of Gaussians at every temperature: Q_tau(a) = tau log Σ_k exp(q_k(a)/tau).

With quadratic q_k(a) = o_k - 1/2 (a - m_k)^T P_k (a - m_k), exp(Q_tau/tau) is a sum of
Gaussians with covariances tau P_k^-1, so posterior and score have a closed form on R^d;
with diagonal P_k the box has one too, by truncated normals.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import logsumexp, softmax
from jaxtyping import Array, Float, Key

from steinflow.checks import Numbers, as_leaf, require_positive, require_shape
from steinflow.levels import Level
from steinflow.linear_algebra import inverse_root
from steinflow.supports import AbstractSupport, RealSpace
from steinflow.targets.boltzmann import AbstractTarget
from steinflow.targets.latent import latent_nodes, log_slope
from steinflow.targets.quadrature import first_mesh, moments, nodes
from steinflow.truncated_normal import log_mass, quantile


class Components(NamedTuple):
    """The posterior p(a|x) as a mixture: log weights [k], means [k, d], variances."""

    log_weight: Float[Array, " k"]  # not normalised
    mean: Float[Array, "k d"]
    variance: Float[Array, "k d"]  # diagonal of each covariance


class GaussianMixture(AbstractTarget):
    """pi(a) ∝ Σ_k exp(q_k(a)/tau), q_k(a) = o_k - 1/2 (a - m_k)^T P_k (a - m_k).

    Args:
        mean: m, [K, d].
        precision: P, [K, d] (diagonal) or [K, d, d] (R^d only), positive definite.
        offset: o, [K], in units of Q.
        tau: temperature, > 0.
        support: `RealSpace()` or a `Box` (diagonal precisions).

    Raises:
        ValueError: shapes that do not fit, tau not positive, or full matrices on a box.
    """

    mean: Numbers = eqx.field(converter=as_leaf)  # type: ignore[misc]
    precision: Numbers = eqx.field(converter=as_leaf)  # type: ignore[misc]
    offset: Numbers = eqx.field(converter=as_leaf)  # type: ignore[misc]
    tau: Numbers = eqx.field(converter=as_leaf)
    support: AbstractSupport = RealSpace()

    def __check_init__(self) -> None:
        require_positive("tau", self.tau, "Sharper targets take a small tau, never 0.")
        if np.ndim(self.mean) != 2:
            raise ValueError(f"mean must be [K, d], got {list(np.shape(self.mean))}.")
        count, dim = np.shape(self.mean)
        shapes = [(count, dim)] if self.support.has_bounds else [(count, dim), (count, dim, dim)]
        require_shape("precision", self.precision, shapes, "Full matrices need R^d.")
        require_shape("offset", self.offset, [(count,)], "One offset a component.")

    @property
    def dim(self) -> int:
        """d, the dimension of an action."""
        return int(self.mean.shape[-1])

    def matrices(self) -> Float[Array, "k d d"]:
        """P_k as full matrices."""
        if np.ndim(self.precision) == 3:
            return jnp.asarray(self.precision)
        return jax.vmap(jnp.diag)(jnp.asarray(self.precision))

    def value(self, action: Float[Array, " d"]) -> Float[Array, ""]:
        offset = action - self.mean
        if np.ndim(self.precision) == 3:
            energy = jnp.einsum("kd,kde,ke->k", offset, self.precision, offset)
        else:
            energy = jnp.sum(self.precision * offset**2, axis=-1)
        return self.tau * logsumexp((self.offset - 0.5 * energy) / self.tau)

    def posterior(self, x: Float[Array, " d"], level: Level) -> Components:
        """p(a|x) as a mixture with as many components."""
        parts = self._boxed(x, level) if self.support.has_bounds else self._real(x, level)
        return parts._replace(log_weight=parts.log_weight + self.offset / self.tau)

    def _real(self, x: Float[Array, " d"], level: Level) -> Components:
        def one(mean: Array, matrix: Array) -> Components:
            precision = matrix / self.tau + (level.alpha / level.sigma) ** 2 * jnp.eye(self.dim)
            gap = (level.alpha / level.sigma**2) * (x - level.alpha * mean)
            root = inverse_root(precision)
            shift = root.T @ (root @ gap)
            misfit = jnp.sum((x - level.alpha * mean) ** 2) / level.sigma**2
            log_weight = 0.5 * (shift @ gap - misfit) + jnp.sum(jnp.log(jnp.diag(root)))
            return Components(log_weight, mean + shift, jnp.sum(root**2, axis=0))

        return jax.vmap(one)(self.mean, self.matrices())

    def _boxed(self, x: Float[Array, " d"], level: Level) -> Components:
        def one(
            mean: Array, precision: Array, x: Array, low: Array, high: Array
        ) -> tuple[Array, Array, Array]:
            def log_density(a: Array) -> Array:
                misfit = (x - level.alpha * a) / level.sigma
                return -0.5 * precision * (a - mean) ** 2 / self.tau - 0.5 * misfit**2

            mesh = first_mesh(x / level.alpha, level.sigma / level.alpha, low, high)
            rule = nodes(log_density, mesh)
            return rule.log_mass, *moments(rule)

        low, high = self.support.bounds(self.dim)
        over_dims = jax.vmap(one, in_axes=(0, 0, 0, 0, 0))
        log_mass, mean, variance = jax.vmap(over_dims, in_axes=(0, 0, None, None, None))(
            self.mean, self.precision, x, low, high
        )
        return Components(log_mass.sum(-1), mean, variance)

    def latent_moments(
        self, x: Float[Array, " d"], level: Level
    ) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """Mean and variance of y = atanh of the rescaled action given its noisy point, [d]."""

        def over_dimension(
            x: Array, low: Array, high: Array, mean: Array, precision: Array
        ) -> tuple[Array, Array, Array]:
            y = latent_nodes(x, level)
            action = 0.5 * (low + high) + 0.5 * (high - low) * jnp.tanh(y)
            misfit = (x - level.alpha * y) / level.sigma
            energy = 0.5 * precision[:, None] * (action - mean[:, None]) ** 2 / self.tau
            log_p = log_slope(y) - 0.5 * misfit**2 - energy
            weight = softmax(log_p, axis=-1)
            center = weight @ y
            variance = jnp.sum(weight * (y - center[:, None]) ** 2, axis=-1)
            return logsumexp(log_p, axis=-1) + jnp.log(y[1] - y[0]), center, variance

        low, high = self.support.bounds(self.dim)
        log_mass, mean, variance = jax.lax.map(
            lambda row: over_dimension(*row), (x, low, high, self.mean.T, self.precision.T)
        )
        return moments_of(Components(log_mass.sum(0) + self.offset / self.tau, mean.T, variance.T))

    def posterior_moments(
        self, x: Float[Array, " d"], level: Level
    ) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """Mean and variance of a given x, [d] each."""
        return moments_of(self.posterior(x, level))

    def exact_score(self, x: Float[Array, " d"], level: Level) -> Float[Array, " d"]:
        """s*(x) = E[(alpha a - x)/sigma^2 | x], shape [d]."""
        mean, _ = self.posterior_moments(x, level)
        return (level.alpha * mean - x) / level.sigma**2

    def exact_trace(self, x: Float[Array, " d"], level: Level) -> Float[Array, ""]:
        """tr Cov[(alpha a - x)/sigma^2 | x]: the MSE of one exact posterior draw."""
        _, variance = self.posterior_moments(x, level)
        return jnp.sum(variance) * (level.alpha / level.sigma**2) ** 2

    def sample(self, key: Key[Array, ""], num_samples: int) -> Float[Array, "n d"]:
        """num_samples actions from pi, shape [n, d] (R^d: exactly; box: by rejection-free
        inverse distribution functions of each component)."""
        choose, draw = jax.random.split(key)
        roots = jax.vmap(inverse_root)(self.matrices() / self.tau)
        diagonals = jnp.diagonal(roots, axis1=1, axis2=2)
        log_weight = self.offset / self.tau + jnp.sum(jnp.log(diagonals), axis=1)
        if not self.support.has_bounds:
            which = jax.random.categorical(choose, log_weight, shape=(num_samples,))
            normal = jax.random.normal(draw, (num_samples, self.dim))
            return jnp.asarray(self.mean)[which] + jnp.einsum("ned,ne->nd", roots[which], normal)
        scale = jnp.sqrt(self.tau / self.precision)
        low, high = self.support.bounds(self.dim)
        a, b = (low - self.mean) / scale, (high - self.mean) / scale
        which = jax.random.categorical(
            choose, log_weight + log_mass(a, b).sum(-1), shape=(num_samples,)
        )
        uniform = jax.random.uniform(draw, (num_samples, self.dim), minval=1e-12)
        return self.mean[which] + scale[which] * quantile(uniform, a[which], b[which])


def moments_of(parts: Components) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """Mean and variance of a mixture, [d] each."""
    weight = softmax(parts.log_weight)
    mean = weight @ parts.mean
    return mean, weight @ (parts.variance + (parts.mean - mean) ** 2)
