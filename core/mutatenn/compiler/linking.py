"""Makes shared libraries of compiled code, for this machine's processor or another's."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import platform
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mutatenn.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

UNSPECIFIC = ("unknown", "pc", "none")


@functools.cache
def find_linker(triple: str = "") -> str | None:
    """Return the program that links for a target triple (empty: this machine's), or None if there is none."""
    names = [name for name in linkers(triple) if shutil.which(name)]
    return shutil.which(names[0]) if names else None


def linkers(triple: str = "") -> list[str]:
    """Return the names of programs that link for a target triple, as they are looked for."""
    machine = triple.partition("-")[0]
    if not triple or machine == platform.machine():
        return ["ld", "ld.lld"]
    short = "-".join(part for part in triple.split("-") if part not in UNSPECIFIC)
    if short.count("-") == 1 and short.endswith("-linux"):
        short += "-gnu"
    return [*dict.fromkeys([f"{triple}-ld", f"{short}-ld"]), "ld.lld"]


def link_library(library: Any, triple: str = "") -> bytes:
    """Return a compiled runtime module of one object file as the content of a shared library.

    Raises InputError where no linker for the triple is installed, or it fails, OSError for a full disk.
    """
    with _memory() as number, tempfile.TemporaryDirectory(prefix="mutatenn-") as folder:
        compiled, shared = Path("/proc/self/fd", str(number)), Path(folder, "kernel.so")
        library.write_to_file(str(compiled), "o")
        link_objects(shared, [compiled], triple, keep=[number])
        return shared.read_bytes()


@contextlib.contextmanager
def _memory() -> Iterator[int]:
    """Open a file in memory: LLVM ends the process where it cannot write all of an object file."""
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        raise OSError(errno.EFBIG, "the size of files is limited (ulimit -f)")
    number = os.memfd_create("kernel.o")
    try:
        yield number
    finally:
        os.close(number)


def link_objects(
    shared: Path, objects: Sequence[Path], triple: str = "", *, keep: Sequence[int] = ()
) -> None:
    """Make a shared library of object files; ``keep`` are open ones. Raises as :func:`link_library`."""
    linker, machine = find_linker(triple), triple or "this machine"
    if linker is None:
        package = f"binutils-{triple} or lld" if triple else "binutils or lld"
        names = ", ".join(linkers(triple))
        raise InputError(f"no linker for {machine} (looked for {names}); install {package}")
    # Bound at once: code that calls what is not there must fail when it is loaded, not while it runs.
    command = [linker, "-shared", "-s", "-z", "now", "-o", str(shared), *map(str, objects)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, pass_fds=keep)  # noqa: S603  # ours
    if done.returncode:
        raise InputError(f"{linker} cannot link for {machine}: {done.stderr.strip()}")
