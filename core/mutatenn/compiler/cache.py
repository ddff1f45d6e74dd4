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
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.compiler import ir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mutatenn.api.program import Kernel

VARIABLE = "MUTATENN_KERNEL_CACHE"
"""Names the cache's folder; ``off`` disables it."""
LIMIT_VARIABLE = "MUTATENN_KERNEL_CACHE_BYTES"
DEFAULT_LIMIT = 2 * 2**30
TRAILER = struct.Struct("<QQ16s8s")  # bytes of library, bytes of IR, checksum of both, magic
MAGIC = b"mutatenn"
SUFFIXES = ("so", "note", "bin")
SEAL = 16  # bytes of a checksum
STALE_SECONDS = 3600
STAT_BLOCK = 512  # bytes of st_blocks' unit


@attrs.frozen
class KernelCache:
    """A folder of built kernels that keeps to ``limit`` bytes by dropping what was not used for longest."""

    folder: Path
    limit: int = DEFAULT_LIMIT

    def load(self, kernel: Kernel, symbol: str) -> Any:
        """Return the built function ``symbol`` of a kernel, or None if it is not here or not sound."""
        return load_library(self._path(kernel), symbol) if self.library(kernel) else None

    def library(self, kernel: Kernel) -> bytes | None:
        """Return the shared library of a kernel, or None if it is not here or not sound."""
        path = self._path(kernel)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        parts = _parts(content)
        if parts is None:
            path.unlink(missing_ok=True)
            return None
        shared, source = parts
        return shared if _is_of(kernel, source) else None

    def store(self, kernel: Kernel, shared: bytes) -> Path | None:
        """Keep a kernel's shared library; return its file, or None if it cannot be written.

        A file that is there already stays: the loader would take the new one for it.
        """
        path = self._path(kernel)
        if path.exists():
            return None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=_new()) as folder:
                new = Path(folder, path.name)
                new.write_bytes(_entry(shared, kernel))
                new.replace(path)
        except OSError:
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
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=_new()) as folder:
                note = Path(folder, path.name)
                note.write_text(f"{digest} {checksum} {text_digest(key + digest + checksum)}")
                note.replace(path)

    def cached(self, key: str, make: Callable[[], bytes]) -> bytes:
        """Return what ``make`` returns, from the disk if it was made before under this key (hex)."""
        path = self.folder / key[:2] / f"{key}.bin"
        with contextlib.suppress(OSError):
            content = path.read_bytes()
            os.utime(path)
            if content[-SEAL:] == _checksum(key.encode() + content[:-SEAL]):
                return content[:-SEAL]
        made = make()
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=_new()) as folder:
                new = Path(folder, path.name)
                new.write_bytes(made + _checksum(key.encode() + made))
                new.replace(path)
        return made

    def tidy(self) -> None:
        """Drop what dead processes left behind, and the entries unused for longest until the limit holds."""
        now = time.time()
        for leftover in self.folder.glob("*/.new-*"):
            if _is_orphan(leftover) or now - _modified(leftover) > STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self.limit:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        for path in (each for suffix in SUFFIXES for each in self.folder.glob(f"*/*.{suffix}")):
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


def cache_folder(kind: str) -> Path:
    """Return the folder where this user keeps what can be made or downloaded again, of some kind."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mutatenn" / kind


@functools.cache
def kernel_cache() -> KernelCache | None:
    """Return this user's cache, tidied once per process, or None where it is switched off."""
    place = os.environ.get(VARIABLE, "")
    if place == "off":
        return None
    base = cache_folder("kernels")
    limit = os.environ.get(LIMIT_VARIABLE, "")
    cache = KernelCache(Path(place) if place else base, int(limit) if limit.isdigit() else DEFAULT_LIMIT)
    cache.tidy()
    return cache


def _entry(shared: bytes, kernel: Kernel) -> bytes:
    source: bytes = ir.tvm.ir.save_json(kernel.ir).encode()
    body = shared + source
    return body + TRAILER.pack(len(shared), len(source), _checksum(body), MAGIC)


def _parts(content: bytes) -> tuple[bytes, str] | None:
    """Return the library and the IR of an entry, or None for a damaged one."""
    body, trailer = content[: -TRAILER.size], content[-TRAILER.size :]
    if len(trailer) < TRAILER.size:
        return None
    shared, source, checksum, magic = TRAILER.unpack(trailer)
    if magic != MAGIC or shared + source != len(body) or _checksum(body) != checksum:
        return None
    return body[:shared], body[shared:].decode()


def _is_of(kernel: Kernel, source: str) -> bool:
    """Tell whether an entry's IR is the kernel's, by its text where that is known."""
    if kernel.checksum and kernel.checksum == text_digest(source):
        return True
    return bool(ir.ffi.structural_equal(ir.tvm.ir.load_json(source), kernel.ir))


def cached_bytes(source: str, make: Callable[[], bytes]) -> bytes:
    """Return what ``make`` returns; the kernel cache keeps it under a text that says all it depends on."""
    cache = kernel_cache()
    return cache.cached(text_digest(source), make) if cache else make()


def text_digest(text: str) -> str:
    """Return the digest (hex) of a text."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()


def _new() -> str:
    return f".new-{os.getpid()}-"


def _is_orphan(leftover: Path) -> bool:
    """Tell whether the process that made a folder is dead; one elsewhere, on a shared disk, does without."""
    pid = leftover.name.split("-")[1]
    return pid.isdigit() and not Path("/proc", pid).exists()


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
