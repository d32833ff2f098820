"""What a figure has drawn: texts with their boxes on the page."""

from itertools import combinations

import numpy as np
from matplotlib.text import Text


def texts_of(figure):
    """Return each text that is drawn, with its box in pixels."""
    found = {}
    draw = Text.draw

    def recorded(text, renderer, *args, **kwargs):
        if text.get_visible() and text.get_text().strip("\u200b "):
            found[text] = text.get_window_extent(renderer)
        draw(text, renderer, *args, **kwargs)

    Text.draw = recorded
    try:
        figure.savefig("/dev/null", format="png", dpi=100)
    finally:
        Text.draw = draw
    return found


def overlaps(figure):
    """Return the couples of texts that meet, turned texts by the distance of their lines."""
    found = []
    for (one, box), (other, other_box) in combinations(texts_of(figure).items(), 2):
        turn = one.get_rotation()
        if turn % 90 and turn == other.get_rotation():
            ends = [text.get_transform().transform(text.get_position()) for text in (one, other)]
            across = abs(np.dot(ends[1] - ends[0], [-np.sin(np.radians(turn)), np.cos(np.radians(turn))]))
            meets = across < one.get_fontsize() * figure.dpi / 72
        else:
            width = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
            height = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
            meets = width > 1 and height > 1
        if meets:
            found.append((one.get_text(), other.get_text()))
    return found


def check_readable(figure):
    """Check that no texts meet or leave the page, that none is under 6.5 points, and that the page is high enough."""
    texts = texts_of(figure)
    page = figure.bbox
    assert overlaps(figure) == []
    for text, box in texts.items():
        assert text.get_fontsize() >= 6.5, text
        inside = page.x0 - 2 <= box.x0 and box.x1 <= page.x1 + 2 and page.y0 - 2 <= box.y0 and box.y1 <= page.y1 + 2
        assert inside, text
    assert figure.get_figheight() <= 9
    return texts
