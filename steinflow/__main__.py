"""The command `steinflow`, also `python -m steinflow`. Its options and pages come with an extra."""

import sys
from collections.abc import Sequence

from steinflow import __version__
from steinflow.extras import MissingExtraError, extras_named

AGENT = ("train", "eval", "play", "record", "plot", "export", "diagnose")  # commands that need rl


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status. A missing extra is one sentence."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        print(f"steinflow {__version__}")
        return 0
    try:
        with extras_named("rl" if words[:1] and words[0] in AGENT else "study"):
            from steinflow import cli

            return cli.main(words)
    except MissingExtraError as error:
        print(f"steinflow: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
