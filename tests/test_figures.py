import pandas as pd
import pytest

import rmspace as rm

COLUMNS = ["model", "metric", "n", "value", "low", "high"]


def table(*names):
    rows = [(name, metric, n, 0.1 * n, 0.1 * n - 0.05, 0.1 * n + 0.05)
            for name in names for metric in ("best_of_n", "normalized_gain") for n in (1, 2, 5)]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"})


def test_every_model_is_in_the_legend_with_its_own_name():
    figure = rm.best_of_n_curve(table("random response", "best response", "_hidden", r"cost $\foo$", "BT"))
    legend = [text.get_text().lstrip("\u200b") for text in figure.legends[0].get_texts()]
    assert legend == ["best response", "random response", "_hidden", r"cost \$\foo\$", "BT"]
    figure.savefig("/dev/null", format="png")


def test_lines_and_bars_show_the_numbers():
    curve = rm.best_of_n_curve(table("A", "B"), n_prompts=7, confidence=0.9)
    lines = [line for line in curve.axes[0].lines if line.get_label() == "B"]
    assert lines[0].get_xdata().tolist() == [1, 2, 5]
    assert lines[0].get_ydata().tolist() == pytest.approx([0.1, 0.2, 0.5])
    assert "7 test prompts, 90% interval" in curve.axes[0].get_ylabel()
    bars = rm.gain_bars(table("A", "B", "random response")).axes[0]
    assert [patch.get_width() for patch in bars.patches] == pytest.approx([0.5, 0.5])
    assert [label.get_text() for label in bars.get_yticklabels()] == ["A", "B"]


def test_labels_of_close_sizes_do_not_collide():
    rows = [("A", "best_of_n", n, 1.0, 0.9, 1.1) for n in (1, 2, 5, 10, 30, 50, 56)]
    axes = rm.best_of_n_curve(pd.DataFrame(rows, columns=COLUMNS)).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "5", "10", "30", "56"]


def test_missing_metric():
    with pytest.raises(ValueError, match=r"no metric 'regret'; it has \['best_of_n', 'normalized_gain'\]"):
        rm.gain_bars(table("A"), metric="regret")
