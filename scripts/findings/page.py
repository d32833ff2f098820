"""A page with blocks: the text between `<!-- name -->` and `<!-- end -->` is replaced."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

Block = str | Figure
_MARKED = re.compile(r"<!-- (?P<name>[\w-]+) -->\n.*?<!-- end -->", re.DOTALL)


def fill(text: str, blocks: Mapping[str, str]) -> str:
    """Put each block between its marks.

    Raises:
        KeyError: a mark without a block, or a block without a mark.
    """
    names = [found["name"] for found in _MARKED.finditer(text)]
    if set(names) != set(blocks):
        raise KeyError(f"the page and the blocks differ in {sorted(set(names) ^ set(blocks))}")
    return _MARKED.sub(lambda found: f"<!-- {found['name']} -->\n{blocks[found['name']]}\n<!-- end -->", text)


def write(template: Path, page: Path, blocks: Mapping[str, Block], missing: str | None = None) -> None:
    """Write the page, with its figures in a folder beside it; a mark without a block gets the text `missing`."""
    folder = page.parent / f"{page.stem}-figures"
    texts = {}
    for name, block in blocks.items():
        if isinstance(block, Figure):
            folder.mkdir(parents=True, exist_ok=True)
            block.savefig(folder / f"{name}.png", dpi=150, metadata={"Software": None})
            texts[name] = f"![{name}]({folder.name}/{name}.png)"
        else:
            texts[name] = block
    text = template.read_text(encoding="utf-8")
    if missing is not None:
        texts = {found["name"]: missing for found in _MARKED.finditer(text)} | texts
    page.write_text(fill(text, texts), encoding="utf-8")


def as_markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as a table; a cell is empty where the row does not have the key."""
    table = list(rows)
    columns = list(dict.fromkeys(key for row in table for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(str(row.get(key, "")) for key in columns) + " |" for row in table)])


def number(value: float) -> str:
    text = f"{value:+.3f}"
    return "" if pd.isna(value) else text[0] + text[1:].removeprefix("0")


def difference(row: Any) -> str:
    """Return a difference with its interval, bold where the corrected test is sure of its sign."""
    if row.difference == 0 and row.low == row.high == 0:
        return "none at all"
    interval = f" ({number(row.low)} to {number(row.high)})" if pd.notna(row.low) else ""
    text = f"{number(row.difference)}{interval}"
    return f"**{text}**" if row.p_corrected < 0.05 else text


def tally(comparison: pd.DataFrame) -> str:
    """Count the settings in which the corrected test is sure of a difference."""
    sure = comparison.p_corrected < 0.05
    better, worse = (sure & (comparison.difference > 0)).sum(), (sure & (comparison.difference < 0)).sum()
    return f"better in {better}, worse in {worse}, undecided in {len(comparison) - better - worse} of {len(comparison)}"
