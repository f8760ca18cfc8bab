"""How much memory an update would take, said before it is tried."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from steinflow.checks import lookup
from steinflow.executors.devices import devices
from steinflow.rl.agent import Learner, Sizes, initial, learn_all
from steinflow.rl.checkpoint import RunError
from steinflow.rl.config import TrainConfig
from steinflow.rl.critic import Batch
from steinflow.rl.heads import HEADS

GIB = 2**30
BYTES = 4  # float32
MEMINFO = Path("/proc/meminfo")
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of containers, in /sys/fs/cgroup
FAR = 32  # times too much: not worth asking the compiler


def rough(learner: Learner) -> int:
    """Bytes of a device that the values and gradients of Q at all draws take at once, about."""
    config = learner.config
    seeds = -(-config.seeds // max(1, len(devices())))
    states = config.policy_states
    points = seeds * states * config.num_levels * config.num_draws
    head = lookup("critic", config.critic, HEADS)()
    widths = config.critics * (sum(config.hidden) + head.width) + 6 * learner.sizes.action
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
    twice = plan.alias_size_in_bytes  # states that are written over
    total = plan.temp_size_in_bytes + plan.argument_size_in_bytes + plan.output_size_in_bytes
    return int(total - twice)


def free() -> int | None:
    """Bytes that the device has left; None where nobody knows."""
    device = (devices() or jax.local_devices())[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        limit = stats.get("bytes_limit")
        return None if limit is None else int(limit - stats.get("bytes_in_use", 0))
    return host_free()


def host_free() -> int | None:
    """Bytes that this machine has left; None where nobody knows."""
    limits = []
    if MEMINFO.exists():
        lines = [line.split() for line in MEMINFO.read_text("ascii").splitlines()]
        limits += [1024 * int(words[1]) for words in lines if words[0] == "MemAvailable:"]
    for name in LIMITS:  # not what is used of it: that counts files which can be dropped
        with suppress(OSError, ValueError):  # without a limit it says "max"
            limits.append(int((Path("/sys/fs/cgroup") / name).read_text("ascii")))
    return min(limits, default=None)


def require_replay_room(config: TrainConfig, sizes: Sizes) -> None:
    """Raise if the replay would not fit into memory once it is full.

    Raises:
        RunError: with the options to lower.
    """
    available = host_free()
    row = BYTES * (2 * sizes.obs + sizes.action + 1) + 2
    need = config.seeds * max(config.buffer_size, config.num_envs) * row
    if available is None or need < available:
        return
    fitting = int(0.9 * available / (config.seeds * row))
    raise RunError(
        f"A replay of {config.buffer_size:,} transitions with {sizes.obs:,} numbers an observation "
        f"needs {need / GIB:.1f} GiB of memory for {config.seeds} seed(s), but "
        f"{available / GIB:.1f} are free. Lower --buffer-size to at most {fitting:,}, or --seeds."
    )


def require_room(learner: Learner, rounds: int) -> None:
    """Raise if an update would need more memory than there is.

    What takes long to find out, the compiler's own plan, is asked for only where a rough count
    comes near what is free.

    Raises:
        RunError: with the options to lower.
    """
    config, available, need = learner.config, free(), rough(learner)
    if available is None or need < available / 4:
        return
    if need < FAR * available:
        need = needed(learner, rounds)
    if need > available:
        raise RunError(
            f"An update would take about {need / GIB:.1f} GiB of memory, and "
            f"{available / GIB:.1f} are free. "
            f"Lower --num-draws ({config.num_draws} a state and level), "
            f"--actor-batch ({config.policy_states} states), --num-levels ({config.num_levels}), "
            f"--batch-size ({config.batch_size}) or --seeds ({config.seeds})."
        )
