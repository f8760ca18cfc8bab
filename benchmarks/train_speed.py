"""Speed of training at HalfCheetah sizes beside SBX's SAC and preset rfm: `make bench-train`.

Everything is timed in turns in one run, so that only ratios within it count.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np

from steinflow.rl.agent import Learner, Sizes, act, initial, learn_all
from steinflow.rl.config import TrainConfig
from steinflow.rl.critic import Batch
from steinflow.rl.environments import factory_of
from steinflow.rl.loop import Trainer, cadence
from steinflow.rl.presets import PRESETS

ENV, SIZES, TURNS = "HalfCheetah-v5", Sizes(17, 6), 5
HERE = Path(__file__).parent
AGENTS = {
    "default": TrainConfig(),
    "mse": TrainConfig(critic="mse", normalise_rewards=False),
    "gaussian (SAC here)": TrainConfig(
        policy="gaussian", policy_delay=1, critic_norm=False, critic="mse", normalise_rewards=False
    ),
    "noise": TrainConfig(estimator="noise"),
    "preset rfm": replace(TrainConfig(), **PRESETS["rfm"]),
}


def batches(config: TrainConfig, rounds: int) -> Batch:
    """Standard normal transitions."""
    rng, shape = np.random.default_rng(0), (1, rounds, config.policy_delay, config.batch_size)
    parts = {"obs": 17, "action": 6, "reward": 0, "next_obs": 17, "discount": 0}
    drawn = {n: rng.normal(size=(*shape, w) if w else shape) for n, w in parts.items()}
    drawn["action"] = np.tanh(drawn["action"])
    drawn["discount"] = np.full(shape, 0.99)
    return Batch(**{name: jnp.asarray(array, jnp.float32) for name, array in drawn.items()})


class Timed:
    """The compiled update of one agent."""

    def __init__(self, config: TrainConfig, rounds: int | None = None) -> None:
        self.learner = Learner(config, SIZES)
        self.rounds = rounds or cadence(config)[1]
        self.batches = batches(config, self.rounds)
        self.states = jax.vmap(lambda seed: initial(self.learner, seed))(jnp.arange(1))
        began = time.perf_counter()
        self.compiled = learn_all.lower(self.learner, self.states, self.batches).compile()
        self.compile_seconds = time.perf_counter() - began
        self.ms()

    def ms(self) -> float:
        """Milliseconds a critic update and its share of the actor's."""
        began = time.perf_counter()
        self.states, info = learn_all(self.learner, self.states, self.batches)
        jax.block_until_ready(info)
        return 1e3 * (time.perf_counter() - began) / self.updates

    @property
    def updates(self) -> int:
        """Critic updates a call."""
        return self.rounds * self.learner.config.policy_delay

    @property
    def gflop(self) -> float:
        """Operations an update, as XLA counts the body of the scan once."""
        costs = self.compiled.cost_analysis()
        return costs["flops"] / 1e9 / self.learner.config.policy_delay

    def acting(self) -> float:
        """Milliseconds for one action of one environment."""
        obs = np.zeros((1, 1, 17), np.float32)
        for count in range(20):
            np.asarray(act(self.learner, self.states, jnp.asarray(count), obs))
        began = time.perf_counter()
        for count in range(500):
            np.asarray(act(self.learner, self.states, jnp.asarray(count), obs))
        return 1e3 * (time.perf_counter() - began) / 500


def product_rate() -> float:
    """GFLOP/s of a float32 matrix product at an update's sizes."""
    a, b = jnp.ones((8192, 256)), jnp.ones((256, 256))
    product = jax.jit(jnp.matmul)
    product(a, b).block_until_ready()
    times = []
    for _ in range(50):
        began = time.perf_counter()
        product(a, b).block_until_ready()
        times.append(time.perf_counter() - began)
    return 2e-9 * 8192 * 256 * 256 / median(times)


def steps_a_second(steps: int = 1_000) -> float:
    """Environment steps a second of the whole loop, one update each."""
    trainer = Trainer(TrainConfig(warmup=500), factory_of(ENV))
    for _ in range(800):
        trainer.advance()
    began = time.perf_counter()
    for _ in range(steps):
        trainer.advance()
    jax.block_until_ready(trainer.states)
    return steps / (time.perf_counter() - began)


class Sbx:
    """SBX's SAC in its own environment."""

    def __init__(self, python: str) -> None:
        self.process = subprocess.Popen(
            [str(Path(python).absolute()), str(HERE / "sbx_agents.py"), "speed", ENV],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tempfile.gettempdir(),
        )  # fmt: skip

    def ask(self, what: str) -> float:
        """Have it timed."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return float(json.loads(self.process.stdout.readline()))


def main() -> None:
    python = sys.argv[1] if len(sys.argv) > 1 else ".venv-sbx/bin/python"
    sbx = Sbx(python)
    sbx.ask("act")
    agents = {name: Timed(config, 1 if "rfm" in name else None) for name, config in AGENTS.items()}
    times: dict[str, list[float]] = {name: [] for name in ("SBX SAC", *agents)}
    ends: dict[str, list[float]] = {"SBX SAC": [], "default": []}
    for turn in range(TURNS):
        times["SBX SAC"].append(sbx.ask("update"))
        for name, timed in agents.items():
            times[name].append(timed.ms())
        if turn < 3:
            ends["SBX SAC"].append(sbx.ask("steps"))
            ends["default"].append(steps_a_second())
    rate, base = product_rate(), median(times["SBX SAC"])
    print(f"matrix product 8192×256×256: {rate:.0f} GFLOP/s; {ENV} sizes, batch 256")
    for name, values in times.items():
        line = (
            f"{name:22} {median(values):8.2f} ms an update, {median(values) / base:6.2f} × SBX SAC"
        )
        if name in agents:
            agent = agents[name]
            fastest = 1e3 * agent.gflop / rate
            line += f", {agent.gflop:6.2f} GFLOP ({fastest:.1f} ms at that rate), "
            line += f"compiled in {agent.compile_seconds:.0f} s"
        print(line)
    rfm = median(times["preset rfm"]) / median(times["default"])
    print(f"preset rfm / default: {rfm:.1f}")
    print(f"acting: default {agents['default'].acting():.2f} ms, SBX SAC {sbx.ask('act'):.2f} ms")
    ours, theirs = (median(ends[name]) for name in ("default", "SBX SAC"))
    print(f"end to end: default {ours:.0f} env steps/s, SBX SAC {theirs:.0f}: {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
