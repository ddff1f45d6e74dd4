"""What is imported computes what Keras computes, by every route, in a form fit for mutation."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mutatenn
from mutatenn import CATEGORIES, InputError, Model, TensorSpec, ir
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.testing import check_frontend
from mutatenn_backends.llvm import Llvm
from mutatenn_frontends.keras import Keras, mutatenn_frontends

HEAVY = "'keras', 'h5py', 'tensorflow', 'tf2onnx', 'tflite', 'torch', 'onnx', 'tvm'"
DATA = Path(os.environ.get("MUTATENN_TEST_DATA", "absent"))
RESNET = DATA / "models" / "resnet8_cifar10.h5"
needs_torch = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="PyTorch is not installed")
ROUTES = ["onnx", "tflite", pytest.param("torch", marks=needs_torch)]
BATCH_NORMS = {"onnx": 2, "tflite": 0, "torch": 2}


def execute(model: Model, images: Any) -> Any:
    """Compile with TVM's own defaults and run image by image."""
    machine = ir.relax.VirtualMachine(ir.tvm.compile(model.module, "llvm"), ir.tvm.cpu())
    return np.concatenate(
        [machine["main"](ir.tvm.runtime.tensor(image[np.newaxis])).numpy() for image in images]
    )


def test_contribution() -> None:
    assert mutatenn_frontends() == (Keras,)
    assert (Keras().route, Keras.routes) == ("onnx", ("onnx", "tflite", "torch"))
    assert Keras.schemes == ("keras",)
    assert all(map(Keras.reads, map(Path, ("net.keras", "net.h5", "NET.HDF5"))))
    with pytest.raises(ValueError, match="'route' must be in"):
        Keras(route="onyx")


def test_the_plugin_imports_nothing_heavy() -> None:
    code = f"import sys, mutatenn_frontends.keras; print({{{HEAVY}}} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout == "set()\n"


@pytest.mark.slow
@pytest.mark.parametrize(("route", "suffix"), [("onnx", "keras"), ("tflite", "h5")])
def test_it_keeps_its_promises(made: Path, truth: Any, route: str, suffix: str) -> None:
    images, scores = truth("net")
    found = check_frontend(Keras, made / f"net.{suffix}", images, route=route)
    np.testing.assert_allclose(found, scores, atol=1e-6)


