"""From an id, a name or a function to an environment: a new one at each call."""

import difflib
import importlib
import inspect
import sys
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym

from steinflow.checks import lookup
from steinflow.rl.signals import message_of
from steinflow.rl.spaces import is_vector, parts_of

Factory = Callable[[], "gym.Env[Any, Any]"]
LIMIT = "max_episode_steps"  # the argument of gymnasium.make that sets a time limit
KINDS = "a registered id, module:Id, module:function, or a function that makes the environment"


class ActionRepeat(gym.Wrapper[Any, Any, Any, Any]):
    """Each action is taken for `count` frames, fewer where the episode ends (Mnih et al., 2015).

    The reward is the sum of theirs; all else is the last frame's.
    """

    def __init__(self, env: "gym.Env[Any, Any]", count: int) -> None:
        super().__init__(env)
        self.count = count

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        """`count` frames."""
        total: Any = 0.0
        for _ in range(self.count):
            obs, reward, terminated, truncated, info = self.env.step(action)
            total = total + reward
            if terminated or truncated:
                break
        return obs, total, terminated, truncated, info


DRAWING = (
    "To be drawn, its __init__ takes render_mode, and its render() returns a picture [height, "
    "width, 3] of bytes where that is 'rgb_array'."
)


class NotDrawnError(ValueError):
    """An environment that does not draw itself."""


class Maker:
    """Makes an environment, a new one at each call.

    A Dict or Tuple of vectors as observations is joined to one. The time limit is that of
    `max_episode_steps`, for functions and classes as for ids. Actions are repeated for `repeat`
    frames.

    Raises, when it is called:
        ValueError: the environment cannot be made, is none of Gymnasium's, or is one that was
            made before.
    """

    def __init__(self, name: str, make: Factory, arguments: Mapping[str, Any], limit: Any) -> None:
        self.name, self.make, self.arguments, self.limit = name, make, arguments, limit
        self.made: dict[int, weakref.ref[Any]] = {}
        self.repeat = 1

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to a process: it has made none yet."""
        return vars(self) | {"made": {}}

    def __call__(self) -> "gym.Env[Any, Any]":
        try:
            env = self.make()
        except (Exception, SystemExit) as error:  # Gymnasium's, or the environment's own
            if "render_mode" in self.arguments and "argument 'render_mode'" in str(error):
                raise NotDrawnError(f"{self.name} takes no render_mode. {DRAWING}") from error
            names = [name for name in self.arguments if name != "render_mode"]
            given = f". --env-kwargs gave it {', '.join(names)}" if names else ""
            reason = (
                str(error) if type(error).__module__.startswith("gymnasium") else message_of(error)
            )
            raise ValueError(
                f"Could not make {self.name!r}: {reason.rstrip('.')}{given}."
            ) from error
        require_env(self.name, env)
        self.require_new(env.unwrapped)
        if self.limit is not None:
            env = gym.wrappers.TimeLimit(env, self.limit)
        env = joined(env)
        return env if self.repeat == 1 else ActionRepeat(env, self.repeat)

    def require_new(self, inner: Any) -> None:
        """Raise if it has been given before."""
        before = self.made.get(id(inner))
        if before is not None and before() is inner:
            raise ValueError(
                f"{self.name} gave the same environment twice, but must make a new one at each "
                "call, such as lambda: gymnasium.make('Pendulum-v1')."
            )
        self.made = {key: ref for key, ref in self.made.items() if ref() is not None}
        self.made[id(inner)] = weakref.ref(inner)


def require_env(name: str, env: Any) -> None:
    """Raise unless it is one of Gymnasium's, and a single one."""
    if isinstance(env, gym.Env):
        return
    if isinstance(env, gym.vector.VectorEnv):
        raise ValueError(
            f"{name} gives {type(env).__name__}, several environments at once. Give a function "
            "that makes a single one, and --num-envs."
        )
    raise ValueError(
        f"{name} gives {type(env).__name__}, which is no gymnasium.Env. Derive it from "
        "gymnasium.Env; shimmy.GymV26CompatibilityV0 wraps those of the old gym."
    )


def joined(env: "gym.Env[Any, Any]") -> "gym.Env[Any, Any]":
    """The environment, its observations one vector where they are a Dict or Tuple of them."""
    space: Any = getattr(env, "observation_space", None)
    several = isinstance(space, gym.spaces.Dict | gym.spaces.Tuple)
    if several and all(map(is_vector, parts_of(space))):
        return gym.wrappers.FlattenObservation(env)
    return env


