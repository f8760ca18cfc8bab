"""`steinflow doctor ENV`: what training would meet in an environment."""

import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from steinflow.doctor import Finding
from steinflow.rl.adapter import Adapted, closed
from steinflow.rl.checkpoint import RunError
from steinflow.rl.environments import InTurn
from steinflow.rl.factories import factory_of, time_limit_of
from steinflow.rl.play import frame_of, without_display
from steinflow.rl.signals import guarded
from steinflow.rl.spaces import actions_of, sizes_of

STEPS, SECONDS = 200, 5.0  # at most, of the trial
SLOW = 200.0  # steps a second below which processes are worth it
PATIENCE = 60.0  # seconds that the environment may take for a step


def examine_environment(name: str, kwargs: dict[str, Any]) -> list[Finding]:
    """Make an environment, take steps in it, and say what training would meet.

    Args:
        name: a registered id, `module:Id` or `module:function`.
        kwargs: its arguments.

    Raises:
        ValueError: it cannot be made.
    """
    make = factory_of(name, kwargs)
    env = make()
    try:
        findings = spaces(env)
        limit = time_limit_of(env)
    finally:
        closed(env)
    result = f"{limit:,} steps" if limit else "none that can be seen"
    remedy = "" if limit else "Set one: --env-kwargs max_episode_steps=1000"
    findings.append(Finding("time limit", result, remedy))
    if not any(finding.remedy and finding.essential for finding in findings):
        findings += trial(make)
        findings.append(drawing(name, kwargs))
    return findings


def spaces(env: "gym.Env[Any, Any]") -> list[Finding]:
    """Widths, bounds and dtypes, or why the agent does not support them."""
    findings = []
    for what in ("observation_space", "action_space"):
        space = getattr(env, what, None)
        findings.append(Finding(what.replace("_space", "s"), f"{space}", ""))
    try:
        obs, action = sizes_of(env)
    except ValueError as error:
        return [*findings, Finding("spaces", "not supported", str(error), essential=True)]
    box = actions_of(env.action_space)
    how = ", rounded to whole numbers" if box.is_integer else ""
    text = f"[{obs}] float32 to actions [{action}] {box.dtype.name} within bounds{how}"
    return [*findings, Finding("agent", text, "")]


def trial(make: Any) -> list[Finding]:
    """A few steps of uniform actions: speed, ends of episodes, whether the state is given."""
    try:
        envs = InTurn(make, 1, AutoresetMode.SAME_STEP)
    except ValueError as error:
        return [Finding("second one", "cannot be made", str(error), essential=True)]
    rng, dim = np.random.default_rng(0), envs.about.actions.low.size
    ends = count = 0
    try:
        with guarded("The environment's reset", PATIENCE):
            envs.reset([0])
        began = time.monotonic()
        while count < STEPS and time.monotonic() - began < SECONDS:
            with guarded("The environment's step", PATIENCE):
                step = envs.step(rng.uniform(-1.0, 1.0, (1, dim)).astype(np.float32))
            count, ends = count + 1, ends + int((step.terminated | step.truncated)[0])
        speed = count / max(time.monotonic() - began, 1e-9)
        gives = bool(envs.snapshots()[0])
    except RunError as error:
        return [Finding("steps", f"failed after {count}", str(error), essential=True)]
    finally:
        envs.close()
    slow = "Step several at once: --num-envs 8 --env-workers 8" if speed < SLOW else ""
    state = "" if gives else "A resumed run begins new episodes; give state_dict, load_state_dict."
    return [
        Finding("episodes", f"{ends} ended in {count} steps", ""),
        Finding("speed", f"{speed:,.0f} steps a second", slow),
        Finding("state", "given to checkpoints" if gives else "not given", state),
    ]


def drawing(name: str, kwargs: dict[str, Any]) -> Finding:
    """Whether it draws itself, for videos."""
    without_display()
    try:
        env = Adapted(factory_of(name, kwargs | {"render_mode": "rgb_array"})())
    except (ValueError, ModuleNotFoundError) as error:
        return Finding("pictures", "none", f"{error} Only steinflow play needs them.")
    try:
        with guarded("The environment's reset", PATIENCE):
            env.reset(seed=0)
        height, width, _ = frame_of(env, PATIENCE).shape
    except RunError as error:
        return Finding("pictures", "none", f"{error} Only steinflow play needs them.")
    finally:
        env.close()
    return Finding("pictures", f"{width} x {height}", "")
