"""Score targets by ask and tell: Q can be anything that answers at given actions.

    state = begin(key, xs, levels, tau, support, num_draws=48)
    while not state.done:
        state, actions = ask(state)                # [b, k, d]
        state = tell(state, values, gradients)     # [b, k] and [b, k, d]
    result = estimate(state)

A state is a pytree of arrays: it can be saved, sent, or carried through `jax.lax.scan`.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from steinflow.checks import (
    as_leaf,
    broadcasting,
    is_concrete,
    require_at_least,
    require_key,
    require_positive,
    require_shape,
)
from steinflow.draws import Evaluations, Reply, record
from steinflow.estimators import Estimate
from steinflow.estimators.reduce import reduce
from steinflow.levels import Level, cast
from steinflow.methods import Method, Named, as_method, default_proposal
from steinflow.points import Point
from steinflow.proposals import FittedProposal
from steinflow.stages import Stage, drawn, over_points, weighed
from steinflow.supports import AbstractSupport

STATES = Point(0, 0, None)  # type: ignore[arg-type]  # axes of the points of b states


class State(eqx.Module):
    """What is known so far of b states, each at l points."""

    keys: Key[Array, " b"]
    points: Point  # x [b, l, d] and level [b, l], in the method's space
    tau: Float[Array, " b"]
    support: AbstractSupport  # of the actions
    method: Method
    stages: tuple[Stage, ...]  # drawn
    evaluations: tuple[Evaluations, ...]
    num_draws: int = eqx.field(static=True)
    has_levels: bool = eqx.field(static=True)  # whether xs had the axis l

    @property
    def sizes(self) -> tuple[int, ...]:
        """Draws a point of every turn."""
        proposal = self.method.proposal
        if isinstance(proposal, FittedProposal):
            return proposal.sizes(self.num_draws)
        return (self.num_draws,)

    @property
    def done(self) -> bool:
        """Whether every turn has been told."""
        return len(self.evaluations) == len(self.sizes)

    @property
    def needs_gradient(self) -> bool:
        """Whether `tell` needs gradients of Q."""
        needs = self.method.estimator.needs(self.points.x.shape[-1])
        return needs.gradient or len(self.sizes) > 1

    @property
    def needs_hessian(self) -> bool:
        """Whether `tell` needs Hessians of Q."""
        return self.method.estimator.needs(self.points.x.shape[-1]).hessian


@broadcasting
def begin(
    key: Key[Array, ""],
    xs: Float[Array, "b *l d"],
    levels: Level,
    tau: Any,
    support: AbstractSupport,
    method: Named = "auto",
    num_draws: int = 64,
) -> State:
    """A state of which nothing has been asked yet.

    Args:
        key: consumed once; the estimate is a deterministic function of it.
        xs: noisy points, [b, d], or [b, l, d] where the l points of a state share their draws.
        levels: scalars or [b] for xs [b, d]; scalars, [l] or [b, l] for xs [b, l, d].
        tau: temperature in units of Q, > 0, a scalar or [b].
        support: `RealSpace()` or `Box(low, high)`.
        method: a name of `ESTIMATORS`, a Method or an estimator.
        num_draws: draws a point, so that a state costs l num_draws evaluations of Q.

    Raises:
        ValueError: arguments that do not fit, in a sentence with the remedy.
    """
    require_key(key)
    xs = as_points("xs", xs, (2, 3))
    keys = jax.random.split(key, xs.shape[0])
    return start(keys, xs, levels, tau, support, method, num_draws)


def start(
    keys: Key[Array, " b"],
    xs: Float[Array, "b *l d"],
    levels: Level,
    tau: Any,
    support: AbstractSupport,
    method: Named,
    num_draws: int,
) -> State:
    """`begin` with a key a state."""
    chosen = as_method(method, None)
    require_at_least("num_draws", num_draws, 1, "An estimate needs draws.")
    if not isinstance(support, AbstractSupport):
        raise ValueError(f"support must be RealSpace() or Box(low, high), got {support!r}.")
    if not isinstance(levels, Level):
        raise ValueError(f"levels must be a Level(alpha, sigma), got {levels!r}.")
    tau = as_leaf(tau)
    require_positive("tau", tau, "Sharper targets take a small tau, never 0.")
    shape, dim, dtype = xs.shape[:-1], xs.shape[-1], xs.dtype
    check_bounds(support, dim)
    levels = jax.tree.map(lambda leaf: over(leaf, shape), levels)
    tau = over(tau, shape[:1], "tau")
    has_levels = len(shape) == 2
    if not has_levels:
        xs, levels = xs[:, None], jax.tree.map(lambda leaf: leaf[:, None], levels)
    levels, tau, support, chosen = cast((levels, tau, support, chosen), dtype)
    inner = chosen.variable.support(support)
    chosen.estimator.check(inner, dim, num_draws * xs.shape[1])
    points = Point(xs, levels, inner)
    return State(keys, points, tau, support, chosen, (), (), int(num_draws), has_levels)


@broadcasting
def ask(state: State) -> tuple[State, Float[Array, "b k d"]]:
    """The state and the actions where Q is to be evaluated next; k = l times draws a point.

    Asked again before it is told, the same actions are given.

    Raises:
        ValueError: the state is done.
    """
    if state.done:
        raise ValueError("The state is done, nothing is left to ask. Call estimate(state).")
    if len(state.stages) == len(state.evaluations):
        stage = next_stage(state)
        state = eqx.tree_at(lambda s: s.stages, state, (*state.stages, stage))
    return state, asked_actions(state)


@broadcasting
def tell(state: State, values: Any, gradients: Any = None, hessians: Any = None) -> State:
    """The state with what Q said at the actions that were asked for.

    Args:
        state: from `ask`.
        values: Q, [b, k], in units of return; -inf where an action is impossible.
        gradients: of Q by the action, [b, k, d]; None for methods that need none.
        hessians: [b, k, d, d], for `lfgi` alone.

    Raises:
        ValueError: nothing was asked, a shape does not fit, or the method needs gradients.
    """
    if len(state.stages) == len(state.evaluations):
        raise ValueError("Nothing was asked. Call state, actions = ask(state) before tell.")
    shape = (state.keys.shape[0], *state.stages[-1].action.shape[1:])
    needs = (("values", values, True), ("gradients", gradients, state.needs_gradient),
             ("hessians", hessians, state.needs_hessian))  # fmt: skip
    given: list[Array | None] = []
    for rank, (name, array, needed) in enumerate(needs):
        wanted = (*shape[:2], *shape[2:] * rank)
        if array is None and needed:
            raise ValueError(
                f"This method needs {name} of Q, shape {list(wanted)}. Give them to tell, or use "
                "a method of values alone, such as 'noise'."
            )
        given.append(None if array is None else as_reply(name, array, wanted))
    evaluations = recorded(state, Reply(*given))  # type: ignore[arg-type]
    return eqx.tree_at(lambda s: s.evaluations, state, (*state.evaluations, evaluations))


@broadcasting
def estimate(state: State) -> Estimate:
    """The scores of a state that is done, with leading axes [b] or [b, l], and their evidence.

    Gradients do not flow through it.

    Raises:
        ValueError: the state is not done; called eagerly also for NaN or +inf among Q and its
            gradients. Under `jit` such values give a NaN score, and `info.num_invalid` counts
            them.
    """
    if not state.done:
        raise ValueError("The state is not done. Call ask and tell until state.done is true.")
    return finish(estimated(state))


@eqx.filter_jit
def next_stage(state: State) -> Stage:
    """The next actions of every state."""
    stage = len(state.stages)
    keys = jax.vmap(jax.random.fold_in, (0, None))(state.keys, stage)
    return jax.vmap(next_of_state, (0, STATES, 0, 0, None, None))(
        keys, state.points, state.stages, state.evaluations, state.method, state.sizes[stage]
    )


def next_of_state(
    key: Array,
    points: Point,
    stages: tuple[Stage, ...],
    evaluations: tuple[Evaluations, ...],
    method: Method,
    size: int,
) -> Stage:
    """The next actions of one state, `size` a point: from the likelihood, then from fits to all
    draws so far."""
    given, axes = method.proposal, over_points(points)
    if stages:
        draws, draw_axes = weighed(stages, evaluations, points)
        proposal = jax.vmap(given.fit, (draw_axes, axes))(draws, points)  # type: ignore
    elif isinstance(given, FittedProposal):
        proposal = jax.vmap(given.first, (axes,))(points)
    else:
        plain, count = given or default_proposal(points.support), points.x.shape[0]
        proposal = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), plain)
    return drawn(key, proposal, points, size, method.quasi)


@eqx.filter_jit
def asked_actions(state: State) -> Float[Array, "b k d"]:
    """The actions of the last stage."""
    return state.method.variable.action(state.stages[-1].action, state.support)


@eqx.filter_jit
def recorded(state: State, reply: Reply) -> Evaluations:
    """What was said of the last stage, in the method's space and in units of tau."""
    variable, inner, support = state.method.variable, state.points.support, state.support

    def one(action: Array, reply: Reply, tau: Array) -> Evaluations:
        return record(action, variable.pull_back(action, reply, tau, support), tau, inner)

    return jax.vmap(one)(state.stages[-1].action, reply, state.tau)


