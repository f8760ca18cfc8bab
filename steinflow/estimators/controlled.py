"""A control variate from the surrogate: its answer is known, and the draws err on it alike."""

import jax.numpy as jnp
import numpy as np
from jax.nn import softmax
from jaxtyping import Array, Float

from steinflow.diagnostics import effective_sample_size
from steinflow.draws.base import Surrogate

SPARE = 2.0  # effective draws beyond which the coefficient is believed at all
FAINT = 0.25  # power of the least number, below which a weight is too little to divide by
SURPRISE = 2.0  # squared errors over their sum of squares, beyond which it is believed less


def controlled(
    total: Float[Array, "d k"],
    own: Float[Array, "d k"],
    nodes: Float[Array, "d n"],
    surrogate: Surrogate,
    w: Float[Array, " k"],
) -> Float[Array, "d k"]:
    """The terms, less b times what the draws err on the surrogate's own.

    y = v (t - E[t]), v the draws' weights for the surrogate and t its terms, whose mean is known:
    Σ_i y_i is what the draws err by. b, one for all dimensions, is the coefficient of y in a
    regression of w (terms - mean); it is shrunk to nothing where that explains no more than chance
    would with as many draws as count for both. Where Σ y is beyond what its squares make likely,
    the draws have missed a part of the surrogate, and b is shrunk further.

    Args:
        total: terms of the estimate.
        own: the same terms of the surrogate, at the draws.
        nodes: and where its expectations are sums.
        surrogate: of the draws.
        w: self-normalised weights.
    """
    v = softmax(surrogate.log_weight)
    expected = jnp.sum(surrogate.share.T * nodes, axis=1, keepdims=True)
    error = v * (own - expected)
    away = w * (total - jnp.sum(w * total, axis=1, keepdims=True))
    surprise = jnp.sum(jnp.sum(error, axis=1) ** 2) / SURPRISE
    square, whole = jnp.maximum(jnp.sum(error**2), surprise), jnp.sum(away**2)
    product, tiny = jnp.sum(away * error), np.finfo(w.dtype).tiny
    met = product**2 / jnp.maximum(square * whole, tiny)
    free = jnp.minimum(1.0 / jnp.sum(v**2), effective_sample_size(w)) - SPARE
    belief = 1.0 - (1.0 - met) / jnp.maximum(met * free, tiny)
    b = jnp.clip(product / jnp.maximum(square, tiny), 0.0, 1.0) * jnp.clip(belief, 0.0, 1.0)
    error = jnp.where(jnp.isfinite(b), b * error, 0.0)
    held = w > tiny**FAINT  # the terms of the others could not hold it
    part = jnp.where(held, error / jnp.where(held, w, 1.0), 0.0)
    return total - part - jnp.sum(jnp.where(held, 0.0, error), axis=1, keepdims=True)
