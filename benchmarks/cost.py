"""What `auto` costs beside the critic evaluations that it makes.

    python benchmarks/cost.py

Batch 256, d = 6, observations of 17, four levels of 8 draws a state, a ReLU critic of 2×256,
float32, jitted: seconds of `score_targets` over those of the bare critic, values and
gradients at as many actions in as many calls; and of qne, which takes values only.
"""

import json
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import steinflow as sf

BATCH, DIM, OBSERVATION, LEVELS, DRAWS, ROUNDS = 256, 6, 17, 4, 8, 15


def main() -> None:
    """Measure in turn, and print medians."""
    key = jax.random.key(0)
    critic = eqx.nn.MLP(OBSERVATION + DIM, "scalar", 256, 2, jax.nn.relu, key=key)
    alpha = jnp.linspace(0.2, 0.95, LEVELS)
    levels, support = sf.Level(alpha, 1.0 - alpha), sf.Box(-1.0, 1.0)
    observations = jax.random.normal(key, (BATCH, OBSERVATION))
    xs = jax.random.normal(key, (BATCH, LEVELS, DIM))
    actions = jax.random.uniform(key, (2, BATCH, LEVELS * DRAWS // 2, DIM), minval=-1.0)

    def q(action: Any, observation: Any) -> Any:
        return critic(jnp.concatenate([action, observation]))

    def over(f: Any) -> Any:
        per_state = jax.vmap(f, in_axes=(0, None))
        return lambda actions: [jax.vmap(per_state)(half, observations) for half in actions]

    def targets(method: str) -> Any:
        target = sf.Boltzmann(q, 0.1, support, observations)
        return lambda key: sf.score_targets(key, target, xs, levels, method, num_draws=DRAWS).score

    runs = {
        "critic, values": (jax.jit(over(q)), actions),
        "critic, values and gradients": (jax.jit(over(jax.value_and_grad(q))), actions),
        "qne": (jax.jit(targets("qne")), key),
        "auto": (jax.jit(targets("auto")), key),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS + 1):
        for name, (run, argument) in runs.items():
            begun = time.perf_counter()
            jax.block_until_ready(run(argument))
            seconds[name].append(time.perf_counter() - begun)
    median = {name: float(np.median(found[1:])) for name, found in seconds.items()}
    ratios = {
        "auto over its critic evaluations": median["auto"] / median["critic, values and gradients"],
        "qne over its critic evaluations": median["qne"] / median["critic, values"],
        "gradient over value": median["critic, values and gradients"] / median["critic, values"],
    }
    print(json.dumps({"milliseconds": {k: 1e3 * v for k, v in median.items()}} | ratios, indent=2))


if __name__ == "__main__":
    main()
