"""Options that are paths: the fields of a capability with the metadata ``path``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.campaign.config.resources import resolve_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mutatenn.api.capability import Capability


def path_options(cls: type[Capability]) -> dict[str, Any]:
    """Return the options that are paths, with their defaults: the fields with the metadata ``path``, True."""
    fields = attrs.fields(cls) if attrs.has(cls) else ()
    return {field.name: field.default for field in fields if field.metadata.get("path")}


def with_absolute_paths(cls: type[Capability], options: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return the options with those that are paths absolute; they start at ``base``.

    One that is not given but has a default is added. Bundled files and ``~`` are found as everywhere in a
    campaign file.
    """
    given = {name: options.get(name, default) for name, default in path_options(cls).items()}
    absolute = {name: str(resolve_path(text, base)) for name, text in given.items() if isinstance(text, str)}
    return {**options, **absolute}
