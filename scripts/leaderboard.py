"""Run the studies of the leaderboard and write docs/leaderboard.md; `python scripts/leaderboard.py --help` says how."""

import sys

from leaderboard.command import main

if __name__ == "__main__":  # the workers of a study import this file
    sys.exit(main())
