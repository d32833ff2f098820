"""Banks saved by `ResponseBank.save`."""

from __future__ import annotations

from rmspace._typing import ExistingPath
from rmspace.bank import ResponseBank


def open_banks(train: ExistingPath | str, test: ExistingPath | str) -> tuple[ResponseBank, ResponseBank]:
    """Open two saved banks as (train, test).

    Raises: see `ResponseBank.open`; ValueError if their embeddings differ in length.

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
