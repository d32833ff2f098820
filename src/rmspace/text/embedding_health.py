"""Whether rows are the embeddings of their texts: a sample is embedded again, and compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmspace._checks import as_array, as_int64, check_int, check_number, describe
from rmspace._typing import Float64Array, FloatArray, IntArray
from rmspace.data.bank import ResponseBank
from rmspace.data.finding import Finding, table_of
from rmspace.data.mapped import blocks
from rmspace.data.preferences import Preferences
from rmspace.data.split import check_data
from rmspace.kinds import Encoder
from rmspace.text.embedding import encode_shard
from rmspace.text.encoding import as_encoder
from rmspace.text.file_items import take
from rmspace.text.notes import Note
from rmspace.text.records import TextItem

__all__ = ["check_embeddings"]

_LONG = 0.1  # the share of the items that are the longest; half of the sample is drawn from them
_SAME = 0.9999  # the cosine of two embeddings of one text; those of similar texts may be above the limit
_CUT = int(Note.PROMPT_CUT | Note.REPLY_CUT)


def check_embeddings(
    data: ResponseBank | Preferences,
    items: Sequence[TextItem],
    encoder: Encoder,
    *,
    rows: npt.ArrayLike | None = None,
    sample: int = 64,
    limit: float = 0.99,
    seed: int = 0,
) -> pd.DataFrame:
    """Embed a sample of the texts again, and find rows that are not the embedding of their text.

        cosine(row - c, embedding - c) < limit,    c = mean of the sample's embeddings

    The mean is taken away because embeddings of one language model point the same way. Half of the sample is drawn from
    the longest tenth of the texts, where pipelines that cut texts differ, and half from the others.

    Findings: `other_embeddings`, rows below the limit. So it finds rows of another model, template, pooling, position
    or layer, of texts that were cut elsewhere, or rows in another order. `rows_in_another_order`, those of them whose
    embedding is at another row of the data: all rows are read once for it.

    Args:
        data: a bank or preferences.
        items: the text of each row, as it should have been embedded.
        encoder: what should have made the rows, with the right template and limits.
        rows: (n_items,) the row of each text, -1 where it has none; every row in its order when None.
        sample: number of texts to embed, at least 8; all, where there are fewer.
        limit: between 0 and 1. Equal embeddings differ by rounding: in float32 and float16 the cosine is above .9999.
        seed: of the sample.

    Returns:
        One row per finding, empty when all is well: columns check, severity, n_found, n_checked, detail.

    Raises:
        ValueError: another number of texts than rows; embeddings of another length than the encoder's; an encoder that
            gives one embedding for all texts of the sample.

    >>> from rmspace.text import FunctionEncoder, records
    >>> items = records.items_of("Name a fruit.", ["fig", "apple", "banana", "elderberry"])
    >>> counts = FunctionEncoder(lambda texts: np.array([[len(t), t.count("a")] for t in texts]), name="counts")
    >>> bank = ResponseBank(counts.encode(items)[None].astype(np.float32))
    >>> check_embeddings(bank, items, counts).empty
    True
    >>> check_embeddings(bank, items[1:] + items[:1], counts)[["check", "n_found", "n_checked"]].values.tolist()
    [['other_embeddings', 4, 4], ['rows_in_another_order', 4, 4]]
    """
    check_data("data", data)
    encoder, own = as_encoder(encoder), _rows(data, items, rows)
    chosen = _sample(items, np.flatnonzero(own >= 0), check_int("sample", sample, low=8), seed)
    compared = _compare(data, take(items, chosen), own[chosen], encoder)
    wrong = ~(compared.cosines >= check_number("limit", limit, low=0.0, high=1.0))
    return table_of(_findings(data, compared, wrong))


class _Compared(NamedTuple):
    rows: IntArray
    centre: Float64Array
    embeddings: FloatArray  # of the texts, without the centre, at unit length
    cosines: FloatArray
    plain: FloatArray  # the cosines with the centre
    cut: npt.NDArray[np.bool_]


def _compare(data: ResponseBank | Preferences, items: list[TextItem], rows: IntArray, encoder: Encoder) -> _Compared:
    found, notes = encode_shard(encoder, items, list(range(len(items))), lambda _: None)
    if found.shape[1] != data.items.shape[1]:
        raise ValueError(
            f"rows of {data.items.shape[1]} numbers are not of this encoder, which gives {found.shape[1]}; give the "
            "encoder that made them"
        )
    new, old = np.asarray(found, dtype=np.float64), np.asarray(data.items[rows], dtype=np.float64)
    centre = new.mean(axis=0)
    if np.ptp(new, axis=0).max() == 0:
        raise ValueError(
            "the encoder gives one embedding for all texts of the sample, so that rows cannot be told apart"
        )
    plain = (_unit(new) * _unit(old)).sum(axis=1)
    embeddings = _unit(new - centre)
    cosines = (embeddings * _unit(old - centre)).sum(axis=1)
    return _Compared(rows, centre, embeddings, cosines, plain, (notes & _CUT) > 0)


def _findings(data: ResponseBank | Preferences, compared: _Compared, wrong: npt.NDArray[np.bool_]) -> Iterator[Finding]:
    if not wrong.any():
        return
    n, cut = int(wrong.sum()), int((wrong & compared.cut).sum())
    detail = (
        f"rows that are not the embedding of their text (mean cosine {np.mean(compared.plain[wrong]):.3f}, first row "
        f"{compared.rows[wrong][0]}; the encoder cuts {cut} of their texts, and {int(compared.cut.sum())} in all)"
    )
    yield Finding("other_embeddings", "warning", n, len(wrong), detail)
    nearest, cosines = _nearest(data.items, compared.embeddings[wrong].astype(np.float32), compared.centre)
    if len(moved := np.flatnonzero(cosines >= _SAME)):
        first = moved[0]
        detail = (
            f"of these, embeddings that are at another row: that of row {compared.rows[wrong][first]} is at row "
            f"{nearest[first]}"
        )
        yield Finding("rows_in_another_order", "warning", len(moved), n, detail)


def _nearest(items: FloatArray, embeddings: FloatArray, centre: Float64Array) -> tuple[IntArray, FloatArray]:
    """Return the row with the largest cosine to each embedding, and that cosine."""
    best, places = np.full(len(embeddings), -np.inf), np.zeros(len(embeddings), dtype=np.int64)
    for part, block in blocks(items):
        cosines = np.nan_to_num(_unit(block - centre.astype(np.float32)), nan=-1.0) @ embeddings.T
        top = cosines.argmax(axis=0)
        here = cosines[top, np.arange(len(best))]
        places, best = np.where(here > best, part.start + top, places), np.maximum(here, best)
    return places, best


def _unit(rows: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore"):  # of rows that are not finite
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)


def _sample(items: Sequence[TextItem], known: IntArray, size: int, seed: int) -> IntArray:
    """Choose some of the known items, in order: half of them from the longest tenth."""
    if len(known) <= size:
        return known
    lengths = np.array([len(item.response) + sum(len(turn.content) for turn in item.prompt) for item in items])
    order = known[np.argsort(lengths[known], kind="stable")]
    n_long = max(size // 2, int(_LONG * len(order)))
    rng = np.random.default_rng(check_int("seed", seed, low=0))
    long = rng.choice(order[-n_long:], size // 2, replace=False)
    others = rng.choice(order[:-n_long], min(size - len(long), len(order) - n_long), replace=False)
    return np.sort(np.concatenate([long, others]))


def _rows(data: ResponseBank | Preferences, items: Sequence[TextItem], rows: npt.ArrayLike | None) -> IntArray:
    n = len(data.items)
    if rows is None:
        if len(items) != n:
            raise ValueError(f"items must have the text of each of the {n} rows, in their order; got {len(items)}")
        return np.arange(n)
    given = as_array("rows", rows)
    if given.shape != (len(items),) or given.dtype.kind not in "iu":
        raise ValueError(f"rows must be integers, the row of each of the {len(items)} items; got {describe(given)}")
    chosen = as_int64("rows", given)
    if chosen.min() < -1 or chosen.max() >= n or chosen.max() < 0:
        raise ValueError(f"rows must be in [0, {n}), or -1; got {chosen.min()} to {chosen.max()}")
    return chosen
