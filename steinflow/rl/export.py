"""A trained policy for others: weights, options, a model card, and a program."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export
from jaxtyping import Array, Float, Int

from steinflow.io.files import digests, tell_damage, unlike_sums, write_atomically, write_json
from steinflow.rl import checkpoint
from steinflow.rl.agent import choose
from steinflow.rl.evaluate import with_error
from steinflow.rl.files import versions
from steinflow.rl.normaliser import LARGEST
from steinflow.rl.run import Run

PLATFORMS = ("cpu", "cuda")  # that the program is for, wherever it is exported
CARD = """\
# {name}

A {policy} policy for `{env}`, trained by steinflow {version} for {steps:,} steps with the score
target `{estimator}`.

- observations: [{obs}], float32, as the environment gives them
- actions: [{action}], the best of {particles} proposals by Q, in the environment's units{kind}
- evaluation: {evaluation}

Files: `policy.safetensors` (networks of the agent, no pickle; Q in units of return is `scale` times
the critics' own), `config.json` (every option),
`policy.stablehlo` (a program for {platforms}, (obs [b, {obs}], seed []) -> actions [b, {action}]),
`SHA256SUMS` (`sha256sum -c SHA256SUMS` says whether they are as they were written).

    import steinflow as sf
    run = sf.load("{path}")                     # the run that this was exported from
    action = run.policy(obs, key)

    from jax import export                      # the program alone needs nothing but JAX
    program = export.deserialize(open("policy.stablehlo", "rb").read())
    action = program.call(obs, seed)
"""


def export(run: Run, out: Path, which: str = "best") -> list[Path]:
    """Write the first seed's policy.

    Args:
        run: what was trained.
        out: a folder.
        which: checkpoint, best or last.

    Returns:
        The files.

    Raises:
        RunError: no checkpoint is whole.
    """
    states, normaliser = run.agents(which)
    state = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), states)
    learner, is_integer = run.learner, run.actions.is_integer
    low, high = (jnp.asarray(side, jnp.float32).reshape(-1) for side in run.actions[:2])
    arrays = checkpoint.named("policy", state.policy) | checkpoint.named("critics", state.critics)
    arrays["scale"] = np.asarray(state.scale)
    if normaliser is not None:
        arrays |= {f"normaliser.{name}": part for name, part in normaliser.of_seed(0).items()}

    def normalised(obs: Array) -> Array:
        if normaliser is None:
            return obs
        std = jnp.sqrt(normaliser.square[0] / jnp.maximum(normaliser.count[0], 1.0)) + 1e-4
        scaled = (obs - normaliser.mean[0]) / std
        return jnp.clip(scaled, -LARGEST, LARGEST).astype(jnp.float32)

    def policy(obs: Float[Array, "b o"], seed: Int[Array, ""]) -> Float[Array, "b d"]:
        unit = choose(learner, state, jax.random.key(seed), normalised(obs), True)
        scaled = low + 0.5 * (unit + 1.0) * (high - low)
        return jnp.clip(jnp.round(scaled) if is_integer else scaled, low, high)

    with jax.enable_x64(False):
        (rows,) = jax_export.symbolic_shape("b")
        struct: Any = jax.ShapeDtypeStruct
        shape, seed = struct((rows, learner.sizes.obs), jnp.float32), struct((), jnp.int32)
        program = jax_export.export(jax.jit(policy), platforms=PLATFORMS)(shape, seed).serialize()
    for name in unlike_sums(out):
        tell_damage(f"{out / name} is not what its SHA256SUMS says. It is made again.")
    (out / "SHA256SUMS").unlink(missing_ok=True)  # until all it names is there
    written = [out / name for name in ("policy.safetensors", "config.json", "policy.stablehlo")]
    checkpoint.write(written[0], arrays, {"which": which, "seed": run.seeds[0]})
    write_json(written[1], described(run))
    write_atomically(written[2], lambda file: file.write(bytes(program)))
    write_atomically(out / "README.md", lambda file: file.write(card(run, which).encode()))
    written.append(out / "README.md")
    sums = digests(out, [path.name for path in written])
    text = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    write_atomically(out / "SHA256SUMS", lambda file: file.write(text.encode()))
    return [*written, out / "SHA256SUMS"]


def described(run: Run) -> dict[str, Any]:
    """Every option, the spaces, and what wrote them."""
    from dataclasses import asdict

    options = {"env": run.env, "env_kwargs": run.env_kwargs, **asdict(run.config)}
    return {"format_version": 1, "config": options, "spaces": run.spaces, "versions": versions()}


def card(run: Run, which: str) -> str:
    """The model card."""
    try:
        results = json.loads((run.path / "eval.json").read_text("utf-8"))
        mean = with_error(results[which]["mean"], results[which]["standard_error"])
        evaluation = f"mean return {mean} ({results['episodes']} episodes, seed {results['seed']})"
    except (OSError, ValueError, KeyError, TypeError):
        evaluation = "not evaluated yet (steinflow eval)"
    config = run.config
    return CARD.format(
        name=run.path.name, policy=config.policy, env=run.env, version=versions()["steinflow"],
        steps=config.whole_steps, estimator=config.estimator, obs=run.learner.sizes.obs,
        action=run.learner.sizes.action, particles=config.proposals(greedy=True),
        evaluation=evaluation, path=run.path, platforms=" and ".join(PLATFORMS),
        kind=f", whole numbers for {run.actions.dtype.name}" if run.actions.is_integer else "",
    )  # fmt: skip
