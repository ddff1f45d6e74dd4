"""Runs a bundle on the machine it was made for, which may lack a compiler, a network and everything else.

It needs Python, numpy, and TVM for the kernels to call into. What has run is not run again.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import sys
import zipfile
from importlib import import_module
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.backend import Backend
from mutatenn.api.executor import Job, Limits
from mutatenn.api.wrapping import WrappedBackend, WrappedDevice
from mutatenn.engine.caretaker import caretaker
from mutatenn.engine.isolate import call_isolated
from mutatenn.engine.original import run_original
from mutatenn.engine.shards import shards
from mutatenn.engine.workbench import Workbench
from mutatenn.errors import InputError, MutatennError
from mutatenn.files import whole
from mutatenn.offline.records import load_arrays, read_outcome, read_program, save_arrays, write_observation
from mutatenn.printable import printable, shortened
from mutatenn.typed import build, conforms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mutatenn.api.backend import Device
    from mutatenn.api.program import Kernel, Program

MANIFEST = "manifest.json"
RESULTS = "results"
ORIGINAL = "original.npz"
FORMAT = 2
KINDS: dict[str, Any] = {
    "backend": str,
    "options": dict[str, Any],
    "limits": dict[str, Any],
    "shard_images": int,
    "images": tuple[str, ...],
    "mutants": tuple[str, ...],
    "files": dict[str, str],
}
"""What a bundle needs of its manifest."""


class Loading(WrappedDevice):
    """A device that loads the kernels of a bundle instead of building them."""

    def __init__(self, device: Device, folder: Path) -> None:
        super().__init__(device)
        self.folder = folder

    def build(self, kernel: Kernel) -> Any:
        """Load the kernel."""
        return self.device.load(self.folder / "kernels" / f"{kernel.digest}.so", kernel)


@attrs.frozen(kw_only=True)
class Elsewhere(WrappedBackend):
    """The backend of a bundle, on its own machine."""

    name = "elsewhere"
    folder: Path

    def open(self) -> Device:
        """Open the device that loads the bundle's kernels."""
        return Loading(self.backend.open_elsewhere(), self.folder)

    @classmethod
    def diagnose(cls) -> tuple[bool, str]:
        """Tell that there is nothing to say of it without a bundle."""
        return True, "runs bundles"


@attrs.frozen(eq=False)
class Bundle:
    """An unpacked bundle, checked."""

    folder: Path
    manifest: dict[str, Any]
    images: NDArray[np.generic]

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """Open a bundle; raises InputError if something of it is missing or damaged."""
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            if manifest["format"] != FORMAT:
                raise InputError(f"{folder} is a bundle of another version of mutatenn; make it again")
            if wrong := [key for key, kind in KINDS.items() if not conforms(manifest[key], kind)]:
                raise ValueError(f"{wrong[0]} is {repr(manifest[wrong[0]])[:80]}")  # noqa: TRY301
            for name, digest in manifest["files"].items():
                _check_place(name)
                if file_digest(folder / name) != digest:
                    raise InputError(f"{folder / name} is damaged; unpack the bundle again")
            images = np.load(folder / "images.npy", allow_pickle=False)
            if manifest["shard_images"] < 1 or len(images) != len(manifest["images"]):
                raise ValueError(f"{manifest['shard_images']} at a time of {len(images)} images")  # noqa: TRY301
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{folder} is no whole bundle ({error}); unpack it again") from None
        return cls(folder, manifest, images)

    @functools.cached_property
    def backend(self) -> Elsewhere:
        """The backend that runs it; raises InputError if there is none of this name and these options."""
        module, _, name = self.manifest["backend"].rpartition(".")
        options = {key: _frozen(value) for key, value in self.manifest["options"].items()}
        try:
            cls = getattr(import_module(module), name)
            if not (isinstance(cls, type) and issubclass(cls, Backend)):
                raise TypeError(f"{name} is no backend")  # noqa: TRY301
            return Elsewhere(backend=cls(**options), folder=self.folder)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            why = f"backend {self.manifest['backend']} cannot be used ({error})"
            raise InputError(f"{self.folder}: {why}; make the bundle again") from None

    @functools.cached_property
    def limits(self) -> Limits:
        """What a mutant may use; raises InputError if that cannot be told."""
        try:
            return build(Limits, self.manifest["limits"])
        except ValueError as error:
            raise InputError(f"{self.folder} is no whole bundle ({error}); unpack it again") from None

    @functools.cached_property
    def original(self) -> Program:
        """The program of the original; raises InputError if it cannot be read."""
        try:
            return self.program("original")
        except (
            OSError,
            ValueError,
            KeyError,
            IndexError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            raise InputError(f"{self.folder} holds no original ({error}); unpack it again") from None

    def program(self, name: str) -> Program:
        """Return the original (``original``) or a mutant's program."""
        folder = "programs" if name != "original" else "."
        record = json.loads((self.folder / folder / f"{name}.json").read_bytes())
        return read_program(
            record, {digest: self._constant(digest) for digest in record["constants"].values()}
        )

    def _constant(self, digest: str) -> NDArray[np.generic]:
        found = self._constants.get(digest)
        if found is None:
            found = self._constants[digest] = np.load(
                self.folder / "constants" / f"{digest}.npy", allow_pickle=False
            )
        return found

    @functools.cached_property
    def _constants(self) -> dict[str, NDArray[np.generic]]:
        return {}

    @property
    def shards(self) -> list[slice]:
        """Which images run together."""
        return shards(len(self.images), self.manifest["shard_images"])

    @property
    def results(self) -> Path:
        """The folder of what has been seen."""
        return self.folder / RESULTS


def main(folder: Path, arguments: Sequence[str] | None = None) -> int:
    """Run the bundle in a folder; return the exit code."""
    parser = argparse.ArgumentParser(prog="run.py", description="Run this bundle of mutants, or continue.")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="mutants at a time")
    args = parser.parse_args(arguments)
    os.environ.setdefault("TVM_NUM_THREADS", "1")
    try:
        _run(Bundle.open(folder), max(1, args.workers))
    except MutatennError as error:
        print(f"mutatenn: error: {shortened(error)}", file=sys.stderr)
        return error.exit_code
    return 0


