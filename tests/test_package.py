"""Promises of the package as a whole."""

import ast
import subprocess
import sys
from pathlib import Path

import rmspace

SOURCE = Path(rmspace.__file__).parent


def imported_after(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_is_light():
    heavy = {"torch", "lightgbm", "pandas", "sklearn", "scipy", "matplotlib", "yaml", "numpy"}
    assert not heavy & imported_after("import rmspace")
    assert not {"torch", "lightgbm", "matplotlib"} & imported_after("import rmspace; rmspace.ResponseBank")


def test_every_public_name_is_there_and_has_a_doctest():
    for name in rmspace.__all__:
        value = getattr(rmspace, name)
        doc = value.__doc__
        assert doc, name
        assert ">>>" in doc, name


def test_libraries_stay_in_their_rooms():
    rooms = {
        "torch": ("objectives.py", "models/", "official.py"),
        "lightgbm": ("models/boosted.py", "models/_bins.py"),
        "yaml": ("config/read.py",),
        "matplotlib": ("figures.py", "study/figures.py", "study/canvas.py", "study/differences.py", "study/gallery.py"),
        "sqlite3": ("study/store.py",),
        "distributed": ("study/cluster.py",),
        "dask": ("study/cluster.py",),
        "jinja2": ("study/report.py",),
        "skops": ("models/_sklearn_file.py",),
    }
    for path in SOURCE.rglob("*.py"):
        here = path.relative_to(SOURCE).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                allowed = rooms.get(name.split(".")[0])
                typing_only = here == "_typing.py"
                assert allowed is None or typing_only or here.startswith(allowed), (here, name)


def test_imports_run_one_way():
    order = [
        "_typing",
        "_mapped",
        "_validation",
        "_files",
        "_bank_files",
        "bank",
        "health",
        "theory",
        "annotators",
        "advice",
        "objectives",
        "evaluation",
        "pairs",
    ]
    order += ["readers", "models", "official", "experiment", "figures", "config", "output", "study", "cli", "__main__"]
    rank = {name: k for k, name in enumerate(order)}
    lower = {"bank": {"health"}, "models": {"models"}}
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rmspace."):
                target = node.module.split(".")[1]
                below = (
                    rank[target] <= rank[room] or target in lower.get(room, set()) or room in ("_typing", "_bank_files")
                )
                assert below, (room, target)
