"""The first step of a build: the distinct prompts of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rmspace.data.files import file_hash
from rmspace.text.formats._fields import items, present
from rmspace.text.line_store import Line, LineStore
from rmspace.text.pipeline.step import Say, grow, open_step
from rmspace.text.reading import read_records
from rmspace.text.records import Message, Record, digest
from rmspace.text.row_files import Row
from rmspace.text.sources import open_source

FILES = ("prompts.jsonl", "left_out.jsonl")
_SHARD = 1024
Prompt = tuple[Message, ...]


class Source(NamedTuple):
    """Where the prompts come from: the arguments of `read_records`, and the most prompts."""

    path: str
    format: str | None
    columns: Mapping[str, str] | None
    split: str | None
    limit: int | None


def prompts_step(out: Path, source: Source, say: Say, show: bool | None) -> LineStore:
    """Read the distinct prompts of a source, in their order: lines {id, prompt}, and what was left out.

    The id is a hash of the prompt. A prompt that comes again is counted, and read once.

    Raises:
        ValueError: no row that can be read, or no prompt.
    """
    options = {"files": file_hashes(Path(source.path)), **{k: v for k, v in source._asdict().items() if k != "path"}}
    store = open_step(out, "prompts", FILES, options, say)
    reading = _Reading(source)
    grow(store, reading.parts(), reading.lines, "prompts", show)
    store.about.setdefault("repeated", reading.repeated)
    store.finish()
    if store.n == 0:
        raise ValueError(f"{source.path} has no prompts")
    repeated = f"; {again:,} repeated prompts read once" if (again := store.about["repeated"]) else ""
    say(f"prompts: {store.n:,}; {store.count(1):,} rows left out{repeated}")
    return store


def prompt_of(line: Line) -> Prompt:
    """Return the prompt of a line."""
    return tuple(Message(turn["role"], turn["content"]) for turn in line["prompt"])


def as_dicts(prompt: Prompt) -> list[dict[str, str]]:
    """Return the turns of a prompt as JSON has them."""
    return [turn._asdict() for turn in prompt]


class _Reading:
    """One pass over a source; the ids of the prompts are kept, because a prompt that comes again is not a new one."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.repeated = 0
        self._told = 0
        self._reader = read_records(
            source.path, format=_format(source), columns=source.columns, split=source.split, verbose=False
        )

    def parts(self) -> Iterator[list[Line]]:
        """Yield the prompts, so many at a time."""
        part: list[Line] = []
        for line in self._distinct():
            part.append(line)
            if len(part) == _SHARD:
                yield part
                part = []
        if part or self._reader.left_out:
            yield part

    def lines(self, part: list[Line]) -> tuple[list[Line], list[Line]]:
        """Return a part with what was left out since the last one."""
        new = self._reader.left_out[self._told :]
        self._told += len(new)
        empty = [line for line in part if "reason" in line]
        kept = [line for line in part if "reason" not in line]
        return kept, [*({"file": each.file, "line": each.line, "reason": each.reason} for each in new), *empty]

    def _distinct(self) -> Iterator[Line]:
        seen: set[bytes] = set()
        n = 0
        for record in self._reader:
            prompt = record.items[0].prompt
            key = bytes.fromhex(digest(prompt))[:16]
            if key in seen:
                self.repeated += 1
                continue
            seen.add(key)
            if not any(turn.content.strip() for turn in prompt):
                yield {"reason": "the prompt is empty", "prompt": as_dicts(prompt)}
                continue
            yield {"id": key.hex(), "prompt": as_dicts(prompt)}
            n += 1
            if n == self.source.limit:
                return


def _format(source: Source) -> Any:
    """Return the format: where rows have a prompt, it is all that is read of them."""
    if source.format is not None:
        return source.format
    rows = open_source(source.path, split=source.split).rows
    first = next((row.value for row in rows if isinstance(row, Row)), {})
    return _prompt_alone if (source.columns or {}).get("prompt", "prompt") in first else None


def _prompt_alone(row: Mapping[str, Any]) -> Record:
    return Record(items(present(row, "prompt"), ["?"]))


def file_hashes(path: Path) -> dict[str, str]:
    """Return the SHA-256 of a file, or of all files in a folder."""
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    return {each.relative_to(path.parent).as_posix(): file_hash(each) for each in files}
