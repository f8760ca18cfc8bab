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


def devices() -> list[jax.Device]:
    """The devices of this process, or the one that was chosen for it."""
    chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
    return jax.local_devices() if chosen is None else []


def sharded(function: Callable[..., T], *arguments: Any) -> T:
    """A traceable function of arrays [n, ...] that treats each entry alone, on as many devices as
    give equal shares.

    What it gives has the leading axis too. One device may round otherwise than several.
    """
    size, available = jax.tree.leaves(arguments)[0].shape[0], devices()
    count = max((n for n in range(1, len(available) + 1) if size % n == 0), default=1)
    if count == 1:
        return function(*arguments)
    mesh = Mesh(np.array(available[:count]), (AXIS,))
    spec = PartitionSpec(AXIS)  # type: ignore[no-untyped-call]
    placed = jax.shard_map(function, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    return placed(*arguments)


def dealt(array: Array, together: int = 1) -> tuple[Array, ...]:
    """Shares of a leading axis, each on a device of its own, and as equal as can be.

    Args:
        array: [n, ...]
        together: how many entries a loop takes at once. A share has at least two rounds of it,
            and no rest: both are compiled otherwise, and round otherwise.
    """
    units, rest = divmod(array.shape[0], together)
    available = devices()[: units // 2]
    if rest or len(available) < 2:
        return (array,)
    ends = [together * (units * k // len(available)) for k in range(1, len(available))]
    parts = jnp.split(array, ends)
    return tuple(map(jax.device_put, parts, available))


def on_each(function: Callable[..., T], shares: Sequence[Array], *shared: Any) -> T:
    """A compiled function of each share and of what all need, and its results one after another.

    The devices run the program that one device runs, so that every entry is the same bit for bit.
    A program for several, as `shard_map` makes it, is compiled in other steps: its sums differ in
    the last bits.
    """
    if len(shares) == 1:
        return function(shares[0], *shared)
    results = [function(share, *jax.device_put(shared, share.device)) for share in shares]
    first = shares[0].device
    return jax.tree.map(lambda *leaves: jnp.concatenate(jax.device_put(leaves, first)), *results)
