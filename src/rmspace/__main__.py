"""`python -m rmspace` is the `rmspace` command."""

import sys

from rmspace.cli import main

if __name__ == "__main__":
    sys.exit(main())
