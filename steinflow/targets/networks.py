"""Rough but exact targets: sums of random networks over blocks of coordinates."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softmax
from jaxtyping import Array, Float, Key

from steinflow.checks import Numbers, as_leaf, require_at_least, require_positive
from steinflow.levels import Level
from steinflow.supports import AbstractSupport, RealSpace
from steinflow.targets.boltzmann import AbstractTarget
from steinflow.targets.latent import LATENT_REACH, log_slope
from steinflow.targets.separable import rotation

PANELS, NODES = 16, 8  # of the rule in each coordinate
COARSE, CUT = 64, 45.0  # it covers what a coarse grid finds above exp(-CUT)
CELLS, PLACES = 300, 16  # of the grid that samples are taken from


class Networks(AbstractTarget):
    """Q(a) = Σ_p f_p(b of block p) - |a|²/2 on R^d, b = R a; without the bowl on a box.

    Each f_p is a tanh network of m inputs and two hidden layers; coordinates beyond the last
    are 0. With pairs, m = 2, the posterior is a product over them, and the exact score takes
    two-dimensional integrals only. One block of all coordinates is a fully coupled network.

    Args:
        first [p, h, m], bias [p, h], second [p, h, h], shift [p, h], last [p, h]: weights,
            in the precision that the networks compute in.
        rotation: R, [d, d]; the identity on a box.
        tau: temperature, > 0.
    """

    first: Numbers = eqx.field(converter=as_leaf)
    bias: Numbers = eqx.field(converter=as_leaf)
    second: Numbers = eqx.field(converter=as_leaf)
    shift: Numbers = eqx.field(converter=as_leaf)
    last: Numbers = eqx.field(converter=as_leaf)
    rotation: Numbers = eqx.field(converter=as_leaf)
    tau: Numbers = eqx.field(converter=as_leaf)
    support: AbstractSupport

    def __check_init__(self) -> None:
        require_positive("tau", self.tau, "Sharper targets take a small tau, never 0.")

    @property
    def dim(self) -> int:
        """d, the dimension of an action."""
        return int(self.rotation.shape[-1])

    @property
    def weights(self) -> tuple[Numbers, ...]:
        """The weights of all networks, one pair after another."""
        return self.first, self.bias, self.second, self.shift, self.last

    def blocks(self, turned: Float[Array, " d"]) -> Float[Array, "p m"]:
        """Coordinates in blocks; zero beyond the last."""
        size = self.first.shape[-1]
        return jnp.pad(turned, (0, -self.dim % size)).reshape(-1, size)

    def value(self, action: Float[Array, " d"]) -> Float[Array, ""]:
        total = jnp.sum(jax.vmap(network)(self.weights, self.blocks(self.rotation @ action)))
        return total if self.support.has_bounds else total - 0.5 * jnp.sum(action**2)

    def latent_moments(
        self, x: Float[Array, " d"], level: Level
    ) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """Mean and variance of y = atanh of the rescaled action given its noisy point, [d]."""
        return self.posterior_moments(x, level, hidden=True)

    def posterior_moments(
        self, x: Float[Array, " d"], level: Level, hidden: bool = False
    ) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """Mean and variance of b (hidden: of the latent of a box) given x, [d] each, by product
        Gauss-Legendre rules; pairs only."""
        panels = 2 * PANELS if hidden else PANELS
        abscissa, rule = np.polynomial.legendre.leggauss(NODES)
        place = (np.arange(panels)[:, None] + 0.5 * (abscissa + 1.0)).ravel() / panels
        mass = np.tile(0.5 * rule / panels, panels)
        real = self.blocks(jnp.ones(self.dim))
        low, high = edges = self.edges()
        if hidden:  # y = sinh t: fine where tanh y moves
            far = np.arcsinh(LATENT_REACH)
            low, high = jnp.full_like(low, -far), jnp.full_like(high, far)
        width = level.sigma / level.alpha

        def one(weights: Any, x: Array, real: Array, low: Array, high: Array, box: Any) -> Array:
            def on_grid(left: Array, right: Array, place: np.ndarray) -> tuple[Array, Array]:
                grid = action = product_grid(real, left, right, place)
                log_p = jnp.zeros(grid.shape[:-1])
                if hidden:
                    grid, log_p = jnp.sinh(grid), jnp.sum(jnp.log(jnp.cosh(grid)), axis=-1)
                    log_p = log_p + jnp.sum(log_slope(grid), axis=-1)
                    action = 0.5 * (box[0] + box[1]) + 0.5 * (box[1] - box[0]) * jnp.tanh(grid)
                misfit = jnp.sum(((x - level.alpha * grid) / level.sigma) ** 2, axis=-1)
                log_p = log_p + self.energy(weights, action) / self.tau - 0.5 * misfit
                return grid, log_p - jnp.max(log_p)

            gain = 2.0 * jnp.sum(jnp.abs(weights[-1])) / self.tau  # most that Q can make good
            reach = width * jnp.sqrt(2.0 * (gain + CUT))
            left, right = x / level.alpha - reach, x / level.alpha + reach
            if hidden:
                left, right = jnp.arcsinh(left), jnp.arcsinh(right)
            left = jnp.clip(left, low, 0.99 * high + 0.01 * low)
            right = jnp.clip(right, 0.99 * low + 0.01 * high, high)
            coarse = (np.arange(COARSE) + 0.5) / COARSE
            _, log_p = on_grid(left, right, coarse)  # where the mass is
            alive = jnp.stack([jnp.max(log_p, axis=1), jnp.max(log_p, axis=0)]) > -CUT
            first = jnp.min(jnp.where(alive, coarse, 2.0), axis=1) - 1.5 / COARSE
            last = jnp.max(jnp.where(alive, coarse, -1.0), axis=1) + 1.5 / COARSE
            span = right - left
            grid, log_p = on_grid(
                left + span * jnp.maximum(first, 0.0), left + span * jnp.minimum(last, 1.0), place
            )
            p = jnp.exp(log_p) * mass[:, None] * mass
            p = (p / jnp.sum(p))[..., None]
            mean = jnp.sum(p * grid, axis=(0, 1))
            return jnp.stack([mean, jnp.sum(p * (grid - mean) ** 2, axis=(0, 1))])

        each = jax.vmap(one)(self.weights, self.blocks(self.rotation @ x), real, low, high, edges)
        mean, variance = each[:, 0].reshape(-1), each[:, 1].reshape(-1)
        return mean[: self.dim], variance[: self.dim]

    def energy(self, weights: Any, b: Float[Array, "*n 2"]) -> Float[Array, "*n"]:
        """f_p, with its part of the bowl, at places b."""
        value = network(weights, b)
        return value if self.support.has_bounds else value - 0.5 * jnp.sum(b**2, axis=-1)

    def edges(self) -> tuple[Float[Array, "p 2"], Float[Array, "p 2"]]:
        """The box in pairs; on R^d what holds all but exp(-40) of every pair."""
        if self.support.has_bounds:
            low, high = self.support.bounds(self.dim)
            pad = (0, self.dim % 2)
            return (
                jnp.pad(low, pad, constant_values=-1.0).reshape(-1, 2),
                jnp.pad(high, pad, constant_values=1.0).reshape(-1, 2),
            )
        size = jnp.sum(jnp.abs(self.last), axis=-1)
        radius = jnp.sqrt(2.0 * (2.0 * size + 40.0 * self.tau))[:, None] * jnp.ones(2)
        return -radius, radius

    def exact_score(self, x: Float[Array, " d"], level: Level) -> Float[Array, " d"]:
        """s*(x) = E[(alpha a - x)/sigma^2 | x], shape [d], to 1e-6 (|s*| + sqrt(trace))."""
        mean, _ = self.posterior_moments(x, level)
        return self.rotation.T @ (level.alpha * mean - self.rotation @ x) / level.sigma**2

    def exact_trace(self, x: Float[Array, " d"], level: Level) -> Float[Array, ""]:
        """tr Cov[(alpha a - x)/sigma^2 | x]: the MSE of one exact posterior draw."""
        _, variance = self.posterior_moments(x, level)
        return jnp.sum(variance) * (level.alpha / level.sigma**2) ** 2

    def sample(self, key: Key[Array, ""], num_samples: int) -> Float[Array, "n d"]:
        """num_samples actions from pi, [n, d]; pairs only.

        A cell of a grid by its mass at the middle, then one of 16 places in it and its like by
        their densities: exact as the grid gets fine, or the places many.
        """
        low, high = self.edges()
        real = self.blocks(jnp.ones(self.dim))
        middle = (np.arange(CELLS) + 0.5) / CELLS

        def one(key: Array, weights: Any, real: Array, low: Array, high: Array) -> Array:
            grid = product_grid(real, low, high, middle).reshape(-1, 2)
            choose, jitter, last = jax.random.split(key, 3)
            log_p = self.energy(weights, grid) / self.tau
            mass = jnp.cumsum(softmax(log_p))
            shape = (num_samples, PLACES)
            cell = jnp.searchsorted(mass, jax.random.uniform(choose, shape) * mass[-1])
            offset = jax.random.uniform(jitter, (*shape, 2), minval=-0.5, maxval=0.5)
            place = grid[cell] + real * offset * (high - low) / CELLS
            gain = self.energy(weights, place) / self.tau - log_p[cell]
            which = jax.random.categorical(last, gain)
            return place[jnp.arange(num_samples), which]

        keys = jax.random.split(key, real.shape[0])
        b = jax.vmap(one)(keys, self.weights, real, low, high)  # [p, n, 2]
        return jnp.moveaxis(b, 0, 1).reshape(num_samples, -1)[:, : self.dim] @ self.rotation


def product_grid(
    real: Float[Array, "2"], left: Float[Array, "2"], right: Float[Array, "2"], place: np.ndarray
) -> Float[Array, "m m 2"]:
    """Pairs at places in [0, 1] between left and right; 0 in a coordinate that is not real."""
    node = real[:, None] * (left[:, None] + (right - left)[:, None] * place)
    return jnp.stack(jnp.meshgrid(node[0], node[1], indexing="ij"), axis=-1)


def network(weights: Any, block: Float[Array, "*n m"]) -> Float[Array, "*n"]:
    """One tanh network of m inputs, in the precision of its weights."""
    first, bias, second, shift, last = weights
    hidden = jnp.tanh(block.astype(first.dtype) @ first.T + bias)
    return (jnp.tanh(hidden @ second.T + shift) @ last).astype(block.dtype)


def random_networks(
    seed: int,
    tau: Numbers,
    dim: int,
    support: AbstractSupport = RealSpace(),  # noqa: B008
    width: int = 16,
    block: int = 2,
    dtype: Any = np.float64,
) -> Networks:
    """A target of ceil(dim/block) random networks.

    Args:
        seed: seed of the weights.
        tau: temperature, > 0.
        dim: d, the dimension of an action.
        support: `RealSpace()` or a `Box`.
        width: h, the width of both hidden layers.
        block: m, the coordinates of a network: 2 has an exact score, dim couples them all.
        dtype: the precision that the networks compute in.
    """
    require_at_least("dim", dim, 1, "It is the number of action dimensions.")
    require_at_least("width", width, 1, "It is the number of hidden units.")
    require_at_least("block", block, 1, "It is the number of coordinates of a network.")
    rng, count = np.random.default_rng(seed), -(-dim // block)
    gain = 2.0 * np.sqrt(2.0 / block)  # as rough along a random line, whatever the block
    first = gain * rng.standard_normal((count, width, block))
    bias = rng.standard_normal((count, width))
    second = 1.5 * rng.standard_normal((count, width, width)) / np.sqrt(width)
    shift = 0.5 * rng.standard_normal((count, width))
    last = 1.5 * rng.standard_normal((count, width)) / np.sqrt(width)
    return Networks(
        first=jnp.asarray(first, dtype),
        bias=jnp.asarray(bias, dtype),
        second=jnp.asarray(second, dtype),
        shift=jnp.asarray(shift, dtype),
        last=jnp.asarray(last, dtype),
        rotation=rotation(dim, support),
        tau=tau,
        support=support,
    )
