"""`rmspace health`: check the values of a bank or of preferences."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmspace.data.bank import ResponseBank
    from rmspace.data.preferences import Preferences

HELP = "check the values of a bank or of preferences"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("data", metavar="FOLDER", help="a saved bank, saved preferences, or a folder with meta.json")


def run(options: argparse.Namespace) -> int:
    """Print the findings; the status is 1 where one of them is an error."""
    data = _open(Path(options.data))
    print(data)
    found = data.health()
    print("no findings" if found.empty else found.to_string(index=False))
    return int((found.severity == "error").any())


def _open(folder: Path) -> ResponseBank | Preferences:
    from rmspace.data.bank import ResponseBank
    from rmspace.data.preferences import Preferences
    from rmspace.readers.generators import read_generators

    if (folder / "meta.json").is_file():
        return read_generators(str(folder))
    return (Preferences if (folder / "preferences.json").is_file() else ResponseBank).open(folder)
