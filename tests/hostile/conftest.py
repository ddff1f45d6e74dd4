"""What hostile plugins and inputs share: the modules beside this one, and a process to fork from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    """Import once what every case needs, in the process that they are forked from."""
    import onnx
    import onnxruntime
    import tvm.relax

    import mutatenn.campaign.execution.session

    assert all((onnx, onnxruntime, tvm.relax, mutatenn.campaign.execution.session))
