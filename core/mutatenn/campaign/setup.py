"""Everything a campaign needs before anything runs: configuration, model, images, toolchains."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import attrs

from mutatenn.campaign.dataset import open_dataset
from mutatenn.campaign.load import load_campaign
from mutatenn.campaign.options import create
from mutatenn.campaign.plan import Plan, groups, plan
from mutatenn.campaign.preprocess import load_images
from mutatenn.compiler.cache import kernel_cache
from mutatenn.compiler.toolchain import Toolchain, identify
from mutatenn.engine.isolate import call_isolated
from mutatenn.errors import BaselineError, BuildError, InfrastructureError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from mutatenn.api.backend import Backend
    from mutatenn.api.comparator import Comparator
    from mutatenn.api.frontend import Frontend
    from mutatenn.api.values import Model
    from mutatenn.campaign.config import Campaign, Environment, ModelSection, Oracles
    from mutatenn.campaign.dataset import Dataset
    from mutatenn.host import PluginHost


@attrs.frozen(eq=False)
class Setup:
    """A loaded campaign.

    ``images`` is ``[images, *model.input.shape[1:]]``; ``backends`` are by environment name, ``oracles`` by
    comparator name with the kill oracle ``kill`` first.
    """

    host: PluginHost
    campaign: Campaign
    frontend: Frontend
    model: Model
    dataset: Dataset
    images: NDArray[np.generic]
    kill: str
    oracles: dict[str, Comparator]
    backends: dict[str, Backend]

    @functools.cached_property
    def toolchains(self) -> dict[str, Toolchain]:
        """The model lowered for every environment, by its name.

        The first access lowers it, and raises BaselineError if the compiler rejects the original.
        """
        check = self.campaign.checks.bounds
        return {
            env.name: _toolchain(self.model, env, self.backends[env.name], check_bounds=check)
            for env in self.campaign.environments
        }

    @property
    def truth(self) -> list[int] | None:
        """The output index of every image's true class, or None."""
        if self.dataset.truth is None:
            return None
        return [label + self.campaign.model.label_offset for label in self.dataset.truth]

    def plans(self) -> dict[str, Plan]:
        """Plan every environment; raises InputError if no mutant comes of it."""
        plans = {name: self._plan(toolchain) for name, toolchain in self.toolchains.items()}
        if not any(each.mutants for each in plans.values()):
            raise InputError(_nothing_planned(plans))
        return plans

    def _plan(self, toolchain: Toolchain) -> Plan:
        planned = plan(toolchain, self.campaign.mutations, self.host.mutators(), self.campaign.seed)
        self.host.modify_plan(planned.mutants)
        return planned.recounted()


def set_up(path: str | Path, host: PluginHost) -> Setup:
    """Load a campaign file and all it names; raises InputError for whatever the user can mend."""
    campaign = load_campaign(path, catalogues(host))
    frontend = host.get("frontend", frontend_name(campaign.model, host))()
    backends = {env.name: _backend(env, host) for env in campaign.environments}
    oracles = _oracles(campaign.oracles, host)
    if campaign.gate.min_accuracy is not None and campaign.dataset.truth is None:
        raise InputError(f"{path}: gate.min_accuracy needs dataset.truth: give it, or leave min_accuracy out")
    dataset = open_dataset(campaign.dataset)
    model = frontend.load(campaign.model.path)
    images = load_images(dataset, campaign.preprocess, model.input)
    kill = campaign.oracles.kill.name
    return Setup(host, campaign, frontend, model, dataset, images, kill, oracles, backends)


def catalogues(host: PluginHost) -> dict[str, list[str]]:
    """Return the names a campaign file may use, by kind."""
    selectors = {name for cls in host.mutators().values() for name in groups(cls)}
    return {
        "mutators": list(host.mutators()),
        "groups": sorted(selectors - set(host.mutators())),
        "frontends": list(host.frontends()),
        "backends": list(host.backends()),
        "comparators": list(host.comparators()),
    }


def frontend_name(section: ModelSection, host: PluginHost) -> str:
    """Return the frontend that a campaign or the suffix asks for; raises InputError if there is none."""
    if section.frontend is not None:
        return section.frontend
    suffix = section.path.suffix.lower()
    able = [name for name, cls in host.frontends().items() if suffix in cls.suffixes]
    if len(able) == 1:
        return able[0]
    known = ", ".join(sorted(suffix for cls in host.frontends().values() for suffix in cls.suffixes))
    problem = (
        f"several frontends read {suffix} files" if able else f"no frontend reads {suffix!r} files ({known})"
    )
    raise InputError(
        f"{section.path}: {problem}; set model.frontend to one of {', '.join(able or host.frontends())}"
    )


def _backend(environment: Environment, host: PluginHost) -> Backend:
    return create(host.get("backend", environment.backend), environment.options)


def _oracles(section: Oracles, host: PluginHost) -> dict[str, Comparator]:
    """Return the oracles by name, the kill oracle first; naming it again in ``also`` adds nothing."""
    specs = (section.kill, *(spec for spec in section.also if spec != section.kill))
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"oracle {name!r} is given twice with different options; keep one of them")
    return {spec.name: create(host.get("comparator", spec.name), spec.options) for spec in specs}


def _toolchain(model: Model, environment: Environment, backend: Backend, *, check_bounds: bool) -> Toolchain:
    def make() -> Toolchain:
        return Toolchain(model, backend, environment.profile, check_bounds)

    def probe() -> None:
        make()

    cache, key = kernel_cache(), identify(model, backend, environment.profile)
    try:
        if not (cache and key and cache.recall(key)):
            call_isolated(probe)  # a compiler that crashes on the original must not take the campaign along
        if cache and key:
            cache.remember(key, "lowered", "before")
        return make()
    except (BuildError, InfrastructureError) as error:
        raise BaselineError(
            f"environment {environment.name!r}: the compiler cannot lower the original ({error}); "
            "try another profile"
        ) from error


def _nothing_planned(plans: dict[str, Plan]) -> str:
    operators = {entry.operator: entry.sites for each in plans.values() for entry in each.operators}
    if not operators:
        return 'the campaign asks for no mutations: add a [[mutations]] table, for example operator = "all"'
    without = [name for name, sites in operators.items() if not sites]
    return (
        f"no mutants to run: {', '.join(without) or 'the chosen sites'} found no site in this model; "
        'choose other operators (`mutatenn plan` counts the sites of each, with operator = "all")'
    )
