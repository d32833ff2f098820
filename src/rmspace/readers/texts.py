"""Preferences from a file of texts, embedded as they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rmspace._typing import ExistingPath, OutputPath
from rmspace.data.preferences import Preferences
from rmspace.data.split import split_prompts
from rmspace.kinds import Encoder

__all__ = ["embed_preferences"]


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
