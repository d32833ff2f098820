"""Figures of studies: panels over a tidy table, and which figures the axes of a study allow."""

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import rmspace as rm
from drawn import check_readable, rectangles, segments, texts_of, xs, ys
from rmspace.plots.choose import pictures_of, save_figures

COLUMNS = ["model", "metric", "n", "value", "low", "high", "error_rate", "mean_abs_gap"]


def table(models: Sequence[str] = ("BT", "CLF"), **axes: Any) -> pd.DataFrame:
    """Return a table whose values tell their setting: digit k of a value is the place of the label on axis k."""
    rows = []
    for labels in itertools.product(*axes.values(), range(2), models):
        *setting, seed, model = labels
        places = [list(values).index(label) for values, label in zip(axes.values(), setting, strict=True)] or [0]
        value = sum(place * 10**k for k, place in enumerate(places)) + 1 + 0.5 * models.index(model)
        rows.append((*setting, seed, model, "gain", 10, value + seed - 0.5, 0, 1, 0.1 * (1 + places[0]), value))
    names = [name.replace("__", ".") for name in axes]
    return pd.DataFrame(rows, columns=[*names, "seed", *COLUMNS]).astype({"n": "Int64"})


def bars(axes: Axes) -> list[float]:
    return [round(patch.get_height(), 6) for patch in rectangles(axes)]


def test_bars_stand_where_they_belong() -> None:
    rows = table(data__base=["a", "b", "c"], data__set=["x", "y"])
    figure = rm.study_bars(rows, x="data.base", panel="data.set")
    assert [axes.get_title() for axes in figure.axes] == ["x", "y"]
    assert bars(figure.axes[0]) == [1, 2, 3, 1.5, 2.5, 3.5]  # BT at a, b, c, then CLF
    assert bars(figure.axes[1]) == [11, 12, 13, 11.5, 12.5, 13.5]
    errors = segments(figure.axes[0])
    half = 12.706204736 * np.std([-0.5, 0.5], ddof=1) / np.sqrt(2)  # t of one degree of freedom
    assert errors[0][:, 1] == pytest.approx([1 - half, 1 + half])


def test_a_missing_bar_moves_no_other() -> None:
    rows = table(data__base=["a", "b", "c"])
    rows = rows[~((rows["data.base"] == "b") & (rows.model == "BT"))]
    heights = bars(rm.study_bars(rows, x="data.base").axes[0])
    assert heights[0] == 1
    assert np.isnan(heights[1])
    assert heights[2:] == [3, 1.5, 2.5, 3.5]


def test_contrasts_are_plain_and_shaded() -> None:
    rows = table(data__base=["a", "b"], pairs=["same", "cross"])
    axes = rm.study_contrast(rows, x="data.base").axes[0]
    assert bars(axes) == [1, 2, 11, 12, 1.5, 2.5, 11.5, 12.5]
    assert [bool(patch.get_hatch()) for patch in rectangles(axes)] == [False, False, True, True] * 2
    places = [patch.get_x() for patch in rectangles(axes)]
    assert places[0] < places[2] < places[4] < places[6] < places[1]


def test_curves_over_the_error_rate_and_over_a_number() -> None:
    rows = table(annotator__beta=[1, 3, 10])
    axes = rm.study_curves(rows, x="annotator.beta").axes[0]
    assert axes.get_xlabel() == "annotation error rate"
    assert xs(axes.lines[0]) == pytest.approx([0.1, 0.2, 0.3])
    assert ys(axes.lines[1]) == pytest.approx([1.5, 2.5, 3.5])
    axes = rm.study_curves(table(n_pairs=[100, 5, 20]), x="n_pairs").axes[0]
    assert xs(axes.lines[0]).tolist() == [5, 20, 100]
    assert ys(axes.lines[0]).tolist() == [2, 3, 1]
    with pytest.raises(ValueError, match=r"a curve needs an axis of numbers, .* pairs has"):
        rm.study_curves(table(pairs=["a", "b"]), x="pairs")


