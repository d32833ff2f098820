"""Precision and device: which is chosen, what it computes, and what happens where it is not available."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

import rmspace as rm
from conftest import BanksAndComparisons
from rmspace.kinds import Objective
from rmspace.models.core import precision as precisions
from rmspace.models.core.network import HiddenLayer, ScoreLayer, build_network
from rmspace.models.core.precision import bfloat16_gain, find_device, find_precision, on_device

CPU = torch.device("cpu")


@pytest.fixture
def gain(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    def pretend(value: float) -> None:
        monkeypatch.setattr(precisions, "bfloat16_gain", lambda _: value)
        monkeypatch.setattr("rmspace.models.core.network.bfloat16_gain", lambda _: value)

    return pretend


@pytest.fixture(scope="module")
def banks() -> BanksAndComparisons:
    train, test = rm.make_synthetic_banks(200, 50, 10, 32, noise_std=0.0, seed=0)
    rng = np.random.default_rng(0)
    return train, test, rm.annotate(rm.same_prompt(train, 1000, rng), train.rewards, rm.oracle, rng=rng)


def test_the_probe_is_a_ratio_measured_once() -> None:
    bfloat16_gain.cache_clear()
    assert bfloat16_gain("cpu") > 0
    assert bfloat16_gain("cpu") == bfloat16_gain("cpu")
    assert bfloat16_gain.cache_info().misses == 1


def test_the_probe_survives_a_device_without_such_products(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: tuple[int, int], **__: Any) -> None:
        raise RuntimeError('"addmm_impl_cpu_" not implemented for BFloat16')

    monkeypatch.setattr(torch, "ones", refuse)
    assert bfloat16_gain.__wrapped__("cpu") == 0


@pytest.mark.parametrize(
    ("value", "expected"), [(0.01, "float32"), (1.2, "float32"), (1.6, "bfloat16"), (4, "bfloat16")]
)
def test_auto_takes_bfloat16_only_where_it_is_clearly_faster(
    gain: Callable[[float], None], value: float, expected: str
) -> None:
    gain(value)
    assert find_precision("auto", CPU) == getattr(torch, expected)
    assert find_precision("float32", CPU) == torch.float32


def test_bfloat16_where_it_is_slow_warns(gain: Callable[[float], None]) -> None:
    gain(0.1)
    with pytest.warns(UserWarning, match=r"multiplies bfloat16 10\.0 times slower than float32"):
        assert find_precision("bfloat16", CPU) == torch.bfloat16


def test_unknown_words_are_refused(banks: BanksAndComparisons) -> None:
    train, _, comparisons = banks
    wrong = rm.MLPReward(precision="half")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="precision must be one of auto, float32, bfloat16; got 'half'"):
        wrong.fit(train.items, comparisons, groups=train.groups)
    name: Any
    for name in ("gpu", "cuda:99", 3.5):
        with pytest.raises(ValueError, match=f"device must be .* got {name!r}"):
            find_device(name)


def test_a_device_without_memory_gives_way_to_the_cpu_with_a_warning() -> None:
    def work(device: torch.device) -> str:
        if device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return device.type

    with pytest.warns(UserWarning, match="cuda has too little memory left .*going on with the CPU"):
        assert on_device(torch.device("cuda"), work) == "cpu"
    assert on_device(CPU, work) == "cpu"


@pytest.mark.parametrize("slow", [True, False], ids=["rounded float32", "bfloat16"])
def test_hidden_products_in_bfloat16_are_within_its_rounding(gain: Callable[[float], None], slow: bool) -> None:
    gain(0.1 if slow else 2.0)
    generator = torch.Generator().manual_seed(0)
    layer = HiddenLayer(64, 8)
    rows = torch.randn((20, 64), generator=generator).bfloat16()
    exact = linear(rows.double(), layer.weight.bfloat16().double(), layer.bias.bfloat16().double())
    found = layer(rows)
    assert found.dtype == torch.bfloat16
    assert (found.double() - exact).abs().max() <= 2**-8 * exact.abs().max()
    found.float().square().sum().backward()
    slope = linear(rows.double().T, (2 * found.double()).T).T  # of the sum of squares, in the weights
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    assert (layer.weight.grad.double() - slope).abs().max() <= 2**-7 * slope.abs().max()


def test_the_last_layer_is_float32(gain: Callable[[float], None]) -> None:
    gain(0.1)
    layer = ScoreLayer(16, 1)
    rows = torch.randn((10, 16)).bfloat16()
    assert torch.equal(layer(rows), linear(rows.float(), layer.weight, layer.bias))


def test_rows_in_float32_meet_an_ordinary_network() -> None:
    network = build_network(8, (6, 4), 0.0, torch.Generator().manual_seed(0))
    plain = torch.nn.Sequential(
        torch.nn.Linear(8, 6), torch.nn.ReLU(), torch.nn.Dropout(0), torch.nn.Linear(6, 4),
        torch.nn.ReLU(), torch.nn.Dropout(0), torch.nn.Linear(4, 1),
    )  # fmt: skip
    plain.load_state_dict(network.state_dict())
    rows = torch.randn(5, 8)
    assert torch.equal(network(rows), plain(rows))


@pytest.mark.parametrize("objective", [rm.bradley_terry, rm.classification])
@pytest.mark.filterwarnings("ignore:this cpu multiplies")
def test_bfloat16_orders_as_float32_does(
    gain: Callable[[float], None], banks: BanksAndComparisons, objective: Objective
) -> None:
    gain(0.1)
    train, test, comparisons = banks
    scores = {}
    for precision in ("float32", "bfloat16"):
        model = rm.MLPReward(objective, hidden_sizes=(32, 16), max_epochs=8, random_state=0, precision=precision)
        model.fit(train.items, comparisons, groups=train.groups)
        assert model.precision_ == precision
        assert all(value.dtype == torch.float32 for value in model.network_.state_dict().values())
        scores[precision] = model.predict(test.items)
    again = model.set_params(precision="float32").predict(test.items)
    assert not np.array_equal(again, scores["bfloat16"])
    assert np.corrcoef(again, scores["bfloat16"])[0, 1] > 0.999
    gains = {name: rm.normalized_gain(found, test.rewards, n=10) for name, found in scores.items()}
    _, low, high = rm.mean_interval(gains["bfloat16"] - gains["float32"])
    assert low < 0.02 and high > -0.02


@pytest.mark.filterwarnings("ignore:this cpu multiplies")
def test_scores_by_bfloat16_are_almost_all_distinct(gain: Callable[[float], None]) -> None:
    gain(0.1)
    train, test = rm.make_synthetic_banks(20, 2000, 10, 32, seed=0)
    comparisons = rm.annotate(
        rm.same_prompt(train, 100, np.random.default_rng(0)), train.rewards, rm.oracle, rng=np.random.default_rng(0)
    )
    model = rm.MLPReward(hidden_sizes=(256, 128), max_epochs=1, random_state=0, precision="bfloat16")
    scores = model.fit(train.items, comparisons, groups=train.groups).predict(test.items)
    assert len(np.unique(scores)) > 0.99 * len(scores)


def test_weights_that_turn_non_finite_stop_the_fit_with_its_place(
    banks: BanksAndComparisons,
) -> None:
    train, _, comparisons = banks

    def steep(winner: Tensor, loser: Tensor) -> Tensor:  # a finite loss whose slope is infinite
        return (winner - loser - (winner - loser).detach()).sqrt()

    model = rm.MLPReward(steep, hidden_sizes=(4,), batch_size=5000, validation_fraction=0, random_state=0)
    with pytest.raises(FloatingPointError, match=r"weights .* after epoch 1, batch 0 at learning_rate=0\.001"):
        model.fit(train.items, comparisons, groups=train.groups)
