"""Steps of a build: each a folder named by a hash of all that its content depends on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rmspace.data.progress import progress
from rmspace.text._endpoint import keeping
from rmspace.text.descriptions import ABOUT, differences
from rmspace.text.line_store import Line, LineStore

Say = Callable[[str], object]
Work = Callable[[list[Line]], Sequence[Sequence[Mapping[str, Any]]]]


_VERSION = 1  # of what steps do: a step of another version is made again


def key_of(options: Mapping[str, Any]) -> str:
    """Return a hash of what a step depends on; what stands under "about" is left out at any depth.

    >>> key_of({"model": {"sha256": "a", "about": {"place": "here"}}}) == key_of({"model": {"sha256": "a"}})
    True
    """
    text = json.dumps([_VERSION, without_about(options)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def without_about(value: Any) -> Any:
    """Return a value without what stands under "about" in any of its blocks."""
    if isinstance(value, Mapping):
        return {name: without_about(inner) for name, inner in value.items() if name != ABOUT}
    return [without_about(inner) for inner in value] if isinstance(value, list | tuple) else value


def step_folder(out: Path, name: str, options: Mapping[str, Any], say: Say) -> Path:
    """Return the folder of a step; where an earlier one of the same name exists, say what is different now."""
    folder = out / "steps" / f"{name}-{key_of(options)}"
    if not folder.is_dir() and (others := other_folders(folder)):
        before = max(others, key=lambda path: (path / "manifest.json").stat().st_mtime_ns)
        say(f"{name}: made again, because of {_changes(before, options)}; {before.name} stays")
    return folder


def open_step(out: Path, name: str, files: tuple[str, ...], options: Mapping[str, Any], say: Say) -> LineStore:
    """Return the store of a step, with what an earlier run committed."""
    return LineStore(step_folder(out, name, options, say), files, options)


def grow(
    store: LineStore, parts: Iterator[list[Line]], work: Work, what: str, show: bool | None, maker: object = None
) -> None:
    """Work on the parts of the input that a store does not hold yet, one shard for each; `finish` is the caller's.

    Where `maker`, the generator or gold that works, is a server, its answers are kept until their shard is committed,
    and the manifest lists what the server called itself.
    """
    if store.complete:
        return
    store.start()
    with keeping(maker, store.folder.with_name(f"{store.folder.name}.answers")) as answers:
        for part in progress(islice(parts, len(store.shards), None), what, show=show):
            lines = work(part)
            if answers is not None:
                store.about["fingerprints"] = sorted({*store.about.get("fingerprints", ()), *answers.fingerprints})
            store.append(lines)
            if answers is not None:
                answers.clear()
        if answers is not None:  # a run may have been stopped between the two lines above
            answers.clear()


def several_servers(store: LineStore) -> str:
    """Return what to say where answers of a step came from several versions of a server; nothing otherwise."""
    names = store.about.get("fingerprints", ())
    return f"; the server changed, it called itself {', '.join(names)}" if len(names) > 1 else ""


def set_aside(folder: Path) -> Path:
    """Move the folder of a step away, so that the next run makes it again; one that was moved before is replaced."""
    place = folder.with_name(f"{folder.name}.refused")
    shutil.rmtree(place, ignore_errors=True)
    return folder.rename(place)


def other_folders(own: Path) -> list[Path]:
    """Return the other folders of a step that have committed something, in the order of their names."""
    length = len(key_of({})) + 1
    return [
        path
        for path in (sorted(own.parent.iterdir()) if own.parent.is_dir() else ())
        if path != own and path.name[:-length] == own.name[:-length] and (path / "manifest.json").is_file()
    ]


def _changes(folder: Path, options: Mapping[str, Any]) -> str:
    """Return how the options of a step differ from those of an earlier folder."""
    head = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    before = head.get("about", head)  # embeddings have their encoder in the manifest itself
    names = (before.keys() & options.keys()) - {"input"}
    one, other = ({name: without_about(each[name]) for name in names} for each in (before, options))
    found = differences(one, other) or ["its input"]
    return "; ".join(found[:3]) + (f" and {len(found) - 3} others" if len(found) > 3 else "")
