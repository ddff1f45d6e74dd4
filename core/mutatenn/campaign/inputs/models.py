"""The models of a campaign: found, or obtained from their source, and imported once per route."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.border import calling, is_built_in, named
from mutatenn.campaign.inputs import foreign
from mutatenn.campaign.inputs.download import file_name
from mutatenn.campaign.inputs.model_sources import obtain
from mutatenn.campaign.inputs.option_paths import with_absolute_paths
from mutatenn.campaign.promises import TRIED_BYTES, TRIED_SECONDS, load_model
from mutatenn.compiler.cache import kernel_cache, text_digest
from mutatenn.engine.probe import probe
from mutatenn.errors import InputError
from mutatenn.host.options import create
from mutatenn.nearest import unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mutatenn.api.frontend import Frontend
    from mutatenn.api.values import Model
    from mutatenn.campaign.config.values import Environment, ModelSection
    from mutatenn.host.plugin_host import PluginHost


COPIES = 12
"""So many times its size on disk a model may take in memory while it is imported."""


@attrs.frozen(eq=False)
class ImportedModel:
    """A model as one environment has it, and the frontend that imported it."""

    frontend: Frontend
    model: Model

    @property
    def route(self) -> str:
        """The way it was imported; empty where its frontend knows only one."""
        return str(getattr(self.frontend, "route", ""))


def settled(section: ModelSection, base: Path, host: PluginHost) -> ModelSection:
    """Return the section with the paths among its frontend's options absolute; they start at ``base``.

    Raises InputError if no frontend fits, or several do.
    """
    cls = host.get("frontend", frontend_name(section, host))
    return attrs.evolve(section, options=with_absolute_paths(cls, section.options, base))


def import_models(
    section: ModelSection,
    environments: Sequence[Environment],
    host: PluginHost,
    crop: tuple[int, int] | None = None,
    failures: dict[str, str] | None = None,
) -> dict[str, ImportedModel]:
    """Return a settled section's model by environment, imported once per route.

    Options with the metadata ``crop`` are by default that, (height, width) in pixels.
    Raises InputError for a model that cannot be had or imported, for a route that does not exist, and where
    two environments' models do not take and give the same. Where an environment may fail, what its route
    cannot import goes into ``failures``, by its name.
    """
    cls = host.get("frontend", frontend_name(section, host))
    options = {**_crops(cls, crop), **section.options}
    frontends = {env.name: _frontend(cls, options, env) for env in environments}
    path = obtain(section, next(iter(frontends.values())))
    models: dict[str, Model | InputError] = {}
    found: dict[str, ImportedModel] = {}
    for environment in environments:
        frontend = frontends[environment.name]
        route = str(getattr(frontend, "route", ""))
        if route not in models:
            models[route] = _attempt(frontend, path, section)
        model = models[route]
        if not isinstance(model, InputError):
            found[environment.name] = ImportedModel(frontend, model)
        elif failures is None or not environment.may_fail:
            raise model
        else:
            failures[environment.name] = f"the model cannot be imported: {model}"
    if found:
        _check_alike(found)
    return found


def _attempt(frontend: Frontend, path: Path, section: ModelSection) -> Model | InputError:
    try:
        return _load(frontend, path, section)
    except InputError as error:
        return error


def _load(frontend: Frontend, path: Path, section: ModelSection) -> Model:
    try:
        _try(frontend, path)
        return load_model(frontend, path, section.scores, section.threshold)
    except InputError as error:
        if section.downloaded:  # an error page, maybe
            raise InputError(f"{error} (delete the file to download it again)") from error.__cause__
        raise


def _try(frontend: Frontend, path: Path) -> None:
    """Import a model in a process of its own, which it may crash or fill, unless that went well before.

    What is not built in is tried every time. Raises InputError, and what the frontend raises.
    """
    cache = kernel_cache() if is_built_in(type(frontend)) else None
    key = text_digest(f"{frontend!r} {path} {_state(path)}")
    if cache and cache.recall(key):
        return
    memory = TRIED_BYTES + COPIES * sum(size for _, size in _state(path))
    if ending := probe(lambda: load_model(frontend, path), TRIED_SECONDS, memory):
        raise InputError(f"{path}: {named(frontend)} {ending} when it imported it; export it again")
    if cache:
        cache.remember(key, "imported", "before")


def _state(path: Path) -> list[tuple[int, int]]:
    """Return time of change and size of a file, or of all in a folder."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [(about.st_mtime_ns, about.st_size) for about in map(os.stat, filter(os.path.isfile, files))]


