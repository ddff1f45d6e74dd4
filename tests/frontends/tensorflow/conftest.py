"""TensorFlow models, made and converted in one process of TensorFlow that lasts for all tests."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from refusals import check_refusal

from mutatenn import InputError, Model, ir
from mutatenn_frontends import tensorflow
from mutatenn_frontends._shared.child import STEADY
from mutatenn_frontends.tensorflow import TensorFlow

MISSING = "needs the packages of the extra: pip install 'mutatenn[tensorflow]'"
INSTALLED = all(importlib.util.find_spec(name) for name in ("tensorflow", "tf2onnx", "tflite"))


class Desk:
    """The process; starting TensorFlow takes seconds, which the frontend spends anew for each request."""

    def __init__(self, folder: Path) -> None:
        script = Path(__file__).with_name("tensorflow_desk.py")
        self.folder, self.log = folder, (folder / "stderr.txt").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=os.environ | STEADY,
        )

    def ask(self, request: dict[str, Any], payload: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """Do what the frontend's own ``ask`` does."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({**request, "bytes": len(payload)}).encode() + b"\n" + payload)
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, (self.folder / "stderr.txt").read_text()
        answer = json.loads(line)
        assert "bug" not in answer, answer["bug"]
        content = self.process.stdout.read(answer.pop("bytes"))
        if "error" in answer:
            raise InputError(answer["error"])
        return answer, content

    def make(self, name: str) -> Path:
        """Return the model that a function of the script makes, made once: a directory, or net.pb in it."""
        folder = self.folder / name
        if not folder.exists():
            self.ask({"make": name, "folder": str(folder)})
        frozen = folder / "net.pb"
        return frozen if frozen.exists() else folder


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    if not INSTALLED:
        pytest.skip(MISSING)
    found = Desk(tmp_path_factory.mktemp("tensorflow"))
    yield found
    found.process.communicate(timeout=60)
    found.log.close()


@pytest.fixture
def made(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make a model by its name; the frontend asks the one process meanwhile."""
    monkeypatch.setattr(tensorflow, "ask", lambda _name, _module, *given: desk.ask(*given))
    return desk.make


@pytest.fixture
def agree() -> Callable[..., NDArray[np.float32]]:
    """Check that the compiled model and TensorFlow agree, on outputs that can disagree; return them."""

    def check(model: Model, **options: Any) -> NDArray[np.float32]:
        images = np.random.default_rng(5).uniform(-1, 1, (3, *model.input.shape[1:])).astype(np.float32)
        if model.input.dtype == "uint8":
            images = images * 100 + 128
        images = images.astype(model.input.dtype)
        expected = TensorFlow(**options).reference(model, images)
        assert expected.shape == (len(images), model.output.shape[1])
        assert expected.dtype == np.float32
        assert all(2 * np.unique(row).size > row.size for row in expected)
        machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
        actual = np.concatenate(
            [machine["main"](ir.tvm.runtime.tensor(image[np.newaxis])).numpy() for image in images]
        )
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * abs(expected).max())
        np.testing.assert_array_equal(actual.argmax(1), expected.argmax(1))
        return expected

    return check


@pytest.fixture
def refused() -> Callable[..., None]:
    """Check that loading fails in one line: the path, a text, and a cure."""

    def check(path: Path, text: str, **options: Any) -> None:
        check_refusal(TensorFlow(**options).load, path, text)

    return check
