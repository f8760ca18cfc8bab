"""The problems of the leaderboard: sixteen states with their Q, noisy points and truths.

All families are data of one function: a member a kind of Q, and the number of the one that
counts.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Int, Key

from steinflow.levels import Level
from steinflow.sobol import sobol
from steinflow.study.conditions import FAMILIES as PAPER
from steinflow.study.leaderboard.grid import DISTRIBUTIONS, Board, Group, Unit, support_of
from steinflow.supports import AbstractSupport
from steinflow.targets import Boltzmann, GaussianMixture, Networks, latent, random_networks
from steinflow.targets.boltzmann import AbstractTarget

MODES, CRITIC_WIDTH, SPREAD_DRAWS = 40, 256, 4096
RESAMPLED = 2**16
KINDS = ("separable", "mixture", "pairs", "coupled")
EDGE = 1.0 - 1e-12  # actions this near a bound are moved there, to have a latent
Members = dict[str, AbstractTarget]  # by kind, each stacked over the states


class Problem(NamedTuple):
    """b states with l noisy points each, of actions (x) and of latents (y, boxes only)."""

    kind: Int[Array, ""]  # which of the members is Q
    members: Members
    tau: Float[Array, " b"]
    x: Float[Array, "b l d"]
    score: Float[Array, "b l d"]
    trace: Float[Array, "b l"]
    y: Float[Array, "b l d"]
    latent_score: Float[Array, "b l d"]
    latent_trace: Float[Array, "b l"]
    reference_mse: Float[Array, "b l"]  # of the truth itself; 0 where it is exact
    latent_reference_mse: Float[Array, "b l"]


def boltzmann_of(kind: Array, tau: Array, members: Members, support: AbstractSupport) -> Boltzmann:
    """The target whose Q is the member of that number."""

    def value_of(name: str) -> Callable[[Array, Members], Array]:
        return lambda action, members: members[name].value(action)

    def q(action: Array, members: Members) -> Array:
        return jax.lax.switch(kind, [value_of(name) for name in KINDS], action, members)

    return Boltzmann(q=q, tau=tau, support=support, context=members)


def is_exact(target: Any) -> bool:
    """Whether scores are known by quadrature: all but networks of more than two coordinates."""
    return not isinstance(target, Networks) or target.first.shape[-1] == 2


def state_seed(state: int, dim: int) -> int:
    """Networks and mixtures of the first eight states were looked at while `auto` was made;
    those of the others never (must show 5)."""
    return 1000 * dim + state if state < 8 else 1_000_000 + 1000 * dim + state


def random_mixture(seed: int, dim: int, support: AbstractSupport) -> GaussianMixture:
    """Forty modes of random places, widths and heights."""
    rng = np.random.default_rng(seed)
    place = (
        rng.uniform(-1, 1, (MODES, dim)) if support.has_bounds else rng.normal(size=(MODES, dim))
    )
    precision = np.exp(rng.uniform(np.log(2.0), np.log(40.0), (MODES, dim))) / dim
    offset = 0.5 * rng.normal(size=MODES)
    return GaussianMixture(mean=place, precision=precision, offset=offset, tau=1.0, support=support)


def members(board: Board, unit: Unit, family: str) -> Members:
    """Every kind of Q for all states; the separable one is the family, if it is one of them."""
    support, dim, states = support_of(unit.support), unit.dim, range(board.states)
    make = PAPER.get(family, PAPER["quadratic"])
    wide: dict[str, Any] = {"width": CRITIC_WIDTH, "block": dim, "dtype": np.float32}
    targets: dict[str, list[AbstractTarget]] = {
        "separable": [make(1.0, dim, support)] * board.states,
        "mixture": [random_mixture(state_seed(k, dim), dim, support) for k in states],
        "pairs": [random_networks(state_seed(k, dim), 1.0, dim, support) for k in states],
        "coupled": [random_networks(state_seed(k, dim), 1.0, dim, support, **wide) for k in states],
    }
    return {kind: jax.tree.map(lambda *v: jnp.stack(v), *each) for kind, each in targets.items()}


def kind_of(family: str) -> str:
    """Which member is the Q of a family."""
    return family if family in KINDS else "separable"


def at_temperature(target: AbstractTarget, tau: Array) -> AbstractTarget:
    """The same Q at another temperature."""
    return eqx.tree_at(lambda t: t.tau, target, tau)


@jax.jit
def spread(targets: AbstractTarget) -> Float[Array, " b"]:
    """Standard deviation of Q under the uniform distribution on the box, N(0, I) on R^d.

    A mixture's Q depends on its temperature: here it is that of temperature zero.
    """
    dim, bounded = targets.dim, targets.support.has_bounds  # type: ignore[attr-defined]
    uniform = sobol(jax.random.key(0), SPREAD_DRAWS, dim, jnp.float64)
    anywhere = 2.0 * uniform - 1.0 if bounded else ndtri(uniform)

    def one(target: AbstractTarget) -> Array:
        cold = at_temperature(target, jnp.asarray(1e-6))
        return jnp.std(jax.lax.map(cold.value, anywhere, batch_size=256))

    return jax.lax.map(one, targets)


@partial(jax.jit, static_argnames="distribution")
def actions(key: Key[Array, ""], targets: AbstractTarget, distribution: str) -> Float[Array, "b d"]:
    """One action of the policy behind the points of each state."""
    dim, bounded = targets.dim, targets.support.has_bounds  # type: ignore[attr-defined]
    keys = jax.random.split(key, targets.tau.shape[0])
    if distribution == "uniform":
        shape = (dim,)
        if bounded:
            return jax.vmap(lambda k: jax.random.uniform(k, shape, minval=-1.0))(keys)
        return jax.vmap(lambda k: jax.random.normal(k, shape))(keys)

    def one(at: tuple[Array, AbstractTarget]) -> Array:
        warm = at_temperature(at[1], DISTRIBUTIONS[distribution] * at[1].tau)
        return warm.sample(at[0], 1)[0]  # type: ignore[attr-defined]

    return jax.lax.map(one, (keys, targets))


@partial(jax.jit, static_argnames=("distribution", "count"))
def resampled(
    key: Key[Array, ""], nets: Networks, distribution: str, count: int | None = None
) -> Float[Array, "b *n d"]:
    """Actions of the policy of fully coupled networks, by resampling 2^16 even ones."""
    dim, bounded = nets.dim, nets.support.has_bounds

    def one(at: tuple[Array, Networks]) -> Array:
        key, net = at
        choose, numbers = jax.random.split(key)
        uniform = sobol(numbers, RESAMPLED, dim, jnp.float64)
        tau, bowl = net.tau * DISTRIBUTIONS[distribution], jnp.zeros(RESAMPLED)
        action = 2.0 * uniform - 1.0
        if not bounded:
            action = (1.0 if distribution == "uniform" else jnp.sqrt(tau)) * ndtri(uniform)
            bowl = 0.5 * jnp.sum(action**2, axis=-1)
        log_weight = (jax.lax.map(net.value, action, batch_size=2**12) + bowl) / tau
        shape = () if count is None else (count,)
        return action[jax.random.categorical(choose, log_weight, shape=shape)]

    return jax.lax.map(one, (jax.random.split(key, nets.tau.shape[0]), nets))


def noisy(key: Key[Array, ""], action: Array, levels: Level, bounded: bool) -> tuple[Array, Array]:
    """Points of actions and of their latents, with the same noise, [b, l, d] each."""
    noise = jax.random.normal(key, (action.shape[0], levels.alpha.shape[0], action.shape[1]))
    alpha, sigma = levels.alpha[:, None], levels.sigma[:, None]
    hidden = jnp.arctanh(jnp.clip(action, -EDGE, EDGE)) if bounded else action
    return alpha * action[:, None] + sigma * noise, alpha * hidden[:, None] + sigma * noise


@jax.jit
def truths(targets: AbstractTarget, xs: Array, levels: Level) -> tuple[Array, Array]:
    """Exact scores [b, l, d] and traces [b, l]."""

    def one(at: tuple[AbstractTarget, Array, Level]) -> tuple[Array, Array]:
        target, x, level = at
        return target.exact_score(x, level), target.exact_trace(x, level)  # type: ignore[attr-defined]

    def state(at: tuple[AbstractTarget, Array]) -> tuple[Array, Array]:
        each = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (xs.shape[1], *leaf.shape)), at[0])
        return jax.lax.map(one, (each, at[1], jax.tree.map(jnp.asarray, levels)))

    return jax.lax.map(state, (targets, xs))


def members_at(board: Board, unit: Unit, group: Group) -> tuple[Members, Float[Array, " b"]]:
    """Every kind of Q for all states at the temperatures of a group, and those temperatures."""
    every = members(board, unit, group.family)
    tau = group.tau * spread(every[kind_of(group.family)])
    return {name: jax.vmap(at_temperature)(member, tau) for name, member in every.items()}, tau


def problem(board: Board, unit: Unit, group: Group, key: Key[Array, ""]) -> Problem:
    """The states of a group, with exact truths (coupled networks: reference.py fills them in)."""
    every, tau = members_at(board, unit, group)
    kind = kind_of(group.family)
    targets, bounded = every[kind], unit.support == "box"
    act, noise = jax.random.split(key)
    exact = is_exact(targets)
    action = (actions if exact else resampled)(act, targets, unit.distribution)
    x, y = noisy(noise, action, board.levels, bounded)
    empty = jnp.zeros(x.shape[:2])
    score, trace = truths(targets, x, board.levels) if exact else (jnp.zeros_like(x), empty)
    hidden = score, trace
    if bounded and exact:
        hidden = truths(jax.vmap(latent)(targets), y, board.levels)
    number = jnp.asarray(KINDS.index(kind))
    return Problem(number, every, tau, x, score, trace, y, *hidden, empty, empty)
