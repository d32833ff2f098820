"""Published pairs of `.npy` files, embeddings and rewards, in either of two layouts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import numpy as np

from rmspace._typing import ExistingPath
from rmspace.data.array_files import load_array
from rmspace.data.bank import ResponseBank
from rmspace.data.health import looks_swapped

__all__ = ["open_published", "read_published"]

_log = logging.getLogger(__name__)


def read_published(
    embeddings: ExistingPath | str | Path,
    rewards: ExistingPath | str | Path,
    *,
    layout: Literal["prompts_first", "responses_first", "auto"] = "auto",
) -> ResponseBank:
    """Read one published `.npy` pair as a bank, memory-mapped.

    Two layouts are in use. `prompts_first` is embeddings (prompts, responses, dim) with rewards (prompts, responses) or
    (prompts, responses, 1). `responses_first` is (responses, prompts, dim) with (responses, prompts). `auto` decides by
    `looks_swapped`; the layout that it finds is logged and kept in `metadata["layout"]`. A `responses_first` bank is a
    transposed view, and the items of a prompt lie far apart in the file: save it as a bank if it is used often.

    Raises:
        FileNotFoundError, ValueError: a file is missing, damaged, or does not fit the other; `auto` cannot tell.

    >>> import tempfile
    >>> prompts = np.random.default_rng(0).normal(size=(1, 30, 8))
    >>> array = prompts + 0.3 * np.random.default_rng(1).normal(size=(5, 30, 8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(folder + "/e.npy", array.astype(np.float32))
    ...     np.save(folder + "/r.npy", np.zeros((5, 30)))
    ...     bank = read_published(folder + "/e.npy", folder + "/r.npy")
    >>> bank.n_prompts, bank.n_responses, bank.metadata["layout"]
    (30, 5, 'responses_first, detected')
    """
    if layout not in ("prompts_first", "responses_first", "auto"):
        raise ValueError(f"layout must be 'prompts_first', 'responses_first' or 'auto'; got {layout!r}")
    items, gold = load_array(Path(embeddings)), np.array(load_array(Path(rewards)))
    if gold.ndim == 3 and gold.shape[2] == 1:
        gold = gold[:, :, 0]
    if items.ndim != 3 or items.shape[:2] != gold.shape:
        raise ValueError(
            f"embeddings (a, b, dim) and rewards (a, b) or (a, b, 1) must agree in a and b; "
            f"got {items.shape} and {gold.shape}"
        )
    found = layout
    if layout == "auto":
        swapped = looks_swapped(items)
        if swapped is None:
            raise ValueError(
                f"the embeddings do not tell which axis of {items.shape[:2]} is the prompts; "
                "give layout='prompts_first' or 'responses_first'"
            )
        found = "responses_first" if swapped else "prompts_first"
        _log.info("%s: layout %s, by the variance inside each axis", embeddings, found)
    if found == "responses_first":
        items, gold = items.swapaxes(0, 1), gold.T
    label = f"{found}, detected" if layout == "auto" else f"{found}, given"
    return ResponseBank(items, np.ascontiguousarray(gold), metadata={"layout": label, "source": str(embeddings)})


def open_published(
    train_embeddings: ExistingPath | str | Path,
    train_rewards: ExistingPath | str | Path,
    test_embeddings: ExistingPath | str | Path,
    test_rewards: ExistingPath | str | Path,
    *,
    layout: Literal["prompts_first", "responses_first", "auto"] = "auto",
) -> tuple[ResponseBank, ResponseBank]:
    """Read two published pairs as (train, test); see `read_published`.

    Raises:
        FileNotFoundError, ValueError: as `read_published`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(folder + "/e.npy", np.zeros((4, 2, 3), np.float32))
    ...     np.save(folder + "/r.npy", np.zeros((4, 2, 1)))
    ...     files = [folder + "/e.npy", folder + "/r.npy"]
    ...     [bank.n_prompts for bank in open_published(*files, *files, layout="prompts_first")]
    [4, 4]
    """
    return (
        read_published(train_embeddings, train_rewards, layout=layout),
        read_published(test_embeddings, test_rewards, layout=layout),
    )
