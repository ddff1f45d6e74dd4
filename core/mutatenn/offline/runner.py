"""Runs a packed job on the machine it was made for, which may lack a compiler, a network and everything else.

It needs Python, numpy, and TVM for the kernels to call into. What has run is not run again.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import zipfile
from typing import TYPE_CHECKING

import attrs
import numpy as np

from mutatenn.engine.caretaker import caretaker
from mutatenn.engine.isolate import call_isolated
from mutatenn.engine.original import run_original
from mutatenn.engine.workbench import Workbench
from mutatenn.errors import InputError, MutatennError
from mutatenn.files import whole
from mutatenn.offline.packed import PackedJob
from mutatenn.offline.records import load_arrays, read_outcome, save_arrays, write_observation
from mutatenn.offline.results import MANIFEST, ORIGINAL, RESULTS, RESULTS_FILE
from mutatenn.printable import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def main(folder: Path, arguments: Sequence[str] | None = None) -> int:
    """Run the bundle in a folder; return the exit code."""
    parser = argparse.ArgumentParser(prog="run.py", description="Run this bundle of mutants, or continue.")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="mutants at a time")
    args = parser.parse_args(arguments)
    os.environ.setdefault("TVM_NUM_THREADS", "1")
    try:
        _run(PackedJob.open(folder), max(1, args.workers))
    except MutatennError as error:
        print(f"mutatenn: error: {shortened(error)}", file=sys.stderr)
        return error.exit_code
    return 0


@caretaker()
def _run(packed: PackedJob, workers: int) -> None:
    job = attrs.evolve(packed.job, workers=workers)
    if not len(job.expected):
        expected, noise = _measured(packed)
        job = attrs.evolve(job, expected=expected, noise=noise)
    print(
        f"original: {len(job.images)} images, noise {job.noise:g}; {len(packed.mutants)} mutants", flush=True
    )
    for shard, images in enumerate(packed.shards):
        waiting = [name for name in packed.mutants if not _ended(packed, name, shard)]
        if not waiting:
            continue
        part = attrs.evolve(job, images=job.images[images], expected=job.expected[images])
        with Workbench.open(part) as bench:
            for seen in bench.attempts(waiting):
                write_observation(observation_file(packed.results, seen.mutant, shard), seen)
                print(printable(f"{seen.mutant}: {seen.outcome}"), flush=True)
    archive = packed.folder / RESULTS_FILE
    _zip(packed, archive)
    if packed.manifest["label"]:
        print(f"wrote {printable(archive)}; next, where the run is: mutatenn ingest RUN {archive.name}")


def _ended(packed: PackedJob, mutant: str, shard: int) -> bool:
    """Tell whether a mutant need not run on a shard: it has, or ended for good on one before."""
    for number in range(shard + 1):
        path = observation_file(packed.results, mutant, number)
        if path.exists():
            outcome = read_outcome(path)
            if number == shard or outcome not in ("ran", "infrastructure-error"):
                return outcome != "infrastructure-error"
    return False


def _measured(packed: PackedJob) -> tuple[NDArray[np.float32], float]:
    """Return the original's outputs and the noise between two runs; runs it only the first time."""
    path = packed.results / f"{ORIGINAL}.npz"
    job = packed.job
    if not path.exists():
        runs = [
            call_isolated(functools.partial(run_original, job.backend, job.original, job.images))
            for _ in range(2)
        ]
        (first, seconds), (second, more) = runs
        save_arrays(path, first=first, second=second, seconds=np.array(min(seconds, more)))
    room = path.stat().st_size
    found = load_arrays(path.read_bytes(), {"first": room, "second": room})
    first, second = found["first"], found["second"]
    if first.shape != second.shape or len(first) != len(job.images) or first.dtype != np.float32:
        raise InputError(f"{path} is damaged; delete it and run the bundle again")
    with np.errstate(invalid="ignore"):  # infinite scores of both are equal
        return first, float(np.abs(np.where(first == second, 0, first - second)).max(initial=0.0))


def _zip(packed: PackedJob, archive: Path) -> None:
    with whole(archive) as place, zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(packed.folder / MANIFEST, MANIFEST)
        for path in _files(packed.results):
            file.write(path, f"{RESULTS}/{path.relative_to(packed.results).as_posix()}")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.npz")) if not path.name.startswith("."))


def observation_file(results: Path, mutant: str, shard: int) -> Path:
    """Return where the observation of a mutant on a shard of images is."""
    return results / str(shard) / f"{mutant}.npz"
