"""The `rmspace` command."""

from rmspace.cli.main import main

__all__ = ["main"]