def test_the_scatter_is_of_differences() -> None:
    rows = table(data__base=["a", "b", "c", "d"], pairs=["same", "cross"])
    extra = rows["data.base"].map({"a": 0.0, "b": 1.0, "c": 2.0, "d": 3.0}) * (rows.pairs == "cross")
    axes = rm.study_scatter(rows.assign(value=rows.value + extra)).axes[0]
    points = np.column_stack([xs(axes.lines[0]), ys(axes.lines[0])])
    assert points[:, 1] == pytest.approx([10, 11, 12, 13])  # cross minus same
    assert points[:, 0] == pytest.approx([11, 12, 13, 14])  # the gap inside cross pairs
    assert axes.get_title() == "4 settings; r: BT 1.00, CLF 1.00"
    other = rm.study_scatter(rows.assign(value=rows.value + extra), gap_of="first").axes[0]
    assert xs(other.lines[0]) == pytest.approx([1, 2, 3, 4])


def test_the_scatter_pairs_seed_by_seed() -> None:
    rows = table(data__base=["a", "b", "c", "d"], pairs=["same", "cross"])
    rows = rows.assign(value=rows.value + 100 * rows.seed)
    rows = rows[~((rows.pairs == "cross") & (rows.seed == 1))]
    points = rm.study_scatter(rows).axes[0].lines[0]
    assert ys(points) == pytest.approx([10] * 4)


def test_no_mean_over_a_hidden_axis_is_drawn() -> None:
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


def test_odd_labels() -> None:
    rows = table(data__base=["a", None], kind=["x y", "x_y", "x/y", "$\\frac$", "<b>" * 80])
    (picture,) = pictures_of(rows).drawn
    (figure,) = [draw() for draw in picture.pages.values()]
    check_readable(figure)
    ticks = rm.study_bars(rows[rows.kind == "x y"], x="data.base").axes[0].get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["a", "null"]
    check_readable(rm.study_scatter(table(pairs=["$x_$", "cross"], data__base=list("abcd"))))


