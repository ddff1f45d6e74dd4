"""Bundles an environment's part of a campaign for a device without a network."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn.api.executor import Job
from mutatenn.campaign.execution.changes import derive_recorded
from mutatenn.campaign.execution.reopen import continued
from mutatenn.errors import InputError
from mutatenn.files import whole
from mutatenn.nearest import unknown_name
from mutatenn.offline.pack import pack_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mutatenn.api.mutant import Mutant
    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.store import Store


def bundle(
    directory: Path,
    environment: str,
    archive: Path,
    host: PluginHost,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Pack original, images and the mutants of an environment that have no verdict; return the manifest.

    ``told`` is called with every mutant's id when it is built. Raises InputError where there is nothing to
    pack or the backend cannot build for elsewhere, and BuildError if the compiler rejects the original.
    """
    with continued(directory, host) as (setup, store):
        if environment not in setup.backends:
            raise InputError(unknown_name("environment", environment, setup.backends))
        mutants = _waiting(store, environment)
        if not mutants:
            raise InputError(
                f"environment {environment!r} has no mutant without a verdict; nothing is to pack"
            )
        with tempfile.TemporaryDirectory(prefix="mutatenn-bundle-") as name:
            packed = pack_job(
                _job(setup, store, environment, mutants),
                [mutant.id for mutant in mutants],
                name,
                shard_images=store.meta("shard_images"),
                label={"run": store.meta("identity"), "environment": environment},
                told=told,
            )
            _zip(Path(name), archive)
        store.set_meta(f"bundle:{environment}", identity(packed.manifest))
    return packed.manifest


def identity(manifest: dict[str, Any]) -> str:
    """Return what results must name to be those of a bundle: run, environment, and the original packed."""
    label = manifest["label"]
    return f"{label.get('run')} {label.get('environment')} {manifest['original']}"


def _waiting(store: Store, environment: str) -> list[Mutant]:
    wanted = (
        set(store.trials(environment))
        - store.tallies.statuses(environment).keys()
        - store.remarks("skip").keys()
    )
    return [mutant for mutant in store.mutants() if mutant.id in wanted]


def _job(setup: Setup, store: Store, environment: str, mutants: Iterable[Mutant]) -> Job:
    """Return the job of an environment whose original has not run yet."""
    toolchain = setup.toolchains[environment]
    planned = {mutant.id: mutant for mutant in mutants}
    return Job(
        backend=toolchain.backend,
        original=toolchain.program,
        images=setup.inputs[environment],
        derive=lambda name: derive_recorded(planned[name], setup, store.directory, environment),
        expected=np.zeros((0, setup.model.output.shape[-1]), np.float32),
        limits=setup.campaign.limits,
    )


def _zip(folder: Path, archive: Path) -> None:
    try:
        with whole(archive) as place, zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(folder.rglob("*")):
                file.write(path, Path(archive.stem, path.relative_to(folder)))
    except OSError as error:
        raise InputError(f"cannot write {archive}: {error.strerror}; name another file with --out") from None
