"""Three hundred mutants of everything that computes a number, each against its file's own tests.

    make mutants-all        # hours on 2 cores; a rerun judges what is not judged yet, and again
                            # what survived tests that were changed since

A seeded sample, stratified by file: one operator, number, comparison or truth value is changed
(cosmic-ray's operators). Annotations are left alone, and so are replacements of an arithmetic
operator by one that floating-point numbers do not have. benchmarks/results/mutants.json lists every
mutant; a survivor has a reason there, written by hand.
"""

import argparse
import ast
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from difflib import unified_diff
from typing import Any, NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from scipy.stats import binomtest

from benchmarks.provenance import stamp
from steinflow.io.files import write_json
from tools.mutants import ROOT, killed

RESULTS = ROOT / "benchmarks" / "results" / "mutants.json"
EXACT = "tests/estimators/test_exactness.py"
BY_HAND = "tests/estimators/test_by_hand.py"
SCORES = f"{BY_HAND} {EXACT} tests/estimators/test_consistency.py tests/test_score.py"
FITTED = "tests/proposals/test_by_hand.py tests/proposals/test_fitted.py"
ASK_TELL = "tests/test_ask_tell.py tests/test_score.py"
LOSSES = (
    "tests/rl/test_losses_by_hand.py tests/rl/test_critic.py tests/rl/test_networks.py "
    "tests/rl/test_agent.py"
)
TESTS = {  # a file, or all files of a folder that are not named: their own tests, quick ones first
    "estimators/published.py": "tests/estimators/test_published.py",
    "estimators/shrunk.py": f"tests/estimators/test_shrunk.py {EXACT}",
    "estimators": SCORES,
    "truncated_normal.py": "tests/test_truncated_normal.py tests/proposals/test_by_hand.py",
    "proposals/fitted.py": FITTED,
    "proposals": f"{FITTED} tests/proposals/test_proposals.py",
    "draws": f"{BY_HAND} tests/draws/test_base.py tests/proposals/test_proposals.py {ASK_TELL}",
    "stages.py": f"tests/proposals/test_by_hand.py {ASK_TELL}",
    "ask_tell.py": ASK_TELL,
    "spaces.py": "tests/test_spaces.py",
    "conversions.py": "tests/test_schedules.py tests/test_losses.py",
    "study/measure.py": "tests/study/test_measure.py",
    "rl/critic.py": LOSSES,
    "rl/heads.py": f"tests/rl/test_heads.py {LOSSES}",
    "rl/reward_normaliser.py": "tests/rl/test_reward_normaliser.py",
    "rl/actor.py": LOSSES,
}  # fmt: skip
LEFT_OUT = ("__init__.py",)
ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow")
KINDS = ("NumberReplacer", "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue",
         "ReplaceAndWithOr", "ReplaceOrWithAnd")  # fmt: skip
PATIENCE = 900.0


class Mutant(NamedTuple):
    """A change of a file, by the operator's name and which of its places."""

    file: str
    operator: str
    place: int
    text: str


def operators() -> list[str]:
    """Names of the operators that are used."""
    names = []
    for name in operator_names():
        kind, _, pair = name.removeprefix("core/").partition("_")
        ends = pair.split("_")
        arithmetic = kind == "ReplaceBinaryOperator" and all(end in ARITHMETIC for end in ends)
        signs = kind == "ReplaceUnaryOperator" and "Invert" not in ends and "Not" not in ends
        if arithmetic or signs or kind == "ReplaceComparisonOperator" or kind in KINDS:
            names.append(name)
    return sorted(names)


def files() -> dict[str, str]:
    """The files that are mutated, and their tests."""
    result = {}
    for name, tests in TESTS.items():
        path = ROOT / "steinflow" / name
        each = sorted(path.glob("*.py")) if path.is_dir() else [path]
        for one in each:
            if one.name not in LEFT_OUT:
                file = one.relative_to(ROOT / "steinflow").as_posix()
                result.setdefault(file, TESTS.get(file, tests))
    return result


