"""The published protocol, its theory, and advice on annotation.

>>> from rmspace import paper
>>> round(float(paper.theory.annotation_quality(1.0, gap_std=1.0)), 3)
0.675
"""

from rmspace.paper import advice, protocol, theory

__all__ = ["advice", "protocol", "theory"]
