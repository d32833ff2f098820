"""The `rmspace` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rmspace.cli.main import main as _main
from rmspace.cli.streams import LOST, safe_streams

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with streams that never raise; the status is 74 where its output could not be written."""
    with safe_streams() as output:
        try:
            status = _main(arguments)
        except KeyboardInterrupt:  # while the arguments were read
            print("rmspace: interrupted", file=sys.stderr)
            status = 130
        output.flush()
        if output.error is not None:
            what = "the output could not be written in full; files are complete"
            print(f"rmspace: {what} ({output.error.strerror})", file=sys.stderr)
    return LOST if output.error is not None and status == 0 else status