def test_file_names_are_of_letters_that_any_system_takes(tmp_path: Path) -> None:
    kinds = ["x y", "x_y", "x/y", "<b>" * 80]
    rows = table(kind=kinds, data__base=list("abcde"), data__set=list("vwxyz"), other=list("12345"))
    names = [name for picture in pictures_of(rows).drawn for name in picture.pages]
    assert len(names) == 8  # two pages for each kind
    assert all(len(name) < 200 and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-.+") for name in names)


def test_sixteen_models_are_told_apart_and_more_refused() -> None:
    models = [f"m{k}" for k in range(16)]
    rows = table(models, data__base=["a"], pairs=["same", "cross"], n_pairs=[5, 50])
    same = rows[(rows.pairs == "same") & (rows.n_pairs == 5)]
    assert len({(p.get_facecolor(), p.get_hatch()) for p in rm.study_bars(same).axes[0].patches}) == 16
    both = rm.study_contrast(rows[rows.n_pairs == 5]).axes[0].patches
    assert len({(p.get_facecolor(), p.get_hatch()) for p in both}) == 32
    lines = rm.study_curves(rows[rows.pairs == "same"], x="n_pairs").axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 16
    points = rm.study_scatter(rows).axes[0].lines[:16]
    assert len({(line.get_color(), line.get_markerfacecolor()) for line in points}) == 16
    more = table([*models, "m16"], n_pairs=[5, 50])
    with pytest.raises(ValueError, match="can tell 16 models apart; got 17; choose some"):
        rm.study_curves(more, x="n_pairs")
    assert pictures_of(more).drawn == []
    assert "16 models apart, and there are 17" in pictures_of(more).left_out[0]


def test_different_settings_for_different_models_are_no_comparison() -> None:
    rows = table(n_pairs=[100, 40_000])
    rows = rows[(rows.model == "BT") == (rows.n_pairs == 100)]
    with pytest.raises(ValueError, match="varies in n_pairs too"):
        rm.study_bars(rows)


def test_panels_have_the_same_places() -> None:
    rows = table(data__base=["a", "b", "c"], data__set=["x", "y"])
    rows = rows[~((rows["data.set"] == "y") & (rows["data.base"] == "a"))]
    figure = rm.study_bars(rows, x="data.base", panel="data.set")
    assert [t.get_text() for t in figure.axes[1].get_xticklabels()] == ["a", "b", "c"]
    assert np.isnan(bars(figure.axes[1])[0])


def test_an_axis_that_another_determines_is_not_hidden() -> None:
    rows = table(data__base=["a", "b"])
    rows.insert(1, "reward_scale", rows["data.base"].map({"a": 1.0, "b": 6.0}))
    assert bars(rm.study_bars(rows, x="data.base").axes[0]) == [1, 2, 1.5, 2.5]
    assert pages(rows) == {"What does each model gain?": ["bars"]}


def pages(rows: pd.DataFrame, comparison: None = None) -> dict[str, list[str]]:
    """Draw every picture, and return the names of its pages by its question."""
    found = pictures_of(rows, comparison)
    assert len({picture.question for picture in found.drawn}) == len(found.drawn)
    for picture in found.drawn:
        for draw in picture.pages.values():
            assert draw().get_figheight() <= 9
    return {picture.question: list(picture.pages) for picture in found.drawn}


MODELS, KINDS = "What does each model gain?", "Does cross gain more than same?"
GAP = "Does the difference change with the gold gap inside the pairs?"
NOISE, NUMBER = "How does the gain change with annotation error rate?", "How does the gain change with annotations?"


def test_the_axes_decide_which_questions_have_a_picture() -> None:
    assert pages(table()) == {MODELS: ["bars"]}
    assert pages(table(data__base=["a", "b"], data__set=["x", "y"])) == {MODELS: ["bars"]}
    assert pages(table(n_pairs=[5, 10], data__base=["a", "b"])) == {NUMBER: ["curve_n_pairs"], MODELS: ["bars"]}
    assert pages(table(annotator__beta=[1, 3], n_pairs=[5, 10])) == {
        NOISE: ["curve_error_rate"],
        NUMBER: ["curve_n_pairs"],
    }
    assert pages(table(pairs__candidates=["x", "y"], pairs=["same", "cross"])) == {
        KINDS: ["contrast"],
        GAP: ["scatter"],
    }
    assert pages(table(models__BT__alpha=[0.1, 1.0])) == {"How does the gain change with alpha?": ["curve_alpha"]}
    assert pages(table(models__BT__kind=["a", "b"])) == {MODELS: ["bars"]}
    with pytest.raises(ValueError, match="no results yet"):
        pictures_of(table(n_pairs=[5]).iloc[:0])


def test_a_grid_of_54_cells_has_one_picture_for_each_question() -> None:
    rows = table(("BT", "CLF", "LGB"), pairs=["same", "cross"], annotator__beta=[0.5, 1, 3], n_pairs=[500, 5000, 50000])
    rows = rows.assign(mean_abs_gap=np.where(rows.pairs == "same", 1.0, 1.5))  # neither beta nor n_pairs changes a gap
    third = rows[rows.seed == 0].assign(seed=2)
    rows = pd.concat([rows, third], ignore_index=True)
    assert len(rows[["pairs", "annotator.beta", "n_pairs", "seed"]].drop_duplicates()) == 54
    found = pictures_of(rows)
    assert [(picture.question, len(picture.pages)) for picture in found.drawn] == [(KINDS, 1), (NOISE, 1), (NUMBER, 1)]
    assert found.left_out == ["The gain is not drawn against the gold gap inside the pairs: no panel has two gaps."]
    figures = [draw() for picture in found.drawn for draw in picture.pages.values()]
    means = rows.groupby(["pairs", "annotator.beta", "n_pairs", "model"]).value.mean()
    heights = [bar for axes in figures[0].axes for bar in bars(axes)]
    assert sorted(heights) == pytest.approx(sorted(means))  # each setting once, and no mean over an axis
    for figure in figures[1:]:
        assert len(figure.axes) == 6
        drawn = [value for axes in figure.axes for line in axes.lines for value in ys(line)]
        assert sorted(drawn) == pytest.approx(sorted(means))


def test_two_axes_make_rows_and_columns_with_names_at_the_outer_edges() -> None:
    rows = table(n_pairs=[7, 77], data__base=["a", "b", "c"], data__set=["x", "y"])
    rows = rows.assign(value=1 + rows.value / 1000)  # values of like size share both axes
    figure = rm.study_curves(rows, x="n_pairs", panel=["data.base", "data.set"])
    grid = np.array(figure.axes).reshape(3, 2)
    texts = check_readable(figure)
    shown = [text.get_text() for text in texts]
    assert [axes.get_title() for axes in figure.axes] == ["x", "y", "", "", "", ""]
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes] == [[], ["a"], [], ["b"], [], ["c"]]
    assert [axes.get_xlabel() for axes in figure.axes] == [""] * 4 + ["annotations"] * 2
    assert shown.count("77") == 2  # below each column
    ticks = [label.get_text() for label in grid[0, 0].get_yticklabels()]
    assert {shown.count(tick) for tick in ticks} <= {0, 3}  # at the left of each row
    assert all(
        axes.get_ylim() == grid[0, 0].get_ylim() and axes.get_xlim() == grid[0, 0].get_xlim() for axes in grid.flat
    )
    for k, base in enumerate("abc"):
        for j, name in enumerate("xy"):
            part = rows[(rows["data.base"] == base) & (rows["data.set"] == name) & (rows.model == "BT")]
            assert ys(grid[k, j].lines[0]) == pytest.approx(part.groupby("n_pairs").value.mean().tolist())
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["BT", "CLF"]


