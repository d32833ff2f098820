"""Compare rules that choose pairs and write docs/active.md; `python scripts/active.py --help` says how."""

import sys

from selection.command import main

if __name__ == "__main__":
    sys.exit(main())
