"""Targets, levels and quadratures that several tests use."""

import jax
import jax.numpy as jnp
import numpy as np

import steinflow as sf
from steinflow.draws import Draws, uniforms
from steinflow.stages import from_uniforms
from steinflow.targets import GaussianMixture

REAL = sf.RealSpace()
LEVELS = (sf.Level(0.3, 0.954), sf.Level(0.8, 0.6), sf.Level(0.95, 0.312))


def random_rotation(key, dim):
    """An orthogonal matrix: a product of reflections."""
    matrix = jnp.eye(dim)
    for v in jax.random.normal(key, (dim, dim)):
        matrix = matrix - 2.0 * jnp.outer(matrix @ v, v) / (v @ v)
    return matrix


def random_gaussian(key, dim, tau=1.0):
    """An anisotropic, rotated Gaussian target, and its precision P = -hessian of Q/tau."""
    turn, scale, place = jax.random.split(key, 3)
    rotation = random_rotation(turn, dim)
    spread = jnp.exp(jax.random.uniform(scale, (dim,), minval=-1.5, maxval=1.5))
    matrix = (rotation * spread) @ rotation.T
    mean = jax.random.normal(place, (dim,))
    return GaussianMixture(mean[None], matrix[None], jnp.zeros(1), tau), matrix / tau


def mixture(tau=1.0, dim=2, support=REAL):
    """Three Gaussians of different widths and weights."""
    mean = jnp.array([[0.4, -0.3], [-0.5, 0.6], [0.1, 0.2]])[:, :dim]
    precision = jnp.array([[3.0, 1.0], [1.0, 4.0], [8.0, 6.0]])[:, :dim]
    return GaussianMixture(mean, precision, jnp.array([0.0, 0.3, -0.5]), tau, support)


# Compiled once a family: eagerly, a first call takes seconds.
exact_score = jax.jit(lambda target, x, level: target.exact_score(x, level))
exact_flux = jax.jit(lambda target, x, level: target.exact_flux(x, level))
sample = jax.jit(lambda target, key, count: target.sample(key, count), static_argnums=2)


def noised(key, target, level):
    """x = alpha a + sigma eps with a ~ pi."""
    first, second = jax.random.split(key)
    action = sample(target, first, 1)[0]
    return level.alpha * action + level.sigma * jax.random.normal(second, action.shape)


def grid_posterior(target, x, level, low, high, count):
    """Nodes [n, d] and probabilities [n] of p(a|x) by a product Gauss-Legendre rule."""
    abscissa, rule = np.polynomial.legendre.leggauss(20)
    axes, rules = [], []
    for lo, hi in zip(low, high, strict=True):
        edges = np.linspace(lo, hi, count + 1)
        half = np.diff(edges)[:, None] / 2
        axes.append(((edges[1:] + edges[:-1])[:, None] / 2 + half * abscissa).ravel())
        rules.append((half * rule).ravel())
    nodes = np.stack([m.ravel() for m in np.meshgrid(*axes, indexing="ij")], -1)
    log_rule = sum(np.log(m.ravel()) for m in np.meshgrid(*rules, indexing="ij"))
    nodes = jnp.asarray(nodes)
    misfit = jnp.sum(((x - level.alpha * nodes) / level.sigma) ** 2, -1)
    log_p = jax.vmap(target.value)(nodes) / target.tau - 0.5 * misfit
    return nodes, jax.nn.softmax(log_p + jnp.asarray(log_rule))


def draws_at(target, action, log_weight):
    """Draws at given actions with given weights, with the Hessians of Q/tau."""
    gradient = jax.vmap(jax.grad(target.value))(action) / target.tau
    hessian = jax.vmap(jax.hessian(target.value))(action) / target.tau
    nothing = jnp.zeros_like(log_weight)
    return Draws(action, log_weight, gradient, hessian, nothing, nothing > 0)


def proposed(key, target, point, proposal, num_draws):
    """Independent draws from a proposal for one point."""
    numbers = uniforms(key, num_draws, point.x.size, point.x.dtype)
    return from_uniforms(numbers, target, point, proposal)
