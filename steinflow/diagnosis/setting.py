"""What is diagnosed: a critic, states, noised actions, and the methods that apply."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from steinflow.levels import Level
from steinflow.methods import Method
from steinflow.sampling import sample
from steinflow.schedules import LinearFlow
from steinflow.supports import AbstractSupport
from steinflow.targets.boltzmann import Boltzmann

Critic = Callable[[Array, Array], Array]  # q(action [d], observation) -> []
EDGE = 0.999  # where actions stop before they are taken to the tanh latent


class Setting(NamedTuple):
    """What is the same for everything that is measured."""

    q: Critic
    observations: Array  # [b, ...]
    actions: Array  # [b, d]
    support: AbstractSupport
    levels: Level  # [l]
    points: dict[str, Array]  # by space, [b, l, d]


def prepared(
    key: Key[Array, ""],
    q: Critic,
    observations: Array,
    actions: Float[Array, "b d"],
    support: AbstractSupport,
    levels: Level,
) -> Setting:
    """Noisy points of every space from one action and one noise a state and level."""
    alpha, sigma = levels.alpha[:, None], levels.sigma[:, None]
    eps = jax.random.normal(key, (len(actions), len(alpha), actions.shape[-1]), actions.dtype)
    points = {"action": (alpha * actions[:, None] + sigma * eps).astype(actions.dtype)}
    if support.has_bounds:
        low, high = support.bounds(actions.shape[-1])
        unit = (2.0 * actions - low - high) / (high - low)
        inner = jnp.arctanh(jnp.clip(unit, -EDGE, EDGE))
        points["tanh"] = (alpha * inner[:, None] + sigma * eps).astype(actions.dtype)
    return Setting(q, observations, actions, support, levels, points)


def acted(
    key: Key[Array, ""],
    q: Critic,
    observations: Array,
    tau: float,
    support: AbstractSupport,
    dim: int | None,
    actions: Any,
) -> Float[Array, "b d"]:
    """The actions that are noised: as given, or samples of pi(a|s)."""
    if actions is not None:
        given = jnp.asarray(actions)
        if given.ndim != 2 or len(given) != len(observations):
            raise ValueError(
                f"actions must be [b, d] with b = {len(observations)}, got {list(given.shape)}. "
                "Give one action a state, or None."
            )
        if dim not in (None, given.shape[1]):
            raise ValueError(f"dim is {dim}, but actions are [{given.shape[1]}]. Leave out dim.")
        support.bounds(given.shape[1])
        return given if jnp.issubdtype(given.dtype, jnp.floating) else given.astype(float)

    @jax.jit
    def one(key: Array, obs: Array) -> Array:
        target = Boltzmann(q=lambda a: q(a, obs), tau=tau, support=support)
        return sample(key, target, LinearFlow(), dim, 1, 16, num_draws=32)[0]

    keys = jax.random.split(key, len(observations))
    return jnp.stack([one(k, obs) for k, obs in zip(keys, observations, strict=True)])


def able(
    methods: Mapping[str, Method], setting: Setting, tau: float, size: int, current: str
) -> tuple[dict[str, Method], dict[str, str]]:
    """The methods that apply to this support with the fewest draws, and why others do not."""
    target = Boltzmann(q=jnp.sum, tau=tau, support=setting.support)
    dim, count = setting.actions.shape[-1], setting.levels.alpha.size
    applicable, refused = {}, {}
    for name, method in methods.items():
        try:
            method.estimator.check(method.pose(target).support, dim, size * count)
        except ValueError as error:
            if name == current:
                raise
            refused[name] = str(error)
        else:
            applicable[name] = method
    return applicable, refused
