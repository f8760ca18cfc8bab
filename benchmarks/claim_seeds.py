"""The verdicts of the paper's full grid over seeds 0-9: none may turn from supported to refuted.

make seeds            # about two minutes on 2 cores; seeds that are done are skipped
"""

import json
from collections import Counter
from pathlib import Path

from provenance import stamp

from steinflow.io.files import write_json
from steinflow.study.conditions import StudyConfig
from steinflow.study.run import run_study

RESULTS = Path(__file__).parent / "results" / "claim-seeds.json"


def main() -> int:
    """Run the seeds that are missing, print a table, and return 1 if a verdict flipped."""
    done: dict[str, dict[str, str]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for seed in range(10):
        if str(seed) not in done:
            study = run_study(StudyConfig(seed=seed), None)
            done[str(seed)] = {claim["id"]: claim["verdict"] for claim in study.claims}
            write_json(RESULTS, done)
            stamp(RESULTS)
    flipped = []
    for name in done["0"]:
        counts = Counter(verdicts[name] for verdicts in done.values())
        print(f"{name:26}" + ", ".join(f"{v} {n}" for v, n in counts.most_common()))
        flipped += [name] if {"supported", "refuted"} <= set(counts) else []
    print(f"flipped: {', '.join(flipped) or 'none'}")
    return int(bool(flipped))


if __name__ == "__main__":
    raise SystemExit(main())
