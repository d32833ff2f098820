"""Progress bars, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

Step = TypeVar("Step")


def progress(steps: Iterable[Step], what: str, *, show: bool | None = None) -> tqdm[Step]:
    """Yield the steps, with a bar that is removed at the end.

    Args:
        steps: what is done one after the other.
        what: what the steps are, in the plural.
        show: None shows the bar on a terminal only.
    """
    return tqdm(steps, desc=what, leave=False, disable=hidden(show))


def hidden(show: bool | None = None) -> Any:
    """Return tqdm's `disable`: True also where there is no standard error, which tqdm would write to."""
    return True if sys.stderr is None else None if show is None else not show
