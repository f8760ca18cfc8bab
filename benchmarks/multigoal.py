"""Four equal goals: the policy that was learned beside exp(Q/tau) and a Gaussian.

Trains on MultiGoal, compares densities at the start state on a grid, rolls the policy out, and
draws docs/figures/multigoal.svg. Results: benchmarks/results/multigoal.json.
"""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from provenance import stamp

from steinflow.io.files import write_json
from steinflow.report.style import styled
from steinflow.rl.agent import Learner
from steinflow.rl.config import TrainConfig
from steinflow.rl.evaluate import seeds_of
from steinflow.rl.multigoal import GOALS, MultiGoal
from steinflow.rl.networks import Gaussian, least
from steinflow.rl.policies import squashed
from steinflow.rl.run import Run, load
from steinflow.rl.sampling import policy_sample, times_of
from steinflow.rl.training import train
from steinflow.samplers import steps_of
from steinflow.schedules import LinearFlow

HERE = Path(__file__).parent
OUT = HERE.parent / "runs" / "multigoal"
TAU, CELLS, FINE = 0.1, 20, 5  # temperature; cells of the grid a side; points of a cell a side
SAMPLES, ROLLOUTS, RESTARTS, STEPS = 200_000, 1_000, 5, 50  # STEPS of a sampler, for its density
SAMPLERS = {"ode": ("ode", 0.0), "ddpm": ("ddpm", 0.0), "sde": ("sde", 0.0),
            "sde with a corrector": ("sde", 0.1)}  # name, and signal-to-noise ratio  # fmt: skip
CONFIG = TrainConfig(
    steps=30_000, temperature=TAU, temperature_mode="fixed", acting_particles=1, eval_particles=1,
    hidden=(128, 128), num_envs=4, chunk=16, warmup=2_000, eval_every=10_000, gamma=0.95,
    backup="mean", critic_lr=1e-3, actor_lr=3e-3, flow_steps=10, num_draws=8, num_levels=4,
    actor_batch=256, policy_delay=1, actor_hidden=(128, 128, 128, 128), anneal=0.5,
    actor_points="policy", polyak=0.005, normalise=False,
)  # fmt: skip


def boltzmann(run: Run) -> np.ndarray:
    """exp(Q/tau) at the start, summed over the cells of the grid, [CELLS, CELLS]."""
    side = (np.arange(CELLS * FINE) + 0.5) * 2.0 / (CELLS * FINE) - 1.0
    actions = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    q = run.q(np.zeros((len(actions), 2)), actions, "last")
    weight = np.exp((q - q.max()) / TAU).reshape(CELLS, FINE, CELLS, FINE).sum(axis=(1, 3))
    return weight / weight.sum()


def binned(actions: np.ndarray) -> np.ndarray:
    """The share of actions in every cell."""
    edges = np.linspace(-1.0, 1.0, CELLS + 1)
    return np.histogram2d(*actions.T, bins=(edges, edges))[0] / len(actions)


def learned(run: Run, key: jax.Array, sampler: str = "ode", corrector: float = 0.0) -> np.ndarray:
    """Actions of the policy at the start, none chosen by Q."""
    policy = jax.tree.map(lambda leaf: leaf[0], run.agents("last")[0].policy)
    steps = steps_of(LinearFlow(), times_of(STEPS), sampler, corrector)
    samples, obs = [], jnp.zeros(2)
    draw = jax.jit(jax.vmap(lambda k: policy_sample(k, policy, obs, 2, steps)))
    for part in jax.random.split(key, 20):
        drawn = draw(jax.random.split(part, SAMPLES // 20))
        samples.append(np.asarray(drawn))
    return np.concatenate(samples)


def gaussian(run: Run, key: jax.Array) -> np.ndarray:
    """Actions of the tanh-Gaussian that SAC's loss finds for the same Q at the start; the best of
    several restarts."""
    state = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), run.agents("last")[0])
    optimiser, obs = optax.adam(3e-3), jnp.zeros(2)

    def loss(policy: Gaussian, key: jax.Array) -> jax.Array:
        actions, log_prob = squashed(policy, obs, jax.random.normal(key, (256, 2)))
        q = state.scale * jax.vmap(lambda action: least(state.critics, obs, action))(actions)
        return jnp.mean(TAU * log_prob - q)

    @jax.jit
    def fitted(key: jax.Array) -> tuple[Gaussian, jax.Array]:
        first, rest, last = jax.random.split(key, 3)
        policy = Gaussian(first, 2, 2, (64, 64))

        def step(state: tuple, key: jax.Array) -> tuple:
            policy, moments = state
            updates, moments = optimiser.update(jax.grad(loss)(policy, key), moments)
            return (optax.apply_updates(policy, updates), moments), None

        start = (policy, optimiser.init(policy))
        (policy, _), _ = jax.lax.scan(step, start, jax.random.split(rest, 2_000))
        return policy, jnp.mean(jax.vmap(lambda k: loss(policy, k))(jax.random.split(last, 50)))

    fits = [fitted(k) for k in jax.random.split(key, RESTARTS)]
    policy = min(fits, key=lambda pair: float(pair[1]))[0]
    eps = jax.random.normal(jax.random.key(1), (SAMPLES, 2))
    return np.asarray(squashed(policy, obs, eps)[0])