def test_panels_of_other_units_have_a_scale_of_their_own() -> None:
    rows = table(n_pairs=[5, 50], data__base=["a", "b"], data__set=["x", "y"])
    units = {"x": 1.0, "y": 100.0}
    means = rows.assign(value=rows["data.set"].map(units) * (1 + rows.seed + rows.n_pairs / 50))
    figure = rm.study_curves(means, x="n_pairs", panel=["data.base", "data.set"])
    limits = [axes.get_ylim() for axes in figure.axes]
    assert limits[0] == limits[2]  # one scale for each column
    assert limits[1] == limits[3]
    assert limits[0][1] < 10 < limits[1][1]
    turned = rm.study_curves(means, x="n_pairs", panel=["data.set", "data.base"])
    limits = [axes.get_ylim() for axes in turned.axes]
    assert limits[0] == limits[1] != limits[2] == limits[3]  # one for each row
    check_readable(figure)
    wrapped = rm.study_curves(means[means["data.base"] == "a"], x="n_pairs", panel="data.set")
    assert wrapped.axes[0].get_ylim()[1] < 10 < wrapped.axes[1].get_ylim()[1]


def test_intervals_that_dwarf_the_values_are_cut_and_the_caption_says_so() -> None:
    rows = table(data__base=["a", "b"])
    for spread, cut in ((0.01, False), (10, True)):
        figure = rm.study_bars(rows.assign(value=rows.value + (spread - 1) * (rows.seed - 0.5)), x="data.base")
        low, high = figure.axes[0].get_ylim()
        assert (low >= -4, high <= 8) == (True, True)
        caption = " ".join(text.get_text() for text in texts_of(figure)).replace("\n", " ")
        assert ("longer intervals are cut at the edge" in caption) == cut


