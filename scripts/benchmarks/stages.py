"""The stages: each a function of (folder, quick) that returns rows of the table."""

import math
import mmap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

import rmspace as rm
from benchmarks.active import selection
from benchmarks.banks import compare_items, make_bank, open_bank
from benchmarks.measure import (
    HIDDEN,
    Operations,
    Peak,
    evict,
    fit_flops,
    least_seconds,
    megabytes_read,
    product_rate,
    products,
)
from benchmarks.objectives import costs
from benchmarks.published import NS, looped_comparisons, permuted_best_of_n, published_fit
from benchmarks.serve import serving
from benchmarks.studies import overhead, two_workers
from rmspace.data.mapped import blocks, map_array
from rmspace.models.core import bins as _bins
from rmspace.models.core.precision import bfloat16_gain, find_device, find_precision

Row = dict[str, Any]


def ceiling(quick: bool, dtype: torch.dtype | None = None) -> float:
    """Return the GFLOP/s of matrix products that this machine keeps up, in the precision that models choose here."""
    return product_rate(dtype or find_precision("auto", find_device("auto")), 0.5 if quick else 2.0)


def ceilings(folder: Path, quick: bool) -> list[Row]:
    """Matrix products and copying: the limits of this machine."""
    block = np.ones(1 << 27, np.uint8)
    seconds = least_seconds(lambda: block.copy(), 5)
    gain = bfloat16_gain(find_device("auto").type)
    rows = [
        {
            "stage": "matrix product, float32",
            "size": "2,048^3",
            "GFLOP/s": ceiling(quick, torch.float32),
        },
        {"stage": "matrix product, bfloat16, against float32", "size": "probe", "ratio": gain},
        {"stage": "copying memory", "size": "134 MB", "seconds": seconds, "note": f"{0.268 / seconds:.1f} GB/s"},
    ]
    if gain > 1:
        rows[1]["GFLOP/s"] = ceiling(quick, torch.bfloat16)
    return rows


def fits(folder: Path, quick: bool, objective: Any, paired: bool, target: float) -> list[Row]:
    """An MLP from a mapped float16 bank, against the published protocol at the same number of epochs."""
    dim, n, epochs = 2048, 4_000 if quick else 40_000, 1 if quick else 3
    bank = open_bank(make_bank(folder, 100_000 if quick else 1_000_000, dim))
    comparisons = compare_items(bank, n)
    options = {"objective": objective, "max_epochs": epochs, "patience": epochs, "random_state": 0}
    model = rm.MLPReward(**options).fit(bank.items, comparisons[:100], groups=bank.groups)  # the first is slower
    dtype = find_precision("auto", find_device("auto"))
    rates = [ceiling(quick)]
    with Peak() as peak:
        model.fit(bank.items, comparisons, groups=bank.groups)
    ours = least_seconds(lambda: model.fit(bank.items, comparisons, groups=bank.groups), 2)
    rates.append(ceiling(quick))
    done = []
    with Peak() as theirs_peak:
        theirs = least_seconds(
            lambda: done.append(published_fit(bank.items, comparisons, paired=paired, epochs=epochs)), 1
        )
    rates.append(ceiling(quick))
    flops = fit_flops(dim, 2 * model.n_training_ * epochs, 2 * model.n_validation_ * epochs)
    parameters = products(dim) + sum(HIDDEN) + 1
    bound = (len(np.unique(comparisons)) * dim * dtype.itemsize + parameters * 4 * 3) / 2**20
    roof = theirs / (flops / max(rates) / 1e9)
    name, size = "BT-MLP" if paired else "CLF-MLP", f"{n:,} x {dim:,}, {epochs} epoch(s)"
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
    """Scores of a mapped float16 bank, which should not be held in memory."""
    dim, n = 2048, 40_000 if quick else 1_000_000
    path = make_bank(folder, 100_000 if quick else 1_000_000, dim)
    bank = open_bank(path)
    model = rm.MLPReward(max_epochs=1, random_state=0)
    model.fit(bank.items, compare_items(bank, 1000), groups=bank.groups)
    rates = [ceiling(quick)]
    model.predict(bank.items[:8192])
    cold = math.nan
    if evict(path / "embeddings.npy"):
        cold = least_seconds(lambda: model.predict(bank.items[:n]), 1)
    with Peak() as peak:
        seconds = least_seconds(lambda: model.predict(bank.items[:n]), 1)
    rates.append(ceiling(quick))
    rate = 2 * n * products(dim) / seconds / 1e9
    return [
        {
            "stage": "MLP predict, mapped float16", "size": f"{n:,} x {dim:,} ({n * dim * 2 / 1e9:.1f} GB)",
            "seconds": seconds, "GFLOP/s": rate, "share": rate / max(rates), "peak MB": peak.megabytes,
            "target": "share 75%; under 1,000 MB", "note": f"{cold:.3g} s the first time, from storage",
        }
    ]  # fmt: skip


