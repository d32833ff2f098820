"""The studies in configs/findings: how each is run, and the function that makes blocks of the page from its results."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import rmspace as rm
from findings.claims import annotations, designs, gaps, noise, reasons
from findings.objectives import perfect, protocol
from findings.page import Block

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs" / "findings"
BANK = ROOT.parent / "shared" / "data" / "alpacaeval"  # what the configs name

CLAIMS: dict[str, Callable[[pd.DataFrame], dict[str, Block]]] = {
    "claim1": protocol,
    "claim1_perfect": perfect,
    "claim2": noise,
    "claim3": annotations,
    "claim4": designs,
    "claim4_why": reasons,
    "claim5": gaps,
}
QUICK = {
    "claim1": ["grid.n_pairs=[500]", "include=[]"],
    "claim1_perfect": ["base.n_pairs=500"],
    "claim2": ["base.n_pairs=500", "grid.annotator.beta=[0.5, 3]"],
    "claim3": ["grid.n_pairs=[200, 500]"],
    "claim4": ["grid.n_pairs=[300]", "include=[]"],
    "claim4_why": ["base.n_pairs=300"],
    "claim5": ["base.n_pairs=200"],
}
TWO_SEEDS = "grid.data.seed, seed=[[0, 0], [1, 1]]"


def run_studies(out: Path, bank: Path, *, quick: bool, workers: int) -> tuple[dict[str, Block], list[dict[str, Any]]]:
    """Run every study; return the blocks of the page, and one row of facts per study."""
    blocks: dict[str, Block] = {}
    facts = []
    for name, make_blocks in CLAIMS.items():
        config = CONFIGS / f"{name}.yaml"
        changes = [*bank_overrides(config, bank), *([*QUICK[name], TWO_SEEDS] if quick else [])]
        study = rm.run_study(config, out / name, workers=workers, overrides=changes)
        cells = study.cells()
        if not (cells.status == "done").all():
            print(cells[cells.status != "done"], file=sys.stderr)
            raise SystemExit(f"{name} has cells that are not done; see above")
        facts.append(
            {
                "study": f"configs/findings/{name}.yaml",
                "cells": len(cells),
                "seeds": cells.seed.nunique(),
                "core-minutes": f"{cells.seconds.sum() / 60:.0f}",
            }
        )
        blocks |= make_blocks(study.results())
    return blocks, facts


def bank_overrides(config: Path, bank: Path) -> list[str]:
    """Return the overrides that let a study read its real bank from another folder."""
    if bank.resolve() == BANK.resolve():
        return []
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    changed = {}
    for part in ("base", "grid"):
        before = content[part].get("data")
        after = _with_folder(before, str(bank.resolve()))
        if after != before:
            changed[f"{part}.data"] = after
    return [f"{key}={_one_line(value)}" for key, value in changed.items()]


def _with_folder(node: Any, folder: str) -> Any:
    if not isinstance(node, dict):
        return node
    return {key: folder if key == "folder" else _with_folder(value, folder) for key, value in node.items()}


def _one_line(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9)
    return text.strip()
