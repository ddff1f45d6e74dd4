"""Every model that cannot be used is refused in one line, and nothing of it is run before."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mutatenn import InputError
from mutatenn_frontends._shared import packages
from mutatenn_frontends.tensorflow import TensorFlow

COMMAND = "install them: pip install 'mutatenn[tensorflow]'"


def test_missing(tmp_path: Path, refused: Any) -> None:
    refused(tmp_path / "absent.pb", "there is no such file; give the path of a SavedModel directory or")


def test_another_directory(tmp_path: Path, refused: Any) -> None:
    refused(tmp_path, "is a directory without saved_model.pb; give a SavedModel directory or")


def test_below_a_file(tmp_path: Path, refused: Any) -> None:
    (tmp_path / "net.pb").touch()
    refused(tmp_path / "net.pb" / "net.pb", "cannot be read (Not a directory)")


def test_git_lfs_pointer(tmp_path: Path, refused: Any) -> None:
    (tmp_path / "net.pb").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    refused(tmp_path / "net.pb", "git lfs pull")


@pytest.mark.parametrize(
    ("route", "package"), [("onnx", "tensorflow"), ("onnx", "tf2onnx"), ("tflite", "tflite")]
)
def test_missing_packages(
    tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch, route: str, package: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: find("json") if name != package else None)
    (tmp_path / "net.pb").touch()
    refused(tmp_path / "net.pb", COMMAND, route=route)


@pytest.mark.parametrize(
    "content",
    [b"", b"an image classifier", bytes(range(255, 0, -1)) * 10, b"\x08\x01"],
    ids=["empty", "text", "garbage", "no graph"],
)
@pytest.mark.usefixtures("made")
def test_not_tensorflow(tmp_path: Path, refused: Any, content: bytes) -> None:
    (tmp_path / "net.pb").write_bytes(content)
    refused(tmp_path / "net.pb", "is not a TensorFlow model, or is damaged or cut short; export or")


@pytest.mark.usefixtures("made")
def test_another_frameworks_file(tmp_path: Path, refused: Any) -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> net (float[1,5] x) => (float[1,5] y) { y = Relu(x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "net.pb")
    refused(tmp_path / "net.pb", "is not a TensorFlow model")


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["saved_model/saved_model.pb", "frozen"])
def test_cut_short(made: Any, tmp_path: Path, refused: Any, kind: str, kept: float) -> None:
    name, _, file = kind.partition("/")
    content = (made(name) / file).read_bytes()
    (tmp_path / "net.pb").write_bytes(content[: int(kept * len(content))])
    refused(tmp_path / "net.pb", "is not a TensorFlow model, or is damaged or cut short")


def test_graph_that_lacks_a_node(made: Any, refused: Any) -> None:
    refused(made("missing_node"), "has no node 'image', which its graph asks for; export it again")


def test_variables_left_behind(made: Any, tmp_path: Path, refused: Any) -> None:
    shutil.copy(made("saved_model") / "saved_model.pb", tmp_path)
    refused(tmp_path, "lacks the values of its variables, ")


def test_variables_without_a_value(made: Any, refused: Any) -> None:
    refused(made("restores_too_little"), "its variables cannot be frozen (")


def test_reference_that_tensorflow_cannot_run(made: Any) -> None:
    model = TensorFlow().load(made("asserts"))
    with pytest.raises(InputError, match=r"TensorFlow cannot run it \(.*assertion failed.*\); export it"):
        TensorFlow().reference(model, np.zeros((1, 8, 8, 3), np.float32))


def test_not_frozen(made: Any, refused: Any) -> None:
    refused(
        made("not_frozen"), "is not frozen: it lacks the values of its variables (kernel, 1 in all); give"
    )


def test_without_signature(made: Any, refused: Any) -> None:
    refused(made("without_signature"), "has no signatures, and so no inputs and outputs; save it with one: ")


def test_several_signatures(made: Any, refused: Any) -> None:
    source = made("several_signatures")
    refused(source, "has several signatures: double, plain; set the option signature")
    refused(source, "has no signature 'triple', but: double, plain; name", signature="triple")


def test_signature_of_a_frozen_graph(made: Any, refused: Any) -> None:
    refused(made("frozen"), "has no signatures; leave out the option", signature="serving_default")


def test_only_for_training(made: Any, refused: Any) -> None:
    refused(made("training_graph"), "has no graph with the tag 'serve', but: train; export it for serving")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "two_images",
            "must have one input, the image, but has serving_default_image float32[?x8x8x3], serving",
        ),
        ("without_input", "must have one input, the image, but has none; export"),
        (
            "vectors",
            "is not an image classifier: its input is serving_default_x float32[?x3]; give a model of",
        ),
        ("integers", "its input is serving_default_image int64[?x8x8x3]; give a model of images"),
        ("any_size", "its image has no fixed size: serving_default_image float32[?x?x?x3]; set"),
        ("batch_of_eight", "takes several images at once: serving_default_image float32[8x8x8x3]; export"),
        ("segmentation", "is not an image classifier: its output is scores float32[1x8x8x3]; give"),
        ("label", "is not an image classifier: its output is scores int64[1]; give a model that returns"),
        (
            "two_heads",
            "several outputs that could be scores: logits float32[1x5], scores float32[1x5]; export",
        ),
    ],
)
def test_not_one_image_and_its_scores(made: Any, refused: Any, kind: str, text: str) -> None:
    refused(made(kind), text)


def test_names_that_it_does_not_have(made: Any, refused: Any) -> None:
    refused(made("saved_model"), "has no node 'top', which", output="top")
    refused(made("saved_model"), "has no tensor top:0 on the way to its output; set", input="top")
    refused(made("saved_model"), "has no such output (", output="StatefulPartitionedCall:7")


def test_one_of_two_images(made: Any, refused: Any) -> None:
    text = "needs more inputs than serving_default_image: serving_default_other; export it with the image"
    refused(made("two_images"), text, input="image")


@pytest.mark.parametrize(
    ("kind", "operator"),
    [
        ("python", "PyFunc"),
        ("reads", "ReadFile, StringToNumber"),
        ("writes", "WriteFile"),
        ("writes_when_restored", "WriteFile"),
        ("dropout", "RandomUniform"),
        ("decodes", "DecodeJpeg"),
        ("custom_operator", "BlurredMean"),
    ],
)
def test_operators_that_may_do_more_than_compute(made: Any, refused: Any, kind: str, operator: str) -> None:
    source = made(kind)
    refused(source, f"uses operators that may do more than compute scores: {operator}; export the model for")
    assert not source.with_name(f"{kind}.written").exists()


def test_operators_that_nothing_needs(made: Any, agree: Any) -> None:
    """What only training or saving needs is there in every SavedModel; it is cut off, not refused."""
    source = made("writes_aside")
    agree(TensorFlow().load(source))
    assert not source.with_name("writes_aside.written").exists()


@pytest.mark.parametrize(("route", "converter"), [("onnx", "tf2onnx"), ("tflite", "TFLite converter")])
def test_operators_that_a_converter_does_not_know(
    made: Any, refused: Any, route: str, converter: str
) -> None:
    refused(made(f"not_for_{route}"), f"{converter} cannot convert it (", route=route)


def test_reference_where_the_weights_are_gone(made: Any, tmp_path: Path) -> None:
    copied = shutil.copytree(made("saved_model"), tmp_path / "copied")
    model = TensorFlow().load(copied)
    shutil.rmtree(copied)
    with pytest.raises(InputError, match="there is no such file"):
        TensorFlow().reference(model, np.zeros((1, 8, 8, 3), np.float32))
