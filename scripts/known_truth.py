"""Measure on known worlds what each objective does, for docs/known-truth.md; `python scripts/known_truth.py --help`."""

import sys

from known_truth.command import main

if __name__ == "__main__":
    sys.exit(main())
