"""Models that a campaign names by their source: where they are kept, and who fetches or makes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from mutatenn.border import broken, calling
from mutatenn.campaign.inputs.download import download
from mutatenn.campaign.inputs.option_paths import path_options
from mutatenn.compiler.cache import cache_folder
from mutatenn.errors import InputError, PluginError
from mutatenn.private import distrust, make_private_folder

if TYPE_CHECKING:
    from mutatenn.api.frontend import Frontend
    from mutatenn.campaign.config.values import ModelSection


def obtain(section: ModelSection, frontend: Frontend) -> Path:
    """Return where the model is: its path, or what its source comes to, in a cache folder of its own.

    Raises InputError for a source that cannot be had.
    """
    if section.path is not None:
        return section.path
    scheme, name = section.scheme, str(section.source).partition(":")[2]
    if section.downloaded:
        return download(name, _folder(scheme, name), section.sha256)
    if scheme not in frontend.schemes:
        known = ", ".join(frontend.schemes) or "none"
        raise InputError(f"{section.source}: frontend {frontend.name} does not know this scheme ({known})")
    others = {"route", *path_options(type(frontend))}  # these do not tell what a source is
    options = {key: value for key, value in section.options.items() if key not in others}
    folder = _folder(scheme, json.dumps([name, options], sort_keys=True))
    with calling(frontend, "obtain"):
        path = frontend.obtain(scheme, name, folder)
    if not isinstance(path, Path):
        raise broken(frontend, "obtain", "a path", path)
    if not path.exists():
        raise PluginError(
            f"frontend {frontend.name} says that {section.source} is {path}, which is not there"
        )
    return path


def _folder(scheme: str, what: str) -> Path:
    """Return the folder of one source, made if needed."""
    folder = cache_folder("models") / f"{scheme}-{hashlib.sha256(what.encode()).hexdigest()[:16]}"
    try:
        make_private_folder(folder)
    except OSError as error:
        raise InputError(
            f"there is no folder {folder} ({error.strerror}); set XDG_CACHE_HOME to another"
        ) from None
    if why := distrust(folder.parent) or distrust(folder):
        raise InputError(
            f"models are not kept in {folder}: {why}; set XDG_CACHE_HOME to a folder of your own"
        )
    return folder
