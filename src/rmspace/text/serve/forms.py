"""The forms of a request: which texts it asks about, and the answer that their scores make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rmspace._typing import Float64Array
from rmspace.text.conversations import item_of
from rmspace.text.records import TextItem
from rmspace.text.reward import order_of
from rmspace.text.serve.limits import Refused
from rmspace.text.serve.special_tokens import split_query

Body = Mapping[str, Any]


class Question(NamedTuple):
    """The texts of a request, and what their scores are made into."""

    items: Sequence[TextItem]
    answer: Callable[[Float64Array], dict[str, Any]]


def score(body: Body) -> Question:
    """Read {"prompts": [...], "responses": [...]}; the answer is {"scores": [...]}.

    >>> question = score({"prompts": ["2 + 2?"], "responses": ["4"]})
    >>> [item.response for item in question.items]
    ['4']
    """
    _check_names(body, ("prompts", "responses"))
    prompts, responses = _list(body, "prompts"), _list(body, "responses")
    _check_lengths(prompts=prompts, responses=responses)
    items = [_item(k, *pair) for k, pair in enumerate(zip(prompts, responses, strict=True))]
    return Question(items, lambda scores: {"scores": scores.tolist()})


def rank(body: Body) -> Question:
    """Read {"prompt": ..., "responses": [...]}; the answer is {"order": [...], "scores": [...]}, best first."""
    _check_names(body, ("prompt", "responses"))
    if "prompt" not in body:
        raise _wrong("prompt is missing")
    items = [_item(k, body["prompt"], response) for k, response in enumerate(_list(body, "responses"))]
    return Question(items, lambda scores: {"order": order_of(scores).tolist(), "scores": scores.tolist()})


def get_reward(body: Body) -> Question:
    """Read OpenRLHF's {"query": [...], "prompts": [...]}; the answer is {"rewards", "scores", "extra_logs"}.

    `labels` and other fields are not used. See `split_query` for what is done with special tokens.
    """
    queries, prompts = _list(body, "query"), _list(body, "prompts")
    _check_lengths(query=queries, prompts=prompts)
    items = [_split(k, *pair) for k, pair in enumerate(zip(queries, prompts, strict=True))]

    def answer(scores: Float64Array) -> dict[str, Any]:
        return {"rewards": scores.tolist(), "scores": scores.tolist(), "extra_logs": {}}

    return Question(items, answer)


FORMS: Mapping[str, Callable[[Body], Question]] = {"/score": score, "/rank": rank, "/get_reward": get_reward}
"""The form of each path."""


def _item(k: int, prompt: Any, response: Any) -> TextItem:
    try:
        return item_of(prompt, response)
    except (TypeError, ValueError) as error:
        raise _wrong(f"text {k}: {error}") from error


def _split(k: int, query: Any, prompt: Any) -> TextItem:
    for name, text in (("query", query), ("prompts", prompt)):
        if not isinstance(text, str):
            raise _wrong(f"{name}[{k}] must be a text; got {_name(text)}")
    try:
        return split_query(query, prompt)
    except ValueError as error:
        raise _wrong(f"query[{k}]: {error}") from error


def _list(body: Body, name: str) -> list[Any]:
    if name not in body:
        raise _wrong(f"{name} is missing")
    if not isinstance(found := body[name], list):
        raise _wrong(f"{name} must be a list; got {_name(found)}")
    return found


def _check_names(body: Body, names: Sequence[str]) -> None:
    if unknown := [name for name in body if name not in names]:
        shown = ", ".join(ascii(name[:40]) for name in unknown[:3])
        raise _wrong(f"the fields are {' and '.join(names)}; got also {shown}")


def _check_lengths(**lists: list[Any]) -> None:
    (one, a), (other, b) = lists.items()
    if len(a) != len(b):
        raise _wrong(f"{one} and {other} must have the same length; got {len(a)} and {len(b)}")


def _name(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", dict: "an object", list: "a list", str: "a text"}
    return names.get(type(value), "a number")


def _wrong(message: str) -> Refused:
    return Refused(422, message)
