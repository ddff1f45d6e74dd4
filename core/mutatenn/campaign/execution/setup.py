"""Everything a campaign needs before anything runs: configuration, model, images, toolchains."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn.api.values import Scores
from mutatenn.campaign.config.load import load_campaign
from mutatenn.campaign.config.values import REFERENCE, URL
from mutatenn.campaign.inputs import foreign
from mutatenn.campaign.inputs.dataset import open_dataset
from mutatenn.campaign.inputs.load import load_images
from mutatenn.campaign.inputs.models import check_classes, import_models, settled
from mutatenn.campaign.inputs.prepared import SUFFIXES
from mutatenn.campaign.oracles import open_oracles
from mutatenn.campaign.planning.plan import Plan, groups, plan
from mutatenn.campaign.promises import run_reference, try_oracles
from mutatenn.compiler.cache import kernel_cache
from mutatenn.compiler.toolchain import Toolchain, identify
from mutatenn.engine.isolate import call_isolated
from mutatenn.errors import BaselineError, BuildError, InfrastructureError, InputError
from mutatenn.host.options import create
from mutatenn.printable import counted, one_line
from mutatenn.results.judge import bounded
from mutatenn.results.oracles import own_measure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mutatenn.api.backend import Backend
    from mutatenn.api.comparator import Comparator
    from mutatenn.api.executor import Executor
    from mutatenn.api.values import Bounds, Model
    from mutatenn.campaign.config.values import Campaign, Environment, ModelSection, ScoreKind
    from mutatenn.campaign.inputs.dataset import Dataset
    from mutatenn.campaign.inputs.models import ImportedModel
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.judge import Judge
    from mutatenn.results.run import Run


@attrs.frozen(eq=False)
class Setup:
    """A loaded campaign.

    ``path`` is its file; ``imported`` is the model by environment name, without those that may fail and
    whose model could not be had; ``inputs`` are the images as each takes them, ``[images,
    *model.input.shape[1:]]``; ``backends`` are those of environments that are not a model's own framework,
    ``oracles`` are by comparator name with the kill oracle ``kill`` first.
    """

    host: PluginHost
    path: Path
    campaign: Campaign
    imported: dict[str, ImportedModel]
    dataset: Dataset
    inputs: dict[str, NDArray[np.generic]]
    kill: str
    oracles: dict[str, Comparator]
    backends: dict[str, Backend]
    failures: dict[str, str] = attrs.field(factory=dict)
    """Why the original cannot be had in environments that may fail, by name; filled as that shows."""

    @property
    def model(self) -> Model:
        """The model of the first environment."""
        return next(iter(self.imported.values())).model

    @property
    def image_count(self) -> int:
        """How many images there are."""
        return len(self.dataset.names)

    def environment(self, name: str) -> Environment:
        """Return an environment by its name."""
        return next(each for each in self.campaign.environments if each.name == name)

    def yardstick(self, environment: str) -> str:
        """Return the first environment of the same form of the model, whose framework is the yardstick."""
        wanted = self.environment(environment).model
        return next(name for name in self.imported if self.environment(name).model == wanted)

    @property
    def source(self) -> str | None:
        """The first environment that has the model itself, none of its variants."""
        return next((name for name in self.imported if self.environment(name).model is None), None)

    def run_framework(
        self, environment: str, images: NDArray[np.generic] | None = None
    ) -> NDArray[np.float32]:
        """Run the yardstick of an environment on its images, or others; raises as :func:`run_reference`."""
        name = self.yardstick(environment)
        imported, given = self.imported[name], self.inputs[name] if images is None else images
        return run_reference(imported.frontend, imported.model, given)

    @property
    def takes_raw_pixels(self) -> bool:
        """Whether the campaign leaves open what becomes of pixel values, which most models want scaled."""
        section, suffixes = self.campaign.preprocess, {path.suffix.lower() for path in self.dataset.paths}
        unset = section.mean is None and section.std is None
        return unset and np.dtype(self.model.input.dtype).kind == "f" and not suffixes <= {*SUFFIXES}

    @functools.cached_property
    def toolchains(self) -> dict[str, Toolchain]:
        """The model lowered for every environment that compiles it, by its name.

        The first access lowers it, and raises BaselineError if the compiler rejects the original; where that
        may be, there is none, and :attr:`failures` tells why.
        """
        check, found = self.campaign.checks.bounds, {}
        for env in self.campaign.environments:
            if env.name in self.backends and env.name in self.imported:
                self.tell(f"lowering the model for {env.name}")
                model, backend = self.imported[env.name].model, self.backends[env.name]
                try:
                    found[env.name] = _toolchain(model, env, backend, bounds=check)
                except BaselineError as error:
                    if not env.may_fail:
                        raise
                    self.failures[env.name] = f"the compiler cannot lower it: {error.__cause__}"
        return found

    def may_fail(self, environment: str) -> bool:
        """Tell whether the original may fail in an environment."""
        return self.environment(environment).may_fail

    def tell(self, stage: str) -> None:
        """Tell the listeners what begins."""
        self.host.emit("mutatenn_stage_started", stage=stage)

    @property
    def truth(self) -> list[int] | None:
        """The output index of every image's true class, or None."""
        if self.dataset.truth is None:
            return None
        return [label + self.campaign.model.label_offset for label in self.dataset.truth]

    def executor(self, environment: str) -> Executor:
        """Return the executor of an environment: the campaign's, or the one that suits its backend.

        Raises InputError for options that it does not take.
        """
        return _executor(self.campaign, self.backends[environment], self.host)

    def judge(self, run: Run, environment: str) -> Judge:
        """Return the judge of an environment whose original has run.

        Raises PluginError for an oracle that cannot cope with the original's outputs, or notices them.
        """
        try_oracles(self.oracles.values(), bounded(run.original_scores(environment)))
        return run.judge(environment, self.kill, self.oracles)

    def plans(self) -> dict[str, Plan]:
        """Plan every environment that compiles; raises InputError if no mutant comes of it.

        Several environments may do without mutations: their originals are compared.
        """
        toolchains = self.toolchains
        self.tell("planning mutants")
        plans = {name: self._plan(name, toolchain) for name, toolchain in toolchains.items()}
        differential = len(self.campaign.environments) > 1 and not self.campaign.mutations
        if not (differential or any(each.mutants for each in plans.values())):
            raise InputError(_nothing_planned(plans))
        return plans

    def _plan(self, environment: str, toolchain: Toolchain) -> Plan:
        planned = plan(toolchain, self.campaign.mutations, self.host.mutators(), self.campaign.seed)
        before = {mutant.id: place for place, mutant in enumerate(planned.mutants)}
        self.host.modify_plan(planned.mutants, environment)
        places = [before[mutant.id] for mutant in planned.mutants]
        planned.reordered = places != sorted(places)
        return planned.recounted()


