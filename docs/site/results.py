"""Results of earlier code: a page that links to one, or shows its figure, says so below."""

import re
import sys
from functools import cache
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent.parent / "benchmarks"))

import provenance

QUOTED = re.compile(r"\]\((?:[\w./-]*/)?(?:benchmarks/results/|(?=figures/))([\w./-]+)\)")

BETWEEN = re.compile(r"((?<!\.svg\))\n\s*\n|\n\s*\n(?!\*))")  # a figure stays with its caption

Stale = dict[str, dict[str, list[str]]]  # result -> commit -> parts of the code


def noted(text: str) -> str:
    """A page with a sentence after each paragraph, table or figure that quotes stale results."""
    blocks, seen = BETWEEN.split(text), set[str]()
    for i, block in enumerate(blocks):
        names = sorted({name for name in QUOTED.findall(block) if name in stale()} - seen)
        seen |= set(names)
        if names:
            blocks[i] = f"{block.rstrip()}\n\n{sentence({name: stale()[name] for name in names})}"
    return "".join(blocks)


def sentence(stale_parts: Stale) -> str:
    """What is to be said of results, as a paragraph."""
    each = []
    for name, of in stale_parts.items():
        parts = sorted({part for parts in of.values() for part in parts})
        commits = f"commit{'s' * (len(of) > 1)} {listed(sorted(of))}"
        each.append(f"`{Path(name).name}` ({commits}; since then changed: {listed(parts)})")
    return f"Computed with an earlier version of the code: {listed(each)}.\n{{ .stale }}"


def listed(words: list[str]) -> str:
    """Words as a sentence has them."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


@cache
def stale() -> Stale:
    """All stale results."""
    known = provenance.recorded()
    parts = {name: provenance.changed(name, known, provenance.TEXTS) for name in known}
    return {name: commits for name, commits in parts.items() if commits}


def summary() -> str:
    """How many results are stale."""
    known = provenance.recorded()
    return f"{len(stale())} of {len(known)} results are of earlier code;"


def problems() -> list[str]:
    """Results of which it is not known what made them."""
    return provenance.problems(provenance.recorded(), provenance.TEXTS)