def rollouts(run: Run) -> tuple[list[np.ndarray], np.ndarray]:
    """Paths, and the goal that each reached (-1: none)."""
    envs = [MultiGoal() for _ in range(ROLLOUTS)]
    seeds = seeds_of(0, ROLLOUTS, 5)
    obs = np.stack([env.reset(seed=s)[0] for env, s in zip(envs, seeds, strict=True)])
    goals, going, count = np.full(ROLLOUTS, -1), np.ones(ROLLOUTS, bool), 0
    while going.any():
        actions = run.policy(obs, jax.random.key(count), "last", greedy=False)
        for i in np.flatnonzero(going):
            obs[i], _, terminated, truncated, info = envs[i].step(actions[i])
            goals[i], going[i] = info["goal"], not (terminated or truncated)
        count += 1
    return [np.stack(env.path) for env in envs], goals


def sampled_by(sampler: str, corrector: float) -> Run:
    """The same policy, whose actions come from another sampler."""
    run = load(OUT)
    options = replace(run.config, sampler=sampler, corrector=corrector, flow_steps=STEPS)
    run.learner = Learner(options, run.learner.sizes)
    return run


def draw(densities: dict[str, np.ndarray], paths: list[np.ndarray], goals: np.ndarray) -> Figure:
    """Densities at the start side by side, and paths."""
    with styled():
        figure = Figure(figsize=(10.0, 2.9), layout="constrained")
        axes = figure.subplots(1, len(densities) + 1)
        top = max(float(values.max()) for values in densities.values())
        for ax, (name, values) in zip(axes, densities.items(), strict=False):
            ax.imshow(values.T, origin="lower", extent=(-1, 1, -1, 1), cmap="Blues", vmax=top)
            ax.set(title=name, xlabel="action 1")
            ax.grid(False)
        axes[0].set_ylabel("action 2")
        for path, goal in list(zip(paths, goals, strict=True))[:80]:
            axes[-1].plot(*path.T, color="#0072B2" if goal >= 0 else "#999999", alpha=0.35, lw=0.8)
        axes[-1].scatter(*GOALS.T, s=160, color="#009E73", zorder=3)
        axes[-1].set(title="paths of the flow policy", aspect="equal", xlim=(-7, 7), ylim=(-7, 7))
        return figure


def variation(p: np.ndarray, q: np.ndarray) -> float:
    """Total variation of two densities on the grid."""
    return 0.5 * float(np.abs(p - q).sum())


def shares(goals: np.ndarray) -> list[float]:
    """The share of rollouts that reached each goal."""
    return [float((goals == goal).mean()) for goal in range(4)]


def compared(run: Run, exact: np.ndarray, sampler: str, corrector: float) -> dict[str, object]:
    """What a sampler makes of the policy: goals reached, and its distance at the start."""
    jax.clear_caches()  # 50 unrolled steps each: Linux lets a process have so many mappings
    density = binned(learned(run, jax.random.key(0), sampler, corrector))
    jax.clear_caches()
    goals = shares(rollouts(sampled_by(sampler, corrector))[1])
    return {"total_variation": variation(density, exact), "reached": goals}


def main() -> None:
    with jax.enable_x64(False):
        run = train(CONFIG, MultiGoal, OUT, env_kwargs={"spread": 0.5}, resume=True, quiet=False)
        exact = boltzmann(run)
        flow, normal = (binned(f(run, jax.random.key(0))) for f in (learned, gaussian))
        paths, goals = rollouts(run)
        samplers = {name: compared(run, exact, *how) for name, how in SAMPLERS.items()}
    distance = {"flow": variation(flow, exact), "gaussian": variation(normal, exact)}
    reached = shares(goals)
    figure = draw({"exp(Q/τ)": exact, "flow policy": flow, "tanh-Gaussian": normal}, paths, goals)
    for kind in ("svg", "png"):
        target = HERE.parent / "docs" / "figures" if kind == "svg" else OUT
        figure.savefig(target / f"multigoal.{kind}", dpi=130)
    results = {"total_variation": distance, "reached": reached, "samplers": samplers}
    write_json(HERE / "results" / "multigoal.json", results)
    stamp(HERE / "results" / "multigoal.json")
    stamp(HERE.parent / "docs" / "figures" / "multigoal.svg")
    print(f"total variation to exp(Q/tau) at the start: flow {distance['flow']:.3f} (at most .15), "
          f"tanh-Gaussian {distance['gaussian']:.3f} (at least .4)")  # fmt: skip
    for name, line in samplers.items():
        print(f"{STEPS} steps of {name}: {line}")
    print(f"goals reached in {ROLLOUTS} rollouts: {', '.join(f'{r:.1%}' for r in reached)}")


if __name__ == "__main__":
    main()
