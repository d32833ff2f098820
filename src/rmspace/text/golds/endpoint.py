"""A server that scores text as a gold, such as `rmspace serve`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rmspace._checks import check_int
from rmspace.text._endpoint import Endpoint
from rmspace.text._requests import shown
from rmspace.text.notes import clean_item
from rmspace.text.ratings import Ratings
from rmspace.text.records import TextItem

__all__ = ["EndpointGold"]


class EndpointGold(Endpoint):
    """A server with the path `/score` of `rmspace serve` as a gold: {"prompts", "responses"} -> {"scores"}.

    Args:
        url: of the server, with or without `/score`.
        model: the name of the model: rewards of another name are not mixed with these.
        batch_size: texts per request.
        concurrency, timeout, retries, api_key_env, identity: as in `EndpointGenerator`.

    >>> EndpointGold("http://localhost:8000", "my-reward").url
    'http://localhost:8000/score'
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        batch_size: int = 32,
        concurrency: int = 4,
        timeout: float = 60.0,
        retries: int = 5,
        api_key_env: str = "OPENAI_API_KEY",
        identity: str | None = None,
    ) -> None:
        super().__init__(
            url,
            "/score",
            model,
            concurrency=concurrency,
            timeout=timeout,
            retries=retries,
            api_key_env=api_key_env,
            identity=identity,
        )
        self.batch_size = check_int("batch_size", batch_size, low=1)

    def __repr__(self) -> str:
        return f"EndpointGold({shown(self.url)!r}, {self.model!r})"

    def describe(self) -> dict[str, Any]:
        """Return all that the rewards depend on, as far as the name tells; never the key."""
        return {"kind": "score", "server": self.identity, "model": self.model, "about": {"url": shown(self.url)}}

    def rate(self, groups: Sequence[Sequence[TextItem]], /) -> Ratings:
        """Rate the responses of each prompt.

        Raises:
            ConnectionError: the server did not answer after all tries.
            ValueError: the server refuses a request, or answers something else than one number per response.
        """
        cleaned = [clean_item(item) for group in groups for item in group]
        items = [item for item, _ in cleaned]
        batches = [items[start : start + self.batch_size] for start in range(0, len(items), self.batch_size)]
        parts = self.ask([_body(batch) for batch in batches], lambda answer, k: read_scores(answer, len(batches[k])))
        notes = np.array([int(note) for _, note in cleaned], dtype=np.int64)
        return Ratings({"": np.array([score for part in parts for score in part], dtype=np.float64)}, notes=notes)


def read_scores(answer: Any, n: int) -> list[float]:
    """Return the scores of an answer; ValueError for something else than n numbers.

    >>> read_scores({"scores": [1, 2.5]}, 2)
    [1.0, 2.5]
    """
    found = answer.get("scores") if isinstance(answer, dict) else None
    if not isinstance(found, list) or len(found) != n or not all(type(each) in (int, float) for each in found):
        raise ValueError(f"an answer must have a list 'scores' of {n} numbers; got something else")
    return [float(each) for each in found]


def _body(items: Sequence[TextItem]) -> dict[str, Any]:
    prompts = [[turn._asdict() for turn in item.prompt] for item in items]
    return {"prompts": prompts, "responses": [item.response for item in items]}
