"""Methods by name: a proposal, an estimator, and the space they work in."""

from dataclasses import replace
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from steinflow.checks import lookup, require_kind
from steinflow.estimators import (
    AbstractEstimator,
    Blend,
    ControlVariate,
    Curvature,
    GradientExpectation,
    NoiseExpectation,
    ReverseFlow,
    ShrunkControlVariate,
    VarianceRatio,
)
from steinflow.proposals import (
    AbstractProposal,
    FittedProposal,
    GaussianProposal,
    TruncatedGaussianProposal,
)
from steinflow.spaces import SPACES, AbstractSpace
from steinflow.supports import AbstractSupport
from steinflow.targets.boltzmann import AbstractTarget
from steinflow.targets.latent import clipped, latent


def require_proposal(proposal: Any) -> None:
    """Raise unless it says where draws come from."""
    if not isinstance(proposal, AbstractProposal | FittedProposal | None):
        raise ValueError(f"proposal must be a proposal or None, got {proposal!r}.")


class Method(eqx.Module):
    """Everything that "which estimator" means to a user.

    Args:
        proposal: where draws come from; None is the likelihood on the support.
        estimator: what is made of them.
        space: how a box is posed: "action", "tanh" or "clipped".
        quasi: scrambled Sobol numbers instead of independent ones.
    """

    proposal: AbstractProposal | FittedProposal | None
    estimator: AbstractEstimator
    space: str = eqx.field(default="action", static=True)
    quasi: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        require_proposal(self.proposal)
        require_kind("estimator", self.estimator, AbstractEstimator, "Write NoiseExpectation().")
        lookup("space", self.space, SPACES)
        require_kind("quasi", self.quasi, bool, "True takes Sobol numbers.")

    @property
    def variable(self) -> AbstractSpace:
        """The space by its name."""
        return lookup("space", self.space, SPACES)

    def pose(self, target: AbstractTarget) -> AbstractTarget:
        """The target that is estimated, in this method's space."""
        return {"action": lambda t: t, "tanh": latent, "clipped": clipped}[self.space](target)

    def action(self, target: AbstractTarget, x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        """The actions that points of this method's space stand for."""
        return self.variable.action(x, target.support)

    def is_consistent(self, support: AbstractSupport) -> bool:
        """Whether estimates converge to the score of the target, in this method's space."""
        exact = self.variable.is_exact(support)
        return exact and self.estimator.is_consistent(self.variable.support(support))


def auto() -> Method:
    """The method to use without thinking: `ESTIMATORS["auto"]`, the default of every function.

    Approximates: s*(x), on R^d and on a box.
    With: scrambled Sobol draws from the likelihood and from a normal fitted to the gradients
        (`FittedProposal`), weighed by the mixture of all proposals of all levels of a state, and
        a shrunk Stein control variate with a cross-fitted error (`ShrunkControlVariate`).
    Requires: gradients of Q.
    Cost: N values and N gradients, in two calls of N/2.
    Variance: `info.std_error` treats the draws as independent; Sobol draws err less.
    """
    return Method(FittedProposal(), ShrunkControlVariate(), quasi=True)


ESTIMATORS: dict[str, Method] = {
    "noise": Method(None, NoiseExpectation()),
    "gradient": Method(None, GradientExpectation(boundary="vanishing")),
    "blend": Method(None, Blend(0.5, boundary="vanishing")),
    "sdac": Method(GaussianProposal(), NoiseExpectation(), "clipped"),
    "qne": Method(None, NoiseExpectation()),
    "idem": Method(None, GradientExpectation(boundary="ignored")),
    "rfm": Method(GaussianProposal(), ControlVariate(ReverseFlow()), "tanh"),
    "cvsi": Method(None, ControlVariate(VarianceRatio())),
    "lfgi": Method(None, ControlVariate(Curvature())),
    "auto": auto(),
}


Named = str | Method | AbstractEstimator


def as_method(estimator: Named, proposal: AbstractProposal | FittedProposal | None) -> Method:
    """A name, a Method or an estimator as a Method; a given proposal wins.

    Raises:
        ValueError: the name is unknown (the nearest is named), or the type is.
    """
    if isinstance(estimator, str):
        method = lookup("estimator", estimator, ESTIMATORS)
    elif isinstance(estimator, Method):
        method = estimator
    elif isinstance(estimator, AbstractEstimator):
        method = Method(None, estimator)
    else:
        raise ValueError(
            f"estimator must be a name, a Method or an estimator, got {estimator!r}. "
            f"Names: {', '.join(sorted(ESTIMATORS))}."
        )
    require_proposal(proposal)
    return method if proposal is None else replace(method, proposal=proposal)


def default_proposal(support: AbstractSupport) -> AbstractProposal:
    """The likelihood of x on the support."""
    return TruncatedGaussianProposal() if support.has_bounds else GaussianProposal()
