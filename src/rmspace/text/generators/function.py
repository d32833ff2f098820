"""Any function of prompts as a generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from rmspace._checks import check_function
from rmspace.text.records import Message
from rmspace.text.replies import Reply
from rmspace.text.sources_of_code import source_hash
from rmspace.text.templates import find_template, opening, template_hash

__all__ = ["FunctionGenerator"]


class FunctionGenerator:
    """A function of prompts and seeds as a generator.

    Args:
        function: (list of n prompts, list of n seeds) -> list of n responses, the same for the same prompt and seed.
        name: what the function is called. Its name and its source are what responses of two functions are told apart
            by.
        template: makes one text of the turns of a prompt: "plain" or "hh".

    >>> generator = FunctionGenerator(lambda prompts, seeds: [f"{p} {s}" for p, s in zip(prompts, seeds)], name="echo")
    >>> generator.generate([(Message("user", "2 + 2?"),)], [7])
    [Reply(text='2 + 2?\\n\\n 7', finish='stop', tokens=None)]
    """

    def __init__(
        self,
        function: Callable[[list[str], list[int]], Sequence[str]],
        *,
        name: str,
        template: Literal["plain", "hh"] = "plain",
    ) -> None:
        check_function("function", function, "of a list of prompts and a list of seeds")
        self.function, self.name, self.template = function, str(name), template
        self._template = find_template(template)

    def __repr__(self) -> str:
        return f"FunctionGenerator(name={self.name!r}, template={self.template!r})"

    def describe(self) -> dict[str, Any]:
        """Return all that the responses depend on, as far as the name and the source tell."""
        return {
            "kind": "function",
            "name": self.name,
            "source_sha256": source_hash(self.function),
            "template": self.template,
            "template_sha256": template_hash(self.template),
        }

    def refusals(self, prompts: Sequence[tuple[Message, ...]], /) -> list[str | None]:
        """Refuse no prompt."""
        return [None] * len(prompts)

    def generate(self, prompts: Sequence[tuple[Message, ...]], seeds: Sequence[int], /) -> list[Reply]:
        """Answer each prompt once, in their order.

        Raises:
            ValueError: the function returned another number of responses, or something else than texts.
        """
        texts = self.function([opening(self._template, prompt) for prompt in prompts], list(seeds))
        if isinstance(texts, str) or len(texts) != len(prompts) or not all(isinstance(text, str) for text in texts):
            came = f"{len(texts)} of them" if not isinstance(texts, str) else "one text"
            raise ValueError(
                f"{self.name} must return one text per prompt, {len(prompts)}; got {came}, or other things"
            )
        return [Reply(text.strip()) for text in texts]
