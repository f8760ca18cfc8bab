"""20,000 examples of the property tests, and the truth by another way, in cells.

    make soak        # ten minutes; a rerun skips the cells that passed with this very core

A cell is a number of dimensions and draws in one precision, or a kind of truth. All that passed
is in benchmarks/results/soak.json; a cell that fails is not, and is shown.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.provenance import stamp
from steinflow.io.files import write_json

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "soak.json"
EXAMPLES = 20_000
FILES = "tests/test_properties.py", "tests/targets/test_second_truth.py"
CELL = re.compile(r".*test_properties.*(float\d\d)-(d\d+-N\d+)|.*test_second_truth.py::(\w+)")

OTHERS = re.compile(
    r"steinflow/(rl|study|sweep|diagnosis|executors|io|explorer|report|cli.py|doctor.py)\b"
)


def pytest(*words: str) -> subprocess.CompletedProcess[str]:
    """A run of pytest with so many examples."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "soak or not soak", *words], cwd=ROOT,
        env=os.environ | {"STEINFLOW_EXAMPLES": str(EXAMPLES)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def cells() -> dict[str, list[str]]:
    """The tests of every cell."""
    collected, result = pytest("--collect-only", *FILES), dict[str, list[str]]()
    if collected.returncode != 0:
        raise SystemExit(f"The tests cannot be collected:\n{collected.stdout}{collected.stderr}")
    for line in collected.stdout.splitlines():
        if match := CELL.match(line):
            result.setdefault(" ".join(filter(None, match.groups())), []).append(line)
    return result


def core() -> str:
    """A hash of the tests and of what they are about: all but agents and studies."""
    listed = subprocess.run(
        ["git", "ls-files", "steinflow/*.py", "tests/helpers.py", "tests/conftest.py", *FILES],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    digest = hashlib.sha256(f"{EXAMPLES} {version('jax')}".encode())
    for name in listed.stdout.split():
        if not OTHERS.match(name):
            digest.update(name.encode() + (ROOT / name).read_bytes())
    return digest.hexdigest()[:12]


def examined(tests: list[str]) -> dict[str, Any] | str:
    """What a cell says; its output if it fails."""
    began = time.monotonic()
    done = pytest(*tests)
    last_line = done.stdout.splitlines()[-1] if done.stdout else ""
    if done.returncode != 0 or f"{len(tests)} passed" not in last_line:
        return done.stdout + done.stderr
    return {"passed": len(tests), "seconds": round(time.monotonic() - began)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--only", default="", help="cells whose name holds this")
    given = parser.parse_args()
    every, failed = cells(), 0
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    about = {"core": core(), "examples": EXAMPLES, "wanted": len(every)}
    passed = known["cells"] if known.get("core") == about["core"] else {}
    todo = [name for name in every if name not in passed and given.only in name]
    print(f"{len(passed)} of {len(every)} cells passed before, {len(todo)} to go", flush=True)
    with ThreadPoolExecutor(given.at_once) as pool:
        for name, outcome in zip(todo, pool.map(lambda n: examined(every[n]), todo), strict=True):
            if isinstance(outcome, str):
                failed += 1
                print(f"FAILED {name}\n{outcome}", flush=True)
                continue
            passed[name] = outcome
            write_json(RESULTS, about | {"cells": passed})
            stamp(RESULTS)
            print(f"{name}: {outcome['passed']} passed in {outcome['seconds']} s", flush=True)
    print(f"{len(passed)} of {len(every)} cells passed", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
