"""Methods by name: a proposal, an estimator, and the space they work in."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Float

from steinflow.checks import lookup
from steinflow.estimators import (
    AbstractEstimator,
    BayesianQuadrature,
    Blend,
    ControlVariate,
    GradientExpectation,
    NoiseExpectation,
    ReverseFlow,
    SteinPolynomial,
    VarianceRatio,
)
from steinflow.proposals import (
    AbstractProposal,
    FittedProposal,
    GaussianProposal,
    TruncatedGaussianProposal,
)
from steinflow.supports import AbstractSupport
from steinflow.targets.boltzmann import AbstractTarget
from steinflow.targets.latent import clipped, latent, squashed


class Method(NamedTuple):
    """Everything that "which estimator" means to a user.

    proposal None is the default of the support: Gaussian on R^d, truncated on a box.
    quasi draws scrambled Sobol numbers instead of independent ones.
    """

    proposal: AbstractProposal | None
    estimator: AbstractEstimator
    space: str = "action"  # how a box is posed: a name of SPACES
    quasi: bool = False

    def pose(self, target: AbstractTarget) -> AbstractTarget:
        """The target that is estimated."""
        return lookup("space", self.space, SPACES).pose(target)

    def action(self, target: AbstractTarget, x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        """The actions that points of this method's space stand for."""
        return lookup("space", self.space, SPACES).action(target, x)

    def is_consistent(self, target: AbstractTarget) -> bool:
        """Whether estimates converge to the score of the target, in this method's space."""
        exact = lookup("space", self.space, SPACES).exact or not target.support.has_walls
        return bool(exact) and self.estimator.is_consistent(self.pose(target).support)


def auto(quadrature: bool = True) -> Method:
    """The method to use without thinking (docs/estimators.md says what it was chosen over).

    Approximates: s*(x), on R^d and on a box.
    With: scrambled Sobol draws from the likelihood on the support and from a normal fitted
        to the gradients at those, twice where there are many (`FittedProposal`) and on a box
        then reshaped by what it leaves of them (`ReshapedProposal`); some from another fit beside
        it, to where the draws' gradients point (`FittedProposal.ahead`); all weighed by the
        deterministic mixture of all proposals, of all levels of a state where
        `score_targets` is given several; and three Stein terms a dimension, each believed
        as far as it fits (`SteinPolynomial`). On a box what the draws err on the last fit, whose
        means are known, is taken off the estimate (`estimators/controlled.py`). Few draws in
        few dimensions also carry a Gaussian process (`BayesianQuadrature`), unless quadrature
        is False: where Q is cheap, as in the agent, its arithmetic costs more than further draws.
    Requires: gradients of Q.
    Cost: N values and N gradients, in two calls of N/2, or three from 40 draws of all levels on.
    Variance: `info.std_error` treats the draws as independent; Sobol draws err less.
    """
    inner = SteinPolynomial()
    estimator = BayesianQuadrature(inner) if quadrature else inner
    return Method(FittedProposal(), estimator, quasi=True)


class Space(NamedTuple):
    """How a problem on a box is posed before it is estimated."""

    pose: Callable[[AbstractTarget], AbstractTarget]
    action: Callable[[AbstractTarget, Array], Array]  # from a point of the space
    exact: bool  # whether the score asked for is the one estimated


def same(target: AbstractTarget, x: Array) -> Array:
    """Points are actions."""
    return x


SPACES = {
    "action": Space(lambda target: target, same, True),
    "tanh": Space(latent, squashed, True),
    "clipped": Space(clipped, same, False),
}
ESTIMATORS: dict[str, Method] = {
    "noise": Method(None, NoiseExpectation()),
    "gradient": Method(None, GradientExpectation(boundary="vanishing")),
    "blend": Method(None, Blend(0.5, boundary="vanishing")),
    "sdac": Method(GaussianProposal(), NoiseExpectation(), "clipped"),
    "qne": Method(None, NoiseExpectation()),
    "idem": Method(None, GradientExpectation(boundary="ignored")),
    "rfm": Method(GaussianProposal(), ControlVariate(ReverseFlow()), "tanh"),
    "cvsi": Method(None, ControlVariate(VarianceRatio())),
    "auto": auto(),
}


def as_method(
    estimator: str | Method | AbstractEstimator, proposal: AbstractProposal | None
) -> Method:
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
    if proposal is not None and not isinstance(proposal, AbstractProposal):
        raise ValueError(f"proposal must be a proposal or None, got {proposal!r}.")
    return method if proposal is None else method._replace(proposal=proposal)


def default_proposal(support: AbstractSupport) -> AbstractProposal:
    """The likelihood of x on the support."""
    return TruncatedGaussianProposal() if support.has_walls else GaussianProposal()