@pytest.mark.parametrize("route", ROUTES)
def test_model(made: Path, truth: Any, calls: Any, route: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = made / "net.keras"
    model = Keras(route=route).load(path)
    assert model.name == "net"
    assert (model.input, model.output) == (TensorSpec("image", (1, 8, 8, 1)), TensorSpec("scores", (1, 10)))
    content = sha256(path.read_bytes()).hexdigest()
    assert (model.digest == content) == (route == "onnx")
    assert [len(function.params) for function in model.module.functions.values()] == [1]
    found = calls(model)
    assert (found["nn.conv2d"], found["nn.batch_norm"]) == (2, BATCH_NORMS[route])
    assert (found["clip"], found["nn.relu"], found["matmul"]) == (1, 1, 1)
    images, scores = truth("net")
    np.testing.assert_allclose(execute(model, images), scores, atol=1e-6)
    assert np.ptp(scores, axis=0).max() > 0.1
    assert capfd.readouterr() == ("", "")
    told = {layer.type: layer.name for layer in Toolchain(model, Llvm(), Profile()).model_layers}
    assert {"Conv2D", "DepthwiseConv2D", "Add", "MaxPooling2D", "Dense"} <= told.keys()
    assert re.fullmatch(r"depthwise_conv2d(_\d+)?", told["DepthwiseConv2D"])


@pytest.mark.parametrize(
    ("route", "output"),
    [("onnx", "shares"), ("tflite", "one"), pytest.param("torch", "logits", marks=needs_torch)],
)
def test_sizes_and_scores_that_are_left_open(made: Path, route: str, output: str) -> None:
    frontend = Keras(route=route, output=output, size=(9, 8))
    model = frontend.load(made / "heads.keras")
    with np.load(made / "heads.npz") as arrays:
        images, scores = arrays["images"], arrays[output]
    assert model.input.shape == (1, 9, 8, 3)
    assert model.output == TensorSpec(output, (1, scores.shape[1]))
    np.testing.assert_allclose(frontend.reference(model, images), scores, atol=1e-6)
    np.testing.assert_allclose(execute(model, images), scores, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
def test_layers_that_converters_stumble_on(made: Path, truth: Any, calls: Any, route: str) -> None:
    model = Keras(route=route).load(made / "rich.keras")
    images, scores = truth("rich")
    np.testing.assert_allclose(execute(model, images), scores, atol=1e-5)
    assert np.ptp(scores, axis=0).min() > 1e-3
    assert calls(model)["nn.batch_norm"] == 2 * BATCH_NORMS[route]


def test_reference(made: Path, truth: Any, capfd: pytest.CaptureFixture[str]) -> None:
    path = made / "net.h5"
    model = Keras().load(path)
    images, scores = truth("net")
    found = Keras().reference(model, images)
    assert (found.dtype, found.shape) == (np.float32, (3, 10))
    np.testing.assert_allclose(found, scores, atol=1e-6)
    np.testing.assert_allclose(execute(model, images), scores, atol=1e-6)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(InputError, match=r"net.h5: has changed since it was imported; run"):
        Keras(route="tflite").reference(model, images)


def edited(made: Path, folder: Path, edit: Callable[[str, dict[str, Any]], None]) -> Path:
    """Return a copy of net.h5 with the configuration of every layer, by its class, edited."""
    h5py = pytest.importorskip("h5py")
    path = folder / "edited.h5"
    shutil.copy(made / "net.h5", path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            edit(layer["class_name"], layer["config"])
        file.attrs["model_config"] = json.dumps(config)
    return path


def test_what_keras_2_wrote_and_says_nothing(made: Path, truth: Any, tmp_path: Path) -> None:
    def edit(layer: str, config: dict[str, Any]) -> None:
        if layer != "InputLayer":
            config |= {"input_dtype": None, "of_old": None, "batch_input_shape": [None, 8, 8, 1]}
        config |= {"fused": True, "virtual_batch_size": None} if layer == "BatchNormalization" else {}
        config |= {"groups": 1} if layer in ("DepthwiseConv2D", "Dense") else {}

    images, scores = truth("net")
    model = Keras().load(edited(made, tmp_path, edit))
    np.testing.assert_allclose(execute(model, images), scores, atol=1e-6)


def test_a_first_layer_that_has_the_shape_of_the_image(made: Path, truth: Any, tmp_path: Path) -> None:
    """So Keras 2 wrote models in a row, before it gave them an InputLayer."""
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "row.h5"
    shutil.copy(made / "row.h5", path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        image, first, *_ = config["config"]["layers"]
        assert (image["class_name"], first["class_name"]) == ("InputLayer", "Conv2D")
        del config["config"]["layers"][0]
        config["config"].pop("build_input_shape", None)
        first["config"]["batch_input_shape"] = [None, 8, 8, 1]
        file.attrs["model_config"] = json.dumps(config)
    images, scores = truth("row")
    model = Keras().load(path)
    assert model.input.shape == (1, 8, 8, 1)
    np.testing.assert_allclose(execute(model, images), scores, atol=1e-6)


def test_what_says_something_is_refused_by_name(made: Path, tmp_path: Path) -> None:
    path = edited(
        made, tmp_path, lambda layer, config: config.update({"groups": 2} if layer == "Dense" else {})
    )
    with pytest.raises(
        InputError, match=r"\(Unrecognized keyword arguments passed to Dense: {'groups': 2}\)"
    ):
        Keras().load(path)


def test_a_model_that_tensorflow_cannot_run(made: Path) -> None:
    path, image, scores = (
        made / "first.keras",
        TensorSpec("image", (1, 3, 8, 8)),
        TensorSpec("scores", (1, 72)),
    )
    model = Model("first", path, sha256(path.read_bytes()).hexdigest(), None, image, scores)
    with pytest.raises(InputError, match=r"first.keras: Keras cannot run it with TensorFlow .*; build it"):
        Keras().reference(model, np.zeros((1, 3, 8, 8), np.float32))


def campaign(folder: Path, model: Path, images: str, *lines: str) -> Any:
    """Run one mutant of each category by every route and check the baselines; return the run."""
    text = ['name = "net"', f'model.path = "{model}"', f'dataset.images = "{images}"', *lines]
    text += [f'[[environments]]\nname = "{route}"\nroute = "{route}"' for route in ("onnx", "tflite")]
    text += [f'[[mutations]]\noperator = "{category}"\nsites = {{ sample = 1 }}' for category in CATEGORIES]
    (folder / "net.toml").write_text("\n".join(text))
    run = mutatenn.run(folder / "net.toml", folder / "run")
    for baseline in run.baselines.values():
        assert baseline.problems == ()
        assert baseline.reference_labels == baseline.images
        assert baseline.reference_difference < 1e-4 * (baseline.reference_spread or 1)
    return run


@pytest.mark.slow
def test_campaign(made: Path, tmp_path: Path) -> None:
    for number, pixels in enumerate(np.random.default_rng(7).integers(0, 256, (12, 8, 8)).astype(np.uint8)):
        Image.fromarray(pixels // (number % 3 + 1)).save(tmp_path / f"{number:02}.png")
    scaling = ("preprocess.mean = 127.5", "preprocess.std = 127.5")
    run = campaign(tmp_path, made / "net.keras", "*.png", *scaling)
    assert {record.category for record in run.mutants} == set(CATEGORIES)
    verdicts = {verdict.status for record in run.mutants for verdict in record.verdicts.values()}
    assert "killed" in verdicts
    told = [verdict.message for record in run.mutants for verdict in record.verdicts.values()]
    assert verdicts <= {"killed", "survived", "never-infected", "out-of-bounds", "unstable", "equivalent"}, (
        told
    )


@pytest.mark.slow
@pytest.mark.skipif(
    not RESNET.exists(), reason="set MUTATENN_TEST_DATA to a folder with ResNet-8 and CIFAR-10"
)
@pytest.mark.usefixtures("made")
def test_resnet8(tmp_path: Path) -> None:
    truth = ('dataset.truth = "filename-prefix"', "gate.min_accuracy = 0.7")
    run = campaign(tmp_path, RESNET, f"{DATA}/cifar10/*.jpg", *truth)
    assert {baseline.accuracy for baseline in run.baselines.values()} == {0.72}
    assert {baseline.images for baseline in run.baselines.values()} == {200}
