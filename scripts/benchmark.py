"""Measure rmspace at the paper's sizes against this machine's own ceilings and against the published protocol.

    python scripts/benchmark.py [--quick] [--bank FOLDER] [--real FOLDER] [--out FOLDER]

Every stage runs in a process of its own, in which the best matrix-product rate is measured before and after. Ratios
and shares are within one such run; seconds are the least of the repetitions. `--quick` takes smaller sizes and about
two minutes. `--out` gets table.md and rows.json.
"""

import argparse
import json
import math
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import rmspace as rm
from rmspace.models import _bins
from rmspace.models._hardware import bfloat16_gain, find_device, find_precision, find_threads

HIDDEN = (1024, 512)
NS = [2, 5, 10, 30, 50, 100, 300, 500]
Row = dict[str, Any]


# --- measuring -------------------------------------------------------------------------------------------------------


def least_seconds(work: Callable[[], Any], repeats: int) -> float:
    """Return the least time of some calls."""
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def best_rate(dtype: torch.dtype, size: int = 2048, repeats: int = 6) -> float:
    """Return the best GFLOP/s of a square matrix product in a precision, on the device that models use."""
    device = find_device("auto")
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    if device.type == "cpu":
        return 2 * size**3 / least_seconds(lambda: a @ b, repeats) / 1e9
    return 2 * size**3 / least_seconds(lambda: float((a @ b)[0, 0]), repeats) / 1e9


def resident(of: str) -> float:
    """Return megabytes of this process, "VmRSS" now or "VmHWM" at most; nan where the system does not tell."""
    status = Path("/proc/self/status")
    lines = [line for line in status.read_text().splitlines() if line.startswith(of)] if status.exists() else []
    return int(lines[0].split()[1]) / 1024 if lines else math.nan


