"""What a model takes and gives, and how its images are prepared: its input contract."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.campaign.inputs.preprocess import image_channels, image_shape, input_layout
from mutatenn.campaign.one_score import TwoScores
from mutatenn.compiler.outline import last_operator, operators

if TYPE_CHECKING:
    from pathlib import Path

    from mutatenn.api.values import Model, TensorSpec
    from mutatenn.campaign.config.values import Channels, Layout, PreprocessSection, ScoreKind
    from mutatenn.campaign.inputs.models import ImportedModel

PRESET = "preprocess.json"
"""The file in which a frontend may leave, beside a model that it obtained, what [preprocess] should say."""


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
    mean, std = section.scaling
    return Contract(
        frontend.name,
        imported.route,
        frontend.routes,
        model.input,
        model.output,
        input_layout(section, model.input),
        image_shape(section, model.input),
        image_channels(section, model.input),
        "probabilities" if _is_of_probabilities(model) else "logits",
        operators(model.module["main"]),
        attrs.evolve(section, mean=mean, std=std),
    )


def _is_of_probabilities(model: Model) -> bool:
    if isinstance(model, TwoScores):
        return model.probability
    return last_operator(model.module["main"]) == "relax.nn.softmax"


def preset(source: str | None, path: Path) -> dict[str, Any]:
    """Return what [preprocess] should say for a model of this source, as far as its frontend left word."""
    if source is None:
        return {}
    try:
        found: dict[str, Any] = json.loads((path.parent / PRESET).read_text())
    except (OSError, ValueError):
        return {}
    return found
