"""The state of an environment, where it can give all of it: kept in checkpoints.

An environment gives its state if it has `state_dict() -> {name: array}` and `load_state_dict`, or
is one of Gymnasium's MuJoCo or classic-control environments. A wrapper is known to have none, is a
TimeLimit, or has these two methods itself; behind any other, nothing is given: a part of a state
is none.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steinflow.io.texts import parse_json

Arrays = dict[str, NDArray[Any]]
STATELESS = {
    "Adapted", "ClipAction", "ClipReward", "DtypeObservation", "FilterObservation",
    "FlattenObservation", "OrderEnforcing", "PassiveEnvChecker", "RescaleAction",
    "RescaleObservation", "ReshapeObservation", "TimeLimit",
}  # fmt: skip # wrappers, beside what `elapsed` and a reset say of them


def layers(env: Any) -> list[Any]:
    """The wrappers of an environment from the outside in, then itself."""
    envs = [env]
    while envs[-1] is not envs[-1].unwrapped and hasattr(envs[-1], "env"):
        envs.append(envs[-1].env)
    return envs


def is_mujoco(inner: Any) -> bool:
    """Whether an environment is one of Gymnasium's MuJoCo ones."""
    return type(inner).__module__.startswith("gymnasium.envs.mujoco") and hasattr(inner, "model")


def is_classic(inner: Any) -> bool:
    """Whether an environment is one of Gymnasium's that keep everything in `state`."""
    ours = type(inner).__module__.startswith("gymnasium.envs.classic_control")
    return ours and isinstance(getattr(inner, "state", None), np.ndarray | tuple | list)


def is_stateless(layer: Any) -> bool:
    """Whether a wrapper is one of ours or Gymnasium's without a state of its own."""
    known = type(layer).__module__.split(".")[0] in ("gymnasium", "steinflow")
    return known and type(layer).__name__ in STATELESS


def state_of(env: Any) -> Arrays | None:
    """Everything that the next steps depend on, or None where a part of it is not known."""
    inner, outer = env.unwrapped, layers(env)[:-1]
    if hasattr(inner, "state_dict"):
        state = dict(inner.state_dict())
    elif is_mujoco(inner):
        import mujoco

        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        state = {"mujoco": np.zeros(mujoco.mj_stateSize(inner.model, kind))}
        mujoco.mj_getState(inner.model, inner.data, state["mujoco"], kind)
    elif is_classic(inner):
        state = {"state": np.array(inner.state)}
    else:
        return None
    for number, layer in enumerate(outer):
        if hasattr(layer, "state_dict"):
            state |= {f"wrapper.{number}.{name}": v for name, v in layer.state_dict().items()}
        elif not is_stateless(layer):
            return None
    elapsed = [getattr(layer, "_elapsed_steps", None) for layer in layers(env)]
    rest = {"elapsed": elapsed, "random": inner.np_random.bit_generator.state}
    return state | {"rest": np.frombuffer(json.dumps(rest).encode(), np.uint8)}


def set_state(env: Any, state: Arrays) -> None:
    """Put a state back into an environment that has been reset.

    Raises:
        ValueError: it does not come back as it was.
    """
    inner, outer, remaining = env.unwrapped, layers(env)[:-1], dict(state)
    rest = parse_json(remaining.pop("rest").tobytes().decode())
    for number, layer in enumerate(outer):
        if hasattr(layer, "state_dict"):
            prefix = f"wrapper.{number}."
            layer_state = {
                name: remaining.pop(name) for name in list(remaining) if name.startswith(prefix)
            }
            layer.load_state_dict(
                {name.removeprefix(prefix): layer_state[name] for name in layer_state}
            )
    if hasattr(inner, "state_dict"):
        inner.load_state_dict(remaining)
    elif "mujoco" in remaining:
        import mujoco

        values = np.ascontiguousarray(remaining["mujoco"])
        mujoco.mj_setState(inner.model, inner.data, values, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(inner.model, inner.data)
        # forward recomputes what follows from the state, and its warm start, which is part of it
        mujoco.mj_setState(inner.model, inner.data, values, mujoco.mjtState.mjSTATE_INTEGRATION)
    else:
        inner.state = remaining["state"]
    inner.np_random.bit_generator.state = rest["random"]
    for layer, elapsed in zip(layers(env), rest["elapsed"], strict=True):
        if elapsed is not None:
            layer._elapsed_steps = elapsed
    back = given(env)
    if back.keys() != state.keys() or any(
        not np.array_equal(back[name], state[name], equal_nan=True) for name in state
    ):
        raise ValueError("the environment's state does not come back as it was")


def given(env: Any) -> Arrays:
    """The state of an environment; nothing where its own code cannot give it as arrays."""
    try:
        state = {name: np.array(part) for name, part in (state_of(env) or {}).items()}
    except Exception:  # noqa: BLE001 - code of the environment
        return {}
    return {} if any(part.dtype.kind in "OUS" for part in state.values()) else state
