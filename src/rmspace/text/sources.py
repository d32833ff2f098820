"""Rows with their place: from files, folders, data sets of Hugging Face, tables, and plain sequences."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from rmspace.text._extras import need
from rmspace.text.row_files import READERS, LeftOut, Place, Row, kind_of, rows_of_file

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}")
_SPLIT = re.compile(r"(train|test|validation|valid|val|dev|eval)(?:[_.-]|$)")


class Source(NamedTuple):
    """Rows of a source, and what is known of it."""

    name: str
    rows: Iterator[Row | LeftOut]
    licence: str | None = None


def open_source(source: Any, *, split: str | None = None, hub: Mapping[str, Any] | None = None) -> Source:
    """Open a source of rows; nothing is read yet, except to find what the source is.

    Args:
        source: see `read_preferences`.
        split: of a data set with several; of a folder whose files are named after splits; of files with a column
            "split".
        hub: options of `datasets.load_dataset` for an id of the hub.

    Raises:
        FileNotFoundError: no such file or folder; a folder without data.
        ValueError: several splits and no `split`, or one that is not there; an extension that is not known.
        TypeError: a source that is none of these.
    """
    if isinstance(source, str | os.PathLike):
        return _open_path(os.fspath(source), split, hub or {})
    if isinstance(source, pd.DataFrame):
        return Source(
            "a table", _numbered("a table", source.astype(object).where(source.notna(), None).to_dict("records"))
        )
    if _is_dataset(source) or (isinstance(source, Mapping) and any(_is_dataset(part) for part in source.values())):
        return _open_dataset(source, "a data set", split)
    if isinstance(source, Iterable) and not isinstance(source, Mapping | bytes):
        parts = source if isinstance(source, Iterator) else list(source)
        if isinstance(parts, list) and parts and all(isinstance(part, str | os.PathLike) for part in parts):
            opened = [open_source(part, split=split, hub=hub) for part in parts]
            return Source(", ".join(each.name for each in opened), (row for each in opened for row in each.rows))
        return Source("rows", _numbered("rows", parts))
    raise TypeError(
        f"a source is a path, the id of a data set, a data set, a table or rows; got {type(source).__name__}"
    )


def _open_path(text: str, split: str | None, hub: Mapping[str, Any]) -> Source:
    path = Path(text)
    if path.is_dir():
        return _open_folder(path, split)
    if path.exists():
        kind_of(path)
        return Source(text, _of_split(rows_of_file(path), split))
    if _HUB_ID.fullmatch(text) and path.suffix not in {*READERS, ".gz"}:
        return _open_hub(text, split, hub)
    raise FileNotFoundError(f"no file or folder {text}")


def _open_folder(folder: Path, split: str | None) -> Source:
    if any((folder / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return _open_dataset(need("datasets").load_from_disk(str(folder)), str(folder), split)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_data(path.relative_to(folder))]
    if not files:
        known = ", ".join(READERS)
        raise FileNotFoundError(f"{folder} has no data: no file that ends in {known} (or these with .gz)")
    named = {path: _split_of(path.relative_to(folder)) for path in files}
    splits = sorted({name for name in named.values() if name})
    if split is None and len(splits) > 1:
        raise ValueError(f"{folder} has files of the splits {', '.join(splits)}; name one: split={splits[0]!r}")
    if split in splits:
        files, split = [path for path in files if named[path] == split], None
    return Source(str(folder), _of_split((row for path in files for row in rows_of_file(path)), split))


def _open_hub(name: str, split: str | None, hub: Mapping[str, Any]) -> Source:
    if hub.get("trust_remote_code"):
        raise ValueError("code of a data set is never run, so hub must not have trust_remote_code")
    try:
        found = need("datasets").load_dataset(name, split=split, **hub)
    except OSError as error:
        raise FileNotFoundError(f"no file or folder {name}, and no such data set on the hub: {_line(error)}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {_line(error)}; options of datasets.load_dataset go in hub=") from error
    return _open_dataset(found, name, None)


def _open_dataset(dataset: Any, name: str, split: str | None) -> Source:
    if isinstance(dataset, Mapping):
        splits = list(dataset)
        if split is None and len(splits) > 1:
            raise ValueError(f"{name} has the splits {', '.join(splits)}; name one: split={splits[0]!r}")
        if split is not None and split not in splits:
            raise ValueError(f"{name} has no split {split!r}; it has {', '.join(splits)}")
        dataset = dataset[split or splits[0]]
        split = None
    licence = getattr(getattr(dataset, "info", None), "license", None) or None
    return Source(name, _of_split(_numbered(name, dataset), split), licence)


def _numbered(name: str, rows: Iterable[Any]) -> Iterator[Row | LeftOut]:
    for number, row in enumerate(rows, 1):
        place = Place(name, number)
        yield Row(place, row) if isinstance(row, Mapping) else LeftOut(*place, "a row is no object with columns")


def _of_split(rows: Iterator[Row | LeftOut], split: str | None) -> Iterator[Row | LeftOut]:
    """Yield the rows of a split, which their column "split" names; the others were not asked for."""
    if split is None:
        yield from rows
        return
    seen: set[str] = set()
    found = False
    for row in rows:
        name = row.value.get("split") if isinstance(row, Row) else split
        if name is not None:
            seen.add(str(name))
        if name == split:
            found = True
            yield row
    if not found:
        there = f"; the column 'split' has {', '.join(sorted(seen)[:5])}" if seen else ", nor a column 'split'"
        raise ValueError(f"the source has no split {split!r}{there}")


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _is_dataset(value: Any) -> bool:
    """Say whether a value is a data set of Hugging Face, without importing that package."""
    return hasattr(value, "column_names") and hasattr(value, "features") and hasattr(value, "__iter__")


def _is_data(path: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in path.parts)
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    return not hidden and plain.suffix in READERS and not (plain.suffix == ".json" and _is_about(plain))


def _is_about(path: Path) -> bool:
    """Say whether a JSON file describes data instead of holding it."""
    return path.stem in {"meta", "metadata", "dataset_info", "dataset_infos", "state", "config"}


def _split_of(path: Path) -> str | None:
    """Return the split that a file is named after: train-00000-of-00002.parquet, or train/data.jsonl."""
    found = [_SHARD.match(part) or _SPLIT.match(part) for part in reversed(path.parts)]
    return next((match[1] for match in found if match), None)
