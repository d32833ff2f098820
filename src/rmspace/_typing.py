"""Names for the types of arrays and paths."""

from __future__ import annotations

import os
from typing import Any, NewType

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
PathLike = str | os.PathLike[str]
ExistingPath = NewType("ExistingPath", str)
"""A path that must exist; in a config it is read from the config's own folder."""
OutputPath = NewType("OutputPath", str)
"""A path that need not exist yet; in a config it starts at the config's own folder."""
