"""The first screen of the README: its code runs, and prints the table that stands below it."""

import re
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def read_table(text: str) -> pd.DataFrame:
    return pd.read_csv(StringIO(text), sep=r"\s{2,}|(?<=\d)\s", engine="python").set_index("model")


def test_the_first_code_prints_the_first_table(capsys: pytest.CaptureFixture[str]) -> None:
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    exec(code, {"__name__": "readme"})
    printed = read_table(capsys.readouterr().out.strip())
    shown = read_table(re.findall(r"```text\n(.*?)```", README, re.DOTALL)[0].strip())
    assert printed.index.tolist() == shown.index.tolist()
    # Networks differ a little between processors.
    np.testing.assert_allclose(printed, shown, atol=0.06)
    assert (printed.value.drop("random response") > 0.4).all()
