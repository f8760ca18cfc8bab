"""What is known of the law that an adaptive proposal has fitted last."""

from jaxtyping import Array, Float

from steinflow.draws.base import Draws, Surrogate
from steinflow.levels import Level
from steinflow.proposals import AbstractProposal, ReshapedProposal
from steinflow.proposals.paired import PairedProposal
from steinflow.supports import AbstractSupport


def with_surrogate(
    draws: Draws,
    level: Level,
    support: AbstractSupport,
    fitted: AbstractProposal,
    log_mixture: Float[Array, " k"],
) -> Draws:
    """The draws, with the fit as their surrogate if it is a reshaped normal, the first of a pair
    if it is one.

    Args:
        draws: from a mixture of this density.
        fitted: the last fit of this level.
        log_mixture: of the draws.
    """
    law = fitted.first if isinstance(fitted, PairedProposal) else fitted
    if not isinstance(law, ReshapedProposal):
        return draws

    def slope(action: Array) -> Array:
        pull = (level.alpha / level.sigma) ** 2 * (draws.x / level.alpha - action)
        return (law.mean - action) / law.scale**2 - pull

    nodes, share = law.nodes(draws.x, level, support)
    taper, taper_slope = support.taper(nodes)
    there = draws._replace(action=nodes, slope=slope(nodes), taper=taper, taper_slope=taper_slope)
    log_weight = law.log_prob(draws.action, draws.x, level, support) - log_mixture
    return draws._replace(surrogate=Surrogate(log_weight, slope(draws.action), there, share))
