"""AlpacaEval: the bank that a clone of the public repository `tatsu-lab/alpaca_eval` gives."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from rmspace._checks import check_int, describe
from rmspace._typing import ExistingPath, FloatArray, OutputPath
from rmspace.data.bank import ResponseBank
from rmspace.kinds import Encoder
from rmspace.readers.alpaca_files import JUDGE, Table, read_table

__all__ = ["open_alpaca_eval", "read_alpaca_eval"]

Embed = Callable[[Sequence[str]], npt.ArrayLike]  # texts -> (n_texts, dim)
Join = Callable[[str, str], str]  # prompt, response -> the text that is embedded

_CLIP = 1e-7  # probabilities are kept this far from 0 and 1, so that log-odds are finite


def blank_line(prompt: str, response: str) -> str:
    """Join a prompt and a response by a blank line."""
    return f"{prompt}\n\n{response}"


def read_alpaca_eval(
    folder: ExistingPath | str | Path,
    *,
    embed: Embed | None = None,
    encoder: Encoder | None = None,
    out: OutputPath | str | Path | None = None,
    models: Sequence[str] | None = None,
    judge: str = JUDGE,
    join: Join = blank_line,
    n_train: int | None = None,
    dtype: Literal["float16", "float32"] = "float16",
) -> ResponseBank:
    """Read a clone of `tatsu-lab/alpaca_eval` as one bank: the responses of many models to the same prompts.

        reward = log(p / (1 - p)),  p = P(the judge prefers the response to the baseline's), clipped to [1e-7, 1 - 1e-7]

    The files are `results/<model>/<judge>/annotations.json`. Prompts are in alphabetical order, and so are models. A
    prompt is left out if one of the models has no judged response to it. A model is left out if its file is empty or
    not JSON. A warning says how many are left out; `metadata["left_out"]` names each with the reason. The texts are
    under CC BY-NC 4.0: the bank holds the prompts in its metadata, so do not publish it.

    Args:
        folder: the clone.
        embed: texts -> (n_texts, dim), as `SentenceTransformer(...).encode`; called once, with all texts.
        encoder: instead of `embed`, such as `rmspace.text.TransformersEncoder`; it has its own template, so that
            `join` is not used.
        out: with `encoder`, the folder of the embeddings, where a call that was stopped goes on.
        models: names of folders in `results`; every model that the judge has scored when None.
        judge: name of the judge's folder.
        join: makes the text that is embedded from prompt and response.
        n_train: number of training prompts in `metadata["split"]`, a fixed random split; three quarters when None.
        dtype: of the embeddings in the bank.

    Returns:
        A bank with rewards, `features["length"]` (characters per response) and `metadata` with generators, prompts,
        datasets, split and left_out.

    Raises:
        FileNotFoundError: no such folder, or a model that the judge has not scored.
        ValueError: an empty or damaged file of one of `models`; a preference outside [1, 2]; two baselines; no prompt
            that all models have; embeddings of another shape, or not finite; both of embed and encoder, or neither.

    Source: Dubois et al., AlpacaEval (arXiv 2404.04475); facts of the files at commit cd543a1 of the repository.

    >>> import json, tempfile
    >>> with tempfile.TemporaryDirectory() as clone:
    ...     for model, preference in (("small", 1.25), ("large", 1.5)):
    ...         rows = [{"instruction": "Hi", "output_2": model, "generator_1": "base", "preference": preference}]
    ...         path = Path(clone, "results", model, "judge", "annotations.json")
    ...         path.parent.mkdir(parents=True)
    ...         _ = path.write_text(json.dumps(rows))
    ...     bank = read_alpaca_eval(clone, embed=lambda texts: [[len(t), 1.0] for t in texts], judge="judge", n_train=1)
    >>> bank.metadata["generators"], bank.rewards.astype(float).round(4).tolist()  # log-odds of 1/2 and of 1/4
    (['large', 'small'], [[0.0, -1.0986]])
    """
    if (embed is None) == (encoder is None):
        raise ValueError("give either embed, a function of texts, or encoder; got both or neither")
    table = read_table(folder, models=models, judge=judge)
    return embed_table(table, embed=embed, encoder=encoder, out=out, join=join, n_train=n_train, dtype=dtype)


def embed_table(
    table: Table,
    *,
    embed: Embed | None = None,
    encoder: Encoder | None = None,
    out: OutputPath | str | Path | None = None,
    join: Join = blank_line,
    n_train: int | None = None,
    dtype: Literal["float16", "float32"] = "float16",
) -> ResponseBank:
    """Return the bank of a table; the arguments are those of `read_alpaca_eval`."""
    split = _split(len(table.prompts), n_train)  # checked before the long work
    about: dict[str, Any] = {}
    if encoder is not None:
        from rmspace.text.embedding import embed_items

        embeddings, about = embed_items(table.items, encoder, out=out, dtype=dtype)
    elif embed is not None:
        embeddings = _embedded(embed, [join(prompt, cell.response) for prompt, cell in table.pairs], np.dtype(dtype))
    return _bank_of(table, embeddings, {"split": split, **about})


def open_alpaca_eval(
    folder: ExistingPath | str | Path,
    *,
    embed: Embed | None = None,
    encoder: Encoder | None = None,
    out: OutputPath | str | Path | None = None,
    seed: int | None = None,
    **options: Any,
) -> tuple[ResponseBank, ResponseBank]:
    """Read a clone of `tatsu-lab/alpaca_eval` as (train, test), split by prompts.

    Without `out`, every call embeds all texts. For several runs, save the bank of `read_alpaca_eval` once and use
    `open_generators`.

    Args:
        folder, embed, encoder, out: as in `read_alpaca_eval`.
        seed: of a random split with the same sizes; None is the split in `metadata["split"]`.
        options: other arguments of `read_alpaca_eval`.

    Raises:
        FileNotFoundError, ValueError: as `read_alpaca_eval`; one prompt in all, which cannot be split.

    >>> import json, tempfile
    >>> with tempfile.TemporaryDirectory() as clone:
    ...     path = Path(clone, "results", "small", "judge", "annotations.json")
    ...     path.parent.mkdir(parents=True)
    ...     sides = {"output_2": "Yes", "generator_1": "base", "preference": 1.5}
    ...     _ = path.write_text(json.dumps([{"instruction": prompt, **sides} for prompt in "abc"]))
    ...     constant = lambda texts: np.ones((len(texts), 2))
    ...     train, test = open_alpaca_eval(clone, embed=constant, judge="judge", n_train=2)
    >>> train.n_prompts, test.n_prompts
    (2, 1)
    """
    return split_prompts_of(read_alpaca_eval(folder, embed=embed, encoder=encoder, out=out, **options), seed)


def split_prompts_of(bank: ResponseBank, seed: int | None) -> tuple[ResponseBank, ResponseBank]:
    """Return (train, test) by the split in the metadata, or by a random one of its sizes."""
    split = np.array(bank.metadata["split"])
    if len(set(split)) < 2:
        raise ValueError(f"a split needs prompts on both sides; got {len(split)} prompts, all for {split[0]}")
    if seed is not None:
        split = np.random.default_rng(check_int("seed", seed, low=0)).permutation(split)
    return bank[split == "train"], bank[split == "test"]


def _bank_of(table: Table, embeddings: FloatArray, about: Mapping[str, Any]) -> ResponseBank:
    cells = [cell for row in table.rows for cell in row]
    wins = np.clip([cell.wins for cell in cells], _CLIP, 1 - _CLIP)
    return ResponseBank(
        embeddings,
        logit(wins).astype(np.float32),
        offsets=np.arange(len(table.prompts) + 1) * len(table.models),
        features={"length": np.array([len(cell.response) for cell in cells])},
        metadata={
            "source": f"tatsu-lab/alpaca_eval, results/<model>/{table.judge}/annotations.json",
            "license": "CC BY-NC 4.0",
            "judge": table.judge,
            "baseline": table.baseline,
            "generators": table.models,
            "prompts": table.prompts,
            "datasets": [row[0].dataset for row in table.rows],
            "left_out": table.left_out,
            **about,
        },
    )


def _embedded(embed: Embed, texts: Sequence[str], dtype: np.dtype[Any]) -> FloatArray:
    found = np.asarray(embed(texts))
    if found.ndim != 2 or len(found) != len(texts) or found.dtype.kind != "f":
        raise ValueError(f"embed must return float ({len(texts)}, dim), a row per text; got {describe(found)}")
    rows = found.astype(dtype)
    if not np.isfinite(rows).all():
        raise ValueError(f"embed must return numbers that are finite in {dtype}; scale them, or use dtype='float32'")
    return rows


def _split(n_prompts: int, n_train: int | None) -> list[str]:
    """Name the side of each prompt, by one fixed shuffle."""
    size = 3 * n_prompts // 4 if n_train is None else check_int("n_train", n_train, low=1)
    if size > n_prompts:
        raise ValueError(f"n_train must be at most the {n_prompts} prompts; got {size}")
    order = list(range(n_prompts))
    random.Random(0).shuffle(order)
    train = set(order[:size])
    return ["train" if k in train else "test" for k in range(n_prompts)]
