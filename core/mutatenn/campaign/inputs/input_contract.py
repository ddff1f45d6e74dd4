"""What a model takes and gives, and how its images are prepared: its input contract."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.campaign.inputs.preprocess import image_channels, image_shape, input_layout
from mutatenn.compiler import ir

if TYPE_CHECKING:
    from pathlib import Path

    from mutatenn.api.values import Model, TensorSpec
    from mutatenn.campaign.config.values import Channels, Layout, PreprocessSection, ScoreKind
    from mutatenn.campaign.inputs.models import ImportedModel

PRESET = "preprocess.json"
"""The file in which a frontend may leave, beside a model that it obtained, what [preprocess] should say."""

# The models of keras.applications by what their documentation wants of images; all others take 0 to 255.
SIGNED = {"mean": 127.5, "std": 127.5}
CAFFE = {"mean": [103.939, 116.779, 123.68], "std": 1.0, "channels": "BGR"}
TORCH = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
RAW = {"mean": 0.0, "std": 1.0}
KERAS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("MobileNet", "MobileNetV2", "InceptionV3", "InceptionResNetV2", "Xception"), SIGNED),
    **dict.fromkeys(("ResNet50V2", "ResNet101V2", "ResNet152V2", "NASNetMobile", "NASNetLarge"), SIGNED),
    **dict.fromkeys(("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"), CAFFE),
    **dict.fromkeys(("DenseNet121", "DenseNet169", "DenseNet201"), TORCH),
    **dict.fromkeys((f"EfficientNetB{size}" for size in range(8)), RAW),
    **dict.fromkeys((f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")), RAW),
    **dict.fromkeys((f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")), RAW),
    **dict.fromkeys(("MobileNetV3Small", "MobileNetV3Large"), RAW),
}
SHAPING = frozenset({"relax.reshape", "relax.squeeze", "relax.flatten", "relax.expand_dims"})


@attrs.frozen
class Contract:
    """A model's input contract.

    ``image`` is height, width and channels in pixels; ``scores`` is what its outputs look like, by its last
    layer; ``layers`` counts the operators of its graph; ``preprocess`` is how images are prepared for it.
    """

    frontend: str
    route: str
    routes: tuple[str, ...]
    input: TensorSpec
    output: TensorSpec
    layout: Layout
    image: tuple[int, int, int]
    channels: Channels
    scores: ScoreKind
    layers: dict[str, int]
    preprocess: PreprocessSection

    @property
    def classes(self) -> int:
        """How many classes it knows."""
        return self.output.shape[1]

    @property
    def operators(self) -> int:
        """How many operators its graph has."""
        return sum(self.layers.values())


def contract(imported: ImportedModel, section: PreprocessSection) -> Contract:
    """Return the contract of a model for images prepared like this; raises InputError if they do not fit."""
    frontend, model = imported.frontend, imported.model
    return Contract(
        frontend.name,
        imported.route,
        frontend.routes,
        model.input,
        model.output,
        input_layout(section, model.input),
        image_shape(section, model.input),
        image_channels(section, model.input),
        "probabilities" if _last_layer(model) == "relax.nn.softmax" else "logits",
        _layers(model),
        section,
    )


def preset(source: str | None, path: Path) -> dict[str, Any]:
    """Return what [preprocess] should say for a model of this source, as far as that is known."""
    if source is None:
        return {}
    try:
        found: dict[str, Any] = json.loads((path.parent / PRESET).read_text())
    except (OSError, ValueError):
        scheme, _, name = source.partition(":")
        return KERAS.get(name, {}) if scheme == "keras" else {}
    return found


def _layers(model: Model) -> dict[str, int]:
    found: Counter[str] = Counter()

    def visit(expression: Any) -> None:
        if isinstance(expression, ir.tvm.ir.Call):
            found[_operator(expression).removeprefix("relax.").removeprefix("nn.")] += 1

    ir.relax.analysis.post_order_visit(model.module["main"], visit)
    return dict(found.most_common())


def _operator(expression: Any) -> str:
    return str(getattr(getattr(expression, "op", None), "name", ""))


def _last_layer(model: Model) -> str:
    """Return the operator that the output comes from, whatever its shape was changed to; empty for none."""
    body = model.module["main"].body
    values = {bound.var: bound.value for block in getattr(body, "blocks", ()) for bound in block.bindings}
    found = getattr(body, "body", body)
    while found in values or _operator(found) in SHAPING:
        found = values[found] if found in values else found.args[0]
    return _operator(found)
