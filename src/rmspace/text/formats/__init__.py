"""The formats of preference data: each file of this folder has one, and says by which columns it is recognised."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

from rmspace.text.formats._format import Format

__all__ = ["Format", "formats", "recognise"]


@cache
def formats() -> Mapping[str, Format]:
    """Return the formats by name: the `FORMAT` of each file in this folder.

    >>> "hh" in formats()
    True
    """
    names = [found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_")]
    found = [importlib.import_module(f"{__name__}.{name}").FORMAT for name in names]
    return {each.name: each for each in sorted(found, key=lambda each: each.name)}


def recognise(row: Mapping[str, Any]) -> Format | None:
    """Return the format of a row: of those that fit, the one that asks for the most; None where none fits.

    >>> recognise({"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}).name
    'trl_preference'
    """
    fitting = [each for each in formats().values() if each.recognises(row)]
    return max(fitting, key=lambda each: (len(each.columns), each.fits is not None), default=None)
