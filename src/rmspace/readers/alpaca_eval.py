"""AlpacaEval: the bank that a clone of the public repository `tatsu-lab/alpaca_eval` gives."""

from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from rmspace._checks import check_int, describe
from rmspace._typing import ExistingPath, FloatArray
from rmspace.data.bank import ResponseBank

__all__ = ["open_alpaca_eval", "read_alpaca_eval"]

Embed = Callable[[Sequence[str]], npt.ArrayLike]  # texts -> (n_texts, dim)
Join = Callable[[str, str], str]  # prompt, response -> the text that is embedded

_JUDGE = "weighted_alpaca_eval_gpt4_turbo"
_CLIP = 1e-7  # probabilities are kept this far from 0 and 1, so that log-odds are finite
_SHOWN = 5  # names in a message


class Judged(NamedTuple):
    """A response and the probability that the judge prefers it to the baseline's."""

    response: str
    wins: float
    dataset: str


class Annotations(NamedTuple):
    """The judge's verdicts on the responses of one model, by prompt."""

    judged: dict[str, Judged]
    baseline: str


def blank_line(prompt: str, response: str) -> str:
    """Join a prompt and a response by a blank line."""
    return f"{prompt}\n\n{response}"


def read_alpaca_eval(
    folder: ExistingPath | str | Path,
    *,
    embed: Embed,
    models: Sequence[str] | None = None,
    judge: str = _JUDGE,
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
            that all models have; embeddings of another shape, or not finite.

    Source: Dubois et al., AlpacaEval (arXiv 2404.04475); facts of the files at commit cd543a1 of the repository.

    >>> import tempfile
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
    found, unreadable = _read_models(Path(folder), judge, models)
    baseline = _one_baseline(found)
    prompts, lacking = _common_prompts(found)
    names = sorted(found)
    table = [[found[name].judged[prompt] for name in names] for prompt in prompts]
    texts = [join(p, cell.response) for p, row in zip(prompts, table, strict=True) for cell in row]
    embeddings = _embedded(embed, texts, np.dtype(dtype)).reshape(len(prompts), len(names), -1)
    _warn_of_left_out(unreadable, lacking)
    wins = np.clip([[cell.wins for cell in row] for row in table], _CLIP, 1 - _CLIP)
    return ResponseBank(
        embeddings,
        logit(wins).astype(np.float32),
        features={"length": np.array([[len(cell.response) for cell in row] for row in table])},
        metadata={
            "source": f"tatsu-lab/alpaca_eval, results/<model>/{judge}/annotations.json",
            "license": "CC BY-NC 4.0",
            "judge": judge,
            "baseline": baseline,
            "generators": names,
            "prompts": prompts,
            "datasets": [row[0].dataset for row in table],
            "split": _split(len(prompts), n_train),
            "left_out": {"models": unreadable, "prompts": lacking},
        },
    )


def open_alpaca_eval(
    folder: ExistingPath | str | Path, *, embed: Embed, seed: int | None = None, **options: Any
) -> tuple[ResponseBank, ResponseBank]:
    """Read a clone of `tatsu-lab/alpaca_eval` as (train, test), split by prompts.

    Every call embeds all texts. For several runs, save the bank of `read_alpaca_eval` once and use `open_generators`.

    Args:
        folder, embed: as in `read_alpaca_eval`.
        seed: of a random split with the same sizes; None is the split in `metadata["split"]`.
        options: other arguments of `read_alpaca_eval`.

    Raises:
        FileNotFoundError, ValueError: as `read_alpaca_eval`; one prompt in all, which cannot be split.

    >>> import tempfile
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
    bank = read_alpaca_eval(folder, embed=embed, **options)
    split = np.array(bank.metadata["split"])
    if len(set(split)) < 2:
        raise ValueError(f"a split needs prompts on both sides; got {len(split)} prompts, all for {split[0]}")
    if seed is not None:
        split = np.random.default_rng(check_int("seed", seed, low=0)).permutation(split)
    return bank[split == "train"], bank[split == "test"]


def _read_models(
    clone: Path, judge: str, models: Sequence[str] | None
) -> tuple[dict[str, Annotations], dict[str, str]]:
    """Return the annotations by model, and the reason for each model that is left out."""
    results = clone / "results"
    if not results.is_dir():
        raise FileNotFoundError(f"{clone} is no clone of tatsu-lab/alpaca_eval: it has no folder results")
    there = {path.parent.parent.name: path for path in results.glob(f"*/{judge}/annotations.json")}
    wanted = sorted(there) if models is None else list(models)
    if missing := [name for name in wanted if name not in there]:
        raise FileNotFoundError(f"{results} has no annotations of {judge} for {_listed(missing)}")
    found, unreadable = {}, {}
    for name in wanted:
        try:
            rows = json.loads(there[name].read_text(encoding="utf-8"))
        except ValueError as error:
            if models is not None:
                raise ValueError(
                    f"{there[name]} must be JSON ({error}); fetch it again, or leave {name} out"
                ) from error
            unreadable[name] = "its file is empty or not JSON"
        else:
            found[name] = _annotations(rows, there[name])
    if not found:
        raise ValueError(f"{results} has no readable annotations of {judge}; {len(unreadable)} files are not JSON")
    return found, unreadable


def _annotations(rows: Any, path: Path) -> Annotations:
    judged: dict[str, Judged] = {}
    baselines: set[str] = set()
    try:
        for row in rows:
            baselines.add(row["generator_1"])
            preference = row["preference"]
            if preference is not None and not math.isnan(preference):
                wins = _probability(float(preference), path)
                judged[row["instruction"]] = Judged(row["output_2"], wins, row.get("dataset", ""))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} must list records with instruction, output_2, generator_1 and preference ({error!r})"
        ) from error
    if len(baselines) != 1:
        raise ValueError(f"{path} must compare with one baseline; got {_listed(sorted(baselines)) or 'no records'}")
    return Annotations(judged, baselines.pop())


def _probability(preference: float, path: Path) -> float:
    """Return P(the model's response is preferred); the file holds it plus 1."""
    if not 1 - 1e-6 <= preference <= 2 + 1e-6:
        raise ValueError(f"{path}: a preference must be in [1, 2] (1 is the baseline's response); got {preference:g}")
    return preference - 1


def _one_baseline(found: Mapping[str, Annotations]) -> str:
    baselines = {part.baseline for part in found.values()}
    if len(baselines) > 1:
        raise ValueError(
            f"all models must be compared with one baseline; got {_listed(sorted(baselines))}; choose models"
        )
    return baselines.pop()


def _common_prompts(found: Mapping[str, Annotations]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the prompts that every model has, in alphabetical order, and the models that lack each other prompt."""
    every = sorted(set().union(*(part.judged for part in found.values())))
    lacking = {prompt: [name for name, part in found.items() if prompt not in part.judged] for prompt in every}
    common = [prompt for prompt in every if not lacking[prompt]]
    if not common:
        raise ValueError(f"no prompt has a judged response of all {len(found)} models; choose fewer models")
    return common, {prompt: names for prompt, names in lacking.items() if names}


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


def _warn_of_left_out(unreadable: Mapping[str, str], lacking: Mapping[str, list[str]]) -> None:
    if not unreadable and not lacking:
        return
    parts = []
    if unreadable:
        parts.append(f"{len(unreadable)} models whose files are empty or not JSON ({_listed(list(unreadable))})")
    if lacking:
        models = sorted({name for names in lacking.values() for name in names})
        parts.append(f"{len(lacking)} prompts that have no judged response of {_listed(models)}")
    warnings.warn(f"left out: {' and '.join(parts)}; bank.metadata['left_out'] lists them", UserWarning, stacklevel=3)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
