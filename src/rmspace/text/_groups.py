"""Groups of records that belong to one prompt."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from rmspace.text.records import Record


class PromptGroups:
    """Records that share a key are of one group, also over several steps (union-find).

    >>> groups = PromptGroups()
    >>> [groups.add(keys) for keys in (["a"], ["b"], ["c"], ["b", "a"])], groups.first_of(1), groups.first_of(2)
    ([0, 1, 2, 3], 0, 2)
    """

    def __init__(self) -> None:
        self._owner: dict[Hashable, int] = {}
        self._parent: list[int] = []

    def add(self, keys: Iterable[Hashable]) -> int:
        """Add a record with its keys, and return its number."""
        number = len(self._parent)
        self._parent.append(number)
        for key in keys:
            self._join(number, self._owner.setdefault(key, number))
        return number

    def first_of(self, number: int) -> int:
        """Return the first record of the group of a record."""
        while (above := self._parent[number]) != number:
            self._parent[number] = self._parent[above]
            number = above
        return number

    def _join(self, a: int, b: int) -> None:
        low, high = sorted((self.first_of(a), self.first_of(b)))
        self._parent[high] = low


def keys_of(record: Record, group: str) -> Iterator[Hashable]:
    """Yield what a record shares with others of its prompt: the id, the prompts, and responses without a prompt."""
    yield group
    yield from dict.fromkeys(item.prompt or item for item in record.items)
