"""Banks and preferences that were saved by this library."""

from __future__ import annotations

from pathlib import Path

from rmspace._typing import ExistingPath
from rmspace.data.bank import ResponseBank
from rmspace.data.preferences import Preferences

__all__ = ["open_banks", "open_paper_banks", "open_preferences"]


def open_banks(train: ExistingPath | str | Path, test: ExistingPath | str | Path) -> tuple[ResponseBank, ResponseBank]:
    """Open two saved banks as (train, test).

    Raises:
        FileNotFoundError, ValueError: as `ResponseBank.open`; embeddings of different lengths.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ResponseBank(np.ones((2, 2, 3), np.float32)).save(folder + "/train")
    ...     ResponseBank(np.ones((1, 2, 3), np.float32)).save(folder + "/test")
    ...     [bank.n_prompts for bank in open_banks(folder + "/train", folder + "/test")]
    [2, 1]
    """
    banks = ResponseBank.open(train), ResponseBank.open(test)
    if banks[0].dim != banks[1].dim:
        raise ValueError(f"train and test must have embeddings of one length; got {banks[0].dim} and {banks[1].dim}")
    return banks


def open_paper_banks(
    root: ExistingPath | str | Path, base_model: str, dataset: str
) -> tuple[ResponseBank, ResponseBank]:
    """Open the banks of one base model on one dataset as (train, test): `root/base_model/dataset/train` and `.../test`.

    Both names can then be axes of a study: `data.base_model` and `data.dataset`.

    Raises:
        FileNotFoundError: a name that is no folder; the error lists the folders that are there.
        ValueError: a name that cannot be a folder; a damaged bank.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for side in ("train", "test"):
    ...         ResponseBank(np.ones((2, 2, 3), np.float32)).save(f"{root}/Gemma2b/Helpful/{side}")
    ...     open_paper_banks(root, "Gemma2b", "Helpful")[0].n_prompts
    2
    """
    folder = Path(root)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; give the one that holds the base models")
    for name in (base_model, dataset):
        if not isinstance(name, str) or Path(name).name != name or name == "..":
            raise ValueError(f"base_model and dataset must be names of folders; got {name!r}")
        if not (folder / name).is_dir():
            there = sorted(path.name for path in folder.iterdir() if path.is_dir())
            raise FileNotFoundError(f"{folder} has no folder {name}; it has {', '.join(there) or 'none'}")
        folder /= name
    return open_banks(str(folder / "train"), str(folder / "test"))


def open_preferences(
    train: ExistingPath | str | Path, test: ExistingPath | str | Path
) -> tuple[Preferences, Preferences]:
    """Open two folders saved by `Preferences.save` as (train, test).

    Raises:
        FileNotFoundError, ValueError: as `Preferences.open`; embeddings of different lengths.

    >>> import tempfile, numpy as np
    >>> data = Preferences(np.eye(4, dtype=np.float32), np.array([[0, 1], [3, 2]]), groups=["a", "a", "b", "b"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data[[0]].save(folder + "/train")
    ...     data[[1]].save(folder + "/test")
    ...     [side.n_comparisons for side in open_preferences(folder + "/train", folder + "/test")]
    [1, 1]
    """
    sides = Preferences.open(train), Preferences.open(test)
    if sides[0].dim != sides[1].dim:
        raise ValueError(f"train and test must have embeddings of one length; got {sides[0].dim} and {sides[1].dim}")
    return sides
