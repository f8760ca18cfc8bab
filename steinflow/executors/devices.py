"""One computation on all devices of this process."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array

T = TypeVar("T")
AXIS = "share"


def count_for(size: int, together: int = 1) -> int:
    """How many equal shares of an axis there are: one a device, or as many as divide it.

    Args:
        size: of the axis.
        together: how many of its entries are computed as one.
    """
    counts = range(1, len(jax.devices()) + 1)
    return max(n for n in counts if n == 1 or size % (n * together) == 0)


def sharded(function: Callable[..., T], *arguments: Any) -> T:
    """A traceable function of arrays [n, ...] that treats each entry alone, on all devices.

    What it gives has the leading axis too. One device may round otherwise than several.
    """
    count = count_for(jax.tree.leaves(arguments)[0].shape[0])
    if count == 1:
        return function(*arguments)
    mesh = Mesh(np.array(jax.devices()[:count]), (AXIS,))
    spec = PartitionSpec(AXIS)  # type: ignore[no-untyped-call]
    placed = jax.shard_map(function, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    return placed(*arguments)


def dealt(array: Array, together: int = 1) -> tuple[Array, ...]:
    """Equal shares of a leading axis, each on a device of its own."""
    count = count_for(array.shape[0], together)
    if count == 1:
        return (array,)
    parts = zip(jnp.split(array, count), jax.devices(), strict=False)
    return tuple(jax.device_put(part, device) for part, device in parts)


def on_each(function: Callable[..., T], shares: Sequence[Array], *whole: Any) -> T:
    """A compiled function of each share and of what all need, and its results one after another.

    The devices run the program that one device runs, so that every entry is the same bit for bit.
    A program for several, as `shard_map` makes it, is compiled in other steps: its sums differ in
    the last bits.
    """
    if len(shares) == 1:
        return function(shares[0], *whole)
    found = [function(share, *jax.device_put(whole, share.device)) for share in shares]
    first = shares[0].device
    return jax.tree.map(lambda *leaves: jnp.concatenate(jax.device_put(leaves, first)), *found)
