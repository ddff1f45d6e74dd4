"""What an image classifier is: it takes one image of a fixed size, and returns one score for each class.

A model of two classes may return the score of one of them alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from mutatenn import InputError, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGE_RANK = 4


@attrs.frozen
class Tensor:
    """An input or output as a model's file tells of it; without a ``dtype``, one that is no tensor.

    A size that is not fixed is None, or has a name.
    """

    name: str
    shape: Sequence[int | str | None] = ()
    dtype: str = ""

    def __str__(self) -> str:
        sizes = "x".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.dtype}[{sizes}]" if self.dtype else self.name


@attrs.frozen(kw_only=True)
class Classifier:
    """What a frontend can import: the dtypes of image and scores, and how many dimensions scores may have.

    ``options``: the frontend's options ``input`` and ``output``, as far as it has them, which name a tensor.
    ``open_size``: the frontend has the option ``size``, which a campaign sets to its crop.
    """

    images: Sequence[str] = ("float32",)
    scores: Sequence[str] = ("float32",)
    ranks: Sequence[int] = (2, 4)
    options: Sequence[str] = ()
    open_size: bool = False

    def image_of(self, inputs: Sequence[Tensor], size: Sequence[int] = ()) -> TensorSpec:
        """Return the one image among a model's inputs, with batch 1; raises InputError.

        ``size`` is the (height, width) in pixels of one that leaves them open.
        """
        if len(inputs) != 1:
            raise InputError(
                f"must have one input, the image, but has {_listed(inputs)}; export it with the image alone"
                + self._or_set("input")
            )
        (image,) = inputs
        if size:
            image = _sized(image, size)
        if len(image.shape) != IMAGE_RANK or image.dtype not in self.images:
            raise InputError(
                f"is not an image classifier: its input is {image}; give a model of images, [batch, "
                f"channels, height, width] or [batch, height, width, channels] of {' or '.join(self.images)}"
            )
        batch, *sizes = image.shape
        fixed = [size for size in sizes if isinstance(size, int) and size > 0]
        if len(fixed) < len(sizes):
            crop = "set preprocess.crop to its height and width, or " if self.open_size else ""
            raise InputError(f"its image has no fixed size: {image}; {crop}export it with a fixed size")
        if isinstance(batch, int) and batch != 1:
            raise InputError(f"takes several images at once: {image}; export it with a batch of 1")
        return TensorSpec(image.name, (1, *fixed), image.dtype)

    def scores_of(self, outputs: Sequence[Tensor], wanted: str = "") -> tuple[int, TensorSpec]:
        """Return the place of the one output that can be scores, and them as float32 ``[1, classes]``.

        One score alone is taken where there is no output of several. With ``wanted`` it is the output of that
        name. Raises InputError.
        """
        listed = _listed(outputs)
        if wanted:
            place = next((place for place, each in enumerate(outputs) if each.name == wanted), None)
            if place is None:
                names = ", ".join(each.name for each in outputs)
                raise InputError(f"has no output {wanted!r}; set model.options.output to one of {names}")
            _, spec = self.scores_of(outputs[place : place + 1])
            return place, spec
        counts = [*map(self._classes, outputs)]
        several = [(place, count) for place, count in enumerate(counts) if count > 1]
        found = several or [(place, count) for place, count in enumerate(counts) if count]
        if len(found) == 1:
            ((place, classes),) = found
            return place, TensorSpec(outputs[place].name, (1, classes))
        if found:
            raise InputError(
                f"has several outputs that could be scores: {listed}; export it with one of them"
                + self._or_set("output")
            )
        raise InputError(
            f"is not an image classifier: its output is {listed}; give a model that returns one score for "
            f"each class, [batch, classes] of {' or '.join(self.scores)}"
        )

    def _classes(self, output: Tensor) -> int:
        """Return how many there are in [1, classes], or [1, classes, 1, 1] in any order; 0 in all else.

        One score may have any number of dimensions.
        """
        if output.dtype not in self.scores or not output.shape or output.shape[0] not in (1, None):
            return 0
        several = [size for size in output.shape[1:] if size != 1]
        if not several:
            return 1
        classes = several[0] if len(several) == 1 and len(output.shape) in self.ranks else 0
        return max(classes, 0) if isinstance(classes, int) else 0

    def _or_set(self, option: str) -> str:
        return f", or set the option {option} to one of them" if option in self.options else ""


def _sized(image: Tensor, size: Sequence[int]) -> Tensor:
    """Return an image with numbers for height and width where it leaves them open."""
    if len(image.shape) != IMAGE_RANK:
        return image
    last = isinstance(image.shape[3], int) and not isinstance(image.shape[1], int)
    shape = list(image.shape)
    for place, pixels in zip((1, 2) if last else (2, 3), size, strict=True):
        shape[place] = shape[place] if isinstance(shape[place], int) else pixels
    return attrs.evolve(image, shape=shape)


def size_option() -> tuple[int, ...]:
    """Return the field of the option ``size``, the crop of a campaign: height and width in pixels."""

    def check(_: object, attribute: attrs.Attribute[tuple[int, ...]], value: tuple[int, ...]) -> None:
        pair = value or (1, 1)
        if [*map(type, pair)] != [int, int] or min(pair) < 1:
            raise ValueError(f"{attribute.name} is [height, width], in pixels")

    field: tuple[int, ...] = attrs.field(default=(), metadata={"crop": True}, validator=check)
    return field


def _listed(tensors: Sequence[Tensor]) -> str:
    return ", ".join(map(str, tensors)) or "none"
