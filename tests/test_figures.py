"""Figures of one run: a curve of Best-of-N, and bars of the gain."""

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import rmspace as rm
from drawn import check_readable, rectangles, segments, xs, ys
from rmspace.plots.one_run import BEST, RANDOM

COLUMNS = ["model", "metric", "n", "value", "low", "high"]


def table(*names: str) -> pd.DataFrame:
    rows = [(name, metric, n, 0.1 * n, 0.1 * n - 0.05, 0.1 * n + 0.05)
            for name in names for metric in ("best_of_n", "normalized_gain") for n in (1, 2, 5)]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"})


def test_every_model_is_in_the_legend_with_its_own_name() -> None:
    figure = rm.best_of_n_curve(table("random response", "best response", "_hidden", r"cost $\foo$", "BT"))
    legend = [text.get_text().lstrip("\u200b") for text in figure.legends[0].get_texts()]
    assert legend == ["best response", "random response", "_hidden", r"cost \$\foo\$", "BT"]
    check_readable(figure)


def test_lines_and_bars_show_the_numbers() -> None:
    curve = rm.best_of_n_curve(table("A", "B").assign(n_prompts=7), confidence=0.9)
    line = next(line for line in curve.axes[0].lines if line.get_label() == "B")
    assert xs(line).tolist() == [1, 2, 5]
    assert ys(line).tolist() == pytest.approx([0.1, 0.2, 0.5])
    band = np.asarray(curve.axes[0].collections[1].get_paths()[0].vertices)
    assert {(round(x), round(y, 6)) for x, y in band} == {
        (n, round(0.1 * n + d, 6)) for n in (1, 2, 5) for d in (-0.05, 0.05)
    }
    assert "7 prompts, 90% interval" in curve.axes[0].get_ylabel()
    axes = rm.gain_bars(table("A", "B", "random response")).axes[0]
    assert [patch.get_width() for patch in rectangles(axes)] == pytest.approx([0.5, 0.5])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A", "B"]
    errors = segments(axes)
    assert np.array(errors) == pytest.approx(np.array([[[0.45, k], [0.55, k]] for k in (0, 1)]))


def test_prompts_are_counted_where_the_table_counts_them() -> None:
    rows = table("A").assign(n_prompts=[40, 40, 38] * 2)
    assert "38 to 40 prompts" in rm.best_of_n_curve(rows).axes[0].get_ylabel()
    assert "mean over prompts," in rm.best_of_n_curve(table("A")).axes[0].get_ylabel()


def test_labels_of_close_sizes_do_not_meet() -> None:
    rows = [("A", "best_of_n", n, 1.0, 0.9, 1.1) for n in (1, 2, 5, 10, 30, 50, 56)]
    figure = rm.best_of_n_curve(pd.DataFrame(rows, columns=COLUMNS))
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["1", "2", "5", "10", "30", "56"]
    check_readable(figure)
    many = [("A", "best_of_n", n, 1.0, 0.9, 1.1) for n in range(1, 500, 7)]
    check_readable(rm.best_of_n_curve(pd.DataFrame(many, columns=COLUMNS)))


def test_the_table_of_evaluate_is_drawn(rng: np.random.Generator) -> None:
    rewards = rng.normal(size=(30, 8))
    scores = rewards + rng.normal(size=(30, 8))
    found = rm.evaluate(scores, rewards, n=[1, 2, 8])
    for one in (found, found.drop(columns="model")):  # without the column `model`: one model without a name
        figure = rm.best_of_n_curve(one)
        assert ys(figure.axes[0].lines[0]).tolist() == found[found.metric == "best_of_n"].value.tolist()
        assert "30 prompts" in figure.axes[0].get_ylabel()
        width = found[(found.metric == "normalized_gain") & (found.n == 8)].value.item()
        assert rectangles(rm.gain_bars(one).axes[0])[0].get_width() == pytest.approx(width)
    assert figure.legends == []
    several = rm.evaluate({"BT": scores, "CLF": -scores}, rewards, n=[1, 2, 8])
    legend = rm.best_of_n_curve(several).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["BT", "CLF"]
    assert [label.get_text() for label in rm.gain_bars(several).axes[0].get_yticklabels()] == ["BT", "CLF"]