def _crops(cls: type[Frontend], crop: tuple[int, int] | None) -> dict[str, Any]:
    fields = attrs.fields(cls) if crop and attrs.has(cls) else ()
    return {field.name: crop for field in fields if field.metadata.get("crop")}


def _frontend(cls: type[Frontend], options: Mapping[str, Any], environment: Environment) -> Frontend:
    if environment.route is None:
        if cls.routes:
            _check_route(cls, options.get("route"), "model.options.route")
        return create(cls, options)
    _check_route(cls, environment.route, f"environment {environment.name!r}")
    return create(cls, {**options, "route": environment.route})


def _check_route(cls: type[Frontend], route: object, where: str) -> None:
    if route is None or route in cls.routes:
        return
    if not cls.routes:
        raise InputError(f"{where}: frontend {cls.name} knows one route only; leave route out")
    raise InputError(f"{where}: {unknown_name('route', str(route), cls.routes)}")


def check_classes(found: Mapping[str, ImportedModel]) -> None:
    """Raise InputError unless all environments' models have as many classes."""
    (first, one), *others = found.items()
    for name, other in others:
        if one.model.output.shape[1] != other.model.output.shape[1]:
            raise InputError(
                f"the models of environments {first!r} and {name!r} do not have the same classes: "
                f"{one.model.output.shape[1]} and {other.model.output.shape[1]}; compare models for one task"
            )


def _check_alike(found: Mapping[str, ImportedModel]) -> None:
    """Raise InputError unless every environment can be fed the same images and compared with the others."""
    (first, one), *others = found.items()
    for name, other in others:
        if _contract(one.model) != _contract(other.model):
            raise InputError(
                f"environments {first!r} and {name!r} import different models: {_contract(one.model)} and "
                f"{_contract(other.model)}; choose routes that agree"
            )


def _contract(model: Model) -> str:
    shape = "x".join(map(str, model.input.shape))
    return f"{model.input.dtype}[{shape}] to {model.output.shape[1]} classes"


def frontend_name(section: ModelSection, host: PluginHost) -> str:
    """Return the frontend that a campaign, its model's path or its source asks for.

    Raises InputError if there is none, or several.
    """
    if section.frontend is not None:
        return section.frontend
    able, kind = _able(section, host)
    if len(able) == 1:
        return able[0]
    place = section.path or section.source
    if not able and (what := foreign.told(section.path or Path(file_name(str(place))))):
        raise InputError(f"{place} is {what}")
    if able:
        problem = f"several frontends know {kind}"
    else:
        known = ", ".join(sorted({suffix for cls in host.frontends().values() for suffix in cls.suffixes}))
        problem = f"no frontend knows {kind} ({known})"
    names = ", ".join(able or host.frontends())
    raise InputError(f"{place}: {problem}; set model.frontend to one of {names}")


def _reads(cls: type[Frontend], path: Path) -> bool:
    with calling(cls, "reads"):
        return bool(cls.reads(path))


def _able(section: ModelSection, host: PluginHost) -> tuple[list[str], str]:
    """Return the frontends that may import a model, and what kind of model that is."""
    frontends = host.frontends()
    if section.path is not None:
        able = [name for name, cls in frontends.items() if _reads(cls, section.path)]
        return able, "folders of this kind" if section.path.is_dir() else _files(section.path.suffix)
    scheme, name = section.scheme, str(section.source).partition(":")[2]
    if not section.downloaded:
        return [name for name, cls in frontends.items() if scheme in cls.schemes], f"the scheme {scheme!r}"
    suffix = Path(file_name(name)).suffix.lower()
    return [name for name, cls in frontends.items() if suffix in cls.suffixes], _files(suffix)


def _files(suffix: str) -> str:
    return f"{suffix!r} files" if suffix else "files without a suffix"
