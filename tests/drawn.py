"""What a figure has drawn: texts with their boxes on the page."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from rmspace._typing import FloatArray


def texts_of(figure: Figure) -> dict[Text, Bbox]:
    """Return each text that is drawn, with its box in pixels."""
    found: dict[Text, Bbox] = {}
    draw = Text.draw

    def recorded(text: Text, renderer: RendererBase, *args: Any, **kwargs: Any) -> None:
        if text.get_visible() and text.get_text().strip("\u200b "):
            found[text] = text.get_window_extent(renderer)
        draw(text, renderer, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", recorded)
        figure.savefig("/dev/null", format="png", dpi=100)
    return found


def xs(line: Line2D) -> FloatArray:
    return np.asarray(line.get_xdata())


def ys(line: Line2D) -> FloatArray:
    return np.asarray(line.get_ydata())


def rectangles(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def segments(axes: Axes) -> list[FloatArray]:
    """Return the lines of error bars, each (2, 2)."""
    return [line for lines in axes.collections if isinstance(lines, LineCollection) for line in lines.get_segments()]


def overlaps(texts: dict[Text, Bbox], dpi: float) -> list[tuple[str, str]]:
    """Return the pairs of texts that overlap. For rotated texts, the distance between their lines decides."""
    found = []
    for (one, box), (other, other_box) in combinations(texts.items(), 2):
        turn = one.get_rotation()
        if turn % 90 and turn == other.get_rotation():
            ends = [text.get_transform().transform(text.get_position()) for text in (one, other)]
            across = abs(np.dot(ends[1] - ends[0], [-np.sin(np.radians(turn)), np.cos(np.radians(turn))]))
            meets = across < float(one.get_fontsize()) * dpi / 72
        else:
            width = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
            height = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
            meets = width > 1 and height > 1
        if meets:
            found.append((one.get_text(), other.get_text()))
    return found


def check_readable(figure: Figure) -> dict[Text, Bbox]:
    """Check that no texts overlap or leave the page, that all have 6.5 points or more, and the height of the page."""
    texts = texts_of(figure)
    page = figure.bbox
    assert overlaps(texts, figure.dpi) == []
    for text, box in texts.items():
        assert float(text.get_fontsize()) >= 6.5, text
        inside = page.x0 - 2 <= box.x0 and box.x1 <= page.x1 + 2 and page.y0 - 2 <= box.y0 and box.y1 <= page.y1 + 2
        assert inside, text
    assert figure.get_figheight() <= 9
    return texts
