"""The second step of a build: responses to the prompts, each with a seed of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rmspace.data.split import count_of_test
from rmspace.kinds import Generator
from rmspace.text.line_store import Line, LineStore
from rmspace.text.pipeline.earlier import EarlierResponses
from rmspace.text.pipeline.prompts import prompt_of
from rmspace.text.pipeline.step import Say, grow, open_step, several_servers
from rmspace.text.records import TextItem, digest
from rmspace.text.replies import Reply

FILES = ("responses.jsonl", "left_out.jsonl")
_SHARD = 64  # responses that are committed together, at least
_SHARDS = 500  # a longer list of shards would be long to write


class Plan(NamedTuple):
    """How many responses there are, and to which prompts."""

    n: int
    n_test: int
    test_size: int | float
    seed: int


def responses_step(
    out: Path,
    prompts: LineStore,
    generator: Generator,
    plan: Plan,
    sources: Mapping[str, str],
    say: Say,
    show: bool | None,
) -> LineStore:
    """Generate the responses: lines {id, split, prompt, responses, seeds, finish, tokens}, and prompts left out.

    The seed of a response depends on the seed of the build, its prompt and its number, and on nothing else. So a run
    that was stopped goes on with the same responses, and those of an earlier build in the same folder are taken over.

    Raises:
        ValueError: no prompt is left for one of the two banks.
    """
    options = {
        "input": prompts.fingerprint(),
        **plan._asdict(),
        "generator": dict(generator.describe()),
        "sources": dict(sources),
    }
    store = open_step(out, "generate", FILES, options, say)
    earlier = None if store.complete else EarlierResponses(store.folder, FILES, options)
    work = Generating(prompts, generator, plan, earlier)
    if not store.complete:
        work.check_left()
    store.about.setdefault("shard", max(_SHARD, work.total // _SHARDS))
    grow(store, work.parts(int(store.about["shard"])), work.lines, "responses", show, generator)
    store.finish()
    left_out = f"{store.count(1):,} left out, listed in {store.folder / FILES[1]}"
    say(f"generate: {store.n:,} prompts; {left_out}{several_servers(store)}")
    return store


def groups_of(lines: list[Line]) -> list[list[TextItem]]:
    """Return the responses of some lines as items: what golds rate and encoders embed."""
    return [[TextItem(prompt_of(line), text) for text in line["responses"]] for line in lines]


def seed_of(seed: int, line: Line, number: int) -> int:
    """Return the seed of one response, below 2^31, which every server takes.

    >>> seed_of(0, {"id": "a"}, 0) == seed_of(0, {"id": "a"}, 0), seed_of(0, {"id": "a"}, 1) < 2**31
    (True, True)
    """
    return int(digest([seed, line["id"], number])[:8], 16) >> 1


class Generating:
    """The work on one shard of prompts."""

    def __init__(
        self, prompts: LineStore, generator: Generator, plan: Plan, earlier: EarlierResponses | None = None
    ) -> None:
        self.prompts, self.generator, self.plan, self.earlier = prompts, generator, plan, earlier
        ids = [line["id"] for line in prompts.lines()]
        ordered = sorted(ids, key=lambda one: digest([plan.seed, one]))
        self.test = set(ordered[: count_of_test(plan.test_size, len(ids))])
        self.total = self.sum(lambda n: n)

    def sum(self, of_prompt: Callable[[int], int]) -> int:
        """Return the sum over all prompts of something that the number of responses to each gives."""
        n_train, n_test = self.prompts.n - len(self.test), len(self.test)
        return of_prompt(self.plan.n) * n_train + of_prompt(self.plan.n_test) * n_test

    def check_left(self) -> None:
        """Raise ValueError where the generator refuses all prompts of a bank, before it works on the other's."""
        refused: dict[str, str] = {}
        left = {"train", "test"}
        for line in self.prompts.lines():
            if (split := self.split(line)) in left:
                reason = self.generator.refusals([prompt_of(line)])[0]
                left -= {split} if reason is None else set()
                refused.setdefault(split, reason or "")
            if not left:
                return
        missing = [split for split in ("train", "test") if split in left]
        raise ValueError(
            f"no prompt is left for {' and '.join(missing)}: {refused[missing[0]]}; raise the limit of the prompts, or "
            "take others"
        )

    def split(self, line: Line) -> str:
        """Return the bank that a prompt belongs to."""
        return "test" if line["id"] in self.test else "train"

    def parts(self, shard: int) -> Iterator[list[Line]]:
        """Yield the prompts, so many at a time that they get at least `shard` responses."""
        part: list[Line] = []
        for line in self.prompts.lines():
            part.append(line)
            if sum(map(self.count, part)) >= shard:
                yield part
                part = []
        if part:
            yield part

    def count(self, line: Line) -> int:
        """Return the number of responses to a prompt."""
        return self.plan.n_test if self.split(line) == "test" else self.plan.n

    def lines(self, part: list[Line]) -> tuple[list[Line], list[Line]]:
        """Return the lines of the responses, and of the prompts that the generator refuses."""
        return self.answer(part, self.count)

    def answer(self, part: list[Line], count: Callable[[Line], int]) -> tuple[list[Line], list[Line]]:
        """Return the lines of so many responses to each prompt, and of the prompts that the generator refuses."""
        reasons = self.generator.refusals([prompt_of(line) for line in part])
        named = [{**line, "split": self.split(line)} for line in part]
        kept = [line for line, reason in zip(named, reasons, strict=True) if reason is None]
        left_out = [{**line, "reason": why} for line, why in zip(named, reasons, strict=True) if why is not None]
        known = {line["id"]: self.earlier and self.earlier.find(line["id"], count(line)) for line in kept}
        made = iter(self._answered([line for line in kept if not known[line["id"]]], count))
        return [line | found if (found := known[line["id"]]) else next(made) for line in kept], left_out

    def _answered(self, kept: list[Line], count: Callable[[Line], int]) -> list[Line]:
        wanted = [(line, number) for line in kept for number in range(count(line))]
        seeds = [seed_of(self.plan.seed, line, number) for line, number in wanted]
        found = list(self.generator.generate([prompt_of(line) for line, _ in wanted], seeds)) if wanted else []
        if len(found) != len(wanted) or not all(isinstance(each, Reply) for each in found):
            raise TypeError(f"a generator must return one rmspace.text.Reply per prompt, {len(wanted)}; it did not")
        replies, made = iter(zip(found, seeds, strict=True)), []
        for line in kept:
            own = [next(replies) for _ in range(count(line))]
            columns: dict[str, list[Any]] = {
                "responses": [reply.text for reply, _ in own],
                "seeds": [seed for _, seed in own],
                "finish": [reply.finish for reply, _ in own],
                "tokens": [reply.tokens for reply, _ in own],
            }
            made.append(line | columns)
        return made
