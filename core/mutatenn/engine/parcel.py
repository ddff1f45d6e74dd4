"""Programs and observations as files that travel to a board and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.executor import Observation
from mutatenn.api.program import Call, Constant, Kernel, Program
from mutatenn.api.values import TensorSpec
from mutatenn.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ARRAYS = ("rows", "infected", "outputs")
AGAIN = "again_"


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
    about = attrs.asdict(seen, filter=lambda field, _: field.name not in (*ARRAYS, "again"))
    arrays = {name: getattr(seen, name) for name in ARRAYS}
    if seen.again:
        arrays |= {f"{AGAIN}{name}": getattr(seen.again, name) for name in ARRAYS}
    save_arrays(path, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)


def read_observation(file: Any) -> Observation:
    """Return what was written of a mutant; raises InputError for anything else."""
    arrays = load_arrays(file, ("about", *ARRAYS), tuple(f"{AGAIN}{name}" for name in ARRAYS))
    try:
        about = json.loads(arrays.pop("about").tobytes())
        about["kernels"] = tuple(about["kernels"])
        more: dict[str, Any] = {name: arrays.pop(f"{AGAIN}{name}", None) for name in ARRAYS}
        fields: dict[str, Any] = {**about, **arrays}
        again = None if more["rows"] is None else Observation(about["mutant"], "ran", **more)
        seen = Observation(**fields, again=again)
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"no observation ({error}); run the bundle again") from None
    for each in (seen, again):
        if each and not _fits(each):
            raise InputError("its arrays do not fit together; run the bundle again")
    return seen


def _fits(seen: Observation) -> bool:
    fits = len(seen.rows) == len(seen.outputs) and (seen.rows < len(seen.infected)).all()
    whole = seen.infected.dtype == bool and seen.rows.dtype.kind == "i" and (seen.rows >= 0).all()
    return bool(fits and whole)


def save_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays as ``.npz``; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    temporary.replace(path)


def load_arrays(file: Any, names: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, NDArray[Any]]:
    """Return the arrays of these names in a ``.npz`` file; raises InputError if it is damaged."""
    try:
        with np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in (*names, *(each for each in optional if each in found))}
    except Exception as error:  # zipfile, zlib and numpy raise many types for damaged files
        raise InputError(f"damaged ({type(error).__name__}: {error}); copy or run it again") from None
