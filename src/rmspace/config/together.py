"""Whether the parts of a config go together, as far as signatures and annotations tell, before any data are read."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from rmspace.config.call import name_of, read_call
from rmspace.config.types import kind_of
from rmspace.data.bank import ResponseBank
from rmspace.data.preferences import Preferences
from rmspace.kinds import Baseline, Metric, PreferenceMetric, Reader

_BANK, _PREFERENCES = "banks", "preferences"
_DATA: dict[Any, str] = {ResponseBank: _BANK, Preferences: _PREFERENCES}
_AGAINST = {_BANK: "gold rewards", _PREFERENCES: "comparisons"}
_INSTEAD = {_BANK: "normalized_gain", _PREFERENCES: "accuracy"}


def sides_of_reader(reader: Callable[..., Any]) -> tuple[Any, ...] | None:
    """Return the annotated types of (train, test); None where a reader has no annotation, () where it is no pair.

    >>> from rmspace import open_banks
    >>> [side.__name__ for side in sides_of_reader(open_banks)]
    ['ResponseBank', 'ResponseBank']
    """
    returned = read_call(unbound(reader), kind_of(Reader)).hints.get("return")
    if returned is None or returned is Any:
        return None
    sides = typing.get_args(returned) if typing.get_origin(returned) is tuple else ()
    return sides if len(sides) == 2 else ()


def unbound(function: Any) -> Any:
    """Return the function whose keywords `functools.partial` has bound."""
    return function.func if isinstance(function, partial) else function


def misfits(
    reader: Callable[..., Any],
    metrics: Mapping[str, Callable[..., Any]],
    baselines: Mapping[str, Callable[..., Any]],
    *,
    has_n: bool,
) -> tuple[str, str] | None:
    """Return the key that does not go with a reader's test data, and why; None where nothing is known to be wrong.

    A metric of gold rewards has the arguments of `Metric`, and a metric of comparisons those of `PreferenceMetric`.
    Functions with other arguments are not checked. A baseline says by its annotations which data it takes.

    >>> from rmspace import gain, open_preferences
    >>> misfits(open_preferences, {"gain": gain}, {}, has_n=False)
    ('metrics', 'gain measures scores against gold rewards, and open_preferences gives preferences; use accuracy')
    """
    sides = sides_of_reader(reader) or (None, None)
    test = _DATA.get(sides[1])
    if test is None:
        return None
    gives = f"{name_of(unbound(reader))} gives {test}"
    for name, metric in metrics.items():
        if (needed := _data_of_metric(metric)) not in (test, None):
            against = _AGAINST[str(needed)]
            return "metrics", f"{name} measures scores against {against}, and {gives}; use {_INSTEAD[test]}"
    for name, baseline in baselines.items():
        if (needed := _data_of_baseline(baseline)) not in (test, None):
            return "baselines", f"{name} needs test data that are {needed}, and {gives}; leave it out"
    if has_n and test == _PREFERENCES:
        return "n", f"is for Best-of-N on banks, and {gives}; leave it out"
    return None


def _data_of_metric(metric: Callable[..., Any]) -> str | None:
    by_run = read_call(unbound(metric), kind_of(Metric)).by_run
    return {_arguments(Metric): _BANK, _arguments(PreferenceMetric): _PREFERENCES}.get(by_run)


def _data_of_baseline(baseline: Callable[..., Any]) -> str | None:
    call = read_call(unbound(baseline), kind_of(Baseline))
    return _DATA.get(call.hints.get(call.by_run[1])) if len(call.by_run) > 1 else None


@cache
def _arguments(protocol: type) -> tuple[str, ...]:
    """Return the names of the two arguments that a Protocol of metrics is called with."""
    return tuple(inspect.signature(protocol.__call__).parameters)[1:3]
