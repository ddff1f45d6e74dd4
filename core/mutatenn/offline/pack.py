"""Packs what a device without a network needs to run its part of a campaign."""

from __future__ import annotations

import functools
import importlib.util
import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.campaign.execution.changes import derive_recorded
from mutatenn.campaign.execution.reopen import continued
from mutatenn.engine.isolate import call_isolated
from mutatenn.engine.same_code import SAME_MACHINE_CODE, same_code, same_program
from mutatenn.errors import BuildError, InfrastructureError, InputError
from mutatenn.files import whole
from mutatenn.nearest import unknown_name
from mutatenn.offline.records import program_record
from mutatenn.offline.runner import FORMAT, MANIFEST, file_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mutatenn.api.mutant import Mutant
    from mutatenn.api.program import Program
    from mutatenn.campaign.execution.setup import Setup
    from mutatenn.compiler.toolchain import Toolchain
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.store import Store

MOST_MESSAGE = 2**11
"""Characters of what the manifest tells of a mutant that could not be built."""
CARRIED = ("mutatenn", "attr", "attrs", "pluggy")
"""What a bundle's runner imports beside the backend, numpy and TVM; all of it pure Python."""
RUNNER = '''"""Runs this bundle: ``python run.py``. Needs numpy and apache-tvm; continues where it stopped."""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER / "lib"))
from mutatenn.offline.runner import main

sys.exit(main(FOLDER))
'''


def bundle(
    directory: Path,
    environment: str,
    archive: Path,
    host: PluginHost,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Pack original, images and the mutants of an environment that have no verdict; return the manifest.

    ``told`` is called with every mutant's id when it is built. Raises InputError where there is nothing to
    pack or the backend cannot build for elsewhere, BaselineError if the compiler rejects the original.
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
            manifest = Packer(setup, store, environment, Path(name)).pack(mutants, told)
            _zip(Path(name), archive)
        store.set_meta(f"bundle:{environment}", identity(manifest))
    return manifest


def identity(manifest: dict[str, Any]) -> str:
    """Return what results must name to be those of a bundle: run, environment, and the original packed."""
    return f"{manifest['run']} {manifest['environment']} {manifest['original']}"


def _waiting(store: Store, environment: str) -> list[Mutant]:
    wanted = (
        set(store.trials(environment))
        - store.tallies.statuses(environment).keys()
        - store.remarks("skip").keys()
    )
    return [mutant for mutant in store.mutants() if mutant.id in wanted]


@attrs.define(eq=False)
class Packer:
    """Fills a folder with all that a board needs."""

    setup: Setup
    store: Store
    environment: str
    folder: Path

    @property
    def toolchain(self) -> Toolchain:
        """What the original and its mutants are built with."""
        return self.setup.toolchains[self.environment]

    def pack(self, mutants: list[Mutant], told: Callable[[str], None]) -> dict[str, Any]:
        """Fill the folder; return its manifest."""
        call_isolated(functools.partial(self._save, self.toolchain.program, self.folder / "original.json"))
        ended: dict[str, tuple[str, str]] = {}
        for mutant in mutants:
            outcome, message = self._attempt(mutant)
            if outcome:
                ended[mutant.id] = outcome, message
            told(mutant.id)
        np.save(self.folder / "images.npy", self.setup.images, allow_pickle=False)
        self._carry()
        manifest = self._manifest([each.id for each in mutants if each.id not in ended], ended)
        (self.folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
        return manifest

    def _attempt(self, mutant: Mutant) -> tuple[str, str]:
        """Build a mutant in a process of its own; return (outcome, reason) if there is nothing to run."""
        try:
            return call_isolated(
                functools.partial(self._build, mutant), self.setup.campaign.limits.build_seconds
            )
        except (BuildError, InfrastructureError) as error:
            return "build-error", str(error)[:MOST_MESSAGE]

    def _build(self, mutant: Mutant) -> tuple[str, str]:
        original = self.toolchain.program
        program = derive_recorded(mutant, self.setup, self.store.directory, self.environment)
        if same := same_program(original, program):
            return "equivalent", same
        if same_code(self.toolchain.backend, original, program):
            return "equivalent", SAME_MACHINE_CODE
        self._save(program, self.folder / "programs" / f"{mutant.id}.json")
        return "", ""

    def _save(self, program: Program, path: Path) -> None:
        for digest, kernel in program.kernels.items():
            self._write(
                self.folder / "kernels" / f"{digest}.so",
                functools.partial(self.toolchain.backend.export, kernel),
            )
        for constant in program.constants.values():
            place = self.folder / "constants" / f"{constant.digest}.npy"
            if not place.exists():
                place.parent.mkdir(exist_ok=True)
                np.save(place, constant.value, allow_pickle=False)
        self._write(path, lambda: json.dumps(program_record(program)).encode())

    def _write(self, path: Path, make: Callable[[], bytes]) -> None:
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(make())

    def _carry(self) -> None:
        """Copy the packages that the runner imports."""
        backend = type(self.toolchain.backend).__module__.partition(".")[0]
        for name in dict.fromkeys((*CARRIED, backend)):
            for source, place in _sources(name):
                target = self.folder / "lib" / place
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
        (self.folder / "run.py").write_text(RUNNER)

    def _manifest(self, mutants: list[str], ended: dict[str, tuple[str, str]]) -> dict[str, Any]:
        backend, campaign = self.toolchain.backend, self.setup.campaign
        files = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return {
            "format": FORMAT,
            "run": self.store.meta("identity"),
            "environment": self.environment,
            "original": self.toolchain.program.identity,
            "backend": f"{type(backend).__module__}.{type(backend).__qualname__}",
            "options": attrs.asdict(backend),
            "target": str(self.toolchain.target),
            "limits": attrs.asdict(campaign.limits),
            "shard_images": self.store.meta("shard_images"),
            "images": list(self.setup.dataset.names),
            "mutants": mutants,
            "ended": ended,
            "files": {path.relative_to(self.folder).as_posix(): file_digest(path) for path in files},
        }


def _sources(package: str) -> Iterator[tuple[Path, Path]]:
    """Yield the files of a package or module, each with its place under the folder that is imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError(f"package {package} is not installed from files, so no bundle can carry it")
    origin = Path(spec.origin)
    if origin.name != "__init__.py":
        yield origin, Path(origin.name)
        return
    for path in sorted(origin.parent.rglob("*.py")):
        yield path, Path(package, path.relative_to(origin.parent))


def _zip(folder: Path, archive: Path) -> None:
    try:
        with whole(archive) as place, zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(folder.rglob("*")):
                file.write(path, Path(archive.stem, path.relative_to(folder)))
    except OSError as error:
        raise InputError(f"cannot write {archive}: {error.strerror}; name another file with --out") from None
