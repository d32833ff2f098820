"""Run the experiment of a config: `python scripts/run.py CONFIG [key.path=value ...] --out DIR [--overwrite]`."""

import sys

from rmspace.cli import main

sys.exit(main(["run", *sys.argv[1:]]))
