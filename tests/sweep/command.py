"""A command as a sweep calls it, that needs no time: it writes its options into --out."""

import os
import sys
from itertools import pairwise
from pathlib import Path


def main(words):
    given = dict(pairwise(words))
    mended = Path(os.environ["TOY_MENDED"]).exists()
    if given["--estimator"] == "qne" and not mended:
        sys.exit("steinflow: qne is broken. Mend it.")
    if given["--estimator"] == "rfm" and not mended:
        raise ArithmeticError("no score today")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    print(f"cores {cores}, flags {os.environ['XLA_FLAGS']}")
    out = Path(words[words.index("--out") + 1])
    (out / "words.txt").write_text(" ".join(words[: words.index("--out")]))
    with Path(os.environ["TOY_CALLS"]).open("a") as file:
        file.write(f"{given['--estimator']} {given['--seed']}\n")


if __name__ == "__main__":
    main(sys.argv[2:])
