"""Built kernels on disk, by content: shared between runs and processes, bounded in size.

An entry is one file: a shared library, the IR it was built from, and a trailer with their lengths and a
checksum. It is used only if the checksum holds and its IR is structurally equal to the kernel's, so that
neither a damaged file nor a collision of hashes can put other code in a kernel's place. Entries appear by
renaming, so readers, other writers and ``kill -9`` do no harm.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.compiler import ir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mutatenn.api.program import Kernel

VARIABLE = "MUTATENN_KERNEL_CACHE"
"""Names the cache's folder; ``off`` disables it."""
LIMIT_VARIABLE = "MUTATENN_KERNEL_CACHE_BYTES"
DEFAULT_LIMIT = 2 * 2**30
TRAILER = struct.Struct("<QQ16s8s")  # bytes of library, bytes of IR, checksum of both, magic
MAGIC = b"mutatenn"
STALE_SECONDS = 3600
STAT_BLOCK = 512  # bytes of st_blocks' unit


@attrs.frozen
class KernelCache:
    """A folder of built kernels that keeps to ``limit`` bytes by dropping what was not used for longest."""

    folder: Path
    limit: int = DEFAULT_LIMIT

    def load(self, kernel: Kernel, symbol: str) -> Any:
        """Return the built function ``symbol`` of a kernel, or None if it is not here or not sound."""
        path = self._path(kernel)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        source = _source(content)
        if source is None:
            path.unlink(missing_ok=True)
            return None
        return load_library(path, symbol) if _is_of(kernel, source) else None

    def store(self, kernel: Kernel, library: Any) -> Path | None:
        """Keep a built kernel; return its file, or None if this machine cannot link or write it.

        A file that is there already stays: the loader would take the new one for it.
        """
        linker, path = find_linker(), self._path(kernel)
        if linker is None or path.exists():
            return None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
                shared = _link(linker, library, Path(folder))
                shared.write_bytes(_entry(shared.read_bytes(), kernel))
                shared.replace(path)
        except (OSError, subprocess.SubprocessError):
            return None
        return path

    def recall(self, key: str) -> tuple[str, str] | None:
        """Return what was remembered under a key: a kernel's digest and the checksum of its IR."""
        path = self._note(key)
        try:
            digest, checksum, seal = path.read_text().split(" ")
            os.utime(path)
        except (OSError, ValueError):
            return None
        return (digest, checksum) if seal == text_digest(key + digest + checksum) else None

    def remember(self, key: str, digest: str, checksum: str) -> None:
        """Remember that something comes to the kernel of this digest, with this checksum of its IR."""
        path = self._note(key)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
                note = Path(folder, path.name)
                note.write_text(f"{digest} {checksum} {text_digest(key + digest + checksum)}")
                note.replace(path)

    def tidy(self) -> None:
        """Drop what dead processes left behind, and the entries unused for longest until the limit holds."""
        now = time.time()
        for leftover in self.folder.glob("*/.new-*"):
            if now - _modified(leftover) > STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self.limit:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        for path in (*self.folder.glob("*/*.so"), *self.folder.glob("*/*.note")):
            try:
                about = path.stat()
            except OSError:
                continue
            yield about.st_mtime, about.st_blocks * STAT_BLOCK, path

    def _note(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.note"

    def _path(self, kernel: Kernel) -> Path:
        return self.folder / kernel.digest[:2] / f"{kernel.digest}.so"


def load_library(path: Path, symbol: str) -> Any:
    """Return a function of a shared library, or None if another process has dropped the file meanwhile."""
    try:
        os.utime(path)
        return ir.tvm.runtime.load_module(str(path))[symbol]
    except (OSError, RuntimeError):
        return None


@functools.cache
def kernel_cache() -> KernelCache | None:
    """Return this user's cache, tidied once per process, or None where it is switched off."""
    place = os.environ.get(VARIABLE, "")
    if place == "off":
        return None
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mutatenn" / "kernels"
    limit = os.environ.get(LIMIT_VARIABLE, "")
    cache = KernelCache(Path(place) if place else base, int(limit) if limit.isdigit() else DEFAULT_LIMIT)
    cache.tidy()
    return cache


@functools.cache
def find_linker() -> str | None:
    """Return the program that makes a shared library of an object file, or None if there is none."""
    return shutil.which("ld") or shutil.which("ld.lld")


def _link(linker: str, library: Any, folder: Path) -> Path:
    compiled, shared = folder / "kernel.o", folder / "kernel.so"
    library.write_to_file(str(compiled), "o")
    command = [linker, "-shared", "-o", str(shared), str(compiled)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  # ours
    return shared


def _entry(shared: bytes, kernel: Kernel) -> bytes:
    source: bytes = ir.tvm.ir.save_json(kernel.ir).encode()
    body = shared + source
    return body + TRAILER.pack(len(shared), len(source), _checksum(body), MAGIC)


def _source(content: bytes) -> str | None:
    """Return the IR of an entry, or None for a damaged one."""
    body, trailer = content[: -TRAILER.size], content[-TRAILER.size :]
    if len(trailer) < TRAILER.size:
        return None
    shared, source, checksum, magic = TRAILER.unpack(trailer)
    if magic != MAGIC or shared + source != len(body) or _checksum(body) != checksum:
        return None
    return body[shared:].decode()


def _is_of(kernel: Kernel, source: str) -> bool:
    """Tell whether an entry's IR is the kernel's, by its text where that is known."""
    if kernel.checksum and kernel.checksum == text_digest(source):
        return True
    return bool(ir.ffi.structural_equal(ir.tvm.ir.load_json(source), kernel.ir))


def text_digest(text: str) -> str:
    """Return the digest (hex) of a text."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
