"""Folders in which the same generators answered every prompt, with lengths and a fixed split of the prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from rmspace._checks import check_int
from rmspace._typing import ExistingPath
from rmspace.data.array_files import load_array
from rmspace.data.bank import ResponseBank

__all__ = ["open_generators", "read_generators"]


def read_generators(folder: ExistingPath | str | Path) -> ResponseBank:
    """Read a bank in which the same generators answered every prompt.

    The folder is a saved bank whose metadata lists generators, prompts and split, as `read_alpaca_eval` gives, or it
    holds `embeddings.npy`, `rewards.npy`, `lengths.npy` and `meta.json`. Response r of every prompt comes from
    `metadata["generators"][r]`. Lengths in characters are `features["length"]`. `bank.prompt_ids` are places in
    `metadata["prompts"]` and `metadata["split"]`.

    Raises:
        FileNotFoundError, ValueError: a file is missing, damaged, or does not fit the others.

    >>> import tempfile
    >>> meta = {"prompts": ["Hi", "Why?"], "generators": ["a", "b"], "split": ["train", "test"]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(folder + "/embeddings.npy", np.zeros((2, 2, 3), np.float16))
    ...     np.save(folder + "/rewards.npy", np.zeros((2, 2)))
    ...     np.save(folder + "/lengths.npy", np.array([[5, 9], [7, 1]]))
    ...     _ = Path(folder, "meta.json").write_text(json.dumps(meta))
    ...     bank = read_generators(folder)
    >>> bank.metadata["generators"], bank.features["length"].tolist()
    (['a', 'b'], [[5, 9], [7, 1]])
    """
    path = Path(folder)
    if (path / "bank.json").is_file():
        source, bank = path / "bank.json", ResponseBank.open(path)
    elif (path / "meta.json").is_file():
        source, bank = path / "meta.json", _read_arrays(path)
    else:
        raise FileNotFoundError(f"{path} is no folder of generators' responses: it has no bank.json and no meta.json")
    _check_lists(bank, source)
    return bank


def _read_arrays(path: Path) -> ResponseBank:
    try:
        meta: dict[str, Any] = json.loads((path / "meta.json").read_text(encoding="utf-8"))
        return ResponseBank(
            load_array(path / "embeddings.npy"),
            np.array(load_array(path / "rewards.npy")),
            features={"length": np.array(load_array(path / "lengths.npy"))},
            metadata=meta,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"{path / 'meta.json'} must list prompts, split and generators ({error!r})") from error


def _check_lists(bank: ResponseBank, source: Path) -> None:
    """Check that the metadata lists as many prompts, sides and generators as the bank has."""
    for key, size in (("prompts", bank.n_prompts), ("split", bank.n_prompts), ("generators", bank.n_responses)):
        listed = bank.metadata.get(key)
        if not isinstance(listed, list):
            raise ValueError(f"{source} must list prompts, split and generators; got {type(listed).__name__} for {key}")
        if len(listed) != size:
            raise ValueError(f"{source} must list {size} {key}; got {len(listed)}")


def open_generators(folder: ExistingPath | str | Path, *, seed: int | None = None) -> tuple[ResponseBank, ResponseBank]:
    """Read a folder of `read_generators` as (train, test), by the split in its metadata or a random split of its sizes.

    Args:
        folder: as in `read_generators`.
        seed: of a random split with as many test prompts as the metadata's split; None is the metadata's split. Random
            splits of one bank overlap: intervals over them need `compare_models(..., overlap=n_test / n_train)`.

    Raises:
        FileNotFoundError, ValueError: as `read_generators`; the split has another word than train and test.

    >>> import tempfile
    >>> meta = {"prompts": ["Hi", "Why?"], "generators": ["a", "b"], "split": ["train", "test"]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("rewards", "lengths"):
    ...         np.save(f"{folder}/{name}.npy", np.zeros((2, 2)))
    ...     np.save(folder + "/embeddings.npy", np.zeros((2, 2, 3), np.float16))
    ...     _ = Path(folder, "meta.json").write_text(json.dumps(meta))
    ...     [bank.prompt_ids.tolist() for bank in open_generators(folder)]
    [[0], [1]]
    """
    bank = read_generators(folder)
    split = np.array(bank.metadata["split"])
    if set(split) != {"train", "test"}:
        raise ValueError(f"the split must say 'train' or 'test' for each prompt; got {sorted(set(split))}")
    if seed is not None:
        split = np.random.default_rng(check_int("seed", seed, low=0)).permutation(split)
    return bank[split == "train"], bank[split == "test"]
