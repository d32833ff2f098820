"""Any function of prompts and responses as a gold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from rmspace._checks import as_numbers, check_function
from rmspace.text.ratings import Ratings
from rmspace.text.records import TextItem
from rmspace.text.sources_of_code import source_hash
from rmspace.text.templates import plain

__all__ = ["FunctionGold"]

Returned = npt.ArrayLike | Mapping[str, npt.ArrayLike]


class FunctionGold:
    """A function of prompts and responses as a gold.

    Args:
        function: (list of n prompts, list of n responses) -> n numbers, or several rows of n numbers by name. The turns
            of a prompt come as one text, joined by blank lines.
        name: what the function is called; its own name when None. Its name and its source are what rewards of two
            functions are told apart by.

    >>> from rmspace.text.records import items_of
    >>> gold = FunctionGold(lambda prompts, responses: [len(text) for text in responses], name="length")
    >>> gold.rate([items_of("2 + 2?", ["4", "four"]), items_of("Hi.", ["Hello!"])]).columns[""].tolist()
    [1.0, 4.0, 6.0]
    """

    def __init__(self, function: Callable[[list[str], list[str]], Returned], *, name: str | None = None) -> None:
        check_function("function", function, "of a list of prompts and a list of responses")
        own = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"
        if name is None and (own.endswith(".") or "<lambda>" in own):
            raise TypeError("a function without a name needs one, so that its rewards can be told apart: name='...'")
        self.function, self.name = function, name or own

    def __repr__(self) -> str:
        return f"FunctionGold(name={self.name!r})"

    def describe(self) -> dict[str, Any]:
        """Return all that the rewards depend on, as far as the name and the source tell."""
        return {"kind": "function", "name": self.name, "source_sha256": source_hash(self.function)}

    def rate(self, groups: Sequence[Sequence[TextItem]], /) -> Ratings:
        """Rate the responses of each prompt."""
        items = [item for group in groups for item in group]
        found = self.function([plain(item).prompt for item in items], [item.response for item in items])
        columns = found if isinstance(found, Mapping) else {"": found}
        return Ratings({str(name): as_numbers(f"what {self.name} returns", each) for name, each in columns.items()})
