import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import rmspace as rm
from rmspace.plots.choose import draw_study, figures_of
from study_cases import BASE, write_grid

COLUMNS = ["model", "metric", "n", "value", "low", "high", "error_rate", "mean_abs_gap"]


def table(**axes):
    """Values that tell their setting: the sum of the places of the labels, in powers of ten."""
    rows = []
    for labels in itertools.product(*axes.values(), range(2), ["BT", "CLF"]):
        *setting, seed, model = labels
        places = [list(values).index(label) for values, label in zip(axes.values(), setting, strict=True)]
        value = sum(place * 10**k for k, place in enumerate(places)) + 1 + 0.5 * (model == "CLF")
        rows.append((*setting, seed, model, "gain", 10, value + seed - 0.5, 0, 1, 0.1 * (1 + places[0]), value))
    names = [name.replace("__", ".") for name in axes]
    return pd.DataFrame(rows, columns=[*names, "seed", *COLUMNS]).astype({"n": "Int64"})


def bars(axes):
    return [round(patch.get_height(), 6) for patch in axes.patches]


def test_bars_stand_where_they_belong():
    rows = table(data__base=["a", "b", "c"], data__set=["x", "y"])
    figure = rm.study_bars(rows, x="data.base", panel="data.set")
    assert [axes.get_title() for axes in figure.axes] == ["x", "y"]
    assert bars(figure.axes[0]) == [1, 2, 3, 1.5, 2.5, 3.5]  # BT at a, b, c, then CLF
    assert bars(figure.axes[1]) == [11, 12, 13, 11.5, 12.5, 13.5]
    errors = [bar for bars in figure.axes[0].collections for bar in bars.get_segments()]
    half = 12.706204736 * np.std([-0.5, 0.5], ddof=1) / np.sqrt(2)  # t of one degree of freedom
    assert errors[0][:, 1] == pytest.approx([1 - half, 1 + half])


def test_a_missing_bar_moves_no_other():
    rows = table(data__base=["a", "b", "c"])
    rows = rows[~((rows["data.base"] == "b") & (rows.model == "BT"))]
    heights = bars(rm.study_bars(rows, x="data.base").axes[0])
    assert heights[0] == 1
    assert np.isnan(heights[1])
    assert heights[2:] == [3, 1.5, 2.5, 3.5]


def test_contrasts_are_plain_and_shaded():
    rows = table(data__base=["a", "b"], pairs=["same", "cross"])
    axes = rm.study_contrast(rows, x="data.base").axes[0]
    assert bars(axes) == [1, 2, 11, 12, 1.5, 2.5, 11.5, 12.5]
    assert [bool(patch.get_hatch()) for patch in axes.patches] == [False, False, True, True] * 2
    places = [patch.get_x() for patch in axes.patches]
    assert places[0] < places[2] < places[4] < places[6] < places[1]


def test_curves_over_the_error_rate_and_over_a_number():
    rows = table(annotator__beta=[1, 3, 10])
    axes = rm.study_curves(rows, x="annotator.beta").axes[0]
    assert axes.get_xlabel() == "annotation error rate"
    assert axes.lines[0].get_xdata() == pytest.approx([0.1, 0.2, 0.3])
    assert axes.lines[1].get_ydata() == pytest.approx([1.5, 2.5, 3.5])
    axes = rm.study_curves(table(n_pairs=[100, 5, 20]), x="n_pairs").axes[0]
    assert axes.lines[0].get_xdata().tolist() == [5, 20, 100]
    assert axes.lines[0].get_ydata().tolist() == [2, 3, 1]
    with pytest.raises(ValueError, match=r"a curve needs an axis of numbers, .* pairs has"):
        rm.study_curves(table(pairs=["a", "b"]), x="pairs")


