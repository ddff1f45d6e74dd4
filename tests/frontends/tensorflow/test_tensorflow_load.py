"""What is imported computes what TensorFlow computes, in a form fit for mutation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutatenn import InputError, TensorSpec
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.testing import check_frontend
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.tensorflow import TensorFlow, mutatenn_frontends

HEAVY = "'tensorflow', 'tf2onnx', 'tflite', 'onnx', 'tvm'"


def test_contribution() -> None:
    assert mutatenn_frontends() == (TensorFlow,)
    assert (TensorFlow.name, TensorFlow.suffixes) == ("tensorflow", (".pb",))
    assert TensorFlow().route == TensorFlow.routes[0] == "onnx"


def test_the_plugin_imports_nothing_heavy() -> None:
    code = f"import sys, mutatenn_frontends.tensorflow; print({{{HEAVY}}} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout == "set()\n"


def test_reads(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").touch()
    (tmp_path / "net.PB").touch()
    (tmp_path / "variables").mkdir()
    assert [path.name for path in sorted(tmp_path.iterdir()) if TensorFlow.reads(path)] == [
        "net.PB",
        "saved_model.pb",
    ]
    assert TensorFlow.reads(tmp_path)


def test_routes() -> None:
    with pytest.raises(ValueError, match="'route' must be in"):
        TensorFlow(route="torch")


@pytest.mark.parametrize("route", TensorFlow.routes)
@pytest.mark.parametrize("kind", ["saved_model", "frozen", "unfused"])
def test_model(made: Any, agree: Any, kind: str, route: str, capfd: pytest.CaptureFixture[str]) -> None:
    source = made(kind)
    model = TensorFlow(route=route).load(source)
    assert model.name == ("net" if kind == "frozen" else kind)
    assert model.input == TensorSpec("image", (1, 8, 8, 3))
    assert model.output == TensorSpec("Identity" if kind == "frozen" else "scores", (1, 5))
    main = model.module["main"]
    assert list(map(str, main.params)) == ["image"]
    agree(model, route=route)
    assert all(call.layers for call in Toolchain(model, Llvm(), Profile()).program.calls)
    if route == "onnx":
        assert model.module.script().count("nn.batch_norm") == 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("kind", "route"), [("saved_model", "onnx"), ("frozen", "tflite")])
def test_it_keeps_its_promises(made: Any, kind: str, route: str) -> None:
    images = np.random.default_rng(5).uniform(-1, 1, (3, 8, 8, 3))
    check_frontend(TensorFlow, made(kind), images, route=route)


@pytest.mark.parametrize(("kind", "count"), [("norm_without_scale", 1), ("norm_of_features", 0)])
def test_batch_normalisations_spelled_out(made: Any, agree: Any, kind: str, count: int) -> None:
    """ONNX has them for images alone."""
    model = TensorFlow().load(made(kind))
    assert model.module.script().count("nn.batch_norm") == count
    agree(model)


def test_processes_of_its_own(desk: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """As above, but as users have it: nothing of TensorFlow gets into this process."""
    model = TensorFlow().load(desk.make("saved_model"))
    images = np.random.default_rng(5).uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
    scores = TensorFlow().reference(model, images)
    assert scores.shape == (3, 5)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    assert not {"tensorflow", "tf2onnx", "keras"} & set(sys.modules)
    assert capfd.readouterr() == ("", "")


def test_the_graph_file_of_a_saved_model(made: Any, agree: Any) -> None:
    folder = made("saved_model")
    model = TensorFlow().load(folder / "saved_model.pb")
    assert model.digest == TensorFlow().load(folder).digest
    assert model.name == "saved_model"
    agree(model)


@pytest.mark.parametrize("route", TensorFlow.routes)
def test_saved_model_of_tensorflow_1(made: Any, agree: Any, route: str) -> None:
    model = TensorFlow(route=route).load(made("first_generation"))
    assert model.input == TensorSpec("image", (1, 8, 8, 3))
    assert model.output == TensorSpec("scores", (1, 5))
    assert "training" not in model.module.script()
    agree(model, route=route)


@pytest.mark.parametrize("route", TensorFlow.routes)
def test_bytes_as_image(made: Any, agree: Any, route: str) -> None:
    model = TensorFlow(route=route).load(made("uint8_image"))
    assert model.input == TensorSpec("image", (1, 8, 8, 3), "uint8")
    agree(model, route=route)


def test_signature(made: Any, agree: Any) -> None:
    source = made("several_signatures")
    plain, double = TensorFlow(signature="plain"), TensorFlow(signature="double")
    assert plain.load(source).digest != double.load(source).digest
    expected = agree(double.load(source), signature="double")
    np.testing.assert_allclose(expected, agree(plain.load(source), signature="plain") * 2, rtol=1e-6)


def test_output(made: Any, agree: Any) -> None:
    source = made("two_heads")
    model = TensorFlow(output="logits").load(source)
    assert model.output.name == "logits"
    assert agree(model, output="logits").min() < 0


def test_the_only_classifier_among_the_outputs(made: Any, agree: Any) -> None:
    model = TensorFlow().load(made("features_too"))
    assert model.output == TensorSpec("scores", (1, 5))
    agree(model)


@pytest.mark.parametrize("route", TensorFlow.routes)
def test_an_open_size_and_one_score(made: Any, agree: Any, route: str) -> None:
    model = TensorFlow(route=route, size=(9, 8)).load(made("one_score"))
    assert (model.input.shape, model.output.shape) == ((1, 9, 8, 3), (1, 1))
    agree(model, route=route, size=(9, 8))


@pytest.mark.parametrize("wanted", ["scaled:0", "scaled", "image"])
def test_input(made: Any, agree: Any, wanted: str) -> None:
    model = TensorFlow(input=wanted).load(made("cut_in_the_middle"))
    assert model.input.name == wanted.removesuffix(":0")
    agree(model, input=wanted)


def test_digest(made: Any, tmp_path: Path) -> None:
    """It tells of the weights' values, the route and the choices, and not of the folder's name."""
    source = made("saved_model")
    copied = shutil.copytree(source, tmp_path / "copied")
    first = TensorFlow().load(source).digest
    assert TensorFlow().load(copied).digest == first
    assert TensorFlow(route="tflite").load(source).digest != first
    (copied / "variables" / "variables.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(InputError, match="values of its variables cannot be read"):
        TensorFlow().load(copied)


def test_reference_of_a_changed_file(made: Any, tmp_path: Path) -> None:
    copied = shutil.copytree(made("saved_model"), tmp_path / "copied")
    model = TensorFlow().load(copied)
    with (copied / "variables" / "variables.index").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(InputError, match="has changed since it was imported; run"):
        TensorFlow().reference(model, np.zeros((1, 8, 8, 3), np.float32))
