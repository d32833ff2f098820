"""The files of a clone of `tatsu-lab/alpaca_eval`, as one table of responses and verdicts."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rmspace._typing import ExistingPath

if TYPE_CHECKING:
    from rmspace.text.records import TextItem

JUDGE = "weighted_alpaca_eval_gpt4_turbo"
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


class Table(NamedTuple):
    """The responses of all models to the same prompts: a row per prompt, a column per model."""

    prompts: list[str]
    models: list[str]
    rows: list[list[Judged]]
    judge: str
    baseline: str
    left_out: dict[str, Any]

    @property
    def pairs(self) -> list[tuple[str, Judged]]:
        """The responses, each with its prompt, row by row."""
        return [(prompt, cell) for prompt, row in zip(self.prompts, self.rows, strict=True) for cell in row]

    @property
    def items(self) -> list[TextItem]:
        """The same as items."""
        from rmspace.text.records import items_of

        return [item for prompt, cell in self.pairs for item in items_of(prompt, [cell.response])]


def is_alpaca_eval(folder: str | Path) -> bool:
    """Say whether a folder looks like a clone of the repository.

    >>> is_alpaca_eval("/nowhere")
    False
    """
    return any(Path(folder, "results").glob("*/*/annotations.json"))


def read_table(folder: ExistingPath | str | Path, *, models: Sequence[str] | None = None, judge: str = JUDGE) -> Table:
    """Read the texts and the verdicts; the arguments and errors are those of `read_alpaca_eval`."""
    found, unreadable = _read_models(Path(folder), judge, models)
    baseline = _one_baseline(found)
    prompts, lacking = _common_prompts(found)
    _warn_of_left_out(unreadable, lacking)
    names = sorted(found)
    rows = [[found[name].judged[prompt] for name in names] for prompt in prompts]
    return Table(prompts, names, rows, judge, baseline, {"models": unreadable, "prompts": lacking})


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


def _warn_of_left_out(unreadable: Mapping[str, str], lacking: Mapping[str, list[str]]) -> None:
    if not unreadable and not lacking:
        return
    parts = []
    if unreadable:
        parts.append(f"{len(unreadable)} models whose files are empty or not JSON ({_listed(list(unreadable))})")
    if lacking:
        models = sorted({name for names in lacking.values() for name in names})
        parts.append(f"{len(lacking)} prompts that have no judged response of {_listed(models)}")
    warnings.warn(f"left out: {' and '.join(parts)}; bank.metadata['left_out'] lists them", UserWarning, stacklevel=4)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
