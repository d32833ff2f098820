"""A language model behind the OpenAI protocol as a judge: ratings, or verdicts on pairs in both orders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from rmspace._checks import check_int, check_number
from rmspace.text._endpoint import Endpoint
from rmspace.text._requests import shown
from rmspace.text.encoders._text_model import check_word
from rmspace.text.generators.endpoint import read_choice
from rmspace.text.notes import clean_item
from rmspace.text.ratings import Ratings, Unread
from rmspace.text.records import TextItem
from rmspace.text.templates import plain

__all__ = ["JudgeGold"]

_RATING = (
    "Rate how well the response answers the prompt, from {low:g} (worst) to {high:g} (best). End your answer with the "
    "number in double brackets, such as [[{low:g}]].\n\n<prompt>\n{prompt}\n</prompt>\n\n<response>\n{response}\n"
    "</response>"
)
_PAIRWISE = (
    "Which response answers the prompt better? Do not let the order or the length of the responses decide. End your "
    "answer with [[A]] if A is better, [[B]] if B is better, or [[C]] if they are equally good.\n\n<prompt>\n{prompt}\n"
    "</prompt>\n\n<response A>\n{a}\n</response A>\n\n<response B>\n{b}\n</response B>"
)
_FIELDS = {"rating": ("prompt", "response"), "pairwise": ("prompt", "a", "b")}
_POINTS = {"A": 1.0, "B": 0.0, "C": 0.5}


class JudgeGold(Endpoint):
    """A language model that rates responses, or compares each with the others of its prompt in both orders.

    An answer is read only where it holds one verdict in double brackets, such as [[7]] or [[A]]. Any other answer is
    never guessed at: it is counted and listed, and the response has no reward where no answer about it could be read.
    With "pairwise", the reward is the mean of 1 for a win, 1/2 for a tie and 0 for a loss over all verdicts. Where the
    answer about a pair cannot be read in one order, both orders are left out: one order alone would favour a place.

    Args:
        url: of the server, with or without `/v1/chat/completions`.
        model: the name that the server gives the model.
        mode: "rating" or "pairwise".
        question: what the judge is asked, with the fields {prompt} and {response}, or {prompt}, {a} and {b}; None for
            the question of rmspace.
        low, high: the range of ratings; a rating outside it is not read.
        opponents: with "pairwise", compare each response with so many that follow it, in a ring; None compares all
            pairs, which are n (n - 1) requests for n responses.
        max_tokens: the most tokens of an answer.
        concurrency, timeout, retries, api_key_env, identity: as in `EndpointGenerator`.

    Raises:
        ValueError: an address that is not http or https; a question without a field; a range that is none.

    >>> JudgeGold("http://localhost:8000", "my-judge", mode="pairwise").url
    'http://localhost:8000/v1/chat/completions'
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        mode: Literal["rating", "pairwise"] = "rating",
        question: str | None = None,
        low: float = 1.0,
        high: float = 10.0,
        opponents: int | None = None,
        max_tokens: int = 512,
        concurrency: int = 8,
        timeout: float = 120.0,
        retries: int = 5,
        api_key_env: str = "OPENAI_API_KEY",
        identity: str | None = None,
    ) -> None:
        super().__init__(
            url,
            "/v1/chat/completions",
            model,
            concurrency=concurrency,
            timeout=timeout,
            retries=retries,
            api_key_env=api_key_env,
            identity=identity,
        )
        check_word("mode", mode, tuple(_FIELDS))
        self.mode, self.low, self.high = mode, check_number("low", low), check_number("high", high)
        if self.low >= self.high:
            raise ValueError(f"low must be below high; got {low:g} and {high:g}")
        self.question = _check_question(question, mode)
        self.opponents = None if opponents is None else check_int("opponents", opponents, low=1)
        self.max_tokens = check_int("max_tokens", max_tokens, low=1)

    def __repr__(self) -> str:
        return f"JudgeGold({shown(self.url)!r}, {self.model!r}, mode={self.mode!r})"

    def describe(self) -> dict[str, Any]:
        """Return all that the rewards depend on, as far as the server tells; never the key."""
        names = ("model", "mode", "question", "low", "high", "opponents", "max_tokens")
        return {
            "kind": "judge",
            "server": self.identity,
            **{name: getattr(self, name) for name in names},
            "about": {"url": shown(self.url), "api_key_env": self.api_key_env},
        }

    def requests_for(self, n: int) -> int:
        """Return how many requests n responses to one prompt need; `estimate_build` counts with it.

        >>> JudgeGold("http://localhost:8000", "my-judge", mode="pairwise").requests_for(10)
        90
        """
        return n if self.mode == "rating" else len(_games(0, n, self.opponents))

    def rate(self, groups: Sequence[Sequence[TextItem]], /) -> Ratings:
        """Rate the responses of each prompt.

        Raises:
            ConnectionError: the server did not answer after all tries.
            ValueError: the server refuses a request; "pairwise" with one response to a prompt.
        """
        items = [clean_item(item)[0] for group in groups for item in group]
        if self.mode == "rating":
            return self._rated(items)
        edges = np.cumsum([0, *(len(group) for group in groups)]).tolist()
        games = [game for a, b in pairwise(edges) for game in _games(a, b, self.opponents)]
        return self._compared(items, games)

    def _rated(self, items: Sequence[TextItem]) -> Ratings:
        texts = [_fill(self.question, low=self.low, high=self.high, **_fields(item)) for item in items]
        answers = self._answers(texts)
        found = [self._number(answer) for answer in answers]
        unread = [Unread(k, answers[k]) for k, value in enumerate(found) if value is None]
        return Ratings({"": np.array([np.nan if value is None else value for value in found])}, unread)

    def _compared(self, items: Sequence[TextItem], games: Sequence[Game]) -> Ratings:
        texts = [
            _fill(self.question, prompt=plain(items[a]).prompt, a=items[a].response, b=items[b].response)
            for a, b in games
        ]
        answers = self._answers(texts)
        verdicts = [_verdict(answer) for answer in answers]
        points, played = np.zeros(len(items)), np.zeros(len(items))
        for (a, b), first, second in zip(games[::2], verdicts[::2], verdicts[1::2], strict=True):
            if first in _POINTS and second in _POINTS:  # one order alone would count the place, not the response
                won = _POINTS[first] + 1 - _POINTS[second]
                points[[a, b]] += won, 2 - won
                played[[a, b]] += 2
        unread = [
            Unread(a, answer, b)
            for (a, b), answer, verdict in zip(games, answers, verdicts, strict=True)
            if verdict not in _POINTS
        ]
        means = np.divide(points, played, out=np.full(len(items), np.nan), where=played > 0)
        return Ratings({"": means}, unread)

    def _answers(self, texts: Sequence[str]) -> list[str]:
        options = {"model": self.model, "temperature": 0.0, "max_tokens": self.max_tokens}
        bodies = [{**options, "messages": [{"role": "user", "content": text}]} for text in texts]
        return self.ask(bodies, lambda answer, _: read_choice(answer)[0])

    def _number(self, answer: str) -> float | None:
        """Return the rating of an answer; None where there is none, or one out of range."""
        verdict = _verdict(answer) or ""
        value = float(verdict) if re.fullmatch(r"-?\d{1,9}(?:\.\d{1,9})?", verdict) else None
        return value if value is not None and self.low <= value <= self.high else None