def test_the_scatter_is_of_differences():
    rows = table(data__base=["a", "b", "c", "d"], pairs=["same", "cross"])
    extra = rows["data.base"].map({"a": 0.0, "b": 1.0, "c": 2.0, "d": 3.0}) * (rows.pairs == "cross")
    axes = rm.study_scatter(rows.assign(value=rows.value + extra)).axes[0]
    points = np.asarray(axes.collections[0].get_offsets())
    assert points[:, 1] == pytest.approx([10, 11, 12, 13])  # cross minus same
    assert points[:, 0] == pytest.approx([11, 12, 13, 14])  # the gap inside cross pairs
    assert axes.get_title() == "4 settings; r: BT 1.00, CLF 1.00"
    other = rm.study_scatter(rows.assign(value=rows.value + extra), gap_of="first").axes[0]
    assert np.asarray(other.collections[0].get_offsets())[:, 0] == pytest.approx([1, 2, 3, 4])


def test_the_scatter_pairs_seed_by_seed():
    rows = table(data__base=["a", "b", "c", "d"], pairs=["same", "cross"])
    rows = rows.assign(value=rows.value + 100 * rows.seed)
    rows = rows[~((rows.pairs == "cross") & (rows.seed == 1))]
    points = np.asarray(rm.study_scatter(rows).axes[0].collections[0].get_offsets())
    assert points[:, 1] == pytest.approx([10] * 4)


def test_no_mean_over_a_hidden_axis_is_drawn():
    rows = table(data__base=["a", "b"], annotator__beta=[1, 3], pairs=["same", "cross"])
    for draw in (
        lambda: rm.study_bars(rows, x="data.base"),
        lambda: rm.study_contrast(rows, x="data.base"),
        lambda: rm.study_curves(rows, x="annotator.beta", panel="data.base"),
    ):
        with pytest.raises(ValueError, match=r"varies in .* too, which this figure does not show; choose one"):
            draw()
    rm.study_bars(rows[(rows["annotator.beta"] == 1) & (rows.pairs == "same")], x="data.base")
    with pytest.raises(ValueError, match=r"no axis 'data\.bass'; it has data\.base, "):
        rm.study_bars(rows, x="data.bass")
    with pytest.raises(ValueError, match="no metric 'loss'"):
        rm.study_bars(rows, x="data.base", metric="loss")


@pytest.mark.filterwarnings("ignore:Tight layout")
def test_odd_labels_and_many_models(tmp_path):
    rows = table(data__base=["a", None], kind=["x y", "x_y", "x/y", "$\\frac$", "<b>" * 80])
    names = [name for name, draw in figures_of(rows) if draw()]
    assert len(set(names)) == 5
    assert max(map(len, names)) < 200
    assert [
        tick.get_text() for tick in rm.study_bars(rows[rows.kind == "x y"], x="data.base").axes[0].get_xticklabels()
    ] == ["a", "null"]
    rows = table(pairs=["$x_$", "cross"], data__base=list("abcd"))
    rm.study_scatter(rows).savefig(tmp_path / "a.png")
    many = pd.concat([table(data__base=["a"]).assign(model=f"m{k}") for k in range(12)]).drop_duplicates(
        ["model", "seed"]
    )
    looks = {(p.get_facecolor(), p.get_hatch()) for p in rm.study_bars(many, x="data.base").axes[0].patches}
    assert len(looks) == 12
    with pytest.raises(ValueError, match="can tell 8 models apart; got 12"):
        rm.study_scatter(pd.concat([many.assign(pairs=side) for side in ("same", "cross")]))


def test_different_settings_for_different_models_are_no_comparison():
    rows = table(n_pairs=[100, 40_000])
    rows = rows[(rows.model == "BT") == (rows.n_pairs == 100)]
    with pytest.raises(ValueError, match="varies in n_pairs too"):
        rm.study_bars(rows)


def test_panels_have_the_same_places():
    rows = table(data__base=["a", "b", "c"], data__set=["x", "y"])
    rows = rows[~((rows["data.set"] == "y") & (rows["data.base"] == "a"))]
    figure = rm.study_bars(rows, x="data.base", panel="data.set")
    assert [t.get_text() for t in figure.axes[1].get_xticklabels()] == ["a", "b", "c"]
    assert np.isnan(bars(figure.axes[1])[0])


