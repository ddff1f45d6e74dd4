"""Keras models, made once in a process of Keras's own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutatenn import InputError
from mutatenn_frontends._shared.child import STEADY
from mutatenn_frontends.keras import Keras

MISSING = "needs the packages of the extra: pip install 'mutatenn[keras]'"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the models: net, rich and row (.keras, .h5, .npz of images and scores), coded."""
    if not all(map(importlib.util.find_spec, ("keras", "tensorflow", "tf2onnx", "tflite"))):
        pytest.skip(MISSING)
    folder = tmp_path_factory.mktemp("made")
    script = Path(__file__).with_name("keras_models.py")
    environment = os.environ | STEADY | {"KERAS_BACKEND": "tensorflow"}
    done = subprocess.run([sys.executable, script, folder], env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """Check that loading a path, or content, fails in one line: the file, the texts, a cure; return it."""

    def check(source: Path | bytes, *texts: str) -> str:
        if isinstance(source, bytes):
            (tmp_path / "net.keras").write_bytes(source)
            source = tmp_path / "net.keras"
        with pytest.raises(InputError) as caught:
            Keras().load(source)
        message = str(caught.value)
        assert message.startswith(f"{source}: ")
        for text in texts:
            assert text in message
        assert "\n" not in message
        assert "; " in message
        return message

    return check


@pytest.fixture
def truth(made: Path) -> Callable[[str], tuple[Any, Any]]:
    """Return the images of a model and the scores that Keras gives them."""

    def load(name: str) -> tuple[Any, Any]:
        with np.load(made / f"{name}.npz") as arrays:
            return arrays["images"], arrays["scores"]

    return load