class Game(NamedTuple):
    """Two responses, by their places among all; the first is shown as A."""

    a: int
    b: int


def _games(start: int, stop: int, opponents: int | None) -> list[Game]:
    """Return the games of the responses to one prompt: each pair in both orders, one after the other."""
    n = stop - start
    if n < 2:
        raise ValueError("mode='pairwise' needs at least two responses to a prompt; got one: use mode='rating'")
    if opponents is None or 2 * opponents >= n - 1:
        pairs = list(combinations(range(n), 2))
    else:
        pairs = [(k, (k + step) % n) for k in range(n) for step in range(1, opponents + 1)]
    return [Game(start + a, start + b) for k, j in pairs for a, b in ((k, j), (j, k))]


def _verdict(answer: str) -> str | None:
    """Return what stands in double brackets; None where nothing does, or two different things do.

    >>> _verdict("A is right. [[A]]"), _verdict("[[A]] or [[B]]"), _verdict("A")
    ('A', None, None)
    """
    found = {each.strip() for each in re.findall(r"\[\[([^\[\]]*)\]\]", answer)}
    return found.pop() if len(found) == 1 else None


def _fields(item: TextItem) -> dict[str, str]:
    return {"prompt": plain(item).prompt, "response": item.response}


def _fill(question: str, **fields: Any) -> str:
    return question.format(**fields)


def _check_question(question: str | None, mode: str) -> str:
    """Return the question; ValueError where it lacks a field or has another one."""
    if question is None:
        return _RATING if mode == "rating" else _PAIRWISE
    fields = _FIELDS[mode]
    given = dict.fromkeys(fields, "\0") | ({"low": 0.0, "high": 0.0} if mode == "rating" else {})
    try:
        count = _fill(question, **given).count("\0")
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            f"question has a field or brace that cannot be filled ({error}); write {{{{ for a brace"
        ) from error
    if count < len(fields) or not all(f"{{{name}}}" in question for name in fields):
        raise ValueError(f"question must have the fields {', '.join(f'{{{name}}}' for name in fields)}; it lacks one")
    return question