@pytest.mark.parametrize("draw", [rm.best_of_n_curve, rm.gain_bars])
def test_a_figure_is_drawn_into_the_given_axes(draw: Callable[..., Figure]) -> None:
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    assert draw(table("A", "B"), ax=right) is figure
    assert not left.has_data()
    assert right.has_data()
    assert figure.axes == [left, right]
    assert figure.legends == []
    check_readable(figure)
    whole = Figure()
    assert draw(table("A"), ax=whole.add_subfigure(whole.add_gridspec(1, 2)[0]).subplots()) is whole


def test_long_names_keep_the_axes_wide() -> None:
    name = "classification of mirrored comparisons by boosted trees with the default options"
    figure = rm.best_of_n_curve(table(name, "BT"))
    check_readable(figure)
    assert figure.axes[0].get_position().width > 0.7
    check_readable(rm.gain_bars(table(name, "BT")))


def test_a_notebook_shows_the_figure_without_pyplot() -> None:
    image = rm.best_of_n_curve(table("A"))._repr_png_()  # type: ignore[attr-defined]  # what IPython asks an object for
    assert image[:8] == b"\x89PNG\r\n\x1a\n"


def test_sixteen_models_are_told_apart() -> None:
    names = [f"m{k}" for k in range(16)]
    lines = rm.best_of_n_curve(table(*names)).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 16
    bars = rm.gain_bars(table(*names)).axes[0].patches
    assert len({(bar.get_facecolor(), bar.get_hatch()) for bar in bars}) == 16


def test_bad_tables_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no metric 'regret'; it has \['best_of_n', 'normalized_gain'\]"):
        rm.gain_bars(table("A"), metric="regret")
    with pytest.raises(ValueError, match="it lacks low, high"):
        rm.best_of_n_curve(table("A").drop(columns=["low", "high"]))
    seeds = pd.concat([table("A").assign(seed=k) for k in range(2)])
    with pytest.raises(ValueError, match=r"several of best_of_n for model 'A' at n = 1\. Choose one setting and seed"):
        rm.best_of_n_curve(seeds)
    with pytest.raises(ValueError, match="spearman has no n; use gain_bars"):
        rm.best_of_n_curve(table("A")[:1].assign(metric="spearman", n=np.nan), metric="spearman")


def test_a_form_from_outside_the_package(tmp_path: Path) -> None:
    """A function that takes the same table and has the same style is a figure like the built-in ones."""
    from rmspace.plots.style import colour, plain_style, save_figure

    @plain_style
    def n_needed(rows: pd.DataFrame, *, reward: float) -> Figure:
        figure = Figure(layout="constrained")
        axes = figure.add_subplot()
        for k, (model, part) in enumerate(rows[rows.metric == "best_of_n"].groupby("model", sort=False)):
            axes.barh(str(model), part.n[part.value >= reward].min(), color=colour(k))
        return figure

    figure = n_needed(table("A", "B"), reward=0.2)
    assert [patch.get_width() for patch in rectangles(figure.axes[0])] == [2, 2]
    first = [path.read_bytes() for path in save_figure(figure, tmp_path / "first")]
    assert first == [
        path.read_bytes() for path in save_figure(n_needed(table("A", "B"), reward=0.2), tmp_path / "again")
    ]


def test_a_new_file_in_the_folder_makes_a_new_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new figure is one new file: no other file lists its name."""
    import rmspace.plots as plots

    (tmp_path / "points.py").write_text(
        '"""A new form."""\n__all__ = ["study_points"]\ndef study_points(table):\n    return len(table)\n'
    )
    monkeypatch.setattr(plots, "__path__", [*plots.__path__, str(tmp_path)])
    assert plots.study_points(table("A")) == 6
    assert "study_points" in dir(plots)


def test_every_form_is_found_and_takes_axes() -> None:
    import rmspace.plots as plots

    names = set(dir(plots))
    assert names == {"best_of_n_curve", "gain_bars", "overoptimisation", "reliability_curve", "study_bars",
                     "study_contrast", "study_curves", "study_differences", "study_scatter"}  # fmt: skip
    for name in names:
        assert "ax" in inspect.signature(getattr(plots, name)).parameters, name
    assert {BEST, RANDOM} == {"best response", "random response"}
    assert Path(plots.__file__).parent.name == "plots"
