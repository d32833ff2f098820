"""Objectives: (winner scores, loser scores) -> one loss per pair.

An objective is any function of two equally long tensors that returns one loss per pair, from the two scores of that
pair alone. It never reduces (no mean, no sum) and never calls a model. It must be differentiable once for
`LinearReward` and `MLPReward`, twice for `LightGBMReward`. Objectives of the gap alone fix a reward only up to a
constant.

Further parameters receive columns of the comparisons: a parameter named like a column (`margin`, `annotator`, any
other) gets that column as a tensor (n_pairs,), aligned with the scores. Fractions come in the precision of the scores,
integers as int64, bool as bool, and text as integer codes in alphabetical order. A parameter that is bound by
`functools.partial` keeps its value; one with a default keeps the default where there is no such column. A comparison
marked as a tie counts as half a win of each order, for every objective without a parameter `tie`.

>>> from rmspace.objectives import bradley_terry
>>> def heavier_when_clear(winner, loser, margin):  # your own objective, which needs the column `margin`
...     return margin * bradley_terry(winner, loser)
"""

from rmspace._discover import attach

__getattr__, __dir__ = attach(__name__)