def test_an_axis_that_goes_along_is_no_hidden_one():
    rows = table(data__base=["a", "b"])
    rows.insert(1, "reward_scale", rows["data.base"].map({"a": 1.0, "b": 6.0}))
    assert bars(rm.study_bars(rows, x="data.base").axes[0]) == [1, 2, 1.5, 2.5]
    assert [name for name, _ in figures_of(rows)] == ["bars"]


def test_the_gallery_draws_what_the_axes_allow():
    def names(**axes):
        return [name for name, draw in figures_of(table(**axes)) if draw()]

    assert names(data__base=["a", "b"], data__set=["x", "y"]) == ["bars"]
    assert names(n_pairs=[5, 10], data__base=["a", "b"]) == ["curve_n_pairs", "bars__n_pairs-5", "bars__n_pairs-10"]
    assert names(pairs=["same", "cross"]) == ["scatter", "contrast"]
    found = names(annotator__beta=[1, 3], n_pairs=[5, 10])
    assert found == [
        "curve_error_rate__n_pairs-5", "curve_n_pairs__beta-1", "curve_error_rate__n_pairs-10", "curve_n_pairs__beta-3",
    ]  # fmt: skip
    assert names(pairs__candidates=["x", "y"], pairs=["same", "cross"])[:2] == ["scatter", "contrast"]
    assert names(models__BT__alpha=[0.1, 1.0]) == ["curve_alpha"]
    assert names(models__BT__kind=["a", "b"]) == ["bars"]
    with pytest.raises(ValueError, match="no results yet"):
        list(figures_of(table(n_pairs=[5]).iloc[:0]))


def test_figures_are_the_same_bytes_in_another_process(tmp_path):
    grid = (
        BASE
        + "grid: {n_pairs: [20, 40], pairs: {same: {use: same_prompt}, cross: {use: cross_prompt}}, seed: [0, 1]}\n"
    )
    study = rm.run_study(write_grid(tmp_path, grid), tmp_path / "out")
    paths = draw_study(study, tmp_path / "here")
    assert {path.suffix for path in paths} == {".png", ".svg"}
    command = [sys.executable, "-m", "rmspace", "figures", str(tmp_path / "out"), "-o", str(tmp_path / "there")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert len(said.splitlines()) == len(paths)
    for path in paths:
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes(), path


def test_differences_stand_in_their_rows_and_are_filled_where_sure(rng):
    rows = table(n_pairs=[10, 20], pairs=["same", "cross"])
    rows = rows.assign(value=rows.value + rng.normal(0, 1e-3, len(rows)))
    comparison = rm.compare_models(rows, metric="gain", axis="pairs")
    comparison["p_corrected"] = [0.01, 0.2, 0.01, 0.2]
    axes = rm.study_differences(comparison, hue="model", metric="gain").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["annotations 10", "annotations 20"]
    assert axes.get_xlabel() == "difference in golden reward improvement, same $-$ cross"
    points = [line for line in axes.lines if line.get_marker() not in ("", "None")]
    drawn = [
        (x, round(y), line.get_markerfacecolor()) for line in points for x, y in zip(*line.get_data(), strict=True)
    ]
    expected = [
        (row.difference, [10, 20].index(row.n_pairs), "white" if row.p_corrected == 0.2 else None)
        for row in comparison.itertuples()
    ]
    np.testing.assert_allclose(sorted(d[:2] for d in drawn), sorted(e[:2] for e in expected))
    assert {x for x, _, face in drawn if face == "white"} == {x for x, _, face in expected if face}


def test_differences_refuse_what_is_no_comparison():
    rows = table(n_pairs=[10, 20])
    comparison = rm.compare_models(rows, metric="gain")
    with pytest.raises(ValueError, match="must be a table of compare_models; it has no other"):
        rm.study_differences(rows)
    with pytest.raises(ValueError, match="has no rows"):
        rm.study_differences(comparison[:0])
    with pytest.raises(ValueError, match="has no column 'pairs'; it has n_pairs, model"):
        rm.study_differences(comparison, panel="pairs")
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\)"):
        rm.study_differences(comparison, alpha=5)
