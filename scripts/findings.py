"""Run the studies of the paper's claims and fill docs/findings.md; `python scripts/findings.py --help` says how."""

import sys

from findings.command import main

if __name__ == "__main__":  # the workers of a study import this file
    sys.exit(main())
