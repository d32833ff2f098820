"""Preferences and banks from a file of texts, embedded as they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from rmspace._typing import ExistingPath, OutputPath
from rmspace.data.bank import ResponseBank
from rmspace.data.preferences import Preferences
from rmspace.data.split import count_of_test, split_prompts
from rmspace.kinds import Encoder

if TYPE_CHECKING:
    from rmspace.text.preferences import TextPreferences

__all__ = ["embed_bank", "embed_preferences"]


def embed_preferences(
    path: ExistingPath | str | Path,
    encoder: Encoder,
    *,
    out: OutputPath | str | Path,
    test_size: int | float = 0.2,
    seed: int = 0,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    score: str | None = None,
    limit: int | None = None,
) -> tuple[Preferences, Preferences]:
    """Read a file of preferences, embed its texts, and split it by prompt as (train, test).

    Embeddings that `out` holds already are not computed again, so a second call costs little more than the reading.

    Args:
        path: the file or folder of `rmspace.text.read_preferences`.
        encoder: what makes the embeddings, such as `rmspace.text.TransformersEncoder`.
        out: the folder of the embeddings; see `rmspace.text.embed`.
        test_size, seed: as in `split_prompts`.
        format, columns, score, limit: as in `rmspace.text.read_preferences`.

    Raises:
        ValueError, FileNotFoundError: as `read_preferences`, `embed` and `split_prompts`.

    >>> import json, tempfile, numpy as np
    >>> from rmspace.text import FunctionEncoder
    >>> letters = FunctionEncoder(lambda texts: np.array([[text.count("a"), len(text)] for text in texts]), name="a")
    >>> rows = [{"prompt": f"{k} + 1?", "chosen": f"{k + 1}", "rejected": "a lot"} for k in range(10)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "pairs.jsonl").write_text("\\n".join(map(json.dumps, rows)))
    ...     train, test = embed_preferences(folder + "/pairs.jsonl", letters, out=folder + "/embedded", test_size=0.3)
    ...     len(train), len(test), train.dim
    (7, 3, 2)
    """
    from rmspace.text.embedding import embed
    from rmspace.text.reading import read_preferences

    texts = read_preferences(path, format=format, columns=columns, score=score, limit=limit)
    return split_prompts(embed(texts, encoder, out=out), test_size, seed)


def embed_bank(
    path: ExistingPath | str | Path,
    encoder: Encoder,
    *,
    reward: str,
    out: OutputPath | str | Path,
    test_size: int | float = 0.2,
    seed: int = 0,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    split: str | None = None,
    limit: int | None = None,
    dtype: Literal["float32", "float16"] = "float32",
) -> tuple[ResponseBank, ResponseBank]:
    """Read a file of rated responses, embed its texts, and split it by prompt as two banks (train, test).

    One rating is the gold reward, and the others are features. A response without a rating stays, with the reward NaN.
    The texts are not held in memory, and a call that was stopped goes on in `out`.

    Args:
        path: the file or folder of `rmspace.text.read_preferences`.
        encoder: what makes the embeddings, such as `rmspace.text.TransformersEncoder`.
        reward: name of the rating.
        out, dtype: the folder of the embeddings, and their precision; see `rmspace.text.embed`.
        test_size, seed: as in `split_prompts`.
        format, columns, split, limit: as in `rmspace.text.read_preferences`.

    Raises:
        ValueError, FileNotFoundError: as `read_preferences`, `embed` and `split_prompts`; no such rating, or none.

    >>> import json, tempfile, numpy as np
    >>> from rmspace.text import FunctionEncoder
    >>> letters = FunctionEncoder(lambda texts: np.array([[text.count("a"), len(text)] for text in texts]), name="a")
    >>> rows = [{"prompt": f"{k} + 1?", "responses": [f"{k + 1}", "a lot"], "right": [1, None]} for k in range(10)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "rated.jsonl").write_text("\\n".join(map(json.dumps, rows)))
    ...     train, test = embed_bank(folder + "/rated.jsonl", letters, reward="right", out=folder + "/embedded")
    ...     train.n_prompts, test.n_prompts, test.rewards[0].tolist()
    (8, 2, [1.0, nan])
    """
    from rmspace.text.reading import read_preferences

    texts = read_preferences(path, format=format, columns=columns, split=split, limit=limit, keep_texts=False)
    check_rated(texts, reward, test_size)
    return split_rated(texts, encoder, reward=reward, out=out, test_size=test_size, seed=seed, dtype=dtype)


def check_rated(texts: TextPreferences, reward: str | None, test_size: int | float) -> None:
    """Raise ValueError, before the long work, where texts have no such rating, or too few prompts for two banks."""
    ratings = sorted(set(texts.features) - {"length"})
    if not ratings:
        raise ValueError(
            "a bank needs ratings, and the file has none; `rmspace embed` makes preferences of comparisons"
        )
    if reward not in texts.features:
        came = "none was named" if reward is None else f"got {reward!r}"
        raise ValueError(f"the reward must be one of the ratings of the file, {', '.join(ratings)}; {came}")
    count_of_test(test_size, len(np.unique(texts.groups)))


def split_rated(
    texts: TextPreferences,
    encoder: Encoder,
    *,
    reward: str,
    out: OutputPath | str | Path,
    test_size: int | float,
    seed: int,
    dtype: Literal["float32", "float16"],
) -> tuple[ResponseBank, ResponseBank]:
    """Embed rated texts as two banks (train, test); the arguments are those of `embed_bank`."""
    from rmspace.text.banks import to_bank
    from rmspace.text.embedding import embed_items

    embeddings, about = embed_items(texts.items, encoder, out=out, dtype=dtype)
    texts.metadata |= about
    return split_prompts(to_bank(texts, reward, embeddings=embeddings), test_size, seed)
