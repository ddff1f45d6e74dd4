"""A job that travels: a folder with all that its own machine needs to run it."""

from __future__ import annotations

import functools
import hashlib
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.backend import Backend
from mutatenn.api.executor import Job, Limits
from mutatenn.api.wrapping import WrappedBackend, WrappedDevice
from mutatenn.engine.shards import shards
from mutatenn.errors import InputError
from mutatenn.offline import results
from mutatenn.offline.records import read_program
from mutatenn.offline.results import FORMAT, MANIFEST, ORIGINAL, RESULTS, RESULTS_FILE, PackedResults
from mutatenn.typed import build, conforms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mutatenn.api.backend import Device
    from mutatenn.api.executor import Observation
    from mutatenn.api.program import Kernel, Program

KINDS: dict[str, Any] = results.KINDS | {
    "backend": str,
    "options": dict[str, Any],
    "limits": dict[str, Any],
    "noise": float,
    "reuse": bool,
    "shard_images": int,
    "files": dict[str, str],
}
"""What the machine that runs it needs of its manifest."""
UNREADABLE = (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError)


class Loading(WrappedDevice):
    """A device that loads packed kernels instead of building them."""

    def __init__(self, device: Device, folder: Path) -> None:
        super().__init__(device)
        self.folder = folder

    def build(self, kernel: Kernel) -> Any:
        """Load the kernel."""
        return self.device.load(self.folder / "kernels" / f"{kernel.digest}.so", kernel)


@attrs.frozen(kw_only=True)
class Elsewhere(WrappedBackend):
    """The backend of a packed job, on its own machine."""

    name = "elsewhere"
    folder: Path

    def open(self) -> Device:
        """Open the device that loads the packed kernels."""
        return Loading(self.backend.open_elsewhere(), self.folder)

    @classmethod
    def diagnose(cls) -> tuple[bool, str]:
        """Tell that there is nothing to say of it without a packed job."""
        return True, "runs packed jobs"


@attrs.frozen(eq=False)
class PackedJob:
    """A packed job in its folder; ``run.py`` there runs it on its own machine and writes ``results.zip``.

    ``images`` is ``[images, *input.shape[1:]]``, ``expected`` float32 ``[images, classes]``, with no images
    where the original is to be measured there.
    """

    folder: Path
    manifest: dict[str, Any]
    images: NDArray[np.generic]
    expected: NDArray[np.float32]

    @classmethod
    def open(cls, folder: str | Path) -> PackedJob:
        """Open one; raises InputError if a file of it is missing or damaged."""
        folder = Path(folder)
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            if manifest["format"] != FORMAT:
                raise InputError(f"{folder} is a bundle of another version of mutatenn; make it again")
            if wrong := [key for key, kind in KINDS.items() if not conforms(manifest[key], kind)]:
                raise ValueError(f"{wrong[0]} is {repr(manifest[wrong[0]])[:80]}")
            for name, digest in manifest["files"].items():
                _check_place(name)
                if file_digest(folder / name) != digest:
                    raise InputError(f"{folder / name} is damaged; unpack the bundle again")
            images, expected = (
                np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("images", "expected")
            )
            if manifest["shard_images"] < 1 or len(expected) not in (0, len(images)):
                raise ValueError(
                    f"{manifest['shard_images']} at a time of {len(images)} images, {len(expected)} expected"
                )
        except UNREADABLE as error:
            raise InputError(f"{folder} is no whole bundle ({error}); unpack it again") from None
        return cls(folder, manifest, images, expected)

    @property
    def mutants(self) -> tuple[str, ...]:
        """The ids of the mutants that are to run."""
        return tuple(self.manifest["mutants"])

    @functools.cached_property
    def job(self) -> Job:
        """The job, on its own machine: its device loads the packed kernels, its mutants are the packed ones.

        Raises InputError if backend, limits or original cannot be read.
        """
        return Job(
            backend=self._backend(),
            original=self._original(),
            images=self.images,
            derive=self._program,
            expected=self.expected,
            noise=self.manifest["noise"],
            limits=self._limits(),
            reuse=self.manifest["reuse"],
        )

    def observations(self) -> Iterator[Observation]:
        """Yield what was seen of each mutant, on each shard by itself, once ``results.zip`` is in the folder.

        Raises InputError for what ``run.py`` does not write, or has written of another job.
        """
        mutants = {*self.manifest["mutants"], *self.manifest["ended"]}
        original = self.job.original
        classes, size = original.values[original.output].shape[-1], self.manifest["shard_images"]
        with PackedResults.opened(
            self.folder / RESULTS_FILE, mutants, len(self.images), size, classes
        ) as found:
            if found.manifest != self.manifest:
                raise InputError("it is of another job; give what its own run.py wrote")
            yield from (seen for _, seen in found.observations())

    @property
    def shards(self) -> list[slice]:
        """Which images run together."""
        return shards(len(self.images), self.manifest["shard_images"])

    @property
    def results(self) -> Path:
        """The folder of what has been seen."""
        return self.folder / RESULTS

    def _backend(self) -> Elsewhere:
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

    def _limits(self) -> Limits:
        try:
            return build(Limits, self.manifest["limits"])
        except ValueError as error:
            raise InputError(f"{self.folder} is no whole bundle ({error}); unpack it again") from None

    def _original(self) -> Program:
        try:
            return self._program(ORIGINAL)
        except UNREADABLE as error:
            raise InputError(f"{self.folder} holds no original ({error}); unpack it again") from None

    def _program(self, name: str) -> Program:
        folder = "programs" if name != ORIGINAL else "."
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


def file_digest(path: Path) -> str:
    """Return the sha256 (hex) of a file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check_place(name: str) -> None:
    """Raise ValueError for a file that is not in the job's own folder."""
    if name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"it lists {name!r}")


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if isinstance(value, list) else value
