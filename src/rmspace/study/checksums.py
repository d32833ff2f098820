"""Checksums of the rows of a study's file: a row that was changed outside the study is noticed when it is read."""

from __future__ import annotations

import hashlib
import json

_JSON = json.JSONEncoder(separators=(",", ":"), default=repr)  # made once: a study of 10,000 cells takes 30,000 sums


def checksum(*values: object) -> str:
    """Return 32 hexadecimal digits of the SHA-256 of values that SQLite can hold, and of lists of them.

    A number in another type, such as 1 for 1.0, has another checksum: take the values as the file gives them. A value
    of any other type counts by its repr, so that a damaged file is no error here.

    >>> checksum("BT", 0.5, None) == checksum("BT", 0.5, None), checksum(1) == checksum(1.0)
    (True, False)
    """
    return hashlib.sha256(_JSON.encode(values).encode()).hexdigest()[:32]
