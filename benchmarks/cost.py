"""What `auto` costs beside the critic calls that it makes.

    make bench-cost

Two sizes on a box, d = 6, observations of 17, a ReLU critic of 2x256, float32, jitted: 256 states
of four levels with eight draws each, and 24 states of two levels with 48. Seconds of
`score_targets` over those of the bare critic, values and gradients at as many actions in as many
calls; and of `qne`, which takes values only. All are measured in turn; medians over rounds, of
ratios within a round.
"""

import argparse
import json
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import steinflow as sf

DIM, OBSERVATION, WIDTH = 6, 17, 256
SIZES = ((256, 4, 8), (24, 2, 48))  # states, levels, draws a level


def measured(states: int, levels: int, draws: int, rounds: int) -> dict[str, Any]:
    """Medians at one size."""
    key = jax.random.key(0)
    critic = eqx.nn.MLP(OBSERVATION + DIM, "scalar", WIDTH, 2, jax.nn.relu, key=key)
    alpha = jnp.linspace(0.2, 0.95, levels)
    level, support = sf.Level(alpha, 1.0 - alpha), sf.Box(-1.0, 1.0)
    observations = jax.random.normal(key, (states, OBSERVATION))
    xs = jax.random.normal(key, (states, levels, DIM))
    turns = sf.auto().proposal.sizes(draws)
    actions = [jax.random.uniform(key, (states, levels * size, DIM), minval=-1.0) for size in turns]

    def q(action: Any, observation: Any) -> Any:
        return critic(jnp.concatenate([action, observation]))

    def over(f: Any) -> Any:
        per_state = jax.vmap(f, in_axes=(0, None))
        return lambda actions: [jax.vmap(per_state)(turn, observations) for turn in actions]

    def targets(method: str) -> Any:
        target = sf.Boltzmann(q, 0.1, support, observations)
        return lambda key: sf.score_targets(key, target, xs, level, method, num_draws=draws).score

    runs = {
        "critic, values": (jax.jit(over(q)), actions),
        "critic, values and gradients": (jax.jit(over(jax.value_and_grad(q))), actions),
        "qne": (jax.jit(targets("qne")), key),
        "auto": (jax.jit(targets("auto")), key),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, (run, argument) in runs.items():
            begun = time.perf_counter()
            jax.block_until_ready(run(argument))
            seconds[name].append(time.perf_counter() - begun)
    times = {name: np.array(each[1:]) for name, each in seconds.items()}

    def ratio(above: str, below: str) -> float:
        return round(float(np.median(times[above] / times[below])), 3)

    return {
        "milliseconds": {name: round(1e3 * float(np.median(s)), 2) for name, s in times.items()},
        "auto over its critic calls": ratio("auto", "critic, values and gradients"),
        "qne over its critic calls": ratio("qne", "critic, values"),
        "gradient over value": ratio("critic, values and gradients", "critic, values"),
    }


def main() -> None:
    """Measure both sizes, and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=31)
    given = parser.parse_args()
    results = {"x".join(map(str, size)): measured(*size, given.rounds) for size in SIZES}
    print(json.dumps(results | {"bar": "auto at most 1.3 times its critic calls"}, indent=2))


if __name__ == "__main__":
    main()
