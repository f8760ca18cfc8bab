"""Four seeds side by side against four runs one after another: `python benchmarks/seeds_speed.py`.

Whole processes, start and compilation included: Pendulum-v1, 5,000 steps, 64-wide, without
evaluations on the way. The two ways take turns; a timing is a ratio within one turn.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from provenance import stamp

from steinflow.io.files import write_json

RESULTS = Path(__file__).parent / "results" / "seeds_speed.json"
WORDS = ("train", "Pendulum-v1", "--hidden", "64", "64", "--quiet")
SEEDS = 4


def seconds(folder: Path, steps: int, seed: int, seeds: int) -> float:
    """Wall time of one process."""
    more = ["--steps", steps, "--eval-every", steps, "--eval-episodes", 1]
    more += ["--seed", seed, "--seeds", seeds, "--out", folder / f"{seed}-{seeds}"]
    begun = time.monotonic()
    words = [sys.executable, "-m", "steinflow", *WORDS, *(str(word) for word in more)]
    subprocess.run(words, check=True)
    return time.monotonic() - begun


def main() -> None:
    """Take turns, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--turns", type=int, default=2)
    options = parser.parse_args()
    turns = []
    for _ in range(options.turns):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            together = seconds(folder, options.steps, 0, SEEDS)
            separate = [seconds(folder, options.steps, seed, 1) for seed in range(SEEDS)]
        turns.append({"together": together, "alone": separate, "ratio": together / sum(separate)})
        print(f"{SEEDS} seeds at once {together:.1f} s, one after another {sum(separate):.1f} s: "
              f"{turns[-1]['ratio']:.2f} (bar .8)", flush=True)  # fmt: skip
    write_json(RESULTS, {"steps": options.steps, "turns": turns})
    stamp(RESULTS)
    print(f"median {np.median([turn['ratio'] for turn in turns]):.2f}")


if __name__ == "__main__":
    main()
