"""What works with the core alone and with an extra alone, and the sentence where one is missing.

In a process that refuses every installed package which these do not bring. `make ranges` does the
same in environments of their own.
"""

import ast
import io
import subprocess
import sys
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
AGENT = ("train", "eval nowhere", "play nowhere", "record nowhere", "plot nowhere",
         "export nowhere", "diagnose nowhere", "train --help")  # fmt: skip
OTHERS = ("study", "sweep nowhere", "list", "doctor", "--help", "")
BEYOND = {"cli", "diagnosis", "executors", "explorer", "io", "report", "rl", "study", "sweep"}
packages = cache(packages_distributions)  # which reads the files of every one
needs_rl = pytest.mark.skipif(find_spec("minari") is None, reason="needs the extra rl")


def requirements(extras):
    """What pyproject.toml asks for: the core, and these extras."""
    lines = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][e] for e in extras)]
    return [Requirement(line) for line in chain(*lines)]


def brought(*extras):
    """Names, as they are imported, of all that the core and these extras install."""
    wanted, seen = requirements(extras), set()
    while wanted:
        one = wanted.pop()
        name = canonicalize_name(one.name)
        if name == "steinflow":
            wanted += requirements(one.extras)
        elif (name, *sorted(one.extras)) not in seen:
            seen.add((name, *sorted(one.extras)))
            try:
                lines = distribution(name).requires or []
            except PackageNotFoundError:  # of another system or Python, or not here
                continue
            wanted += [
                needed for needed in map(Requirement, lines)
                if not needed.marker
                or any(needed.marker.evaluate({"extra": e}) for e in ("", *one.extras))
            ]  # fmt: skip
    names = {name for name, *_ in seen}
    result = packages().items()
    return {package for package, of in result if names & set(map(canonicalize_name, of))}


class Finder:
    """Another finder of modules, which does not find these packages."""

    def __init__(self, finder, refused):
        self.finder, self.refused = finder, refused

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.refused:
            return None
        return self.finder.find_spec(name, path, target)


def refuse_all_but(*extras):
    """From here on, this process has the core and these extras."""
    refused = set(packages()) - brought(*extras) - {"steinflow", "tests"}
    assert "pytest" in refused
    for name in [name for name in sys.modules if name.partition(".")[0] in refused]:
        del sys.modules[name]
    sys.meta_path[:] = [Finder(finder, refused) for finder in sys.meta_path]


def said(words):
    """The status of a command, and what it prints as an error."""
    module, name = PROJECT["scripts"]["steinflow"].split(":")
    error = io.StringIO()
    with redirect_stderr(error), redirect_stdout(io.StringIO()):
        status = getattr(import_module(module), name)(words.split())
    return status, error.getvalue()


def assert_named(extra, package, *commands):
    """Each command is one sentence with this extra."""
    sentence = f"{package} is not installed. In a clone of steinflow run: pip install '.[{extra}]'"
    for words in commands:
        assert said(words) == (2, f"steinflow: {sentence}\n"), words


def assert_raised(extra, ask):
    """The same from Python."""
    try:
        ask()
    except ModuleNotFoundError as error:
        assert str(error).endswith(
            f" is not installed. In a clone of steinflow run: pip install '.[{extra}]'"
        )
    else:
        raise AssertionError("nothing was missing")


def files():
    """Those of the package that is imported, relative to it."""
    package = Path(import_module("steinflow").__file__).parent
    return sorted(path.relative_to(package) for path in package.rglob("*.py"))


def modules_that_lack_something():
    """Modules of the package that cannot be imported here; each lacks what an extra brings."""
    from steinflow.extras import EXTRAS

    result = set()
    for path in files():
        name = ".".join(("steinflow", *path.with_suffix("").parts)).removesuffix(".__init__")
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            assert error.name.partition(".")[0] in EXTRAS, (name, error)
            result.add(name)
    return result


