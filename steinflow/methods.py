"""Methods by name: a proposal, an estimator, and the space they work in."""

from typing import NamedTuple

from steinflow.checks import lookup
from steinflow.estimators import (
    AbstractEstimator,
    Blend,
    GradientExpectation,
    NoiseExpectation,
    auto,
)
from steinflow.proposals import AbstractProposal, GaussianProposal, TruncatedGaussianProposal
from steinflow.supports import AbstractSupport


class Method(NamedTuple):
    """Everything that "which estimator" means to a user.

    proposal None is the default of the support: Gaussian on R^d, truncated on a box.
    """

    proposal: AbstractProposal | None
    estimator: AbstractEstimator
    space: str = "action"  # where x and the score live


ESTIMATORS: dict[str, Method] = {
    "noise": Method(None, NoiseExpectation()),
    "gradient": Method(None, GradientExpectation(boundary="vanishing")),
    "blend": Method(None, Blend(0.5, boundary="vanishing")),
    "auto": Method(None, auto()),
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
