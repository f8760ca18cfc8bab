"""The Boltzmann target pi(a) ∝ exp(Q(a)/tau) on a support."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from steinflow.checks import Numbers, as_leaf, require_positive
from steinflow.supports import AbstractSupport, RealSpace


class AbstractTarget(eqx.Module):
    """pi(a) ∝ exp(value(a)/tau) on support."""

    tau: eqx.AbstractVar[Numbers]
    support: eqx.AbstractVar[AbstractSupport]

    @abc.abstractmethod
    def value(self, action: Float[Array, " d"]) -> Float[Array, ""]:
        """Q at one action [d], a scalar in units of return."""


class Boltzmann(AbstractTarget):
    """pi(a) ∝ exp(q(a)/tau): the policy that maximum-entropy RL asks for; or, with a prior mu,
    pi(a) ∝ mu(a) exp(q(a)/tau), the one that is regularised toward mu (Peng et al., 2019).

    Args:
        q: [d] -> [] (or q(a, context)); any callable: a function, an Equinox module, a
            bound Flax or Haiku apply. Parameters shared by all states belong in q.
        tau: temperature in units of Q, > 0; a scalar, or [b] in `score_targets`.
        support: `RealSpace()` or `Box(low, high)`.
        context: anything q takes as second argument (an observation); in
            `score_targets` every array leaf of it has a leading axis b.
        log_prior: log mu, up to a constant; a function of the arguments of q. It must be
            differentiable for methods of gradients. None: a uniform mu.

    Raises:
        ValueError: tau is not positive and finite (checked when concrete), q is not
            callable, or support is not a support.
    """

    q: Callable[..., Float[Array, ""]]  # type: ignore[misc]
    tau: Numbers = eqx.field(converter=as_leaf)
    support: AbstractSupport = RealSpace()
    context: Any = None
    log_prior: Any = None

    def __check_init__(self) -> None:
        require_positive("tau", self.tau, "Sharper targets take a small tau, never 0.")
        if not callable(self.q):
            raise ValueError(f"q must be a function of one action, got {type(self.q).__name__}.")
        if self.log_prior is not None and not callable(self.log_prior):
            raise ValueError(
                "log_prior must be a function of one action, got "
                f"{type(self.log_prior).__name__}. A policy that is known by samples alone has "
                "none: weigh its samples by exp(Q/tau) instead (train --objective weighted)."
            )
        if not isinstance(self.support, AbstractSupport):
            raise ValueError(
                f"support must be RealSpace() or Box(low, high), got {self.support!r}."
            )

    def value(self, action: Float[Array, " d"]) -> Float[Array, ""]:
        """q + tau log mu: what the weights and gradients of every method are of."""
        known = (action,) if self.context is None else (action, self.context)
        value = self.q(*known)
        return value if self.log_prior is None else value + self.tau * self.log_prior(*known)
