"""Run the studies of the paper's claims and fill docs/findings.md; `python scripts/findings.py --help` says how."""

import sys

from findings.command import main

sys.exit(main())
