"""The error for an item that cannot be embedded."""

from __future__ import annotations


class BadItem(ValueError):
    """An item that cannot be embedded, by its place in the data.

    >>> str(BadItem(3, "it has no tokens"))
    'item 3: it has no tokens'
    """

    def __init__(self, place: int, rule: str) -> None:
        super().__init__(f"item {place}: {rule}")
        self.place, self.rule = place, rule

    def __reduce__(self) -> tuple[type[BadItem], tuple[int, str]]:
        return BadItem, (self.place, self.rule)
