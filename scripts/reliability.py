"""Attack what must not be lost, and fill docs/reliability.md; `python scripts/reliability.py --help` says how."""

import sys

from faults.command import main

if __name__ == "__main__":  # the workers of a study import this file
    sys.exit(main())
