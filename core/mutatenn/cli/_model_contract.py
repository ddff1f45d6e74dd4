"""``mutatenn doctor --model``: what a model takes and gives, and how its images will be prepared."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.cli._text import columns
from mutatenn.errors import InputError
from mutatenn.nearest import missing

if TYPE_CHECKING:
    from mutatenn.campaign.config.values import ModelSection, PreprocessSection
    from mutatenn.campaign.inputs.input_contract import Contract
    from mutatenn.host.plugin_host import PluginHost


def show_contract(name: str, host: PluginHost, *, as_json: bool) -> None:
    """Print the contract of a model: a path, a source ``scheme:name``, or the model of a campaign file.

    Raises InputError if it cannot be imported, or images cannot be prepared for it as the campaign says.
    """
    found = _contracts(name, host)
    if as_json:
        print(json.dumps([_plain(each) for each in found], indent=2))
    else:
        print("\n\n".join(columns(_rows(each), whole=True) for each in found))


def section_of(name: str, base: Path, host: PluginHost) -> ModelSection:
    """Return the model section for a path or a source, as a user types it; raises InputError.

    Paths among the options' defaults start at ``base``.
    """
    from mutatenn.campaign.config.resources import resolve_path
    from mutatenn.campaign.config.values import ModelSection
    from mutatenn.campaign.execution.setup import catalogues
    from mutatenn.campaign.inputs.models import settled

    scheme, colon, _ = name.partition(":")
    if colon and scheme in catalogues(host)["schemes"] and not os.path.exists(name):
        return settled(ModelSection(source=name), base, host)
    path = resolve_path(name, Path.cwd())
    if not os.path.exists(path):
        raise InputError(missing(path))
    return settled(ModelSection(path), base, host)


def _contracts(name: str, host: PluginHost) -> list[Contract]:
    """Return one contract per route of a campaign, or the only one of a model."""
    from mutatenn.campaign.config.load import load_campaign
    from mutatenn.campaign.config.sections import preprocess_section
    from mutatenn.campaign.config.values import Environment
    from mutatenn.campaign.execution.setup import catalogues
    from mutatenn.campaign.inputs.input_contract import contract, preset
    from mutatenn.campaign.inputs.models import import_models, settled

    if Path(name).suffix == ".toml":
        campaign = load_campaign(name, catalogues(host))
        base = Path(os.path.abspath(name)).parent
        model, crop = settled(campaign.model, base, host), campaign.preprocess.crop
        imported = import_models(model, campaign.environments, host, crop)
        per_route = {each.route: each for each in imported.values()}
        return [contract(each, campaign.preprocess) for each in per_route.values()]
    section = section_of(name, Path.cwd(), host)
    (only,) = import_models(section, [Environment("model")], host).values()
    return [contract(only, preprocess_section(preset(section.source, only.model.source)))]


def _rows(found: Contract) -> list[tuple[str, str]]:
    height, width, _ = found.image
    shape = "x".join(map(str, found.input.shape))
    kind = "they end with softmax" if found.scores == "probabilities" else "no softmax at the end"
    norms, convolutions = (found.layers.get(name, 0) for name in ("batch_norm", "conv2d"))
    routes = ", ".join(found.routes) or "one only"
    return [
        ("frontend", found.frontend),
        ("route", f"{found.route} (known: {routes})" if found.route else routes),
        ("input", f"{found.input.name}: {found.input.dtype}[{shape}], {found.layout}"),
        ("image", f"{height} pixels high, {width} wide, {found.channels}"),
        ("output", f"{found.output.name}: {found.classes} classes"),
        ("scores", f"{found.scores}, it seems: {kind}"),
        (
            "operators",
            f"{found.operators}, of them {convolutions} convolutions and {norms} batch normalisations",
        ),
        *_preparation(found),
    ]


def _preparation(found: Contract) -> list[tuple[str, str]]:
    section, (height, width, _) = found.preprocess, found.image
    mean, std = map(_numbers, section.scaling)
    values = "0 to 255" if section.scaling == (0.0, 1.0) else f"(0 to 255 - {mean}) / {std}"
    return [
        ("resize", _scaling(section, height, width)),
        ("crop", f"{height} high, {width} wide, from the centre"),
        ("pixels", values),
    ]


def _scaling(section: PreprocessSection, height: int, width: int) -> str:
    """Return in words how an image is scaled."""
    unknown = section.resize is None and section.fit is None
    if unknown and section.crop is not None:
        return "as the file is"
    box = section.resize if isinstance(section.resize, tuple) else (section.resize or 0,) * 2
    high, wide = box if section.resize else (height, width)
    how = {
        "shorter-side": f"shorter side to {max(high, wide)} pixels",
        "stretch": f"stretched to {high} high, {wide} wide",
        "pad": f"into {high} high, {wide} wide, the rest {section.fill}",
    }
    fit = section.fit or ("stretch" if isinstance(section.resize, tuple) else "shorter-side")
    means = section.resample if section.antialias else "bilinear, as OpenCV"
    middle = f"the central {section.central_fraction:g} of each side; " if section.central_fraction else ""
    return f"{middle}{how[fit]} ({means})" + (", unless of this size" if unknown else "")


def _numbers(value: float | tuple[float, ...]) -> str:
    return str(list(value)) if isinstance(value, tuple) else f"{value:g}"


def _plain(found: Contract) -> dict[str, Any]:
    return {**attrs.asdict(found), "classes": found.classes}
