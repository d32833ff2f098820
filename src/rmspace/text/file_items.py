"""The items of a source that is read again each time, so that no text is held in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import overload

from rmspace._typing import IntArray
from rmspace.text.records import Record, TextItem, digest


def key_of(value: object) -> bytes:
    """Return the SHA-256 of an item or a prompt: 32 bytes that stand for its text.

    >>> len(key_of("2 + 2?"))
    32
    """
    return bytes.fromhex(digest(value))


class FileItems(Sequence[TextItem]):
    """The distinct items of some records, in their order. Only a key of each is kept.

    One pass over all items reads the source once. So does every single item, so take several with `take`.

    Args:
        read: reads the records from their beginning.
        keys: the key of each distinct item, in the order in which they come.

    >>> from rmspace.text.records import items_of
    >>> records = [Record(items_of("2 + 2?", ["4", "5", "4"]))]
    >>> items = FileItems(lambda: records, [key_of(item) for item in records[0].items[:2]])
    >>> len(items), [item.response for item in items], items[1].response
    (2, ['4', '5'], '5')
    """

    def __init__(self, read: Callable[[], Iterable[Record]], keys: Sequence[bytes]) -> None:
        self.keys = keys
        self._read = read

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[TextItem]:
        """Yield the items.

        Raises:
            RuntimeError: the source has other items than before.
        """
        seen: set[bytes] = set()
        for item in (item for record in self._read() for item in record.items):
            key = key_of(item)
            if key in seen:
                continue
            if key != self.keys[len(seen)]:
                break
            seen.add(key)
            yield item
            if len(seen) == len(self.keys):
                return
        raise RuntimeError(f"the source changed after it was read (item {len(seen)} is another one); read it again")

    @overload
    def __getitem__(self, place: int) -> TextItem: ...
    @overload
    def __getitem__(self, place: slice) -> list[TextItem]: ...
    def __getitem__(self, place: int | slice) -> TextItem | list[TextItem]:
        chosen = range(len(self))[place]
        return take(self, chosen) if isinstance(chosen, range) else next(islice(self, chosen, None))


def take(items: Sequence[TextItem], ids: IntArray | Sequence[int]) -> list[TextItem]:
    """Return some items, each place at most once, in one pass over the source.

    >>> from rmspace.text.records import items_of
    >>> [item.response for item in take(items_of("2 + 2?", ["4", "5", "6"]), [2, 0])]
    ['6', '4']
    """
    if not isinstance(items, FileItems):
        return [items[k] for k in ids]
    wanted = set(map(int, ids))
    found = {k: item for k, item in enumerate(items) if k in wanted} if wanted else {}
    return [found[int(k)] for k in ids]
