"""Networks of the agent: an ensemble of critics, and a policy that predicts E[a|x].

Written for one state; batches are `vmap` at the call. The first layer keeps its inputs apart,
Σ_i x_i W_i + b: under vmap, the part of an observation is then computed once for all draws,
particles and noise levels of a state. Weights act from the right: a batch of W x would be laid
out anew for every product, a third of the time of a critic's gradients.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from steinflow.levels import Level
from steinflow.rl.heads import AbstractHead, Scalar

EDGE = 0.999  # of the box, where atanh ends
EPSILON = 1e-5  # of layer normalisation
OCTAVES = 4  # of the angle of a noise level, sine and cosine each


class Layers(eqx.Module):
    """ReLU layers over inputs that are kept apart, layer-normalised where asked.

    Layer normalisation (Ba, Kiros & Hinton, 2016) without a scale and shift of its own:

        relu((h - mean h)/rms(h - mean h)) W = relu(c) W/rms(c),   c = h - mean h

    c comes from centred weights, which costs nothing a sample, and the division follows the
    product.
    """

    first: tuple[Float[Array, "n h"], ...]
    weights: tuple[Float[Array, "n m"], ...]
    biases: tuple[Float[Array, " m"], ...]
    normalised: bool = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        inputs: Sequence[int],
        hidden: Sequence[int],
        output: int,
        normalised: bool = False,
    ) -> None:
        keys = iter(jax.random.split(key, len(inputs) + len(hidden)))
        total = sum(inputs)
        self.first = tuple(uniform(next(keys), (n, hidden[0]), total) for n in inputs)
        widths = (*hidden, output)
        pairs = list(pairwise(widths))
        self.weights = tuple(uniform(next(keys), (n, m), n) for n, m in pairs)
        self.biases = tuple(jnp.zeros(n) for n in widths)
        self.normalised = normalised

    def __call__(self, *inputs: Float[Array, " _"]) -> Float[Array, " _"]:
        first, weights, biases = self.first, self.weights, self.biases
        if self.normalised:  # what is before a nonlinearity has zero mean over its units
            first, weights, biases = jax.tree.map(centred, (first, weights[:-1], biases[:-1]))
            weights, biases = (*weights, self.weights[-1]), (*biases, self.biases[-1])
        h = biases[0] + sum(x @ w for x, w in zip(inputs, first, strict=True))
        for weight, bias in zip(weights, biases[1:], strict=True):
            scale = jax.lax.rsqrt(jnp.mean(h**2) + EPSILON) if self.normalised else 1.0
            h = scale * (jax.nn.relu(h) @ weight) + bias
        return h


def uniform(key: Key[Array, ""], shape: tuple[int, int], fan_in: int) -> Array:
    """Uniform weights of variance 1/(3 fan_in), as those of PyTorch's linear layers."""
    bound = 1.0 / math.sqrt(fan_in)
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def centred(weights: Float[Array, "*m n"]) -> Float[Array, "*m n"]:
    """Zero mean over the units that they lead to."""
    return weights - jnp.mean(weights, axis=-1, keepdims=True)


class Critics(eqx.Module):
    """An ensemble of Q(s, a), in units of `AgentState.scale`; every array has a leading axis of
    members."""

    members: Layers
    head: AbstractHead

    def __init__(
        self,
        key: Key[Array, ""],
        obs_dim: int,
        action_dim: int,
        hidden: Sequence[int],
        count: int = 2,
        normalised: bool = True,
        head: AbstractHead | None = None,
    ) -> None:
        self.head = head or Scalar()
        inputs, width = (obs_dim, action_dim), self.head.width

        def one(key: Key[Array, ""]) -> Layers:
            return Layers(key, inputs, hidden, width, normalised)

        self.members = eqx.filter_vmap(one)(jax.random.split(key, count))

    def outputs(self, obs: Float[Array, " o"], action: Float[Array, " d"]) -> Float[Array, "n k"]:
        """What every member gives to its head."""
        return eqx.filter_vmap(lambda member: member(obs, action))(self.members)

    def outputs_over_batch(
        self, obs: Float[Array, "b o"], action: Float[Array, "b d"]
    ) -> Float[Array, "n b k"]:
        """`outputs` of b pairs, the members outermost: the layout in which gradients by the
        weights take a fifth less time than in that of `jax.vmap(critics.outputs)`."""
        return eqx.filter_vmap(lambda member: jax.vmap(member)(obs, action))(self.members)

    def __call__(self, obs: Float[Array, " o"], action: Float[Array, " d"]) -> Float[Array, " n"]:
        """Q of every member."""
        return jax.vmap(self.head.mean)(self.outputs(obs, action))