@eqx.filter_jit
def estimated(state: State) -> Estimate:
    """Estimates of every state."""
    axes = (STATES, 0, 0, 0, None, None)
    result = jax.vmap(of_state, axes)(
        state.points, state.tau, state.stages, state.evaluations, state.method, state.support
    )
    result = jax.tree.map(jax.lax.stop_gradient, result)
    return result if state.has_levels else jax.tree.map(lambda leaf: leaf[:, 0], result)


def of_state(
    points: Point,
    tau: Array,
    stages: tuple[Stage, ...],
    evaluations: tuple[Evaluations, ...],
    method: Method,
    support: AbstractSupport,
) -> Estimate:
    """The l estimates of one state; NaN where a traced argument is out of range."""
    draws, axes = weighed(stages, evaluations, points)
    level, (low, high) = points.level, support.bounds(points.x.shape[-1])
    sound = (tau > 0) & (level.alpha > 0) & (level.sigma > 0) & jnp.all(low < high)
    result = jax.vmap(reduce, (axes, over_points(points), None, None))(
        draws, points, method.estimator, method.is_consistent(support)
    )
    count, dim = points.x.shape
    needs, num = method.estimator.needs(dim), draws.value.size // count
    grads = num * ((needs.gradient or len(stages) > 1) + dim * needs.hessian)
    info = result.info._replace(num_values=jnp.full(count, num), num_grads=jnp.full(count, grads))
    return Estimate(jnp.where(sound[:, None], result.score, jnp.nan), info)


