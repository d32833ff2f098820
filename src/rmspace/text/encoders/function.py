"""Any function of texts as an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rmspace._checks import check_function, describe
from rmspace._typing import FloatArray, IntArray
from rmspace.text.notes import clean_item
from rmspace.text.records import TextItem
from rmspace.text.templates import find_template, template_hash

__all__ = ["FunctionEncoder"]


class FunctionEncoder:
    """A function of texts as an encoder.

    The function gets whole texts: what it cuts is not counted.

    Args:
        function: a list of n texts -> numbers (n, dim).
        name: what the embeddings are called: embeddings of another name are not mixed with these. Give a function that
            computes something else another name.
        template: "plain" joins the turns by blank lines; "hh" writes "Human: " and "Assistant: ".

    >>> encoder = FunctionEncoder(lambda texts: [[len(text), text.count(" ")] for text in texts], name="sizes")
    >>> encoder.encode([TextItem((), "a b c")]).tolist()
    [[5.0, 2.0]]
    """

    def __init__(
        self,
        function: Callable[[list[str]], npt.ArrayLike],
        *,
        name: str,
        template: Literal["plain", "hh"] = "plain",
    ) -> None:
        check_function("function", function, "of a list of texts")
        if not isinstance(name, str) or not name:
            raise TypeError(f"name must be a text that stands for the function; got {name!r}")
        self.function, self.name, self.template = function, name, template
        self._render = find_template(template)

    def __repr__(self) -> str:
        return f"FunctionEncoder(name={self.name!r}, template={self.template!r})"

    def describe(self) -> dict[str, Any]:
        """Return all that the embeddings depend on, as far as the name stands for the function."""
        return {
            "kind": "function",
            "name": self.name,
            "template": self.template,
            "template_sha256": template_hash(self.template),
        }

    def encode(self, items: Sequence[TextItem], /) -> FloatArray:
        """Embed items: float32 (n, dim), in their order.

        Raises:
            ValueError: the function returned another shape, or numbers that are not finite.
        """
        return self.encode_noted(items)[0]

    def encode_noted(
        self, items: Sequence[TextItem], done: Callable[[int], object] = lambda _: None
    ) -> tuple[FloatArray, IntArray]:
        """Embed items, and note what was changed in each: (float32 (n, dim), (n,) of `Note`)."""
        cleaned = [clean_item(item) for item in items]
        texts = [self._render(item).text for item, _ in cleaned]
        rows = check_rows(self.name, self.function(texts), len(texts))
        done(len(texts))
        return rows, np.array([int(note) for _, note in cleaned], dtype=np.int64)

    @classmethod
    def from_description(cls, description: dict[str, Any], **options: Any) -> FunctionEncoder:
        """Make the encoder that `describe` described, from its `function`.

        Raises:
            TypeError: no function was given; a description cannot hold one.
        """
        if "function" not in options:
            raise TypeError(f"the encoder {description['name']!r} is a function; give it: function=...")
        return cls(options["function"], name=description["name"], template=description["template"])


def check_rows(name: str, returned: npt.ArrayLike, n: int) -> FloatArray:
    """Return what an encoder called `name` returned, as float32 (n, dim).

    Raises:
        ValueError: another shape, no numbers, or numbers that are not finite.
    """
    rows = np.asarray(returned)
    if rows.ndim != 2 or len(rows) != n or (n and rows.shape[1] == 0) or rows.dtype.kind not in "fiu":
        raise ValueError(f"{name} must return numbers, one row per text, ({n}, dim); got {describe(rows)}")
    with np.errstate(over="ignore"):
        found = rows.astype(np.float32)
    if not np.isfinite(found).all():
        place = int(np.argmin(np.isfinite(found).all(axis=1)))
        raise ValueError(f"embeddings must be finite; {name} returned others, for text {place} first")
    return found