def set_up(path: str | Path, host: PluginHost) -> Setup:
    """Load a campaign file and all it names; raises InputError for whatever the user can mend."""
    return prepare(read(path, host), path, host)


def read(path: str | Path, host: PluginHost) -> Campaign:
    """Return what a campaign file says; raises InputError for what is none."""
    suffix = Path(path).suffix.lower()
    if any(suffix in cls.suffixes for cls in host.frontends().values()) or foreign.KINDS.get(suffix):
        raise InputError(
            f"{path} is a model by its name, not a campaign file; say `mutatenn run {path} --images FOLDER`, "
            f"or let `mutatenn init --model {path}` write a campaign"
        )
    return load_campaign(path, catalogues(host))


@attrs.frozen(eq=False)
class Parts:
    """What a campaign names that can be had without its model: see :class:`Setup`."""

    campaign: Campaign
    dataset: Dataset
    oracles: dict[str, Comparator]
    backends: dict[str, Backend]


def look_over(campaign: Campaign, path: str | Path, host: PluginHost) -> Parts:
    """Return what can be told without the model of a campaign, read from a file; raises InputError."""
    base = Path(os.path.abspath(Path(path).parent))
    campaign = attrs.evolve(campaign, model=_settled(campaign.model, base, host))
    backends = {env.name: _backend(env, host) for env in campaign.environments if not env.own_framework}
    oracles = open_oracles(campaign.oracles, host)
    _check(campaign, path)
    for backend in backends.values():
        _executor(campaign, backend, host)
    return Parts(campaign, open_dataset(campaign.dataset), oracles, backends)


def _settled(section: ModelSection, base: Path, host: PluginHost) -> ModelSection:
    """Return the model and its variants, with the paths among their options absolute."""
    variants = [
        attrs.evolve(each, options=settled(each.section, base, host).options) for each in section.variants
    ]
    return attrs.evolve(settled(section, base, host), variants=tuple(variants))


def prepare(campaign: Campaign, path: str | Path, host: PluginHost) -> Setup:
    """Load all that a campaign names, which was read from a file; raises as :func:`set_up`."""
    parts = look_over(campaign, path, host)
    campaign, dataset, oracles = parts.campaign, parts.dataset, parts.oracles
    model = campaign.model.path or campaign.model.source
    host.emit("mutatenn_stage_started", stage=f"importing {one_line(Path(str(model)).name)}")
    imported, failures = _import_all(campaign, host)
    classes = next(iter(imported.values())).model.output.shape[-1]
    _check_truth(dataset, campaign.model.label_offset, classes)
    _try_oracles(oracles, campaign.model.scores, classes)
    host.emit("mutatenn_stage_started", stage=f"preparing {counted(len(dataset.names), 'image')}")
    inputs = _prepared(campaign, imported, dataset)
    kill = campaign.oracles.kill.name
    return Setup(
        host, Path(path), campaign, imported, dataset, inputs, kill, oracles, parts.backends, failures
    )


