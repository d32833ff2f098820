"""Rows, tokens, time and disk of long work, as people say them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def print_costs(table: pd.DataFrame) -> None:
    """Print a table of costs, a row per step with seconds and bytes, and their sums."""
    total = table[["seconds", "bytes"]].sum()
    shown = table.drop(columns=["seconds", "bytes"])
    shown["time"], shown["disk"] = table.seconds.map(say_time), table.bytes.map(say_size)
    print(shown.to_string(index=False))
    print(f"together about {say_time(total.seconds)} and {say_size(total.bytes)}")


def say_time(seconds: float) -> str:
    """Return seconds as people say them.

    >>> say_time(7), say_time(400), say_time(90_000)
    ('7 s', '7 min', '25.0 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def say_size(size: float) -> str:
    """Return bytes as people say them.

    >>> say_size(1), say_size(2_500_000)
    ('0.0 MB', '2.5 MB')
    """
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
