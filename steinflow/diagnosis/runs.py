"""A training run as a critic to be diagnosed."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from steinflow.diagnosis.diagnose import Diagnosis, diagnose
from steinflow.methods import ESTIMATORS
from steinflow.rl import checkpoint
from steinflow.rl.actor import ACTIONS, MARGIN
from steinflow.rl.agent import initial
from steinflow.rl.checkpoint import RunError
from steinflow.rl.loop import part
from steinflow.rl.networks import least
from steinflow.rl.normaliser import Normaliser
from steinflow.rl.policies import AbstractFlow
from steinflow.rl.run import Run, folder_of

MANY = 128  # draws a level; more cost minutes


def diagnose_run(
    run: Run, which: str, states: int, trials: int, seed: int, quiet: bool
) -> Diagnosis:
    """Diagnose the critics of a run's first seed at states of its replay.

    The noised actions are the policy's own, the levels are the middles of the strata that it
    is trained at, tau is the run's, and methods are as `train` uses them.

    Raises:
        RunError: the run has no checkpoint with a replay, or a Gaussian policy.
    """
    learner, actor = run.learner, run.learner.actor
    if not isinstance(actor, AbstractFlow):
        raise RunError("A gaussian policy has no score targets. Diagnose a flow or a diffusion.")
    number = run.seeds[0]
    arrays = run.arrays(number, which)
    with jax.enable_x64(False):
        like = jax.eval_shape(lambda: initial(learner, jnp.zeros((), jnp.int32)))
        state = jax.tree.map(jnp.asarray, checkpoint.filled("agent", like, arrays))
        observations = replayed(run, number, states, seed)
        if learner.config.normalise:
            normaliser = Normaliser(1, learner.sizes.obs)
            normaliser.restore(0, part("normaliser.", arrays))
            observations = normaliser(observations[None])[0]
        obs = jnp.asarray(observations)
        key = jax.random.fold_in(jax.random.key(seed), 1)
        dim = learner.sizes.action
        actions = actor.sample(key, state.policy, obs, dim, 1).actions[:, 0]
        count = learner.config.num_levels
        times = MARGIN + (1.0 - 2.0 * MARGIN) * (np.arange(count) + 0.5) / count
        levels = jax.vmap(actor.schedule)(jnp.asarray(times, jnp.float32))
        critics, scale = state.critics, state.scale
        tau = scale * actor.temperature.tau(state.temperature, scale)

        def q(action: Array, obs: Array) -> Array:
            return scale * least(critics, obs, action)

        return diagnose(
            q, obs, float(tau), ACTIONS, actions=actions,
            methods=ESTIMATORS,
            current=(learner.config.estimator, max(learner.config.num_draws, 2)),
            num_draws=sizes_beside(learner.config.num_draws), clip=True,
            levels=levels, trials=trials, seed=seed, quiet=quiet,
        )  # fmt: skip


def sizes_beside(size: int) -> tuple[int, ...]:
    """Numbers of draws to measure beside the run's own: half, twice and many, at least 2 each."""
    many = max(2 * size, min(8 * size, MANY))
    return tuple(sorted({max(2, n) for n in (size // 2, size, 2 * size, many)}))


def replayed(run: Run, number: int, count: int, seed: int) -> np.ndarray:
    """Observations of the replay of the last checkpoint, [count, o]."""
    messages: list[str] = []
    _, checkpoints = checkpoint.newest([folder_of(run.path, number)], messages)
    rings, added = (checkpoints[0][0].get(f"replay.{name}") for name in ("obs", "added"))
    if rings is None or added is None or not added.any():
        raise RunError(f"{run.path} has no replay to take states from. Train it again, or longer.")
    rows = np.concatenate([ring[:filled] for ring, filled in zip(rings, added, strict=True)])
    picked = np.random.default_rng(seed).choice(
        len(rows), size=min(count, len(rows)), replace=False
    )
    return np.asarray(rows[picked], np.float32)
