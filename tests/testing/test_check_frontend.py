"""A frontend that breaks a promise fails the check of frontends, which names the promise."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

import mutatenn
from mutatenn import Frontend, InputError, Model
from mutatenn.testing import check_frontend
from mutatenn_frontends.onnx import Onnx

DIGITS = Path(mutatenn.__file__).parent / "data" / "digits.onnx"
IMAGES = np.random.default_rng(1).uniform(-1, 1, (3, 1, 8, 8)).astype(np.float32)
COUNT = itertools.count()


class Moody(Onnx):
    """Gives a model another name each time."""

    def load(self, source: Path) -> Model:
        return attrs.evolve(super().load(source), name=f"{next(COUNT)}")


class Trusting(Onnx):
    """Does not look whether a model has changed."""

    def reference(self, model: Model, images: NDArray[np.generic]) -> Any:
        return super().reference(Onnx().load(model.source), images)


class Placed(Trusting):
    """Takes where a model is for what it is."""

    def load(self, source: Path) -> Model:
        found = super().load(source)
        return attrs.evolve(found, digest=f"{hash(source) % 2**60:064x}")


class Constant(Trusting):
    """Takes all models for the same."""

    def load(self, source: Path) -> Model:
        return attrs.evolve(super().load(source), digest="0" * 64)


class Numbered(Onnx):
    """Counts models."""

    def load(self, source: Path) -> Model:
        return attrs.evolve(super().load(source), digest="1")


class Misread(Onnx):
    """Says that the output is wider than it is."""

    def load(self, source: Path) -> Model:
        found = super().load(source)
        return attrs.evolve(found, output=attrs.evolve(found.output, shape=(1, 11)))


class Blind(Onnx):
    """Takes the suffix for another one's."""

    suffixes = (".onyx",)


class Patient(Onnx):
    """Waits for a file that is missing."""

    def load(self, source: Path) -> Model:
        return super().load(source if source.exists() else DIGITS)


class Raises(Onnx):
    """Lets the errors of others out."""

    def load(self, source: Path) -> Model:
        try:
            return super().load(source)
        except InputError as error:
            raise ValueError(str(error)) from error


class Wordy(Onnx):
    """Says at length what is wrong."""

    def load(self, source: Path) -> Model:
        try:
            return super().load(source)
        except InputError as error:
            raise InputError(f"{error}\nsee the manual") from error


class Vague(Onnx):
    """Does not say which file is wrong."""

    def load(self, source: Path) -> Model:
        try:
            return super().load(source)
        except InputError:
            raise InputError("something is wrong; mend it") from None


class Double(Onnx):
    """Computes in float64."""

    def reference(self, model: Model, images: NDArray[np.generic]) -> Any:
        return super().reference(model, images)[:, :9].astype(np.float64)


class Normalises(Onnx):
    """Computes with the mean of all images."""

    def reference(self, model: Model, images: NDArray[Any]) -> Any:
        return super().reference(model, images - images.mean() if len(images) else images)


class Sorts(Onnx):
    """Gives the scores in an order of their own."""

    def reference(self, model: Model, images: NDArray[Any]) -> Any:
        found = super().reference(model, images)
        return found[np.argsort(found[:, 0])]


class Upside(Onnx):
    """Turns images round."""

    def reference(self, model: Model, images: NDArray[Any]) -> Any:
        return super().reference(model, images[:, :, ::-1])


class Infinite(Onnx):
    """Divides by nothing."""

    def reference(self, model: Model, images: NDArray[Any]) -> Any:
        return super().reference(model, images) + np.float32(np.inf)


class Saturated(Onnx):
    """Gives labels for scores."""

    def reference(self, model: Model, images: NDArray[Any]) -> Any:
        return np.round(super().reference(model, images))


class Empty(Onnx):
    """Cannot do without images."""

    def reference(self, model: Model, images: NDArray[Any]) -> Any:
        assert len(images)
        return super().reference(model, images)


class Routed(Onnx):
    """Has ways without a field for them."""

    routes = ("straight", "round")


class Promises(Onnx):
    """Has a scheme, and nothing behind it."""

    schemes = ("zoo",)


class Generous(Promises):
    """Has any model there is."""

    def obtain(self, scheme: str, name: str, folder: Path) -> Path:
        return DIGITS


@pytest.mark.parametrize(
    ("cls", "promise"),
    [
        (Moody, "onnx loads digits.onnx, and always the same; .*its name is the same"),
        (Placed, "gives a copy elsewhere the same digest"),
        (Constant, "refuses digits.onnx with another byte in it .*; .*it has the same digest"),
        (Numbered, "its digest is sha256 in hex, not '1'"),
        (Misread, "PluginError: .*load returned a model whose main does not go from"),
        (Blind, "onnx reads digits.onnx"),
        (Patient, "refuses a file that is missing; .*it is loaded"),
        (Raises, "refuses a file that is missing; PluginError: .*ValueError"),
        (Wordy, "a refusal is one line"),
        (Vague, "what is refused is named"),
        (Double, r"runs digits.onnx in its framework; PluginError: .*a float32 array \[0, 10\]"),
        (Normalises, "an image's scores do not depend on others"),
        (Sorts, "an image's scores do not depend on its place"),
        (Upside, "the compiled model agrees with the reference; .*differ from the reference runtime's"),
        (Infinite, "scores are finite"),
        (Saturated, "the images have scores that can differ"),
        (Empty, "AssertionError"),
        (Routed, "a field route, with one of its routes as the default"),
        (Promises, "defines obtain if it has schemes"),
        (Generous, "refuses zoo:no/such model; .*it returns"),
        (Frontend, "does not define load, reference"),
    ],
)
def test_a_frontend_that_breaks_a_promise(cls: type[Frontend], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_frontend(cls, DIGITS, IMAGES)


def test_one_image_will_do() -> None:
    assert check_frontend(Onnx, DIGITS, IMAGES[0]).shape == (1, 10)
