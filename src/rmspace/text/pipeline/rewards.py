"""The third step of a build: gold rewards of the responses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rmspace._typing import Float64Array, IntArray
from rmspace.kinds import Gold
from rmspace.text.line_store import Line, LineStore
from rmspace.text.notes import say_notes
from rmspace.text.pipeline.earlier import EarlierRewards, hash_of
from rmspace.text.pipeline.responses import groups_of
from rmspace.text.pipeline.step import Say, grow, open_step, set_aside, several_servers
from rmspace.text.ratings import Unread, check_ratings

FILES = ("rewards.jsonl", "unread.jsonl")


def rewards_step(
    out: Path,
    responses: LineStore,
    name: str,
    gold: Gold,
    sources: Mapping[str, str],
    say: Say,
    show: bool | None,
) -> LineStore:
    """Rate all responses: lines {id, rated, rewards}, and the answers of a judge that could not be read.

    "rated" is a hash of the responses. Rewards of an earlier build in the same folder are taken over.

    Rewards that cannot be used, because they are all the same, are moved away. So the next run rates again, after the
    server, the judge or the function was corrected.

    Raises:
        TypeError, ValueError: a gold that returns something else than one finite number per response, or the same for
            all.
    """
    options = {"input": responses.fingerprint(), "gold": dict(gold.describe()), "sources": dict(sources)}
    store = open_step(out, f"gold-{name}", FILES, options, say)
    earlier = None if store.complete else EarlierRewards(store.folder, FILES, options)
    grow(store, responses.parts(), lambda part: rated(name, gold, part, earlier), f"gold {name}", show, gold)
    _check_spread(store, name)
    store.finish()
    cut = say_notes(np.array([note for line in store.lines() for note in line.get("notes", ())], dtype=np.int64))
    more = (f"; {cut}" if cut else "") + several_servers(store)
    say(f"gold {name}: {store.n:,} prompts; {store.count(1):,} answers could not be read{more}")
    return store


def column_name(gold: str, column: str) -> str:
    """Return the name of a column of a bank.

    >>> column_name("judge", ""), column_name("rm", "helpfulness")
    ('judge', 'rm.helpfulness')
    """
    return f"{gold}.{column}" if column else gold


def rated(
    name: str, gold: Gold, part: list[Line], earlier: EarlierRewards | None = None
) -> tuple[list[Line], list[Line]]:
    """Return the lines of the rewards of some prompts, and of the answers that could not be read."""
    known = {line["id"]: found for line in part if earlier is not None and (found := earlier.find(line))}
    lines, unread = _rated(name, gold, [line for line in part if line["id"] not in known])
    made = iter(lines)
    return [known.get(line["id"]) or next(made) for line in part], unread


def _rated(name: str, gold: Gold, part: list[Line]) -> tuple[list[Line], list[Line]]:
    if not part:
        return [], []
    groups = groups_of(part)
    edges = np.cumsum([0, *map(len, groups)])
    found = check_ratings(name, gold.rate(groups), int(edges[-1]))
    lines: list[Line] = []
    for line, start, stop in zip(part, edges[:-1], edges[1:], strict=True):
        rewards = {column: _as_json(values[start:stop]) for column, values in found.columns.items()}
        notes = [] if found.notes is None else found.notes[start:stop].tolist()
        own = {"id": line["id"], "rated": hash_of(line["responses"]), "rewards": rewards}
        lines.append(own | ({"notes": notes} if any(notes) else {}))
    return lines, [_unread(each, part, edges) for each in found.unread]


def _unread(found: Unread, part: list[Line], edges: IntArray) -> Line:
    """Return the line of an answer that could not be read: the prompt, and the numbers of its responses."""
    prompt = int(np.searchsorted(edges, found.place, side="right")) - 1
    start = int(edges[prompt])
    other = {} if found.other is None else {"other": found.other - start}
    return {"id": part[prompt]["id"], "response": found.place - start, **other, "answer": found.answer}


def _as_json(values: Float64Array) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _check_spread(store: LineStore, name: str) -> None:
    """Raise ValueError where a column has one value for all responses, or none at all."""
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    for column, values in ((c, v) for line in store.lines() for c, v in line["rewards"].items()):
        known = [value for value in values if value is not None]
        low[column] = min([low.get(column, math.inf), *known])
        high[column] = max([high.get(column, -math.inf), *known])
    for column in low:
        if low[column] >= high[column]:
            came = f"{low[column]:g}" if low[column] == high[column] else "no reward, because no answer could be read,"
            place = set_aside(store.folder)
            raise ValueError(
                f"a gold must tell responses apart; {column_name(name, column)!r} gives {came} for all of them; "
                f"what it gave is in {place}, and is not used: correct the gold, or leave it out, and run again"
            )
