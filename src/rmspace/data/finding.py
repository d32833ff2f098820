"""What a check reports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd


class Finding(NamedTuple):
    """One row of the table: the check, its severity, the numbers of found and of checked cases, and their meaning."""

    check: str
    severity: str
    n_found: int
    n_checked: int
    detail: str


def table_of(found: Iterable[Finding]) -> pd.DataFrame:
    """Return findings as a table."""
    return pd.DataFrame(list(found), columns=list(Finding._fields))
