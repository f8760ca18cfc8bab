"""How much memory an update would take, said before it is tried."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from steinflow.rl.agent import Learner, initial, learn_all
from steinflow.rl.checkpoint import RunError
from steinflow.rl.critic import Batch

GIB = 2**30
BYTES = 4  # float32
MEMINFO = Path("/proc/meminfo")


def rough(learner: Learner) -> int:
    """Bytes that the values and gradients of Q at all draws take at once, about."""
    config = learner.config
    points = config.seeds * config.actor_batch * config.num_levels * config.num_draws
    widths = config.critics * sum(config.hidden) + 6 * learner.sizes.action
    return BYTES * points * widths if config.policy != "gaussian" else 0


def needed(learner: Learner, rounds: int) -> int:
    """Bytes of a call of the compiled update, as XLA plans it; compiles it."""
    config, sizes = learner.config, learner.sizes
    struct: Any = jax.ShapeDtypeStruct
    shape = (config.seeds, rounds, config.policy_delay, config.batch_size)

    def array(*more: int) -> Any:
        return struct((*shape, *more), jnp.float32)

    batch = Batch(array(sizes.obs), array(sizes.action), array(), array(sizes.obs), array())
    seeds = struct((config.seeds,), jnp.int32)
    states = jax.eval_shape(jax.vmap(lambda seed: initial(learner, seed)), seeds)
    plan = learn_all.lower(learner, states, batch).compile().memory_analysis()
    if plan is None:
        return rough(learner)
    return int(plan.temp_size_in_bytes + plan.argument_size_in_bytes + plan.output_size_in_bytes)


def free() -> int | None:
    """Bytes that the device has left; None where nobody knows."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        limit = stats.get("bytes_limit")
        return None if limit is None else int(limit - stats.get("bytes_in_use", 0))
    if not MEMINFO.exists():
        return None
    lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    return 1024 * int(lines["MemAvailable"].split()[0])


def require_room(learner: Learner, rounds: int) -> None:
    """Raise if an update would need more memory than there is.

    What takes long to find out, the compiler's own plan, is asked for only where a rough count
    comes near what is free.

    Raises:
        RunError: with the options to lower.
    """
    config, there, need = learner.config, free(), rough(learner)
    if there is None or need < there / 4:
        return
    if need < 4 * there:
        need = needed(learner, rounds)
    if need > there:
        raise RunError(
            f"An update would take about {need / GIB:.1f} GiB of memory, and {there / GIB:.1f} are "
            f"free. Lower --num-draws ({config.num_draws} a state and level), "
            f"--actor-batch ({config.actor_batch} states), --num-levels ({config.num_levels}), "
            f"--batch-size ({config.batch_size}) or --seeds ({config.seeds})."
        )