def _import_all(campaign: Campaign, host: PluginHost) -> tuple[dict[str, ImportedModel], dict[str, str]]:
    """Return the model of every environment, in their order, and why some that may fail have none."""
    found: dict[str, ImportedModel] = {}
    failures: dict[str, str] = {}
    for variant in (None, *campaign.model.variants):
        environments = [env for env in campaign.environments if campaign.variant(env) is variant]
        if environments:
            section = variant.section if variant else campaign.model
            crop = campaign.preprocess_of(variant).crop
            found |= import_models(section, environments, host, crop, failures)
    if not found:
        raise InputError(next(iter(failures.values())))
    ordered = {env.name: found[env.name] for env in campaign.environments if env.name in found}
    check_classes(ordered)
    return ordered, failures


def _prepared(
    campaign: Campaign, imported: Mapping[str, ImportedModel], dataset: Dataset
) -> dict[str, NDArray[np.generic]]:
    """Return the images as each environment takes them, prepared once for all that take the same."""
    known: dict[str, NDArray[np.generic]] = {}
    inputs: dict[str, NDArray[np.generic]] = {}
    for env in campaign.environments:
        if env.name in imported:
            section, spec = campaign.preprocess_of(campaign.variant(env)), imported[env.name].model.input
            key = f"{section} {spec.dtype} {spec.shape}"
            if key not in known:
                known[key] = load_images(dataset, section, spec)
            inputs[env.name] = known[key]
    return inputs


def _executor(campaign: Campaign, backend: Backend, host: PluginHost) -> Executor:
    """Return the campaign's executor, or the one that suits a backend; raises InputError for its options."""
    section = campaign.execution
    return create(host.get("executor", section.executor or backend.executor), section.options)


def _check(campaign: Campaign, path: str | Path) -> None:
    """Raise InputError for parts of a campaign that do not go together."""
    if campaign.gate.min_accuracy is not None and campaign.dataset.truth is None:
        raise InputError(f"{path}: gate.min_accuracy needs dataset.truth: give it, or leave min_accuracy out")
    if campaign.mutations and all(env.own_framework for env in campaign.environments):
        raise InputError(
            f"{path}: a model's own framework has no mutants: add an environment with another backend"
        )


def _check_truth(dataset: Dataset, offset: int, classes: int) -> None:
    """Raise InputError for a true class that the model has no output for."""
    for name, label in zip(dataset.names, dataset.truth or (), strict=False):
        if not 0 <= label + offset < classes:
            moved = f" (moved by {offset})" if offset else ""
            raise InputError(
                f"the true class {label}{moved} of {name} is no output of the model, "
                f"which are 0 to {classes - 1}; check dataset.truth and model.label_offset"
            )


def catalogues(host: PluginHost) -> dict[str, list[str]]:
    """Return the names a campaign file may use, by kind."""
    selectors = {name for cls in host.mutators().values() for name in groups(cls)}
    return {
        "mutators": list(host.mutators()),
        "groups": sorted(selectors - set(host.mutators())),
        "categories": sorted({cls.category for cls in host.mutators().values()}),
        "frontends": list(host.frontends()),
        "schemes": sorted({URL, *(scheme for cls in host.frontends().values() for scheme in cls.schemes)}),
        "backends": [*host.backends(), REFERENCE],
        "comparators": list(host.comparators()),
        "executors": list(host.executors()),
        "reporters": list(host.reporters()),
    }


def _backend(environment: Environment, host: PluginHost) -> Backend:
    return create(host.get("backend", environment.backend), environment.options)


def _try_oracles(oracles: Mapping[str, Comparator], kind: ScoreKind, classes: int) -> None:
    """Raise PluginError for an oracle that notices a difference where there is none, in made-up scores."""
    logits = Scores(np.random.default_rng(0).normal(size=(3, classes)).astype(np.float32), "logits")
    made_up = Scores(logits.probabilities().astype(np.float32), "probabilities")
    scores = logits if kind == "logits" else made_up
    try_oracles(oracles.values(), scores)
    for oracle in oracles.values():
        own_measure(oracle, scores)


def _toolchain(model: Model, environment: Environment, backend: Backend, *, bounds: Bounds) -> Toolchain:
    def make() -> Toolchain:
        return Toolchain(model, backend, environment.profile, bounds)

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
        return (
            'the campaign asks for no mutations: add a [[mutations]] table, for example operator = "all", '
            "or a second environment to compare the first one with"
        )
    reasons = {name: reason for each in plans.values() for name, reason in each.absences.items()}
    without = [name for name, sites in operators.items() if not sites]
    why = "; ".join(dict.fromkeys(reasons[name] for name in without if name in reasons))
    return (
        f"no mutants to run: {', '.join(without) or 'the chosen sites'} found no site in this model"
        f"{f' ({why})' if why else ''}; "
        'choose other operators (`mutatenn plan` counts the sites of each, with operator = "all")'
    )
