"""A noise level: how much of an action and how much noise a point x is made of."""

from typing import Any

import equinox as eqx
import jax
import numpy as np

from steinflow.checks import Numbers, as_leaf, require_positive


class Level(eqx.Module):
    """The noise level (alpha, sigma) of x = alpha a + sigma eps, eps ~ N(0, I).

    There is no time in here: schedules turn a time into a level.

    Args:
        alpha: scale of the action, > 0; a scalar, or any batch shape for `score_targets`.
        sigma: standard deviation of the noise, > 0; same shape as alpha.

    Raises:
        ValueError: alpha or sigma is not a positive finite number (checked when concrete).
    """

    alpha: Numbers = eqx.field(converter=as_leaf)
    sigma: Numbers = eqx.field(converter=as_leaf)

    def __check_init__(self) -> None:
        require_positive("alpha", self.alpha, "The level of pure noise has no score target.")
        require_positive("sigma", self.sigma, "At sigma = 0 there is no noise to estimate.")


def limit_level(alpha: Any, sigma: Any) -> Level:
    """A level that may be an end point of a schedule (alpha = 0 or sigma = 0)."""
    template = jax.tree_util.tree_structure(Level(1.0, 1.0))
    return jax.tree_util.tree_unflatten(template, (as_leaf(alpha), as_leaf(sigma)))


def cast(tree: Any, dtype: Any) -> Any:
    """The floating-point leaves of a tree in another precision; everything else untouched."""

    def one(leaf: Any) -> Any:
        if isinstance(leaf, float | np.floating):
            return np.asarray(leaf, dtype)
        is_array = isinstance(leaf, jax.Array | np.ndarray)
        return leaf.astype(dtype) if is_array and leaf.dtype.kind == "f" else leaf

    return jax.tree.map(one, tree)