def test_a_third_axis_has_pages_with_its_values_in_name_and_title() -> None:
    rows = table(n_pairs=[5, 50], data__base=list("abc"), data__set=["x", "y"], kind=["p", "q"])
    (curve, _) = pictures_of(rows).drawn
    assert list(curve.pages) == ["curve_n_pairs__kind-p", "curve_n_pairs__kind-q"]
    figures = [draw() for draw in curve.pages.values()]
    assert [figure.legends[0].get_title().get_text() for figure in figures] == ["p", "q"]
    drawn = [value for figure in figures for axes in figure.axes for line in axes.lines for value in ys(line)]
    assert sorted(drawn) == pytest.approx(
        sorted(rows.groupby(["n_pairs", "data.base", "data.set", "kind", "model"]).value.mean())
    )


def test_more_panels_than_fit_a_page_make_numbered_pages() -> None:
    rows = table(n_pairs=[5, 50], data__base=[f"b{k}" for k in range(30)])
    (curve, _) = pictures_of(rows).drawn
    assert list(curve.pages) == ["curve_n_pairs__page-1", "curve_n_pairs__page-2"]
    figures = [draw() for draw in curve.pages.values()]
    assert [axes.get_title() for figure in figures for axes in figure.axes] == [f"b{k}" for k in range(30)]
    assert [figure.legends[0].get_title().get_text() for figure in figures] == ["page 1 of 2", "page 2 of 2"]
    with pytest.raises(ValueError, match=r"30 panels of data\.base do not fit a page, which holds 24; choose some"):
        rm.study_curves(rows, x="n_pairs", panel="data.base")


def test_a_grid_that_changes_one_thing_at_a_time_has_only_the_panels_that_occur() -> None:
    rows = table(n_pairs=[5, 50], annotator__beta=[1, 3, 10], kind=["p", "q"], data__base=["a", "b"])
    middle = [rows.n_pairs == 5, rows["annotator.beta"] == 1, rows.kind == "p"]
    rows = rows[np.sum(middle, axis=0) >= 2]
    found = pictures_of(rows)
    assert [picture.question for picture in found.drawn] == [NUMBER, NOISE, MODELS]
    for picture, expected in zip(found.drawn, (2, 2, 5), strict=True):
        assert len(picture.pages) == 1
        (figure,) = [draw() for draw in picture.pages.values()]
        assert len(figure.axes) == expected
        assert all(axes.has_data() for axes in figure.axes)


def test_a_crowded_picture_is_readable() -> None:
    models = ("Bradley-Terry network with two hidden layers", "classification of mirrored comparisons, boosted", "x")
    banks = ["a very long name of a bank of embeddings", "another long name of a bank of embeddings", "Gemma"]
    rows = table(models, data__base=banks, data__set=["Harmless", "Helpful"], pairs=["same prompt, all", "cross"],
                 n_pairs=[1250, 5000, 10000, 20000])  # fmt: skip
    rows = rows.assign(mean_abs_gap=rows.mean_abs_gap % 7)
    pictures = pictures_of(rows).drawn
    assert len(pictures) == 3
    for picture in pictures:
        assert len(check_readable(next(iter(picture.pages.values()))())) > 10
    comparison = rm.compare_models(rows[(rows.pairs == "cross") & (rows.n_pairs == 5000)], metric="gain")
    check_readable(rm.study_differences(comparison, where=comparison["data.set"] == "Helpful"))


def test_bars_of_many_models_are_readable() -> None:
    rows = table([f"a rather long name, {k}" for k in range(12)], data__base=list("abc"))
    check_readable(rm.study_bars(rows, x="data.base"))


def test_one_panel_is_drawn_into_the_given_axes() -> None:
    rows = table(n_pairs=[5, 50], pairs=["same", "cross"])
    same = rows[rows.pairs == "same"]
    figure = Figure(figsize=(12, 5), layout="constrained")
    places = figure.subplots(1, 5)
    forms = [
        lambda ax: rm.study_bars(same, x="n_pairs", ax=ax),
        lambda ax: rm.study_curves(same, x="n_pairs", ax=ax),
        lambda ax: rm.study_contrast(rows, x="n_pairs", ax=ax),
        lambda ax: rm.study_scatter(rows, ax=ax),
        lambda ax: rm.study_differences(comparison_of(same), ax=ax),
    ]
    for k, draw in enumerate(forms):
        assert draw(places[k]) is figure
        assert [axes.has_data() for axes in places] == [True] * (k + 1) + [False] * (4 - k)
    assert figure.axes == list(places)
    check_readable(figure)
    with pytest.raises(
        ValueError, match="ax is one pair of axes, and pairs would need 2 panels; leave out ax or panel"
    ):
        rm.study_curves(rows, x="n_pairs", panel="pairs", ax=places[0])


