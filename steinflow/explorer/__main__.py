"""python -m steinflow.explorer [FILE]: write the explorer's page."""

import sys
from pathlib import Path

from steinflow.explorer import write
from steinflow.extras import MissingExtraError


def main(arguments: list[str]) -> int:
    """Write the page to the file named, explorer.html if none is."""
    if len(arguments) > 1 or any(word.startswith("-") for word in arguments):
        print("Usage: python -m steinflow.explorer [FILE]", file=sys.stderr)
        return 2
    path = Path(arguments[0] if arguments else "explorer.html")
    try:
        write(path)
    except MissingExtraError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"Could not write {path}: {error.strerror or error}.", file=sys.stderr)
        return 1
    print(f"Open {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
