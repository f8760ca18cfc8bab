"""`python -m steinflow.executors.child PARENT ...`: steinflow, for as long as PARENT lives."""

import sys

from steinflow.cli import main
from steinflow.executors.cores import watch

if __name__ == "__main__":
    watch(int(sys.argv[1]))
    raise SystemExit(main(sys.argv[2:]))
