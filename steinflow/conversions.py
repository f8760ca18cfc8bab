"""One estimate in four units: score, posterior mean, noise, velocity.

With x = alpha a + sigma eps and s = grad_x log p(x), Tweedie's formula gives
E[a|x] = (x + sigma^2 s)/alpha and E[eps|x] = -sigma s (Efron, 2011).
"""

from jaxtyping import Array, Float

from steinflow.checks import require_kind
from steinflow.levels import Level


def posterior_mean(
    score: Float[Array, " d"], x: Float[Array, " d"], level: Level
) -> Float[Array, " d"]:
    """E[a|x] = (x + sigma^2 s)/alpha, in units of actions, shape [d]."""
    require_kind("level", level, Level, "Write Level(alpha, sigma).")
    return (x + level.sigma**2 * score) / level.alpha


def noise(score: Float[Array, " d"], x: Float[Array, " d"], level: Level) -> Float[Array, " d"]:
    """E[eps|x] = -sigma s, in units of the standard normal noise, shape [d]."""
    require_kind("level", level, Level, "Write Level(alpha, sigma).")
    return -level.sigma * score


def velocity(score: Float[Array, " d"], x: Float[Array, " d"], level: Level) -> Float[Array, " d"]:
    """E[a|x] - E[eps|x], the velocity of the linear flow at this level, shape [d]."""
    return posterior_mean(score, x, level) - noise(score, x, level)
