"""Help and listings start fast: they import none of the heavy libraries."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mutatenn.cli.main import OWN
from mutatenn.host.plugin_host import PluginHost

HEAVY = [
    "PIL",
    "ai_edge_litert",
    "flatbuffers",
    "onnx",
    "onnxruntime",
    "pandas",
    "pyopencl",
    "rich",
    "scipy",
    "tensorflow",
    "tflite",
    "tflite_runtime",
    "torch",
    "tvm",
    "tvm_ffi",
]
PROGRAM = """
import json, sys
from mutatenn.cli.main import main
try:
    main({argv})
except SystemExit as exit:
    assert exit.code == 0, exit.code
print(json.dumps(sorted(sys.modules)))
"""


COMMANDS = [*(command.name for command in OWN), *PluginHost.installed().commands()]


@pytest.mark.parametrize(
    "argv", [["--help"], ["plugins"], ["plugins", "--json"], *([name, "--help"] for name in COMMANDS)]
)
def test_it_imports_nothing_heavy(argv: list[str]) -> None:
    program = [sys.executable, "-c", PROGRAM.format(argv=argv)]
    done = subprocess.run(program, check=True, text=True, stdout=subprocess.PIPE)
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert "mutatenn.host.plugin_host" in modules
    assert sorted(modules.intersection(HEAVY)) == []
