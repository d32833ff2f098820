"""Models on a device other than the CPU: a pretended one, see pretended_device.py."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

SCRIPT = Path(__file__).with_name("pretended_device.py")
CASES = re.findall(r"^def case_(\w+)", SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch cannot pretend a device in Python")
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES)
def test_on_a_pretended_device(outcomes: dict[str, str], case: str) -> None:
    assert not outcomes[case], outcomes[case]
