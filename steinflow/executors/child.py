"""`python -m steinflow.executors.child PARENT ...`: steinflow, for as long as PARENT lives."""

import runpy
import sys

from steinflow.executors.cores import watch

if __name__ == "__main__":
    watch(int(sys.argv.pop(1)))
    runpy.run_module("steinflow", run_name="__main__", alter_sys=True)
