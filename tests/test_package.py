"""Promises of the package as a whole. The promises on imports between modules are in pyproject.toml: lint-imports."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections import Counter
from types import ModuleType

import pytest

import rmspace

KINDS = (
    "annotators",
    "baselines",
    "candidates",
    "metrics",
    "models",
    "objectives",
    "pairs",
    "plots",
    "readers",
    "reductions",
)


def imported_after(*statements: str) -> list[set[str]]:
    """Return the modules that a fresh Python has imported after each statement."""
    code = "import sys\n" + "".join(f"{statement}\nprint(*sys.modules)\n" for statement in statements)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_importing_is_light() -> None:
    at_import, at_first_use = imported_after("import rmspace", "rmspace.ResponseBank")
    assert not at_import & {"torch", "lightgbm", "pandas", "sklearn", "scipy", "matplotlib", "yaml", "numpy"}
    assert not at_first_use & {"torch", "lightgbm", "matplotlib"}


@pytest.mark.parametrize("name", rmspace.__all__)
def test_every_public_name_has_a_docstring_with_an_example(name: str) -> None:
    value = getattr(rmspace, name)
    assert value.__doc__
    assert isinstance(value, ModuleType) or ">>>" in value.__doc__


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_of_a_kind_has_a_docstring_with_an_example(kind: str) -> None:
    module = getattr(rmspace, kind)
    assert module.__all__
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert ">>>" in (inspect.getdoc(getattr(module, name)) or ""), f"{kind}.{name}"


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_of_a_kind_hides_a_name_of_the_kind(kind: str) -> None:
    """Importing `rmspace.metrics.x` sets the attribute x of `rmspace.metrics` to the module."""
    module = importlib.import_module(f"rmspace.{kind}")
    files = {found.name for found in pkgutil.iter_modules(getattr(module, "__path__", []))}
    assert not files & set(module.__all__)


def test_a_name_belongs_to_one_kind() -> None:
    count = Counter(name for kind in KINDS for name in getattr(rmspace, kind).__all__)
    assert [name for name, times in count.items() if times > 1] == []


def test_every_module_has_a_docstring() -> None:
    for found in pkgutil.walk_packages(rmspace.__path__, "rmspace."):
        if not found.name.endswith("__main__"):
            assert importlib.import_module(found.name).__doc__, found.name
