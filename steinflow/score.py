"""The front door: the score of a Boltzmann target at noisy points, by any estimator."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from steinflow.ask_tell import State, as_points, ask, begin, estimate, start, tell
from steinflow.checks import broadcasting, require_key, require_kind, require_shape
from steinflow.draws import Draws, Reply, evaluate
from steinflow.estimators import Estimate
from steinflow.levels import Level
from steinflow.methods import Method, Named, as_method
from steinflow.points import Point
from steinflow.proposals import AbstractProposal, FittedProposal
from steinflow.stages import weighed
from steinflow.targets.boltzmann import AbstractTarget, Boltzmann

Proposal = AbstractProposal | FittedProposal | None


@broadcasting
def score_target(
    key: Key[Array, ""],
    target: AbstractTarget,
    x: Float[Array, " d"],
    level: Level,
    estimator: Named | None = None,
    proposal: Proposal = None,
    num_draws: int = 64,
) -> Estimate:
    """Estimate s*(x) = grad_x log p(x) of x = alpha a + sigma eps, a ~ pi(a) ∝ exp(Q(a)/tau).

    Args:
        key: consumed once; the estimate is a deterministic function of it.
        target: the Boltzmann target (tau in units of Q).
        x: the noisy point, [d].
        level: its noise level, scalars.
        estimator: a name of `ESTIMATORS`, a Method or an estimator; None is `auto()`.
        proposal: where draws come from; None is the method's own.
        num_draws: N, a ceiling on the points where Q is evaluated.

    Returns:
        Estimate(score [d], info), in units of 1/x. Gradients do not flow through it.

    Raises:
        ValueError: arguments that do not fit, in a sentence with the remedy; called
            eagerly also for NaN or +inf among Q and its gradients. Under `jit` such
            values give a NaN score, and `info.num_invalid` counts them.
    """
    require_key(key)
    x = as_points("x", x, (1,))
    require_target(target)
    require_kind("level", level, Level, "Write Level(alpha, sigma).")
    require_shape("level.alpha", level.alpha, [()], "score_targets takes many levels.")
    require_shape("level.sigma", level.sigma, [()], "score_targets takes many levels.")
    require_shape("tau", target.tau, [()], "score_targets takes many temperatures.")
    method = as_method("auto" if estimator is None else estimator, proposal)
    state = start(key[None], x[None], level, target.tau, target.support, method, num_draws)
    arrays, rest = eqx.partition(context_of(target), eqx.is_array)
    context = eqx.combine(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], arrays), rest)
    estimates = answered(with_context(target, context), state)
    return jax.tree.map(lambda leaf: leaf[0], estimates)


@broadcasting
def score_targets(
    key: Key[Array, ""],
    targets: AbstractTarget,
    xs: Float[Array, "b *l d"],
    levels: Level,
    estimator: Named | None = None,
    proposal: Proposal = None,
    num_draws: int = 64,
) -> Estimate:
    """`score_target` for b states at once, each at one level or at l of them.

    With xs [b, l, d] the l points of a state share their draws: Q is evaluated once at
    the l N actions of all of them, and every level weighs them all by the deterministic
    mixture of all their proposals (docs/formulas.md).

    Args:
        key: consumed once.
        targets: one target; a tau of shape [b] and every array leaf of its context run
            over the states. What all states share belongs into q.
        xs: noisy points, [b, d] or [b, l, d].
        levels: scalars or [b] for xs [b, d]; scalars, [l] or [b, l] for xs [b, l, d].
        estimator, proposal: as in `score_target`.
        num_draws: draws a point, so that a state costs l num_draws evaluations of Q.

    Returns:
        Estimate with leading axes [b] or [b, l]; num_values sums to the evaluations made.

    Raises:
        ValueError: as `score_target`.
    """
    require_target(targets)
    method = as_method("auto" if estimator is None else estimator, proposal)
    state = begin(key, xs, levels, targets.tau, targets.support, method, num_draws)
    batch = state.keys.shape[0]
    for leaf in jax.tree.leaves(eqx.filter(context_of(targets), eqx.is_array)):
        if leaf.ndim == 0 or leaf.shape[0] != batch:
            raise ValueError(
                f"Every array of a context needs the leading axis b = {batch}, got shape "
                f"{list(leaf.shape)}. Put what all states share into q."
            )
    return answered(targets, state)


def answered(targets: AbstractTarget, state: State) -> Estimate:
    """The estimate of a state whose questions a JAX Q answers."""
    check_problem(eqx.tree_at(lambda t: t.tau, targets, state.tau), state.points.x[:, 0])
    return estimate(evaluate_all(targets, state))


def evaluate_all(
    targets: AbstractTarget, state: State, gradient: bool = False, hessian: bool = False
) -> State:
    """The state, done: Q is evaluated with the derivatives that its method needs, or more."""
    targets = eqx.tree_at(lambda t: t.tau, targets, state.tau)
    gradient, hessian = gradient or state.needs_gradient, hessian or state.needs_hessian
    while not state.done:
        state, actions = ask(state)
        state = tell(state, *evaluated(targets, actions, gradient, hessian))
    return state


def shared_draws(
    key: Key[Array, ""],
    target: AbstractTarget,
    xs: Float[Array, "l d"],
    levels: Level,
    method: Method,
    num_draws: int,
    gradient: bool = False,
    hessian: bool = False,
) -> tuple[Draws, Point]:
    """The draws of one state, whose l points share them, and those points.

    Every leaf of the points but their support, and log_prior of the draws, has the axis l.
    """
    arrays, rest = eqx.partition(context_of(target), eqx.is_array)
    context = eqx.combine(jax.tree.map(lambda leaf: leaf[None], arrays), rest)
    state = start(key[None], xs[None], levels, target.tau, target.support, method, num_draws)
    state = evaluate_all(with_context(target, context), state, gradient, hessian)
    parts = (state.stages, state.evaluations, state.points.x, state.points.level)
    stages, evaluations, x, level = jax.tree.map(lambda leaf: leaf[0], parts)
    points = Point(x, level, state.points.support)
    return weighed(stages, evaluations, points)[0], points


@eqx.filter_jit
def evaluated(
    targets: AbstractTarget, actions: Float[Array, "b k d"], gradient: bool, hessian: bool
) -> Reply:
    """Q of every state at its actions, with the derivatives that are needed."""

    def one(target: AbstractTarget, action: Array) -> Reply:
        return evaluate(target, action, gradient, hessian)

    return eqx.filter_vmap(one, in_axes=(state_axes(targets), 0))(targets, actions)


def state_axes(targets: AbstractTarget) -> Any:
    """The axes of `vmap` over states: tau and the arrays of a context have one."""
    axes = eqx.tree_at(lambda t: t.tau, jax.tree.map(lambda _: None, targets), 0,
                       is_leaf=lambda leaf: leaf is None)  # fmt: skip
    context = context_of(targets)
    if context is None:
        return axes
    mapped = context_axes(context)
    return eqx.tree_at(lambda t: t.context, axes, mapped, is_leaf=lambda leaf: leaf is None)


def context_axes(context: Any) -> Any:
    """The axes of `vmap` over the states of a context: its arrays have one."""
    return jax.tree.map(lambda leaf: 0 if eqx.is_array(leaf) else None, context)


def context_of(target: AbstractTarget) -> Any:
    """The second argument of q, if there is one."""
    return target.context if isinstance(target, Boltzmann) else None


def with_context(target: AbstractTarget, context: Any) -> AbstractTarget:
    """The target with another context of the same kind."""
    return target if context is None else eqx.tree_at(lambda t: t.context, target, context)


def require_target(target: Any) -> None:
    """Raise unless this is a target."""
    if not isinstance(target, AbstractTarget):
        raise ValueError(f"target must be a target, got {target!r}. Wrap Q: Boltzmann(q, tau).")


def remedy(target: AbstractTarget, error: Exception) -> str:
    """What to do where q cannot be evaluated."""
    if isinstance(
        error, jax.errors.ConcretizationTypeError | jax.errors.TracerArrayConversionError
    ):
        return "Write q in jax.numpy; a q in plain Python answers by sf.begin, sf.ask and sf.tell."
    if getattr(target, "context", None) is not None:
        return "With a context write q(action, context), one of each; x is as wide as the action."
    return "Write q(action): [d] -> [], x as wide as the action. What a state adds is context=."


def check_problem(targets: AbstractTarget, xs: Float[Array, "b d"]) -> None:
    """Raise unless Q of every state takes an action of the width of x and returns a scalar."""
    dim = xs.shape[-1]
    width = getattr(targets, "dim", dim)
    if width != dim:
        raise ValueError(f"x has width {dim}, but the target has d = {width}. Fit x to it.")
    try:
        value = eqx.filter_eval_shape(values_of, targets, xs)
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"q could not be evaluated at an action of shape [{dim}] "
            f"({str(error).partition(chr(10))[0]}). {remedy(targets, error)}"
        ) from error
    shape = getattr(value, "shape", None)
    if shape != xs.shape[:1]:
        shown = "shape " + str(list(shape[1:])) if shape else value
        raise ValueError(f"q must return a scalar, got {shown}. Sum or squeeze it: [d] -> [].")


def values_of(targets: AbstractTarget, xs: Float[Array, "b d"]) -> Array:
    """Q of every state at one action."""
    value = eqx.filter_vmap(lambda t, x: t.value(x), in_axes=(state_axes(targets), 0))
    return value(targets, xs)
