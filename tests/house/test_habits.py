"""The house: public names, light imports, short functions, no circles, no hosts."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import steinflow as sf

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "steinflow"
FILES = sorted(PACKAGE.rglob("*.py"))


def test_the_public_names():
    assert sorted(sf.__all__) == sorted(
        [
            "ESTIMATORS",
            "Blend",
            "Boltzmann",
            "Box",
            "Constant",
            "ControlVariate",
            "Curvature",
            "Estimate",
            "FittedProposal",
            "GaussianProposal",
            "GradientExpectation",
            "InSample",
            "Info",
            "Level",
            "LinearFlow",
            "Method",
            "NoiseExpectation",
            "RealSpace",
            "ShrunkControlVariate",
            "State",
            "TruncatedGaussianProposal",
            "VarianceExploding",
            "VariancePreserving",
            "ask",
            "auto",
            "begin",
            "diagnose",
            "diagnostics",
            "estimate",
            "latent",
            "load",
            "noise",
            "posterior_mean",
            "rl",
            "sample",
            "score_matching_loss",
            "score_target",
            "score_targets",
            "study",
            "targets",
            "tell",
            "velocity",
        ]
    )
    for name in sf.__all__:
        thing = getattr(sf, name)
        assert thing.__doc__, name


@pytest.mark.parametrize("package", ["steinflow", "steinflow.rl", "steinflow.study"])
def test_no_module_takes_the_place_of_an_exported_name(package):
    """Importing `rl/train.py` would make `sf.rl.train` a module, and not callable."""
    exporting = import_module(package)
    for path in Path(exporting.__file__).parent.glob("[a-z]*.py"):
        import_module(f"{package}.{path.stem}")
    modules = {n for n in exporting.__all__ if isinstance(getattr(exporting, n), ModuleType)}
    assert modules <= {"diagnostics", "rl", "study", "targets"}


def test_importing_is_light_and_changes_nothing():
    code = (
        "import jax; before = dict(jax.config.values); import steinflow, sys;"
        "assert dict(jax.config.values) == before;"
        "heavy = {'matplotlib', 'polars', 'gymnasium', 'tyro', 'jinja2', 'ray', 'scipy', 'rich'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_function_of_the_package_is_over_60_lines():
    functions = ast.FunctionDef, ast.AsyncFunctionDef
    nodes = [(p, n) for p in FILES for n in ast.walk(ast.parse(p.read_text()))]
    lengths = {
        f"{p.name}:{n.name}": n.end_lineno - n.lineno + 1
        for p, n in nodes
        if isinstance(n, functions)
    }
    assert [name for name, length in lengths.items() if length > 60] == []


def imports_of(path, when_loaded=True):
    """Modules of the package that a file imports when it is loaded, or at any time."""
    modules, tree = set(), ast.parse(path.read_text())
    for node in tree.body if when_loaded else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("steinflow"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            modules |= {n if n in MODULES else node.module for n in names}
        elif isinstance(node, ast.Import):
            modules |= {a.name for a in node.names if a.name.startswith("steinflow")}
    return modules & set(MODULES)


def module_name(path):
    """steinflow/a/b.py -> steinflow.a.b."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def assert_no_circle(graph):
    """A graph is what each name needs."""
    while graph:
        free = {name for name, needs in graph.items() if not needs & set(graph)}
        assert free, f"a circle among {sorted(graph)}"
        graph = {name: needs for name, needs in graph.items() if name not in free}


def test_no_import_circle():
    assert_no_circle({name: imports_of(path) - {name} for name, path in MODULES.items()})


def test_no_circle_of_packages():
    """Also by imports inside functions; a module at the top is a package of its own."""
    graph = {}
    for name, path in MODULES.items():
        package = name.split(".")[1:2]  # nothing of the root
        needs = {one.split(".")[1] for one in imports_of(path, when_loaded=False) if "." in one}
        graph.setdefault("".join(package), set()).update(needs - set(package))
    assert_no_circle(graph)


def test_the_core_imports_no_network_and_never_sees_time():
    for path in (PACKAGE / "estimators").glob("*.py"):
        text = path.read_text()
        assert "key" not in re.findall(r"def \w+\(([^)]*)\)", text)
        assert not re.search(r"jax\.random|schedules|eqx\.nn", text), path


@pytest.mark.parametrize(
    ("place", "holds"),
    [
        ("estimators/noise.py", "(alpha a_i - x)/sigma^2"),
        ("estimators/gradient.py", "grad log pi(a_i)/alpha"),
        ("estimators/control_variate.py", "C h_i/alpha"),
        ("targets/bimodal.py", "-(b_1^2 - 1)^2"),
        ("study/measure.py", "variance"),
    ],
)
def test_the_one_minute_map(place, holds):
    """Each place of the map in docs/index.md is named there, and is where it says."""
    assert holds in (PACKAGE / place).read_text()
    index = (ROOT / "docs" / "index.md").read_text()
    assert place.split("/")[0] + "/" in index
    if place.startswith("study"):
        assert "study/measure.py" in index


def test_variance_is_measured_in_one_file_only():
    def measures(path):
        return re.search(r"(jnp|np)\.(var|cov)\(", path.read_text())

    assert [p.name for p in (PACKAGE / "study").glob("*.py") if measures(p)] == ["measure.py"]


def test_no_tracked_file_names_a_host_or_this_machine():
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    for name in done.stdout.split():
        path = ROOT / name  # which may be deleted, and not yet committed
        if path.exists() and path.suffix in {
            ".lock",
            ".toml",
            ".py",
            ".md",
            ".cff",
            ".yml",
            ".yaml",
            "",
        }:
            text = path.read_text(errors="ignore")
            hosts = r"index-ur[l]\s*=|/simpl[e]/|python[h]osted|find-link[s]"  # not of this file
            assert not re.search(hosts, text), name


def test_nothing_executes_what_a_file_says():
    """No pickle is read, and no text is run."""
    forbidden = {"eval", "exec", "compile", "__import__"}
    loaders = {"pickle": {"dumps", "PicklingError"}}
    for name in ("yaml", "marshal", "shelve", "joblib", "cloudpickle", "dill", "tarfile"):
        loaders[name] = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in forbidden, f"{path}:{node.lineno}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                allowed = loaders.get(node.value.id)
                assert allowed is None or node.attr in allowed, f"{path}:{node.lineno}"
            if isinstance(node, ast.ImportFrom):
                assert node.module not in loaders, f"{path}:{node.lineno}"