@caretaker()
def _run(bundle: Bundle, workers: int) -> None:
    original = bundle.original
    expected, noise = _original(bundle, original)
    count = len(bundle.manifest["mutants"])
    print(f"original: {len(expected)} images, noise {noise:g}; {count} mutants", flush=True)
    for shard, images in enumerate(bundle.shards):
        waiting = [name for name in bundle.manifest["mutants"] if not _ended(bundle, name, shard)]
        job = Job(
            backend=bundle.backend,
            original=original,
            images=bundle.images[images],
            derive=bundle.program,
            expected=expected[images],
            noise=noise,
            limits=bundle.limits,
            workers=workers,
        )
        if not waiting:
            continue
        with Workbench.open(job) as bench:
            for seen in bench.attempts(waiting):
                write_observation(observation_file(bundle.results, seen.mutant, shard), seen)
                print(printable(f"{seen.mutant}: {seen.outcome}"), flush=True)
    archive = bundle.folder / "results.zip"
    _pack(bundle, archive)
    print(f"wrote {printable(archive)}; next, where the run is: mutatenn ingest RUN {archive.name}")


def _ended(bundle: Bundle, mutant: str, shard: int) -> bool:
    """Tell whether a mutant need not run on a shard: it has, or ended for good on one before."""
    for number in range(shard + 1):
        path = observation_file(bundle.results, mutant, number)
        if path.exists():
            outcome = read_outcome(path)
            if number == shard or outcome not in ("ran", "infrastructure-error"):
                return outcome != "infrastructure-error"
    return False


def _original(bundle: Bundle, program: Program) -> tuple[NDArray[np.float32], float]:
    """Return the original's outputs and the noise between two runs; runs it only the first time."""
    path = bundle.results / ORIGINAL
    if not path.exists():
        runs = [
            call_isolated(functools.partial(run_original, bundle.backend, program, bundle.images))
            for _ in range(2)
        ]
        (first, seconds), (second, more) = runs
        save_arrays(path, first=first, second=second, seconds=np.array(min(seconds, more)))
    room = path.stat().st_size
    found = load_arrays(path.read_bytes(), {"first": room, "second": room})
    first, second = found["first"], found["second"]
    if first.shape != second.shape or len(first) != len(bundle.images) or first.dtype != np.float32:
        raise InputError(f"{path} is damaged; delete it and run the bundle again")
    with np.errstate(invalid="ignore"):  # infinite scores of both are equal
        return first, float(np.abs(np.where(first == second, 0, first - second)).max(initial=0.0))


def _pack(bundle: Bundle, archive: Path) -> None:
    with whole(archive) as place, zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(bundle.folder / MANIFEST, MANIFEST)
        for path in _files(bundle.results):
            file.write(path, f"{RESULTS}/{path.relative_to(bundle.results).as_posix()}")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.npz")) if not path.name.startswith("."))


def observation_file(results: Path, mutant: str, shard: int) -> Path:
    """Return where the observation of a mutant on a shard of images is."""
    return results / str(shard) / f"{mutant}.npz"


def file_digest(path: Path) -> str:
    """Return the sha256 (hex) of a file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check_place(name: str) -> None:
    """Raise ValueError for a file that is not in the bundle's own folder."""
    if name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"it lists {name!r}")


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if isinstance(value, list) else value