class Peak:
    """The most memory, above what the process had before, that a block of code takes."""

    def __enter__(self) -> "Peak":
        reset = Path("/proc/self/clear_refs")
        if reset.exists():
            reset.write_text("5")
        self.before = resident("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.megabytes = resident("VmHWM") - self.before


def products(dim: int) -> int:
    """Multiplications of the network for one item."""
    sizes = [dim, *HIDDEN, 1]
    return sum(a * b for a, b in pairwise(sizes))


def fit_flops(dim: int, trained: int, scored: int) -> float:
    """Floating-point operations to train on items and score others: forward, weights' and inputs' gradients."""
    return 2.0 * trained * (3 * products(dim) - dim * HIDDEN[0]) + 2.0 * scored * products(dim)


# --- the published protocol (arXiv 2411.04991 and its code), as a baseline --------------------------------------------


def published_network(dim: int) -> torch.nn.Sequential:
    layers = [torch.nn.Linear(dim, HIDDEN[0]), torch.nn.ReLU(), torch.nn.Linear(*HIDDEN), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(HIDDEN[1], 1), torch.nn.Sigmoid())


def published_fit(items: Any, comparisons: np.ndarray, *, paired: bool, epochs: int, batch: int = 10_240) -> float:
    """Train by mirrored float32 rows, split by rows, batches drawn anew; return the floating-point operations done."""
    torch.manual_seed(0)
    won = torch.from_numpy(np.asarray(items[comparisons[:, 0]], dtype=np.float32))
    lost = torch.from_numpy(np.asarray(items[comparisons[:, 1]], dtype=np.float32))
    dim = won.shape[1]
    sides = [torch.cat([won, lost]), torch.cat([lost, won])] if paired else [torch.cat([won, lost])]
    labels = torch.cat([torch.ones(len(won), 1), torch.zeros(len(won), 1)])
    order = torch.randperm(len(labels))
    n = int(0.8 * len(labels))
    training = [side[order[:n]] for side in sides], labels[order[:n]]
    held_out = [side[order[n:]] for side in sides], labels[order[n:]]
    network = published_network(dim)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss_of = torch.nn.BCELoss()

    def loss(rows: list[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        scores = [network[:-1](side) for side in rows]
        return loss_of(network[-1](scores[0] - scores[1] if paired else scores[0]), target)

    trained = 0
    for _ in range(epochs):
        for _ in range(math.ceil(n / batch)):
            chosen = torch.randperm(n)[:batch]
            optimizer.zero_grad()
            loss([side[chosen] for side in training[0]], training[1][chosen]).backward()
            optimizer.step()
            trained += len(chosen)
        with torch.no_grad():
            float(loss(*held_out))
    return fit_flops(dim, trained * len(sides), epochs * len(held_out[1]) * len(sides))


def permuted_best_of_n(scores: np.ndarray, rewards: np.ndarray, n_permutations: int = 100) -> np.ndarray:
    """Best-of-N by random permutations shared by all prompts, the first index winning ties."""
    rng = np.random.default_rng(0)
    rows = np.arange(len(scores))
    reached = np.zeros(len(NS))
    for _ in range(n_permutations):
        order = rng.permutation(scores.shape[1])
        for k, n in enumerate(NS):
            drawn = order[:n]
            reached[k] += rewards[rows, drawn[scores[:, drawn].argmax(axis=1)]].mean()
    return reached / n_permutations


def looped_comparisons(rewards: np.ndarray, n_pairs: int, beta: float) -> np.ndarray:
    """Pair and annotate prompt by prompt."""
    rng = np.random.default_rng(0)
    scale, width = rewards.std(), rewards.shape[1]
    found = []
    for prompt in rng.permutation(len(rewards))[:n_pairs]:
        first, second = rng.choice(width, 2, replace=False)
        wins = 1 / (1 + np.exp(-beta * (rewards[prompt, first] - rewards[prompt, second]) / scale))
        winner, loser = (first, second) if rng.random() < wins else (second, first)
        found.append((prompt * width + winner, prompt * width + loser))
    return np.array(found)


# --- banks -----------------------------------------------------------------------------------------------------------


def make_bank(folder: Path, n_items: int, dim: int) -> Path:
    """Write a float16 bank of 10 responses a prompt, block by block; a few noisy directions carry the reward."""
    path = folder / f"bank-{n_items}x{dim}"
    if path.exists():
        return path
    rng = np.random.default_rng(0)
    base = rng.standard_normal((2000, dim), dtype=np.float32) / math.sqrt(dim)
    path.mkdir()
    embeddings = np.lib.format.open_memmap(path / "embeddings.npy", "w+", np.float16, (n_items // 10, 10, dim))
    rows = embeddings.reshape(-1, dim)
    for start in range(0, n_items, len(base)):
        block = np.roll(base, start // len(base) * 7 + 1, axis=1)[: n_items - start]
        rows[start : start + len(base)] = block * (1 + 0.1 * rng.standard_normal((len(block), 1), dtype=np.float32))
    embeddings.flush()
    direction = rng.standard_normal(dim)
    rewards = np.concatenate(
        [np.asarray(rows[k : k + 50_000], dtype=np.float32) @ direction for k in range(0, n_items, 50_000)]
    )
    np.save(path / "rewards.npy", rewards.reshape(-1, 10) + 0.3 * rng.standard_normal((n_items // 10, 10)))
    return path


def open_bank(path: Path) -> rm.ResponseBank:
    return rm.read_published(path / "embeddings.npy", path / "rewards.npy", layout="prompts_first")


def compare_items(bank: rm.ResponseBank, n_pairs: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    pairs = rm.same_prompt(bank, n_pairs, rng)
    return rm.annotate(pairs, bank.rewards, partial(rm.logistic, beta=1.0), rng=rng, scale="std")


# --- stages: each a function of (folder, quick) that returns rows -----------------------------------------------------


def ceilings(folder: Path, quick: bool) -> list[Row]:
    """Matrix products and copying: what nothing here can be faster than."""
    block = np.ones(1 << 27, np.uint8)
    seconds = least_seconds(lambda: block.copy(), 5)
    gain = bfloat16_gain(find_device("auto").type)
    rows = [
        {"stage": "matrix product, float32", "size": "2,048^3", "GFLOP/s": best_rate(torch.float32)},
        {"stage": "matrix product, bfloat16, against float32", "size": "probe", "ratio": gain},
        {"stage": "copying memory", "size": "134 MB", "seconds": seconds, "note": f"{0.268 / seconds:.1f} GB/s"},
    ]
    if gain > 1:
        rows[1]["GFLOP/s"] = best_rate(torch.bfloat16)
    return rows


def fits(folder: Path, quick: bool, objective: Any, paired: bool, target: float) -> list[Row]:
    """An MLP from a mapped float16 bank, against the published protocol at the same number of epochs."""
    dim, n, epochs = 2048, 4_000 if quick else 40_000, 1 if quick else 3
    bank = open_bank(make_bank(folder, 200_000 if quick else 1_000_000, dim))
    comparisons = compare_items(bank, n)
    options = {"objective": objective, "max_epochs": epochs, "patience": epochs, "random_state": 0}
    model = rm.MLPReward(**options).fit(bank.items, comparisons, groups=bank.groups)  # the first is slower
    dtype = find_precision("auto", find_device("auto"))
    rates = [best_rate(dtype)]
    with Peak() as peak:
        ours = least_seconds(lambda: model.fit(bank.items, comparisons, groups=bank.groups), 1)
    ours = min(ours, least_seconds(lambda: model.fit(bank.items, comparisons, groups=bank.groups), 1))
    rates.append(best_rate(dtype))
    done = []
    with Peak() as theirs_peak:
        theirs = least_seconds(
            lambda: done.append(published_fit(bank.items, comparisons, paired=paired, epochs=epochs)), 1
        )
    rates.append(best_rate(dtype))
    history = model.history_
    flops = fit_flops(dim, 2 * history.n_training * epochs, 2 * history.n_validation * epochs)
    parameters = products(dim) + sum(HIDDEN) + 1
    bound = (len(np.unique(comparisons)) * dim * dtype.itemsize + parameters * 4 * 3) / 2**20
    roof = theirs / (flops / max(rates) / 1e9)
    name, size = "BT-MLP" if paired else "CLF-MLP", f"{n:,} x {dim:,}, {epochs} epochs"
    return [
        {
            "stage": f"{name} fit", "size": size, "seconds": ours, "GFLOP/s": flops / ours / 1e9,
            "share": flops / ours / 1e9 / max(rates), "peak MB": peak.megabytes, "ratio": theirs / ours,
            "target": f"{target:g}x; share 80%",
            "note": f"{model.precision_}; peak is {peak.megabytes / bound:.2f} of rows and optimiser; "
                    f"at 100% of the ceiling the ratio would be {roof:.1f}",
        },
        {
            "stage": f"{name}, published protocol", "size": size, "seconds": theirs, "GFLOP/s": done[0] / theirs / 1e9,
            "share": done[0] / theirs / 1e9 / max(rates), "peak MB": theirs_peak.megabytes,
            "note": f"{done[0] / flops:.2f} times the operations",
        },
    ]  # fmt: skip


def prediction(folder: Path, quick: bool) -> list[Row]:
    """Scores of a mapped float16 bank that a laptop's memory should not hold."""
    dim, n = 2048, 40_000 if quick else 1_000_000
    bank = open_bank(make_bank(folder, 200_000 if quick else 1_000_000, dim))
    model = rm.MLPReward(max_epochs=1, random_state=0)
    model.fit(bank.items, compare_items(bank, 1000), groups=bank.groups)
    rates = [best_rate(find_precision("auto", find_device("auto")))]
    model.predict(bank.items[:8192])
    with Peak() as peak:
        seconds = least_seconds(lambda: model.predict(bank.items[:n]), 1)
    rates.append(best_rate(find_precision("auto", find_device("auto"))))
    rate = 2 * n * products(dim) / seconds / 1e9
    return [
        {
            "stage": "MLP predict, mapped float16", "size": f"{n:,} x {dim:,} ({n * dim * 2 / 1e9:.1f} GB)",
            "seconds": seconds, "GFLOP/s": rate, "share": rate / max(rates), "peak MB": peak.megabytes,
            "target": "share 75%; under 1,000 MB",
        }
    ]  # fmt: skip


def best_of_n(folder: Path, quick: bool) -> list[Row]:
    """Exact Best-of-N against permutations."""
    rng = np.random.default_rng(0)
    scores, rewards = rng.normal(size=(2, 2292, 500))
    repeats = 5 if quick else 20
    ours = least_seconds(lambda: rm.best_of_n(scores, rewards, n=NS), repeats)
    coarse = np.round(scores, 1)
    tied = least_seconds(lambda: rm.best_of_n(coarse, rewards, n=NS), repeats)
    theirs = least_seconds(lambda: permuted_best_of_n(scores, rewards), 1)
    size = "2,292 x 500, eight N"
    return [
        {"stage": "Best-of-N, exact", "size": size, "seconds": ours, "ratio": theirs / ours, "target": "40x, exact"},
        {"stage": "Best-of-N, exact, most scores tied", "size": size, "seconds": tied, "ratio": theirs / tied},
        {"stage": "Best-of-N, 100 permutations", "size": size, "seconds": theirs},
    ]


def pairs(folder: Path, quick: bool) -> list[Row]:
    """Pairs and annotation against a loop over prompts."""
    rewards = np.random.default_rng(0).normal(size=(41_876, 10))
    bank = rm.ResponseBank(np.zeros((41_876, 10, 1), np.float32), rewards)
    np.ones(1 << 21).sum()  # frees 16 MB: from then on glibc keeps freed memory, as it does in a running session
    ours = least_seconds(lambda: compare_items(bank, 40_000), 50)
    theirs = least_seconds(lambda: looped_comparisons(rewards, 40_000, 1.0), 3)
    size = "40,000 of 41,876 prompts"
    return [
        {"stage": "pairs and annotation", "size": size, "seconds": ours, "ratio": theirs / ours, "target": "200x"},
        {"stage": "pairs and annotation, loop over prompts", "size": size, "seconds": theirs},
    ]


def trees(folder: Path, quick: bool) -> list[Row]:
    """Boosted trees: the first fit, the second on the same items, and quantised gradients."""
    dim, n, rounds = 2048, 1_000 if quick else 10_000, 10 if quick else 100
    bank = open_bank(make_bank(folder, 200_000 if quick else 1_000_000, dim))
    comparisons = compare_items(bank, n)
    spent: list[float] = []
    make = _bins._bin

    def timed(*args: Any) -> Any:
        start = time.perf_counter()
        found = make(*args)
        spent.append(time.perf_counter() - start)
        return found

    _bins._bin = timed
    rows = []
    size = f"{2 * n:,} rows x {dim:,}, {rounds} trees"
    for name, objective in (("BT-LGB", rm.bradley_terry), ("CLF-LGB", rm.classification)):
        with rm.share_items():
            for what, labels, quantized in (
                ("first fit", comparisons, False),
                (
                    "second fit, other labels",
                    np.where(np.arange(n)[:, None] % 5, comparisons, comparisons[:, ::-1]),
                    False,
                ),
                ("quantised", comparisons, True),
            ):
                spent.clear()
                model = rm.LightGBMReward(objective, n_estimators=rounds, quantized=quantized, random_state=0)
                with Peak() as peak:
                    seconds = least_seconds(partial(model.fit, bank.items, labels), 1)
                row = {"stage": f"{name}, {what}", "size": size, "seconds": seconds, "peak MB": peak.megabytes}
                if what == "first fit":
                    first = seconds - sum(spent)
                row["note"] = f"{sum(spent):.2f} s of it binning ({len(spent)} times)"
                if quantized:
                    row["ratio"] = first / (seconds - sum(spent))
                    row["note"] += "; ratio of boosting alone"
                if what.startswith("second"):
                    row["target"] = "0 s of binning"
                rows.append(row)
    return rows


def distinct(folder: Path, quick: bool) -> list[Row]:
    """Distinct scores among many items, by precision."""
    n = 20_000 if quick else 100_000
    bank = open_bank(make_bank(folder, 200_000 if quick else 1_000_000, 2048))
    model = rm.MLPReward(max_epochs=1, random_state=0)
    model.fit(bank.items, compare_items(bank, 2_000), groups=bank.groups)
    counts = {}
    for precision in ("float32", "bfloat16"):
        counts[precision] = len(np.unique(model.set_params(precision=precision).predict(bank.items[:n])))
    return [
        {
            "stage": "distinct scores, bfloat16 against float32", "size": f"{n:,} items",
            "ratio": counts["bfloat16"] / counts["float32"], "target": "0.99",
            "note": f"{counts['bfloat16']:,} and {counts['float32']:,}",
        }
    ]  # fmt: skip


def many_models(folder: Path, quick: bool) -> list[Row]:
    """Several seeds with and without what they share."""
    n, members = 2_000 if quick else 10_000, 4
    bank = open_bank(make_bank(folder, 200_000 if quick else 1_000_000, 2048))
    comparisons = compare_items(bank, n)

    def fit_all() -> None:
        for seed in range(members):
            model = rm.MLPReward(max_epochs=1, random_state=seed)
            model.fit(bank.items, comparisons, groups=bank.groups)

    def fit_sharing() -> None:
        with rm.share_items():
            fit_all()

    fit_all()
    apart, together = least_seconds(fit_all, 2), least_seconds(fit_sharing, 2)
    size = f"{members} seeds, {n:,} x 2,048, 1 epoch"
    return [
        {"stage": "MLP fits one by one", "size": size, "seconds": apart},
        {"stage": "MLP fits inside share_items", "size": size, "seconds": together, "ratio": apart / together},
    ]


def growth(folder: Path, quick: bool) -> list[Row]:
    """Seconds against size, with the exponent of the best power law."""
    counts = [5_000, 10_000, 20_000] if quick else [5_000, 10_000, 20_000, 40_000, 80_000, 160_000]
    dims = [384, 768, 1536] if quick else [384, 768, 1536, 3072, 4096]
    sizes = [10_000, 30_000, 100_000] if quick else [10_000, 30_000, 100_000, 300_000, 1_000_000]
    small = open_bank(make_bank(folder, 400_000, 384))
    options = {"max_epochs": 1, "random_state": 0}
    model = rm.MLPReward(**options).fit(small.items, compare_items(small, 5_000), groups=small.groups)

    def fit(bank: rm.ResponseBank, n: int) -> float:
        comparisons = compare_items(bank, n)
        model = rm.MLPReward(**options)
        return least_seconds(lambda: model.fit(bank.items, comparisons, groups=bank.groups), 2)

    series = {
        "MLP epoch, comparisons (dim 384)": (counts, [fit(small, n) for n in counts]),
        "MLP epoch, dim (5,000 comparisons)": (
            dims, [fit(open_bank(make_bank(folder, 400_000 if dim == 384 else 20_000, dim)), 5_000) for dim in dims],
        ),
    }  # fmt: skip
    large = open_bank(make_bank(folder, max(sizes), 384) if not quick else make_bank(folder, 400_000, 384))
    series["MLP predict, items (dim 384)"] = (
        sizes, [least_seconds(lambda n=n: model.predict(large.items[:n]), 2) for n in sizes],
    )  # fmt: skip
    rows = []
    for name, (x, seconds) in series.items():
        exponent = np.polyfit(np.log(x), np.log(seconds), 1)[0]
        listed = ", ".join(f"{s:.2g}" for s in seconds)
        rows.append(
            {
                "stage": name, "size": f"{x[0]:,} to {x[-1]:,}", "seconds": seconds[-1],
                "note": f"exponent {exponent:.2f}; {listed} s",
            }
        )  # fmt: skip
    return rows


def real_bank(folder: Path, quick: bool) -> list[Row]:
    """Best-of-N that each precision and kind of gradient reaches on a real bank, over seeds."""
    train, test = rm.open_generators(folder)
    variants = {
        "BT-MLP": (rm.MLPReward(precision="float32"), rm.MLPReward(precision="bfloat16")),
        "CLF-MLP": tuple(rm.MLPReward(rm.classification, precision=p) for p in ("float32", "bfloat16")),
        "BT-LGB": (rm.LightGBMReward(), rm.LightGBMReward(quantized=True)),
        "CLF-LGB": tuple(rm.LightGBMReward(rm.classification, quantized=q) for q in (False, True)),
    }
    n_pairs, seeds = (2_000, range(1)) if quick else (20_000, range(5))
    gains: dict[str, list[np.ndarray]] = {}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        comparisons = rm.annotate(rm.same_prompt(train, n_pairs, rng), train.rewards, rm.oracle, rng=rng)
        with rm.share_items():
            for name, pair in variants.items():
                for model in pair:
                    model.set_params(random_state=seed).fit(train.items, comparisons, groups=train.groups)
                a, b = (rm.normalized_gain(m.predict(test.items), test.rewards) for m in pair)
                gains.setdefault(name, []).append(np.stack([a, b]))
    rows = []
    for name, found in gains.items():
        exact, rounded = np.mean(found, axis=0)  # over seeds, a value a prompt
        _, low, high = rm.bootstrap_interval(rounded - exact)
        by_seed = [f"{(b - a).mean():+.3f}" for a, b in found]
        what = "bfloat16 - float32" if "MLP" in name else "quantised - exact"
        rows.append(
            {
                "stage": f"{name} gain at N = 56, {what}", "size": f"{n_pairs:,} pairs, {len(seeds)} seeds",
                "target": "interval holds 0",
                "note": f"{(rounded - exact).mean():+.4f} [{low:+.4f}, {high:+.4f}] ({exact.mean():.3f}); "
                        f"by seed {', '.join(by_seed)}",
            }
        )  # fmt: skip
    return rows


STAGES: dict[str, Callable[[Path, bool], list[Row]]] = {
    "ceilings": ceilings,
    "fit BT": partial(fits, objective=rm.bradley_terry, paired=True, target=8),
    "fit CLF": partial(fits, objective=rm.classification, paired=False, target=4),
    "prediction": prediction,
    "best_of_n": best_of_n,
    "pairs": pairs,
    "trees": trees,
    "distinct": distinct,
    "many_models": many_models,
    "growth": growth,
}


# --- the table -------------------------------------------------------------------------------------------------------


def as_markdown(rows: list[Row]) -> str:
    columns = ["stage", "size", "seconds", "GFLOP/s", "share", "peak MB", "ratio", "target", "note"]
    table = pd.DataFrame(rows, columns=columns)
    shapes = {"seconds": "{:.3g}", "GFLOP/s": "{:.0f}", "share": "{:.0%}", "peak MB": "{:,.0f}", "ratio": "{:.3g}"}
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in table.to_dict("records"):
        cells = [("" if pd.isna(row[c]) else shapes.get(c, "{}").format(row[c])) for c in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine() -> str:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.partition(": ")[2] for line in info.read_text().splitlines() if "model name" in line), cpu)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "lightgbm"))
    device = find_device("auto")
    gpu = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    return (
        f"{cpu}{gpu}, {find_threads()} threads, {torch.backends.cpu.get_cpu_capability()}; "
        f"Python {platform.python_version()}, {libraries}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, about two minutes")
    parser.add_argument("--bank", type=Path, help="folder for the synthetic banks (5 GB, 1 GB with --quick), kept")
    parser.add_argument("--real", type=Path, help="a real bank for open_generators; its stage is left out without")
    parser.add_argument("--out", type=Path, help="folder for table.md and rows.json")
    parser.add_argument("--only", nargs="*", choices=[*STAGES, "real_bank"], help="only these stages")
    options = parser.parse_args()
    chosen = options.only or [*STAGES, *(["real_bank"] if options.real else [])]
    folder = options.bank or Path(tempfile.mkdtemp(prefix="rmspace-benchmark-"))
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    print(machine(), flush=True)
    try:
        for name in chosen:
            stage = real_bank if name == "real_bank" else STAGES[name]
            place = options.real if name == "real_bank" else folder
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                found = pool.submit(stage, place, options.quick).result()
            rows += found
            print(*as_markdown(found).splitlines()[2:], sep="\n", flush=True)
    finally:
        if options.bank is None:
            shutil.rmtree(folder, ignore_errors=True)
    command = " ".join(["python scripts/benchmark.py", *sys.argv[1:]])
    text = f"{machine()}\n\n`{command}`\n\n{as_markdown(rows)}\n"
    print("\n" + text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "table.md").write_text(text, encoding="utf-8")
        (options.out / "rows.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