def factory_of(
    env: "str | Factory", kwargs: Mapping[str, Any] | None = None, repeat: int = 1
) -> Factory:
    """A function that makes the environment of an id, `module:Id`, `module:function` or factory.

    Args:
        env: what names it, or makes it.
        kwargs: its arguments; `max_episode_steps` is its time limit, in frames.
        repeat: frames that an action is repeated for.

    Raises:
        ValueError: here, it is no name and no function, its module cannot be imported, or an
            argument is unknown; from the factory, it cannot be made. All in a sentence with the
            remedy.
    """
    maker = maker_of(env, dict(kwargs or {}))
    maker.repeat = repeat
    return maker


def maker_of(env: "str | Factory", options: dict[str, Any]) -> Maker:
    """The factory of one frame an action."""
    if isinstance(env, str):
        return named_factory(env, options)
    if isinstance(env, gym.Env | gym.vector.VectorEnv) or not callable(env):
        raise ValueError(
            f"env is {type(env).__name__}, but must be {KINDS}, such as "
            "lambda: gymnasium.make('Pendulum-v1')."
        )
    return factory_from(getattr(env, "__name__", type(env).__name__), env, options)


def named_factory(env: str, options: dict[str, Any]) -> Maker:
    """The factory of an id, or of what a module has by that name."""
    registered = {unversioned(known) for known in gym.registry}
    if ":" in env:
        module, name = env.split(":", 1)
        content = imported(module, env)
        factory = getattr(content, name, None)
        if callable(factory):
            return factory_from(env, factory, options)
        if unversioned(name) not in registered:
            near = difflib.get_close_matches(name, vars(content), n=1)
            hint = f"Did you mean {module}:{near[0]}? " if near else ""
            raise ValueError(
                f"{module!r} has no function, class or registered id {name!r}. {hint}Give ENV as "
                "module:Class, module:function or module:Id."
            )
    elif "." in env and unversioned(env) not in registered:
        module, _, name = env.rpartition(".")
        raise ValueError(
            f"No environment is registered as {env!r}. A class or function of a module is written "
            f"{module}:{name}."
        )
    if env.startswith("dm_control/"):
        imported("shimmy", env)  # tells Gymnasium what there is
    return Maker(env, lambda: gym.make(env, **options), options, None)


def unversioned(name: str) -> str:
    """An id without its namespace and version, which may be left out."""
    return name.split("/")[-1].split("-v")[0]


def imported(module: str, env: str) -> Any:
    """A module; those of the current folder are found as well.

    Raises:
        ValueError: it cannot be imported.
        ModuleNotFoundError: it is one of an extra of ours that is not installed.
    """
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever it runs when it is imported
        if isinstance(error, ModuleNotFoundError) and error.name == module == "shimmy":
            raise
        raise unimportable(module, env, error) from error


def unimportable(module: str, env: str, error: BaseException) -> ValueError:
    """What to do about a module that cannot be imported."""
    reason = str(error) if isinstance(error, ImportError) else message_of(error)
    if module.endswith(".py"):
        name = f"{module.removesuffix('.py').replace('/', '.')}:{env.partition(':')[2]}"
        return ValueError(f"{module!r} is a file, not the name of a module. Write {name}.")
    return ValueError(
        f"Could not import {module!r} for {env!r}: {reason}. Install it, or mend its name or code."
    )


def factory_from(name: str, make: Callable[..., Any], options: dict[str, Any]) -> Maker:
    """The factory of a function or class with arguments.

    Raises:
        ValueError: an argument is unknown, or one is missing.
    """
    try:
        known = inspect.signature(make).parameters
    except (TypeError, ValueError):  # some that are written in C
        return Maker(name, lambda: make(**options), options, None)
    limit, several = None, any(p.kind is p.VAR_KEYWORD for p in known.values())
    if LIMIT in options and LIMIT not in known and not several:
        options = dict(options)
        limit = options.pop(LIMIT)
        if type(limit) is not int or limit < 1:
            raise ValueError(f"{LIMIT} must be a positive integer, got {limit!r}.")
    for word in options:
        if not several and word != "render_mode":
            lookup(f"argument of {name} in --env-kwargs", word, dict(known))
    lacking = [
        word for word, p in known.items()
        if p.default is p.empty and word not in options and p.kind in (
            p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY, p.POSITIONAL_ONLY)
    ]  # fmt: skip
    if lacking:
        raise ValueError(f"{name} needs {lacking[0]!r}. Give --env-kwargs {lacking[0]}=VALUE.")
    return Maker(name, lambda: make(**options), options, limit)


def time_limit_of(env: Any) -> int | None:
    """Actions after which an episode is truncated; None where none can be seen."""
    frames = 1
    while isinstance(env, gym.Wrapper):
        if isinstance(env, ActionRepeat):
            frames = env.count
        if isinstance(env, gym.wrappers.TimeLimit):
            return -(-int(env._max_episode_steps) // frames)
        env = env.env
    spec = getattr(env, "spec", None)
    limit = getattr(spec, LIMIT, None)
    return -(-limit // frames) if isinstance(limit, int) else None
