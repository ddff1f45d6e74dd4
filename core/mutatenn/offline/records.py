"""Programs and observations as files that travel to a board and back."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from mutatenn.api.executor import Outcome
from mutatenn.api.program import Call, Constant, Kernel, Program
from mutatenn.api.values import TensorSpec
from mutatenn.errors import InputError
from mutatenn.files import whole
from mutatenn.results.observations import AGAIN, ARRAYS, put_together, take_apart
from mutatenn.typed import conforms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from mutatenn.api.executor import Observation

MOST_TEXT = 2**20
"""Bytes of the text about one mutant."""
OVERHEAD = 2**14
"""Bytes that an array of a file takes beside its elements, at most."""
MOST_SECONDS = 1e9
ENCRYPTED = 1
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def program_record(program: Program) -> dict[str, Any]:
    """Return a program as plain data: kernels and constants by their digests."""
    return {
        "values": [[spec.name, list(spec.shape), spec.dtype] for spec in program.values],
        "input": program.input,
        "output": program.output,
        "constants": {str(value): constant.digest for value, constant in program.constants.items()},
        "kernels": {
            digest: [kernel.name, kernel.watched, kernel.monitor]
            for digest, kernel in program.kernels.items()
        },
        "calls": [[call.kernel.digest, list(call.arguments), list(call.results)] for call in program.calls],
    }


def read_program(record: dict[str, Any], constants: dict[str, NDArray[np.generic]]) -> Program:
    """Return the program of a record; its kernels have no IR."""
    kernels = {
        digest: Kernel(digest, name, watched=watched, monitor=None if monitor is None else tuple(monitor))
        for digest, (name, watched, monitor) in record["kernels"].items()
    }
    return Program(
        values=tuple(TensorSpec(name, tuple(shape), dtype) for name, shape, dtype in record["values"]),
        input=record["input"],
        output=record["output"],
        constants={int(v): Constant(digest, constants[digest]) for v, digest in record["constants"].items()},
        calls=tuple(Call(kernels[kernel], tuple(args), tuple(res)) for kernel, args, res in record["calls"]),
    )


def write_observation(path: Path, seen: Observation) -> None:
    """Write what was seen of a mutant; the file appears whole or not at all."""
    about, arrays = take_apart(seen)
    about["again"] = True if seen.again else None
    save_arrays(path, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)


def observation_bytes(images: int, classes: int) -> int:
    """Return how many bytes what was seen of a mutant on some images takes at most."""
    return MOST_TEXT + 2 * (images * (8 + 1 + 4 * classes) + (1 + len(ARRAYS)) * OVERHEAD)


def read_observation(content: bytes, images: int, classes: int) -> Observation:
    """Return what was written of a mutant that ran on so many images; raises InputError for anything else."""
    about = _about(load_arrays(content, {"about": MOST_TEXT})["about"])
    repeated = isinstance(about, dict) and about.pop("again", None) is True
    sizes = {"rows": 8 * images, "infected": images, "outputs": 4 * images * classes}
    parts = ("", AGAIN) if repeated else ("",)
    arrays = load_arrays(content, {part + name: sizes[name] for part in parts for name in ARRAYS})
    try:
        return put_together(about, arrays, images, classes)
    except ValueError as error:
        raise InputError(f"no observation ({error}); run the bundle again") from None


def read_outcome(path: Path) -> str:
    """Return how a mutant ended, by its file; raises InputError if that is damaged."""
    about = _about(load_arrays(path.read_bytes(), {"about": MOST_TEXT})["about"])
    outcome = about.get("outcome") if isinstance(about, dict) else None
    if not conforms(outcome, Outcome):
        raise InputError(f"{path} is damaged; delete it and run the bundle again")
    return str(outcome)


def _about(array: NDArray[Any]) -> Any:
    try:
        return json.loads(array.astype(np.uint8, casting="no").tobytes())
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"no observation ({error}); run the bundle again") from None


def save_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays as ``.npz``; the file appears whole or not at all."""
    with whole(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_arrays(content: bytes, sizes: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """Return the arrays of these names in a ``.npz`` file, each of at most so many bytes.

    Raises InputError if it is damaged, or one is missing or larger.
    """
    with opened(io.BytesIO(content), "it") as found:
        return {
            name: _array(read_member(found, f"{name}.npy", size + OVERHEAD)) for name, size in sizes.items()
        }


def _array(content: bytes) -> NDArray[Any]:
    try:
        found = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # numpy raises many types for damaged files
        raise InputError(f"damaged ({type(error).__name__}: {error}); copy or run it again") from None
    if not isinstance(found, np.ndarray):
        raise InputError("damaged (no array); copy or run it again")
    return found


def opened(file: Any, name: object) -> zipfile.ZipFile:
    """Return a zip file, opened; raises InputError if it is none."""
    try:
        return zipfile.ZipFile(file)
    except Exception as error:  # zipfile raises many types for damaged files
        raise InputError(f"cannot read {name}: {error}; give the results.zip that run.py wrote") from None


def read_member(zipped: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return a member of a zip file; raises InputError if it is damaged or has more than ``most`` bytes.

    No more than that is ever unpacked.
    """
    try:
        about = zipped.getinfo(name)
    except KeyError:
        raise InputError(f"the results lack {name}; run the bundle to its end") from None
    if about.file_size > most:
        raise InputError(f"{name} is larger than any result; give what run.py wrote")
    if about.flag_bits & ENCRYPTED or about.compress_type not in PACKED:
        raise InputError(f"{name} is packed in a way that run.py does not use; give what run.py wrote")
    try:
        with zipped.open(about) as file:
            return file.read(most)
    except Exception as error:  # zipfile and zlib raise many types for damaged files
        raise InputError(f"{name} is damaged ({error}); copy the results again") from None
