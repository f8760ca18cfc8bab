"""Both ends of the dependency range, and each extra alone: the wheel in environments of its own.

    make ranges        # or: python -m tools.ranges --only lowest

A wheel is built from the sdist. Every environment gets that wheel, what its row names and what
pytest needs; `pip check` must be clean, and tests run from the unpacked sdist, where there is no
package but the installed one, with every warning from steinflow's own code as an error. Needs the
Pythons of the table on the path, and downloads several GB. Environments that passed with this very
package (git's tree of it) are skipped.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.provenance import stamp
from steinflow.io.files import write_json

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "ranges"
RESULTS = ROOT / "benchmarks" / "results" / "ranges.json"
REPORTED = ("jax", "numpy", "gymnasium", "ray", "polars")
TOOLS = ("pytest", "pytest-markdown-docs", "beartype", "hypothesis", "mpmath")
CORE = (
    "tests/estimators/test_exactness.py", "tests/test_truncated_normal.py",
    "tests/targets/test_exact.py", "tests/test_schedules.py",
    "tests/test_linear_algebra.py", "tests/test_sobol.py", "tests/test_extras.py",
)  # fmt: skip
STUDY = ("tests/study/test_measure.py",)
QUICK = "study --preset quick --trials 16 --query-points 8 --quiet"


class Environment(NamedTuple):
    """What is installed, and what is run beside CORE; with commands, a quick study too."""

    name: str
    python: str
    extras: str
    lowest: bool = False
    tests: tuple[str, ...] = ()
    commands: bool = True


RL = (
    "tests/house/test_api.py tests/rl/test_critic.py tests/rl/test_curves.py "
    "tests/rl/test_environment_state.py tests/rl/test_files.py tests/rl/test_loop.py "
    "tests/rl/test_metrics.py tests/rl/test_multigoal.py tests/rl/test_networks.py "
    "tests/rl/test_normaliser.py tests/rl/test_temperature.py tests/rl/test_replay.py "
    "tests/rl/test_environments.py",
)
ENVIRONMENTS = (
    # labmaze has no wheel for it: no dmc
    Environment("3.13", "python3.13", "rl,ray,docs,dev", tests=RL + STUDY),
    Environment("lowest", "python3.11", "rl,dmc,ray,docs,dev", True, RL + STUDY),
    Environment("core", "python3.11", "", commands=False),
    Environment("study", "python3.11", "study", tests=STUDY),
    Environment("rl", "python3.11", "rl", tests=RL),
    Environment("dmc", "python3.11", "dmc", tests=("tests/rl/test_environments.py -k joined",)),
    Environment("ray", "python3.11", "ray", tests=("tests/executors/test_ray.py -k agrees",)),
    Environment("docs", "python3.11", "docs"),
    Environment("dev", "python3.11", "dev", tests=("tests/test_frameworks.py",), commands=False),
)


def run(*command: str | Path, where: Path = ROOT, **more: str) -> str:
    """What a command prints; a failure ends all with its last lines."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command)], cwd=where, env=env | more, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        output = "\n".join((done.stdout + done.stderr).splitlines()[-60:])
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{output}")
    return done.stdout


def built() -> tuple[Path, Path]:
    """The wheel, built from the sdist, and the unpacked sdist without the package."""
    shutil.rmtree(BUILD / "dist", ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", BUILD / "dist")
    [wheel], [sdist] = (BUILD / "dist").glob("*.whl"), (BUILD / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
        file.extractall(BUILD / "dist", filter="data")
    tracked = set(run("git", "ls-files").split())
    left_out = {name for name in tracked - names if not name.startswith((".", "benchmarks/"))}
    assert not left_out, f"not in the sdist: {sorted(left_out)}"
    packed = set(zipfile.ZipFile(wheel).namelist())
    package = {name for name in tracked if name.startswith("steinflow/")}
    assert package <= packed, f"not in the wheel: {sorted(package - packed)}"
    strange = {n for n in packed - package if ".dist-info/" not in n}
    assert not strange, f"in the wheel by mistake: {sorted(strange)}"
    print(f"sdist: {len(names)} files, wheel: {len(packed)}; whole", flush=True)
    folder = sdist.with_name(sdist.name.removesuffix(".tar.gz"))
    shutil.rmtree(folder / "steinflow")
    return wheel, folder


def import_ratio(python: Path, where: Path) -> float:
    """Processor time of `import steinflow` over that of `import jax`, each the least of five."""
    fastest = {"jax": float("inf"), "steinflow": float("inf")}
    for _ in range(5):
        for name in fastest:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            run(python, "-c", f"import {name}", where=where)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            fastest[name] = min(fastest[name], spent)
    ratio = fastest["steinflow"] / fastest["jax"]
    assert ratio < 1.5, f"import steinflow takes {ratio:.2f} of import jax"
    return round(ratio, 2)


def examined(one: Environment, wheel: Path, folder: Path) -> dict[str, object]:
    """Install, check and test."""
    began, home = time.monotonic(), BUILD / one.name
    uv, python = BUILD / "uv" / "bin" / "uv", home / "bin" / "python"
    run(one.python, "-m", "venv", "--clear", home)
    wanted = f"steinflow[{one.extras}] @ {wheel.as_uri()}" if one.extras else str(wheel)
    order = ["--resolution", "lowest-direct"] if one.lowest else []
    tools = () if "dev" in one.extras else TOOLS
    run(uv, "pip", "install", "-q", "--python", python, *order, wanted, *tools)
    run(python, "-m", "pip", "--disable-pip-version-check", "check")
    compiled = {"JAX_COMPILATION_CACHE_DIR": str(ROOT / "build" / "compiled")}
    where = run(python, "-c", "import steinflow; print(steinflow.__file__)", where=folder)
    assert where.startswith(str(home)), where
    steinflow = [python, "-W", "error:::steinflow", "-m", "steinflow"]
    ratio = import_ratio(python, folder)
    if one.commands:
        run(*steinflow, "doctor", where=folder)
        shutil.rmtree(home / "study", ignore_errors=True)
        run(*steinflow, *QUICK.split(), "--out", home / "study", where=folder, **compiled)
    lines = []
    for tests in (" ".join(CORE), *one.tests):
        command = [python, "-m", "pytest", "-q", "-o", "filterwarnings=error:::steinflow"]
        lines.append(run(*command, *tests.split(), where=folder, **compiled).splitlines()[-1])
    versions = run(uv, "pip", "list", "--python", python, "--format", "json")
    installed = {p["name"]: p["version"] for p in json.loads(versions) if p["name"] in REPORTED}
    shutil.rmtree(home)
    return (
        {"python": one.python}
        | installed
        | {"tests": lines, "import": ratio, "minutes": round((time.monotonic() - began) / 60, 1)}
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="this environment")
    given = parser.parse_args()
    if not (BUILD / "uv" / "bin" / "uv").exists():
        run(sys.executable, "-m", "venv", BUILD / "uv")
        run(BUILD / "uv" / "bin" / "pip", "install", "-q", "uv")
    wheel, folder = built()
    package = run("git", "rev-parse", "--short", "HEAD:steinflow").strip()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for one in ENVIRONMENTS:
        known = results.get(one.name, {}).get("package") == package
        if given.only == one.name or (not given.only and not known):
            results[one.name] = {"package": package} | examined(one, wheel, folder)
            print(one.name, results[one.name], flush=True)
            write_json(RESULTS, results)
            stamp(RESULTS)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
