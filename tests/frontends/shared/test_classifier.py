"""One set of rules, and of words, for what takes one image and returns one score for each class."""

from __future__ import annotations

from typing import Any

import pytest

from mutatenn import InputError, TensorSpec
from mutatenn_frontends._shared.classifier import Classifier, Tensor

IMAGE = Tensor("image", ("N", 3, 8, 8), "float32")
SCORES = Tensor("scores", (None, 5), "float32")


@pytest.mark.parametrize("batch", [1, None, "N"])
def test_one_image(batch: Any) -> None:
    found = Classifier(images=("float32", "uint8")).image_of([Tensor("x", [batch, 8, 9, 3], "uint8")])
    assert found == TensorSpec("x", (1, 8, 9, 3), "uint8")


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ([], "must have one input, the image, but has none; export it with the image alone"),
        (
            [IMAGE, Tensor("token")],
            "must have one input, the image, but has image float32[Nx3x8x8], token; export it with the image",
        ),
        (
            [Tensor("x", (1, 5), "float32")],
            "is not an image classifier: its input is x float32[1x5]; give a model of images, [batch, ch",
        ),
        ([Tensor("x", ("?",), "float32")], "is not an image classifier: its input is x float32[?]; give"),
        ([Tensor("x", (1, 3, 8, 8), "int64")], "is not an image classifier: its input is x int64[1x3x8x8]"),
        ([Tensor("x")], "is not an image classifier: its input is x; give"),
        ([Tensor("x", (1, 3, "H", None), "uint8")], "its image has no fixed size: x uint8[1x3xHx?]; export"),
        ([Tensor("x", (1, 3, 0, 8), "uint8")], "its image has no fixed size: x uint8[1x3x0x8]; export it"),
        ([Tensor("x", (8, 3, 8, 8), "uint8")], "takes several images at once: x uint8[8x3x8x8]; export it"),
    ],
)
def test_not_one_image(inputs: list[Tensor], told: str) -> None:
    with pytest.raises(InputError) as caught:
        Classifier(images=("float32", "uint8")).image_of(inputs)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("shape", [(1, 5), (None, 5), (1, 5, 1, 1), (1, 1, 1, 5), (None, 1, 5, 1)])
def test_scores_among_other_outputs(shape: Any) -> None:
    outputs = [Tensor("features", (1, 4, 2, 2), "float32"), Tensor("top", shape, "float16"), Tensor("token")]
    found = Classifier(scores=("float32", "float16")).scores_of(outputs)
    assert found == (1, TensorSpec("top", (1, 5)))


@pytest.mark.parametrize("shape", [(1,), (1, 1), (None, 1), (None, 1, 1), (1, 1, 1, 1, 1)])
def test_one_score(shape: Any) -> None:
    outputs = [Tensor("features", (1, 4, 2), "float32"), Tensor("top", shape, "float32"), Tensor("none")]
    assert Classifier().scores_of(outputs) == (1, TensorSpec("top", (1, 1)))
    assert Classifier().scores_of([*outputs, SCORES]) == (3, TensorSpec("scores", (1, 5)))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        *[(shape, "float32") for shape in [(5,), (1, 0), (1, -5), (8, 5), (1, None), (1, 5, 1)]],
        *[(shape, "float32") for shape in [(1, 5, 2, 1), (1, 5, "H", 1), (), ("?",)]],
        ((1, 5), "int64"),
        ((1, 5), ""),
    ],
)
def test_no_scores(shape: Any, dtype: str) -> None:
    output = Tensor("top", shape, dtype)
    with pytest.raises(InputError) as caught:
        Classifier().scores_of([output])
    assert str(caught.value) == (
        f"is not an image classifier: its output is {output}; give a model that returns one score for each "
        "class, [batch, classes] of float32"
    )


def test_what_a_frontend_cannot_do() -> None:
    with pytest.raises(InputError, match=r"output is top float32\[1x5x1x1\]; give"):
        Classifier(ranks=(2,)).scores_of([Tensor("top", (1, 5, 1, 1), "float32")])


def test_options_are_another_cure() -> None:
    frontend = Classifier(options=["input", "output"])
    with pytest.raises(InputError, match=r"image alone, or set the option input to one of them$"):
        frontend.image_of([IMAGE, IMAGE])
    with pytest.raises(InputError, match=r"several outputs .*, or set the option output to one of them$"):
        frontend.scores_of([SCORES, SCORES])
    with pytest.raises(InputError, match=r"several outputs .*; export it with one of them$"):
        Classifier().scores_of([SCORES, SCORES])
