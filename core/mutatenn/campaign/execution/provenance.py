"""What a run was made with: versions, host, model, targets."""

from __future__ import annotations

import hashlib
import os
import platform
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import importlib_metadata

from mutatenn.border import distribution_of
from mutatenn.campaign.config.values import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from mutatenn.api.capability import Capability
    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.compiler.toolchain import Toolchain

PACKAGES = ("mutatenn", "apache-tvm", "apache-tvm-ffi", "onnx", "onnxruntime", "numpy", "scipy", "pillow")
"""Distributions that every run depends on."""


def facts(setup: Setup, operators: Collection[str]) -> dict[str, Any]:
    """Return what a reader of the results needs to know about their making, as plain data.

    ``operators`` are those of the plan.
    """
    mutators = setup.host.mutators()
    return {
        "campaign": os.path.abspath(setup.path),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **versions(_packages(setup, operators))},
        "host": {"system": platform.platform(), "machine": platform.machine(), "cpus": cpus()},
        "model": {
            "name": setup.model.name,
            "path": str(setup.model.source),
            "digest": setup.model.digest,
            "input": str(setup.model.input),
            "output": str(setup.model.output),
        },
        "oracles": {"kill": setup.kill, "all": list(setup.oracles)},
        "operators": {name: mutators[name].summary() for name in operators if name in mutators},
        "environments": {env.name: _environment(setup, env.name) for env in setup.campaign.environments},
    }


def _environment(setup: Setup, name: str) -> dict[str, Any]:
    if name not in setup.imported:
        return _not_imported(setup, name)
    if name not in setup.backends:
        return {**_own_framework(setup, name), "factors": _factors(setup, name, "own framework")}
    if name not in setup.toolchains:
        return _not_lowered(setup, name)
    toolchain = setup.toolchains[name]
    return {
        "factors": _factors(setup, name, _device(toolchain)),
        "route": setup.imported[name].route,
        "backend": toolchain.backend.name,
        "offline": any(env.offline for env in setup.campaign.environments if env.name == name),
        "target": str(toolchain.target),
        "profile": str(toolchain.profile),
        "passes": list(toolchain.profile.passes),
        "kernels": len(toolchain.program.kernels),
        "calls": len(toolchain.program.calls),
        "fallback": toolchain.fallback,
        "layers": [layer.name for layer in toolchain.model_layers],
    }


def _factors(setup: Setup, name: str, device: str) -> dict[str, str]:
    """Return what tables know an environment by; what the campaign says of it goes before what is derived."""
    environment, model = setup.environment(name), setup.campaign.model
    found = {"model": (environment.model or model.called) if model.variants else ""}
    if name in setup.imported:
        imported = setup.imported[name]
        found |= {"framework": imported.frontend.name, "route": imported.route}
    found |= {"device": device}
    if name in setup.backends:
        found["profile"] = str(environment.profile)
    return {key: value for key, value in found.items() if value} | environment.factors


def _device(toolchain: Toolchain) -> str:
    """Return a target in short: ``llvm x86-64-v3``, ``opencl``."""
    fields = {key: str(value) for key, value in dict(toolchain.target.export()).items()}
    told = [toolchain.backend.name, fields.get("mcpu", ""), fields.get("mtriple", ""), fields.get("arch", "")]
    return " ".join(filter(None, told))


NOTHING: dict[str, Any] = {
    "offline": False,
    "profile": "",
    "passes": [],
    "kernels": 0,
    "calls": 0,
    "fallback": "",
    "layers": [],
}
"""What there is to tell where nothing is compiled."""


def _own_framework(setup: Setup, name: str) -> dict[str, Any]:
    imported = setup.imported[name]
    return {"route": imported.route, "backend": REFERENCE, "target": imported.frontend.name, **NOTHING}


def _not_lowered(setup: Setup, name: str) -> dict[str, Any]:
    backend, profile = setup.backends[name], setup.environment(name).profile
    return {
        **NOTHING,
        "factors": _factors(setup, name, backend.name),
        "route": setup.imported[name].route,
        "backend": backend.name,
        "target": str(backend.target()),
        "profile": str(profile),
        "passes": list(profile.passes),
    }


def _not_imported(setup: Setup, name: str) -> dict[str, Any]:
    if name not in setup.backends:
        factors = _factors(setup, name, "own framework")
        return {**NOTHING, "factors": factors, "route": "", "backend": REFERENCE, "target": ""}
    route = setup.environment(name).route or ""
    backend, profile = setup.backends[name], setup.environment(name).profile
    return {
        **NOTHING,
        "factors": _factors(setup, name, backend.name),
        "route": route,
        "backend": backend.name,
        "target": str(backend.target()),
        "profile": str(profile),
    }


def identity(setup: Setup) -> str:
    """Return the sha256 (hex) of all that decides a run's results: configuration, models and images."""
    models = dict.fromkeys(each.model.digest for each in setup.imported.values())
    parts = [setup.campaign.fingerprint(), *models, *setup.dataset.digests]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _packages(setup: Setup, operators: Iterable[str]) -> Iterator[str]:
    """Yield the distributions that the capabilities of a campaign come with, and depend on."""
    mutators = setup.host.mutators()
    used: list[type[Capability]] = [type(each.frontend) for each in setup.imported.values()]
    used += [*map(type, setup.backends.values()), *map(type, setup.oracles.values())]
    used += [type(setup.executor(name)) for name in setup.backends]
    used += [mutators[name] for name in operators if name in mutators]
    for cls in used:
        yield from cls.packages
    for cls in {cls.__module__.partition(".")[0]: cls for cls in used}.values():
        if distribution := distribution_of(cls):
            yield distribution.name


def versions(packages: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions of the packages that every run depends on, and of these, where installed."""
    names = dict.fromkeys((*PACKAGES, *packages))
    installed = {package: list(importlib_metadata.distributions(name=package)) for package in names}
    return {package: found[0].version for package, found in installed.items() if found}


def cpus() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))
