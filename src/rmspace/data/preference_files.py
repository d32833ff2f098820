"""Preferences on disk: items, comparisons, groups, columns and features as `.npy` files, and one `preferences.json`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rmspace._checks import describe
from rmspace._typing import PathLike
from rmspace.data.array_files import SavedFiles, check_json, read_head, write_head, write_rows
from rmspace.data.files import FolderKind, new_folder
from rmspace.data.mapped import blocks

if TYPE_CHECKING:
    from rmspace.data.preferences import Preferences

_VERSION = 2
_KIND = FolderKind(
    "rmspace-preferences",
    "preferences.json",
    r"preferences\.json|(?:items|comparisons|groups|(?:column|feature)_\d+)\.npy",
)
_TYPES = {
    "shape": list,
    "dtype": str,
    "n_comparisons": int,
    "columns": list,
    "features": list,
    "metadata": dict,
    "hashes": dict,
}


def write_preferences(preferences: Preferences, folder: PathLike, *, overwrite: bool) -> None:
    """Write preferences; see `Preferences.save`."""
    items, names, features = preferences.items, sorted(preferences.columns), sorted(preferences.features)
    head = {
        "shape": [preferences.n_items, preferences.dim],
        "dtype": items.dtype.name,
        "n_comparisons": preferences.n_comparisons,
        "columns": names,
        "features": features,
        "metadata": check_json(preferences.metadata),
    }
    arrays = {"comparisons": preferences.comparisons, "groups": preferences.groups}
    arrays |= {f"column_{k}": preferences.columns[name] for k, name in enumerate(names)}
    arrays |= {f"feature_{k}": preferences.features[name] for k, name in enumerate(features)}
    with new_folder(folder, _KIND, overwrite=overwrite) as staged:
        shape = (preferences.n_items, preferences.dim)
        write_rows(staged / "items.npy", blocks(items), shape, items.dtype, lambda row: f"item {row}")
        for name, array in arrays.items():
            np.save(staged / f"{name}.npy", array, allow_pickle=False)
        write_head(staged, _KIND, _VERSION, head)


def read_preferences(path: Path) -> tuple[dict[str, Any], SavedFiles]:
    """Open the arrays of preferences, as the arguments of `Preferences`; see `Preferences.open`."""
    head = read_head(path, _KIND, _VERSION, _TYPES)
    files = SavedFiles(path, head["hashes"])
    items, comparisons = files.map("items"), files.read("comparisons")
    for name, array, shape in (
        ("items", items, head["shape"]),
        ("comparisons", comparisons, [head["n_comparisons"], 2]),
    ):
        if list(array.shape) != shape or (name == "items" and array.dtype.name != head["dtype"]):
            raise ValueError(
                f"{path / name}.npy must have the shape {tuple(shape)}, as {_KIND.marker} says; got {describe(array)}; "
                "the folder mixes two sets of preferences"
            )
    arguments = {
        "items": items,
        "comparisons": comparisons,
        "groups": files.read("groups"),
        "columns": {name: files.read(f"column_{k}") for k, name in enumerate(head["columns"])},
        "features": {name: files.read(f"feature_{k}") for k, name in enumerate(head["features"])},
        "metadata": head["metadata"],
    }
    return arguments, files
