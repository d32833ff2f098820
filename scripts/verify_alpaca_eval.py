"""Compare a clone of tatsu-lab/alpaca_eval with a bank that was made of it: what docs/public-banks.md says of ours.

python scripts/verify_alpaca_eval.py CLONE --bank FOLDER --encoder MODEL                 # 2,000 texts: 200 prompts
python scripts/verify_alpaca_eval.py CLONE --bank FOLDER --encoder MODEL --prompts 797 --responses 56   # all

The bank names its models. All rewards, lengths, prompts and the split are read from the clone; some texts are embedded
again. The status is 1 where anything differs.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import rmspace as rm
from rmspace._typing import IntArray
from rmspace.readers.alpaca_eval import embed_table
from rmspace.readers.alpaca_files import Table, read_table
from rmspace.readers.generators import read_generators

OPTIONS = {"template": "plain", "normalize": True, "max_length": 256, "max_prompt": 128, "side": "right"}
ROUNDING = 2.0**-11  # of a number in float16, relative
NOISE = 2e-6  # of a number: another batch, another processor


def main() -> int:
    options = _parse()
    bank = read_generators(options.bank)
    table = read_table(options.clone, models=bank.metadata["generators"])
    same = check_rewards(table, bank)
    encoder = rm.text.TransformersEncoder(options.encoder, **OPTIONS)
    rng = np.random.default_rng(options.seed)
    chosen = rng.permuted(np.tile(np.arange(len(table.models)), (len(table.prompts), 1)), axis=1)[
        :, : options.responses
    ]
    prompts = np.sort(rng.permutation(len(table.prompts))[: options.prompts])
    return int(not check_embeddings(table, bank, encoder, prompts, chosen[prompts]) or not same)


def check_rewards(table: Table, bank: rm.ResponseBank) -> bool:
    """Print what the clone and the bank have in common beside embeddings; return whether all of it is equal."""
    n_train = bank.metadata["split"].count("train")
    own = embed_table(table, embed=_nothing, n_train=n_train)
    checks = {
        f"{len(table.prompts)} prompts": table.prompts == bank.metadata["prompts"],
        f"{len(table.models)} models": table.models == bank.metadata["generators"],
        f"split, {n_train} for training": own.metadata["split"] == bank.metadata["split"],
        "lengths": np.array_equal(own.features["length"], bank.features["length"]),
    }
    for name, equal in checks.items():
        print(f"{name}: {'equal' if equal else 'DIFFERENT'}")
    if own.rewards.shape != bank.rewards.shape:
        return False
    gaps = np.abs(own.rewards.astype(np.float64) - bank.rewards)
    print(f"rewards: {int((gaps == 0).sum()):,} of {gaps.size:,} equal, largest difference {gaps.max():.3g}")
    return all(checks.values()) and not gaps.any()


def check_embeddings(
    table: Table, bank: rm.ResponseBank, encoder: rm.text.TransformersEncoder, prompts: IntArray, responses: IntArray
) -> bool:
    """Print how far the embeddings of some responses are from those of the bank; return whether it is the rounding.

    Args:
        prompts: (n,) places in the table.
        responses: (n, k) models of each of these prompts.
    """
    ids = (prompts[:, None] * len(table.models) + responses).ravel()
    every = table.items
    with warnings.catch_warnings(record=True) as said:  # what was cut
        warnings.simplefilter("always")
        ours = rm.text.embed([every[k] for k in ids.tolist()], encoder, progress=None)
    theirs = np.asarray(bank.items[ids], dtype=np.float64)
    gaps = np.abs(ours - theirs)
    beyond = int((gaps > ROUNDING * np.abs(theirs) + NOISE).any(axis=1).sum())
    cut = "; ".join(str(each.message) for each in said) or "nothing was cut"
    print(f"embeddings: {responses.shape[1]} responses to each of {len(prompts)} prompts ({cut})")
    print(f"largest difference {gaps.max():.6f}; texts that differ by more than the rounding to float16: {beyond}")
    return beyond == 0


def _nothing(texts: Sequence[str]) -> NDArray[np.float32]:
    return np.zeros((len(texts), 1), dtype=np.float32)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("clone", type=Path, help="folder of the repository, which has the folder results")
    add("--bank", type=Path, required=True, help="folder of the bank")
    add("--encoder", required=True, metavar="MODEL", help="folder of all-MiniLM-L6-v2, or its id on the hub")
    add("--prompts", type=int, default=200, metavar="N", help="prompts whose texts are embedded")
    add("--responses", type=int, default=10, metavar="N", help="of each of these prompts")
    add("--seed", type=int, default=0, help="of the choice")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
