"""Every kind of file that cannot be used is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mutatenn import InputError
from mutatenn_frontends.onnx import Onnx

HEAD = "x = GlobalAveragePool(c) flat = Flatten(x) scores = MatMul(flat, fc)"
PLAIN = f"c = Conv(image, w) {HEAD}"


def test_missing(tmp_path: Path, refused: Any) -> None:
    refused(tmp_path / "absent.onnx", "there is no such file")


def test_directory(tmp_path: Path, refused: Any) -> None:
    refused(tmp_path, "is a directory")


def test_below_a_file(write: Any, refused: Any) -> None:
    refused(write(b"") / "net.onnx", "cannot be read (Not a directory)")


@pytest.mark.parametrize(
    "content",
    [b"", b"an image classifier", bytes(range(255, 0, -1)) * 10],
    ids=["empty", "text", "garbage"],
)
def test_not_onnx(refused: Any, content: bytes) -> None:
    refused(content, "is not an ONNX model, or is damaged")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_cut_short(refused: Any, build: Any, kept: float) -> None:
    content = build(PLAIN).SerializeToString()
    refused(content[: int(kept * len(content))], "cut short")


def test_git_lfs_pointer(refused: Any) -> None:
    refused(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull")


def test_invalid_graph(refused: Any, build: Any) -> None:
    refused(build("scores = MatMul(nowhere, fc)"), "is not a valid ONNX model")


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_an_operator_set_of_the_future(refused: Any, build: Any, domain: str) -> None:
    proto = build(PLAIN)
    proto.opset_import[0].CopyFrom(onnx.helper.make_opsetid(domain, 9999))
    refused(proto, "is of ONNX operator set 9999, which does not exist")


def test_missing_attribute(refused: Any, build: Any) -> None:
    refused(build(PLAIN.replace("Flatten", "LRN")), "size")


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("float[1,3,8,8] image, float[1,5] other", "image float32[1x3x8x8], other float32[1x5]"),
        ("float[1,5] image", "its input is image float32[1x5]"),
        ("float[N,3,8] image", "its input is image float32[Nx3x8]"),
        ("int64[1,128] image", "its input is image int64[1x128]"),
        ("int64[1,3,8,8] image", "float32 or float16 or uint8"),
        ("float[N,3,H,W] image", "has no fixed size: image float32[Nx3xHxW]"),
        ("seq(float) image", "its input is image (no tensor)"),
    ],
)
def test_input_is_not_one_image(refused: Any, build: Any, image: str, text: str) -> None:
    refused(build("c = Identity(image) scores = Identity(c)", image), text)


def test_no_input(refused: Any, build: Any) -> None:
    refused(build("scores = Identity(fc)", ""), "but has none")


def test_size_without_a_name(refused: Any, build: Any) -> None:
    proto = build(PLAIN)
    proto.graph.input[0].type.tensor_type.shape.dim[2].Clear()
    refused(proto, "has no fixed size: image float32[1x3x?x8]")


@pytest.mark.parametrize(
    ("body", "scores", "text"),
    [
        ("scores = Conv(image, w)", "float[1,4,6,6] scores", "not an image classifier"),
        (f"{PLAIN} label = ArgMax<axis=1>(scores)", "int64[1,1] label", "not an image classifier"),
        (
            f"{PLAIN} more = Relu(scores)",
            "float[1,5] scores, float[1,5] more",
            "several outputs that could be scores",
        ),
    ],
    ids=["segmentation", "label", "two heads"],
)
def test_output_is_not_scores(refused: Any, build: Any, body: str, scores: str, text: str) -> None:
    refused(build(body, scores=scores), text)


def test_unsupported_operators_are_listed_together(refused: Any, build: Any) -> None:
    body = f"a = my.lab.Blur(image) b = Det(a) d = my.lab.Relu(b) c = Conv(d, w) {HEAD}"
    proto = build(body, domains=', "my.lab": 1')
    refused(proto, "does not support: Det, my.lab:Blur, my.lab:Relu")


def test_unsupported_operator_in_control_flow(refused: Any, build: Any) -> None:
    then, other = (
        f"net () => (float[1,4,6,6] {name}) {{ {name} = {operator}(d) }}"
        for name, operator in (("p", "Relu"), ("q", "Det"))
    )
    body = f"d = Conv(image, w) c = If(yes)<then_branch = {then}, else_branch = {other}> {HEAD}"
    refused(build(body, yes=np.array(True)), "does not support: Det")


def test_importer_failure(refused: Any, build: Any, capfd: pytest.CaptureFixture[str]) -> None:
    baked = np.array([8, 4], np.int64)
    body = "c = Conv(image, w) x = GlobalAveragePool(c) flat = Reshape(x, size) scores = MatMul(flat, fc)"
    refused(build(body, "float[8,3,8,8] image", "float[8,5] scores", size=baked), "with batch 1")
    assert capfd.readouterr() == ("", "")


def test_dropout_in_training_mode(refused: Any, build: Any) -> None:
    body = PLAIN.replace("Flatten(x)", "Dropout(y, ratio, yes)").replace("flat =", "y = Flatten(x) flat =")
    refused(
        build(body, ratio=np.float32(0.5), yes=np.array(True)),
        "has a Dropout in training mode, which is random",
    )


def test_missing_external_data(tmp_path: Path, refused: Any, build: Any) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(build(PLAIN), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    refused(path, "its external weights cannot be read")


def test_external_data_outside_the_directory(tmp_path: Path, refused: Any, build: Any) -> None:
    path = tmp_path / "inside" / "net.onnx"
    path.parent.mkdir()
    onnx.save(build(PLAIN), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (path.parent / "weights.bin").rename(tmp_path / "weights.bin")
    content = path.read_bytes().replace(b"weights.bin", b"../ghts.bin")
    (tmp_path / "ghts.bin").write_bytes((tmp_path / "weights.bin").read_bytes())
    path.write_bytes(content)
    refused(path, "its external weights cannot be read")


def test_reference_of_a_changed_file(load: Any, write: Any, build: Any) -> None:
    model = load(build(PLAIN))
    write(build(PLAIN, fc=np.ones((4, 5), np.float32)))
    with pytest.raises(InputError, match="has changed since it was imported"):
        Onnx().reference(model, np.zeros((1, 3, 8, 8), np.float32))