def reading(folder: Path, quick: bool) -> list[Row]:
    """Scattered rows of a file that is not in the system's cache: requests for runs of pages, or plain indexing."""
    path = make_bank(folder, 100_000 if quick else 1_000_000, 2048) / "embeddings.npy"
    n_rows = 100_000 if quick else 200_000

    def read(ids: np.ndarray, how: str) -> tuple[float, float]:
        cold = evict(path)
        mapped, before = map_array(path), megabytes_read()
        table = mapped.reshape(-1, 2048)[:n_rows]
        if how == "MADV_RANDOM":
            cast(Any, mapped)._mmap.madvise(mmap.MADV_RANDOM)

        def work() -> None:
            if how != "blocks":
                table[ids]
                return
            for _, rows in blocks(table, ids):
                len(rows)

        seconds = least_seconds(work, 1)
        return (seconds, megabytes_read() - before) if cold else (math.nan, math.nan)

    rows = []
    for n in (n_rows // 25,) if quick else (n_rows // 25, n_rows * 2 // 5):
        ids = np.sort(np.random.default_rng(0).permutation(n_rows)[:n])
        plain = math.nan
        for how, name in (
            ("plain", "plain indexing"),
            ("MADV_RANDOM", "MADV_RANDOM, then indexing"),
            ("blocks", "as fits read them"),
        ):
            if how == "MADV_RANDOM" and not hasattr(mmap, how):
                continue
            seconds, megabytes = read(ids, how)
            plain = seconds if how == "plain" else plain
            rows.append(
                {
                    "stage": f"rows from storage, {name}",
                    "size": f"{n:,} of {n_rows:,} rows, {n * 4096 / 1e6:.0f} MB",
                    "seconds": seconds, "ratio": plain / seconds, "note": f"{megabytes:,.0f} MB read",
                }
            )  # fmt: skip
    return rows


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
    np.ones(1 << 21).sum()  # frees 16 MB: glibc then keeps what is freed, as in a process that runs for a while
    ours = least_seconds(lambda: compare_items(bank, 40_000), 50)
    theirs = least_seconds(lambda: looped_comparisons(rewards, 40_000, 1.0), 3)
    size = "40,000 of 41,876 prompts"
    return [
        {"stage": "pairs and annotation", "size": size, "seconds": ours, "ratio": theirs / ours, "target": "200x"},
        {"stage": "pairs and annotation, loop over prompts", "size": size, "seconds": theirs},
    ]


def binning(folder: Path, quick: bool) -> list[Row]:
    """The memory of binning all columns at once, as LightGBM does by itself, with one tree."""
    dim, n = 2048, 1_000 if quick else 10_000
    bank = open_bank(make_bank(folder, 100_000 if quick else 1_000_000, dim))
    comparisons = compare_items(bank, n)
    rm.LightGBMReward(n_estimators=1).fit(bank.items[:40], np.arange(40).reshape(20, 2))
    model = rm.LightGBMReward(n_estimators=1, random_state=0, parameters={"enable_bundle": True})  # the default's value
    with Peak() as peak:
        seconds = least_seconds(lambda: model.fit(bank.items, comparisons), 1)
    size = f"{2 * n:,} rows x {dim:,}, 1 tree"
    return [
        {"stage": "BT-LGB, all columns binned at once", "size": size, "seconds": seconds, "peak MB": peak.megabytes}
    ]


def trees(folder: Path, quick: bool) -> list[Row]:
    """Boosted trees: the first fit, the second on the same items, and quantised gradients."""
    dim, n, rounds = 2048, 1_000 if quick else 10_000, 10 if quick else 100
    bank = open_bank(make_bank(folder, 100_000 if quick else 1_000_000, dim))
    comparisons = compare_items(bank, n)
    spent: list[float] = []
    make = _bins._bin

    def timed(*args: Any) -> Any:
        start = time.perf_counter()
        found = make(*args)
        spent.append(time.perf_counter() - start)
        return found

    _bins._bin = timed  # type: ignore[assignment]
    rows = []
    size = f"{2 * n:,} rows x {dim:,}, {rounds} trees"
    for name, objective in (("BT-LGB", rm.bradley_terry), ("CLF-LGB", rm.classification)):
        with rm.reuse_items():
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
                row: Row = {"stage": f"{name}, {what}", "size": size, "seconds": seconds, "peak MB": peak.megabytes}
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
    bank = open_bank(make_bank(folder, 100_000 if quick else 1_000_000, 2048))
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
    """Several seeds with and without shared items, and ensembles trained one by one and as one program."""
    n, members = 1_000 if quick else 10_000, 4
    bank = open_bank(make_bank(folder, 100_000 if quick else 1_000_000, 2048))
    comparisons = compare_items(bank, n)

    def fit_all() -> None:
        for seed in range(members):
            model = rm.MLPReward(max_epochs=1, random_state=seed)
            model.fit(bank.items, comparisons, groups=bank.groups)

    def fit_sharing() -> None:
        with rm.reuse_items():
            fit_all()

    fit_all()
    apart, shared = least_seconds(fit_all, 2), least_seconds(fit_sharing, 2)
    size = f"{members} seeds, {n:,} x 2,048, 1 epoch"
    rows = [
        {"stage": "MLP fits one by one", "size": size, "seconds": apart},
        {"stage": "MLP fits inside reuse_items", "size": size, "seconds": shared, "ratio": apart / shared},
    ]
    cases = [
        (16, (16,), 128), (64, (64, 32), 128), (64, (64, 32), 512), (384, (64,), 512), (384, (64,), 16),
        (384, (256, 128), 512), (1024, (512,), 16), (2048, HIDDEN, 512),
    ]  # fmt: skip
    for dim, hidden, batch in cases[::4] if quick else cases:
        rows += ensembles(dim, hidden, batch, 500 if quick else 5_000, repeats=1 if quick else 3)
    return rows


def ensembles(dim: int, hidden: tuple[int, ...], batch: int, n: int, *, repeats: int) -> list[Row]:
    """An ensemble of ten, its members trained one by one and as one program."""
    train, _ = rm.make_synthetic_banks(n // 4, 10, 4, dim, seed=0)
    comparisons = compare_items(train, n)
    seconds, operations = {}, {}
    for batched in (False, True):

        def fit(batched: bool = batched, **options: Any) -> None:
            options = {"batch_size": batch, "max_epochs": 2, **options}
            member = rm.MLPReward(hidden_sizes=hidden, **options)
            model = rm.EnsembleReward(member, 10, batched=batched, random_state=0)
            model.fit(train.items, comparisons, groups=train.groups)

        fit()
        seconds[batched] = least_seconds(fit, repeats)
        counts = []
        for steps in (5, 10):
            with Operations() as counted:
                fit(max_epochs=1, validation_fraction=0.0, batch_size=n // steps)
            counts.append(counted.number)
        operations[batched] = (counts[1] - counts[0]) / 5
    widths = "-".join(f"{width:,}" for width in (dim, *hidden, 1))
    return [
        {
            "stage": f"ensemble of 10, {'one program' if batched else 'one by one'}",
            "size": f"{widths}, {n:,} comparisons, batch {batch}, 2 epochs",
            "seconds": seconds[batched], "ratio": seconds[False] / seconds[batched] if batched else math.nan,
            "note": f"{operations[batched]:.0f} torch operations per step",
        }
        for batched in (False, True)
    ]  # fmt: skip


def growth(folder: Path, quick: bool) -> list[Row]:
    """Seconds against size, with the exponent of the power law that fits best."""
    counts = [2_500, 5_000, 10_000] if quick else [5_000, 10_000, 20_000, 40_000, 80_000, 160_000]
    dims = [384, 768, 1536] if quick else [384, 768, 1536, 3072, 4096]
    sizes = [10_000, 30_000, 100_000] if quick else [10_000, 30_000, 100_000, 300_000, 1_000_000]
    n_small = 100_000 if quick else 400_000
    small = open_bank(make_bank(folder, n_small, 384))
    options: dict[str, Any] = {"max_epochs": 1, "random_state": 0}
    model = rm.MLPReward(**options).fit(small.items, compare_items(small, 5_000), groups=small.groups)

    def fit(bank: rm.ResponseBank, n: int) -> float:
        comparisons = compare_items(bank, n)
        model = rm.MLPReward(**options)
        return least_seconds(lambda: model.fit(bank.items, comparisons, groups=bank.groups), 2)

    series = {
        "MLP epoch, comparisons (dim 384)": (counts, [fit(small, n) for n in counts]),
        "MLP epoch, dim (5,000 comparisons)": (
            dims, [fit(open_bank(make_bank(folder, n_small if dim == 384 else 20_000, dim)), 5_000) for dim in dims],
        ),
    }  # fmt: skip
    large = open_bank(make_bank(folder, max(sizes), 384))
    series["MLP predict, items (dim 384)"] = (
        sizes, [least_seconds(partial(model.predict, large.items[:n]), 2) for n in sizes],
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
    train, test = rm.open_generators(str(folder))
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
        with rm.reuse_items():
            for name, pair in variants.items():
                for model in pair:
                    model.set_params(random_state=seed).fit(train.items, comparisons, groups=train.groups)
                a, b = (rm.normalized_gain(m.predict(test.items), test.rewards) for m in pair)
                gains.setdefault(name, []).append(np.stack([a, b]))
    rows = []
    for name, found in gains.items():
        exact, rounded = np.mean(found, axis=0)  # over seeds; one value per prompt
        _, low, high = rm.mean_interval(rounded - exact)
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
    "reading": reading,
    "best_of_n": best_of_n,
    "pairs": pairs,
    "binning": binning,
    "trees": trees,
    "distinct": distinct,
    "many_models": many_models,
    "growth": growth,
    "active": selection,
    "MLP objectives": partial(costs, kind="MLP"),
    "linear objectives": partial(costs, kind="linear"),
}
STUDIES: dict[str, Callable[[Path, bool], list[Row]]] = {  # run only on request, since they take many minutes
    "study": overhead,
    "workers": two_workers,
    "serve": serving,
}
