"""The rows of RewardBench from a folder, and their scores from a scorer or a file."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rmspace._checks import check_int
from rmspace._typing import PathLike
from rmspace.text.plain_rows import read_rows
from rmspace.text.rewardbench.checks import Row, Scores, name_row
from rmspace.text.rewardbench.outcome import RewardBenchResult
from rmspace.text.rewardbench.sections import OTHER_SETS, PRIOR_SETS
from rmspace.text.rewardbench.version1 import rewardbench_1
from rmspace.text.rewardbench.version2 import rewardbench_2

__all__ = ["read_rewardbench", "read_rewardbench_scores", "run_rewardbench", "score_rewardbench"]

Scorer = Callable[[list[Any], list[str]], npt.ArrayLike]
"""(prompts, responses) -> one score per response."""

_ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")


def read_rewardbench(path: PathLike) -> list[dict[str, Any]]:
    """Read RewardBench as it is downloaded: a file or a folder of JSON Lines, JSON or Parquet.

    Where a folder has the files of both splits of version 1, only those of "filtered", which is the benchmark, are
    read. In a file that is named like a prior set, such as `shp-00000-of-00001.parquet`, that name is the subset.

    Raises:
        FileNotFoundError: there are no such files.
        ValueError: a row that cannot be read; the message names file and line.
    """
    files = _files(Path(path))
    rows: list[dict[str, Any]] = []
    for file in files:
        prior = file.name.partition(".")[0].partition("-")[0]
        named = {"subset": prior} if prior in (*PRIOR_SETS, *OTHER_SETS) else {}
        for one in read_rows(file):
            row = one.row | named
            reason = one.reason or _problem(row)
            if reason:
                raise ValueError(f"{one.file}, line {one.line}: {reason}; fetch the benchmark again")
            rows.append(row)
    return rows


def run_rewardbench(
    scorer: Scorer, rows: Sequence[Row], *, version: int | None = None, batch_size: int = 256
) -> tuple[RewardBenchResult, list[list[float]]]:
    """Score the responses of RewardBench, and return the result and the scores of each row, correct ones first.

    Args:
        scorer: (prompts, responses) -> scores, such as the method `score` of a `TextReward`.
        rows: as `read_rewardbench` returns them.
        version: 1 or 2; None to tell by the rows.
        batch_size: rows whose responses are scored at a time.

    >>> rows = [{"subset": "hep-go", "id": 1, "prompt": "p", "chosen": "long", "rejected": "no"}]
    >>> result, scores = run_rewardbench(lambda prompts, responses: [len(text) for text in responses], rows)
    >>> result.score, scores
    (1.0, [[4.0, 2.0]])
    """
    found: list[list[float]] = []
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        texts = [[*listed(row["chosen"]), *listed(row["rejected"])] for row in part]
        prompts = [row["prompt"] for row, some in zip(part, texts, strict=True) for _ in some]
        scores = np.asarray(scorer(prompts, [text for some in texts for text in some]), dtype=np.float64)
        if scores.shape != (len(prompts),):
            raise ValueError(f"the scorer must return one score per response, ({len(prompts)},); got {scores.shape}")
        edges = np.cumsum([len(some) for some in texts])[:-1]
        found += [some.tolist() for some in np.split(scores, edges)]
    return score_rewardbench(rows, found, version=version), found


def score_rewardbench(rows: Sequence[Row], scores: Scores, *, version: int | None = None) -> RewardBenchResult:
    """Score version 1 or 2 of RewardBench; None tells the version by the rows, whose responses are lists in 2."""
    if version is None:
        version = 2 if rows and isinstance(rows[0].get("chosen"), list) else 1
    check_int("version", version, low=1, high=2)
    return rewardbench_1(rows, scores) if version == 1 else rewardbench_2(rows, scores)


def read_rewardbench_scores(path: PathLike, rows: Sequence[Row]) -> list[list[float]]:
    """Read scores from a file, for each row the correct responses' first.

    Args:
        path: JSON Lines of {subset, id, scores_chosen, scores_rejected}, or the file that RewardBench itself writes.
        rows: the rows that the scores are of; they are found by `subset` and `id`, in any order.

    Raises:
        ValueError: a row without scores, or scores without a row.
    """
    waiting: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for one in _score_rows(Path(path)):
        waiting[str(one.get("subset")), str(one.get("id"))].append(one)
    found = []
    for k, row in enumerate(rows):
        same = waiting[str(row.get("subset")), str(row.get("id"))]
        if not same:
            raise ValueError(f"{path} has no scores for {name_row(rows, k)}")
        one = same.pop(0)
        both = [listed(one.get(name)) for name in ("scores_chosen", "scores_rejected")]
        sizes = [len(listed(row[name])) for name in ("chosen", "rejected") if name in row]
        if sizes and sizes != [len(some) for some in both]:
            raise ValueError(f"{path} must have one score per response; {name_row(rows, k)} has others")
        found.append([_number(path, value) for some in both for value in some])
    if left := sum(map(len, waiting.values())):
        raise ValueError(f"{path} has the scores of {left} rows that the data does not have; use the same data")
    return found


def listed(value: Any) -> list[Any]:
    """Return a list as it is, and one text or number as a list of one."""
    return value if isinstance(value, list) else [value]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.name.endswith(_ENDINGS) and file.is_file())
    filtered = [file for file in files if file.name.startswith("filtered")]
    if filtered:
        files = [file for file in files if not file.name.startswith("raw")]
    if not files:
        raise FileNotFoundError(f"{path} has no file of JSON Lines, JSON or Parquet; give the folder of the benchmark")
    return files


def _problem(row: Row) -> str:
    """Return why a row is none of RewardBench; "" where it is one."""
    if absent := [name for name in ("prompt", "chosen", "rejected", "subset") if row.get(name) is None]:
        return f"the row has no {' and no '.join(absent)}"
    for name in ("chosen", "rejected"):
        if not all(isinstance(text, str) for text in listed(row[name])) or not listed(row[name]):
            return f"{name} must be a text or a list of texts"
    return ""


def _score_rows(path: Path) -> list[Mapping[str, Any]]:
    """Return rows of scores from JSON Lines, or from one object of columns, which RewardBench writes."""
    if not path.name.endswith(".json"):
        read = list(read_rows(path))
        if bad := [one for one in read if one.reason]:
            raise ValueError(f"{path}, line {bad[0].line}: {bad[0].reason}")
        return [one.row for one in read]
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error})") from error
    if isinstance(whole, list):
        return [row for row in whole if isinstance(row, dict)]
    names = ("subset", "id", "scores_chosen", "scores_rejected")
    columns = [whole.get(name) for name in names] if isinstance(whole, dict) else [None]
    if not all(isinstance(column, list) for column in columns) or len({len(c) for c in columns if c is not None}) != 1:
        raise ValueError(f"{path} must have the columns {', '.join(names)}, all of the same length")
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _number(path: PathLike, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{path} must hold numbers as scores; got {value!r}")
    return float(value)