@jax.custom_vjp
def least(
    critics: Critics, obs: Float[Array, " o"], action: Float[Array, " d"]
) -> Float[Array, ""]:
    """The least Q of all members; its gradient is that of the action alone.

    Each member's gradient is taken by itself, one member after the other, and one is picked:
    half the time of the gradient through the minimum, where XLA computes every member twice.
    """
    return jnp.min(critics(obs, action))


def least_forward(
    critics: Critics, obs: Float[Array, " o"], action: Float[Array, " d"]
) -> tuple[Float[Array, ""], Float[Array, " d"]]:
    """The least Q, and its gradient."""
    arrays, rest = eqx.partition(critics.members, eqx.is_array)

    def member(arrays: Any) -> tuple[Array, Array]:
        layers = eqx.combine(arrays, rest)
        return jax.value_and_grad(lambda action: critics.head.mean(layers(obs, action)))(action)

    values, slopes = jax.lax.map(member, arrays)
    which = jnp.argmin(values)
    return values[which], slopes[which]


def least_backward(slope: Float[Array, " d"], cotangent: Float[Array, ""]) -> tuple[Any, ...]:
    """Nothing for the critics and the observation."""
    return None, None, cotangent * slope


least.defvjp(least_forward, least_backward)


class Denoiser(eqx.Module):
    """The posterior mean E[a|x] of a noisy action x at a level, given an observation.

    The network F corrects what is known without it, the mean under a ~ N(0, v):

        m = alpha v x/(alpha² v + sigma²),   E[a|x] = m + c F,   c² = sigma²/(alpha² v + sigma²)

    as in Karras et al. (2022), so that little noise is taken off even where no training sample
    has been. bounded: tanh(atanh(m) + c F), so that every sample lies in [-1, 1]^d by construction.
    """

    layers: Layers
    bounded: bool = eqx.field(static=True)

    def __init__(
        self,
        key: Key[Array, ""],
        obs_dim: int,
        action_dim: int,
        hidden: Sequence[int],
        bounded: bool = True,
    ) -> None:
        inputs = (obs_dim, action_dim, 2 * OCTAVES)
        self.layers = Layers(key, inputs, hidden, action_dim)
        self.bounded = bounded

    def __call__(
        self, obs: Float[Array, " o"], x: Float[Array, " d"], level: Level
    ) -> Float[Array, " d"]:
        prior = 1.0 / 3.0 if self.bounded else 1.0  # variance; 1/3 is that of uniform actions
        scale = level.alpha**2 * prior + level.sigma**2
        mean = level.alpha * prior * x / scale
        scaled = x / jnp.sqrt(jnp.maximum(scale, 1.0))  # a variance that explodes is brought back
        change = level.sigma / jnp.sqrt(scale) * self.layers(obs, scaled, features(level))
        if not self.bounded:
            return mean + change
        return jnp.tanh(jnp.arctanh(jnp.clip(mean, -EDGE, EDGE)) + change)


def features(level: Level) -> Float[Array, " f"]:
    """Sines and cosines of the angle of (alpha, sigma), which runs from 0 (noise) to pi/2."""
    angle = jnp.arctan2(level.alpha, level.sigma) * 2.0 ** jnp.arange(OCTAVES)
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)])


class Gaussian(eqx.Module):
    """Mean and log standard deviation of a normal, squashed by tanh: the policy of SAC."""

    layers: Layers

    def __init__(
        self,
        key: Key[Array, ""],
        obs_dim: int,
        action_dim: int,
        hidden: Sequence[int],
    ) -> None:
        self.layers = Layers(key, (obs_dim,), hidden, 2 * action_dim)

    def __call__(self, obs: Float[Array, " o"]) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        mean, log_std = jnp.split(self.layers(obs), 2)
        return mean, jnp.clip(log_std, -20.0, 2.0)