def with_the_core():
    """Score targets, by every front door."""
    refuse_all_but()
    import jax
    import jax.numpy as jnp

    import steinflow as sf

    def q(a):
        return -jnp.sum((a - 0.3) ** 2)

    key, level, box = jax.random.key(0), sf.Level(0.8, 0.6), sf.Box(-1.0, 1.0)
    target, x = sf.Boltzmann(q, 0.5, box), jnp.array([0.1, 0.2])
    estimate = sf.score_target(key, target, x, level, num_draws=32)
    assert jnp.all(jnp.isfinite(estimate.score)) and estimate.info.ess > 1
    state = sf.begin(key, x[None], level, 0.5, box, num_draws=32)
    while not state.done:
        state, actions = sf.ask(state)
        values, gradients = jax.vmap(jax.value_and_grad(q))(actions.reshape(-1, 2))
        shape = actions.shape
        state = sf.tell(state, values.reshape(shape[:-1]), gradients.reshape(shape))
    assert jnp.all(jnp.isfinite(sf.estimate(state).score))
    drawn = sf.sample(key, target, sf.LinearFlow(), dim=2, num_samples=4, num_steps=2)
    assert jnp.all(jnp.isfinite(drawn))
    assert said("--version") == said("-V") == (0, "")
    assert_named("study", "tyro", *OTHERS)
    assert_named("rl", "tyro", *AGENT)
    assert_raised("study", lambda: sf.study)
    assert_raised("study", lambda: sf.diagnose)
    assert_raised("study", import_module("steinflow.explorer").render)
    assert_raised("study", lambda: import_module("steinflow.study.report"))
    assert_raised("rl", lambda: sf.load)
    assert_raised("rl", lambda: sf.rl.train)
    lacking = {name.split(".")[1] for name in modules_that_lack_something()}
    assert {"cli", "rl", "study"} <= lacking <= BEYOND, lacking


def with_study():
    """A study and the command line, without the agent."""
    refuse_all_but("study")
    import steinflow as sf

    assert callable(sf.study.run) and callable(sf.diagnose)
    assert_raised("rl", lambda: sf.load)
    assert_named("rl", "gymnasium", *AGENT[:-1], "doctor Pendulum-v1")
    assert said("list") == said("doctor") == (0, "")
    lacking = modules_that_lack_something()
    assert {name.split(".")[1] for name in lacking} == {"diagnosis", "rl"}
    assert {name for name in lacking if "diagnosis" in name} == {"steinflow.diagnosis.runs"}


def with_rl():
    """All but a cluster."""
    refuse_all_but("rl")
    assert modules_that_lack_something() == set()
    assert_named("ray", "ray", "study --preset quick --executor ray --quiet")


@pytest.mark.slow
@pytest.mark.parametrize(
    "what", ["with_the_core", *(pytest.param(n, marks=needs_rl) for n in ("with_study", "with_rl"))]
)
def test_alone(what, tmp_path):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests import test_extras as here;"
    command = [sys.executable, "-c", f"{code} here.{what}()"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def packages_in(path):
    """Packages of others that a file imports, at any time."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    names = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    names |= {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
    packages = {name.partition(".")[0] for name in names}
    return packages - {"steinflow"} - set(sys.stdlib_module_names)


@needs_rl
def test_every_package_that_is_imported_has_its_extra():
    from steinflow.extras import EXTRAS

    core, package = brought(), Path(import_module("steinflow").__file__).parent
    extras = {extra: brought(extra) - core for extra in set(EXTRAS.values())}
    for path in files():
        others, part = packages_in(package / path) - core, path.parts[0]
        assert others <= set(EXTRAS), path
        assert not others or part.removesuffix(".py") in BEYOND, path
        assert part == "rl" or "rl" not in {EXTRAS[name] for name in others}, path
    here = set(packages())
    assert len(here & set(EXTRAS)) > 10
    for name in here & set(EXTRAS):
        assert name in extras[EXTRAS[name]], name