FORMS = """
import hashlib, io, sys
import pandas as pd
import rmspace.plots as plots
from rmspace.plots.style import save_figure, write_svg

def hashes(study, comparison, run):
    one = study[study.pairs == "same"]
    for figure in (
        plots.study_bars(one, x="n_pairs"), plots.study_curves(one, x="n_pairs"), plots.study_scatter(study),
        plots.study_contrast(study, panel="n_pairs"),
        plots.study_differences(comparison, hue="pairs"), plots.best_of_n_curve(run), plots.gain_bars(run),
    ):
        text, image = io.StringIO(), io.BytesIO()
        write_svg(figure, text)
        if len(figure.axes) == 2:  # one PNG is enough: only SVG files have names that could change
            figure.savefig(image, format="png", metadata={"Software": None})
        yield hashlib.sha256(text.getvalue().encode() + image.getvalue()).hexdigest()
"""


def comparison_of(rows: pd.DataFrame) -> pd.DataFrame:
    noise = np.random.default_rng(0).normal(0, 1e-3, len(rows))
    return rm.compare_models(rows.assign(value=rows.value + noise), metric="gain")


def test_figures_are_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    """One fresh interpreter, with another order of hashes, draws every form once more."""
    study = table(n_pairs=[20, 40], pairs=["same", "cross"])
    run = study[(study.n_pairs == 20) & (study.pairs == "same") & (study.seed == 0)]
    run = pd.concat([run.assign(metric=name) for name in ("best_of_n", "normalized_gain")])
    tables = {"study": study, "comparison": comparison_of(study), "run": run}
    for name, rows in tables.items():
        rows.to_pickle(tmp_path / name)
    code = FORMS + "print(*hashes(*(pd.read_pickle(path) for path in sys.argv[1:])))"
    command = [sys.executable, "-c", code, *(str(tmp_path / name) for name in tables)]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    there = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.split()
    here: dict[str, Any] = {}
    exec(FORMS, here)
    assert list(here["hashes"](*tables.values())) == there
    assert len(set(there)) == 7


def test_pictures_are_written_with_a_warning_for_each_that_is_left_out(tmp_path: Path) -> None:
    rows = table(pairs=["same", "cross"])
    with pytest.warns(UserWarning, match="not drawn against the gold gap"):
        paths = save_figures(rows, tmp_path / "here")
    assert [path.name for path in paths] == ["contrast.png", "contrast.svg"]
    assert all(path.stat().st_size > 1000 for path in paths)
    with pytest.warns(UserWarning, match="not drawn against the gold gap"):
        again = save_figures(rows, tmp_path / "again")
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


def test_differences_stand_in_their_rows_and_are_filled_where_sure(rng: np.random.Generator) -> None:
    rows = table(n_pairs=[10, 20], pairs=["same", "cross"])
    rows = rows.assign(value=rows.value + rng.normal(0, 1e-3, len(rows)))
    comparison = rm.compare_models(rows, metric="gain", axis="pairs")
    comparison["p_corrected"] = [0.01, 0.2, 0.01, 0.2]
    axes = rm.study_differences(comparison, hue="model", metric="gain").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["annotations 10", "annotations 20"]
    assert axes.get_xlabel() == "difference in golden reward improvement,\nsame \N{MINUS SIGN} cross"
    points = [line for line in axes.lines if line.get_marker() not in ("", "None")]
    drawn = [
        (x, round(y), line.get_markerfacecolor()) for line in points for x, y in zip(xs(line), ys(line), strict=True)
    ]
    expected = [
        (difference, [10, 20].index(n_pairs), "white" if p_value == 0.2 else None)
        for difference, n_pairs, p_value in comparison[["difference", "n_pairs", "p_corrected"]].to_numpy().tolist()
    ]
    np.testing.assert_allclose(sorted(d[:2] for d in drawn), sorted(e[:2] for e in expected))
    assert {x for x, _, face in drawn if face == "white"} == {x for x, _, face in expected if face}


