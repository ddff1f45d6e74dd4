"""Every kind of file that cannot be used is refused in one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutatenn import InputError
from mutatenn_frontends.tflite import Tflite

COMMAND = "install them: pip install 'mutatenn[tflite]'"


def test_missing(tmp_path: Path, refused: Any) -> None:
    refused(tmp_path / "absent.tflite", "there is no such file")


def test_directory(tmp_path: Path, refused: Any) -> None:
    refused(tmp_path, "is a directory")


def test_below_a_file(write: Any, refused: Any) -> None:
    refused(write(b"") / "net.tflite", "cannot be read (Not a directory)")


@pytest.mark.parametrize(
    "content",
    [b"", b"TFL", b"an image classifier", bytes(range(255, 0, -1)) * 10],
    ids=["empty", "short", "text", "garbage"],
)
def test_not_tflite(refused: Any, content: bytes) -> None:
    refused(content, "is not a TFLite model")


def test_git_lfs_pointer(refused: Any) -> None:
    refused(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull")


@pytest.mark.parametrize("kept", [0.01, 0.1, 0.5, 0.99])
def test_cut_short(refused: Any, plain: bytes, kept: float) -> None:
    refused(plain[: max(8, int(kept * len(plain)))], "is damaged or cut short")


def test_damaged(refused: Any, plain: bytes) -> None:
    refused(plain[:8] + bytes(range(255, 0, -1)) + plain[263:], "is damaged or cut short")


@pytest.mark.parametrize("number", [77, 1 << 20])
def test_operator_on_a_tensor_that_is_not_there(net: Any, refused: Any, number: int) -> None:
    built = net()
    refused(built.content(built.add("ABS", [number], 1, 5)), "is damaged or cut short")


def test_model_without_a_graph(net: Any, refused: Any) -> None:
    built = net()
    built.builder.Finish(built.table("Model", Version=3), b"TFL3")
    refused(bytes(built.builder.Output()), "is damaged or cut short")


def test_name_that_is_no_text(refused: Any, plain: bytes) -> None:
    refused(plain.replace(b"scores", b"sc\xffres"), "is damaged or cut short")


@pytest.mark.parametrize("packages", [["tflite"], ["ai_edge_litert", "tflite_runtime", "tensorflow"]])
def test_missing_packages(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, refused: Any, packages: list[str]
) -> None:
    # The parser is asked for first; without it, a file with the right identifier will do.
    content = b"\x08\0\0\0TFL3" if packages == ["tflite"] else request.getfixturevalue("plain")
    for name in [*packages, *(module for module in sys.modules if module.partition(".")[0] in packages)]:
        monkeypatch.setitem(sys.modules, name, None)
    refused(content, COMMAND)


@pytest.mark.parametrize(
    ("shape", "fields", "text"),
    [
        ((1, 5), {}, "its input is image float32[1x5]"),
        ((8, 8, 3), {}, "its input is image float32[8x8x3]"),
        ((1, 8, 8, 3), {"dtype": "int64"}, "its input is image int64[1x8x8x3]; give a model of images"),
        ((8, 8, 8, 3), {}, "takes several images at once: image float32[8x8x8x3]; export it with a batch"),
        ((1, 1, 1, 3), {"signature": (-1, -1, -1, 3)}, "has no fixed size: image float32[1x?x?x3]"),
    ],
)
def test_input_is_not_one_image(
    net: Any, refused: Any, shape: tuple[int, ...], fields: dict[str, Any], text: str
) -> None:
    built = net(*shape, **fields)
    features = built.add("RESHAPE", [built.image, built.constant(1, 4)], 1, 4)
    refused(built.content(built.dense(features)), text)


def test_two_inputs(net: Any, refused: Any) -> None:
    built = net()
    built.input(1, 5, name="other")
    refused(built.content(built.dense(built.pooled())), "image float32[1x8x8x3], other float32[1x5]")


def test_no_input(net: Any, refused: Any) -> None:
    built = net()
    built.inputs.clear()
    refused(built.content(built.dense(built.weight(1, 4))), "must have one input, the image, but has none")


def segmentation(built: Any) -> list[int]:
    return [built.add("ABS", [built.image], 1, 8, 8, 3, name="scores")]


def label(built: Any) -> list[int]:
    scores = [built.dense(built.pooled()), built.constant(1)]
    return [built.add("ARG_MAX", scores, 1, name="scores", dtype="int64", options=("ArgMaxOptions", {}))]


@pytest.mark.parametrize("outputs", [segmentation, label])
def test_output_is_not_scores(net: Any, refused: Any, outputs: Any) -> None:
    built = net()
    refused(built.content(*outputs(built)), "is not an image classifier: its output is scores")


def test_two_heads(net: Any, refused: Any) -> None:
    built = net()
    features = built.pooled()
    heads = [built.dense(features, name="one"), built.dense(features, name="two")]
    text = "several outputs that could be scores: one float32[1x5], two float32[1x5]; export"
    refused(built.content(*heads), text)


def test_unsupported_operators_are_listed_together(net: Any, refused: Any) -> None:
    built = net()
    blurred = built.add("Blur", [built.image], 1, 8, 8, 3)
    built.image = built.add("SKIP_GRAM", [blurred], 1, 8, 8, 3)
    text = "does not support: SKIP_GRAM, custom:Blur; convert"
    refused(built.content(built.dense(built.pooled())), text)


def test_operators_that_only_some_models_may_use(net: Any, refused: Any) -> None:
    built = net()
    options = ("AddOptions", {"FusedActivationFunction": built.tflite.ActivationFunctionType.SIGN_BIT})
    built.image = built.add("ADD", [built.image, built.image], 1, 8, 8, 3, options=options)
    text = "that cannot be imported; convert it with batch 1 and fixed shapes"
    refused(built.content(built.dense(built.pooled())), text)


def test_shapes_that_do_not_fit(net: Any, refused: Any, capfd: pytest.CaptureFixture[str]) -> None:
    built = net()
    features = built.add("RESHAPE", [built.image, built.constant(1, 7)], 1, 7)
    refused(built.content(built.dense(features, 7)), "has an operator RESHAPE (output ")
    assert capfd.readouterr() == ("", "")


QUANTISED = "is quantised in a way that TVM and TFLite compute differently: "
CURE = "; convert it to int8 throughout, with a representative data set, or without quantisation"


@pytest.mark.parametrize(
    ("operator", "dtype"),
    [("LEAKY_RELU", "int8"), ("LOGISTIC", "uint8"), ("LOGISTIC", "int16")],
)
def test_quantised_operators_that_differ(net: Any, refused: Any, operator: str, dtype: str) -> None:
    built = net()
    kind = {"dtype": dtype, "scale": 0.5}
    data = built.add("QUANTIZE", [built.image], 1, 8, 8, 3, **kind | {"dtype": "int8"})
    found = built.add(operator, [data], 1, 8, 8, 3, **kind)
    built.image = built.add("DEQUANTIZE", [found], 1, 8, 8, 3)
    dtypes = "/".join(sorted({"int8", dtype}))
    text = f"{QUANTISED}{dtypes} {operator}{CURE}"
    if dtype == "int16":
        text = f"{QUANTISED}int16 DEQUANTIZE, int16/int8 LOGISTIC{CURE}"
    refused(built.content(built.dense(built.pooled())), text)


@pytest.mark.parametrize(
    ("operator", "dtype"), [("QUANTIZE", "uint8"), ("CONCATENATION", "int8"), ("RELU", "int8")]
)
def test_scales_that_differ(net: Any, refused: Any, operator: str, dtype: str) -> None:
    built = net(dtype=dtype, scale=0.5)
    axis = ("ConcatenationOptions", {"Axis": 3}) if operator == "CONCATENATION" else None
    found = built.add(operator, [built.image], 1, 8, 8, 3, options=axis, dtype="int8", scale=0.25)
    built.image = built.add("DEQUANTIZE", [found], 1, 8, 8, 3)
    dtypes = "/".join(sorted({"int8", dtype}))
    text = f"{QUANTISED}{dtypes} {operator} of several scales{CURE}"
    refused(built.content(built.dense(built.pooled())), text)


def test_weights_alone_that_are_quantised_symmetrically(net: Any, refused: Any) -> None:
    built = net()
    features = built.pooled()
    weights = built.tensor(5, 4, dtype="int8", value=np.ones((5, 4)), scale=0.1)
    scores = built.add(
        "FULLY_CONNECTED", [features, weights, -1], 1, 5, options=("FullyConnectedOptions", {})
    )
    refused(built.content(scores), f"{QUANTISED}FULLY_CONNECTED of int8 weights alone{CURE}")


def test_scores_that_are_whole_numbers(net: Any, refused: Any) -> None:
    """Without a scale, int8 scores are whole numbers, which are no scores."""
    built = net()
    scores = built.add("CAST", [built.dense(built.pooled())], 1, 5, dtype="int8", name="scores")
    refused(built.content(scores), "is not an image classifier: its output is scores int8[1x5]; give")


def test_reference_of_a_changed_file(load: Any, write: Any, plain: bytes) -> None:
    model = load(plain)
    write(plain + b"\0")
    with pytest.raises(InputError, match="has changed since it was imported; run"):
        Tflite().reference(model, np.zeros((1, 8, 8, 3), np.float32))


def test_reference_that_the_interpreter_cannot_run(net: Any, load: Any) -> None:
    built = net()
    options = ("Conv2DOptions", {"StrideW": 1, "StrideH": 1})  # without a bias, which TFLite insists on
    features = built.add("CONV_2D", [built.image, built.weight(4, 1, 1, 3)], 1, 8, 8, 4, options=options)
    model = load(built.content(built.dense(built.mean(features))))
    with pytest.raises(InputError, match=r"interpreter cannot run it \(.*CONV_2D.*\); convert it again"):
        Tflite().reference(model, np.zeros((1, 8, 8, 3), np.float32))
