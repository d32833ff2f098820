"""Preferences: items, and comparisons of them by people or a judge."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from rmspace._checks import check_names
from rmspace._typing import Float64Array, FloatArray, IntArray, PathLike
from rmspace.data.annotate import annotate
from rmspace.data.array_files import SavedFiles
from rmspace.data.arrays import (
    check_columns,
    check_feature,
    check_groups,
    check_items,
    check_pairs,
    check_selection,
    check_weights,
)
from rmspace.data.mapped import blocks, choose
from rmspace.data.preference_files import read_preferences, write_preferences

if TYPE_CHECKING:
    import pandas as pd

    from rmspace.data.bank import ResponseBank

KNOWN_COLUMNS = ("weight", "margin", "tie", "annotator", "subset")


class Preferences:
    """Comparisons of items, each with optional columns (weight, margin, tie, annotator, subset), without gold rewards.

    Values are checked where they are used; `health()` checks all of them. A comparison of an item with itself and a
    missing value (NaN) in a column are accepted here. `health()` reports both, and a fit that uses them refuses them.

    Args:
        items: float16 or float32 (n_items, dim), one prompt-response pair per row; float64 is accepted.
        comparisons: int64 (n_comparisons, 2), rows of `items`; the item in column 0 won.
        groups: (n_items,) the prompt of each item, integers or text; splits, validation and intervals go by it.
        weight: (n_comparisons,) at least 0; 1 each when None.
        margin: (n_comparisons,) how much better the winner is, in units of the source.
        tie: (n_comparisons,) True where neither item won; the order of the two then means nothing.
        annotator: (n_comparisons,) who judged, integers or text.
        subset: (n_comparisons,) the part of the data that each comparison belongs to, integers or text.
        columns: any other column by name, each (n_comparisons,), numbers or text.
        features: numbers per item, by name, each (n_items,), such as response lengths.
        metadata: anything that JSON can hold: source, licence.

    Raises:
        ValueError: comparisons that are not rows of `items`, a column or feature of another length, a column given
            twice, a weight that is negative or missing.
        TypeError: items, comparisons or features that are not numbers of the right kind.

    >>> items = np.eye(4, dtype=np.float32)
    >>> data = Preferences(items, np.array([[0, 1], [3, 2]]), groups=["a", "a", "b", "b"], margin=[1.0, 0.5])
    >>> data
    Preferences(n_comparisons=2, n_items=4, n_prompts=2, dim=4, columns=['margin'])
    >>> data[[1]].comparisons.tolist(), data[[1]].columns["margin"].tolist()
    ([[1, 0]], [0.5])
    """

    def __init__(
        self,
        items: npt.ArrayLike,
        comparisons: npt.ArrayLike,
        groups: npt.ArrayLike,
        *,
        weight: npt.ArrayLike | None = None,
        margin: npt.ArrayLike | None = None,
        tie: npt.ArrayLike | None = None,
        annotator: npt.ArrayLike | None = None,
        subset: npt.ArrayLike | None = None,
        columns: Mapping[str, npt.ArrayLike] | None = None,
        features: Mapping[str, npt.ArrayLike] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.items: FloatArray = check_items(items)
        self.comparisons: IntArray = check_pairs("comparisons", comparisons, len(self.items), self_allowed=True)
        self.groups = check_groups(groups, len(self.items))
        known = {"weight": weight, "margin": margin, "tie": tie, "annotator": annotator, "subset": subset}
        given = {name: value for name, value in known.items() if value is not None}
        if columns is not None:
            check_names("columns", columns)
        if twice := sorted(set(given) & set(columns or {})):
            raise ValueError(f"a column must be given once; {', '.join(twice)} came as an argument and in columns")
        n = len(self.comparisons)
        self._columns = check_columns({**given, **(columns or {})}, n)
        if "weight" in self._columns:
            check_weights(self._columns["weight"], n)
        self._features = {name: check_feature(name, v, (self.n_items,)) for name, v in (features or {}).items()}
        self.metadata = dict(metadata or {})
        self._files: SavedFiles | None = None  # of preferences that were opened

    def __repr__(self) -> str:
        return (
            f"Preferences(n_comparisons={self.n_comparisons}, n_items={self.n_items}, n_prompts={self.n_prompts}, "
            f"dim={self.dim}, columns={sorted(self._columns)})"
        )

    def __len__(self) -> int:
        return self.n_comparisons

    @property
    def n_comparisons(self) -> int:
        """Number of comparisons."""
        return len(self.comparisons)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.items)

    @property
    def n_prompts(self) -> int:
        """Number of different prompts."""
        return len(np.unique(self.groups))

    @property
    def dim(self) -> int:
        """Length of one embedding."""
        return int(self.items.shape[1])

    @property
    def columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """The columns of the comparisons by name, each (n_comparisons,)."""
        return MappingProxyType(self._columns)

    @property
    def fit_columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """The columns that a fit receives: those of the comparisons, and the features of their items.

        The features are the columns `winner_<feature>` and `loser_<feature>`. Where there is a column of that name
        already, it is used.

        >>> data = Preferences(np.eye(2), np.array([[1, 0]]), groups=[0, 0], features={"length": [7, 9]})
        >>> data.fit_columns["winner_length"].tolist(), data.fit_columns["loser_length"].tolist()
        ([9], [7])
        """
        return {**side_columns(self._features, self.comparisons), **self._columns}

    @property
    def features(self) -> Mapping[str, npt.NDArray[Any]]:
        """The features of the items by name, each (n_items,)."""
        return MappingProxyType(self._features)

    @property
    def weight(self) -> npt.NDArray[Any] | None:
        """The weight of each comparison, or None where all count alike."""
        return self._columns.get("weight")

    @classmethod
    def from_bank(
        cls,
        bank: ResponseBank,
        pairs: IntArray,
        annotator: Callable[[Float64Array], Float64Array],
        *,
        rng: np.random.Generator,
        scale: float | Literal["std"] = 1.0,
    ) -> Preferences:
        """Let a simulated annotator judge pairs of a bank; see `annotate`. The groups are the bank's prompt ids.

        >>> from rmspace import ResponseBank, oracle
        >>> bank = ResponseBank(np.zeros((1, 3, 2), np.float32), np.array([[0.0, 1.0, 5.0]]))
        >>> rng = np.random.default_rng(0)
        >>> Preferences.from_bank(bank, np.array([[0, 1], [2, 1]]), oracle, rng=rng).comparisons.tolist()
        [[1, 0], [2, 1]]
        """
        comparisons = annotate(pairs, bank, annotator, rng=rng, scale=scale)
        groups = np.repeat(bank.prompt_ids, bank.counts)
        features = {name: value.reshape(-1) for name, value in bank.features.items()}
        return cls(bank.items, comparisons, groups, features=features, metadata=bank.metadata)

    def __getitem__(self, chosen: int | slice | npt.ArrayLike) -> Preferences:
        """Return some comparisons, by row, slice, rows or mask, with the items that they need and no others."""
        rows = check_selection(chosen, self.n_comparisons, "comparison")
        ids, local = np.unique(self.comparisons[rows], return_inverse=True)
        return Preferences(
            choose(self.items, ids),
            local.reshape(-1, 2),
            self.groups[ids],
            columns={name: value[rows] for name, value in self._columns.items()},
            features={name: value[ids] for name, value in self._features.items()},
            metadata=self.metadata,
        )

    def health(self) -> pd.DataFrame:
        """Return a table of findings, empty when all is well; see `rmspace.data.preference_health`.

        >>> items = np.eye(3, dtype=np.float32)
        >>> data = Preferences(items, np.array([[0, 1], [1, 0], [2, 2]]), groups=[0, 0, 1])
        >>> data.health()[["check", "n_found"]].values.tolist()
        [['self_comparisons', 1], ['contradictions', 2]]
        """
        from rmspace.data.finding import table_of
        from rmspace.data.health import file_findings
        from rmspace.data.preference_health import findings

        found = file_findings(self._files)
        return findings(self) if found is None else table_of([found])

    def fingerprint(self) -> str:
        """Return the SHA-256 of everything a result can depend on: items, comparisons, groups, columns and features.

        >>> items, comparisons = np.eye(3, dtype=np.float32), np.array([[0, 1], [1, 2]])
        >>> data = Preferences(items, comparisons, groups=["a", "a", "a"])
        >>> data.fingerprint() == Preferences(items, comparisons[::-1], groups=["a", "a", "a"]).fingerprint()
        False
        """
        arrays: dict[str, npt.NDArray[Any]] = {
            "items": self.items,
            "comparisons": self.comparisons,
            "groups": self.groups,
        }
        arrays |= {f"column:{name}": value for name, value in sorted(self._columns.items())}
        arrays |= {f"feature:{name}": value for name, value in sorted(self._features.items())}
        digest = hashlib.sha256()
        for name, array in arrays.items():
            if array.dtype.kind == "U":  # the narrowest text dtype
                array = np.array(array.tolist())
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            for _, block in blocks(array):
                digest.update(np.ascontiguousarray(block).view(np.uint8).data)
        return digest.hexdigest()

    def save(self, folder: PathLike, *, overwrite: bool = False) -> None:
        """Write the preferences as `.npy` files and one `preferences.json`; the folder appears whole or not at all.

        Raises:
            FileExistsError: the folder exists, and `overwrite` is not set or it does not hold preferences.
            TypeError: metadata that JSON cannot hold.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Preferences(np.eye(2, dtype=np.float32), np.array([[0, 1]]), groups=[5, 5]).save(folder + "/data")
        ...     Preferences.open(folder + "/data")
        Preferences(n_comparisons=1, n_items=2, n_prompts=1, dim=2, columns=[])
        """
        write_preferences(self, folder, overwrite=overwrite)

    @classmethod
    def open(cls, folder: PathLike) -> Preferences:
        """Open saved preferences with their items memory-mapped: no embedding is read until it is used.

        Raises:
            FileNotFoundError: there are no preferences at `folder`.
            ValueError: a file is damaged, cut short, of another shape, or of another version.
        """
        arguments, files = read_preferences(Path(folder))
        preferences = cls(**arguments)
        preferences._files = files
        return preferences

    def verify(self) -> None:
        """Check that the files of opened preferences are what was written; preferences that were not opened have none.

        Raises:
            ValueError: a file is not; the error names it.
        """
        if self._files is not None:
            self._files.verify()


def side_columns(features: Mapping[str, npt.ArrayLike], comparisons: IntArray) -> dict[str, npt.NDArray[Any]]:
    """Return the features of both items of each comparison, as columns `winner_<feature>` and `loser_<feature>`.

    >>> columns = side_columns({"length": [10, 20, 30]}, np.array([[2, 0], [1, 2]]))
    >>> {name: column.tolist() for name, column in columns.items()}
    {'winner_length': [30, 20], 'loser_length': [10, 30]}
    """
    return {
        f"{side}_{name}": np.ravel(values)[comparisons[:, place]]
        for name, values in features.items()
        for place, side in enumerate(("winner", "loser"))
    }


def check_preferences(name: str, value: object) -> None:
    """Raise TypeError where `value` is no Preferences."""
    if not isinstance(value, Preferences):
        raise TypeError(
            f"{name} must be Preferences; got {type(value).__name__}; make them: "
            "Preferences(items, comparisons, groups)"
        )