def meaning(text: str) -> str:
    """What a file does, as far as its syntax tells: without annotations and docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = None if isinstance(node, ast.arg) else ast.Constant(0)
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.dump(tree)


def mutants(file: str, seed: int) -> Iterator[Mutant]:
    """All of a file in a random order."""
    text = (ROOT / "steinflow" / file).read_text()
    nodes, before = list(ast_nodes(get_ast(text))), meaning(text)
    places = []
    for name in operators():
        operator = get_operator(name)()
        count = sum(len(list(operator.mutation_positions(node))) for node in nodes)
        places += [(name, place) for place in range(count)]
    random.Random(f"{seed} {file}").shuffle(places)
    for name, place in places:
        changed = mutate_code(text, get_operator(name)(), place)
        try:
            same = changed is None or meaning(changed) == before
        except SyntaxError:
            continue
        if not same:
            yield Mutant(file, name.removeprefix("core/"), place, changed)


def sample(count: int, seed: int) -> list[Mutant]:
    """So many, each file's share by its number of mutants, at least four."""
    every = {file: list(mutants(file, seed)) for file in files()}
    total = sum(map(len, every.values()))
    shares = {file: max(4, round(count * len(group) / total)) for file, group in every.items()}
    largest = max(shares, key=lambda file: shares[file])
    shares[largest] += count - sum(min(shares[file], len(every[file])) for file in every)
    return [mutant for file, group in every.items() for mutant in group[: shares[file]]]


def identity(mutant: Mutant) -> str:
    """Of the file and the change."""
    return hashlib.sha256(f"{mutant.file}\n{mutant.text}".encode()).hexdigest()[:12]


def tests_of(file: str) -> str:
    """A hash of the file's tests."""
    paths = [ROOT / word for word in files()[file].split() if word.startswith("tests/")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


def difference(mutant: Mutant) -> list[str]:
    """The lines that are changed."""
    old = (ROOT / "steinflow" / mutant.file).read_text().splitlines()
    lines = unified_diff(old, mutant.text.splitlines(), lineterm="", n=0)
    return [line for line in lines if not line.startswith(("---", "+++"))]


def judged(mutant: Mutant) -> dict[str, Any]:
    """What becomes of a mutant."""
    began = time.monotonic()
    dead = killed(mutant.file, mutant.text, files()[mutant.file], PATIENCE)
    return {"file": mutant.file, "operator": mutant.operator, "killed": dead,
            "change": difference(mutant), "tests": tests_of(mutant.file),
            "seconds": round(time.monotonic() - began)}  # fmt: skip


def settled(entry: dict[str, Any]) -> bool:
    """Killed, or survived the tests as they are now."""
    return bool(entry["killed"]) or entry["tests"] == tests_of(entry["file"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--sure", action="store_true", help="all tests pass as the files are")
    parser.add_argument("--only", default="", help="files whose name holds this")
    given = parser.parse_args()
    chosen = {identity(mutant): mutant for mutant in sample(given.count, given.seed)}
    known = json.loads(RESULTS.read_text())["mutants"] if RESULTS.exists() else {}
    results = {name: known[name] for name in chosen if name in known}
    done = {name for name, entry in results.items() if settled(entry)}
    todo = [n for n, mutant in chosen.items() if n not in done and given.only in mutant.file]
    first = {} if given.sure else {files()[chosen[n].file]: chosen[n].file for n in todo}
    for tests, file in first.items():
        if killed(file, (ROOT / "steinflow" / file).read_text(), tests, PATIENCE):
            raise SystemExit(f"{tests} fail as they are, or take long. Mend that first.")
    random.Random(given.seed).shuffle(todo)  # so that a part is a sample too
    print(f"{len(done)} of {len(chosen)} are judged, {len(todo)} to go", flush=True)
    with ThreadPoolExecutor(given.at_once) as pool:
        for name, entry in zip(todo, pool.map(lambda n: judged(chosen[n]), todo), strict=True):
            reason = known.get(name, {}).get("reason")
            results[name] = entry | ({"reason": reason} if reason and not entry["killed"] else {})
            write_json(RESULTS, summary(results, len(chosen)))
            stamp(RESULTS)
            outcome = "killed  " if entry["killed"] else "SURVIVED"
            print(outcome, entry["file"], entry["seconds"], "s", *entry["change"][-2:], flush=True)
    dead, low, high = (summary(results, len(chosen))[k] for k in ("killed", "low", "high"))
    print(f"{dead} of {len(results)} killed, {100 * dead / len(results):.1f} % [{low}, {high}]")
    return int(dead < 0.9 * len(results))


def summary(results: dict[str, Any], wanted: int) -> dict[str, Any]:
    """The file that is committed."""
    dead = sum(entry["killed"] for entry in results.values())
    ends = binomtest(dead, len(results)).proportion_ci(method="wilson")
    low, high = (round(100 * end, 1) for end in ends)
    every = Counter(entry["file"] for entry in results.values())
    gone = Counter(entry["file"] for entry in results.values() if entry["killed"])
    by_file = {file: f"{gone[file]} of {count}" for file, count in sorted(every.items())}
    return {"wanted": wanted, "judged": len(results), "killed": dead, "low": low, "high": high,
            "by_file": by_file, "mutants": results}  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
