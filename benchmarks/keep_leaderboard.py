"""The leaderboard's summary and figure among the results, with the commit that made them."""

import json
import shutil
from pathlib import Path

from provenance import COMMIT, stamp

HERE = Path(__file__).parent
FOLDER = HERE.parent / "runs" / "leaderboard"
FIGURE = HERE.parent / "docs" / "figures" / "leaderboard.svg"
RESULTS = HERE / "results" / "leaderboard.json"


def main() -> None:
    results = json.loads((FOLDER / "leaderboard.json").read_text())
    RESULTS.write_text(json.dumps({"commit": COMMIT} | results, indent=1) + "\n")
    stamp(RESULTS)
    shutil.copy(FOLDER / "figures" / "levels.svg", FIGURE)
    stamp(FIGURE, RESULTS)


if __name__ == "__main__":
    main()
