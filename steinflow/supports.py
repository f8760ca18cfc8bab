"""Where actions live: all of R^d, or a box.

A support owns the boundary weight phi of the Stein identity
E[phi g + d phi | x] = 0, which needs phi p = 0 on the boundary of the support.
"""

import abc

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from steinflow.checks import Numbers, as_leaf, is_concrete


class AbstractSupport(eqx.Module):
    """A set of actions with a weight that vanishes at its boundary."""

    @abc.abstractmethod
    def bounds(self, dim: int) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """(low, high), each [d]; infinite where there is no bound."""

    @abc.abstractmethod
    def boundary_weight(
        self, action: Float[Array, "k d"]
    ) -> tuple[Float[Array, "k d"], Float[Array, "k d"]]:
        """(phi_j(a_j), d phi_j/d a_j), each [k, d]."""

    @property
    @abc.abstractmethod
    def has_bounds(self) -> bool:
        """Whether a density can be positive at the boundary."""


class RealSpace(AbstractSupport):
    """S = R^d: no bound, phi = 1."""

    def bounds(self, dim: int) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        return jnp.full(dim, -jnp.inf), jnp.full(dim, jnp.inf)

    def boundary_weight(
        self, action: Float[Array, "k d"]
    ) -> tuple[Float[Array, "k d"], Float[Array, "k d"]]:
        return jnp.ones_like(action), jnp.zeros_like(action)

    @property
    def has_bounds(self) -> bool:
        return False


class Box(AbstractSupport):
    """S = [low, high]: a box of actions.

    The boundary weight is phi_j = 4 (a_j - l_j)(u_j - a_j)/(u_j - l_j)^2: 1 in the middle, 0 at
    the bounds of dimension j (docs/formulas.md).

    Args:
        low, high: scalars, or [d]; finite, low < high.

    Raises:
        ValueError: a bound is not finite, or low >= high.
    """

    low: Numbers = eqx.field(converter=as_leaf)
    high: Numbers = eqx.field(converter=as_leaf)

    def __check_init__(self) -> None:
        if np.ndim(self.low) > 1 or np.ndim(self.high) > 1:
            raise ValueError("A box takes scalar bounds or one bound a dimension, shape [d].")
        widths = {n for n in (*np.shape(self.low), *np.shape(self.high)) if n != 1}
        if len(widths) > 1:
            raise ValueError(
                f"low has shape {list(np.shape(self.low))} and high {list(np.shape(self.high))}: "
                "give both the length of the action, or scalars."
            )
        if is_concrete(self.low) and is_concrete(self.high):
            low, high = np.asarray(self.low), np.asarray(self.high)
            if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high))):
                raise ValueError(
                    f"Bounds must be finite, got low = {low}, high = {high}. "
                    "Use RealSpace() where actions are unbounded."
                )
            if not np.all(low < high):
                raise ValueError(f"low must be below high, got {low} and {high}. Swap them?")

    def bounds(self, dim: int) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        return jnp.broadcast_to(self.low, (dim,)), jnp.broadcast_to(self.high, (dim,))

    def boundary_weight(
        self, action: Float[Array, "k d"]
    ) -> tuple[Float[Array, "k d"], Float[Array, "k d"]]:
        scale = 4.0 / (self.high - self.low) ** 2
        below, above = action - self.low, self.high - action
        return scale * below * above, scale * (above - below)

    @property
    def has_bounds(self) -> bool:
        return True
