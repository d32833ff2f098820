"""Measure rmspace, alone or against another checkout; `python scripts/benchmark.py --help` says how."""

import sys

from benchmarks.command import main

if __name__ == "__main__":  # the processes of the stages import this file again
    sys.exit(main())