def test_differences_refuse_what_is_no_comparison() -> None:
    rows = table(n_pairs=[10, 20])
    comparison = rm.compare_models(rows, metric="gain")
    with pytest.raises(ValueError, match="must be a table of compare_models; it has no other"):
        rm.study_differences(rows)
    with pytest.raises(ValueError, match="has no rows"):
        rm.study_differences(comparison[:0])
    with pytest.raises(ValueError, match="has no column 'pairs'; it has n_pairs, model"):
        rm.study_differences(comparison, panel="pairs")
    with pytest.raises(ValueError, match="144 rows of differences do not fit a page; draw some of them with where"):
        rm.study_differences(rm.compare_models(table(n_pairs=range(10, 154)), metric="gain"))
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\)"):
        rm.study_differences(comparison, alpha=5)


def test_a_part_of_a_comparison_keeps_its_marks_and_says_how_many_tests_there_were(rng: np.random.Generator) -> None:
    rows = table(n_pairs=[10, 20, 30], pairs=["same", "cross"])
    rows = rows.assign(value=rows.value + rng.normal(0, 0.1, len(rows)))
    comparison = rm.compare_models(rows, metric="gain")
    comparison["p_value"] = [0.01, 0.2, 0.011, 0.2, 0.2, 0.2]
    comparison["p_corrected"] = [0.06, 1, 0.06, 1, 1, 1]  # Holm over six tests; over two of them, both were significant
    figure = rm.study_differences(comparison, where=comparison.index.to_series().isin([0, 2]))
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    faces = [line.get_markerfacecolor() for line in points for _ in xs(line)]
    assert faces == ["white", "white"]
    assert "corrected for 6 tests" in " ".join(text.get_text() for text in texts_of(figure)).replace("\n", " ")
    with pytest.raises(ValueError, match="where is False everywhere"):
        rm.study_differences(comparison, where=comparison.n_pairs > 99)


def test_colours_tell_what_is_compared_where_the_chooser_draws_differences(rng: np.random.Generator) -> None:
    rows = table(("BT", "CLF", "LGB"), n_pairs=[10, 20])
    rows = rows.assign(value=rows.value + rng.normal(0, 0.1, len(rows)))
    comparison = rm.compare_models(rows, metric="gain")
    picture = pictures_of(rows, comparison).drawn[-1]
    assert picture.question == "Which differences are significant?"
    (figure,) = [draw() for draw in picture.pages.values()]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [f"{a} \N{MINUS SIGN} {b}" for a, b in itertools.combinations(("BT", "CLF", "LGB"), 2)]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["annotations 10", "annotations 20"]
    points = [line for line in figure.axes[0].lines if line.get_marker() in ("o", "s", "D")]
    drawn = {round(x, 9): line.get_markerfacecolor() != "white" for line in points for x in xs(line)}
    sure = comparison.p_corrected < 0.05
    assert drawn == dict(zip(comparison.difference.round(9), sure, strict=True))


def test_differences_that_fill_many_pages_are_left_to_the_table(rng: np.random.Generator) -> None:
    rows = table([f"m{k}" for k in range(12)], n_pairs=[10, 20, 30, 40])
    rows = rows.assign(value=rows.value + rng.normal(0, 0.1, len(rows)))
    found = pictures_of(rows, rm.compare_models(rows, metric="gain"))
    assert found.left_out == ["The 264 differences are not drawn, since they fill too many pages."]
