"""What users call is what it was: names, parameters and defaults, beside api.txt.

python -m tests.house.test_api        # after a change that is meant, and said in CHANGELOG.md
"""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SNAPSHOT = Path(__file__).parent / "api.txt"
MODULES = ("steinflow", "steinflow.targets", "steinflow.study", "steinflow.rl")


def parameters(thing):
    """Names, kinds and defaults; annotations are for mypy."""
    try:
        result = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    empty = inspect.Parameter.empty
    plain = [p.replace(annotation=empty) for p in result.parameters.values()]
    return str(result.replace(parameters=plain, return_annotation=empty))


def described(name, thing):
    """A name with its parameters, and those of a class's own public methods."""
    if inspect.ismodule(thing):
        return [f"{name}: module"]
    if not callable(thing):
        return [f"{name}: {type(thing).__name__}"]
    lines = [name + parameters(thing)]
    if inspect.isclass(thing):
        methods = [
            n for n, v in vars(thing).items() if not n.startswith("_") and inspect.isfunction(v)
        ]
        lines += [f"{name}.{n}{parameters(vars(thing)[n])}" for n in sorted(methods)]
    return lines


def described_all():
    lines = []
    for module in map(importlib.import_module, MODULES):
        for name in sorted(module.__all__):
            lines += described(f"{module.__name__}.{name}", getattr(module, name))
    for name in sorted(importlib.import_module("steinflow").ESTIMATORS):
        lines.append(f"ESTIMATORS[{name!r}]")
    return "".join(f"{line}\n" for line in lines)


def test_the_api_is_what_it_was():
    """In a process without the shape checks of the tests."""
    code = "from tests.house.test_api import described_all; print(described_all())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    remedy = "python -m tests.house.test_api, if meant"
    assert done.stdout.strip() == SNAPSHOT.read_text().strip(), remedy


if __name__ == "__main__":
    SNAPSHOT.write_text(described_all())
