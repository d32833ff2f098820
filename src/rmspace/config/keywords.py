"""Configs whose keys are the keywords of one class, such as the recipe of a build."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rmspace._typing import PathLike
from rmspace.config.build import Builder
from rmspace.config.call import read_call
from rmspace.config.node import read_config
from rmspace.config.resolve import Names, nearest, one_line


class Keywords(NamedTuple):
    """What a config made: the object, its plain form with all defaults, and the user's modules behind each key."""

    value: Any
    resolved: dict[str, Any]
    modules: dict[str, dict[str, Path]]


def load_keywords(
    path: PathLike, target: Callable[..., Any], overrides: Sequence[str] = (), *, allow: Sequence[str] = ()
) -> Keywords:
    """Read a YAML config whose keys are the keywords of `target`, and call it with them.

    Args:
        path, overrides, allow: as in `load_config`.
        target: a class with annotated keywords.

    Raises:
        ConfigError: an unknown or missing key, or a value that does not fit; the error names its place.

    >>> import tempfile
    >>> from rmspace.models import LinearReward
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.yaml").write_text("alpha: 0.5")
    ...     load_keywords(folder + "/a.yaml", LinearReward).value.alpha
    0.5
    """
    root = read_config(Path(path), overrides)
    call = read_call(target, None)
    made, modules = {}, {}
    for name, node in root.items():
        if name not in call.options:
            raise node.error(f"unknown key{nearest(str(name), call.options)}")
        names = Names(root.folders(), allow)
        made[str(name)] = Builder(names, has_columns=False).keyword(node, call)
        modules[str(name)] = names.modules
    if missing := [name for name in call.required if name not in made]:
        raise root.error(f"the key {missing[0]} is missing")
    try:
        value = target(**{name: each.value for name, each in made.items()})
    except (TypeError, ValueError) as error:
        raise root.error(one_line(error)) from error
    return Keywords(value, {**call.defaults, **{name: each.plain for name, each in made.items()}}, modules)
