"""Packs a job, so that it can run where it is sent."""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import numpy as np

from mutatenn.engine.attempt import failure
from mutatenn.engine.isolate import call_isolated
from mutatenn.engine.same_code import SAME_MACHINE_CODE, same_code, same_program
from mutatenn.errors import InfrastructureError, InputError
from mutatenn.offline.packed import PackedJob, file_digest
from mutatenn.offline.records import program_record
from mutatenn.offline.results import FORMAT, MANIFEST, ORIGINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mutatenn.api.executor import Job, Outcome
    from mutatenn.api.program import Program

Ended: TypeAlias = "tuple[Outcome, str, str]"
"""How a mutant that is not to run ended, why, and the identity of its program where it has one."""
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


def pack_job(
    job: Job,
    mutants: Iterable[str],
    folder: str | Path,
    *,
    shard_images: int | None = None,
    label: Mapping[str, str] | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> PackedJob:
    """Pack a job and some of its mutants, all of them built, into an empty folder, which can then be sent.

    ``python run.py`` there runs it with nothing but Python, numpy and apache-tvm installed, and writes
    ``results.zip``: :meth:`PackedJob.observations` reads that. A job without expected outputs measures its
    original there. ``shard_images`` is how many images run together (default: all), ``label`` goes with the
    results, ``told`` is called with every mutant's id when it is built. Raises InputError where the backend
    cannot build for elsewhere, BuildError if the compiler rejects the original, and InfrastructureError where
    this machine fails.
    """
    Packer(job, Path(folder), shard_images or max(1, len(job.images)), dict(label or {})).pack(mutants, told)
    return PackedJob.open(folder)


@attrs.define(eq=False)
class Packer:
    """Fills a folder with all that a job's own machine needs."""

    job: Job
    folder: Path
    shard_images: int
    label: dict[str, str]

    def pack(self, mutants: Iterable[str], told: Callable[[str], None]) -> None:
        """Fill the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        call_isolated(functools.partial(self._save, self.job.original, self.folder / f"{ORIGINAL}.json"))
        waiting: list[str] = []
        ended: dict[str, Ended] = {}
        for mutant in mutants:
            if end := self._attempt(mutant):
                ended[mutant] = end
            else:
                waiting.append(mutant)
            told(mutant)
        np.save(self.folder / "images.npy", self.job.images, allow_pickle=False)
        np.save(self.folder / "expected.npy", self.job.expected, allow_pickle=False)
        self._carry()
        (self.folder / MANIFEST).write_text(json.dumps(self._manifest(waiting, ended), indent=1))

    def _attempt(self, mutant: str) -> Ended | None:
        """Build a mutant in a process of its own; return how it ended if there is nothing to run."""
        try:
            ended = call_isolated(functools.partial(self._build, mutant), self.job.limits.build_seconds)
        except InfrastructureError as error:  # the compiler died, or took too long
            return "build-error", str(error)[:MOST_MESSAGE], ""
        if ended and ended[0] == "infrastructure-error":
            raise InfrastructureError(f"{mutant} cannot be packed: {ended[1]}; see to that and pack again")
        return ended

    def _build(self, mutant: str) -> Ended | None:
        original, identity = self.job.original, ""
        try:
            program = self.job.derive(mutant)
            identity = program.identity
            if same := same_program(original, program):
                return "equivalent", same, identity
            if same_code(self.job.backend, original, program):
                return "equivalent", SAME_MACHINE_CODE, identity
            self._save(program, self.folder / "programs" / f"{mutant}.json")
        except Exception as error:  # an operator may fail in any way
            outcome, why = failure(error, building=True)
            return outcome, why[:MOST_MESSAGE], identity
        return None

    def _save(self, program: Program, path: Path) -> None:
        for digest, kernel in program.kernels.items():
            self._write(
                self.folder / "kernels" / f"{digest}.so",
                functools.partial(self.job.backend.export, kernel),
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
        backend = type(self.job.backend).__module__.partition(".")[0]
        for name in dict.fromkeys((*CARRIED, backend)):
            for source, place in _sources(name):
                target = self.folder / "lib" / place
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
        (self.folder / "run.py").write_text(RUNNER)

    def _manifest(self, mutants: list[str], ended: dict[str, Ended]) -> dict[str, Any]:
        job = self.job
        files = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return {
            "format": FORMAT,
            "label": self.label,
            "original": job.original.identity,
            "backend": f"{type(job.backend).__module__}.{type(job.backend).__qualname__}",
            "options": attrs.asdict(job.backend),
            "target": str(job.backend.target()),
            "limits": attrs.asdict(job.limits),
            "noise": job.noise,
            "reuse": job.reuse,
            "shard_images": self.shard_images,
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
