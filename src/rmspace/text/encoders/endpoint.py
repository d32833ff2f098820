"""A server that speaks the OpenAI protocol as an encoder: vLLM, text-embeddings-inference, llama.cpp, Ollama."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from rmspace._checks import check_int
from rmspace._typing import FloatArray, IntArray
from rmspace.text._endpoint import Endpoint
from rmspace.text._requests import shown
from rmspace.text.notes import clean_item
from rmspace.text.records import TextItem
from rmspace.text.templates import find_template, template_hash

__all__ = ["EndpointEncoder"]


class EndpointEncoder(Endpoint):
    """A server with `/v1/embeddings` of the OpenAI protocol as an encoder.

    The server sees whole texts. What it cuts, and where, is its own setting, and is not counted here: most servers
    refuse a text that is too long, and some cut it at its end, which is the reply. The description has the name of the
    model, because the protocol tells nothing more: where the server changes what it serves under that name, embed into
    another folder.

    Args:
        url: of the server, with or without `/v1/embeddings`.
        model: the name that the server gives the model.
        template: "plain" joins the turns by blank lines; "hh" writes "Human: " and "Assistant: ".
        batch_size: texts per request.
        concurrency: requests at once.
        timeout: seconds for one request.
        retries: how often a request is tried again after an overload (429), an error of the server or no answer.
        api_key_env: the environment variable that holds the key, read at each call and written nowhere; no key is sent
            where it is not set.
        dimensions: asks for shorter embeddings, where the model can; None asks for nothing.

    Raises:
        ValueError: an address that is not http or https, or that holds a password.

    >>> EndpointEncoder("http://localhost:8000", "my-model").url
    'http://localhost:8000/v1/embeddings'
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        template: Literal["plain", "hh"] = "plain",
        batch_size: int = 32,
        concurrency: int = 4,
        timeout: float = 60.0,
        retries: int = 5,
        api_key_env: str = "OPENAI_API_KEY",
        dimensions: int | None = None,
    ) -> None:
        super().__init__(
            url,
            "/v1/embeddings",
            model,
            concurrency=concurrency,
            timeout=timeout,
            retries=retries,
            api_key_env=api_key_env,
        )
        self.template, self._render = template, find_template(template)
        self.batch_size = check_int("batch_size", batch_size, low=1)
        self.dimensions = None if dimensions is None else check_int("dimensions", dimensions, low=1)
        self._dim = self.dimensions

    def __repr__(self) -> str:
        return f"EndpointEncoder({shown(self.url)!r}, {self.model!r}, template={self.template!r})"

    def describe(self) -> dict[str, Any]:
        """Return all that the embeddings depend on, as far as the server tells; never the key."""
        return {
            "kind": "endpoint",
            "model": self.model,
            "template": self.template,
            "template_sha256": template_hash(self.template),
            "dimensions": self.dimensions,
            "about": {"url": shown(self.url), "api_key_env": self.api_key_env},
        }

    def encode(self, items: Sequence[TextItem], /) -> FloatArray:
        """Embed items: float32 (n, dim), in their order.

        Raises:
            ConnectionError: the server did not answer after all tries.
            ValueError: the server refuses a request, or answers something else than one finite vector per text, all of
                one length.
        """
        return self.encode_noted(items)[0]

    def encode_noted(
        self, items: Sequence[TextItem], done: Callable[[int], object] = lambda _: None
    ) -> tuple[FloatArray, IntArray]:
        """Embed items, and note what was changed in each: (float32 (n, dim), (n,) of `Note`)."""
        cleaned = [clean_item(item) for item in items]
        texts = [self._render(item).text for item, _ in cleaned]
        batches = [texts[start : start + self.batch_size] for start in range(0, len(texts), self.batch_size)]
        parts = [self._check_dim(vectors) for vectors in self._answers(batches, done)]
        notes = np.array([int(note) for _, note in cleaned], dtype=np.int64)
        return (np.concatenate(parts) if parts else np.empty((0, self._dim or 0), dtype=np.float32)), notes

    @classmethod
    def from_description(cls, description: dict[str, Any], **options: Any) -> EndpointEncoder:
        """Make the encoder that `describe` described; `options` may give another `url`, where the server moved.

        The variable of the key is never taken from the description: it may be somebody else's, and would choose which
        secret is sent.
        """
        given = {name: description[name] for name in ("model", "template", "dimensions")}
        return cls(**{**given, "url": description["about"]["url"], **options})

    def _answers(self, batches: list[list[str]], done: Callable[[int], object]) -> list[FloatArray]:
        """Return the embeddings of each batch, and stop asking at the first error."""
        options = {} if self.dimensions is None else {"dimensions": self.dimensions}
        return self.ask(
            [{"model": self.model, "input": texts, **options} for texts in batches],
            lambda answer, k: read_vectors(answer, len(batches[k])),
            lambda k: done(len(batches[k])),
        )

    def _check_dim(self, vectors: FloatArray) -> FloatArray:
        self._dim = self._dim or vectors.shape[1]
        if vectors.shape[1] != self._dim:
            rule = "as dimensions asks" if self.dimensions else "as before"
            raise ValueError(
                f"{shown(self.url)} must answer vectors of {self._dim} numbers, {rule}; got {vectors.shape[1]}; "
                "does it still serve the same model?"
            )
        return vectors


def read_vectors(answer: Any, n: int) -> FloatArray:
    """Return the vectors of an answer in the order of the texts, float32 (n, dim).

    Raises:
        ValueError: another number of vectors, places that are not those of the texts, vectors of several lengths, or
            something else than finite numbers.

    >>> read_vectors({"data": [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]}, 2).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
        raise ValueError("an answer must have a list 'data' of objects; got something else")
    if len(data) != n:
        raise ValueError(f"there must be one vector per text, {n}; got {len(data)}")
    places = [one.get("index", k) for k, one in enumerate(data)]
    if not all(type(place) is int for place in places) or sorted(places) != list(range(n)):
        raise ValueError(f"'index' must give each text once, 0 to {n - 1}; it does not")
    vectors = [one.get("embedding") for one in data]
    if not all(isinstance(vector, list) and vector for vector in vectors):
        raise ValueError("'embedding' must be a list of numbers; got something else")
    if len(lengths := {len(vector) for vector in vectors}) > 1:
        raise ValueError(f"vectors must have one length; got {', '.join(map(str, sorted(lengths)))} numbers")
    return _numbers(vectors)[np.argsort(places)]


def _numbers(vectors: list[Any]) -> FloatArray:
    try:
        found = np.array(vectors)
    except ValueError:
        found = np.array([""])
    if found.dtype.kind not in "fiu" or found.ndim != 2:
        raise ValueError("'embedding' must be a list of numbers; got something else")
    with np.errstate(over="ignore"):
        rows = found.astype(np.float32)
    if not np.isfinite(rows).all():
        raise ValueError("embeddings must be finite; the server sent NaN or infinity")
    return rows
