"""The leaderboard's summary among the results, with the commit that made it."""

import json
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    words = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(words, capture_output=True, text=True, check=True, cwd=HERE).stdout
    found = json.loads((HERE.parent / "runs" / "leaderboard" / "leaderboard.json").read_text())
    kept = {"commit": commit.strip()} | found
    (HERE / "results" / "leaderboard.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
