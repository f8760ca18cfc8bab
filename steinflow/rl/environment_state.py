"""The state of an environment, where it can give it: kept in checkpoints.

An environment gives its state if it has `state_dict() -> {name: array}` and `load_state_dict`,
is one of Gymnasium's MuJoCo environments, or keeps all of it in `state` (classic control).
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steinflow.io.texts import parse_json

Arrays = dict[str, NDArray[Any]]


def layers(env: Any) -> list[Any]:
    """The wrappers of an environment from the outside in, then itself."""
    found = [env]
    while found[-1] is not found[-1].unwrapped and hasattr(found[-1], "env"):
        found.append(found[-1].env)
    return found


def is_mujoco(inner: Any) -> bool:
    """Whether an environment is one of Gymnasium's MuJoCo ones."""
    return type(inner).__module__.startswith("gymnasium.envs.mujoco") and hasattr(inner, "model")


def state_of(env: Any) -> Arrays | None:
    """Everything that the next steps depend on, or None."""
    inner = env.unwrapped
    if hasattr(inner, "state_dict"):
        own = dict(inner.state_dict())
    elif is_mujoco(inner):
        import mujoco

        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        own = {"mujoco": np.zeros(mujoco.mj_stateSize(inner.model, kind))}
        mujoco.mj_getState(inner.model, inner.data, own["mujoco"], kind)
    elif isinstance(getattr(inner, "state", None), np.ndarray | tuple | list):
        own = {"state": np.array(inner.state)}
    else:
        return None
    elapsed = [getattr(layer, "_elapsed_steps", None) for layer in layers(env)]
    rest = {"elapsed": elapsed, "random": inner.np_random.bit_generator.state}
    return own | {"rest": np.frombuffer(json.dumps(rest).encode(), np.uint8)}


def set_state(env: Any, state: Arrays) -> None:
    """Put a state back into an environment that has been reset."""
    inner, own = env.unwrapped, dict(state)
    rest = parse_json(own.pop("rest").tobytes().decode())
    if hasattr(inner, "state_dict"):
        inner.load_state_dict(own)
    elif "mujoco" in own:
        import mujoco

        values = np.ascontiguousarray(own["mujoco"])
        mujoco.mj_setState(inner.model, inner.data, values, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(inner.model, inner.data)
        # forward recomputes what follows from the state, and its warm start, which is part of it
        mujoco.mj_setState(inner.model, inner.data, values, mujoco.mjtState.mjSTATE_INTEGRATION)
    else:
        inner.state = own["state"]
    inner.np_random.bit_generator.state = rest["random"]
    for layer, elapsed in zip(layers(env), rest["elapsed"], strict=True):
        if elapsed is not None:
            layer._elapsed_steps = elapsed
