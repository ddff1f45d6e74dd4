"""Forms of TFLite's operators: what is imported computes what the interpreter does, the rest is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from page_scripts import SCRIPTS

NEEDED = ("tensorflow", "tflite", "ai_edge_litert")
SAMPLED = 20
"""One of so many forms is tried by default."""
JUDGE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import tflite_operators as operators
numbers = range(int(sys.argv[2]), len(operators.CODES), int(sys.argv[3]))
found = {operators.CODES[n]: operators.number(n) for n in numbers}
print(json.dumps({code: [each.verdict, each.reason] for code, each in found.items()}))
"""

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, NEEDED)),
    reason="needs the packages of the extra: pip install 'mutatenn[tensorflow]'",
)


def outcomes(start: int, step: int, folder: Path) -> dict[str, list[str]]:
    """Return what comes of forms; TensorFlow stays in a process of its own."""
    command = [sys.executable, "-c", JUDGE, str(SCRIPTS), str(start), str(step)]
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def bad(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {code: told for code, told in found.items() if told[0] not in ("right", "refused")}


def test_a_sample(tmp_path: Path) -> None:
    found = outcomes(0, SAMPLED, tmp_path)
    assert len(found) >= 10
    assert bad(found) == {}


@pytest.mark.soak
@pytest.mark.parametrize("part", range(5))
def test_all(tmp_path: Path, part: int) -> None:
    assert bad(outcomes(part, 5, tmp_path)) == {}