def as_points(name: str, x: Any, ranks: tuple[int, ...]) -> Array:
    """x as a floating-point array with one of these numbers of axes, none of them empty."""
    x = jnp.asarray(x if isinstance(x, np.ndarray) else as_leaf(x))
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise ValueError(f"{name} must be real, got {x.dtype}. Give real and imaginary parts.")
    if x.ndim not in ranks or x.size == 0:
        raise ValueError(
            f"{name} must be one point [d] for score_target, or [b, d] or [b, l, d] for "
            f"score_targets, which takes many points, and not empty; got shape {list(x.shape)}."
        )
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)


def as_reply(name: str, array: Any, shape: tuple[int, ...]) -> Array:
    """An answer as an array of the shape that was asked for."""
    if not isinstance(array, jax.Array):
        array = jnp.asarray(np.asarray(array))
    require_shape(name, array, [shape], "Give what Q says at the actions of ask, in their order.")
    return array


def over(leaf: Any, shape: tuple[int, ...], name: str = "levels") -> Array:
    """A leaf broadcast to [b], or [b, l] (where one axis means l)."""
    trailing = [shape[k:] for k in range(len(shape) + 1)]
    require_shape(name, leaf, trailing, "Give scalars, or one value a point.")
    return jnp.broadcast_to(jnp.asarray(leaf), shape)


def check_bounds(support: AbstractSupport, dim: int) -> None:
    """Raise unless the bounds of a box are scalars or one a dimension."""
    try:
        support.bounds(dim)
    except ValueError:
        raise ValueError(
            f"x has width {dim}, which does not fit the bounds of the box. Give scalar bounds "
            "or one a dimension."
        ) from None


def finish(result: Estimate) -> Estimate:
    """The estimate; eagerly, raise where the score is not a number."""
    if is_concrete(result.score) and not bool(jnp.all(jnp.isfinite(result.score))):
        invalid = int(jnp.sum(result.info.num_invalid))
        reason = (
            f"Q or its gradient is NaN or +inf at {invalid} of the draws. Mend q; where an action "
            "is impossible, return -inf."
            if invalid
            else "x is not finite, or Q is -inf at every draw. Check x, or raise num_draws."
        )
        raise ValueError(f"The score is not a number: {reason}")
    return result
